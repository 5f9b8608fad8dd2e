//! Many requests to one server over some connections, plain or with mutual TLS, kept alive or new each time. It is the
//! same load for whatever program answers, so that programs can be compared.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{
    body::Bytes,
    client::conn::http1::{self, SendRequest},
};
use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, client::Resumption, version::TLS13};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::{net::TcpStream, task::JoinHandle};
use tokio_rustls::TlsConnector;

use crate::{authority::HOST, measure::Latencies};

/// Where requests go.
#[derive(Clone)]
pub struct Endpoint {
    port: u16,
    tls: Option<Arc<ClientConfig>>,
}

impl Endpoint {
    /// Plain HTTP on loopback.
    pub const fn plain(port: u16) -> Self {
        Self { port, tls: None }
    }

    /// TLS 1.3 on loopback with a client certificate, trusting one CA, without resumption.
    ///
    /// # Errors
    ///
    /// When key and certificates cannot be used.
    pub fn mutual(
        port: u16,
        anchor: CertificateDer<'static>,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> anyhow::Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(anchor)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&TLS13])?;
        let mut config = builder.with_root_certificates(roots).with_client_auth_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { port, tls: Some(Arc::new(config)) })
    }

    /// Opens a connection.
    ///
    /// # Errors
    ///
    /// When nobody listens, or the handshake fails.
    pub async fn connect(&self) -> anyhow::Result<Line> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
        let stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens on {address}"))?;
        stream.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return Line::over(stream, self.port).await };
        let stream = TlsConnector::from(Arc::clone(tls)).connect(ServerName::try_from(HOST)?, stream).await?;
        Line::over(stream, self.port).await
    }
}

/// One open connection.
pub struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: String,
}

impl Line {
    async fn over<S>(stream: S, port: u16) -> anyhow::Result<Self>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Self { sender, driver, host: format!("{HOST}:{port}") })
    }

    /// One request and its whole answer.
    ///
    /// # Errors
    ///
    /// When the connection ends.
    pub async fn send(&mut self, shot: &Shot) -> anyhow::Result<Reply> {
        let mut request = Request::builder().method(shot.method.clone()).uri(&shot.path);
        request = request.header(header::HOST, &self.host);
        if let Some(kind) = shot.kind {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        let response = self.sender.send_request(request.body(Full::new(shot.body.clone()))?).await?;
        let (parts, body) = response.into_parts();
        Ok(Reply { status: parts.status, headers: parts.headers, body: body.collect().await?.to_bytes() })
    }

    /// Ends the connection.
    pub async fn close(self) {
        drop(self.sender);
        // The driver ends with the connection; a panic in it would have shown in an answer.
        drop(self.driver.await);
    }
}

/// One request.
#[derive(Debug, Clone)]
pub struct Shot {
    /// Its method.
    pub method: Method,
    /// Its path.
    pub path: String,
    /// Its Content-Type.
    pub kind: Option<&'static str>,
    /// Its body.
    pub body: Bytes,
}

impl Shot {
    /// A body that is posted.
    pub fn post(path: &str, kind: &'static str, body: impl Into<Bytes>) -> Self {
        Self { method: Method::POST, path: path.into(), kind: Some(kind), body: body.into() }
    }

    /// A file that is fetched.
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.into(), kind: None, body: Bytes::new() }
    }
}

/// One answer.
#[derive(Debug)]
pub struct Reply {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Whether a connection is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// So many, for all requests.
    Kept(usize),
    /// A new one for each request, so many at a time.
    New(usize),
}

impl Connections {
    const fn at_once(self) -> usize {
        match self {
            Self::Kept(count) | Self::New(count) => count,
        }
    }
}

/// Sends every request once and looks at every answer. Answers with the time of each, from the request (or the
/// connection, where each has its own) to the whole answer, and with how long all of it took.
///
/// # Errors
///
/// The first failure.
pub async fn fire(
    endpoint: &Endpoint,
    connections: Connections,
    shots: &[Shot],
    sound: impl Fn(&Reply) -> bool + Copy,
) -> anyhow::Result<(Latencies, std::time::Duration)> {
    let next = AtomicUsize::new(0);
    let begun = Instant::now();
    let one = || async {
        let mut latencies = Latencies::default();
        let mut line = None;
        while let Some(shot) = shots.get(next.fetch_add(1, Ordering::Relaxed)) {
            let start = Instant::now();
            let mut open = match line.take() {
                Some(line) => line,
                None => endpoint.connect().await?,
            };
            let reply = open.send(shot).await?;
            let text = || String::from_utf8_lossy(reply.body.get(..200).unwrap_or(&reply.body)).into_owned();
            ensure!(sound(&reply), "{} {} is answered with {}: {}", shot.method, shot.path, reply.status, text());
            match connections {
                // A server that closes each time has chosen so: the next request connects anew.
                Connections::Kept(_) if !closes(&reply) => line = Some(open),
                _ => open.close().await,
            }
            latencies.push(start.elapsed());
        }
        anyhow::Ok(latencies)
    };
    let mut all = Latencies::default();
    for latencies in try_join_all((0..connections.at_once()).map(|_| one())).await? {
        all.merge(latencies);
    }
    Ok((all, begun.elapsed()))
}

fn closes(reply: &Reply) -> bool {
    reply.headers.get(header::CONNECTION).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"close"))
}
