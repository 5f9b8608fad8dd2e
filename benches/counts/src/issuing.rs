//! A CA in memory, one issuance through the library (request bytes in, certificate out), and one answer about a certificate.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context as _;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, Certificate, CertificationRequest, FileSigner, Gate, OcspEdition, OcspRequest,
    OcspResponder, OcspStatus, Prepared, Profile, ProfileConfig, Random, Rejected, SignatureAlgorithm, Signer,
    SignerError, SubjectName, certify_root, create_ocsp_responder, request_certificate,
};
use koshin_types::{SerialNumber, Validity};
use ring::digest;
use time::Duration;

use crate::NOW;

/// The key of RFC 6979, A.2.5: private scalar, then both coordinates.
const CA_KEY: [&[u8; 32]; 3] = [
    b"\xc9\xaf\xa9\xd8\x45\xba\x75\x16\x6b\x5c\x21\x57\x67\xb1\xd6\x93\x4e\x50\xc3\xdb\x36\xe8\x9b\x12\x7b\x8a\x62\x2b\x12\x0f\x67\x21",
    b"\x60\xfe\xd4\xba\x25\x5a\x9d\x31\xc9\x61\xeb\x74\xc6\x35\x6d\x68\xc0\x49\xb8\x92\x3b\x61\xfa\x6c\xe6\x69\x62\x2e\x60\xf2\x9f\xb6",
    b"\x79\x03\xfe\x10\x08\xb8\xbc\x99\xa4\x1a\xe9\xe9\x56\x28\xbc\x64\xf2\xf1\xb2\x0c\x2d\x7e\x9f\x51\x77\xa3\xc2\x94\xd4\x46\x22\x99",
];
/// The first key of RFC 5903, 8.1.
const HOLDER_KEY: [&[u8; 32]; 3] = [
    b"\xc8\x8f\x01\xf5\x10\xd9\xac\x3f\x70\xa2\x92\xda\xa2\x31\x6d\xe5\x44\xe9\xaa\xb8\xaf\xe8\x40\x49\xc6\x2a\x9c\x57\x86\x2d\x14\x33",
    b"\xda\xd0\xb6\x53\x94\x22\x1c\xf9\xb0\x51\xe1\xfe\xca\x57\x87\xd0\x98\xdf\xe6\x37\xfc\x90\xb9\xef\x94\x5d\x0c\x37\x72\x58\x11\x80",
    b"\x52\x71\xa0\x46\x1c\xdb\x82\x52\xd6\x1f\x1c\x45\x6f\xa3\xe5\x9a\xb1\xf4\x5b\x33\xac\xcf\x5f\x58\x38\x9e\x05\x77\xb8\x99\x0b\xb3",
];

/// A published P-256 key, which is nobody's secret.
fn known_key(parts: [&[u8; 32]; 3], random: &Random) -> anyhow::Result<FileSigner> {
    let [scalar, x, y] = parts.map(<[u8; 32]>::as_slice);
    // PrivateKeyInfo (RFC 5208, 5) around an ECPrivateKey (RFC 5915, 3).
    let head: &[u8] =
        b"\x30\x81\x87\x02\x01\x00\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
    let inner: &[u8] = b"\x04\x6d\x30\x6b\x02\x01\x01\x04\x20";
    let pkcs8 = [head, inner, scalar, b"\xa1\x44\x03\x42\x00\x04", x, y].concat();
    Ok(FileSigner::from_pkcs8_der(&pkcs8, random.clone())?)
}

/// Everything that an issuance, or an answer about a certificate, takes.
pub struct Issuing {
    /// The CA, its key parsed once.
    pub ca: Ca,
    /// The request, PKCS#10 DER.
    pub request: Vec<u8>,
    /// The question about the certificate, OCSP DER.
    pub question: Vec<u8>,
    gate: Gate,
    blocking: Gate,
    responder: OcspResponder,
    subject: SubjectName,
    serial: SerialNumber,
    validity: Validity,
}

impl Issuing {
    /// A P-256 CA with the whole profile, and a P-256 request: the same keys every time.
    ///
    /// # Errors
    ///
    /// When a step of the ceremony fails.
    pub fn new() -> anyhow::Result<Self> {
        Self::with(Box::new(known_key(CA_KEY, &random())?))
    }

    /// The same with a signer that makes each signature once and then repeats it: what is counted after the first issuance
    /// is everything but the signing.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn repeating() -> anyhow::Result<Self> {
        Self::with(Box::new(Repeating { key: known_key(CA_KEY, &random())?, last: Mutex::default() }))
    }

    /// The same with another key of the CA.
    ///
    /// # Errors
    ///
    /// As [`Self::new`].
    pub fn with(key: Box<dyn Signer>) -> anyhow::Result<Self> {
        let random = random();
        let years = |years: i64| Validity::new(NOW, NOW + Duration::days(365 * years) - Duration::SECOND);
        let serial = |number| SerialNumber::from_time_and_random(1_795_316_400_000, [number; 13]);
        let name = AuthorityName::new(Some("JP"), "Koshin", "CA of the counts")?;
        let certificate = certify_root(&AuthorityPlan::root(name.clone()), &*key, serial(1), years(10)?)?;
        let responder = {
            let parent = koshin_issuance::Parent::new(&certificate, &*key);
            create_ocsp_responder("Koshin", "Responder", parent, serial(2), years(1)?, &random)?
        };
        let of_responder = responder.certificate_der().to_vec();
        let responder = OcspResponder::load(&certificate, &of_responder, Box::new(responder.into_signer()))?;
        let question = question(&request_certificate(&name, &*key)?, key.public_key_spki(), serial(3))?;
        let holder = known_key(HOLDER_KEY, &random)?;
        let request = request_certificate(&AuthorityName::new(None, "o", "n")?, &holder)?;
        let gate = Gate::new();
        let blocked = CertificationRequest::from_der(&request, &gate)?.spki_fingerprint();
        Ok(Self {
            ca: Ca::load(&certificate, &[], key, Profile::new(profile())?)?,
            request,
            question,
            gate,
            blocking: Gate::new().with_blocked([blocked]),
            responder,
            subject: SubjectName::new("更新商店株式会社", "U-1001")?,
            serial: serial(3),
            validity: years(1)?,
        })
    }

    /// The gate: parse, check, verify the proof of possession.
    ///
    /// # Errors
    ///
    /// When the request is refused.
    pub fn gate(&self) -> Result<CertificationRequest, Rejected> {
        CertificationRequest::from_der(&self.request, &self.gate)
    }

    /// The gate up to the block list, on which the key stands: everything but the verification.
    ///
    /// # Errors
    ///
    /// Always: the key is blocked.
    pub fn gate_without_signature(&self) -> Result<CertificationRequest, Rejected> {
        CertificationRequest::from_der(&self.request, &self.blocking)
    }

    /// The profile and the lints: bytes to be signed.
    ///
    /// # Errors
    ///
    /// When the CA refuses.
    pub fn prepare(&self, request: CertificationRequest) -> anyhow::Result<Prepared> {
        Ok(self.ca.prepare(request, &self.subject, Some("u-1001@example.co.jp"), self.serial, self.validity)?)
    }

    /// Signature, its verification, comparison.
    ///
    /// # Errors
    ///
    /// When the CA refuses.
    pub fn issue(&self, prepared: Prepared) -> anyhow::Result<Certificate> {
        Ok(self.ca.issue(prepared.recorded())?)
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// As its parts.
    pub fn whole(&self) -> anyhow::Result<Certificate> {
        self.issue(self.prepare(self.gate()?)?)
    }

    /// Reads the question.
    ///
    /// # Errors
    ///
    /// When it is none.
    pub fn asked(&self) -> anyhow::Result<OcspRequest> {
        Ok(OcspRequest::from_der(&self.question)?)
    }

    /// Reads the question, sees that it is about a certificate of this CA, and signs an answer.
    ///
    /// # Errors
    ///
    /// When it is about another one, or the key fails.
    pub fn answer(&self) -> anyhow::Result<Vec<u8>> {
        let asked = self.asked()?;
        anyhow::ensure!(asked.certificates().iter().all(|id| self.responder.answers_for(id)), "another CA's");
        let edition = OcspEdition { produced_at: NOW, this_update: NOW, next_update: Some(NOW + Duration::DAY) };
        let answers = asked.certificates().iter().map(|id| (id, OcspStatus::Good));
        Ok(self.responder.sign(answers, edition, asked.nonce())?)
    }
}

fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}

/// A profile with every usual extension: CRL, CA issuers, OCSP, policy.
fn profile() -> ProfileConfig {
    ProfileConfig {
        country: Some("JP".into()),
        crl_urls: vec!["http://ca.example.jp/issuing.crl".into()],
        ca_issuers_url: Some("http://ca.example.jp/issuing.cer".into()),
        ocsp_url: Some("http://ocsp.example.jp/".into()),
        policy_oids: vec!["1.3.6.1.4.1.99999.1.2".into()],
        ..ProfileConfig::default()
    }
}

/// An `OCSPRequest` (RFC 6960, 4.1.1) about one certificate of the CA that made a request for itself.
fn question(of_ca: &[u8], spki: &[u8], serial: SerialNumber) -> anyhow::Result<Vec<u8>> {
    let wrap = |tag: u8, parts: &[&[u8]]| -> anyhow::Result<Vec<u8>> {
        let content = parts.concat();
        Ok([&[tag, u8::try_from(content.len())?], &content[..]].concat())
    };
    let sha1 = |octets: &[u8]| digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, octets);
    // The name stands behind the version, the key's octets after the header of its BIT STRING.
    let version = of_ca.windows(3).position(|octets| octets == [2, 1, 0]).context("no version")?;
    let rest = of_ca.get(version + 3..).unwrap_or_default();
    let length = rest.get(1).copied().context("no name")?;
    let name = rest.get(..usize::from(length) + 2).context("no name")?;
    let key = spki.windows(2).position(|octets| octets == [3, 66]).and_then(|at| spki.get(at + 3..));
    let (name, key) = (sha1(name), sha1(key.unwrap_or_default()));
    let algorithm = b"\x30\x09\x06\x05\x2b\x0e\x03\x02\x1a\x05\x00";
    let (name, key) = (wrap(4, &[name.as_ref()])?, wrap(4, &[key.as_ref()])?);
    let id = wrap(0x30, &[algorithm, &name, &key, &wrap(2, &[serial.as_be_bytes()])?])?;
    (0..4).try_fold(id, |inner, _| wrap(0x30, &[&inner]))
}

/// A signer that makes the signature of a message once.
struct Repeating {
    key: FileSigner,
    last: Mutex<Option<(Vec<u8>, Vec<u8>)>>,
}

impl Signer for Repeating {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.key.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.key.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, signature)) = last.as_ref().filter(|(signed, _)| signed == message) {
            return Ok(signature.clone());
        }
        let signature = self.key.sign(message)?;
        *last = Some((message.to_vec(), signature.clone()));
        Ok(signature)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.key.sign_digest(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_issued_and_asked_about() {
        let issuing = Issuing::new().unwrap();
        let certificate = issuing.whole().unwrap();
        assert_eq!(certificate.serial(), issuing.serial);
        assert_eq!(issuing.asked().unwrap().certificates()[0].serial(), Some(issuing.serial));
        assert!(issuing.answer().unwrap().windows(65).any(|part| issuing.question.windows(65).any(|q| q == part)));
        assert!(matches!(issuing.gate_without_signature(), Err(Rejected::KeyBlocked { .. })));
    }

    #[test]
    fn a_signature_is_made_once() {
        let (plain, repeating) = (Issuing::new().unwrap(), Issuing::repeating().unwrap());
        assert_eq!(repeating.whole().unwrap(), repeating.whole().unwrap());
        assert_ne!(plain.whole().unwrap(), plain.whole().unwrap());
    }
}
