//! Reading the certificates of CAs.

use crate::der::check_strict;
use crate::tbs::{Fields, Sealed};
use koshin_types::{Validity, ValidityError};
use time::UtcDateTime;
use x509_parser::der_parser::asn1_rs::BitString;
use x509_parser::prelude::{AlgorithmIdentifier, FromDer, X509Certificate};
use x509_parser::time::ASN1Time;
use x509_parser::verify::verify_signature;

/// What issuing needs to know of a CA's certificate.
#[derive(Debug, Clone)]
pub(crate) struct CaCertificate<'a> {
    parsed: X509Certificate<'a>,
    /// DER, byte for byte: nothing is decoded and encoded again.
    pub(crate) subject: &'a [u8],
    pub(crate) spki: &'a [u8],
    pub(crate) key_identifier: Vec<u8>,
    pub(crate) validity: Validity,
    pub(crate) common_name: String,
    pub(crate) organization: Option<String>,
}

impl<'a> CaCertificate<'a> {
    pub(crate) fn read(der: &'a [u8]) -> Result<Self, ReadError> {
        check_strict(der).map_err(|_| ReadError::Der)?;
        let (_, parsed) = X509Certificate::from_der(der).map_err(|_| ReadError::Certificate)?;
        let constraints = parsed.basic_constraints().map_err(|_| ReadError::Certificate)?;
        if !constraints.is_some_and(|extension| extension.critical && extension.value.ca) {
            return Err(ReadError::NotACa);
        }
        let usage = parsed.key_usage().map_err(|_| ReadError::Certificate)?;
        if !usage.is_some_and(|extension| extension.value.key_cert_sign() && extension.value.crl_sign()) {
            return Err(ReadError::KeyUsage);
        }
        let key_identifier = parsed.iter_extensions().find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
            _ => None,
        });
        let fields =
            Sealed::read(der).and_then(|sealed| Fields::read(sealed.signed)).map_err(|_| ReadError::Certificate)?;
        let common_name = parsed.subject().iter_common_name().last().and_then(|name| name.as_str().ok());
        let organization = parsed.subject().iter_organization().last().and_then(|name| name.as_str().ok());
        Ok(Self {
            subject: fields.subject.whole,
            spki: fields.spki,
            key_identifier: key_identifier.ok_or(ReadError::KeyIdentifier)?,
            validity: Validity::new(instant(parsed.validity().not_before)?, instant(parsed.validity().not_after)?)?,
            common_name: common_name.ok_or(ReadError::CommonName)?.to_owned(),
            organization: organization.map(str::to_owned),
            parsed,
        })
    }

    /// The octets of the public key: the content of the SPKI's BIT STRING.
    pub(crate) fn public_key(&self) -> &[u8] {
        &self.parsed.public_key().subject_public_key.data
    }

    /// Whether a signature over some octets was made with this CA's key.
    pub(crate) fn verifies(&self, algorithm: &AlgorithmIdentifier<'_>, signature: &[u8], signed: &[u8]) -> bool {
        let signature = BitString::new(0, signature);
        verify_signature(self.parsed.public_key(), algorithm, &signature, signed).is_ok()
    }

    /// Whether `parent` has the issuer's name and made the signature.
    pub(crate) fn is_issued_by(&self, parent: &Self) -> bool {
        parent.has_issued(&self.parsed)
    }

    /// Whether this CA is named as the issuer of a certificate and made its signature.
    pub(crate) fn has_issued(&self, child: &X509Certificate<'_>) -> bool {
        child.issuer().as_raw() == self.subject && child.verify_signature(Some(self.parsed.public_key())).is_ok()
    }
}

fn instant(time: ASN1Time) -> Result<UtcDateTime, ReadError> {
    UtcDateTime::from_unix_timestamp(time.timestamp()).map_err(|_| ReadError::Certificate)
}

/// Why a certificate is not that of a CA that can issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Not exactly one DER element.
    #[error("the file is not exactly one DER element")]
    Der,
    /// No X.509 certificate.
    #[error("the file is no X.509 certificate")]
    Certificate,
    /// basicConstraints does not say CA, or is not critical (RFC 5280, 4.2.1.9).
    #[error("basicConstraints does not make the certificate that of a CA")]
    NotACa,
    /// keyUsage lacks keyCertSign or cRLSign (RFC 5280, 4.2.1.3).
    #[error("keyUsage lacks keyCertSign or cRLSign")]
    KeyUsage,
    /// subjectKeyIdentifier is missing (RFC 5280, 4.2.1.2).
    #[error("subjectKeyIdentifier is missing")]
    KeyIdentifier,
    /// The subject has no common name that could be shown.
    #[error("the subject has no readable common name")]
    CommonName,
    /// The validity is none.
    #[error("the validity cannot be used")]
    Validity(#[from] ValidityError),
}
