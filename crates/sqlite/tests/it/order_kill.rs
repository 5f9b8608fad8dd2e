//! `kill -9` after a request is stored and before a CA elsewhere has answered it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use async_trait::async_trait;
use koshin_expiry::Policy;
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, Gate, IssuerCertificate, Profile, ProfileConfig, Random, create_root, new_serial,
};
use koshin_ra::{
    Access, Authority, AuthorityError, Correspondence as _, Issuing, MemoryAuthority, NoEntropy, Order, Passwords,
    Proof, Ra, Registry as _, Revocation, Session, SessionKind, Settings,
};
use koshin_renewal::State;
use koshin_sqlite::Store;
use koshin_types::{ProtectionLevel, Validity};
use ring::rand::{SecureRandom as _, SystemRandom};
use time::{Duration, UtcDateTime};

use crate::bench::{Bench, at, commit, hash, id, options, permit, renewal_id};

const FOLDER: &str = "KOSHIN_SQLITE_TEST_ORDER";
const REQUEST: &[u8] = include_bytes!("../../../issuance/tests/it/data/p256.pem");

fn entropy(octets: &mut [u8]) -> Result<(), NoEntropy> {
    SystemRandom::new().fill(octets).map_err(|_| NoEntropy)
}

fn authority() -> Arc<Ca> {
    let random: Random = Arc::new(SystemRandom::new());
    let start = at(0) - Duration::DAY;
    let name = AuthorityName::new(Some("JP"), "Midori Bank", "Midori CA").unwrap();
    let lasting = Validity::new(start, start + Duration::days(3650)).unwrap();
    let serial = new_serial(start, random.as_ref()).unwrap();
    let root = create_root(&AuthorityPlan::root(name), serial, lasting, &random).unwrap();
    let certificate = root.certificate_der().to_vec();
    let profile = Profile::new(ProfileConfig::default()).unwrap();
    Arc::new(Ca::load(&certificate, &[], Box::new(root.into_signer()), profile).unwrap())
}

fn registration(store: &Store, authority: Arc<dyn Authority>, issuer: IssuerCertificate) -> Ra {
    let store = Arc::new(store.clone());
    let issuing = Issuing::Elsewhere { authority, issuer: Arc::new(issuer), correspondence: store.clone() };
    let (gate, policy) = (Arc::new(Gate::new()), Arc::new(Policy::default_jst()));
    let passwords = Passwords::new(&[7; 16]).unwrap();
    Ra::new(store.clone(), store.clone(), store, issuing, gate, policy, passwords, entropy, Settings::default())
}

/// Says that it was asked, and never answers.
struct Silent;

#[async_trait]
impl Authority for Silent {
    async fn issue(&self, _order: &Order, _now: UtcDateTime) -> Result<Vec<u8>, AuthorityError> {
        let mut out = std::io::stdout();
        writeln!(out, "\nasked").unwrap();
        out.flush().unwrap();
        std::future::pending().await
    }

    async fn revoke(&self, _revocation: &Revocation, _now: UtcDateTime) -> Result<(), AuthorityError> {
        std::future::pending().await
    }

    async fn changes(&self, _after: u64) -> Result<(u64, Vec<Revocation>), AuthorityError> {
        std::future::pending().await
    }
}

/// The process that is killed: it hands in a request.
async fn ask(folder: &Path) {
    let store = Store::open(&folder.join("koshin.db"), &options()).await.unwrap();
    let issuer = IssuerCertificate::read(&std::fs::read(folder.join("ca.cer")).unwrap(), &[]).unwrap();
    let ra = registration(&store, Arc::new(Silent), issuer);
    let file = store.subject(&id(1)).await.unwrap().unwrap();
    let kind = SessionKind::Enrolment { subject: Some(id(1)), proof: Proof::Proven { renewal: renewal_id(1) } };
    let session = Session { key: hash(1), kind, opened_at: at(1), seen_at: at(1), ends_at: at(99) };
    let access = Access { session, file };
    let answer = ra.request_certificate(&access, renewal_id(1), REQUEST, ProtectionLevel::File, at(2)).await;
    panic!("nobody answers: {answer:?}");
}

/// F02: the same request is answered after the restart, once.
#[test]
fn what_was_asked_of_a_ca_elsewhere_survives_kill_9_and_is_answered_once() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(folder) = std::env::var_os(FOLDER) {
        return runtime.block_on(ask(Path::new(&folder)));
    }
    let ca = authority();
    let bench = runtime.block_on(async {
        let bench = Bench::with(1).await;
        permit(&bench.store, 1, at(0)).await.unwrap();
        let file = bench.file(1).await;
        let enrol = file.holding.enrol(renewal_id(1), &Policy::default_jst(), at(1)).unwrap();
        bench.store.commit(commit(&file, enrol, at(1))).await.unwrap();
        bench.store.shut_down().await;
        std::fs::write(bench.folder.path().join("ca.cer"), ca.certificate_der()).unwrap();
        bench
    });
    let name = "order_kill::what_was_asked_of_a_ca_elsewhere_survives_kill_9_and_is_answered_once";
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(FOLDER, bench.folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let asked = lines.any(|line| line.is_ok_and(|line| line == "asked"));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(asked, "the child never came so far");

    runtime.block_on(async {
        let store = Store::open(&bench.path(), &options()).await.unwrap();
        let state = async || store.subject(&id(1)).await.unwrap().unwrap().holding.renewal.clone().unwrap().state;
        assert!(matches!(state().await, State::Requested { .. }));
        let order = store.order(&renewal_id(1)).await.unwrap().unwrap();
        assert!(!order.request.is_empty() && order.at == at(2));
        // An operator sees it wait.
        assert_eq!(store.waiting_orders(at(3), 9).await.unwrap(), (1, vec![order.clone()]));
        assert_eq!(store.waiting_orders(at(2), 9).await.unwrap(), (0, vec![]));
        let there = Arc::new(MemoryAuthority::new(Arc::clone(&ca), entropy));
        let ra = registration(&store, there.clone(), IssuerCertificate::from(&*ca));
        for minute in 3..6 {
            let _ = ra.sweep(at(minute)).await.unwrap();
        }
        let State::Issued { issued } = state().await else { panic!("it was not issued") };
        let [(renewal, der)] = &there.issued()[..] else { panic!("{:?}", there.issued().len()) };
        let document = store.document(&issued.serial).await.unwrap().unwrap();
        assert_eq!((*renewal, Some(der)), (renewal_id(1), document.certificate.as_ref()));
        assert_eq!((document.intent.spki, document.intent.validity), (order.spki, order.validity));
        assert!(store.waiting_since().await.unwrap().is_none());
        assert_eq!(store.waiting_orders(at(9), 9).await.unwrap(), (0, vec![]));
        store.audit_replay().await.unwrap();
        store.shut_down().await;
    });
}
