//! What is asked of a CA service, and what it answers.

use std::fmt;

use koshin_types::{RenewalId, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use super::{
    ledger::Change,
    refused::{IssueRefused, Unsignable},
};

/// A request for a certificate, as an RA client makes it.
#[derive(Clone, PartialEq, Eq)]
pub struct IssueRequest {
    /// The renewal at the RA: with the key in `request`, what makes two requests the same one.
    pub renewal: RenewalId,
    /// The profile.
    pub profile: String,
    /// O of the subject.
    pub organization: String,
    /// CN of the subject: its ID.
    pub subject: String,
    /// The subject's address, to stand in the certificate.
    pub mail: Option<String>,
    /// The validity, as the RA's policy decided.
    pub validity: Validity,
    /// The RA's instant.
    pub now: UtcDateTime,
    /// The certification request (RFC 2986), DER or PEM. Of it only the key is used.
    pub request: Vec<u8>,
}

impl fmt::Debug for IssueRequest {
    /// Leaves out who it is for, and the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("IssueRequest");
        shown.field("renewal", &self.renewal).field("profile", &self.profile).field("validity", &self.validity);
        shown.finish_non_exhaustive()
    }
}

/// An issued certificate. The same order gets the same one every time, byte for byte.
#[derive(Clone, PartialEq, Eq)]
pub struct Issued {
    /// Its serial number.
    pub serial: SerialNumber,
    /// The DER `Certificate`.
    pub certificate: Vec<u8>,
    /// Its validity: that of the first request of this order.
    pub validity: Validity,
}

impl fmt::Debug for Issued {
    /// Leaves the bytes out: they name a person.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Issued").field("serial", &self.serial).finish_non_exhaustive()
    }
}

/// A revocation, as an RA client asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationRequest {
    /// The certificate.
    pub serial: SerialNumber,
    /// Why.
    pub reason: RevocationReason,
    /// When the RA decided it: from there on its own logins refuse the certificate.
    pub revoked_at: UtcDateTime,
    /// Since when the key may have been in other hands.
    pub invalidity_date: Option<UtcDateTime>,
}

/// A page of what became of one client's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesPage {
    /// In their order.
    pub changes: Vec<Change>,
    /// What to ask after next. A page may be empty and still lead on: what belongs to others is passed over.
    pub next: u64,
    /// The newest change there is of anybody. The page is the last one when `next` is not smaller.
    pub head: u64,
}

/// What [`CaService::finish_unfinished`](super::CaService::finish_unfinished) did.
#[derive(Debug, Default)]
pub struct Finished {
    /// Intents that are certificates now.
    pub issued: Vec<SerialNumber>,
    /// Intents that can never be signed, and why; they are abandoned. An operator should read this.
    pub abandoned: Vec<(SerialNumber, Unsignable)>,
    /// Why the rest is left for the next time.
    pub stopped: Option<IssueRefused>,
}
