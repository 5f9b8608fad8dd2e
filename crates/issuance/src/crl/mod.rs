//! Full certificate revocation lists (RFC 5280, 5).

mod read;

pub use read::{CrlReadError, RevocationList};

use crate::ca::Ca;
use crate::der::{Writer, tag, write_time};
use crate::extension as ext;
use crate::signer::SignerError;
use crate::tbs::seal;
use koshin_types::{RevocationReason, Rfc3339, SerialNumber};
use std::collections::HashSet;
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

/// A signed CRL.
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
    /// Signs a full CRL of version 2 with authorityKeyIdentifier and cRLNumber, without issuingDistributionPoint.
    ///
    /// The entries keep their order. The list is empty, and then left out, when nothing is revoked.
    ///
    /// # Errors
    ///
    /// [`CrlError`] when dates or entries contradict each other or the key gives no valid signature.
    pub fn sign_crl(&self, edition: CrlEdition, entries: &[RevokedCertificate]) -> Result<Crl, CrlError> {
        check(edition, entries)?;
        let mut writer = Writer::with_capacity(512 + entries.len() * 56);
        writer.sequence(|w| {
            w.unsigned(&[1]);
            self.signer.algorithm().write_identifier(w);
            w.raw(&self.issuer.name);
            write_time(w, edition.this_update);
            write_time(w, edition.next_update);
            if !entries.is_empty() {
                w.sequence(|w| entries.iter().for_each(|entry| write_entry(w, entry)));
            }
            w.nest(tag::context_constructed(0), |w| {
                w.sequence(|w| {
                    ext::authority_key_identifier(w, &self.issuer.key_identifier);
                    ext::crl_number(w, edition.number);
                });
            });
        });
        let tbs = writer.finish();
        let signature = self.signer.sign(&tbs)?;
        if !self.signer.algorithm().verifies(&self.public_key, &tbs, &signature) {
            return Err(CrlError::Signature);
        }
        Ok(Crl { der: seal(&tbs, self.signer.algorithm(), &signature), edition })
    }
}

fn check(edition: CrlEdition, entries: &[RevokedCertificate]) -> Result<(), CrlError> {
    let CrlEdition { this_update, next_update, .. } = edition;
    if next_update.unix_timestamp() <= this_update.unix_timestamp() {
        return Err(CrlError::Dates { this_update, next_update });
    }
    let mut serials = HashSet::with_capacity(entries.len());
    for RevokedCertificate { serial, revoked_at, .. } in entries {
        if *revoked_at > this_update {
            return Err(CrlError::Future { serial: *serial, revoked_at: *revoked_at, this_update });
        }
        if !serials.insert(serial) {
            return Err(CrlError::Repeated { serial: *serial });
        }
    }
    Ok(())
}

fn write_entry(writer: &mut Writer, entry: &RevokedCertificate) {
    writer.sequence(|w| {
        w.serial(&entry.serial);
        write_time(w, entry.revoked_at);
        let reason = Some(entry.reason).filter(|reason| *reason != RevocationReason::Unspecified);
        if reason.is_some() || entry.invalidity_date.is_some() {
            w.sequence(|w| {
                if let Some(reason) = reason {
                    ext::crl_reason(w, reason.code());
                }
                if let Some(date) = entry.invalidity_date {
                    ext::invalidity_date(w, date);
                }
            });
        }
    });
}

/// Why no CRL came into being.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
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
    /// A serial number stands there twice.
    #[error("the certificate {serial} stands there twice")]
    Repeated {
        /// The serial number.
        serial: SerialNumber,
    },
    /// The key gave no signature.
    #[error("the CRL was not signed")]
    Signer(#[from] SignerError),
    /// The key gave a signature that the CA's public key does not verify.
    #[error("the signature does not verify with the CA's public key")]
    Signature,
}
