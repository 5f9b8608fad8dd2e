//! The TLS edge: from an accepted socket to a request a handler can trust the facts of.
//!
//! [`serve`] runs one listener. It shakes hands, judges the client certificate, counts and bounds everything, stamps each
//! request with the instant it came in, and can end all connections of one certificate within a second. What a handler
//! finds in the extensions of its request:
//!
//! | extension | what it is |
//! | --- | --- |
//! | [`ClientCertificate`] | the certificate whose key the peer has proven to hold, and what became of its path |
//! | [`RequestInstant`] | the one instant all decisions about this request bear |
//! | [`axum::extract::ConnectInfo`] of a [`std::net::SocketAddr`] | the peer's address |
//!
//! The edge refuses to know who a subject is: a verified path says "one of ours", never "may log in". That is the
//! ledger's answer, asked at every request.
//!
//! Client certificates are asked for in the first handshake only. TLS 1.2 renegotiation and TLS 1.3 post-handshake
//! authentication do not exist here (RFC 8740), there are no tickets and no resumption, and a request whose authority
//! is not the name of the handshake is answered 421 (RFC 9110, 15.5.20). So HTTP/2 is as safe as HTTP/1.1: one connection,
//! one certificate, one name.
//!
//! ```
//! use std::sync::Arc;
//!
//! use axum::{Extension, Router, routing::get};
//! use koshin_edge::{Edge, RequestInstant, serve};
//! use time::UtcDateTime;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> std::io::Result<()> {
//! let router = Router::new().route("/", get(async |Extension(at): Extension<RequestInstant>| at.0.to_string()));
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
//! let edge = Edge::new(Arc::new(|| UtcDateTime::UNIX_EPOCH));
//! let stopped = serve(listener, None, router, edge, async {}).await;
//! assert_eq!(stopped.cut, 0);
//! # Ok(()) }
//! ```

mod activity;
mod admission;
mod authority;
mod connections;
mod demanding;
mod limits;
mod peer;
mod rest;
mod serve;
mod tls;
mod verifier;

use std::{fmt, sync::Arc};

use axum::response::{IntoResponse, Response};
use http::{StatusCode, request::Parts};
use time::UtcDateTime;

pub use self::{
    connections::Connections,
    demanding::DemandingVerifier,
    limits::Limits,
    peer::{ClientCertificate, Peer, Trust},
    serve::{CLOSE_GRACE, Stopped, serve},
    tls::{TlsConfigError, tls_config, tls_config_demanding},
    verifier::{GreetingVerifier, MAX_CHAIN_BYTES, MAX_CHAIN_CERTIFICATES, VerifierError},
};

/// The clock of the edge, given by the binary. Called once for each request and once for each judged handshake.
pub type Now = Arc<dyn Fn() -> UtcDateTime + Send + Sync>;

/// Makes the answer to a request that never reaches the router, from its status and head.
///
/// The statuses are 400 (no authority, or two that differ), 413 (a declared body over [`Limits::max_body_bytes`]), 421
/// (authority other than the name of the handshake) and 503 ([`Limits::request_timeout`] ran out).
pub type Refuse = Arc<dyn Fn(StatusCode, &Parts) -> Response + Send + Sync>;

/// Everything [`serve`] takes from outside for one listener.
#[derive(Clone)]
pub struct Edge {
    /// The register of open connections. Listeners may share one, so that a certificate is closed on all of them.
    pub connections: Connections,
    /// What one listener and one connection may use.
    pub limits: Limits,
    /// The clock.
    pub now: Now,
    /// Who judges client certificates. The same verifier as in the listener's TLS configuration; `None` where no
    /// certificate is asked for.
    pub verifier: Option<Arc<GreetingVerifier>>,
    /// Makes the answers of the edge itself.
    pub refuse: Refuse,
}

impl Edge {
    /// An edge with default limits, a register of its own, no client certificates and short plain answers.
    pub fn new(now: Now) -> Self {
        Self {
            connections: Connections::default(),
            limits: Limits::default(),
            now,
            verifier: None,
            refuse: Arc::new(|status, _| (status, plain(status)).into_response()),
        }
    }
}

impl fmt::Debug for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Edge")
            .field("connections", &self.connections)
            .field("limits", &self.limits)
            .field("verifier", &self.verifier)
            .finish_non_exhaustive()
    }
}

/// The instant at which a request came in. Stamped once, before any handler, so that all that one request decides and
/// writes bears the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RequestInstant(pub UtcDateTime);

/// The protocol of the connection that a request came in on, for people: `TLS 1.3`, or `HTTP` without TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol(pub &'static str);

fn plain(status: StatusCode) -> &'static str {
    match status {
        StatusCode::MISDIRECTED_REQUEST => {
            "This connection was made for another host name. Please open the page again.\n"
        }
        StatusCode::PAYLOAD_TOO_LARGE => "The request is larger than this page takes.\n",
        StatusCode::SERVICE_UNAVAILABLE => "The answer took too long. Please try again.\n",
        _ => "The request names no host, or more than one.\n",
    }
}
