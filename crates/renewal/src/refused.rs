//! Why a command or an event changes nothing.

use koshin_types::{CertificateStatus, Fingerprint, RenewalId, Rfc3339, SerialNumber};
use time::UtcDateTime;

/// Why something was refused. Nothing has changed; the variants carry what was compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// The renewal window has not opened yet.
    #[error("renewal opens at {}; it is {}", Rfc3339(*opens), Rfc3339(*now))]
    TooEarly {
        /// When it opens.
        opens: UtcDateTime,
        /// The instant of the attempt.
        now: UtcDateTime,
    },
    /// The certificate has ended; only enrolment helps.
    #[error("the certificate ended at {}; it is {}", Rfc3339(*ends), Rfc3339(*now))]
    Ended {
        /// The first instant at which it was no longer valid.
        ends: UtcDateTime,
        /// The instant of the attempt.
        now: UtcDateTime,
    },
    /// The certificate is not the one in use.
    #[error("the certificate is {status}, not active")]
    NotInUse {
        /// Its status.
        status: CertificateStatus,
    },
    /// The subject holds no certificate for which this could be done.
    #[error("the subject holds no such certificate")]
    NoCertificate,
    /// Enrolment is open neither by a grant nor by an expired certificate.
    #[error("enrolment is not open for this subject")]
    EnrolmentClosed,
    /// The deadline of this step has passed.
    #[error("the deadline was {}; it is {}", Rfc3339(*deadline), Rfc3339(*now))]
    Lapsed {
        /// The first instant at which it was too late.
        deadline: UtcDateTime,
        /// The instant of the attempt.
        now: UtcDateTime,
    },
    /// This renewal already has another key.
    #[error("the renewal is bound to the key {bound}, not to {given}")]
    OtherKey {
        /// SHA-256 of the bound `SubjectPublicKeyInfo`.
        bound: Fingerprint,
        /// SHA-256 of the one given.
        given: Fingerprint,
    },
    /// This renewal already has another serial number.
    #[error("the renewal is bound to the serial number {bound}, not to {given}")]
    OtherSerial {
        /// The bound serial number.
        bound: SerialNumber,
        /// The one given.
        given: SerialNumber,
    },
    /// The renewal is about another certificate.
    #[error("the renewal is about the certificate {bound}, not about {given}")]
    OtherCertificate {
        /// SHA-256 of the bound certificate.
        bound: Fingerprint,
        /// SHA-256 of the one given.
        given: Fingerprint,
    },
    /// The event has no place in this state.
    #[error("{event} has no place in the state {state}")]
    OutOfPlace {
        /// The word of the state.
        state: &'static str,
        /// The word of the event.
        event: &'static str,
    },
    /// No renewal with this identifier is the subject's current one.
    #[error("the subject has no renewal {id}")]
    NoRenewal {
        /// The identifier given.
        id: RenewalId,
    },
    /// "Start again with a new key" was used too often.
    #[error("started again too often; possible again at {}, it is {}", Rfc3339(*retry_at), Rfc3339(*now))]
    TooOften {
        /// When it is possible again.
        retry_at: UtcDateTime,
        /// The instant of the attempt.
        now: UtcDateTime,
    },
}
