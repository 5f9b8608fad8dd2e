//! An issuing CA as everybody may know it: its certificate and those above it, without the key.

use crate::ca::{Ca, LoadError};
use crate::der::{Reader, Writer, oid, tag};
use crate::issue::Certificate;
use crate::lint::{self, Issuer, LintFailure};
use crate::name::{self, SubjectName};
use crate::pem;
use crate::read::CaCertificate;
use crate::request::{Rejected, fingerprint};
use crate::signer::SignatureAlgorithm;
use crate::tbs::{Fields, Sealed};
use koshin_types::{Fingerprint, SerialNumber, Validity};
use std::fmt;
use time::UtcDateTime;

/// The certificate of an issuing CA, with those above it: enough to judge what that CA issues, wherever its key is.
#[derive(Clone)]
pub struct IssuerCertificate {
    certificate: Vec<u8>,
    chain: Vec<Vec<u8>>,
    issuer: Issuer,
    algorithm: SignatureAlgorithm,
    public_key: Vec<u8>,
    common_name: String,
    organization: Option<String>,
}

/// What was asked of a CA elsewhere: what its certificate has to say.
#[derive(Debug, Clone, Copy)]
pub struct Ordered<'a> {
    /// Organization, common name and serialNumber of the subject. What else stands there is the CA's profile's.
    pub subject: &'a SubjectName,
    /// The only rfc822Name that may stand there. The CA's profile may leave it out.
    pub mail: Option<&'a str>,
    /// The validity.
    pub validity: Validity,
    /// SHA-256 of the `SubjectPublicKeyInfo`.
    pub spki: Fingerprint,
}

impl IssuerCertificate {
    /// Octets of a serial number, at least: one that has 64 random bits is not shorter.
    ///
    /// ```
    /// assert_eq!(koshin_issuance::IssuerCertificate::SERIAL_OCTETS * 8, 64);
    /// ```
    pub const SERIAL_OCTETS: usize = 8;

    /// Reads the CA's certificate. `chain` holds those above it, the next one first, as for [`Ca::load`].
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the certificate is not that of a CA, its key is of no kind that CAs sign with here, or the chain
    /// is none.
    pub fn read(certificate_der: &[u8], chain: &[Vec<u8>]) -> Result<Self, LoadError> {
        const KINDS: [SignatureAlgorithm; 3] = [
            SignatureAlgorithm::EcdsaP256Sha256,
            SignatureAlgorithm::EcdsaP384Sha384,
            SignatureAlgorithm::RsaPkcs1Sha256,
        ];
        let own = CaCertificate::read(certificate_der).map_err(|source| LoadError::Certificate { above: 0, source })?;
        let mut kinds = KINDS.into_iter().filter_map(|kind| Some((kind, kind.public_key_in(own.spki)?.to_vec())));
        let (algorithm, public_key) = kinds.next().ok_or(LoadError::Algorithm)?;
        let mut child = own.clone();
        for (der, above) in chain.iter().zip(1..) {
            let parent = CaCertificate::read(der).map_err(|source| LoadError::Certificate { above, source })?;
            if !child.is_issued_by(&parent) {
                return Err(LoadError::Chain { above });
            }
            child = parent;
        }
        Ok(Self {
            certificate: certificate_der.to_vec(),
            chain: chain.to_vec(),
            issuer: Issuer::new(own.subject, &own.key_identifier, own.validity, algorithm),
            algorithm,
            public_key,
            common_name: own.common_name,
            organization: own.organization,
        })
    }

    /// Judges a certificate that comes from this CA, before anybody relies on it: the signature, the rules for the bytes
    /// that were signed, and that they say what was ordered and nothing else.
    ///
    /// # Errors
    ///
    /// [`VerifyError`]; the certificate is none that may be used.
    pub fn verify(&self, der: Vec<u8>, ordered: &Ordered<'_>) -> Result<Certificate, VerifyError> {
        let sealed = Sealed::read(&der).map_err(|_| VerifyError::Structure)?;
        if sealed.algorithm != self.issuer.algorithm
            || !self.algorithm.verifies(&self.public_key, sealed.signed, sealed.signature)
        {
            return Err(VerifyError::Signature);
        }
        let fields = lint::check(sealed.signed, &self.issuer)?;
        let other = |field| VerifyError::Differs { field };
        let serial = fields.serial_number().ok_or_else(|| other("serial number"))?;
        if serial.as_be_bytes().len() < Self::SERIAL_OCTETS {
            return Err(VerifyError::Serial { serial });
        }
        if fields.validity() != Some(ordered.validity) {
            return Err(other("validity"));
        }
        if fingerprint(fields.spki) != ordered.spki {
            return Err(other("public key"));
        }
        if !is_subject(&fields, ordered.subject) {
            return Err(other("subject"));
        }
        if mail(&fields).is_some_and(|mail| ordered.mail.map(str::as_bytes) != Some(mail)) {
            return Err(other("subjectAltName"));
        }
        Ok(Certificate {
            fingerprint: fingerprint(&der),
            serial,
            validity: ordered.validity,
            spki_fingerprint: ordered.spki,
            der,
        })
    }

    /// The CA's own certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificates above it, the next one first.
    pub fn chain_der(&self) -> &[Vec<u8>] {
        &self.chain
    }

    /// The last second at which the CA's certificate is valid; nothing it issues lasts longer.
    pub const fn not_after(&self) -> UtcDateTime {
        self.issuer.validity.not_after()
    }

    /// The validity of the CA's certificate.
    pub const fn validity(&self) -> Validity {
        self.issuer.validity
    }

    /// The organization in the CA's name, if there is one.
    pub fn issuer_organization(&self) -> Option<&str> {
        self.organization.as_deref()
    }

    /// The CA's common name, for people.
    pub fn issuer_name(&self) -> &str {
        &self.common_name
    }
}

impl From<&Ca> for IssuerCertificate {
    fn from(ca: &Ca) -> Self {
        Self {
            certificate: ca.certificate_der().to_vec(),
            chain: ca.chain_der().to_vec(),
            issuer: ca.issuer.clone(),
            algorithm: ca.signer.algorithm(),
            public_key: ca.public_key.clone(),
            common_name: ca.issuer_name().to_owned(),
            organization: ca.issuer_organization().map(str::to_owned),
        }
    }
}

impl fmt::Debug for IssuerCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerCertificate").field("issuer_name", &self.common_name).finish_non_exhaustive()
    }
}

impl Certificate {
    /// The DER `TBSCertificate`: the bytes that were signed.
    pub fn tbs(&self) -> &[u8] {
        Sealed::read(&self.der).map_or(&[], |sealed| sealed.signed)
    }
}

/// Whether a mail address can stand in a certificate as an rfc822Name (RFC 5280, 4.2.1.6). A mailbox may have another one.
///
/// ```
/// use koshin_issuance::is_rfc822_name;
/// assert!(is_rfc822_name("taro@example.jp"));
/// assert!(!is_rfc822_name("\"a..b\"@example.jp") && !is_rfc822_name("山田@例え.jp"));
/// ```
pub fn is_rfc822_name(address: &str) -> bool {
    name::check_mail(address).is_ok()
}

/// The DER of a request that passed the gate as DER or PEM, for a CA with a gate of its own.
///
/// # Errors
///
/// [`Rejected::PemBroken`] for a text that never passed it.
pub fn request_der(octets: &[u8]) -> Result<Vec<u8>, Rejected> {
    if let [tag::SEQUENCE, 0x80..=0xff, ..] = octets {
        return Ok(octets.to_vec());
    }
    pem::single_block(octets).map(|(_, der)| der).map_err(|_| Rejected::PemBroken)
}

/// Whether the subject, but for what the CA's profile adds, is this one. The lints have seen to order and kinds.
fn is_subject(fields: &Fields<'_>, subject: &SubjectName) -> bool {
    let expected = Writer::collect(|w| subject.write(w, None));
    let Ok(mut named) = Reader::in_sequence(&expected) else { return false };
    let mut given = fields.subject.reader();
    let is_named = |set: &[u8]| {
        let kind = Reader::new(set).expect(tag::SEQUENCE).and_then(|attribute| attribute.reader().expect(tag::OID));
        kind.is_ok_and(|kind| [oid::ORGANIZATION, oid::COMMON_NAME, oid::SERIAL_NUMBER].contains(&kind.content))
    };
    while !given.is_empty() {
        let Ok(set) = given.expect(tag::SET) else { return false };
        if is_named(set.content) && named.expect(tag::SET).ok().is_none_or(|wanted| wanted.whole != set.whole) {
            return false;
        }
    }
    named.is_empty()
}

/// The rfc822Name. The lints have seen to it that there is at most one name, and of this kind.
fn mail<'a>(fields: &Fields<'a>) -> Option<&'a [u8]> {
    let mut list = fields.tail.clone().any().ok()?.reader().expect(tag::SEQUENCE).ok()?.reader();
    while !list.is_empty() {
        let mut parts = list.expect(tag::SEQUENCE).ok()?.reader();
        if parts.expect(tag::OID).ok()?.content != oid::SUBJECT_ALT_NAME {
            continue;
        }
        parts.optional(tag::BOOLEAN).ok()?;
        let value = parts.expect(tag::OCTET_STRING).ok()?.content;
        return Some(Reader::in_sequence(value).ok()?.any().ok()?.content);
    }
    None
}

/// Why a certificate is not the one that was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// The bytes are no certificate.
    #[error("the bytes are no certificate")]
    Structure,
    /// The configured CA did not sign it.
    #[error("the signature does not verify with the CA's public key")]
    Signature,
    /// The signed bytes break a rule, or name another CA.
    #[error("the signed bytes break a rule")]
    Lint(#[from] LintFailure),
    /// The serial number is too short to have been drawn at random.
    #[error("the serial number {serial} has less than {} octets", IssuerCertificate::SERIAL_OCTETS)]
    Serial {
        /// The serial number.
        serial: SerialNumber,
    },
    /// It says something else than what was ordered.
    #[error("the {field} is not the one that was ordered")]
    Differs {
        /// The part.
        field: &'static str,
    },
}
