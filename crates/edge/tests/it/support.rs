//! Authorities, a served router and a client, for the tests of the edge.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use axum::{Extension, Router, body::Bytes, routing::get, routing::post};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use koshin_edge::{
    ClientCertificate, Connections, Edge, GreetingVerifier, Limits, RequestInstant, Stopped, Trust, serve, tls_config,
    tls_config_demanding,
};
use koshin_types::Fingerprint;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{
    ClientConfig, ClientConnection, HandshakeKind, RootCertStore, SignatureScheme, SupportedProtocolVersion,
    client::ResolvesClientCert,
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use time::{OffsetDateTime, UtcDateTime, macros::utc_datetime};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

pub(super) const NOW: UtcDateTime = utc_datetime!(2026-11-22 12:00);
pub(super) const BOTH: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// Days from `NOW`.
pub(super) fn day(days: i64) -> UtcDateTime {
    NOW + time::Duration::days(days)
}

/// What somebody shows and signs with.
#[derive(Clone)]
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: Arc<KeyPair>,
}

impl Identity {
    pub(super) fn der(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    pub(super) fn with_chain(mut self, more: &[CertificateDer<'static>]) -> Self {
        self.chain.extend_from_slice(more);
        self
    }

    fn private_key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::try_from(self.key.serialize_der()).unwrap()
    }
}

pub(super) struct Ca {
    pub(super) certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
    pub(super) identity: Identity,
}

impl Ca {
    pub(super) fn new(name: &str) -> Self {
        Self::valid(name, day(-1000), day(1000))
    }

    pub(super) fn valid(name: &str, not_before: UtcDateTime, not_after: UtcDateTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(name, not_before, not_after);
        let certificate = params.self_signed(&key).unwrap();
        Self::of(params, certificate, key)
    }

    pub(super) fn below(&self, name: &str, not_before: UtcDateTime, not_after: UtcDateTime) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = ca_params(name, not_before, not_after);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Self::of(params, certificate, key)
    }

    fn of(params: CertificateParams, certificate: Certificate, key: KeyPair) -> Self {
        let copy = KeyPair::try_from(key.serialize_der()).unwrap();
        let identity = Identity { chain: vec![certificate.der().clone()], key: Arc::new(copy) };
        Self { certificate, issuer: Issuer::new(params, key), identity }
    }

    pub(super) fn der(&self) -> CertificateDer<'static> {
        self.certificate.der().clone()
    }

    pub(super) fn leaf(&self, not_before: UtcDateTime, not_after: UtcDateTime) -> Identity {
        self.leaf_with(not_before, not_after, |_| ())
    }

    pub(super) fn good(&self) -> Identity {
        self.leaf(day(-100), day(265))
    }

    pub(super) fn leaf_with(
        &self,
        not_before: UtcDateTime,
        not_after: UtcDateTime,
        change: impl FnOnce(&mut CertificateParams),
    ) -> Identity {
        let (params, key) = leaf_params(not_before, not_after, change);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        Identity { chain: vec![certificate.der().clone()], key: Arc::new(key) }
    }
}

pub(super) fn self_signed(not_before: UtcDateTime, not_after: UtcDateTime) -> Identity {
    let (params, key) = leaf_params(not_before, not_after, |_| ());
    Identity { chain: vec![params.self_signed(&key).unwrap().der().clone()], key: Arc::new(key) }
}

pub(super) fn big_extension(octets: usize) -> CustomExtension {
    CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 55555, 1], vec![4; octets])
}

fn ca_params(name: &str, not_before: UtcDateTime, not_after: UtcDateTime) -> CertificateParams {
    let mut params = dated(name, not_before, not_after);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn leaf_params(
    not_before: UtcDateTime,
    not_after: UtcDateTime,
    change: impl FnOnce(&mut CertificateParams),
) -> (CertificateParams, KeyPair) {
    let mut params = dated("U-1001", not_before, not_after);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    change(&mut params);
    (params, KeyPair::generate().unwrap())
}

fn dated(name: &str, not_before: UtcDateTime, not_after: UtcDateTime) -> CertificateParams {
    let offset = |at: UtcDateTime| OffsetDateTime::from_unix_timestamp(at.unix_timestamp()).unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = offset(not_before);
    params.not_after = offset(not_after);
    params
}

/// The portal's own authority; its dates are judged by the client against the machine's clock.
struct ServerIdentity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    anchor: CertificateDer<'static>,
}

fn server_identity() -> ServerIdentity {
    let ca_key = KeyPair::generate().unwrap();
    let wide = (utc_datetime!(2000-01-01 0:00), utc_datetime!(2200-01-01 0:00));
    let ca = ca_params("Portal CA", wide.0, wide.1);
    let anchor = ca.self_signed(&ca_key).unwrap().der().clone();
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(["localhost".to_owned(), "activate.localhost".to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let leaf = params.signed_by(&key, &Issuer::new(ca, ca_key)).unwrap();
    ServerIdentity {
        chain: vec![leaf.der().clone()],
        key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        anchor,
    }
}

/// Short times, so that a test that waits for one is short too.
pub(super) fn quick() -> Limits {
    let short = Duration::from_millis(300);
    Limits {
        handshake_timeout: short,
        first_request_timeout: short,
        header_read_timeout: short,
        idle_timeout: Duration::from_millis(900),
        request_timeout: Duration::from_secs(3),
        drain_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// One served listener.
pub(super) struct Portal {
    pub(super) address: SocketAddr,
    pub(super) connections: Connections,
    pub(super) limits: Limits,
    clock: Arc<AtomicI64>,
    anchor: Option<CertificateDer<'static>>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Stopped>,
}

impl Portal {
    /// With TLS, and with default limits.
    pub(super) async fn start(authorities: &[&Ca]) -> Self {
        Self::start_with(authorities, Limits::default()).await
    }

    pub(super) async fn start_with(authorities: &[&Ca], limits: Limits) -> Self {
        let ders: Vec<_> = authorities.iter().map(|ca| ca.der()).collect();
        Self::run(Some(Arc::new(GreetingVerifier::new(&ders).unwrap())), limits, true).await
    }

    /// With TLS, but no certificate is asked for.
    pub(super) async fn public() -> Self {
        Self::run(None, Limits::default(), true).await
    }

    pub(super) async fn plain(limits: Limits) -> Self {
        Self::run(None, limits, false).await
    }

    /// For programs: nobody gets through the handshake without one of these certificates.
    pub(super) async fn demanding(clients: &[&Identity]) -> Self {
        let pins = clients.iter().map(|client| fingerprint(client.der()));
        let verifier = Arc::new(GreetingVerifier::of_clients(pins).unwrap());
        Self::start_as(Some(verifier), Limits::default(), Front::Demanding).await
    }

    async fn run(verifier: Option<Arc<GreetingVerifier>>, limits: Limits, tls: bool) -> Self {
        Self::start_as(verifier, limits, if tls { Front::Greeting } else { Front::Plain }).await
    }

    async fn start_as(verifier: Option<Arc<GreetingVerifier>>, limits: Limits, front: Front) -> Self {
        let clock = Arc::new(AtomicI64::new(milliseconds(NOW)));
        let read = Arc::clone(&clock);
        let mut edge = Edge::new(Arc::new(move || {
            UtcDateTime::UNIX_EPOCH + time::Duration::milliseconds(read.load(Ordering::SeqCst))
        }));
        edge.limits = limits.clone();
        edge.verifier.clone_from(&verifier);
        let connections = edge.connections.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let server = server_identity();
        let (config, anchor) = match (front, &verifier) {
            (Front::Plain, _) => (None, None),
            (Front::Demanding, Some(verifier)) => {
                let demanding = verifier.demanded(Arc::clone(&edge.now));
                (Some(tls_config_demanding(server.chain, server.key, demanding).unwrap()), Some(server.anchor))
            }
            _ => (Some(tls_config(server.chain, server.key, verifier).unwrap()), Some(server.anchor)),
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(serve(listener, config, router(), edge, async move {
            let _ = stopped.await;
        }));
        Self { address, connections, limits, clock, anchor, stop: Some(stop), task }
    }

    pub(super) fn set_clock(&self, now: UtcDateTime) {
        self.clock.store(milliseconds(now), Ordering::SeqCst);
    }

    /// Lets the listener stop, and waits until it has.
    pub(super) async fn stop(mut self) -> Stopped {
        self.begin_stop();
        tokio::time::timeout(Duration::from_secs(20), self.task).await.expect("it stops in time").unwrap()
    }

    pub(super) fn begin_stop(&mut self) {
        if let Some(stop) = self.stop.take() {
            stop.send(()).unwrap();
        }
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    pub(super) fn client(&self, identity: Option<&Identity>) -> Client {
        Client {
            address: self.address,
            anchor: self.anchor.clone().unwrap(),
            identity: identity.cloned(),
            version: &TLS13,
            h2: false,
            name: "localhost",
            resumption: false,
        }
    }

    /// What the portal says of this identity, over TLS 1.3 and HTTP/1.1.
    pub(super) async fn greets(&self, identity: &Identity) -> String {
        let mut stream = self.client(Some(identity)).connect().await.unwrap();
        let answer = ask(&mut stream, "/").await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// How a listener meets its clients.
enum Front {
    Plain,
    Greeting,
    Demanding,
}

pub(super) fn fingerprint(der: &CertificateDer<'_>) -> Fingerprint {
    Fingerprint::new(ring::digest::digest(&ring::digest::SHA256, der).as_ref().try_into().unwrap())
}

fn milliseconds(at: UtcDateTime) -> i64 {
    i64::try_from((at - UtcDateTime::UNIX_EPOCH).whole_milliseconds()).unwrap()
}

fn router() -> Router {
    Router::new()
        .route("/", get(|Extension(certificate): Extension<ClientCertificate>| async move { say(&certificate) }))
        .route("/instant", get(|Extension(at): Extension<RequestInstant>| async move { at.0.to_string() }))
        .route("/panic", get(|| async { panic!("a handler that breaks") as &'static str }))
        .route("/body", post(|body: Bytes| async move { body.len().to_string() }))
        .route(
            "/slow",
            get(|| async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                "slow"
            }),
        )
        .route(
            "/stuck",
            get(|| async {
                tokio::time::sleep(Duration::from_secs(60)).await;
                "stuck"
            }),
        )
}

fn say(certificate: &ClientCertificate) -> String {
    let Some(peer) = certificate.peer() else { return "none".to_owned() };
    let trust = match peer.trust {
        Trust::Verified => "verified",
        Trust::Expired => "expired",
        Trust::NotYetValid => "not yet valid",
        Trust::Untrusted { reason } => reason,
    };
    format!("{trust} {}", peer.fingerprint)
}

/// Who connects, and how.
#[derive(Clone)]
pub(super) struct Client {
    address: SocketAddr,
    anchor: CertificateDer<'static>,
    identity: Option<Identity>,
    pub(super) version: &'static SupportedProtocolVersion,
    pub(super) h2: bool,
    pub(super) name: &'static str,
    /// Whether the client would resume a session if the server let it.
    pub(super) resumption: bool,
}

impl Client {
    pub(super) fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.version = version;
        self
    }

    pub(super) fn h2(mut self) -> Self {
        self.h2 = true;
        self
    }

    pub(super) fn config(&self) -> ClientConfig {
        self.config_with(self.identity.as_ref().map(|identity| {
            let key = rustls::crypto::ring::sign::any_supported_type(&identity.private_key()).unwrap();
            Arc::new(Shows::new(CertifiedKey::new(identity.chain.clone(), key))) as Arc<dyn ResolvesClientCert>
        }))
    }

    pub(super) fn config_with(&self, resolver: Option<Arc<dyn ResolvesClientCert>>) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.anchor.clone()).unwrap();
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match resolver {
            Some(resolver) => builder.with_client_cert_resolver(resolver),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![if self.h2 { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
        if !self.resumption {
            config.resumption = rustls::client::Resumption::disabled();
        }
        config
    }

    pub(super) async fn connect(&self) -> io::Result<TlsStream<TcpStream>> {
        self.connect_with(Arc::new(self.config())).await
    }

    pub(super) async fn connect_with(&self, config: Arc<ClientConfig>) -> io::Result<TlsStream<TcpStream>> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        TlsConnector::from(config).connect(ServerName::try_from(self.name).unwrap(), tcp).await
    }

    /// Whether the handshake, or what is left of it under TLS 1.3, is refused with an alert.
    pub(super) async fn is_refused_with(&self, config: ClientConfig) -> bool {
        let outcome = async {
            let mut stream = self.connect_with(Arc::new(config)).await?;
            ask(&mut stream, "/").await
        };
        match outcome.await {
            Ok(answer) => panic!("answered {} {}", answer.status, answer.body),
            Err(error) => error.to_string().contains("alert"),
        }
    }

    /// An HTTP/2 connection that is driven by the runtime.
    pub(super) async fn connect_h2(&self) -> H2 {
        self.connect_h2_pinging(Duration::from_secs(3600)).await
    }

    pub(super) async fn connect_h2_pinging(&self, interval: Duration) -> H2 {
        let stream = self.clone().h2().connect().await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let (sender, connection) = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(interval)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        H2 { sender, ended: tokio::spawn(async move { drop(connection.await) }) }
    }
}

pub(super) struct H2 {
    sender: hyper::client::conn::http2::SendRequest<String>,
    pub(super) ended: JoinHandle<()>,
}

impl H2 {
    pub(super) async fn ask(&mut self, path: &str) -> Result<Answer, hyper::Error> {
        self.ask_host("localhost", path).await
    }

    pub(super) async fn ask_host(&mut self, host: &str, path: &str) -> Result<Answer, hyper::Error> {
        self.send(http::Request::get(format!("https://{host}{path}")).body(String::new()).unwrap()).await
    }

    pub(super) async fn send(&mut self, request: http::Request<String>) -> Result<Answer, hyper::Error> {
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = http_body_util::BodyExt::collect(response.into_body()).await?.to_bytes();
        Ok(Answer { status, body: String::from_utf8(body.to_vec()).unwrap() })
    }
}

/// Shows one certificate, whatever the server asks for, and keeps what it was asked.
#[derive(Debug)]
pub(super) struct Shows {
    key: Arc<CertifiedKey>,
    pub(super) hints: std::sync::Mutex<Vec<Vec<u8>>>,
}

impl Shows {
    pub(super) fn new(key: CertifiedKey) -> Self {
        Self { key: Arc::new(key), hints: std::sync::Mutex::default() }
    }
}

impl ResolvesClientCert for Shows {
    fn resolve(&self, hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        *self.hints.lock().unwrap() = hints.iter().map(|hint| hint.to_vec()).collect();
        Some(Arc::clone(&self.key))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) async fn ask<S>(stream: &mut S, path: &str) -> io::Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    ask_raw(stream, &format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")).await
}

/// Sends a request as it stands and reads one answer with a Content-Length.
pub(super) async fn ask_raw<S>(stream: &mut S, request: &str) -> io::Result<Answer>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    read_answer(stream).await
}

pub(super) async fn read_answer<S: tokio::io::AsyncRead + Unpin>(stream: &mut S) -> io::Result<Answer> {
    let mut octets = Vec::new();
    let head_end = loop {
        if let Some(at) = octets.windows(4).position(|window| window == b"\r\n\r\n") {
            break at + 4;
        }
        read_some(stream, &mut octets).await?;
    };
    let head = String::from_utf8(octets[..head_end].to_vec()).unwrap().to_ascii_lowercase();
    let status = head[9..12].parse().unwrap();
    let length: usize = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |value| value.trim().parse().unwrap());
    while octets.len() < head_end + length {
        read_some(stream, &mut octets).await?;
    }
    Ok(Answer { status, body: String::from_utf8(octets[head_end..].to_vec()).unwrap() })
}

async fn read_some<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, octets: &mut Vec<u8>) -> io::Result<()> {
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_buf(octets)).await;
    match read.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Waits until the peer has closed the stream; panics when it sends something or takes longer than `patience`.
pub(super) async fn wait_for_end<S: tokio::io::AsyncRead + Unpin>(stream: &mut S, patience: Duration) {
    let mut octets = [0; 64];
    let ended = tokio::time::timeout(patience, stream.read(&mut octets)).await.expect("the peer closes in time");
    if let Ok(read @ 1..) = ended {
        panic!("got {:?}", String::from_utf8_lossy(&octets[..read]));
    }
}

/// Waits until what the register says is as expected.
pub(super) async fn eventually(what: impl Fn() -> bool) {
    for _ in 0..200 {
        if what() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within two seconds");
}

pub(super) fn kind(stream: &TlsStream<TcpStream>) -> Option<HandshakeKind> {
    let connection: &ClientConnection = stream.get_ref().1;
    connection.handshake_kind()
}
