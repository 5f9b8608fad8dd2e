//! What the CA remembers of everything it ever promised to sign.

use std::fmt;

use async_trait::async_trait;
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

/// What makes two requests the same one: the renewal they belong to, and the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderKey {
    /// The renewal, as the RA numbered it.
    pub renewal: RenewalId,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`.
    pub spki: Fingerprint,
}

/// What is recorded before a signature: from now on this serial number and this key are used up.
#[derive(Clone, PartialEq, Eq)]
pub struct Intent {
    /// Renewal and key.
    pub order: OrderKey,
    /// The RA client that asked, by its configured name.
    pub client: String,
    /// The profile, by its configured name.
    pub profile: String,
    /// The organization's name in the subject.
    pub organization: String,
    /// The subject's ID, its common name.
    pub subject: String,
    /// The serial number.
    pub serial: SerialNumber,
    /// The validity in the bytes.
    pub validity: Validity,
    /// The DER `TBSCertificate`.
    pub tbs: Vec<u8>,
    /// When it was recorded, by the CA's own clock, in whole milliseconds.
    pub at: UtcDateTime,
}

impl fmt::Debug for Intent {
    /// Leaves out who it is for.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Intent");
        shown.field("serial", &self.serial).field("order", &self.order).field("client", &self.client);
        shown.finish_non_exhaustive()
    }
}

/// An intent, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What was recorded first.
    pub intent: Intent,
    /// The DER certificate, from the moment it was stored; it stays when it is revoked. Never there for an abandoned
    /// intent.
    pub certificate: Option<Vec<u8>>,
    /// What became of it.
    pub standing: Standing,
}

/// What became of a serial number that was recorded.
///
/// `Intended` becomes `Issued` or `Abandoned`, `Issued` becomes `Revoked`, and that is all: nothing comes back (I-36, I-72).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// Recorded; no certificate is stored yet.
    Intended,
    /// The certificate is stored.
    Issued,
    /// It was given up, or revoked, before a certificate was stored. None will ever be.
    Abandoned(Revocation),
    /// The stored certificate was revoked.
    Revoked(Revocation),
}

impl Standing {
    /// The revocation that ended it, if anything has.
    pub const fn revocation(&self) -> Option<&Revocation> {
        match self {
            Self::Intended | Self::Issued => None,
            Self::Abandoned(revocation) | Self::Revoked(revocation) => Some(revocation),
        }
    }
}

/// A revocation: final, and never changed once recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// Since when, in whole milliseconds: the revocationDate (RFC 5280, 5.1.2.6).
    pub at: UtcDateTime,
    /// Why (RFC 5280, 5.3.1).
    pub reason: RevocationReason,
    /// Since when the key may have been in other hands (RFC 5280, 5.3.2), in whole seconds.
    pub invalidity_date: Option<UtcDateTime>,
    /// Who revoked it: the configured name of an RA client, or of the CA's own command.
    pub by: String,
}

/// What is known of one serial number, without the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Renewal and key.
    pub order: OrderKey,
    /// The RA client that asked.
    pub client: String,
    /// The validity.
    pub validity: Validity,
    /// What became of it.
    pub standing: Standing,
}

/// Something others have to learn of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Its place in the sequence: positive, strictly growing in the order of the commits, gaps allowed.
    pub sequence: u64,
    /// The serial number.
    pub serial: SerialNumber,
    /// The RA client that the serial number was recorded for; `None` for a certificate that was found after a restore, which
    /// took that knowledge with it.
    pub client: Option<String>,
    /// When it was recorded, by the CA's own clock.
    pub at: UtcDateTime,
    /// What happened.
    pub kind: ChangeKind,
}

/// What happened to a serial number. That it was intended is nobody's to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeKind {
    /// Its certificate was stored.
    Issued,
    /// It was abandoned.
    Abandoned(Revocation),
    /// Its certificate was revoked.
    Revoked(Revocation),
}

/// A page of changes, and where the ledger stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    /// In the order of their sequence.
    pub changes: Vec<Change>,
    /// The sequence of the newest change there is; 0 when nothing ever changed.
    pub head: u64,
    /// The largest instant that was ever recorded with anything, intents included: what a clock must not fall behind.
    pub largest: Option<UtcDateTime>,
}

/// What [`Ledger::intend`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It is durable now.
    New,
    /// The same order was there before. The intent that was handed in is forgotten; this one counts.
    Known(Box<Entry>),
}

/// The CA's memory: append-only, one entry per serial number.
///
/// Every method that changes something is one transaction. It is durable when the method returns, and it leaves, in the
/// same transaction, an audit record with the instant, the serial number, who caused it and what it was; when that record
/// cannot be written, nothing is changed (SECURITY.md, 17). A call that changes nothing leaves no record. A caller that is
/// dropped while it waits may have had its change made or not, and asks again.
///
/// What every implementation has to do beyond these words is a suite of tests:
/// [`ledger_conformance!`](crate::ledger_conformance).
#[async_trait]
pub trait Ledger: Send + Sync {
    /// The entry of an order.
    async fn find(&self, order: &OrderKey) -> Result<Option<Entry>, LedgerError>;

    /// Records an intent, or answers with the entry that the same order has already.
    ///
    /// # Errors
    ///
    /// [`IntendError::KeySeen`], [`IntendError::RenewalTaken`], [`IntendError::SerialTaken`], in this order of precedence;
    /// nothing was recorded then.
    async fn intend(&self, intent: Intent) -> Result<Recorded, IntendError>;

    /// Stores the DER certificate of an intent at `now`, and answers with the one that is stored: the first wins, because
    /// ECDSA makes another certificate of the same bytes each time. A revoked one is answered too.
    ///
    /// # Errors
    ///
    /// [`IssuedError::Unknown`], [`IssuedError::Abandoned`].
    async fn issued(&self, serial: &SerialNumber, der: &[u8], now: UtcDateTime) -> Result<Vec<u8>, IssuedError>;

    /// Revokes a certificate, or abandons an intent, at `now`; answers with what stands from now on. The first revocation
    /// is final: a second one changes nothing and is answered with the first.
    ///
    /// # Errors
    ///
    /// [`RevokeError::Unknown`]: the serial number was never recorded.
    async fn revoke(
        &self,
        serial: &SerialNumber,
        revocation: &Revocation,
        now: UtcDateTime,
    ) -> Result<Standing, RevokeError>;

    /// What is known of a serial number; `None` when it was never recorded.
    async fn status(&self, serial: &SerialNumber) -> Result<Option<Status>, LedgerError>;

    /// The first `limit` changes whose sequence is greater than `after`, and the head, both of one moment.
    async fn changes(&self, after: u64, limit: u32) -> Result<Changes, LedgerError>;

    /// Up to `limit` intents that are neither issued nor abandoned, the longest recorded first.
    async fn unfinished(&self, limit: u32) -> Result<Vec<Intent>, LedgerError>;
}

/// The ledger did not answer, or what it holds makes no sense.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LedgerError {
    /// It is not to be had at the moment.
    #[error("the ledger is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row is not what this program writes.
    #[error("the ledger is damaged: {what}")]
    Damaged {
        /// Table and column, or a sentence; never the data.
        what: String,
    },
}

impl LedgerError {
    /// Whether a retry may help.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}

/// Why an intent was not recorded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntendError {
    /// The key was in another order before, whatever became of that.
    #[error("the key {spki} was seen before")]
    KeySeen {
        /// SHA-256 of the `SubjectPublicKeyInfo`.
        spki: Fingerprint,
    },
    /// The renewal has an entry for another key, whatever became of that.
    #[error("the renewal has an entry for the key {recorded}, not for {asked}")]
    RenewalTaken {
        /// The key of the stored entry.
        recorded: Fingerprint,
        /// The key of this intent.
        asked: Fingerprint,
    },
    /// The serial number was recorded before.
    #[error("the serial number {serial} was recorded before")]
    SerialTaken {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why a certificate was not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssuedError {
    /// There is no intent with this serial number.
    #[error("the serial number {serial} was never recorded")]
    Unknown {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The intent was abandoned.
    #[error("the serial number {serial} was abandoned")]
    Abandoned {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// There is nothing with this serial number.
    #[error("the serial number {serial} was never recorded")]
    Unknown {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
