//! Reading a CRL again: the last one that was published, after a restore, or another CA's.

use super::{CrlEdition, RevokedCertificate};
use crate::der::{DerFault, Element, Reader, oid, read_generalized_time, read_time, tag};
use crate::read::{CaCertificate, ReadError};
use crate::tbs::{Fields, Sealed};
use koshin_types::{RevocationReason, SerialNumber};
use x509_parser::prelude::{AlgorithmIdentifier, FromDer};

/// A verified full CRL (RFC 5280, 5), its entries sorted by serial number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationList {
    edition: CrlEdition,
    entries: Vec<RevokedCertificate>,
}

impl RevocationList {
    /// Reads a DER `CertificateList` of version 2 that this CA has signed. Deltas, CRLs of a part and indirect ones carry
    /// critical extensions and are refused.
    ///
    /// # Errors
    ///
    /// [`CrlReadError`].
    pub fn read(der: &[u8], ca_certificate_der: &[u8]) -> Result<Self, CrlReadError> {
        let sealed = Sealed::read(der)?;
        let mut parts = Reader::in_sequence(sealed.signed)?;
        let version = parts.expect(tag::INTEGER)?.content;
        let algorithm = parts.expect(tag::SEQUENCE)?.whole;
        if version != [1] || algorithm != sealed.algorithm {
            return Err(CrlReadError::Structure);
        }
        let issuer = parts.expect(tag::SEQUENCE)?.whole;
        if Sealed::read(ca_certificate_der)
            .and_then(|ca| Fields::read(ca.signed))
            .is_ok_and(|ca| ca.subject.whole != issuer)
        {
            return Err(CrlReadError::Issuer);
        }
        let ca = CaCertificate::read(ca_certificate_der)?;
        let (_, algorithm) = AlgorithmIdentifier::from_der(algorithm).map_err(|_| CrlReadError::Structure)?;
        if !ca.verifies(&algorithm, sealed.signature, sealed.signed) {
            return Err(CrlReadError::Signature);
        }
        let (this_update, next_update) = (read_time(&parts.any()?)?, read_time(&parts.any()?)?);
        let mut entries = match parts.optional(tag::SEQUENCE)? {
            Some(list) => read_entries(list.reader())?,
            None => Vec::new(),
        };
        let explicit = parts.expect(tag::context_constructed(0))?;
        parts.finish()?;
        let number = read_number(&explicit)?;
        entries.sort_unstable_by_key(|entry| entry.serial);
        if entries.windows(2).any(|pair| matches!(pair, [one, next] if one.serial == next.serial)) {
            return Err(CrlReadError::Structure);
        }
        Ok(Self { edition: CrlEdition { number, this_update, next_update }, entries })
    }

    /// Number and dates.
    pub const fn edition(&self) -> CrlEdition {
        self.edition
    }

    /// All entries, by serial number.
    pub fn entries(&self) -> &[RevokedCertificate] {
        &self.entries
    }

    /// The entry of a certificate, if it stands on the list.
    pub fn find(&self, serial: &SerialNumber) -> Option<&RevokedCertificate> {
        let place = self.entries.binary_search_by_key(serial, |entry| entry.serial).ok()?;
        self.entries.get(place)
    }
}

fn read_entries(mut list: Reader<'_>) -> Result<Vec<RevokedCertificate>, CrlReadError> {
    let mut entries = Vec::new();
    while !list.is_empty() {
        entries.push(read_entry(&list.expect(tag::SEQUENCE)?)?);
    }
    Ok(entries)
}

/// One entry of `revokedCertificates`.
pub(super) fn read_entry(entry: &Element<'_>) -> Result<RevokedCertificate, CrlReadError> {
    let mut parts = entry.reader();
    let digits = parts.expect(tag::INTEGER)?.positive_integer()?;
    let serial = SerialNumber::from_be_bytes(digits).map_err(|_| CrlReadError::Structure)?;
    let revoked_at = read_time(&parts.any()?)?;
    let (mut reason, mut invalidity_date) = (RevocationReason::Unspecified, None);
    if let Some(extensions) = parts.optional(tag::SEQUENCE)? {
        each_extension(extensions.reader(), |kind, value| {
            if kind == oid::CRL_REASON {
                let code = value.expect(tag::ENUMERATED)?.content;
                let known = RevocationReason::ALL.into_iter().find(|reason| [reason.code()] == code);
                reason = known.ok_or(CrlReadError::Structure)?;
            } else if kind == oid::INVALIDITY_DATE {
                invalidity_date = Some(read_generalized_time(&value.any()?)?);
            }
            Ok(kind == oid::CRL_REASON || kind == oid::INVALIDITY_DATE)
        })?;
    }
    parts.finish()?;
    Ok(RevokedCertificate { serial, revoked_at, reason, invalidity_date })
}

/// The cRLNumber, which a CA has to write and must not mark critical (RFC 5280, 5.2.3).
pub(super) fn read_number(explicit: &Element<'_>) -> Result<u64, CrlReadError> {
    let mut inside = explicit.reader();
    let list = inside.expect(tag::SEQUENCE)?.reader();
    inside.finish()?;
    let mut number = None;
    each_extension(list, |kind, value| {
        if kind == oid::CRL_NUMBER {
            let digits = value.expect(tag::INTEGER)?.content;
            let digits = digits.strip_prefix(&[0]).unwrap_or(digits);
            if digits.len() > 8 {
                return Err(CrlReadError::Number);
            }
            number = Some(digits.iter().fold(0, |sum: u64, digit| sum << 8 | u64::from(*digit)));
        }
        // None of those that may be critical is understood here.
        Ok(false)
    })?;
    number.ok_or(CrlReadError::Number)
}

/// Runs over extensions. A critical one that `known` does not take is refused.
fn each_extension(
    mut list: Reader<'_>,
    mut known: impl FnMut(&[u8], &mut Reader<'_>) -> Result<bool, CrlReadError>,
) -> Result<(), CrlReadError> {
    while !list.is_empty() {
        let mut parts = list.expect(tag::SEQUENCE)?.reader();
        let kind = parts.expect(tag::OID)?.content;
        let critical = parts.optional(tag::BOOLEAN)?.is_some_and(|critical| critical.content == [0xff]);
        let value = parts.expect(tag::OCTET_STRING)?;
        parts.finish()?;
        if !known(kind, &mut value.reader())? && critical {
            return Err(CrlReadError::CriticalExtension);
        }
    }
    Ok(())
}

/// Why some octets are no CRL of this CA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CrlReadError {
    /// The CA's certificate cannot be used, or is not for signing CRLs.
    #[error("the CA's certificate cannot be used")]
    Ca(#[from] ReadError),
    /// The file cannot be read.
    #[error("the CRL cannot be read: {0}")]
    File(std::io::ErrorKind),
    /// Not DER.
    #[error("the CRL is not proper DER: {0}")]
    Der(#[from] DerFault),
    /// Not the structure of RFC 5280, 5.1.
    #[error("the CRL does not have the structure of RFC 5280, 5.1")]
    Structure,
    /// Another CA's.
    #[error("the CRL was issued by another CA")]
    Issuer,
    /// The signature does not verify with the CA's key.
    #[error("the CRL's signature does not verify with the CA's public key")]
    Signature,
    /// The cRLNumber is missing or longer than 64 bits.
    #[error("the CRL has no cRLNumber of at most 64 bits")]
    Number,
    /// An extension that must be understood and is not.
    #[error("the CRL has a critical extension that is not known")]
    CriticalExtension,
}
