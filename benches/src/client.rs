//! A browser reduced to what costs the server something: TLS 1.3 with a client certificate, HTTP/1.1, one connection.

use std::{net::SocketAddr, sync::Arc};

use anyhow::{Context as _, ensure};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use crate::{authority::HOST, town::Resident};

/// A server, and whom to trust for it.
#[derive(Clone)]
pub struct Target {
    /// Where it listens.
    pub address: SocketAddr,
    roots: Arc<RootCertStore>,
}

impl Target {
    /// Trusts one CA.
    ///
    /// # Errors
    ///
    /// When it is no CA.
    pub fn new(address: SocketAddr, server_ca: CertificateDer<'static>) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(server_ca)?;
        Ok(Self { address, roots: Arc::new(roots) })
    }

    /// The TLS configuration of somebody's browser, without resumption.
    ///
    /// # Errors
    ///
    /// When key and certificate cannot be used.
    pub fn browser(&self, resident: &Resident) -> anyhow::Result<Arc<ClientConfig>> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let key = PrivatePkcs8KeyDer::from(resident.pkcs8.clone()).into();
        let chain = vec![resident.certificate.clone().into()];
        let mut config = builder.with_root_certificates(Arc::clone(&self.roots)).with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Arc::new(config))
    }

    /// Connects with somebody's certificate.
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
        Ok(Connection { sender, driver, host: format!("{HOST}:{}", self.address.port()) })
    }
}

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
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

impl Connection {
    /// One request and its answer. `session` is the value of the portal's cookie, `kind` the type of the body.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn send(
        &mut self,
        method: Method,
        path: &str,
        session: Option<&str>,
        kind: Option<&str>,
        body: Bytes,
    ) -> anyhow::Result<Answer> {
        let mut request = Request::builder().method(method).uri(path).header(header::HOST, &self.host);
        request = request.header(header::ACCEPT_LANGUAGE, "ja").header("sec-fetch-site", "same-origin");
        if let Some(session) = session {
            request = request.header(header::COOKIE, format!("__Host-koshin-portal={session}"));
        }
        if let Some(kind) = kind {
            // A script of the page asks, so that a problem is JSON.
            request = request.header(header::CONTENT_TYPE, kind).header("sec-fetch-mode", "same-origin");
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
        let answer = self.send(Method::GET, path, session, None, Bytes::new()).await?;
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
        let form = Some("application/x-www-form-urlencoded");
        let started = self.send(Method::POST, "/renewals", session, form, Bytes::new()).await?;
        ensure!(started.status == StatusCode::SEE_OTHER, "POST /renewals is answered with {}", started.status);
        let place = started.headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let place = place.context("POST /renewals leads nowhere")?.to_owned();
        let request = Bytes::from(resident.request.clone());
        let path = format!("{place}/request");
        let issued = self.send(Method::POST, &path, session, Some("application/pkcs10"), request).await?;
        ensure!(issued.status == StatusCode::OK, "POST {path} is answered with {}", issued.status);
        let path = format!("{place}/delivered");
        let delivered = self.send(Method::POST, &path, session, form, Bytes::new()).await?;
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
