//! A portal that speaks the agent's protocol over real TLS, strictly, and misbehaves where a test wants it to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    crypto::ring,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    version::TLS13,
};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use time::{Duration as Span, OffsetDateTime};
use x509_parser::{certification_request::X509CertificationRequest, prelude::FromDer as _};

pub(crate) const CODE: &str = "1234";
pub(crate) const MAILED: &str = "20261123";
pub(crate) const RENEWAL: &str = "00112233445566778899aabbccddeeff";

/// Who has a certificate.
pub(crate) struct Subject {
    pub(crate) serial: &'static str,
    pub(crate) key_pem: String,
    pub(crate) certificate_pem: String,
    der: Vec<u8>,
}

/// What goes wrong, and at which request. Each happens once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trick {
    /// The agent is killed when the request is there, before anything is done about it.
    KillBefore(&'static str),
    /// The agent is killed when everything is done, before it is told.
    KillAfter(&'static str),
    /// The answer is a redirect.
    Redirect(&'static str),
    /// The answer is this status and code.
    Refuse(&'static str, u16, &'static str),
    /// The answer is that it is busy for a second.
    Busy(&'static str),
    /// The answer is longer than anybody reads.
    Long(&'static str),
    /// The certificate is for another key.
    ForeignCertificate,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is something that happened")]
pub(crate) struct Site {
    pub(crate) ticket: String,
    ticket_used: bool,
    pub(crate) kind: Kind,
    predecessor: Vec<u8>,
    predecessor_serial: String,
    pub(crate) minimum: Option<&'static str>,
    confirmed: bool,
    wrong: u32,
    bearer: String,
    pub(crate) spki: Option<Vec<u8>>,
    issued: Option<Vec<u8>>,
    pub(crate) protection: Option<String>,
    pub(crate) installed: bool,
    pub(crate) activated: bool,
    pub(crate) declined: Vec<u64>,
    /// Paths of the requests, without what is before the step.
    pub(crate) log: Vec<String>,
    trick: Option<Trick>,
    watched: Option<u32>,
    tickets: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Renew,
    Enrol,
}

pub(crate) struct Portal {
    port: u16,
    ca_pem: String,
    site: Arc<Mutex<Site>>,
}

struct Pki {
    server: ServerConfig,
    ca_pem: String,
    client_ca: CertificateParams,
    client_key: KeyPair,
}

fn authority(name: &str) -> (CertificateParams, KeyPair) {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (parameters, KeyPair::generate().unwrap())
}

#[expect(clippy::disallowed_methods, reason = "what this portal issues is valid now")]
fn leaf(name: &str, serial: u64, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, name);
    parameters.serial_number = Some(SerialNumber::from(serial));
    parameters.extended_key_usages = vec![usage];
    parameters.not_before = OffsetDateTime::now_utc() - Span::days(1);
    parameters.not_after = OffsetDateTime::now_utc() + Span::days(30);
    parameters
}

impl Pki {
    fn new() -> Self {
        let (server_ca, server_ca_key) = authority("Test Server CA");
        let (client_ca, client_key) = authority("Test Client CA");
        let key = KeyPair::generate().unwrap();
        let mut server = leaf("portal", 1, ExtendedKeyUsagePurpose::ServerAuth);
        let names = ["portal.localhost", "public.localhost", "activate.localhost"];
        server.subject_alt_names = CertificateParams::new(names.map(str::to_owned)).unwrap().subject_alt_names;
        let server = server.signed_by(&key, &Issuer::from_params(&server_ca, &server_ca_key)).unwrap();
        let ca_pem = server_ca.self_signed(&server_ca_key).unwrap().pem();
        let mut roots = RootCertStore::empty();
        roots.add(client_ca.self_signed(&client_key).unwrap().der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
        let verifier = verifier.allow_unauthenticated().build().unwrap();
        let der = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![server.der().clone()], der)
            .unwrap();
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self { server: config, ca_pem, client_ca, client_key }
    }

    fn subject(&self, name: &str, serial: &'static str) -> Subject {
        let key = KeyPair::generate().unwrap();
        let number = u64::from_str_radix(serial, 16).unwrap();
        let parameters = leaf(name, number, ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = parameters.signed_by(&key, &Issuer::from_params(&self.client_ca, &self.client_key)).unwrap();
        let (key_pem, certificate_pem) = (key.serialize_pem(), certificate.pem());
        Subject { serial, key_pem, certificate_pem, der: certificate.der().to_vec() }
    }

    fn issue(&self, request: &[u8], spki: Option<&[u8]>) -> (Vec<u8>, Vec<u8>) {
        let (_, request) = X509CertificationRequest::from_der(request).unwrap();
        request.verify_signature().unwrap();
        let own = request.certification_request_info.subject_pki.raw.to_vec();
        let key = SubjectPublicKeyInfo::from_der(spki.unwrap_or(&own)).unwrap();
        let parameters = leaf("U-0030", 0x0b01, ExtendedKeyUsagePurpose::ClientAuth);
        let issuer = Issuer::from_params(&self.client_ca, &self.client_key);
        (own, parameters.signed_by(&key, &issuer).unwrap().der().to_vec())
    }
}

/// The serial number of what this portal issues.
pub(crate) const ISSUED: &str = "0B01";

impl Portal {
    /// A portal, the holder of the certificate that it renews, and somebody else.
    pub(crate) fn start() -> (Self, Subject, Subject) {
        let pki = Pki::new();
        let (own, other) = (pki.subject("U-0030", "0A01"), pki.subject("U-0031", "0A02"));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let site =
            Site { predecessor: own.der.clone(), predecessor_serial: own.serial.to_lowercase(), ..Site::default() };
        let site = Arc::new(Mutex::new(site));
        let portal = Self { port, ca_pem: pki.ca_pem.clone(), site: Arc::clone(&site) };
        let (pki, config) = (Arc::new(pki), Arc::new(()));
        drop(config);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (pki, site) = (Arc::clone(&pki), Arc::clone(&site));
                // What goes wrong in a thread is a missing answer, which the test sees.
                std::thread::spawn(move || serve(stream, port, &pki, &site));
            }
        });
        (portal, own, other)
    }

    pub(crate) fn main(&self) -> String {
        format!("https://portal.localhost:{}", self.port)
    }

    pub(crate) fn public(&self) -> String {
        format!("https://public.localhost:{}", self.port)
    }

    pub(crate) fn activation(&self) -> String {
        format!("https://activate.localhost:{}", self.port)
    }

    pub(crate) fn ca_pem(&self) -> &str {
        &self.ca_pem
    }

    pub(crate) fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap()
    }

    /// What the page does at a click: a new ticket, in a link.
    pub(crate) fn click(&self) -> String {
        let mut site = self.site();
        site.tickets += 1;
        (site.ticket, site.ticket_used) = (format!("{:064x}", site.tickets), false);
        (site.confirmed, site.wrong) = (false, 0);
        let (kind, host) = match site.kind {
            Kind::Renew => ("renew", self.main()),
            Kind::Enrol => ("enrol", self.public()),
        };
        let host = host.replace(':', "%3A").replace('/', "%2F");
        format!("koshin:{kind}?v=1&portal={host}&t={}", site.ticket)
    }

    pub(crate) fn plays(&self, trick: Trick) {
        self.site().trick = Some(trick);
    }

    pub(crate) fn watch(&self, pid: u32) {
        self.site().watched = Some(pid);
    }
}

type Answer = (u16, Value);

fn refuse(status: u16, code: &str) -> Answer {
    (status, json!({"code": code, "message": format!("sentence for {code}")}))
}

fn serve(stream: TcpStream, port: u16, pki: &Pki, site: &Mutex<Site>) -> Option<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let tls = ServerConnection::new(Arc::new(pki.server.clone())).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(tls, stream));
    let mut line = String::new();
    stream.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (mut length, mut bearer, mut host) = (0, String::new(), String::new());
    loop {
        let mut header = String::new();
        stream.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim().split_once(": ") else { break };
        match name {
            "content-length" => length = value.parse().unwrap(),
            "authorization" => value.clone_into(&mut bearer),
            "host" => value.clone_into(&mut host),
            "accept-language" | "accept" | "user-agent" | "content-type" => {}
            other => panic!("the agent sent a header {other}"),
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    let session = &stream.get_ref().conn;
    assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
    let peer = session.peer_certificates().and_then(|chain| chain.first()).map(|leaf| leaf.to_vec());
    let name = session.server_name().unwrap_or_default().to_owned();
    assert_eq!(host, format!("{name}:{port}"));
    let body = if method == "POST" { serde_json::from_slice(&body).unwrap() } else { Value::Null };
    let step = path.rsplit('/').next().unwrap().to_owned();
    let step = if method == "GET" { "standing".to_owned() } else { step };
    let mut site = site.lock().unwrap();
    if method != "HEAD" {
        site.log.push(step.clone());
    }
    let trick = site.trick.take_if(|trick| trick.is_at(&step));
    if let Some(Trick::KillBefore(_)) = trick {
        site.kill();
        return None;
    }
    let foreign = trick == Some(Trick::ForeignCertificate);
    let asked =
        Asked { name: &name, path: &path, step: &step, peer: peer.as_deref(), bearer: &bearer, body: &body, foreign };
    let (mut status, mut answer) = site.answer(pki, port, &asked);
    let mut more = String::new();
    match trick {
        Some(Trick::KillAfter(_)) => {
            site.kill();
            return None;
        }
        Some(Trick::Redirect(_)) => {
            (status, more) = (307, format!("location: https://public.localhost:{port}/elsewhere\r\n"));
        }
        Some(Trick::Refuse(_, with, code)) => (status, answer) = refuse(with, code),
        Some(Trick::Busy(_)) => {
            (status, answer) = refuse(503, "agent.unavailable");
            "retry-after: 1\r\n".clone_into(&mut more);
        }
        Some(Trick::Long(_)) => answer = json!("x".repeat(70_000)),
        _ => {}
    }
    drop(site);
    let text = if method == "HEAD" { String::new() } else { answer.to_string() };
    write(stream.get_mut(), status, &text, &more)
}

fn write(stream: &mut StreamOwned<ServerConnection, TcpStream>, status: u16, text: &str, more: &str) -> Option<()> {
    let length = text.len();
    let date = "date: Mon, 23 Nov 2026 00:00:00 GMT\r\n";
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n{date}{more}\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(text.as_bytes()).ok()?;
    stream.flush().ok()?;
    stream.conn.send_close_notify();
    stream.flush().ok()
}

impl Trick {
    fn is_at(self, step: &str) -> bool {
        match self {
            Self::Busy(at)
            | Self::KillBefore(at)
            | Self::KillAfter(at)
            | Self::Redirect(at)
            | Self::Refuse(at, ..)
            | Self::Long(at) => at == step,
            Self::ForeignCertificate => step == "request",
        }
    }
}

struct Asked<'a> {
    name: &'a str,
    path: &'a str,
    step: &'a str,
    peer: Option<&'a [u8]>,
    bearer: &'a str,
    body: &'a Value,
    foreign: bool,
}

impl Site {
    fn kill(&self) {
        let pid = self.watched.expect("a watched run");
        assert!(Command::new("/bin/kill").args(["-9", &pid.to_string()]).status().unwrap().success());
    }

    fn answer(&mut self, pki: &Pki, port: u16, asked: &Asked<'_>) -> Answer {
        match (asked.name, asked.path) {
            (_, "/") => (404, Value::Null),
            ("activate.localhost", "/activate") => self.activate(asked),
            ("portal.localhost", "/agent/open") if self.kind == Kind::Renew => self.open(port, asked),
            ("public.localhost", "/agent/open") if self.kind == Kind::Enrol => self.open(port, asked),
            ("public.localhost", "/agent/confirm") if self.kind == Kind::Enrol => self.enrol(asked),
            (name, path) => {
                let host = if self.kind == Kind::Renew { "portal.localhost" } else { "public.localhost" };
                assert_eq!(name, host, "{path}");
                assert!(path.starts_with(&format!("/agent/renewals/{RENEWAL}")), "{path}");
                self.step(pki, asked)
            }
        }
    }

    fn open(&mut self, port: u16, asked: &Asked<'_>) -> Answer {
        assert_eq!((&asked.body["v"], asked.body.as_object().unwrap().len()), (&json!(1), 2));
        if self.kind == Kind::Renew && asked.peer != Some(&self.predecessor) {
            return refuse(403, "agent.other_certificate");
        }
        match (asked.body["ticket"] == json!(self.ticket), self.ticket_used) {
            (false, _) => return refuse(403, "agent.ticket_wrong"),
            (true, true) => return refuse(410, "agent.ticket_used"),
            (true, false) => self.ticket_used = true,
        }
        let activation = format!("https://activate.localhost:{port}");
        if self.kind == Kind::Enrol {
            assert!(asked.peer.is_none());
            self.bearer = "c".repeat(64);
            return (
                200,
                json!({"renewal": null, "authority": "Test CA", "activation": activation, "code_length": 8,
                "tries": 5, "exchange": self.bearer}),
            );
        }
        (
            200,
            json!({"renewal": RENEWAL, "subject": "U-0030", "organization": "青空商事", "role": "user",
            "predecessor": {"serial": self.predecessor_serial, "not_after": "2026-12-23T00:00:00Z"}, "authority": "Test CA",
            "minimum_protection": self.minimum.unwrap_or("file"), "activation": activation, "opens": "2026-11-23T00:00:00Z",
            "code_length": 4, "tries": 3}),
        )
    }

    fn enrol(&mut self, asked: &Asked<'_>) -> Answer {
        assert_eq!(asked.bearer, format!("Bearer {}", self.bearer));
        if asked.body["code"] != json!(MAILED) {
            return self.wrong(5);
        }
        self.bearer = format!("{:064x}", 0xe000 + self.tickets);
        self.confirmed = true;
        (
            200,
            json!({"confirmed": true, "exchange": self.bearer, "renewal": RENEWAL, "subject": "U-0030",
            "organization": "青空商事", "role": "user", "minimum_protection": "file",
            "predecessor": {"serial": self.predecessor_serial, "not_after": "2026-11-01T00:00:00Z"}}),
        )
    }

    fn wrong(&mut self, tries: u32) -> Answer {
        self.wrong += 1;
        if self.wrong >= tries {
            return refuse(403, "agent.code_exhausted");
        }
        (403, json!({"code": "agent.code_wrong", "message": "wrong", "left": tries - self.wrong}))
    }

    fn step(&mut self, pki: &Pki, asked: &Asked<'_>) -> Answer {
        let known = match self.kind {
            Kind::Renew => asked.peer == Some(&self.predecessor) && !self.activated,
            Kind::Enrol => asked.bearer == format!("Bearer {}", self.bearer),
        };
        if !known {
            return if self.kind == Kind::Renew { refuse(403, "agent.certificate") } else { refuse(401, "agent.over") };
        }
        match asked.step {
            "standing" => (200, json!({"state": self.word(), "serial": null})),
            "confirm" if self.wrong >= 3 => refuse(403, "agent.code_exhausted"),
            "confirm" if asked.body["code"] == json!(CODE) => {
                self.confirmed = true;
                (200, json!({"confirmed": true}))
            }
            "confirm" => self.wrong(3),
            "request" => self.request(pki, asked),
            "installed" => {
                assert!(self.issued.is_some());
                self.installed = true;
                (200, json!({}))
            }
            "declined" => {
                self.declined.push(asked.body["at"].as_u64().unwrap());
                (200, json!({}))
            }
            other => panic!("there is no step {other}"),
        }
    }

    fn word(&self) -> &'static str {
        match (self.activated, self.installed, &self.issued) {
            (true, ..) => "activated",
            (_, true, _) => "delivered",
            (_, _, Some(_)) => "issued",
            _ => "started",
        }
    }

    fn request(&mut self, pki: &Pki, asked: &Asked<'_>) -> Answer {
        let request = BASE64_STANDARD.decode(asked.body["request"].as_str().unwrap()).unwrap();
        let other = KeyPair::generate().unwrap();
        let other = rcgen::PublicKeyData::subject_public_key_info(&other);
        let (spki, certificate) = pki.issue(&request, asked.foreign.then_some(other.as_slice()));
        match &self.spki {
            Some(known) if *known != spki => return refuse(409, "agent.other_key"),
            None if !self.confirmed => return refuse(403, "agent.not_confirmed"),
            Some(_) => {}
            None => {
                (self.spki, self.issued) = (Some(spki), Some(certificate));
                self.protection = asked.body["protection"].as_str().map(str::to_owned);
            }
        }
        let chain = BASE64_STANDARD.encode(pki.client_ca.self_signed(&pki.client_key).unwrap().der());
        (
            200,
            json!({"certificate": BASE64_STANDARD.encode(self.issued.as_ref().unwrap()), "chain": [chain],
            "serial": ISSUED.to_lowercase(), "not_before": "2026-11-22T00:00:00Z", "not_after": "2026-12-23T00:00:00Z"}),
        )
    }

    fn activate(&mut self, asked: &Asked<'_>) -> Answer {
        assert_eq!(asked.body, &json!({"renewal": RENEWAL}));
        if self.issued.is_none() || asked.peer != self.issued.as_deref() {
            return refuse(409, "agent.activation");
        }
        self.activated = true;
        (200, json!({"serial": ISSUED.to_lowercase(), "superseded": self.predecessor_serial}))
    }
}
