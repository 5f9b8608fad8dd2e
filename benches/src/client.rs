//! A browser reduced to what costs the server something: TLS 1.3 with a client certificate, HTTP/1.1, one connection.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use koshin_web::screens::Host;
use rustls::{
    ClientConfig, ConfigBuilder, RootCertStore,
    client::{Resumption, WantsClientCert},
    version::TLS13,
};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use crate::{authority::HOST, town::Resident};

/// A host of a server, and whom to trust for it.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    roots: Arc<RootCertStore>,
    /// The cookie that carries a session there.
    cookie: &'static str,
}

impl Target {
    /// A host on loopback, trusting one CA.
    ///
    /// # Errors
    ///
    /// When it is no CA.
    pub fn new(host: Host, port: u16, server_ca: CertificateDer<'static>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(server_ca)?;
        let cookie = match host {
            Host::Public => "__Host-koshin-enrolment",
            Host::Portal | Host::Activate => "__Host-koshin-portal",
        };
        Ok(Self { address: (Ipv4Addr::LOCALHOST, port).into(), roots: Arc::new(roots), cookie })
    }

    /// The TLS configuration of somebody's browser, without resumption.
    ///
    /// # Errors
    ///
    /// When key and certificate cannot be used.
    pub fn browser(&self, resident: &Resident) -> anyhow::Result<Arc<ClientConfig>> {
        self.holding(&resident.pkcs8, &resident.certificate)
    }

    /// That of a browser with this key, PKCS#8 DER, and its certificate, DER.
    ///
    /// # Errors
    ///
    /// When they cannot be used.
    pub fn holding(&self, pkcs8: &[u8], certificate: &[u8]) -> anyhow::Result<Arc<ClientConfig>> {
        let key = PrivatePkcs8KeyDer::from(pkcs8.to_vec()).into();
        let chain = vec![certificate.to_vec().into()];
        Ok(configured(self.builder()?.with_client_auth_cert(chain, key)?))
    }

    /// That of a browser without a certificate.
    ///
    /// # Errors
    ///
    /// When there is no TLS 1.3.
    pub fn stranger(&self) -> anyhow::Result<Arc<ClientConfig>> {
        Ok(configured(self.builder()?.with_no_client_auth()))
    }

    fn builder(&self) -> anyhow::Result<ConfigBuilder<ClientConfig, WantsClientCert>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        Ok(builder.with_root_certificates(Arc::clone(&self.roots)))
    }

    /// Connects as a browser.
    ///
    /// # Errors
    ///
    /// When the handshake fails.
    pub async fn connect(&self, browser: Arc<ClientConfig>) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(self.address).await?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(HOST)?;
        let stream = TlsConnector::from(browser).connect(name, stream).await?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, driver, host: format!("{HOST}:{}", self.address.port()), cookie: self.cookie })
    }
}

fn configured(mut config: ClientConfig) -> Arc<ClientConfig> {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Arc::new(config)
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
    cookie: &'static str,
}

/// What is sent with a request.
pub enum Sent {
    /// Nothing: a page is asked for.
    Nothing,
    /// A form that somebody submits.
    Form(&'static str),
    /// A form that a script of the page submits.
    ScriptForm(&'static str),
    /// A certification request, PKCS#10 DER, that a script of the page sends.
    Request(Vec<u8>),
}

/// An answer, read to its end.
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// Where it sends the browser on to.
    pub fn leads_to(&self) -> Option<&str> {
        self.headers.get(header::LOCATION).and_then(|value| value.to_str().ok())
    }
}

impl Connection {
    /// One request and its answer. `session` is the value of the host's cookie.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn send(&mut self, path: &str, session: Option<&str>, sent: Sent) -> anyhow::Result<Answer> {
        const FORM: &str = "application/x-www-form-urlencoded";
        let (method, kind, mode, body) = match sent {
            Sent::Nothing => (Method::GET, None, "navigate", Bytes::new()),
            Sent::Form(form) => (Method::POST, Some(FORM), "navigate", form.into()),
            Sent::ScriptForm(form) => (Method::POST, Some(FORM), "same-origin", form.into()),
            Sent::Request(request) => (Method::POST, Some("application/pkcs10"), "same-origin", request.into()),
        };
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        request = request.header(header::ACCEPT_LANGUAGE, "ja").header("sec-fetch-site", "same-origin");
        request = request.header("sec-fetch-mode", mode);
        if let Some(session) = session {
            request = request.header(header::COOKIE, format!("{}={session}", self.cookie));
        }
        if let Some(kind) = kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let response = self.sender.send_request(request.body(Full::new(body))?).await?;
        let (parts, body) = response.into_parts();
        Ok(Answer { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
    }

    /// A page.
    ///
    /// # Errors
    ///
    /// When it is not answered with 200.
    pub async fn get(&mut self, path: &str, session: Option<&str>) -> anyhow::Result<Answer> {
        let answer = self.send(path, session, Sent::Nothing).await?;
        ensure!(answer.status == StatusCode::OK, "GET {path} is answered with {}", answer.status);
        Ok(answer)
    }

    /// A whole renewal: started, requested, delivered. Answers with the body that carries the certificate.
    ///
    /// # Errors
    ///
    /// When a step is refused.
    pub async fn renew(&mut self, resident: &Resident) -> anyhow::Result<Bytes> {
        let session = Some(resident.session.reveal());
        let started = self.send("/renewals", session, Sent::Form("")).await?;
        ensure!(started.status == StatusCode::SEE_OTHER, "POST /renewals is answered with {}", started.status);
        let place = started.leads_to().context("POST /renewals leads nowhere")?;
        let path = format!("{place}/request");
        let issued = self.send(&path, session, Sent::Request(resident.next.request.clone())).await?;
        ensure!(issued.status == StatusCode::OK, "POST {path} is answered with {}", issued.status);
        let path = format!("{place}/delivered");
        let delivered = self.send(&path, session, Sent::ScriptForm("")).await?;
        ensure!(delivered.status == StatusCode::NO_CONTENT, "POST {path} is answered with {}", delivered.status);
        Ok(issued.body)
    }

    /// Ends the connection.
    pub async fn close(self) {
        drop(self.sender);
        // The driver ends with the connection; a panic in it would have shown in an answer.
        drop(self.driver.await);
    }
}
