//! A CA with its responder on a free port, and what is known of its certificates.

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use axum::Router;
use koshin_endpoints::{OcspService, OcspSettings, StatusSource, StatusUnavailable};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, CertificationRequest, FileSigner, Gate, KeyedCertificate, OcspResponder,
    OcspStatus, Profile, ProfileConfig, Random, SubjectName, create_issuing, create_ocsp_responder, create_root, pem,
};
use koshin_types::{SerialNumber, Validity};
use tempfile::TempDir;
use time::{Duration, UtcDateTime};

pub(crate) const NOW: i64 = 1_795_328_800;

pub(crate) fn now() -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(NOW).unwrap()
}

pub(crate) fn serial(low: u8) -> SerialNumber {
    SerialNumber::from_time_and_random(NOW * 1000, [low; 13])
}

pub(crate) fn days(days: i64) -> Validity {
    Validity::new(now() - Duration::HOUR, now() + Duration::days(days)).unwrap()
}

pub(crate) fn random() -> Random {
    Arc::new(ring::rand::SystemRandom::new())
}

/// What the ledger would say, and how often it was asked. `None` for a ledger that cannot answer.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) statuses: Mutex<Option<HashMap<SerialNumber, OcspStatus>>>,
    pub(crate) asked: AtomicUsize,
}

#[async_trait]
impl StatusSource for Known {
    async fn status(&self, serial: &SerialNumber) -> Result<OcspStatus, StatusUnavailable> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        match &*self.statuses.lock().unwrap() {
            Some(known) => Ok(known.get(serial).copied().unwrap_or(OcspStatus::Unknown)),
            None => Err(StatusUnavailable("the ledger is away".into())),
        }
    }
}

/// An issuing CA below a root.
pub(crate) struct Issuing {
    pub(crate) root: String,
    pub(crate) certificate: Vec<u8>,
    /// PKCS#8, DER.
    pub(crate) key: Vec<u8>,
}

impl Issuing {
    pub(crate) fn new() -> Self {
        let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新ルート認証局").unwrap();
        let root = create_root(&AuthorityPlan::root(name), serial(1), days(7300), &random()).unwrap();
        let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
        let issuing = create_issuing(&AuthorityPlan::issuing(name), &root, serial(2), days(3650), &random()).unwrap();
        let (certificate, key) = (issuing.certificate_der().to_vec(), issuing.pkcs8_der().to_vec());
        Self { root: root.certificate_pem(), certificate, key }
    }

    pub(crate) fn ca(&self) -> Ca {
        let signer = FileSigner::from_pkcs8_der(&self.key, random()).unwrap();
        Ca::load(&self.certificate, &[], Box::new(signer), Profile::new(ProfileConfig::default()).unwrap()).unwrap()
    }

    /// Both certificates.
    pub(crate) fn trust(&self) -> String {
        [&*self.root, &pem("CERTIFICATE", &self.certificate)].concat()
    }
}

pub(crate) struct Bench {
    pub(crate) service: OcspService,
    pub(crate) known: Arc<Known>,
    pub(crate) clock: Arc<Mutex<UtcDateTime>>,
    pub(crate) ca: Arc<Ca>,
    /// The root's certificate.
    pub(crate) root: String,
    folder: TempDir,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let issuing = Issuing::new();
        let ca = Arc::new(issuing.ca());
        let known = Arc::new(Known { statuses: Mutex::new(Some(HashMap::new())), ..Known::default() });
        let clock = Arc::new(Mutex::new(now()));
        let reading = Arc::clone(&clock);
        let source: Arc<dyn StatusSource> = Arc::clone(&known) as _;
        let service = OcspService::new(source, Arc::new(move || *reading.lock().unwrap()), OcspSettings::default());
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("trust.pem"), issuing.trust()).unwrap();
        std::fs::write(folder.path().join("issuer.pem"), pem("CERTIFICATE", &issuing.certificate)).unwrap();
        Self { service, known, clock, ca, root: issuing.root, folder }
    }

    /// Gives the service a responder for so many days.
    pub(crate) fn install(&self, for_days: i64) {
        let made = self.made_responder(for_days);
        let certificate = made.certificate_der().to_vec();
        let signer = Box::new(made.into_signer());
        self.service.install(OcspResponder::load(self.ca.certificate_der(), &certificate, signer).unwrap());
    }

    fn made_responder(&self, for_days: i64) -> KeyedCertificate {
        let organization = "更新信用金庫";
        create_ocsp_responder(organization, "OCSP", self.ca.parent(), serial(50), days(for_days), &random()).unwrap()
    }

    /// The certificate of a responder.
    pub(crate) fn responder(&self) -> Vec<u8> {
        self.made_responder(14).certificate_der().to_vec()
    }

    /// Issues a certificate; the ledger knows it with this status, or does not.
    pub(crate) fn leaf(&self, low: u8, status: Option<OcspStatus>) -> String {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let request = CertificationRequest::from_der(csr.der(), &Gate::new()).unwrap();
        let subject = SubjectName::new("更新商店", "U-1").unwrap();
        let prepared = self.ca.prepare(request, &subject, None, serial(low), days(365)).unwrap();
        let leaf = self.ca.issue(prepared.recorded()).unwrap();
        if let Some(status) = status {
            self.set(low, status);
        }
        let path = self.path(&format!("{low}.pem"));
        std::fs::write(&path, pem("CERTIFICATE", leaf.der())).unwrap();
        path
    }

    pub(crate) fn set(&self, low: u8, status: OcspStatus) {
        self.known.statuses.lock().unwrap().as_mut().unwrap().insert(serial(low), status);
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().unwrap().to_owned()
    }

    /// The DER request that openssl makes about a certificate.
    pub(crate) fn question(&self, leaf: &str, options: &[&str]) -> Vec<u8> {
        let (issuer, file) = (self.path("issuer.pem"), self.path("question.der"));
        let common = ["ocsp", "-issuer", &issuer, "-cert", leaf, "-reqout", &file];
        let (good, text) = openssl(&[&common[..], options].concat());
        assert!(good, "{text}");
        std::fs::read(file).unwrap()
    }

    /// What openssl makes of asking the service about certificates, over a socket.
    pub(crate) async fn ask(&self, at: SocketAddr, leaf: &str, options: &[&str]) -> String {
        let (issuer, trust) = (self.path("issuer.pem"), self.path("trust.pem"));
        let (url, time) = (format!("http://{at}/ocsp"), (NOW + 60).to_string());
        let options: Vec<String> = options.iter().map(ToString::to_string).collect();
        let leaf = leaf.to_owned();
        tokio::task::spawn_blocking(move || {
            let common = ["ocsp", "-issuer", &issuer, "-cert", &leaf, "-url", &url, "-CAfile", &trust];
            let dates = ["-attime", &time, "-validity_period", "1000000000"];
            let options: Vec<&str> = options.iter().map(String::as_str).collect();
            openssl(&[&common[..], &dates, &options].concat()).1
        })
        .await
        .unwrap()
    }
}

/// Serves on a free port until the test ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    at
}

pub(crate) fn openssl(arguments: &[&str]) -> (bool, String) {
    let done = Command::new("openssl").args(arguments).output().expect("these tests need the Debian package openssl");
    let text = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&text).into_owned())
}
