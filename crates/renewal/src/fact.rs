//! What became true, and what is owed because of it.

use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason, SerialNumber, Validity};
use time::UtcDateTime;

use crate::{Basis, Dialog, Why};

/// Something that became true for one subject. Facts are what the audit log records; folding them gives the holding
/// ([`Holding::apply`](crate::Holding::apply)), and only some sequences of them can have been recorded
/// ([`Holding::replay`](crate::Holding::replay)). When it became true stands beside it in the log.
///
/// With the feature `serde` a fact is an object with the key `fact`: identifiers, fingerprints and serial numbers are
/// written as they display, instants as whole milliseconds since 1970, a validity as the pair of its seconds.
///
/// ```
/// # #[cfg(feature = "serde")] {
/// use koshin_renewal::Fact;
/// use koshin_types::{SerialNumber, Validity};
/// use time::UtcDateTime;
///
/// let fact: Fact = serde_json::from_str(r#"{"fact": "permitted", "until": 1790000000001}"#)?;
/// let until = UtcDateTime::from_unix_timestamp_nanos(1_790_000_000_001_000_000)?;
/// assert_eq!(fact, Fact::Permitted { until });
/// let superseded = Fact::Superseded { serial: "01".parse()?, by: "02AF".parse()? };
/// let written = r#"{"fact":"superseded","serial":"01","by":"02AF"}"#;
/// assert_eq!(serde_json::to_string(&superseded)?, written);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(tag = "fact", rename_all = "snake_case")
)]
#[allow(clippy::exhaustive_enums, reason = "a new fact is a change every reader of the log has to look at")]
pub enum Fact {
    /// A renewal or an enrolment was started.
    RenewalStarted {
        /// The identifier drawn for it.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// What entitles the subject to it.
        basis: Basis,
        /// How many starts with a new key came before it; 0 for the first.
        again: u8,
        /// When the first of those was started.
        #[cfg_attr(feature = "serde", serde(with = "instant"))]
        chain_started_at: UtcDateTime,
    },
    /// A request for this key was accepted.
    Requested {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// SHA-256 of the key's `SubjectPublicKeyInfo`.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        spki: Fingerprint,
        /// The claimed protection of the private key.
        protection: ProtectionLevel,
    },
    /// Serial number and to-be-signed bytes were stored.
    Intended {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// The serial number that will be signed, and never another one.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
    },
    /// A certificate was issued; it is pending.
    Issued {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// The certificate's serial number.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
        /// SHA-256 of the certificate.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        fingerprint: Fingerprint,
        /// From when to when it is valid.
        #[cfg_attr(feature = "serde", serde(with = "period"))]
        validity: Validity,
    },
    /// The holder said "yes" to the second dialog.
    Delivered {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
    },
    /// The holder said "no" to a dialog.
    Declined {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// The dialog.
        dialog: Dialog,
    },
    /// A TLS handshake proved the certificate; it is the active one now.
    Activated {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// The certificate's serial number.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
    },
    /// A certificate was replaced by its activated successor.
    Superseded {
        /// The certificate that was replaced.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
        /// The certificate that was activated.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        by: SerialNumber,
    },
    /// A certificate was revoked.
    Revoked {
        /// The certificate's serial number.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
        /// Why.
        reason: RevocationReason,
    },
    /// A renewal ended without an activated certificate.
    Abandoned {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
        /// Why.
        why: Why,
    },
    /// The CA refused a renewal for good.
    RenewalRefused {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
    },
    /// The predecessor ended before anything was issued.
    RenewalExpired {
        /// The renewal.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        id: RenewalId,
    },
    /// The holder chose "renew later" on the notice.
    Deferred {
        /// The certificate whose notice it was.
        #[cfg_attr(feature = "serde", serde(with = "text"))]
        serial: SerialNumber,
    },
    /// Enrolment was permitted until an instant, by issue permission or reissue.
    Permitted {
        /// The first instant at which the permission is void.
        #[cfg_attr(feature = "serde", serde(with = "instant"))]
        until: UtcDateTime,
    },
    /// The permission was used up by an issue.
    PermissionUsed,
    /// The permission was taken back, by itself or with a revocation.
    PermissionWithdrawn,
}

impl Fact {
    /// The word that stands for this fact in the audit log.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::RenewalStarted { .. } => "renewal_started",
            Self::Requested { .. } => "requested",
            Self::Intended { .. } => "intended",
            Self::Issued { .. } => "issued",
            Self::Delivered { .. } => "delivered",
            Self::Declined { .. } => "declined",
            Self::Activated { .. } => "activated",
            Self::Superseded { .. } => "superseded",
            Self::Revoked { .. } => "revoked",
            Self::Abandoned { .. } => "abandoned",
            Self::RenewalRefused { .. } => "renewal_refused",
            Self::RenewalExpired { .. } => "renewal_expired",
            Self::Deferred { .. } => "deferred",
            Self::Permitted { .. } => "permitted",
            Self::PermissionUsed => "permission_used",
            Self::PermissionWithdrawn => "permission_withdrawn",
        }
    }
}

/// Something owed outside after a change was committed. Each is safe to repeat.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Effect {
    /// End every open connection and session of this certificate.
    CloseCertificate {
        /// SHA-256 of the certificate.
        fingerprint: Fingerprint,
    },
    /// Tell holder and administrator that a certificate was issued.
    TellIssued {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// Send the receipt of an activation.
    TellActivated {
        /// The serial number of the active certificate.
        serial: SerialNumber,
    },
    /// Tell the holder that a certificate was revoked.
    TellRevoked {
        /// Its serial number.
        serial: SerialNumber,
        /// Why.
        reason: RevocationReason,
    },
}

/// Anything that displays and parses, as a JSON string.
#[cfg(feature = "serde")]
pub(crate) mod text {
    use core::{fmt::Display, str::FromStr};

    use alloc::string::String;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

/// An instant as whole milliseconds since 1970.
#[cfg(feature = "serde")]
pub(crate) mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use time::UtcDateTime;

    pub(crate) fn serialize<S: Serializer>(at: &UtcDateTime, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i64(to_millis(*at))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UtcDateTime, D::Error> {
        from_millis(i64::deserialize(from)?).ok_or_else(|| D::Error::custom("an instant out of range"))
    }

    pub(crate) fn to_millis(at: UtcDateTime) -> i64 {
        at.unix_timestamp() * 1000 + i64::from(at.millisecond())
    }

    pub(crate) fn from_millis(millis: i64) -> Option<UtcDateTime> {
        UtcDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000).ok()
    }
}

/// An instant that may be missing.
#[cfg(feature = "serde")]
pub(crate) mod optional_instant {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use time::UtcDateTime;

    use super::instant::{from_millis, to_millis};

    #[allow(clippy::ref_option, reason = "serde's signature")]
    pub(crate) fn serialize<S: Serializer>(at: &Option<UtcDateTime>, serializer: S) -> Result<S::Ok, S::Error> {
        at.map(to_millis).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<UtcDateTime>, D::Error> {
        let out_of_range = || D::Error::custom("an instant out of range");
        Option::<i64>::deserialize(from)?.map(|millis| from_millis(millis).ok_or_else(out_of_range)).transpose()
    }
}

/// A validity as the pair of its seconds since 1970.
#[cfg(feature = "serde")]
pub(crate) mod period {
    use koshin_types::Validity;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};
    use time::UtcDateTime;

    pub(crate) fn serialize<S: Serializer>(validity: &Validity, serializer: S) -> Result<S::Ok, S::Error> {
        (validity.not_before().unix_timestamp(), validity.not_after().unix_timestamp()).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Validity, D::Error> {
        let (first, last) = <(i64, i64)>::deserialize(from)?;
        let at = |seconds| UtcDateTime::from_unix_timestamp(seconds).map_err(D::Error::custom);
        Validity::new(at(first)?, at(last)?).map_err(D::Error::custom)
    }
}
