//! The verifier that lets every client certificate in as far as a greeting.

use std::{
    collections::{HashMap, HashSet},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use koshin_types::{Fingerprint, SerialNumber, Validity};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::CryptoProvider,
    server::{
        VerifierBuilderError, WebPkiClientVerifier,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};
use rustls_pki_types::{CertificateDer, UnixTime};
use time::UtcDateTime;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate, X509Extension};

use crate::{ClientCertificate, DemandingVerifier, Now, Peer, Trust};

/// The most certificates a client may present, its own included; with more the handshake fails.
///
/// ```
/// assert_eq!(koshin_edge::MAX_CHAIN_CERTIFICATES, 4);
/// ```
pub const MAX_CHAIN_CERTIFICATES: usize = 4;

/// The most octets all certificates of a client may have together; with more the handshake fails.
///
/// ```
/// assert_eq!(koshin_edge::MAX_CHAIN_BYTES, 16 * 1024);
/// ```
pub const MAX_CHAIN_BYTES: usize = 16 * 1024;

/// How many sound leaves are remembered, in two halves of this size.
const REMEMBERED_HALF: usize = 2048;

/// Asks for a client certificate without demanding one, and judges what comes instead of breaking the handshake.
///
/// In the handshake it checks two things: the size of the chain, and that the peer holds the key of the certificate it
/// shows. A peer that cannot prove that never gets through. What the path is worth is found out after the handshake, at
/// the instant of the edge's own clock: a broken handshake would leave the holder of an expired certificate with a
/// blank error page, and an unproven peer would cost a path validation.
///
/// A path is sound when it holds at an instant within the validity of every certificate in it, the authority's included.
/// Whether that is now, was, or is to come is then a comparison of times, so a sound leaf is remembered and judged
/// again at each request. A leaf that no authority signed is `Untrusted` whatever its dates say.
pub struct GreetingVerifier {
    authorities: Vec<Authority>,
    pinned: HashSet<Fingerprint>,
    hints: Vec<DistinguishedName>,
    provider: CryptoProvider,
    remembered: Mutex<Remembered>,
}

impl GreetingVerifier {
    /// Takes the certificates of the authorities that issue client certificates: each is a trust anchor by itself, so
    /// that a path has one signature to check. Browsers are told their names and offer only certificates issued by them.
    ///
    /// # Errors
    ///
    /// [`VerifierError`] when there is no authority or one cannot be read.
    pub fn new(authorities: &[CertificateDer<'_>]) -> Result<Self, VerifierError> {
        if authorities.is_empty() {
            return Err(VerifierError::NoAuthority);
        }
        let provider = rustls::crypto::ring::default_provider();
        let shared = Arc::new(provider.clone());
        let authorities = authorities
            .iter()
            .enumerate()
            .map(|(index, der)| Authority::new(index, der, &shared))
            .collect::<Result<Vec<_>, _>>()?;
        let hints = authorities.iter().flat_map(|authority| authority.verifier.root_hint_subjects()).cloned().collect();
        Ok(Self { authorities, pinned: HashSet::new(), hints, provider, remembered: Mutex::default() })
    }

    /// Takes the certificates of clients that are known one by one, as programs are: each is its own trust anchor
    /// (RFC 5280, 6.1.1), so who issued it is of no account, and no other certificate is one of ours. With
    /// [`demanded`](Self::demanded) no other one ends a handshake.
    ///
    /// # Errors
    ///
    /// [`VerifierError::NoAuthority`] when there is none.
    pub fn of_clients(pinned: impl IntoIterator<Item = Fingerprint>) -> Result<Self, VerifierError> {
        let pinned: HashSet<_> = pinned.into_iter().collect();
        if pinned.is_empty() {
            return Err(VerifierError::NoAuthority);
        }
        let provider = rustls::crypto::ring::default_provider();
        Ok(Self { authorities: Vec::new(), pinned, hints: Vec::new(), provider, remembered: Mutex::default() })
    }

    /// The same judgement, made in the handshake: a client without a certificate that is [`Trust::Verified`] at that
    /// instant does not get through it. For programs, which no page could help.
    pub fn demanded(self: &Arc<Self>, now: Now) -> Arc<DemandingVerifier> {
        Arc::new(DemandingVerifier::new(Arc::clone(self), now))
    }

    /// Judges a chain whose key the peer has proven to hold, the leaf first; without a leaf there is no certificate.
    ///
    /// Also for chains that came another way than by our own handshake, as from a proxy (RFC 9440): the proof of the key is
    /// then the proxy's word, the path is checked here all the same.
    pub fn judge(&self, chain: &[CertificateDer<'_>], now: UtcDateTime) -> ClientCertificate {
        self.examine(chain).map_or(ClientCertificate::None, |judged| judged.at(now))
    }

    /// As [`judge`](Self::judge), but for any instant.
    pub(crate) fn examine(&self, chain: &[CertificateDer<'_>]) -> Option<Judged> {
        let (leaf, intermediates) = chain.split_first()?;
        let fingerprint = fingerprint(leaf);
        if let Some(sound) = self.remembered.lock().unwrap_or_else(PoisonError::into_inner).get(&fingerprint) {
            return Some(Judged::new(leaf, fingerprint, Findings::of(sound)));
        }
        let findings = self.findings(leaf, intermediates, fingerprint);
        Some(Judged::new(leaf, fingerprint, findings))
    }

    fn findings(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        fingerprint: Fingerprint,
    ) -> Findings {
        let Some(read) = Read::new(leaf) else { return Findings::UNREADABLE };
        if self.pinned.contains(&fingerprint) {
            return Findings { serial: read.serial, validity: Some(read.validity), path: Ok(read.validity) };
        }
        let broken = |reason| Findings { serial: read.serial, validity: Some(read.validity), path: Err(reason) };
        if !check_size(intermediates.len() + 1, octets(leaf, intermediates)) {
            return broken("its chain is too long");
        }
        if !read.for_clients {
            return broken("it is not meant for client authentication");
        }
        if read.serial.is_none() {
            return broken("its serial number is not one that a CA may use");
        }
        // A leaf right below an authority needs nothing else, so what is found is true whatever is sent along.
        let alone = self.path(leaf, &[], read.validity, None);
        let issuers = match alone {
            Ok(issuers) => {
                let sound = Sound { serial: read.serial, leaf: read.validity, issuers };
                self.remembered.lock().unwrap_or_else(PoisonError::into_inner).put(fingerprint, sound);
                Ok(issuers)
            }
            Err(reason) if intermediates.is_empty() => Err(reason),
            Err(_) => intermediates
                .iter()
                .map(|der| Read::new(der).map(|read| read.validity))
                .try_fold(None, |all, one| overlap(all, one?).map(Some))
                .ok_or("its chain cannot be read or was never valid as a whole")
                .and_then(|window| self.path(leaf, intermediates, read.validity, window)),
        };
        Findings { serial: read.serial, validity: Some(read.validity), path: issuers }
    }

    /// Validates a path under each authority, at an instant inside all validities. Gives that of the issuers together.
    fn path(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        leaf_validity: Validity,
        window: Option<Validity>,
    ) -> Result<Validity, &'static str> {
        let mut reason = "it was issued by another authority";
        for authority in &self.authorities {
            let Some(issuers) = overlap(window, authority.validity) else { continue };
            let Some(instant) = overlap(Some(issuers), leaf_validity).and_then(|common| unix(common.not_after()))
            else {
                continue;
            };
            match authority.verifier.verify_client_cert(leaf, intermediates, instant) {
                Ok(_) => return Ok(issuers),
                // Another authority's leaf says nothing about this one's reason.
                Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {}
                Err(error) => reason = explain(&error),
            }
        }
        Err(reason)
    }
}

impl ClientCertVerifier for GreetingVerifier {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    /// Checks the size only. The instant given here is the system's, not the edge's, and the key is not proven yet.
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if check_size(intermediates.len() + 1, octets(end_entity, intermediates)) {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure))
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl fmt::Debug for GreetingVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GreetingVerifier")
            .field("authorities", &self.authorities.len())
            .field("pinned", &self.pinned.len())
            .finish_non_exhaustive()
    }
}

/// Why there is no verifier.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VerifierError {
    /// With no authority nobody could ever be verified.
    #[error("no authority issues client certificates, and no client is known by its own")]
    NoAuthority,
    /// The certificate of an authority cannot be read.
    #[error("authority {index} is no X.509 certificate with a validity")]
    Unreadable {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// The certificate of an authority is not one that may issue (RFC 5280, 4.2.1.2, 4.2.1.3 and 4.2.1.9).
    #[error("authority {index} is not the certificate of a CA: {lacks}")]
    NotACa {
        /// Its place in the list, from 0.
        index: usize,
        /// What is missing.
        lacks: &'static str,
    },
    /// The certificate of an authority cannot be a trust anchor.
    #[error("authority {index} cannot be a trust anchor")]
    Anchor {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        source: Error,
    },
    /// The validator refused an authority.
    #[error("authority {index} was refused by the path validator")]
    Validator {
        /// Its place in the list, from 0.
        index: usize,
        /// What is wrong with it.
        source: VerifierBuilderError,
    },
}

/// One issuing authority. Path validation takes a trust anchor's dates for granted, so they are kept here.
struct Authority {
    verifier: Arc<dyn ClientCertVerifier>,
    validity: Validity,
}

impl Authority {
    fn new(index: usize, der: &CertificateDer<'_>, provider: &Arc<CryptoProvider>) -> Result<Self, VerifierError> {
        let validity = Read::new(der).ok_or(VerifierError::Unreadable { index })?.validity;
        if let Some(lacks) = lacks(der) {
            return Err(VerifierError::NotACa { index, lacks });
        }
        let mut anchor = RootCertStore::empty();
        anchor.add(der.clone().into_owned()).map_err(|source| VerifierError::Anchor { index, source })?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(anchor), Arc::clone(provider))
            .build()
            .map_err(|source| VerifierError::Validator { index, source })?;
        Ok(Self { verifier, validity })
    }
}

/// What a certificate lacks to be that of a CA. The path validator takes an anchor for granted.
fn lacks(der: &CertificateDer<'_>) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let constraints = certificate.basic_constraints().ok().flatten();
    let usage = certificate.key_usage().ok().flatten();
    let unknown = |extension: &X509Extension<'_>| match extension.parsed_extension() {
        ParsedExtension::BasicConstraints(_)
        | ParsedExtension::KeyUsage(_)
        | ParsedExtension::NameConstraints(_)
        | ParsedExtension::CertificatePolicies(_)
        | ParsedExtension::ExtendedKeyUsage(_) => false,
        _ => extension.critical,
    };
    let mut extensions = certificate.iter_extensions();
    let checks = [
        (certificate.subject().iter().next().is_none(), "its subject has no name"),
        (!constraints.is_some_and(|it| it.critical && it.value.ca), "basicConstraints does not say so, critically"),
        (!usage.is_some_and(|it| it.value.key_cert_sign()), "keyUsage does not let it sign certificates"),
        (certificate.iter_extensions().any(unknown), "a critical extension is not known"),
        (
            !extensions.any(|it| matches!(it.parsed_extension(), ParsedExtension::SubjectKeyIdentifier(_))),
            "subjectKeyIdentifier is missing",
        ),
    ];
    checks.into_iter().find(|(lacking, _)| *lacking).map(|(_, what)| what)
}

/// A certificate that was examined, to be judged at any instant.
pub(crate) struct Judged {
    /// As it stands at `at`; kept so that the usual request copies nothing.
    peer: Arc<Peer>,
    path: Result<Validity, &'static str>,
}

impl Judged {
    fn new(leaf: &CertificateDer<'_>, fingerprint: Fingerprint, findings: Findings) -> Self {
        let peer = Peer {
            leaf_der: leaf.to_vec(),
            fingerprint,
            serial: findings.serial,
            validity: findings.validity,
            trust: Trust::Verified,
        };
        let mut judged = Self { peer: Arc::new(peer), path: findings.path };
        if let Err(reason) = judged.path {
            judged.peer = judged.with(Trust::Untrusted { reason });
        }
        judged
    }

    /// A certificate nobody here can judge.
    pub(crate) fn unknown(leaf: &CertificateDer<'_>) -> Self {
        let path = Err("no authority is configured for this listener");
        Self::new(leaf, fingerprint(leaf), Findings { path, ..Findings::UNREADABLE })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.peer.fingerprint
    }

    pub(crate) fn at(&self, now: UtcDateTime) -> ClientCertificate {
        let trust = self.trust(now);
        let peer = if trust == self.peer.trust { Arc::clone(&self.peer) } else { self.with(trust) };
        ClientCertificate::Presented(peer)
    }

    fn trust(&self, now: UtcDateTime) -> Trust {
        match (self.path, self.peer.validity) {
            (Err(reason), _) => Trust::Untrusted { reason },
            (Ok(_), None) => Trust::Untrusted { reason: Findings::NOT_READ },
            (Ok(issuers), Some(leaf)) if leaf.contains(now) && issuers.contains(now) => Trust::Verified,
            (Ok(_), Some(leaf)) if leaf.contains(now) => {
                Trust::Untrusted { reason: "its authority is outside its own validity" }
            }
            (Ok(_), Some(leaf)) if now < leaf.not_before() => Trust::NotYetValid,
            (Ok(_), Some(_)) => Trust::Expired,
        }
    }

    fn with(&self, trust: Trust) -> Arc<Peer> {
        Arc::new(Peer { trust, ..Peer::clone(&self.peer) })
    }
}

/// What a chain says, whatever the time.
#[derive(Clone, Copy)]
struct Findings {
    serial: Option<SerialNumber>,
    validity: Option<Validity>,
    /// The validity of all issuers together, or what is wrong.
    path: Result<Validity, &'static str>,
}

impl Findings {
    const NOT_READ: &'static str = "it cannot be read";
    const UNREADABLE: Self = Self { serial: None, validity: None, path: Err(Self::NOT_READ) };

    const fn of(sound: Sound) -> Self {
        Self { serial: sound.serial, validity: Some(sound.leaf), path: Ok(sound.issuers) }
    }
}

/// A leaf whose path is sound by itself.
#[derive(Clone, Copy)]
struct Sound {
    serial: Option<SerialNumber>,
    leaf: Validity,
    issuers: Validity,
}

/// Sound leaves by fingerprint, the less recent half of them forgotten when there are too many. Only what an authority has
/// signed gets in here, so nobody else can push anything out.
#[derive(Default)]
struct Remembered {
    recent: HashMap<Fingerprint, Sound>,
    older: HashMap<Fingerprint, Sound>,
}

impl Remembered {
    fn get(&mut self, fingerprint: &Fingerprint) -> Option<Sound> {
        if let Some(sound) = self.recent.get(fingerprint) {
            return Some(*sound);
        }
        let sound = self.older.remove(fingerprint)?;
        self.put(*fingerprint, sound);
        Some(sound)
    }

    fn put(&mut self, fingerprint: Fingerprint, sound: Sound) {
        if self.recent.len() >= REMEMBERED_HALF {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(fingerprint, sound);
    }
}

/// What is read out of a certificate before any signature is checked.
struct Read {
    serial: Option<SerialNumber>,
    validity: Validity,
    for_clients: bool,
}

impl Read {
    fn new(der: &CertificateDer<'_>) -> Option<Self> {
        let (rest, certificate) = X509Certificate::from_der(der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let instant = |asn1: x509_parser::time::ASN1Time| UtcDateTime::from_unix_timestamp(asn1.timestamp()).ok();
        let dates = certificate.validity();
        let validity = Validity::new(instant(dates.not_before)?, instant(dates.not_after)?).ok()?;
        let purpose = certificate.extended_key_usage().ok()?;
        let usage = certificate.key_usage().ok()?;
        let signs_handshakes = usage.is_none_or(|it| it.value.digital_signature() && !it.value.key_cert_sign());
        Some(Self {
            serial: positive(certificate.raw_serial()),
            validity,
            for_clients: signs_handshakes && purpose.is_some_and(|extension| extension.value.client_auth),
        })
    }
}

/// The serial number out of the content of a DER INTEGER, which is negative when its first bit is set.
fn positive(content: &[u8]) -> Option<SerialNumber> {
    let negative = content.first().is_some_and(|octet| octet & 0x80 != 0);
    if negative { None } else { SerialNumber::from_be_bytes(content).ok() }
}

fn fingerprint(der: &CertificateDer<'_>) -> Fingerprint {
    let digest = ring::digest::digest(&ring::digest::SHA256, der);
    let mut octets = [0; 32];
    for (to, from) in octets.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    Fingerprint::new(octets)
}

const fn check_size(certificates: usize, octets: usize) -> bool {
    certificates <= MAX_CHAIN_CERTIFICATES && octets <= MAX_CHAIN_BYTES
}

fn octets(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> usize {
    intermediates.iter().fold(leaf.len(), |sum, der| sum.saturating_add(der.len()))
}

/// The time in which both are valid; `None` on the left stands for always.
fn overlap(all: Option<Validity>, one: Validity) -> Option<Validity> {
    let Some(all) = all else { return Some(one) };
    Validity::new(all.not_before().max(one.not_before()), all.not_after().min(one.not_after())).ok()
}

fn unix(instant: UtcDateTime) -> Option<UnixTime> {
    u64::try_from(instant.unix_timestamp()).ok().map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}

const fn explain(error: &Error) -> &'static str {
    match error {
        Error::InvalidCertificate(reason) => match reason {
            CertificateError::BadSignature => "its signature does not match",
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "it is not meant for client authentication"
            }
            CertificateError::UnhandledCriticalExtension => "it has a critical extension unknown here",
            CertificateError::BadEncoding => Findings::NOT_READ,
            _ => "it is no end-entity certificate with a sound path",
        },
        _ => "its path could not be validated",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remembers_a_bounded_number() {
        let day = UtcDateTime::UNIX_EPOCH;
        let validity = Validity::new(day, day).unwrap();
        let sound = Sound { serial: None, leaf: validity, issuers: validity };
        let name = |n: usize| {
            let mut octets = [0; 32];
            octets[..8].copy_from_slice(&n.to_be_bytes());
            Fingerprint::new(octets)
        };
        let mut remembered = Remembered::default();
        for n in 0..5 * REMEMBERED_HALF {
            remembered.put(name(n), sound);
            assert!(remembered.get(&name(0)).is_some(), "what is asked for stays");
            assert!(remembered.recent.len() + remembered.older.len() <= 2 * REMEMBERED_HALF);
        }
        assert!(remembered.get(&name(1)).is_none());
    }

    #[test]
    fn negative_serials_are_none_of_ours() {
        assert_eq!(positive(&[0x80]), None);
        assert_eq!(positive(&[0x00]), None);
        assert_eq!(positive(&[0x00, 0x80]).unwrap().to_string(), "80");
    }
}
