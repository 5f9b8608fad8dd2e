//! Why the CA did not do what it was asked for.

use std::collections::BTreeSet;

use koshin_issuance::{IssueError, KeyKind, MailError, NameError, PrepareError, Rejected, RestoreError};
use koshin_types::{Fingerprint, RevocationReason, Rfc3339, SerialNumber};
use time::{Duration, UtcDateTime};

use super::{
    ledger::{LedgerError, Revocation},
    profile::KeyClass,
};

/// Why no certificate was handed out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueRefused {
    /// The client may not issue, or not under this profile. A profile that there is not is answered the same.
    #[error("the RA client {client} may not have certificates issued under the profile {profile:?}")]
    NotAllowed {
        /// The client.
        client: String,
        /// The profile it named.
        profile: String,
    },
    /// RA and CA do not agree on what time it is.
    #[error("the RA says it is {}, the CA says {}; they may differ by {limit}", Rfc3339(*ra), Rfc3339(*ca))]
    ClocksDiffer {
        /// The RA's instant.
        ra: UtcDateTime,
        /// The CA's.
        ca: UtcDateTime,
        /// How much they may differ.
        limit: Duration,
    },
    /// The CA's clock is behind what the CA recorded before (I-41).
    #[error("the CA's clock says {}, and {} was recorded already", Rfc3339(*now), Rfc3339(*largest))]
    ClockBehind {
        /// What the clock says.
        now: UtcDateTime,
        /// The largest instant that was recorded.
        largest: UtcDateTime,
    },
    /// Nothing is signed until an operator says so.
    #[error("the CA signs nothing at the moment: {why}")]
    Held {
        /// What the operator has to know.
        why: String,
    },
    /// The certification request does not pass the gate.
    #[error("the certification request was refused")]
    Request(#[from] Rejected),
    /// The profile does not take keys of this kind.
    #[error("the profile takes no key of the kind {kind:?}, only {}", words(allowed))]
    KeyKind {
        /// The key's.
        kind: KeyKind,
        /// What it takes.
        allowed: BTreeSet<KeyClass>,
    },
    /// The subject cannot stand in a certificate.
    #[error("the subject's name cannot stand in a certificate")]
    Name(#[from] NameError),
    /// The mail address cannot stand in a certificate. Asked for without it, the same request succeeds.
    #[error("the mail address cannot stand in a certificate")]
    Mail(#[source] MailError),
    /// The validity is longer than the profile allows.
    #[error("a validity of {asked} was asked for, the profile allows {limit}")]
    ValidityTooLong {
        /// The length asked for, both ends included.
        asked: Duration,
        /// The longest one.
        limit: Duration,
    },
    /// The validity begins after the request.
    #[error("notBefore {} is after the request's own {}", Rfc3339(*not_before), Rfc3339(*now))]
    NotBeforeAhead {
        /// What was asked for.
        not_before: UtcDateTime,
        /// The RA's instant.
        now: UtcDateTime,
    },
    /// The validity begins too long before the request.
    #[error("notBefore {} is more than {limit} before the request's own {}", Rfc3339(*not_before), Rfc3339(*now))]
    Backdated {
        /// What was asked for.
        not_before: UtcDateTime,
        /// The RA's instant.
        now: UtcDateTime,
        /// How much before it may be.
        limit: Duration,
    },
    /// The CA cannot make such a certificate: it would outlive the CA's own, or its key is the CA's.
    #[error("no such certificate can be made")]
    Prepare(#[source] PrepareError),
    /// The key was in another order before.
    #[error("the key {spki} was seen before")]
    KeySeen {
        /// SHA-256 of the `SubjectPublicKeyInfo`.
        spki: Fingerprint,
    },
    /// The renewal has a certificate, or the promise of one, for another key.
    #[error("the renewal has an entry for the key {recorded}, not for {asked}")]
    RenewalTaken {
        /// The key of the stored entry.
        recorded: Fingerprint,
        /// The key of this request.
        asked: Fingerprint,
    },
    /// The same renewal and key were asked for before, with something else in it.
    #[error("the same renewal and key were recorded with another {field}")]
    OrderDiffers {
        /// What differs.
        field: &'static str,
    },
    /// The serial number of this order was abandoned; nothing will ever come of it.
    #[error("the order's serial number {serial} was abandoned")]
    Abandoned {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The certificate of this order was revoked.
    #[error("the order's certificate {serial} was revoked at {} ({reason})", Rfc3339(*at))]
    Revoked {
        /// The serial number.
        serial: SerialNumber,
        /// Since when.
        at: UtcDateTime,
        /// Why.
        reason: RevocationReason,
    },
    /// What was recorded can never be signed. It was abandoned.
    #[error("what was recorded for the serial number {serial} can never be signed")]
    Unsignable {
        /// The serial number.
        serial: SerialNumber,
        /// Why.
        source: Unsignable,
    },
    /// What was recorded was not signed this time; it stays recorded.
    #[error("what was recorded for the serial number {serial} was not signed")]
    Unsigned {
        /// The serial number.
        serial: SerialNumber,
        /// Why.
        source: IssueError,
    },
    /// Too many wait already.
    #[error("too many requests wait for the CA")]
    Busy,
    /// The random source gave no serial number.
    #[error("the random source gave no serial number")]
    NoRandomness,
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

fn words(classes: &BTreeSet<KeyClass>) -> String {
    classes.iter().map(|class| class.as_str()).collect::<Vec<_>>().join(", ")
}

impl IssueRefused {
    /// Whether the same request may succeed later. Nothing is lost meanwhile.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::ClocksDiffer { .. }
            | Self::ClockBehind { .. }
            | Self::Held { .. }
            | Self::Unsigned { .. }
            | Self::Busy
            | Self::NoRandomness => true,
            Self::Ledger(error) => error.is_transient(),
            _ => false,
        }
    }

    pub(super) const fn revoked(serial: SerialNumber, revocation: &Revocation) -> Self {
        Self::Revoked { serial, at: revocation.at, reason: revocation.reason }
    }
}

/// Why recorded bytes can never be signed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Unsignable {
    /// They are damaged, or not those of their record.
    #[error(transparent)]
    Restore(#[from] RestoreError),
    /// They break a rule, or were made for another CA.
    #[error(transparent)]
    Issue(#[from] IssueError),
}

/// Why nothing was revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RevocationRefused {
    /// The client may not revoke.
    #[error("the RA client {client} may not have certificates revoked")]
    NotAllowed {
        /// The client.
        client: String,
    },
    /// There is nothing with this serial number that was issued for this client.
    #[error("no certificate {serial} was issued for the RA client {client}")]
    Unknown {
        /// The serial number.
        serial: SerialNumber,
        /// The client.
        client: String,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Why no changes were told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangesRefused {
    /// The client may not ask.
    #[error("the RA client {client} may not read changes")]
    NotAllowed {
        /// The client.
        client: String,
    },
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}
