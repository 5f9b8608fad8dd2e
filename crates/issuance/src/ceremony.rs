//! Making CAs: a root, an issuing CA below it, and the small server CA a demonstration needs.
//!
//! Private keys come out as PKCS#8 DER in memory that is wiped when dropped. Writing them to files with the right mode is
//! the caller's.

use crate::der::{Writer, oid, tag};
use crate::extension as ext;
use crate::name::{AuthorityName, NameError, SubjectName, is_host_name};
use crate::pem::pem;
use crate::profile::{ProfileError, check_urls, parse_policies};
use crate::read::{CaCertificate, ReadError};
use crate::request::fingerprint;
use crate::signer::{Curve, FileSigner, NoRandomness, Random, Signer, SignerError};
use crate::tbs::{Tbs, seal};
use koshin_types::{SerialNumber, Validity};
use ring::rand::SecureRandom;
use std::fmt;
use time::UtcDateTime;
use x509_parser::prelude::{FromDer, SubjectPublicKeyInfo, X509Certificate};
use zeroize::Zeroizing;

/// A new serial number: 48 bits of the time in milliseconds, then 104 random bits.
///
/// # Errors
///
/// [`NoRandomness`] when `random` fails.
///
/// ```
/// use ring::rand::SystemRandom;
/// use time::{Duration, UtcDateTime};
///
/// let now = UtcDateTime::UNIX_EPOCH + Duration::milliseconds(0x1234_5678_9abc);
/// let serial = koshin_issuance::new_serial(now, &SystemRandom::new())?;
/// let (time, random) = serial.as_be_bytes().split_at(48 / 8);
/// assert_eq!(time, [0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc]);
/// assert_eq!(random.len() * 8, 104);
/// # Ok::<(), koshin_issuance::NoRandomness>(())
/// ```
pub fn new_serial(now: UtcDateTime, random: &dyn SecureRandom) -> Result<SerialNumber, NoRandomness> {
    let mut bits = [0; 13];
    random.fill(&mut bits).map_err(|_| NoRandomness)?;
    let milliseconds = i64::try_from(now.unix_timestamp_nanos() / 1_000_000).unwrap_or_default();
    Ok(SerialNumber::from_time_and_random(milliseconds, bits))
}

/// What a new CA is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityPlan {
    /// Its subject name.
    pub name: AuthorityName,
    /// The curve of the key that is made for it. One that lives elsewhere is what it is.
    pub curve: Curve,
    /// Where the CRL of the CA above it is published. Not for a root.
    pub crl_urls: Vec<String>,
    /// Where the certificate of the CA above it is published. Not for a root.
    pub ca_issuers_url: Option<String>,
    /// Policies under which it issues, in the dotted form. Not for a root.
    pub policy_oids: Vec<String>,
}

impl AuthorityPlan {
    /// A root with a P-384 key.
    pub const fn root(name: AuthorityName) -> Self {
        Self::with_curve(name, Curve::P384)
    }

    /// An issuing CA with a P-256 key.
    pub const fn issuing(name: AuthorityName) -> Self {
        Self::with_curve(name, Curve::P256)
    }

    const fn with_curve(name: AuthorityName, curve: Curve) -> Self {
        Self { name, curve, crl_urls: Vec::new(), ca_issuers_url: None, policy_oids: Vec::new() }
    }
}

/// A certificate together with its private key.
pub struct KeyedCertificate {
    certificate: Vec<u8>,
    pkcs8: Zeroizing<Vec<u8>>,
    signer: FileSigner,
}

impl KeyedCertificate {
    /// The DER `Certificate`.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem("CERTIFICATE", &self.certificate)
    }

    /// The private key as DER `PrivateKeyInfo`.
    pub fn pkcs8_der(&self) -> &[u8] {
        &self.pkcs8
    }

    /// The private key as PEM.
    pub fn pkcs8_pem(&self) -> Zeroizing<String> {
        Zeroizing::new(pem("PRIVATE KEY", &self.pkcs8))
    }

    /// The private key, ready to sign.
    pub const fn signer(&self) -> &FileSigner {
        &self.signer
    }

    /// The private key, ready to sign, by value.
    pub fn into_signer(self) -> FileSigner {
        self.signer
    }
}

impl fmt::Debug for KeyedCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyedCertificate").field("fingerprint", &fingerprint(&self.certificate)).finish_non_exhaustive()
    }
}

/// Who signs: a CA's certificate and its key.
#[derive(Clone, Copy)]
pub struct Parent<'a> {
    certificate_der: &'a [u8],
    signer: &'a dyn Signer,
}

impl<'a> Parent<'a> {
    /// Names a CA by its certificate and key.
    pub const fn new(certificate_der: &'a [u8], signer: &'a dyn Signer) -> Self {
        Self { certificate_der, signer }
    }
}

impl<'a> From<&'a KeyedCertificate> for Parent<'a> {
    fn from(made: &'a KeyedCertificate) -> Self {
        Self::new(made.certificate_der(), made.signer())
    }
}

/// Makes a self-signed root: keyCertSign and cRLSign, no path length.
///
/// # Errors
///
/// [`CeremonyError`] when the plan cannot be used or a step fails.
pub fn create_root(
    plan: &AuthorityPlan,
    serial: SerialNumber,
    validity: Validity,
    random: &Random,
) -> Result<KeyedCertificate, CeremonyError> {
    let key = NewKey::generate(plan.curve, random)?;
    let certificate = certify_root(plan, &key.signer, serial, validity)?;
    Ok(key.with(certificate))
}

/// Makes an issuing CA: keyCertSign and cRLSign, path length 0.
///
/// # Errors
///
/// [`CeremonyError`] when plan or parent cannot be used, the validity leaves the parent's, or a step fails.
pub fn create_issuing<'a>(
    plan: &AuthorityPlan,
    parent: impl Into<Parent<'a>>,
    serial: SerialNumber,
    validity: Validity,
    random: &Random,
) -> Result<KeyedCertificate, CeremonyError> {
    let key = NewKey::generate(plan.curve, random)?;
    let certificate = certify_issuing(plan, key.spki(), parent, serial, validity)?;
    Ok(key.with(certificate))
}

/// Makes a self-signed CA for the TLS servers of a demonstration.
///
/// Its critical nameConstraints permit these DNS names with what lies below them and exclude every IP address; it issues
/// for serverAuth only, path length 0. It is meant to live for days and to lose its key once the servers have theirs.
///
/// # Errors
///
/// [`CeremonyError`] when a name is no DNS name or a step fails.
pub fn create_server_ca(
    name: &AuthorityName,
    dns_names: &[&str],
    serial: SerialNumber,
    validity: Validity,
    random: &Random,
) -> Result<KeyedCertificate, CeremonyError> {
    check_dns_names(dns_names)?;
    let subject = Writer::collect(|w| name.write(w));
    let key = NewKey::generate(Curve::P256, random)?;
    let draft = Draft { serial, validity, spki: key.spki() };
    let certificate = draft.self_sign(&key.signer, &subject, |w, identifier| {
        ext::key_usage(w, ext::CERT_AND_CRL_SIGN);
        ext::extended_key_usage(w, [oid::SERVER_AUTH]);
        ext::only_dns_names(w, dns_names);
        ext::subject_key_identifier(w, identifier);
        ext::basic_constraints_ca(w, Some(0));
    })?;
    Ok(key.with(certificate))
}

/// Makes a TLS server's certificate and P-256 key for these DNS names, the first of which is also the common name.
///
/// # Errors
///
/// [`CeremonyError`] when a name is no DNS name, the validity leaves the parent's, or a step fails.
pub fn create_server_certificate<'a>(
    organization: &str,
    dns_names: &[&str],
    parent: impl Into<Parent<'a>>,
    serial: SerialNumber,
    validity: Validity,
    random: &Random,
) -> Result<KeyedCertificate, CeremonyError> {
    check_dns_names(dns_names)?;
    let name = SubjectName::new(organization, dns_names.first().copied().unwrap_or_default())?;
    let subject = Writer::collect(|w| name.write(w, None));
    let key = NewKey::generate(Curve::P256, random)?;
    let draft = Draft { serial, validity, spki: key.spki() };
    let certificate = draft.sign_by(parent.into(), &subject, |w, identifier| {
        ext::subject_alternative_names(w, 2, dns_names.iter().copied());
        ext::key_usage(w, ext::DIGITAL_SIGNATURE);
        ext::extended_key_usage(w, [oid::SERVER_AUTH]);
        ext::subject_key_identifier(w, identifier);
        ext::basic_constraints_end_entity(w);
    })?;
    Ok(key.with(certificate))
}

/// Makes the certificate and the P-256 key of a delegated OCSP responder (RFC 6960, 4.2.2.2): digitalSignature, OCSP signing,
/// and nocheck, so that nobody asks whether the responder is revoked. It is meant to live for days and to be renewed well
/// before its end.
///
/// # Errors
///
/// [`CeremonyError`] when a name cannot be used, the validity leaves the parent's, or a step fails.
pub fn create_ocsp_responder<'a>(
    organization: &str,
    common_name: &str,
    parent: impl Into<Parent<'a>>,
    serial: SerialNumber,
    validity: Validity,
    random: &Random,
) -> Result<KeyedCertificate, CeremonyError> {
    let name = SubjectName::new(organization, common_name)?;
    let subject = Writer::collect(|w| name.write(w, None));
    let key = NewKey::generate(Curve::P256, random)?;
    let draft = Draft { serial, validity, spki: key.spki() };
    let certificate = draft.sign_by(parent.into(), &subject, |w, identifier| {
        ext::key_usage(w, ext::DIGITAL_SIGNATURE);
        ext::extended_key_usage(w, [oid::OCSP_SIGNING]);
        ext::subject_key_identifier(w, identifier);
        ext::basic_constraints_end_entity(w);
        ext::ocsp_no_check(w);
    })?;
    Ok(key.with(certificate))
}

fn check_dns_names(names: &[&str]) -> Result<(), CeremonyError> {
    if names.is_empty() {
        return Err(CeremonyError::DnsName { name: String::new() });
    }
    match names.iter().find(|name| !is_host_name(name)) {
        Some(name) => Err(CeremonyError::DnsName { name: (*name).to_owned() }),
        None => Ok(()),
    }
}

/// Makes the certificate of a root whose key lives elsewhere, in a token for example.
///
/// # Errors
///
/// [`CeremonyError`] when the plan cannot be used or the key gives no valid signature.
pub fn certify_root(
    plan: &AuthorityPlan,
    key: &dyn Signer,
    serial: SerialNumber,
    validity: Validity,
) -> Result<Vec<u8>, CeremonyError> {
    let subject = Writer::collect(|w| plan.name.write(w));
    Draft { serial, validity, spki: key.public_key_spki() }.self_sign(key, &subject, |w, identifier| {
        ext::key_usage(w, ext::CERT_AND_CRL_SIGN);
        ext::subject_key_identifier(w, identifier);
        ext::basic_constraints_ca(w, None);
    })
}

/// Makes the certificate of an issuing CA whose key lives elsewhere. Who asks for it has proven to hold that key: by a
/// [`CertificationRequest`](crate::CertificationRequest) that passed the gate, or by being the same process.
///
/// # Errors
///
/// [`CeremonyError`] when plan or parent cannot be used, the validity leaves the parent's, or a step fails.
pub fn certify_issuing<'a>(
    plan: &AuthorityPlan,
    spki_der: &[u8],
    parent: impl Into<Parent<'a>>,
    serial: SerialNumber,
    validity: Validity,
) -> Result<Vec<u8>, CeremonyError> {
    check_urls(plan.crl_urls.iter().chain(&plan.ca_issuers_url))?;
    let policies = parse_policies(&plan.policy_oids)?;
    let subject = Writer::collect(|w| plan.name.write(w));
    Draft { serial, validity, spki: spki_der }.sign_by(parent.into(), &subject, |w, identifier| {
        ext::key_usage(w, ext::CERT_AND_CRL_SIGN);
        ext::crl_distribution_points(w, &plan.crl_urls);
        ext::subject_key_identifier(w, identifier);
        ext::basic_constraints_ca(w, Some(0));
        ext::certificate_policies(w, &policies, None);
        ext::authority_information_access(w, None, plan.ca_issuers_url.as_deref());
    })
}

/// Makes a PKCS#10 request (RFC 2986) for a CA's key, to be carried to the CA above it. It proves that the key is held;
/// the name in it is for people, since what is certified is named by whoever signs. No attributes.
///
/// # Errors
///
/// [`CeremonyError`] when the key gives no valid signature.
pub fn request_certificate(name: &AuthorityName, key: &dyn Signer) -> Result<Vec<u8>, CeremonyError> {
    let information = Writer::collect(|w| {
        w.sequence(|w| {
            w.unsigned(&[0]);
            name.write(w);
            w.raw(key.public_key_spki());
            w.primitive(tag::context_constructed(0), &[]);
        });
    });
    let signature = key.sign(&information)?;
    let octets = key.algorithm().public_key_in(key.public_key_spki());
    if !octets.is_some_and(|octets| key.algorithm().verifies(octets, &information, &signature)) {
        return Err(CeremonyError::Result);
    }
    Ok(seal(&information, key.algorithm(), &signature))
}

/// A new key, to be joined with the certificate that is made for it.
struct NewKey {
    signer: FileSigner,
    pkcs8: Zeroizing<Vec<u8>>,
}

impl NewKey {
    fn generate(curve: Curve, random: &Random) -> Result<Self, CeremonyError> {
        let (signer, pkcs8) = FileSigner::generate(curve, random.clone())?;
        Ok(Self { signer, pkcs8 })
    }

    fn spki(&self) -> &[u8] {
        self.signer.public_key_spki()
    }

    fn with(self, certificate: Vec<u8>) -> KeyedCertificate {
        KeyedCertificate { certificate, pkcs8: self.pkcs8, signer: self.signer }
    }
}

/// A certificate that has a key, and no content yet.
struct Draft<'k> {
    serial: SerialNumber,
    validity: Validity,
    spki: &'k [u8],
}

impl Draft<'_> {
    fn self_sign(
        &self,
        signer: &dyn Signer,
        name: &[u8],
        extensions: impl FnOnce(&mut Writer, &[u8]),
    ) -> Result<Vec<u8>, CeremonyError> {
        let identifier = self.key_identifier()?;
        let certificate = self.certificate(name, name, &identifier, signer, extensions)?;
        self.check(certificate, None)
    }

    fn sign_by(
        &self,
        parent: Parent<'_>,
        subject: &[u8],
        extensions: impl FnOnce(&mut Writer, &[u8]),
    ) -> Result<Vec<u8>, CeremonyError> {
        let ca = CaCertificate::read(parent.certificate_der).map_err(CeremonyError::Parent)?;
        if ca.spki != parent.signer.public_key_spki() {
            return Err(CeremonyError::ParentKey);
        }
        if self.validity.not_after() > ca.validity.not_after() || self.validity.not_before() < ca.validity.not_before()
        {
            return Err(CeremonyError::BeyondParent { validity: self.validity, parent: ca.validity });
        }
        let certificate = self.certificate(ca.subject, subject, &ca.key_identifier, parent.signer, extensions)?;
        self.check(certificate, Some(parent.certificate_der))
    }

    fn key_identifier(&self) -> Result<[u8; 20], CeremonyError> {
        let (_, key) = SubjectPublicKeyInfo::from_der(self.spki).map_err(|_| CeremonyError::Result)?;
        Ok(ext::key_identifier(&key.subject_public_key.data))
    }

    fn certificate(
        &self,
        issuer: &[u8],
        subject: &[u8],
        authority: &[u8],
        signer: &dyn Signer,
        extensions: impl FnOnce(&mut Writer, &[u8]),
    ) -> Result<Vec<u8>, CeremonyError> {
        let (algorithm, identifier) = (signer.algorithm(), self.key_identifier()?);
        let fields = Tbs { serial: &self.serial, algorithm, issuer, validity: &self.validity, spki: self.spki };
        let tbs = fields.write(
            |w| w.raw(subject),
            |w| {
                ext::authority_key_identifier(w, authority);
                extensions(w, &identifier);
            },
        );
        let signature = signer.sign(&tbs)?;
        Ok(seal(&tbs, algorithm, &signature))
    }

    /// Reads the certificate with another decoder and verifies it with the key that should have signed it.
    fn check(&self, certificate: Vec<u8>, parent: Option<&[u8]>) -> Result<Vec<u8>, CeremonyError> {
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|_| CeremonyError::Result)?;
        let issuer = match parent {
            Some(der) => X509Certificate::from_der(der).map_err(|_| CeremonyError::Result)?.1,
            None => parsed.clone(),
        };
        let verified = parsed.verify_signature(Some(issuer.public_key())).is_ok();
        let named = parsed.issuer().as_raw() == issuer.subject().as_raw();
        let keyed = parsed.public_key().raw == self.spki;
        if verified && named && keyed { Ok(certificate) } else { Err(CeremonyError::Result) }
    }
}

/// Why a CA or a server's certificate was not made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CeremonyError {
    /// The random source failed.
    #[error("no key was made")]
    Random(#[from] NoRandomness),
    /// A part of a name cannot be used.
    #[error("the name cannot be used")]
    Name(#[from] NameError),
    /// A URL or a policy cannot be used.
    #[error("the plan cannot be used")]
    Plan(#[from] ProfileError),
    /// Not a DNS name.
    #[error("{name:?} is no DNS name")]
    DnsName {
        /// The name given.
        name: String,
    },
    /// The parent's certificate is not that of a CA.
    #[error("the CA above cannot be used")]
    Parent(#[source] ReadError),
    /// The parent's certificate and key do not belong together.
    #[error("certificate and key of the CA above do not belong together")]
    ParentKey,
    /// The validity is not inside the parent's.
    #[error("the validity {} to {} leaves that of the CA above, {} to {}", validity.not_before(), validity.not_after(), parent.not_before(), parent.not_after())]
    BeyondParent {
        /// The validity asked for.
        validity: Validity,
        /// The validity of the CA above.
        parent: Validity,
    },
    /// The key gave no signature.
    #[error("the certificate was not signed")]
    Signer(#[from] SignerError),
    /// The finished certificate is not what it should be.
    #[error("the finished certificate does not verify or is not the planned one")]
    Result,
}
