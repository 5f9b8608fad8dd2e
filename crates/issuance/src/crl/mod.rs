//! Full certificate revocation lists (RFC 5280, 5).

mod check;
mod read;
mod write;

pub use check::CheckedCrl;
pub use read::{CrlReadError, RevocationList};
pub use write::CrlWriter;

use crate::ca::Ca;
use crate::signer::SignerError;
use koshin_types::{RevocationReason, Rfc3339, SerialNumber};
use std::io::{self, Cursor};
use time::UtcDateTime;

/// An entry of a CRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RevokedCertificate {
    /// The serial number of the revoked certificate.
    pub serial: SerialNumber,
    /// When it was revoked. Once published, this never changes. Fractions of a second are dropped.
    pub revoked_at: UtcDateTime,
    /// Why. [`RevocationReason::Unspecified`] is expressed by leaving the extension out (RFC 5280, 5.3.1).
    pub reason: RevocationReason,
    /// Since when the key is known or suspected to be in other hands, if that was before (RFC 5280, 5.3.2). Fractions of a
    /// second are dropped.
    pub invalidity_date: Option<UtcDateTime>,
}

/// Number and dates of a CRL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CrlEdition {
    /// The cRLNumber. The caller sees to it that it grows from edition to edition.
    pub number: u64,
    /// When this edition is made. Fractions of a second are dropped.
    pub this_update: UtcDateTime,
    /// When the next one is there at the latest. Fractions of a second are dropped.
    pub next_update: UtcDateTime,
}

impl CrlEdition {
    /// This edition as it may follow an earlier one: its number is greater, its date is not before the earlier one's, and
    /// it lives for as long.
    ///
    /// ```
    /// use koshin_issuance::CrlEdition;
    /// use time::{Duration, UtcDateTime};
    ///
    /// let at = |hours| UtcDateTime::UNIX_EPOCH + Duration::hours(hours);
    /// let edition = |number, hours| CrlEdition { number, this_update: at(hours), next_update: at(hours + 168) };
    /// assert_eq!(edition(9, 12).following(None), edition(9, 12));
    /// assert_eq!(edition(9, 12).following(Some(edition(5, 0))), edition(9, 12));
    /// assert_eq!(edition(9, 12).following(Some(edition(9, 13))), edition(10, 13));
    /// ```
    #[must_use]
    pub fn following(self, earlier: Option<Self>) -> Self {
        let Some(earlier) = earlier else { return self };
        let life = self.next_update - self.this_update;
        let this_update = self.this_update.max(earlier.this_update);
        Self {
            number: self.number.max(earlier.number.saturating_add(1)),
            this_update,
            next_update: this_update.saturating_add(life),
        }
    }
}

/// A signed CRL in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    edition: CrlEdition,
}

impl Crl {
    /// The DER `CertificateList`.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The DER, by value.
    pub fn into_der(self) -> Vec<u8> {
        self.der
    }

    /// Number and dates.
    pub const fn edition(&self) -> CrlEdition {
        self.edition
    }
}

impl Ca {
    /// Makes a CRL in memory, as [`CrlWriter`] does in files.
    ///
    /// # Errors
    ///
    /// [`CrlError`].
    pub fn sign_crl(&self, edition: CrlEdition, entries: &[RevokedCertificate]) -> Result<Crl, CrlError> {
        let mut writer = CrlWriter::begin(edition, Cursor::new(Vec::new()))?;
        entries.iter().try_for_each(|entry| writer.push(entry))?;
        let mut der = Vec::new();
        writer.finish(self, &mut der)?;
        Ok(Crl { der, edition })
    }
}

/// Why no CRL came into being.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CrlError {
    /// The next update does not come after this one.
    #[error("nextUpdate {} is not after thisUpdate {}", Rfc3339(*next_update), Rfc3339(*this_update))]
    Dates {
        /// The edition's date.
        this_update: UtcDateTime,
        /// The next edition's date.
        next_update: UtcDateTime,
    },
    /// An entry is from the future.
    #[error("the certificate {serial} is revoked at {}, after thisUpdate {}", Rfc3339(*revoked_at), Rfc3339(*this_update))]
    Future {
        /// The entry's serial number.
        serial: SerialNumber,
        /// The entry's date.
        revoked_at: UtcDateTime,
        /// The edition's date.
        this_update: UtcDateTime,
    },
    /// The entries are not in the order of their serial numbers, or one comes twice.
    #[error("the certificate {serial} follows {before}; entries go up by serial number, each once")]
    Order {
        /// The serial number of the entry before.
        before: SerialNumber,
        /// The serial number that is not greater.
        serial: SerialNumber,
    },
    /// A file could not be written or read back.
    #[error("the CRL could not be written")]
    File(#[from] io::Error),
    /// The scratch storage gave other octets the second time.
    #[error("the entries changed between signing and writing")]
    Changed,
    /// The key gave no signature.
    #[error("the CRL was not signed")]
    Signer(#[from] SignerError),
    /// The key gave a signature that the CA's public key does not verify.
    #[error("the signature does not verify with the CA's public key")]
    Signature,
}
