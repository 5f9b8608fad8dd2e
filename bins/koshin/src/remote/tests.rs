//! The suite of the port, on a CA behind a real socket and real mutual TLS.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use axum::Extension;
use http::StatusCode;
use koshin_edge::{Edge, GreetingVerifier, serve, tls_config_demanding};
use koshin_endpoints::{
    api::{self, ClientCertificate},
    ca::{self, CaParts, CaService, Client, IssuingProfile, Ledger as _, MemoryLedger, Right, Signing},
    client::{CaAddress, CaClient, CallError, Refusal},
};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, CertificationRequest, Gate, IssuerCertificate, Profile, ProfileConfig, Random,
    create_root, new_serial,
};
use koshin_ra::{Authority, AuthorityError, Order, conformance::authority::AuthorityRig};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use time::{Duration, UtcDateTime, macros::utc_datetime};

use super::{RemoteAuthority, failed};

fn now() -> UtcDateTime {
    utc_datetime!(2026-11-22 06:26:40)
}

/// A CA that listens, and what a portal has to know of it.
struct Listening {
    remote: RemoteAuthority,
    issuer: IssuerCertificate,
    ledger: Arc<MemoryLedger>,
}

#[async_trait]
impl AuthorityRig for Listening {
    fn authority(&self) -> &dyn Authority {
        &self.remote
    }

    fn issuer(&self) -> &IssuerCertificate {
        &self.issuer
    }

    fn now(&self) -> UtcDateTime {
        now()
    }

    fn request(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        CertificateParams::default().serialize_request(&key).unwrap().der().to_vec()
    }

    async fn revoke_there(&self, serial: SerialNumber, reason: RevocationReason) {
        let revocation = ca::Revocation { at: now(), reason, invalidity_date: None, by: "operator".to_owned() };
        self.ledger.revoke(&serial, &revocation, now()).await.unwrap();
    }
}

/// Certificate and key of a machine, certified by the machines' own authority.
fn machine(
    name: &str,
    usage: ExtendedKeyUsagePurpose,
    authority: &CertifiedIssuer<'static, KeyPair>,
) -> (Vec<u8>, Vec<u8>) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![usage];
    (params.signed_by(&key, authority).unwrap().der().to_vec(), key.serialize_der())
}

fn service(portal: Fingerprint, ledger: &Arc<MemoryLedger>) -> CaService {
    let random: Random = Arc::new(ring::rand::SystemRandom::new());
    let name = AuthorityName::new(Some("JP"), "更新信用金庫", "更新電子証明書認証局").unwrap();
    let lasting = Validity::new(now() - Duration::DAY, now() + Duration::days(3650)).unwrap();
    let serial = new_serial(now(), random.as_ref()).unwrap();
    let root = create_root(&AuthorityPlan::root(name), serial, lasting, &random).unwrap();
    let client = Client {
        name: "portal".to_owned(),
        certificates: BTreeSet::from([portal]),
        profiles: ["client", "staff"].map(str::to_owned).into(),
        rights: Right::ALL.into(),
    };
    let profile = IssuingProfile::new(Profile::new(ProfileConfig::default()).unwrap());
    CaService::new(CaParts {
        certificate: root.certificate_der().to_vec(),
        chain: Vec::new(),
        signer: Arc::new(root.into_signer()),
        signing: Signing::Inline,
        random,
        gate: Gate::new(),
        ledger: Arc::clone(ledger) as _,
        profiles: ["client", "staff"].map(|name| (name.to_owned(), profile.clone())).into(),
        clients: vec![client],
    })
    .unwrap()
}

async fn listening() -> Listening {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let machines = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let (server, server_key) = machine("localhost", ExtendedKeyUsagePurpose::ServerAuth, &machines);
    let (portal, portal_key) = machine("portal", ExtendedKeyUsagePurpose::ClientAuth, &machines);
    let digest = ring::digest::digest(&ring::digest::SHA256, &portal);
    let fingerprint = Fingerprint::new(digest.as_ref().try_into().unwrap());

    let ledger = Arc::new(MemoryLedger::default());
    let service = Arc::new(service(fingerprint, &ledger));
    let issuer = IssuerCertificate::from(&**service.ca());
    let verifier = Arc::new(GreetingVerifier::of_clients([fingerprint]).unwrap());
    let edge = Edge::new(Arc::new(now));
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server_key));
    let demanded = verifier.demanded(Arc::clone(&edge.now));
    let tls = tls_config_demanding(vec![CertificateDer::from(server)], key, demanded).unwrap();
    let edge = Edge { verifier: Some(verifier), ..edge };
    let router = api::router(service, Arc::new(now)).layer(Extension(ClientCertificate(portal.clone())));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    tokio::spawn(serve(listener, Some(tls), router, edge, std::future::pending()));

    let address = CaAddress::new(&url, vec![machines.der().to_vec()], vec![portal], portal_key);
    let remote = RemoteAuthority { client: CaClient::new(address).unwrap(), profile: "client".to_owned() };
    Listening { remote, issuer, ledger }
}

koshin_ra::authority_conformance!(listening);

fn order(rig: &Listening) -> Order {
    let request = rig.request();
    let spki = CertificationRequest::from_der(&request, &Gate::new()).unwrap().spki_fingerprint();
    Order {
        renewal: RenewalId::new([7; 16]),
        spki,
        organization: "緑商事株式会社".into(),
        subject: "U-7".parse().unwrap(),
        mail: None,
        validity: Validity::new(now(), now() + Duration::days(365) - Duration::SECOND).unwrap(),
        request,
        at: now(),
    }
}

/// What the CA's sentence is, when an operator has to read it.
async fn declined(rig: &Listening, order: &Order) -> String {
    match rig.remote.issue(order, now()).await {
        Err(AuthorityError::Declined { detail }) => detail,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_no_validity_of_today_mends_is_the_operators() {
    let rig = listening().await;
    let right = order(&rig);
    let lasting = |from: UtcDateTime, days| Validity::new(from, from + Duration::days(days)).unwrap();
    let too_long = declined(&rig, &Order { validity: lasting(now(), 3000), ..right.clone() }).await;
    assert!(too_long.contains("validity.too_long") && too_long.contains("expiry policy"), "{too_long}");
    let ahead = declined(&rig, &Order { validity: lasting(now() + Duration::DAY, 100), ..right.clone() }).await;
    assert!(ahead.contains("validity.ahead"), "{ahead}");
    let old = Order { validity: lasting(now() - Duration::days(60), 100), ..right.clone() };
    assert_eq!(rig.remote.issue(&old, now()).await, Err(AuthorityError::Stale));
    rig.remote.issue(&right, now()).await.unwrap();
}

/// The profile's name was changed between two tries of the same order: put back, it is answered.
#[tokio::test]
async fn a_changed_profile_ends_no_renewal() {
    let mut rig = listening().await;
    let order = order(&rig);
    let certificate = rig.remote.issue(&order, now()).await.unwrap();
    rig.remote.profile = "staff".to_owned();
    let detail = declined(&rig, &order).await;
    assert!(detail.contains("order.differs"), "{detail}");
    rig.remote.profile = "client".to_owned();
    assert_eq!(rig.remote.issue(&order, now()).await, Ok(certificate));
}

#[test]
fn each_refusal_has_its_meaning() {
    let meaning = |status: u16, code: &str| {
        failed(CallError::Refused(Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            code: code.to_owned(),
            detail: "What happened.".to_owned(),
            remedy: "What to do.".to_owned(),
            retry_after: None,
        }))
    };
    for code in ["validity.backdated", "validity.beyond_ca"] {
        assert_eq!(meaning(422, code), AuthorityError::Stale);
    }
    let sentence = |code: &str| format!("the CA refused ({code}): What happened. What to do.");
    for (status, code) in
        [(422, "validity.too_long"), (422, "validity.ahead"), (409, "order.differs"), (422, "subject.name")]
    {
        assert_eq!(meaning(status, code), AuthorityError::Declined { detail: sentence(code) });
    }
    for (status, code) in [(422, "request.key"), (422, "key.of_ca"), (409, "key.seen"), (409, "order.revoked")] {
        assert_eq!(meaning(status, code), AuthorityError::Refused { code: code.to_owned() });
    }
    for (status, code) in [(503, "ca.unavailable"), (403, "client.unknown"), (429, "too_many")] {
        assert_eq!(meaning(status, code), AuthorityError::Unavailable { detail: sentence(code) });
    }
    let differs = failed(CallError::Differs { field: "issuer" });
    assert!(matches!(differs, AuthorityError::Declined { .. }), "{differs:?}");
}
