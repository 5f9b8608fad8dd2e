//! What an organization wants to be told, and how.

use async_trait::async_trait;
use koshin_notify::Digests;
use koshin_types::OrganizationId;
use time::UtcDateTime;

use crate::{AuditNote, DirectoryError, StorageError};

/// What organizations chose. Whoever owes their administrators mails asks the same store.
#[async_trait]
pub trait Preferences: Send + Sync {
    /// Whether the organization wants digests; `None` when there is no such organization. A new one wants them.
    async fn digests(&self, organization: &OrganizationId) -> Result<Option<Digests>, StorageError>;

    /// Stores it, with an audit record in the same transaction. Who opts out gets by itself, from `at` on, what was left to
    /// the next digest.
    async fn prefer_digests(
        &self,
        organization: &OrganizationId,
        digests: Digests,
        note: AuditNote,
        at: UtcDateTime,
    ) -> Result<(), DirectoryError>;
}
