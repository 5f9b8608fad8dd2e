//! The accept loop, and the life of one connection.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, HttpBody as _},
    extract::ConnectInfo,
    response::Response,
};
use http::{Request, StatusCode, header};
use http_body_util::Limited;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::conn::auto,
};
use rustls::{ServerConfig, ServerConnection};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::{sleep_until, timeout},
};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

use crate::{
    ClientCertificate, Edge, Limits, Protocol, RequestInstant,
    activity::{Activity, Answer, Observed, Overdue},
    admission::{Admission, Admitted},
    authority,
    connections::{Ending, Entry},
    rest::{self, Lent},
    verifier::Judged,
};

/// How long a request under way may still be answered after its connection was told to close; then it is cut.
///
/// ```
/// assert_eq!(koshin_edge::CLOSE_GRACE, std::time::Duration::from_millis(500));
/// ```
pub const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// HTTP/1.1 reads at least this much of a head.
const MIN_HEADER_BYTES: u32 = 8192;

/// How a listener came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stopped {
    /// Connections that still had work after [`Limits::drain_timeout`] and were cut.
    pub cut: usize,
}

/// Serves one listener until `shutdown` is ready and its connections have ended.
///
/// With `tls` every connection begins with a handshake and speaks the protocol it agreed on; without, it is plain
/// HTTP/1.1, for revocation lists and the like. When `shutdown` is ready the listener is closed at once, idle
/// connections end, requests under way have [`Limits::drain_timeout`], and what is left then is cut. Dropping the
/// future cuts everything. An error of `accept` is logged and waited out; no error ends the listener.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    edge: Edge,
    shutdown: impl Future<Output = ()>,
) -> Stopped {
    let mut admission = Admission::new(edge.limits.max_connections, edge.limits.max_connections_per_peer);
    let drain_timeout = edge.limits.drain_timeout;
    let server = Arc::new(Server { tls: tls.map(TlsAcceptor::from), router, edge });
    let (stop, stopping) = watch::channel(false);
    let mut tasks = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => break,
            Some(ended) = tasks.join_next() => report(ended),
            (stream, address, admitted) = admission.accept(&listener) => {
                let entry = server.edge.connections.enter();
                tasks.spawn(Arc::clone(&server).connection(stream, address, entry, admitted, stopping.clone()));
            }
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = timeout(drain_timeout, async {
        while let Some(ended) = tasks.join_next().await {
            report(ended);
        }
    });
    let _ = drained.await;
    let cut = tasks.len();
    tasks.shutdown().await;
    Stopped { cut }
}

/// A connection's task has no result; what it can have is a panic of a handler.
fn report(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended {
        tracing::error!(%error, "a connection ended with a panic");
    }
}

struct Server {
    tls: Option<TlsAcceptor>,
    router: Router,
    edge: Edge,
}

impl Server {
    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        mut entry: Entry,
        _admitted: Admitted,
        mut stopping: watch::Receiver<bool>,
    ) {
        // Without it a small answer waits for the acknowledgement of the one before.
        let _ = stream.set_nodelay(true);
        let facts = Facts {
            server: Arc::clone(&self),
            address,
            server_name: None,
            certificate: None,
            protocol: Protocol("HTTP"),
        };
        let Some(acceptor) = &self.tls else {
            return drive(stream, false, facts, entry.ending(), stopping).await;
        };
        let handshake = tokio::select! {
            biased;
            () = stopped(&mut stopping) => return,
            outcome = timeout(self.edge.limits.handshake_timeout, acceptor.accept(stream)) => outcome,
        };
        let stream = match handshake {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(peer = %address, %error, "the handshake failed"),
            Err(_) => return tracing::debug!(peer = %address, "the handshake took too long"),
        };
        let session = stream.get_ref().1;
        let facts = facts.learn(session);
        if let Some(judged) = &facts.certificate {
            entry.identify(judged.fingerprint());
        }
        let h2 = session.alpn_protocol() == Some(b"h2");
        drive(stream, h2, facts, entry.ending(), stopping).await;
    }
}

/// What one connection's handshake has established for all its requests.
struct Facts {
    server: Arc<Server>,
    address: SocketAddr,
    server_name: Option<String>,
    certificate: Option<Judged>,
    protocol: Protocol,
}

impl Facts {
    fn learn(mut self, session: &ServerConnection) -> Self {
        let chain = session.peer_certificates().unwrap_or_default();
        self.certificate = match &self.server.edge.verifier {
            Some(verifier) => verifier.examine(chain),
            None => chain.first().map(Judged::unknown),
        };
        self.server_name = session.server_name().map(str::to_owned);
        self.protocol = Protocol(match session.protocol_version() {
            Some(rustls::ProtocolVersion::TLSv1_2) => "TLS 1.2",
            Some(rustls::ProtocolVersion::TLSv1_3) => "TLS 1.3",
            _ => "TLS",
        });
        self
    }

    fn stamp<B>(&self, request: &mut Request<B>) {
        let now = (self.server.edge.now)();
        let certificate = self.certificate.as_ref().map_or(ClientCertificate::None, |judged| judged.at(now));
        let extensions = request.extensions_mut();
        extensions.insert(RequestInstant(now));
        extensions.insert(certificate);
        extensions.insert(self.protocol);
        extensions.insert(ConnectInfo(self.address));
    }

    /// Answers, and lets in what is left of the body first; but who waits to be told to send it has sent nothing yet.
    async fn answer(&self, request: Request<Incoming>) -> Response {
        let for_good = request.headers().contains_key(header::EXPECT);
        let (parts, body) = request.into_parts();
        let (body, lender) = rest::lend(body, for_good);
        let response = self.answered(Request::from_parts(parts, body)).await;
        lender.settle().await;
        response
    }

    async fn answered(&self, request: Request<Lent>) -> Response {
        let Edge { limits, refuse, .. } = &self.server.edge;
        let mut request = request.map(|body| (body.size_hint().lower(), body));
        self.stamp(&mut request);
        let (parts, (declared, body)) = request.into_parts();
        if let Err(status) = authority::check(&parts, self.server_name.as_deref()) {
            return refuse(status, &parts);
        }
        if declared > u64::try_from(limits.max_body_bytes).unwrap_or(u64::MAX) {
            return refuse(StatusCode::PAYLOAD_TOO_LARGE, &parts);
        }
        let head = parts.clone();
        let request = Request::from_parts(parts, Body::new(Limited::new(body, limits.max_body_bytes)));
        match timeout(limits.request_timeout, self.server.router.clone().oneshot(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(never)) => absurd(never),
            Err(_) => {
                tracing::warn!(method = %head.method, path = head.uri.path(), "a request took too long");
                refuse(StatusCode::SERVICE_UNAVAILABLE, &head)
            }
        }
    }
}

const fn absurd(never: Infallible) -> Response {
    match never {}
}

/// A request came in on a connection that is to end. It is dropped unanswered, and the connection with it.
#[derive(Debug, thiserror::Error)]
#[error("the connection is to end")]
struct ToEnd;

/// Drives one connection until its peer, its certificate's end, the listener's end or a limit ends it.
async fn drive<S>(stream: S, h2: bool, facts: Facts, ending: Arc<Ending>, mut stopping: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let limits = facts.server.edge.limits.clone();
    let peer = facts.address;
    let activity = Activity::new();
    let io = TokioIo::new(Observed::new(stream, (!h2).then(|| Arc::clone(&activity))));
    let service = {
        let (facts, ending, activity) = (Arc::new(facts), Arc::clone(&ending), Arc::clone(&activity));
        service_fn(move |request| {
            let (facts, ending, under_way) = (Arc::clone(&facts), Arc::clone(&ending), activity.begin());
            async move {
                if ending.is_requested() {
                    return Err(ToEnd);
                }
                let answer = facts.answer(request).await;
                Ok(answer.map(|body| Body::new(Answer { body, _under_way: under_way })))
            }
        })
    };
    let builder = protocol(h2, &limits);
    let mut connection = pin!(builder.serve_connection(io, service));
    let mut draining = false;
    loop {
        let (deadline, overdue) = activity.deadline(&limits);
        let polite = tokio::select! {
            biased;
            () = ending.requested() => true,
            () = stopped(&mut stopping), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
                continue;
            }
            outcome = connection.as_mut() => {
                if let Err(error) = outcome {
                    tracing::debug!(%peer, %error, "a connection ended with an error");
                }
                return;
            }
            () = activity.changed() => continue,
            () = sleep_until(deadline) => {
                tracing::debug!(%peer, ?overdue, "a connection used up its time");
                overdue == Overdue::Waiting
            }
        };
        if polite {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(CLOSE_GRACE, connection.as_mut()).await;
        }
        return;
    }
}

fn protocol(h2: bool, limits: &Limits) -> auto::Builder<TokioExecutor> {
    let builder = auto::Builder::new(TokioExecutor::new());
    if h2 {
        let mut builder = builder.http2_only();
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.max_streams)
            .max_header_list_size(limits.max_header_bytes);
        return builder;
    }
    let mut builder = builder.http1_only();
    let octets = usize::try_from(limits.max_header_bytes.max(MIN_HEADER_BYTES)).unwrap_or(usize::MAX);
    // The edge keeps the time of a head itself: see `Observed`.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(octets);
    builder
}

/// Waits until the listener is to stop. A listener that is gone has stopped.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stop| *stop).await;
}
