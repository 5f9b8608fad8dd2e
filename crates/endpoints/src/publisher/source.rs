//! What a publisher asks the database of its CA.

use async_trait::async_trait;
use koshin_issuance::{CrlEdition, RevokedCertificate};
use koshin_types::SerialNumber;
use time::UtcDateTime;

/// A revocation, with what decides when it may leave the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revoked {
    /// The entry of the list.
    pub entry: RevokedCertificate,
    /// The last second at which the certificate is valid.
    pub not_after: UtcDateTime,
}

/// The newest editions of one CA's list, as they are recorded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Editions {
    /// The newest one that anybody may have signed.
    pub reserved: Option<CrlEdition>,
    /// The newest one that relying parties could fetch.
    pub published: Option<CrlEdition>,
}

/// The revocations of one CA and the record of its lists. Each CA has its own, a former one too.
///
/// Numbers and dates have to outlive a restore, so they are reserved durably before a list is signed with them. Of dates, whole
/// seconds are kept.
#[async_trait]
pub trait RevocationSource: Send + Sync {
    /// The revocations of certificates of this CA in the order of their serial numbers, from the first one greater than
    /// `after`, at most `limit`. Fewer than `limit` are the last ones.
    ///
    /// What was revoked is listed for ever here, with the same instant and reason; whoever publishes leaves out what has
    /// expired.
    ///
    /// # Errors
    ///
    /// [`SourceUnavailable`].
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable>;

    /// The newest editions.
    ///
    /// # Errors
    ///
    /// [`SourceUnavailable`].
    async fn editions(&self) -> Result<Editions, SourceUnavailable>;

    /// Records `wanted.following(reserved)` as the newest edition that may be signed and answers it, when it is durable.
    /// Of two calls, in whatever process, the later one gets the greater number.
    ///
    /// # Errors
    ///
    /// [`SourceUnavailable`]; then nothing may be signed, and whether the number is used up is not known.
    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable>;

    /// Records that an edition can be fetched. One that is older than the recorded one changes nothing.
    ///
    /// # Errors
    ///
    /// [`SourceUnavailable`].
    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable>;
}

/// The database of revocations does not answer.
#[derive(Debug, thiserror::Error)]
#[error("the revocations cannot be read or the list's number cannot be reserved")]
pub struct SourceUnavailable(#[source] pub Box<dyn std::error::Error + Send + Sync>);
