//! What many, or much, at once does not stop.

use std::{
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, FileSigner, Profile, ProfileConfig, Random, SignatureAlgorithm, Signer,
    SignerError, create_root, new_serial,
};
use koshin_ra::{ChangeError, IssuanceError, LocalAuthority, Ra};
use koshin_renewal::Refused;
use koshin_types::{ProtectionLevel, RenewalId, Validity};
use time::Duration as Day;
use tokio::time::timeout;

use crate::town::{NOW, Town, enrolled_for, key, registration};

/// As long as a request with the smallest RSA key, and nothing that can be read.
const LARGE: [u8; 512] = [b'0'; 512];

#[test]
fn large_requests_are_bounded_and_hold_up_nobody() {
    // One thread for all heavy work, so that the test can occupy it.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().max_blocking_threads(1).build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let old = town.enrolled("U-1", enrolled_for(8)).await;
        let access = town.sign_in("U-1", &old, NOW).await.access;
        let id = town.ra.start_renewal(&access, NOW).await.unwrap();
        let request = |octets: &[u8], id| {
            let (ra, access, octets) = (town.ra.clone(), access.clone(), octets.to_vec());
            async move {
                let asked = ra.request_certificate(&access, id, &octets, ProtectionLevel::File, NOW);
                timeout(Duration::from_secs(5), asked).await.expect("an answer without waiting")
            }
        };

        let (go, wait) = mpsc::channel::<()>();
        let occupied = tokio::task::spawn_blocking(move || wait.recv());
        let waiting: Vec<_> = (0..Ra::LARGE_REQUESTS)
            .map(|_| {
                let (ra, access) = (town.ra.clone(), access.clone());
                tokio::spawn(async move {
                    ra.request_certificate(&access, id, &LARGE, ProtectionLevel::File, NOW).await
                })
            })
            .collect();
        // Each of them comes as far as it can.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        let full = request(&LARGE, id).await;
        assert!(matches!(full, Err(IssuanceError::Busy)), "{full:?}");
        // Nothing is computed for a renewal that takes no request, and an elliptic curve needs no turn.
        let foreign = RenewalId::new([1; 16]);
        let refused = request(&LARGE, foreign).await;
        assert!(
            matches!(refused, Err(IssuanceError::Change(ChangeError::Refused(Refused::NoRenewal { id })) ) if id == foreign)
        );
        let (bundle, _) = request(&key(), id).await.unwrap();

        go.send(()).unwrap();
        occupied.await.unwrap().unwrap();
        for one in waiting {
            assert!(matches!(one.await.unwrap(), Err(IssuanceError::Rejected(_))));
        }
        let access = town.ra.holder(&old).await.unwrap().unwrap();
        assert_eq!(access.holding.open_renewal().and_then(|open| open.state.serial()), Some(bundle.serial));
    });
}

/// A signer that lets its caller wait, as a token does, until it is told to go on.
struct Held {
    signer: FileSigner,
    begun: Mutex<mpsc::Sender<()>>,
    go: Mutex<mpsc::Receiver<()>>,
}

impl Signer for Held {
    fn algorithm(&self) -> SignatureAlgorithm {
        self.signer.algorithm()
    }

    fn public_key_spki(&self) -> &[u8] {
        self.signer.public_key_spki()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.begun.lock().unwrap().send(()).unwrap();
        self.go.lock().unwrap().recv().unwrap();
        self.signer.sign(message)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignerError> {
        self.signer.sign_digest(digest)
    }
}

/// A CA whose key waits each time before it signs; with what it says then, and what it waits for.
fn held_authority() -> (Arc<Ca>, mpsc::Receiver<()>, mpsc::Sender<()>) {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let start = NOW - Day::days(1500);
    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
    let lasting = Validity::new(start, start + Day::days(3650)).unwrap();
    let serial = new_serial(NOW, random.as_ref()).unwrap();
    let root = create_root(&AuthorityPlan::root(name), serial, lasting, &random).unwrap();
    let certificate = root.certificate_der().to_vec();
    let (begun, has_begun) = mpsc::channel();
    let (go, wait) = mpsc::channel();
    let signer = Held { signer: root.into_signer(), begun: Mutex::new(begun), go: Mutex::new(wait) };
    let profile = Profile::new(ProfileConfig::default()).unwrap();
    (Arc::new(Ca::load(&certificate, &[], Box::new(signer), profile).unwrap()), has_begun, go)
}

/// One thread for everything: while a token lets a signature wait, people sign in; and those who ask for the same
/// certificate meanwhile get the one that comes of it.
#[test]
fn a_token_that_takes_its_time_holds_up_nobody() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let old = town.enrolled("U-1", enrolled_for(8)).await;
        let (ca, begun, go) = held_authority();
        let ra = registration(&town.store, town.store.clone(), LocalAuthority::with_token(ca));
        let access = town.sign_in("U-1", &old, NOW).await.access;
        let id = ra.start_renewal(&access, NOW).await.unwrap();
        let csr = key();
        let ask = || {
            let (ra, access, csr) = (ra.clone(), access.clone(), csr.clone());
            tokio::spawn(async move { ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await })
        };
        let first = ask();
        // The runtime's only thread goes on while the token thinks.
        let mut waited = 0;
        while begun.try_recv().is_err() {
            tokio::time::sleep(Duration::from_millis(5)).await;
            waited += 1;
            assert!(waited < 1000, "the token is never asked");
        }
        let signed_in = timeout(Duration::from_secs(5), town.sign_in("U-1", &old, NOW)).await.expect("logins go on");
        assert!(signed_in.notice && !first.is_finished());
        let state = ra.holder(&old).await.unwrap().unwrap().holding.open_renewal().unwrap().state;
        assert!(matches!(state, koshin_renewal::State::Intended { .. }), "{state:?}");
        let second = ask();
        for _ in 0..2 {
            go.send(()).unwrap();
        }
        let (first, _) = first.await.unwrap().unwrap();
        let (second, _) = second.await.unwrap().unwrap();
        assert_eq!(first, second);
    });
}

/// So many may wait for a token, and no more; whoever is sent away keeps the renewal as it is.
#[test]
fn those_who_wait_for_a_token_are_bounded() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let town = Town::new().await;
        let old = town.enrolled("U-1", enrolled_for(8)).await;
        let (ca, _begun, go) = held_authority();
        let ra = registration(&town.store, town.store.clone(), LocalAuthority::with_token(ca));
        let access = town.sign_in("U-1", &old, NOW).await.access;
        let id = ra.start_renewal(&access, NOW).await.unwrap();
        let csr = key();
        let ask = || {
            let (ra, access, csr) = (ra.clone(), access.clone(), csr.clone());
            tokio::spawn(async move { ra.request_certificate(&access, id, &csr, ProtectionLevel::File, NOW).await })
        };
        let waiting: Vec<_> = (0..LocalAuthority::TOKEN_QUEUE).map(|_| ask()).collect();
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let full = timeout(Duration::from_secs(5), ask()).await.expect("an answer without waiting").unwrap();
        let Err(IssuanceError::Issue(error)) = full else { panic!("{full:?}") };
        assert!(error.is_transient(), "{error:?}");
        for _ in 0..LocalAuthority::TOKEN_QUEUE {
            go.send(()).unwrap();
        }
        for one in waiting {
            let _ = one.await.unwrap().unwrap();
        }
        assert_eq!(ra.holder(&old).await.unwrap().unwrap().holding.certificates.len(), 2);
    });
}
