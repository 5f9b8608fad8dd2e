//! The portal's three hosts on loopback, and programs that speak to them.

use std::{
    collections::BTreeMap,
    fs,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use koshin_edge::{Connections, Edge, GreetingVerifier, Limits, serve, tls_config};
use koshin_types::Fingerprint;
use koshin_web::{
    portal::{CompletionKey, HolderEst, Portal},
    screens::{Bilingual, Brand, Clocked, Contact, Host, Hosts, Texts},
};
use rustls_pki_types::PrivateKeyDer;
use time::UtcDateTime;
use tokio::{
    net::TcpListener,
    sync::{Notify, watch},
};

use crate::town::{NOW, PASSWORD, Town, operator, sha256};

/// What curl was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    headers: BTreeMap<String, String>,
    pub(crate) body: String,
}

impl Answer {
    fn read(text: &str) -> Self {
        // After "100 Continue" comes the answer itself.
        let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(text);
        let (head, body) = text.split_once("\r\n\r\n").expect(text);
        let mut lines = head.lines();
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers = lines.map(|line| line.split_once(": ").unwrap_or((line, "")));
        let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
        Self { status, headers, body: body.to_owned() }
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    /// The code that ends the text of a refusal.
    pub(crate) fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "text/plain; charset=utf-8", "{self:?}");
        self.body.trim_end().rsplit(['：', ' ']).next().unwrap()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        STANDARD.decode(self.body.replace('\n', "")).unwrap()
    }
}

/// The hosts, at a fixed instant. A folder holds the programs' files.
pub(crate) struct Service {
    pub(crate) town: Town,
    pub(crate) portal: u16,
    pub(crate) public: u16,
    pub(crate) activate: u16,
    folder: tempfile::TempDir,
    /// Dropped, it ends the listeners.
    _stop: watch::Sender<()>,
}

impl Service {
    pub(crate) async fn start() -> Self {
        Self::with(HolderEst::Ticket).await
    }

    pub(crate) async fn with(est: HolderEst) -> Self {
        let town = Town::new().await;
        let folder = tempfile::tempdir().unwrap();
        let mut listeners = Vec::new();
        for _ in 0..3 {
            listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
        }
        let ports: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        let host = |port: u16| format!("https://localhost:{port}");
        let words = |text: &str| Bilingual { ja: text.into(), en: text.into() };
        let connections = Connections::default();
        let portal = Arc::new(Portal {
            ra: town.ra.clone(),
            texts: Texts::load().unwrap(),
            brand: Brand { operator: words("Bank"), portal: words("Portal") },
            contact: Contact { name: words("Desk"), telephone: None, hours: None },
            hosts: Hosts { portal: host(ports[0]), public: host(ports[1]), activate: host(ports[2]) },
            zone: Box::new(Clocked::jst()),
            connections: connections.clone(),
            completion: CompletionKey::new(&[7; 32]),
            calendar: crate::portal::calendar(),
            mail: Arc::new(Notify::new()),
            est,
        });
        let server = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        fs::write(folder.path().join("server.pem"), server.cert.pem()).unwrap();
        let ca = &town.ca;
        fs::write(folder.path().join("issuing.pem"), koshin_issuance::pem("CERTIFICATE", ca.certificate_der()))
            .unwrap();
        fs::write(folder.path().join("root.pem"), koshin_issuance::pem("CERTIFICATE", &ca.chain_der()[0])).unwrap();
        let verifier = Arc::new(GreetingVerifier::new(&[ca.certificate_der().into()]).unwrap());
        let (stop, stopping) = watch::channel(());
        let routers = [
            (Arc::clone(&portal).portal_router(), Host::Portal),
            (Arc::clone(&portal).public_router(), Host::Public),
            (Arc::clone(&portal).activation_router(), Host::Activate),
        ];
        for (listener, (router, host)) in listeners.into_iter().zip(routers) {
            let verifier = (host != Host::Public).then(|| Arc::clone(&verifier));
            let key = PrivateKeyDer::try_from(server.signing_key.serialize_der()).unwrap();
            let tls = tls_config(vec![server.cert.der().clone()], key, verifier.clone()).unwrap();
            let edge = Edge {
                connections: connections.clone(),
                limits: Limits::default(),
                verifier,
                refuse: Arc::clone(&portal).refusal(host),
                ..Edge::new(Arc::new(|| NOW))
            };
            let mut stopping = stopping.clone();
            let stopped = async move { drop(stopping.changed().await) };
            tokio::spawn(serve(listener, Some(tls), router, edge, stopped));
        }
        Self { town, portal: ports[0], public: ports[1], activate: ports[2], folder, _stop: stop }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, octets: &[u8]) {
        fs::write(self.folder().join(name), octets).unwrap();
    }

    /// What a program writes, in the folder.
    pub(crate) fn run_bytes(&self, program: &str, arguments: &[&str]) -> Vec<u8> {
        let ended = Command::new(program).args(arguments).current_dir(self.folder()).output().unwrap();
        assert!(ended.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        ended.stdout
    }

    pub(crate) fn run(&self, program: &str, arguments: &[&str]) -> String {
        String::from_utf8(self.run_bytes(program, arguments)).unwrap()
    }

    /// What OpenSSL says of these octets.
    #[expect(clippy::unused_self, reason = "as the other programs")]
    pub(crate) fn openssl(&self, arguments: &[&str], input: &[u8]) -> String {
        let piped = || Stdio::piped();
        let mut child =
            Command::new("openssl").args(arguments).stdin(piped()).stdout(piped()).stderr(piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let ended = child.wait_with_output().unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        String::from_utf8(ended.stdout).unwrap()
    }

    /// A new key `NAME.key` on P-256, and a request for it: `NAME.b64`, as EST wants it.
    pub(crate) fn request(&self, name: &str, arguments: &[&str]) {
        let new = ["req", "-new", "-utf8", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let (key, der) = (format!("{name}.key"), format!("{name}.der"));
        self.run("openssl", &[&new[..], &["-keyout", &key, "-outform", "DER", "-out", &der], arguments].concat());
        self.run("openssl", &["base64", "-in", &der, "-out", &format!("{name}.b64")]);
    }

    /// Enrols somebody at an instant with a key that a program has: `old.key` and `old.pem`.
    pub(crate) async fn holder(&self, id: &str, at: UtcDateTime) -> Fingerprint {
        self.request("old", &["-subj", "/"]);
        let csr = fs::read(self.folder().join("old.der")).unwrap();
        self.town.ra.administration().permit(&id.parse().unwrap(), &operator(), at).await.unwrap();
        let (_, access, renewal) = self.town.prove(id, at).await;
        let bundle = self.town.request(&access, renewal, &csr, at).await;
        let fingerprint = sha256(&bundle.certificate);
        let _ = self.town.ra.activate(&fingerprint, at).await.unwrap();
        self.write("old.pem", koshin_issuance::pem("CERTIFICATE", &bundle.certificate).as_bytes());
        fingerprint
    }

    /// The subject of a certificate, as `openssl req -subj` takes it.
    pub(crate) fn subject(&self, name: &str) -> String {
        let arguments = ["x509", "-in", &format!("{name}.pem"), "-noout", "-subject", "-nameopt", "utf8,sep_multiline"];
        let lines = self.run("openssl", &arguments);
        lines.lines().skip(1).fold(String::new(), |subject, line| format!("{subject}/{}", line.trim()))
    }

    pub(crate) fn url(&self, port: u16, path: &str) -> String {
        assert!(self.folder().exists());
        format!("https://localhost:{port}{path}")
    }

    /// One request to any path.
    pub(crate) async fn curl_path(&self, port: u16, path: &str, arguments: &[&str]) -> Answer {
        let mut command = tokio::process::Command::new("curl");
        command.args(["--silent", "--show-error", "--include", "--max-time", "30", "--cacert", "server.pem"]);
        command.args(arguments).arg(self.url(port, path)).current_dir(self.folder());
        let ended = command.output().await.unwrap();
        assert!(ended.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ended.stderr));
        Answer::read(&String::from_utf8(ended.stdout).unwrap())
    }

    /// One request to an operation of EST.
    pub(crate) async fn curl(&self, port: u16, operation: &str, arguments: &[&str]) -> Answer {
        self.curl_path(port, &format!("/.well-known/est/{operation}"), arguments).await
    }

    /// `simplereenroll` with the certificate and key of one name and the request of another.
    pub(crate) async fn reenroll(&self, certificate: &str, arguments: &[&str], request: &str) -> Answer {
        let (pem, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        let body = format!("@{request}.b64");
        let fixed = ["--cert", &pem, "--key", &key, "-H", "Content-Type: application/pkcs10", "--data-binary", &body];
        self.curl(self.portal, "simplereenroll", &[&fixed[..], arguments].concat()).await
    }

    /// `simpleenroll` on one host.
    pub(crate) async fn enroll(&self, port: u16, arguments: &[&str], request: &str) -> Answer {
        let body = format!("@{request}.b64");
        let fixed = ["-H", "Content-Type: application/pkcs10", "--data-binary", &body];
        self.curl(port, "simpleenroll", &[&fixed[..], arguments].concat()).await
    }

    /// Logs in with a certificate; the session is in `portal.jar`.
    pub(crate) async fn login(&self, id: &str, password: &str, certificate: &str) -> Answer {
        let (pem, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        let (id, password) = (format!("id={id}"), format!("password={password}"));
        let form =
            ["--cert", &pem, "--key", &key, "-c", "portal.jar", "--data-urlencode", &id, "--data-urlencode", &password];
        self.curl_path(self.portal, "/login", &form).await
    }

    /// A ticket from its page, after a login.
    pub(crate) async fn ticket(&self, id: &str, certificate: &str) -> String {
        assert_eq!(self.login(id, PASSWORD, certificate).await.status, 303);
        let (pem, key) = (format!("{certificate}.pem"), format!("{certificate}.key"));
        let session = ["--cert", &pem, "--key", &key, "-b", "portal.jar"];
        let main = self.curl_path(self.portal, "/main", &session).await;
        assert!(main.body.contains("href=\"/ticket\""), "{}", main.body);
        let before = self.town.holding(id).await;
        let page = self.curl_path(self.portal, "/ticket", &session).await;
        assert!(page.status == 200 && page.body.contains("id=\"make-ticket\""), "{}", page.body);
        assert_eq!(self.town.holding(id).await, before, "GET makes nothing");
        let made = self.curl_path(self.portal, "/ticket", &[&session[..], &["-X", "POST"]].concat()).await;
        let ticket = made.body.split("<code id=\"ticket\">").nth(1).expect(&made.body);
        ticket.split('<').next().unwrap().to_owned()
    }
}
