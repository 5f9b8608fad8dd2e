//! Where certificates come from: a CA in this process, or one elsewhere with a ledger of its own.

use std::{fmt, sync::Arc};

use async_trait::async_trait;
use koshin_issuance::{Ca, IssuerCertificate, NameError, Ordered, SubjectName};
use koshin_types::{Fingerprint, RenewalId, SubjectId, Validity};
use time::UtcDateTime;

use crate::{LocalAuthority, Revocation, StorageError};

/// What the registration authority asks of a CA elsewhere. It is stored in the commit that records the request, so that a
/// crash or a lost answer is followed by the very same question.
#[derive(Clone, PartialEq, Eq)]
pub struct Order {
    /// The renewal. Together with the key it names the order: the same two give the same certificate.
    pub renewal: RenewalId,
    /// SHA-256 of the `SubjectPublicKeyInfo` in the request.
    pub spki: Fingerprint,
    /// The organization's name, for the certificate's subject.
    pub organization: String,
    /// The subject's ID, for the common name.
    pub subject: SubjectId,
    /// The rfc822Name; `None` when the subject has no address that could stand in a certificate.
    pub mail: Option<String>,
    /// The validity, by the expiry policy at the instant of the order.
    pub validity: Validity,
    /// The request, DER (RFC 2986): the CA has its own gate. At most [`koshin_issuance::Gate::MAX_OCTETS`].
    pub request: Vec<u8>,
    /// When it was ordered, in whole milliseconds.
    pub at: UtcDateTime,
}

impl fmt::Debug for Order {
    /// Leaves out who it is for, and the request.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Order").field("renewal", &self.renewal).field("spki", &self.spki).finish_non_exhaustive()
    }
}

impl Order {
    /// The subject as it has to stand in the certificate.
    ///
    /// # Errors
    ///
    /// [`NameError`] when the registry's names do not fit into one.
    pub fn subject_name(&self) -> Result<SubjectName, NameError> {
        SubjectName::new(&self.organization, self.subject.as_str())
    }

    /// What the certificate has to say, for [`IssuerCertificate::verify`].
    pub fn ordered<'a>(&'a self, subject: &'a SubjectName) -> Ordered<'a> {
        Ordered { subject, mail: self.mail.as_deref(), validity: self.validity, spki: self.spki }
    }
}

/// A CA elsewhere, with a ledger of its own: the port through which the registration authority asks it.
///
/// Every method may be called again with the same arguments, by several processes at once, and after a crash. Each answers
/// within some seconds, whatever the CA does: one that keeps silent is [`AuthorityError::Unavailable`]. What comes back is
/// not believed: the caller verifies it ([`IssuerCertificate::verify`]) before anything of it is stored.
///
/// What every implementation has to do is a suite of tests: [`authority_conformance!`](crate::authority_conformance).
#[async_trait]
pub trait Authority: Send + Sync {
    /// Issues the certificate of an order, DER. The same renewal with the same key gets the same bytes, whatever validity
    /// and address the second order says: the first one counted. `now` is the caller's instant, by which the CA may judge
    /// how old the order is.
    ///
    /// # Errors
    ///
    /// [`AuthorityError`]. A certificate that was revoked meanwhile is handed out to nobody:
    /// [`AuthorityError::Refused`].
    async fn issue(&self, order: &Order, now: UtcDateTime) -> Result<Vec<u8>, AuthorityError>;

    /// Revokes. Again is no error and changes nothing, whatever the reason and the instant are.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Refused`] when it never issued this serial number for this registration authority, else
    /// [`AuthorityError::Unavailable`].
    async fn revoke(&self, revocation: &Revocation, now: UtcDateTime) -> Result<(), AuthorityError>;

    /// What was revoked, by whomever, after a place in the CA's own sequence: one page, in order, with the place to ask
    /// after the next time. That is `after` itself when there is nothing newer, and a smaller one when the CA's ledger is
    /// an older copy of the one that was asked before. 0 is the beginning.
    ///
    /// # Errors
    ///
    /// [`AuthorityError::Unavailable`].
    async fn changes(&self, after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError>;
}

/// Why a CA elsewhere did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// It cannot be reached, does not answer in time, its key gives no signature, it does not let this registration
    /// authority in, or its answer makes no sense: whatever an operator or time can mend. The same question may be
    /// answered later, and may have been answered already.
    #[error("the CA does not answer: {detail}")]
    Unavailable {
        /// What is known of it, for the log; never a request, a key or an address.
        detail: String,
    },
    /// It answers, and does not issue for this order as the CA and this registration authority are configured, or its
    /// answer does not fit the order: an operator's matter. The same question may be answered later; other orders may be
    /// answered now.
    #[error("the CA does not issue for this order: {detail}")]
    Declined {
        /// The CA's sentence, for the log.
        detail: String,
    },
    /// The validity begins too long ago for the CA's rules, or leaves the CA's own: the order is too old. Nothing was issued
    /// for this renewal and key, which the CA has looked for first; another validity may be asked for.
    #[error("the order is too old for the CA")]
    Stale,
    /// The CA refuses for good, because of the key or the serial number asked for: the same question gets the same answer
    /// always. An order that is refused ends its renewal, and the holder starts another one with another key.
    #[error("the CA refuses: {code}")]
    Refused {
        /// The CA's stable code, such as `key_blocked`.
        code: String,
    },
}

impl AuthorityError {
    /// Whether the same question may be answered later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Declined { .. })
    }
}

/// How far the dealings with a CA elsewhere have come. 0 is the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// The place in [`Registry::changes`](crate::Registry::changes) up to which the CA has acknowledged every revocation.
    pub told: u64,
    /// The place in [`Authority::changes`] up to which every revocation stands in the registry.
    pub heard: u64,
}

/// One of the two places in [`Progress`], reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reached {
    /// [`Progress::told`].
    Told(u64),
    /// [`Progress::heard`].
    Heard(u64),
}

/// What the registry remembers of its dealings with a CA elsewhere: a port of the same storage. Orders come into it by
/// [`Commit`](crate::Commit), with the request, and leave it in the commit that stores the certificate.
#[async_trait]
pub trait Correspondence: Send + Sync {
    /// The order of a renewal, as long as no certificate of it is stored.
    async fn order(&self, renewal: &RenewalId) -> Result<Option<Order>, StorageError>;

    /// Orders of renewals that have ended without a certificate, oldest first, at most `limit`. The CA may have issued
    /// one all the same.
    async fn void(&self, limit: u32) -> Result<Vec<Order>, StorageError>;

    /// The instant of the oldest order that waits for its certificate, of an open renewal or of one that has ended; `None`
    /// when none waits.
    async fn waiting_since(&self) -> Result<Option<UtcDateTime>, StorageError>;

    /// Forgets the order of a renewal that has ended. The order of one that has not is kept.
    async fn forget(&self, renewal: &RenewalId) -> Result<(), StorageError>;

    /// How far it has come.
    async fn progress(&self) -> Result<Progress, StorageError>;

    /// Records how far it has come: one of the places, the other one stays.
    async fn reached(&self, place: Reached) -> Result<(), StorageError>;
}

/// Where certificates come from.
#[derive(Clone)]
pub enum Issuing {
    /// From a CA in this process. The registry is its ledger, so that a renewal costs two commits and not four.
    Here(LocalAuthority),
    /// From a CA elsewhere, with a ledger of its own.
    Elsewhere {
        /// The CA.
        authority: Arc<dyn Authority>,
        /// Its certificate, as configured here: what comes from the CA is verified with it.
        issuer: Arc<IssuerCertificate>,
        /// What the registry remembers of the dealings with it.
        correspondence: Arc<dyn Correspondence>,
    },
}

impl Issuing {
    /// The issuing CA's certificate.
    pub fn issuer(&self) -> &IssuerCertificate {
        match self {
            Self::Here(authority) => authority.issuer(),
            Self::Elsewhere { issuer, .. } => issuer,
        }
    }
}

impl From<LocalAuthority> for Issuing {
    fn from(authority: LocalAuthority) -> Self {
        Self::Here(authority)
    }
}

impl From<Arc<Ca>> for Issuing {
    /// A CA in this process whose key answers at once.
    fn from(ca: Arc<Ca>) -> Self {
        Self::Here(LocalAuthority::new(ca))
    }
}

impl fmt::Debug for Issuing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self {
            Self::Here(_) => "Here",
            Self::Elsewhere { .. } => "Elsewhere",
        };
        f.debug_struct(place).field("issuer", self.issuer()).finish_non_exhaustive()
    }
}
