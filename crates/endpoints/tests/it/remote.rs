//! The CA over a real socket with real mutual TLS: by the RA's own client, and by curl.

use std::{
    net::SocketAddr,
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration as Elapsed,
};

use axum::{Extension, Router, body::Body, middleware::map_response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Response, header};
use http_body_util::BodyExt as _;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use koshin_endpoints::{
    api::{ClientCertificate, router},
    ca::{ChangeKind, IssueRequest, RevocationRequest},
    client::{AddressError, CaAddress, CaClient, CallError},
};
use koshin_issuance::pem;
use koshin_types::{RevocationReason, Rfc3339};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
};
use rustls::{RootCertStore, ServerConfig, crypto::ring::default_provider, server::WebPkiClientVerifier};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_rustls::TlsAcceptor;

use crate::ca::{Bench, client, now, order};

/// A certificate and its key.
struct Identity {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

/// The authority of the machines, which is not the CA: it certifies the CA's server and the RA clients.
struct Machines(CertifiedIssuer<'static, KeyPair>);

impl Machines {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "machines");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        Self(CertifiedIssuer::self_signed(params, key).unwrap())
    }

    fn certificate(&self) -> Vec<u8> {
        self.0.der().to_vec()
    }

    fn certify(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> Identity {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.extended_key_usages = vec![usage];
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap().der().to_vec();
        Identity { certificate, key: key.serialize_der() }
    }

    fn client(&self, name: &str) -> Identity {
        self.certify(name, ExtendedKeyUsagePurpose::ClientAuth)
    }
}

/// A CA that listens on a free port of the loopback.
struct Listening {
    bench: Bench,
    machines: Machines,
    portal: Identity,
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listening {
    async fn new(protocols: &[&str]) -> Self {
        Self::behind(protocols, |router| router).await
    }

    /// With something between the CA and the wire.
    async fn behind(protocols: &[&str], something: impl FnOnce(Router) -> Router) -> Self {
        let machines = Machines::new();
        let portal = machines.client("portal");
        let mut bench = Bench::new();
        bench.clients = vec![client("portal", &portal.certificate)];
        let router = something(router(Arc::new(bench.service()), Arc::new(now)));
        let acceptor = acceptor(&machines, protocols);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, router) = (acceptor.clone(), router.clone());
                tokio::spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let shown = stream.get_ref().1.peer_certificates().unwrap()[0].to_vec();
                    let service = TowerToHyperService::new(router.layer(Extension(ClientCertificate(shown))));
                    drop(
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await,
                    );
                });
            }
        });
        Self { bench, machines, portal, address, connections, task }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    fn address_for(&self, identity: &Identity) -> CaAddress {
        let own = vec![identity.certificate.clone()];
        CaAddress::new(&self.url(), vec![self.machines.certificate()], own, identity.key.clone())
    }

    fn client_for(&self, identity: &Identity) -> CaClient {
        CaClient::new(self.address_for(identity)).unwrap()
    }
}

fn acceptor(machines: &Machines, protocols: &[&str]) -> TlsAcceptor {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(machines.certificate())).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build().unwrap();
    let server = machines.certify("localhost", ExtendedKeyUsagePurpose::ServerAuth);
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(server.key));
    let mut tls = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![CertificateDer::from(server.certificate)], key)
        .unwrap();
    tls.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    TlsAcceptor::from(Arc::new(tls))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_issues_revokes_and_reads_over_both_protocols() {
    for protocols in [&["h2", "http/1.1"][..], &["http/1.1"]] {
        let ca = Listening::new(protocols).await;
        let portal = ca.client_for(&ca.portal);
        let described = portal.ca().await.unwrap();
        assert_eq!(
            (described.certificate, described.profiles),
            (ca.bench.certificate.clone(), vec!["client".to_owned()])
        );
        assert_eq!(described.chain, [ca.bench.certificate.clone(), ca.bench.root.clone()]);

        let request = order(1);
        let issued = portal.issue(&request).await.unwrap();
        assert_eq!(portal.issue(&request).await.unwrap(), issued);
        assert_eq!((issued.validity, &issued.chain), (request.validity, &described.chain));
        let (_, read) = x509_parser::parse_x509_certificate(&issued.certificate).unwrap();
        assert_eq!(read.raw_serial(), issued.serial.as_be_bytes());

        let revocation = RevocationRequest {
            serial: issued.serial,
            reason: RevocationReason::PrivilegeWithdrawn,
            revoked_at: now(),
            invalidity_date: Some(now() - time::Duration::DAY),
        };
        let revoked = portal.revoke(&revocation, now()).await.unwrap();
        assert_eq!((revoked.at, revoked.reason, revoked.by.as_str()), (now(), revocation.reason, "portal"));
        assert_eq!(revoked.invalidity_date, revocation.invalidity_date);
        let changes = portal.changes(0, 100).await.unwrap();
        let kinds: Vec<_> = changes.changes.iter().map(|change| (change.serial, change.kind.clone())).collect();
        assert_eq!(kinds, [(issued.serial, ChangeKind::Issued), (issued.serial, ChangeKind::Revoked(revoked))]);
        assert_eq!((changes.next, changes.head), (2, 2));
        assert_eq!(portal.changes(2, 100).await.unwrap().changes, []);

        let refused = portal.issue(&request).await.unwrap_err();
        let CallError::Refused(refusal) = &refused else { panic!("{refused:?}") };
        assert_eq!((refused.code(), refusal.status.as_u16()), (Some("order.revoked"), 409));
        assert!(!refused.is_transient() && refusal.ends_order() && !refusal.detail.is_empty());
        // HTTP/1.1 gives a connection back a moment after its answer; a call that comes before that opens another.
        let (made, most) = (ca.connections.load(Ordering::Relaxed), protocols.len().abs_diff(3));
        assert!((1..=most).contains(&made), "{made} connections for eight calls, over {protocols:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_calls_share_one_connection() {
    let ca = Listening::new(&["h2"]).await;
    let portal = ca.client_for(&ca.portal);
    portal.ca().await.unwrap();
    let request = order(1);
    let asking: Vec<_> = (0..16)
        .map(|_| {
            let (portal, request) = (portal.clone(), request.clone());
            tokio::spawn(async move { portal.issue(&request).await.unwrap() })
        })
        .collect();
    let mut issued = Vec::new();
    for one in asking {
        issued.push(one.await.unwrap());
    }
    assert!(issued.iter().all(|one| *one == issued[0]));
    assert_eq!((ca.connections.load(Ordering::Relaxed), ca.bench.signatures()), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_helps_later_is_told_from_what_does_not() {
    let ca = Listening::new(&["h2"]).await;
    let portal = ca.client_for(&ca.portal);
    ca.bench.key.away.store(true, Ordering::Relaxed);
    let request = order(1);
    let away = portal.issue(&request).await.unwrap_err();
    let CallError::Refused(refusal) = &away else { panic!("{away:?}") };
    assert_eq!((away.code(), refusal.retry_after), (Some("ca.key_unavailable"), Some(Elapsed::from_secs(5))));
    assert!(away.is_transient() && !refusal.ends_order());
    ca.bench.key.away.store(false, Ordering::Relaxed);
    portal.issue(&request).await.unwrap();

    // Certified by the right authority, and not configured.
    let stranger = ca.client_for(&ca.machines.client("stranger")).ca().await.unwrap_err();
    assert_eq!((stranger.code(), stranger.is_transient()), (Some("client.unknown"), false));
    // Certified by somebody else: TLS ends it.
    let foreign = ca.client_for(&Machines::new().client("portal")).ca().await.unwrap_err();
    assert!(matches!(foreign, CallError::Broken(_) | CallError::Connect(_)), "{foreign:?}");
    // A server that another authority certified is not the CA.
    let mut address = ca.address_for(&ca.portal);
    address.authorities = vec![Machines::new().certificate()];
    let other = CaClient::new(address).unwrap().ca().await.unwrap_err();
    assert!(matches!(other, CallError::Connect(_)), "{other:?}");
    // Nor is one of another name.
    let mut address = ca.address_for(&ca.portal);
    address.url = format!("https://127.0.0.1:{}", ca.address.port());
    let other = CaClient::new(address).unwrap().ca().await.unwrap_err();
    assert!(matches!(other, CallError::Connect(_)), "{other:?}");
}

/// A CA that mixes its answers up, or something in its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_is_compared_with_what_was_asked() {
    let spoil = Arc::new(Mutex::new(None::<(&'static str, Value)>));
    let spoilt = Arc::clone(&spoil);
    let ca = Listening::behind(&["h2"], |router| {
        router.layer(map_response(move |response: Response<Body>| {
            let spoilt = spoilt.lock().unwrap().clone();
            async move {
                let (mut parts, body) = response.into_parts();
                parts.headers.remove(header::CONTENT_LENGTH);
                let mut body: Value = serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
                if let Some((member, value)) = spoilt {
                    body[member] = value;
                }
                Response::from_parts(parts, Body::from(body.to_string()))
            }
        }))
    })
    .await;
    let portal = ca.client_for(&ca.portal);
    let request = order(1);
    let issued = portal.issue(&request).await.unwrap();
    let other = portal.issue(&order(2)).await.unwrap();
    let another_ca = Bench::new();
    let der = |der: &[u8]| json!(STANDARD.encode(der));
    for (member, value, field) in [
        ("certificate", der(b"none"), "certificate"),
        ("certificate", der(&[&issued.certificate[..], b"0"].concat()), "certificate"),
        ("certificate", der(&other.certificate), "serial number"),
        ("serial", json!(other.serial.to_string()), "serial number"),
        ("not_after", json!("2027-11-22T06:26:40Z"), "validity"),
        ("not_before", json!("2026-11-22T06:26:41Z"), "validity"),
        ("chain", json!([]), "issuer"),
        ("chain", json!([der(&another_ca.certificate)]), "issuer"),
        ("chain", json!([der(&ca.bench.root)]), "issuer"),
    ] {
        *spoil.lock().unwrap() = Some((member, value));
        let refused = portal.issue(&request).await.unwrap_err();
        assert!(matches!(refused, CallError::Differs { field: found } if found == field), "{member}: {refused:?}");
        assert!(!refused.is_transient());
    }
    for (member, value) in
        [("serial", json!("xyz")), ("not_after", json!("never")), ("chain", json!(["%"])), ("serial", json!(1))]
    {
        *spoil.lock().unwrap() = Some((member, value));
        let refused = portal.issue(&request).await.unwrap_err();
        assert!(matches!(refused, CallError::Unreadable { .. }) && !refused.is_transient(), "{refused:?}");
    }
    *spoil.lock().unwrap() = None;
    // In PEM too, whose key is the same.
    let text = pem("CERTIFICATE REQUEST", &request.request);
    let in_pem = IssueRequest { request: text.into_bytes(), ..request.clone() };
    assert_eq!(portal.issue(&in_pem).await.unwrap(), issued);
}

#[tokio::test]
async fn a_ca_that_is_gone_or_silent_is_waited_for_no_longer_than_said() {
    let machines = Machines::new();
    let portal = machines.client("portal");
    // Takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address_of = |listener: &TcpListener| {
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let mut address =
            CaAddress::new(&url, vec![machines.certificate()], vec![portal.certificate.clone()], portal.key.clone());
        address.connect = Elapsed::from_millis(200);
        address
    };
    let (to_silent, to_gone) = (address_of(&silent), address_of(&gone));
    drop(gone);
    let refused = CaClient::new(to_gone).unwrap().ca().await.unwrap_err();
    assert!(matches!(refused, CallError::Connect(_)) && refused.is_transient(), "{refused:?}");
    let refused = CaClient::new(to_silent).unwrap().ca().await.unwrap_err();
    assert!(matches!(refused, CallError::Connect(_)) && refused.is_transient(), "{refused:?}");
    let mut impatient = address_of(&silent);
    impatient.total = Elapsed::from_millis(50);
    let refused = CaClient::new(impatient).unwrap().ca().await.unwrap_err();
    assert!(matches!(refused, CallError::TimedOut { .. }) && refused.is_transient(), "{refused:?}");
}

#[test]
fn an_address_is_checked_before_it_is_used() {
    let machines = Machines::new();
    let portal = machines.client("portal");
    let new = |url: &str, authorities: Vec<Vec<u8>>, key: &[u8]| {
        let own = vec![portal.certificate.clone()];
        CaClient::new(CaAddress::new(url, authorities, own, key.to_vec())).map(|_| ()).unwrap_err()
    };
    let authorities = || vec![machines.certificate()];
    for url in
        ["http://ca.example", "ca.example:8443", "https://ca.example/v1", "https://ca.example/?x", "https://a@b", ""]
    {
        assert!(matches!(new(url, authorities(), &portal.key), AddressError::Url { .. }), "{url}");
    }
    let url = "https://ca.example";
    assert!(matches!(new(url, Vec::new(), &portal.key), AddressError::NoAuthority));
    let bad = new(url, vec![machines.certificate(), b"none".to_vec()], &portal.key);
    assert!(matches!(bad, AddressError::Authority { number: 1, .. }), "{bad:?}");
    assert!(matches!(new(url, authorities(), b"no key"), AddressError::Own { .. }));
    let others = Machines::new().client("portal").key;
    assert!(matches!(new(url, authorities(), &others), AddressError::Own { .. }), "certificate and key have to fit");
    let shown = format!("{:?}", CaAddress::new(url, Vec::new(), Vec::new(), portal.key.clone()));
    assert!(!shown.contains("key"), "{shown}");
}

/// An RA that is not ours: curl and openssl.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn curl_with_a_certificate_gets_one_that_openssl_verifies() {
    let ca = Listening::new(&["h2", "http/1.1"]).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, label: &str, der: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, pem(label, der)).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let certificate = file("portal.pem", "CERTIFICATE", &ca.portal.certificate);
    let key = file("portal.key", "PRIVATE KEY", &ca.portal.key);
    let machines = file("machines.pem", "CERTIFICATE", &ca.machines.certificate());
    let url = ca.url();
    let curl = async |arguments: Vec<String>| {
        let mut command = tokio::task::spawn_blocking({
            let common = ["-s", "-m", "20", "--cacert", &machines].map(str::to_owned);
            move || Command::new("curl").args(common).args(arguments).output()
        });
        let output = (&mut command).await.unwrap().unwrap();
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    };
    let request = folder.path().join("request.der").to_str().unwrap().to_owned();
    let made = Command::new("openssl")
        .args(["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=whoever"])
        .args(["-keyout", folder.path().join("holder.key").to_str().unwrap(), "-outform", "DER", "-out", &request])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let wish = order(9);
    let body = json!({
        "renewal_id": wish.renewal.to_string(), "profile": "client",
        "subject": { "organization": "更新商店", "id": "U-9" },
        "not_before": Rfc3339(wish.validity.not_before()).to_string(),
        "not_after": Rfc3339(wish.validity.not_after()).to_string(),
        "now": Rfc3339(now()).to_string(),
        "request": STANDARD.encode(std::fs::read(&request).unwrap()),
    });
    let sent = |more: &[&str]| {
        let own = ["--cert", &certificate, "--key", &key];
        let fixed = ["-H", "Content-Type: application/json", "-d", &body.to_string(), &format!("{url}/v1/issue")];
        own.iter().chain(more).map(|text| (*text).to_owned()).chain(fixed.map(str::to_owned)).collect::<Vec<_>>()
    };
    let (done, first) = curl(sent(&["--http2"])).await;
    assert!(done, "{first}");
    let (_, second) = curl(sent(&["--http1.1"])).await;
    assert_eq!(first, second, "the same certificate, over either protocol");
    let answer: Value = serde_json::from_str(&first).unwrap();
    let der = STANDARD.decode(answer["certificate"].as_str().expect(&first)).unwrap();
    let leaf = file("leaf.pem", "CERTIFICATE", &der);
    let issuing = file("issuing.pem", "CERTIFICATE", &ca.bench.certificate);
    let root = file("root.pem", "CERTIFICATE", &ca.bench.root);
    let at = now().unix_timestamp().to_string();
    let judged = Command::new("openssl")
        .args(["verify", "-x509_strict", "-purpose", "sslclient", "-attime", &at])
        .args(["-CAfile", &root, "-untrusted", &issuing, &leaf])
        .output()
        .unwrap();
    assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stderr));

    let (done, _) = curl(vec![format!("{url}/v1/ca")]).await;
    assert!(!done, "without a certificate there is no connection");
    let stranger = ca.machines.client("stranger");
    let shown = file("stranger.pem", "CERTIFICATE", &stranger.certificate);
    let its_key = file("stranger.key", "PRIVATE KEY", &stranger.key);
    let (_, answer) =
        curl(["--cert", &shown, "--key", &its_key, &format!("{url}/v1/ca")].map(str::to_owned).to_vec()).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["code"], "client.unknown");
}
