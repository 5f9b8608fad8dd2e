//! The CA as a service: one bench for all tests of it, over the ledger in memory.

mod clients;
mod crash;
mod issue;
mod key_away;
mod revoke;
mod walk;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration as Elapsed,
};

use koshin_endpoints::ca::{
    CaParts, CaService, Client, IssueRequest, IssuingProfile, KeyClass, Ledger, MemoryLedger, Right, Signing,
};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, FileSigner, Gate, Profile, ProfileConfig, Random, SignatureAlgorithm, Signer,
    SignerError, create_issuing, create_root, new_serial,
};
use koshin_types::{Fingerprint, RenewalId, Validity};
use rcgen::{CertificateParams, KeyPair};
use time::{Duration, UtcDateTime};

/// 2026-11-22T06:26:40Z.
pub(crate) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(1_795_328_800).unwrap()
}

pub(crate) fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}

/// From now for so many days.
pub(crate) fn days(days: i64) -> Validity {
    Validity::new(now(), now() + Duration::days(days) - Duration::SECOND).unwrap()
}

/// A new key's request.
pub(crate) fn csr() -> Vec<u8> {
    csr_of(&KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap())
}

pub(crate) fn csr_of(key: &KeyPair) -> Vec<u8> {
    CertificateParams::default().serialize_request(key).unwrap().der().to_vec()
}

pub(crate) fn renewal(number: u8) -> RenewalId {
    RenewalId::new([number; 16])
}

/// The request of a renewal with a new key.
pub(crate) fn order(number: u8) -> IssueRequest {
    IssueRequest {
        renewal: renewal(number),
        profile: "client".to_owned(),
        organization: "更新商店".to_owned(),
        subject: format!("U-{number}"),
        mail: Some("taro@example.jp".to_owned()),
        validity: days(365),
        now: now(),
        request: csr(),
    }
}

/// SHA-256 of some octets.
pub(crate) fn sha256(octets: &[u8]) -> Fingerprint {
    Fingerprint::new(ring::digest::digest(&ring::digest::SHA256, octets).as_ref().try_into().unwrap())
}

pub(crate) fn client(name: &str, certificate: &[u8]) -> Client {
    Client {
        name: name.to_owned(),
        certificates: BTreeSet::from([sha256(certificate)]),
        profiles: BTreeSet::from(["client".to_owned()]),
        rights: Right::ALL.into(),
    }
}

/// The issuing CA's key, which can be out of reach, slow, or broken, and counts what it signed.
pub(crate) struct Key {
    signer: FileSigner,
    pub(crate) away: AtomicBool,
    pub(crate) broken: AtomicBool,
    pub(crate) slow: Elapsed,
    pub(crate) signatures: AtomicUsize,
}

impl Key {
    fn new(pkcs8: &[u8], slow: Elapsed) -> Self {
        Self {
            signer: FileSigner::from_pkcs8_der(pkcs8, random()).unwrap(),
            away: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            slow,
            signatures: AtomicUsize::new(0),
        }
    }
}

impl Signer for Key {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.signer.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        std::thread::sleep(self.slow);
        if self.away.load(Ordering::Relaxed) {
            return Err(SignerError::Unavailable { detail: "the token is out".to_owned() });
        }
        self.signatures.fetch_add(1, Ordering::Relaxed);
        let mut signature = self.signer.sign(message)?;
        if self.broken.load(Ordering::Relaxed) {
            *signature.last_mut().unwrap() ^= 1;
        }
        Ok(signature)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_digest(digest)
    }
}

/// What a CA is made of, to be put together as often as a test wants: each time it is the CA after a restart.
pub(crate) struct Bench {
    pub(crate) certificate: Vec<u8>,
    pub(crate) root: Vec<u8>,
    pub(crate) key: Arc<Key>,
    pkcs8: Vec<u8>,
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) clients: Vec<Client>,
    pub(crate) signing: Signing,
    pub(crate) keys: BTreeSet<KeyClass>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::with_slow(Elapsed::ZERO)
    }

    pub(crate) fn with_slow(slow: Elapsed) -> Self {
        let serial = || new_serial(now(), random().as_ref()).unwrap();
        let name = |cn| AuthorityName::new(Some("JP"), "更新信用金庫", cn).unwrap();
        let since_yesterday =
            |days| Validity::new(now() - Duration::DAY, now() + Duration::days(days) - Duration::SECOND).unwrap();
        let plan = AuthorityPlan::root(name("更新ルート認証局"));
        let root = create_root(&plan, serial(), since_yesterday(7300), &random()).unwrap();
        let plan = AuthorityPlan::issuing(name("更新電子証明書認証局"));
        let issuing = create_issuing(&plan, &root, serial(), since_yesterday(3650), &random()).unwrap();
        let certificate = issuing.certificate_der().to_vec();
        let pkcs8 = issuing.pkcs8_der().to_vec();
        Self {
            certificate,
            root: root.certificate_der().to_vec(),
            key: Arc::new(Key::new(&pkcs8, slow)),
            pkcs8,
            ledger: Arc::default(),
            clients: vec![client("portal", b"portal"), client("other", b"other")],
            signing: Signing::Inline,
            keys: KeyClass::ALL.into(),
        }
    }

    /// The same CA before it did anything.
    pub(crate) fn anew(&self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            root: self.root.clone(),
            key: Arc::new(Key::new(&self.pkcs8, Elapsed::ZERO)),
            pkcs8: self.pkcs8.clone(),
            ledger: Arc::default(),
            clients: self.clients.clone(),
            signing: self.signing,
            keys: self.keys.clone(),
        }
    }

    /// The CA over the bench's own ledger.
    pub(crate) fn service(&self) -> CaService {
        self.over(Arc::clone(&self.ledger) as _)
    }

    pub(crate) fn parts(&self, ledger: Arc<dyn Ledger>) -> CaParts {
        let profile = || IssuingProfile {
            keys: self.keys.clone(),
            ..IssuingProfile::new(Profile::new(ProfileConfig::default()).unwrap())
        };
        CaParts {
            certificate: self.certificate.clone(),
            chain: vec![self.root.clone()],
            signer: Arc::clone(&self.key) as _,
            signing: self.signing,
            random: random(),
            gate: Gate::new(),
            ledger,
            profiles: BTreeMap::from([("client".to_owned(), profile()), ("machine".to_owned(), profile())]),
            clients: self.clients.clone(),
        }
    }

    pub(crate) fn over(&self, ledger: Arc<dyn Ledger>) -> CaService {
        CaService::new(self.parts(ledger)).unwrap()
    }

    pub(crate) fn portal(&self) -> &Client {
        &self.clients[0]
    }

    pub(crate) fn other(&self) -> &Client {
        &self.clients[1]
    }

    pub(crate) fn signatures(&self) -> usize {
        self.key.signatures.load(Ordering::Relaxed)
    }
}
