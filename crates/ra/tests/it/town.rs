//! One organization with a CA of its own, on storage in memory, and people who act on given instants.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use koshin_expiry::Policy;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, FileSigner, Gate, Profile, ProfileConfig, Random, SignatureAlgorithm, Signer,
    SignerError, create_issuing, create_root, new_serial,
};
use koshin_notify::Notice;
use koshin_ra::{
    Access, Actor, Bundle, Issuing, MemoryStore, NoEntropy, Organization, Passwords, Ra, SessionToken, Sessions,
    Settings, SignedIn, Subject,
};
use koshin_renewal::Holding;
use koshin_types::{Fingerprint, Language, ProtectionLevel, RenewalId, Role, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

/// A Sunday in November, noon in Japan.
pub(crate) const NOW: UtcDateTime = utc_datetime!(2026-11-22 03:00);
pub(crate) const PASSWORD: &str = "correct horse";

pub(crate) struct Town {
    pub(crate) ra: Ra,
    pub(crate) ca: Arc<Ca>,
    pub(crate) store: Arc<MemoryStore>,
    /// While set, the signer refuses.
    pub(crate) signer_down: Arc<AtomicBool>,
}

struct Switched {
    signer: FileSigner,
    down: Arc<AtomicBool>,
}

impl Signer for Switched {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.signer.public_key_spki()
    }

    fn sign(&self, tbs: &[u8]) -> Result<Vec<u8>, SignerError> {
        if self.down.load(Ordering::Acquire) {
            return Err(SignerError::Unavailable { detail: "switched off by the test".into() });
        }
        self.signer.sign(tbs)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_digest(digest)
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the shape of an entropy source")]
/// Different octets each time, the same in every run.
pub(crate) fn entropy(octets: &mut [u8]) -> Result<(), NoEntropy> {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed).to_be_bytes();
    let digest = ring::digest::digest(&ring::digest::SHA256, &number);
    octets.iter_mut().zip(digest.as_ref().iter().cycle()).for_each(|(to, from)| *to = *from);
    Ok(())
}

pub(crate) fn operator() -> Actor {
    Actor::Operator("test".into())
}

impl Town {
    pub(crate) async fn new() -> Self {
        Self::below(authority(10)).await
    }

    /// A town whose CA ends sooner than a certificate of today would.
    pub(crate) async fn in_the_last_year_of_its_ca() -> Self {
        Self::below(authority(5)).await
    }

    /// The same storage after the CA was replaced.
    pub(crate) fn with_another_ca(&self) -> Ra {
        registration(&self.store, self.store.clone(), authority(10).0)
    }

    async fn below((ca, signer_down): (Arc<Ca>, Arc<AtomicBool>)) -> Self {
        let store = Arc::new(MemoryStore::default());
        let ra = registration(&store, store.clone(), Arc::clone(&ca));
        Self { ra, ca, store, signer_down }.founded().await
    }

    /// With its people, who hold nothing yet.
    pub(crate) async fn founded(self) -> Self {
        let (town, start) = (self, NOW - Duration::days(1500));
        let organization = Organization { id: "C-1".parse().unwrap(), name: "更新商店".into() };
        town.ra.administration().add_organization(&organization, &operator(), start).await.unwrap();
        for (id, role) in [("A-1", Role::Administrator), ("U-1", Role::User), ("U-2", Role::User)] {
            town.add(id, role, start).await;
        }
        town
    }

    pub(crate) async fn add(&self, id: &str, role: Role, at: UtcDateTime) {
        let subject = Subject {
            id: id.parse().unwrap(),
            organization: "C-1".parse().unwrap(),
            role,
            name: id.into(),
            language: Language::Ja,
            address: Some(format!("{}@example.jp", id.to_lowercase()).parse().unwrap()),
            address_rests_until: None,
            password_hash: None,
            last_sign_in: None,
        };
        self.ra.administration().add_subject(&subject, &operator(), at).await.unwrap();
        self.ra.administration().set_password(&subject.id, PASSWORD, &operator(), at).await.unwrap();
    }

    pub(crate) async fn holding(&self, id: &str) -> Holding {
        self.ra.subject(&id.parse().unwrap()).await.unwrap().unwrap().holding.clone()
    }

    /// The newest one-time code that was sent.
    pub(crate) fn code(&self) -> String {
        let mails = self.store.mails();
        let code = mails.iter().rev().find_map(|mail| match &mail.kind {
            Notice::EnrolmentCode { code, .. } => Some(code.reveal().to_owned()),
            _ => None,
        });
        code.expect("a code was sent")
    }

    /// ID, password, code: an enrolment that may be used.
    pub(crate) async fn prove(&self, id: &str, now: UtcDateTime) -> (SessionToken, Access, RenewalId) {
        let token = self.ra.begin_enrolment(id, PASSWORD, now).await.unwrap();
        let (token, renewal, _) = self.ra.prove_enrolment(&token, &self.code(), now).await.unwrap();
        let (access, bound) = self.ra.enrolment_session(&token, now).await.unwrap();
        assert_eq!(bound, renewal);
        (token, access, renewal)
    }

    /// Enrols somebody at an instant, with an activated certificate.
    pub(crate) async fn enrolled(&self, id: &str, now: UtcDateTime) -> Fingerprint {
        self.ra.administration().permit(&id.parse().unwrap(), &operator(), now).await.unwrap();
        let (_, access, renewal) = self.prove(id, now).await;
        let bundle = self.request(&access, renewal, &key(), now).await;
        let fingerprint = sha256(&bundle.certificate);
        let (_, owed) = self.ra.activate(&fingerprint, now).await.unwrap();
        assert!(owed.mail);
        fingerprint
    }

    pub(crate) async fn request(&self, access: &Access, id: RenewalId, csr: &[u8], now: UtcDateTime) -> Bundle {
        self.ra.request_certificate(access, id, csr, ProtectionLevel::File, now).await.unwrap().0
    }

    pub(crate) async fn sign_in(&self, id: &str, certificate: &Fingerprint, now: UtcDateTime) -> SignedIn {
        self.ra.sign_in(Some(certificate), id, PASSWORD, now).await.unwrap()
    }
}

/// An issuing CA that was made 1500 days ago for so many years, with the switch of its signer.
pub(crate) fn authority(years: i64) -> (Arc<Ca>, Arc<AtomicBool>) {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let start = NOW - Duration::days(1500);
    let serial = || new_serial(NOW, random.as_ref()).unwrap();
    let lasting = |years: i64| Validity::new(start, start + Duration::days(365 * years)).unwrap();
    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局").unwrap();
    let root = create_root(&AuthorityPlan::root(name), serial(), lasting(20), &random).unwrap();
    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
    let issuing = create_issuing(&AuthorityPlan::issuing(name), &root, serial(), lasting(years), &random).unwrap();
    let certificate = issuing.certificate_der().to_vec();
    let signer_down = Arc::new(AtomicBool::new(false));
    let signer = Switched { signer: issuing.into_signer(), down: Arc::clone(&signer_down) };
    let profile = Profile::new(ProfileConfig { country: Some("JP".into()), ..ProfileConfig::default() }).unwrap();
    let root = root.certificate_der().to_vec();
    (Arc::new(Ca::load(&certificate, &[root], Box::new(signer), profile).unwrap()), signer_down)
}

/// A registration authority over this storage, with sessions that may be looked at on the way.
pub(crate) fn registration(store: &Arc<MemoryStore>, sessions: Arc<dyn Sessions>, issuing: impl Into<Issuing>) -> Ra {
    let passwords = Passwords::new(&[9; 16]).unwrap();
    let policy = Arc::new(Policy::default_jst());
    let gate = Arc::new(Gate::new());
    let settings = Settings::default();
    let ra = Ra::new(store.clone(), sessions, store.clone(), issuing, gate, policy, passwords, entropy, settings);
    ra.with_tasks(store.outbox())
}

/// A request for a new key.
pub(crate) fn key() -> Vec<u8> {
    let key = rcgen::KeyPair::generate().unwrap();
    rcgen::CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
}

pub(crate) fn sha256(der: &[u8]) -> Fingerprint {
    Fingerprint::new(ring::digest::digest(&ring::digest::SHA256, der).as_ref().try_into().unwrap())
}

/// An instant at which a certificate enrolled a year before has `days` days left.
pub(crate) fn enrolled_for(days: i64) -> UtcDateTime {
    NOW - Duration::days(365 - days)
}
