//! What a relying party asks (RFC 6960, 4.1).

use super::IdHash;
use crate::der::{DerFault, Element, Reader, check_strict, oid, tag};
use koshin_types::SerialNumber;
use std::fmt;

/// A question about the status of one or more certificates. Its optional signature is not looked at: anybody may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OcspRequest {
    certificates: Vec<CertificateId>,
    nonce: Option<Vec<u8>>,
}

impl OcspRequest {
    /// Most octets of a request: 4 KiB. Compared before anything is read.
    ///
    /// ```
    /// assert_eq!(koshin_issuance::OcspRequest::MAX_OCTETS, 4096);
    /// ```
    pub const MAX_OCTETS: usize = 4096;

    /// Most certificates in one request: 16.
    ///
    /// ```
    /// assert_eq!(koshin_issuance::OcspRequest::MAX_CERTIFICATES, 16);
    /// ```
    pub const MAX_CERTIFICATES: usize = 16;

    /// The longest nonce: 128 octets (RFC 9654, 2.1).
    ///
    /// ```
    /// assert_eq!(koshin_issuance::OcspRequest::MAX_NONCE, 128);
    /// ```
    pub const MAX_NONCE: usize = 128;

    /// Reads a DER `OCSPRequest`.
    ///
    /// # Errors
    ///
    /// [`OcspFault`]; the answer to all of them is `malformedRequest` (RFC 6960, 2.3).
    pub fn from_der(der: &[u8]) -> Result<Self, OcspFault> {
        if der.len() > Self::MAX_OCTETS {
            return Err(OcspFault::TooLarge { octets: der.len() });
        }
        let request = check_strict(der)?;
        let mut outer = expect(&request, tag::SEQUENCE)?;
        let tbs = outer.expect(tag::SEQUENCE)?;
        outer.optional(tag::context_constructed(0))?;
        outer.finish()?;

        let mut parts = tbs.reader();
        if let Some(version) = parts.optional(tag::context_constructed(0))? {
            // Version 1 is the default, which DER leaves out; OpenSSL's older releases wrote it all the same.
            let mut version = version.reader();
            if version.expect(tag::INTEGER)?.content != [0] || version.finish().is_err() {
                return Err(OcspFault::Version);
            }
        }
        parts.optional(tag::context_constructed(1))?;
        let list = parts.expect(tag::SEQUENCE)?;
        let extensions = parts.optional(tag::context_constructed(2))?;
        parts.finish()?;
        let nonce = extensions.map(|explicit| read_nonce(&explicit)).transpose()?.flatten();
        Ok(Self { certificates: read_list(list.reader())?, nonce })
    }

    /// The certificates asked about: at least one, in the order of the request.
    pub fn certificates(&self) -> &[CertificateId] {
        &self.certificates
    }

    /// The nonce, which the answer has to repeat.
    pub fn nonce(&self) -> Option<&[u8]> {
        self.nonce.as_deref()
    }
}

/// Which certificate is meant: hashes of its issuer's name and key, and its serial number (RFC 6960, 4.1.1).
#[derive(Clone, PartialEq, Eq)]
pub struct CertificateId {
    pub(super) der: Vec<u8>,
    pub(super) hash: Option<IdHash>,
    pub(super) issuer_name_hash: Vec<u8>,
    pub(super) issuer_key_hash: Vec<u8>,
    serial: Option<SerialNumber>,
}

impl CertificateId {
    fn read(element: &Element<'_>) -> Result<Self, OcspFault> {
        let mut parts = element.reader();
        let mut algorithm = parts.expect(tag::SEQUENCE)?.reader();
        let hash = IdHash::from_oid(algorithm.expect(tag::OID)?.content);
        let issuer_name_hash = parts.expect(tag::OCTET_STRING)?.content.to_vec();
        let issuer_key_hash = parts.expect(tag::OCTET_STRING)?.content.to_vec();
        let number = parts.expect(tag::INTEGER)?;
        parts.finish()?;
        let serial = number.positive_integer().ok().and_then(|digits| SerialNumber::from_be_bytes(digits).ok());
        Ok(Self { der: element.whole.to_vec(), hash, issuer_name_hash, issuer_key_hash, serial })
    }

    /// The DER `CertID`, as it stood in the request.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The serial number; `None` for one that no CA may use, zero or longer than 20 octets for example.
    pub const fn serial(&self) -> Option<SerialNumber> {
        self.serial
    }
}

impl fmt::Debug for CertificateId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CertificateId").field("hash", &self.hash).field("serial", &self.serial).finish_non_exhaustive()
    }
}

fn expect<'a>(element: &Element<'a>, wanted: u8) -> Result<Reader<'a>, DerFault> {
    if element.tag == wanted { Ok(element.reader()) } else { Err(DerFault::Expected { expected: wanted }) }
}

fn read_list(mut list: Reader<'_>) -> Result<Vec<CertificateId>, OcspFault> {
    let mut certificates = Vec::with_capacity(1);
    while !list.is_empty() {
        if certificates.len() == OcspRequest::MAX_CERTIFICATES {
            return Err(OcspFault::TooMany);
        }
        let mut request = list.expect(tag::SEQUENCE)?.reader();
        certificates.push(CertificateId::read(&request.expect(tag::SEQUENCE)?)?);
        if let Some(extensions) = request.optional(tag::context_constructed(0))? {
            refuse_critical(&extensions)?;
        }
        request.finish()?;
    }
    if certificates.is_empty() { Err(OcspFault::Empty) } else { Ok(certificates) }
}

/// Runs over the extensions inside an explicit tag. One that is critical and unknown stops the reading.
fn each_extension<'a>(
    explicit: &Element<'a>,
    mut known: impl FnMut(&'a [u8], &'a [u8]) -> Result<bool, OcspFault>,
) -> Result<(), OcspFault> {
    let mut inside = explicit.reader();
    let mut list = inside.expect(tag::SEQUENCE)?.reader();
    inside.finish()?;
    while !list.is_empty() {
        let mut parts = list.expect(tag::SEQUENCE)?.reader();
        let kind = parts.expect(tag::OID)?.content;
        let critical = parts.optional(tag::BOOLEAN)?.is_some_and(|critical| critical.content == [0xff]);
        let value = parts.expect(tag::OCTET_STRING)?.content;
        parts.finish()?;
        if !known(kind, value)? && critical {
            return Err(OcspFault::CriticalExtension);
        }
    }
    Ok(())
}

fn refuse_critical(explicit: &Element<'_>) -> Result<(), OcspFault> {
    each_extension(explicit, |_, _| Ok(false))
}

fn read_nonce(explicit: &Element<'_>) -> Result<Option<Vec<u8>>, OcspFault> {
    let mut nonce = None;
    each_extension(explicit, |kind, value| {
        if kind != oid::OCSP_NONCE {
            return Ok(false);
        }
        let inside = check_strict(value).map_err(|_| OcspFault::Nonce)?;
        let good = inside.tag == tag::OCTET_STRING && (1..=OcspRequest::MAX_NONCE).contains(&inside.content.len());
        if !good || nonce.replace(inside.content.to_vec()).is_some() {
            return Err(OcspFault::Nonce);
        }
        Ok(true)
    })?;
    Ok(nonce)
}

/// Why some octets are no OCSP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OcspFault {
    /// Longer than [`OcspRequest::MAX_OCTETS`].
    #[error("the OCSP request has {octets} octets and at most 4096 are read")]
    TooLarge {
        /// How many there are.
        octets: usize,
    },
    /// Not DER, or not the structure of RFC 6960, 4.1.1.
    #[error("the OCSP request is malformed: {0}")]
    Der(#[from] DerFault),
    /// Not version 1, the only one there is.
    #[error("the OCSP request is not of version 1")]
    Version,
    /// It asks about nothing.
    #[error("the OCSP request asks about no certificate")]
    Empty,
    /// It asks about more than [`OcspRequest::MAX_CERTIFICATES`].
    #[error("the OCSP request asks about more than 16 certificates")]
    TooMany,
    /// An extension that must be understood and is not.
    #[error("the OCSP request has a critical extension that is not known")]
    CriticalExtension,
    /// A nonce that is not one OCTET STRING of 1 to 128 octets (RFC 9654, 2.1).
    #[error("the OCSP request's nonce is not one OCTET STRING of 1 to 128 octets")]
    Nonce,
}
