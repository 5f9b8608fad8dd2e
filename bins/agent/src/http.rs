//! Calls to a portal: one TLS 1.3 connection each, no redirects, nothing endless.

use std::{error::Error, io, net::Ipv4Addr, net::Ipv6Addr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, header};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::{body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use koshin_types::Language;
use rustls::{
    ClientConfig, RootCertStore,
    client::{ResolvesClientCert, Resumption},
    crypto::ring,
    sign::{CertifiedKey, SingleCertAndKey},
    version::TLS13,
};
use rustls_pki_types::ServerName;
use serde::{Serialize, de::DeserializeOwned};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{
    origin::Origin,
    wire::{Bearer, MOST, Refusal},
};

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(15);
/// How long an answer may take; a CA behind the portal may be slow.
const ANSWER: Duration = Duration::from_mins(1);

/// How long a portal may be busy for the same call to be made again by itself, and how often.
const MOMENT: Duration = Duration::from_secs(10);
const RETRIES: u32 = 2;

/// Who a call is made as.
#[derive(Debug, Clone)]
pub(crate) enum Caller {
    /// Nobody: there is no certificate yet, and no secret.
    Nobody,
    /// Who holds this key.
    Certificate(Arc<CertifiedKey>),
    /// Who has typed an enrolment's code, or may.
    Bearer(Bearer),
}

/// Makes calls to the hosts of one portal.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    roots: Arc<RootCertStore>,
    language: Language,
}

/// Why a call gave nothing. Unless it is [`CallError::Refused`], it may have been carried out all the same.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{} cannot be reached", .origin.authority())]
    Unreachable { origin: Origin, source: io::Error },
    #[error("{} did not prove that it is the portal", .origin.authority())]
    NotTrusted { origin: Origin, source: io::Error },
    #[error("the connection to {} broke", .origin.authority())]
    Broken { origin: Origin, source: Box<dyn Error + Send + Sync> },
    #[error("{} did not answer within {} s", .origin.authority(), .after.as_secs())]
    TimedOut { origin: Origin, after: Duration },
    #[error("{} answered with a redirect ({status}), which this program never follows", .origin.authority())]
    Redirected { origin: Origin, status: u16 },
    #[error("the answer of {} is longer than {MOST} octets", .origin.authority())]
    TooLong { origin: Origin },
    #[error("the answer of {} (status {status}) is not one of this protocol", .origin.authority())]
    Unreadable { origin: Origin, status: u16 },
    #[error("TLS cannot be set up")]
    Setup(#[from] rustls::Error),
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl CallError {
    /// Whether the same call may succeed later, with everything kept as it is.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Broken { .. } | Self::TimedOut { .. } => true,
            Self::Unreadable { status, .. } => matches!(status, 502..=504),
            Self::Refused(refusal) => refusal.is_transient(),
            _ => false,
        }
    }
}

/// One call.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) caller: &'a Caller,
    pub(crate) method: Method,
    pub(crate) path: String,
}

impl<'a> Call<'a> {
    pub(crate) fn post(origin: &'a Origin, caller: &'a Caller, path: impl Into<String>) -> Self {
        Self { origin, caller, method: Method::POST, path: path.into() }
    }

    pub(crate) fn get(origin: &'a Origin, caller: &'a Caller, path: impl Into<String>) -> Self {
        Self { origin, caller, method: Method::GET, path: path.into() }
    }
}

impl Client {
    /// Trusts only these.
    pub(crate) fn new(roots: RootCertStore, language: Language) -> Self {
        Self { roots: Arc::new(roots), language }
    }

    /// Makes a call and reads its answer. A portal that says it is busy for a moment is asked again.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        call: Call<'_>,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        for _ in 0..RETRIES {
            match self.call_once(&call, body).await {
                Err(CallError::Refused(refusal))
                    if refusal.status == 503 && refusal.after.is_some_and(|it| it <= MOMENT) =>
                {
                    tokio::time::sleep(refusal.after.unwrap_or_default()).await;
                }
                other => return other,
            }
        }
        self.call_once(&call, body).await
    }

    async fn call_once<T: DeserializeOwned>(&self, call: &Call<'_>, body: &impl Serialize) -> Result<T, CallError> {
        let origin = call.origin;
        let body = if call.method == Method::GET { Vec::new() } else { serde_json::to_vec(body).unwrap_or_default() };
        let answer = self.exchange(call, body).await?;
        let unreadable = || CallError::Unreadable { origin: origin.clone(), status: answer.status };
        match answer.status {
            300..=399 => Err(CallError::Redirected { origin: origin.clone(), status: answer.status }),
            200..=299 if answer.is_json => serde_json::from_slice(&answer.body).map_err(|_| unreadable()),
            400..=599 if answer.is_json => {
                let mut refusal: Refusal = serde_json::from_slice(&answer.body).map_err(|_| unreadable())?;
                (refusal.status, refusal.after) = (answer.status, answer.after);
                Err(refusal.into())
            }
            _ => Err(unreadable()),
        }
    }

    /// Asks anybody's page for nothing but its `Date`: whether the portal can be reached, and what time it is there.
    pub(crate) async fn date(&self, origin: &Origin, caller: &Caller) -> Result<Option<String>, CallError> {
        let call = Call { origin, caller, method: Method::HEAD, path: "/".to_owned() };
        Ok(self.exchange(&call, Vec::new()).await?.date)
    }

    async fn exchange(&self, call: &Call<'_>, body: Vec<u8>) -> Result<Answer, CallError> {
        let origin = call.origin;
        let within = |after| move |_| CallError::TimedOut { origin: origin.clone(), after };
        let stream =
            tokio::time::timeout(CONNECT, self.connect(origin, call.caller)).await.map_err(within(CONNECT))??;
        let broken = |source: Box<dyn Error + Send + Sync>| CallError::Broken { origin: origin.clone(), source };
        let talk = async {
            let (mut sender, connection) =
                http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(e.into()))?;
            let connection = tokio::spawn(connection);
            let request = self.request(call, body).map_err(|error| broken(error.into()))?;
            let answer = match sender.send_request(request).await {
                Ok(answer) => read(origin, answer).await,
                Err(error) => Err(broken(error.into())),
            };
            connection.abort();
            answer
        };
        tokio::time::timeout(ANSWER, talk).await.map_err(within(ANSWER))?
    }

    fn request(&self, call: &Call<'_>, body: Vec<u8>) -> http::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder()
            .method(call.method.clone())
            .uri(&call.path)
            .header(header::HOST, call.origin.authority())
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_LANGUAGE, self.language.as_str())
            .header(header::USER_AGENT, concat!("koshin-agent/", env!("CARGO_PKG_VERSION")));
        if call.method == Method::POST {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Caller::Bearer(secret) = call.caller {
            let mut value = HeaderValue::try_from(format!("Bearer {}", secret.reveal()))?;
            value.set_sensitive(true);
            request = request.header(header::AUTHORIZATION, value);
        }
        request.body(Full::new(Bytes::from(body)))
    }

    async fn connect(&self, origin: &Origin, caller: &Caller) -> Result<TlsStream<TcpStream>, CallError> {
        let unreachable = |source| CallError::Unreachable { origin: origin.clone(), source };
        let stream = dial(origin).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let name = ServerName::try_from(origin.host().to_owned())
            .map_err(|error| unreachable(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
        let connector = TlsConnector::from(Arc::new(self.tls(caller)?));
        connector.connect(name, stream).await.map_err(|source| {
            // What rustls finds wrong with the server is an error of invalid data; what breaks is another.
            let judged = source.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
            match judged {
                Some(rustls::Error::InvalidCertificate(_)) => CallError::NotTrusted { origin: origin.clone(), source },
                Some(error) => {
                    let error = error.clone();
                    CallError::Broken { origin: origin.clone(), source: error.into() }
                }
                None => unreachable(source),
            }
        })
    }

    fn tls(&self, caller: &Caller) -> Result<ClientConfig, rustls::Error> {
        let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(Arc::clone(&self.roots));
        let mut config = match caller {
            Caller::Certificate(key) => {
                let resolver: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(Arc::clone(key)));
                builder.with_client_cert_resolver(resolver)
            }
            _ => builder.with_no_client_auth(),
        };
        // Each call proves anew who makes it.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

/// Names below `localhost` are this machine (RFC 6761, 6.3); not every resolver knows that.
async fn dial(origin: &Origin) -> io::Result<TcpStream> {
    let port = origin.port();
    if !origin.is_local() {
        return TcpStream::connect((origin.host(), port)).await;
    }
    match TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await {
        Ok(stream) => Ok(stream),
        Err(error) => TcpStream::connect((Ipv6Addr::LOCALHOST, port)).await.map_err(|_| error),
    }
}

struct Answer {
    status: u16,
    is_json: bool,
    after: Option<Duration>,
    date: Option<String>,
    body: Vec<u8>,
}

async fn read(origin: &Origin, answer: http::Response<hyper::body::Incoming>) -> Result<Answer, CallError> {
    let (head, body) = answer.into_parts();
    let text = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    let is_json = text(header::CONTENT_TYPE).is_some_and(|kind| {
        kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
    });
    let after = text(header::RETRY_AFTER).and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let date = text(header::DATE).map(str::to_owned);
    let body = Limited::new(body, MOST).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            CallError::TooLong { origin: origin.clone() }
        } else {
            CallError::Broken { origin: origin.clone(), source: error }
        }
    })?;
    Ok(Answer { status: head.status.as_u16(), is_json, after, date, body: body.to_bytes().to_vec() })
}
