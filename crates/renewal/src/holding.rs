//! Everything one subject holds, and what can be read off it.

use alloc::vec::Vec;

use koshin_expiry::{Decision, Policy, RenewalProgress, Standing};
use koshin_types::{CertificateStatus, Fingerprint, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{Basis, Effect, Fact, Key, Renewal, State};

/// One certificate of a subject, as far as its life is concerned: its bytes are somebody else's business.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeldCertificate {
    /// Its serial number.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// SHA-256 of the whole certificate.
    pub fingerprint: Fingerprint,
    /// Its key, with the claimed protection.
    pub key: Key,
    /// When it was issued.
    pub issued_at: UtcDateTime,
    /// What became of it.
    pub status: Status,
    /// How often the holder chose "renew later" on its notice.
    pub deferred: u32,
}

/// What became of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// Issued, not yet proven.
    Pending,
    /// The one its subject logs in with.
    Active {
        /// Since when.
        since: UtcDateTime,
    },
    /// Replaced.
    Superseded {
        /// When.
        at: UtcDateTime,
        /// By which certificate.
        by: SerialNumber,
    },
    /// Revoked, for ever.
    Revoked {
        /// When.
        at: UtcDateTime,
        /// Why.
        reason: RevocationReason,
    },
}

impl Status {
    /// The status without its data.
    pub const fn word(&self) -> CertificateStatus {
        match self {
            Self::Pending => CertificateStatus::Pending,
            Self::Active { .. } => CertificateStatus::Active,
            Self::Superseded { .. } => CertificateStatus::Superseded,
            Self::Revoked { .. } => CertificateStatus::Revoked,
        }
    }
}

/// A permission to enrol, given by an administrator or the operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grant {
    /// The first instant at which it is void.
    pub until: UtcDateTime,
}

/// Everything one subject holds. The empty holding is the one of a subject that has just been registered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Holding {
    /// Certificates in the order of issue. Rows are only added; their status changes.
    pub certificates: Vec<HeldCertificate>,
    /// The open renewal, or the last one that ended.
    pub renewal: Option<Renewal>,
    /// The permission to enrol that has not been used up.
    pub grant: Option<Grant>,
}

/// The answer to a command: the holding after it, what became true, what is owed.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Change {
    /// The holding after the command.
    pub next: Holding,
    /// What became true, in order. Empty for a repetition.
    pub facts: Vec<Fact>,
    /// What is owed once the facts are committed.
    pub effects: Vec<Effect>,
}

/// What a certificate presented in a TLS handshake may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Admission {
    /// Log in.
    Login,
    /// Nothing but be activated.
    ActivationOnly,
    /// Nothing: it is not yet valid.
    NotYetValid {
        /// From when it will be.
        not_before: UtcDateTime,
    },
    /// Nothing: it has ended.
    Expired {
        /// The first instant at which it was no longer valid.
        ends: UtcDateTime,
    },
    /// Nothing: a successor took its place.
    Superseded {
        /// When.
        at: UtcDateTime,
        /// The successor.
        by: SerialNumber,
    },
    /// Nothing, for ever.
    Revoked {
        /// When.
        at: UtcDateTime,
        /// Why.
        reason: RevocationReason,
    },
    /// It is none of this subject's certificates.
    Unknown,
}

/// How a subject stands at an instant.
#[derive(Debug, Clone)]
pub struct Outlook<'a> {
    /// The certificate that counts: the active one, else the last that is not pending.
    pub current: Option<&'a HeldCertificate>,
    /// The decision of the expiry policy about it.
    pub decision: Option<Decision>,
    /// Whether the subject may enrol now, by policy, by grant, or to go on with an enrolment.
    pub enrolment: bool,
}

impl Holding {
    /// The certificate that counts: the active one, else the last that is not pending.
    pub fn current(&self) -> Option<&HeldCertificate> {
        let active = |held: &&HeldCertificate| matches!(held.status, Status::Active { .. });
        let settled = |held: &&HeldCertificate| !matches!(held.status, Status::Pending);
        self.certificates.iter().rev().find(active).or_else(|| self.certificates.iter().rev().find(settled))
    }

    /// The certificate with this fingerprint.
    pub fn certificate(&self, fingerprint: &Fingerprint) -> Option<&HeldCertificate> {
        self.certificates.iter().find(|held| held.fingerprint == *fingerprint)
    }

    /// The renewal that has not ended.
    pub fn open_renewal(&self) -> Option<&Renewal> {
        self.renewal.as_ref().filter(|renewal| !renewal.state.is_end())
    }

    /// What a presented certificate may do now.
    pub fn admission(&self, fingerprint: &Fingerprint, now: UtcDateTime) -> Admission {
        let Some(held) = self.certificate(fingerprint) else { return Admission::Unknown };
        match held.status {
            Status::Revoked { at, reason } => Admission::Revoked { at, reason },
            Status::Superseded { at, by } => Admission::Superseded { at, by },
            _ if now < held.validity.not_before() => Admission::NotYetValid { not_before: held.validity.not_before() },
            _ if !held.validity.contains(now) => Admission::Expired { ends: held.validity.end() },
            Status::Pending => Admission::ActivationOnly,
            Status::Active { .. } => Admission::Login,
        }
    }

    /// How the subject stands at an instant.
    pub fn outlook(&self, policy: &Policy, now: UtcDateTime) -> Outlook<'_> {
        let current = self.current();
        let decision = current.map(|held| policy.decide(&self.standing(held, now), now));
        let continued = self.open_renewal().is_some_and(|open| matches!(open.basis, Basis::Enrolment { .. }));
        let by_policy = match &decision {
            Some(decision) => decision.enrolment,
            None => self.granted(now),
        };
        Outlook { current, decision, enrolment: by_policy || continued }
    }

    pub(crate) fn granted(&self, now: UtcDateTime) -> bool {
        self.grant.is_some_and(|grant| now < grant.until)
    }

    pub(crate) fn standing(&self, held: &HeldCertificate, now: UtcDateTime) -> Standing<'static> {
        let successor = match self.open_renewal().map(|open| &open.state) {
            Some(State::Started | State::Requested { .. } | State::Intended { .. }) => RenewalProgress::Started,
            Some(_) => RenewalProgress::Issued,
            None => RenewalProgress::None,
        };
        Standing {
            validity: held.validity,
            status: held.status.word(),
            successor,
            grant: self.granted(now),
            closed: &[],
        }
    }
}
