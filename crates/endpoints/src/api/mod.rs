//! The CA's service over HTTP, for RA clients: JSON over mutual TLS.
//!
//! | | |
//! | --- | --- |
//! | `POST /v1/issue` | a certificate; the same one for the same renewal and key |
//! | `POST /v1/revoke` | a revocation; final |
//! | `GET /v1/changes?since=&limit=` | what became of the client's certificates |
//! | `GET /v1/ca` | the issuing CA's certificate and those above it |
//! | `GET /v1/openapi.json` | all of this, described |
//!
//! TLS is the caller's: whoever accepts connections puts the certificate that the peer showed and proved into each request,
//! as a [`ClientCertificate`]. Who that is, and what it may ask for, is the [`CaService`]'s to know.

mod description;
mod handlers;
mod problem;

use std::{fmt, sync::Arc};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderValue, header};
use time::UtcDateTime;

pub use description::openapi;

use crate::ca::CaService;
use problem::Problem;

/// Most octets of a request's body: 64 KiB.
///
/// ```
/// assert_eq!(koshin_endpoints::api::MAX_BODY, 64 * 1024);
/// ```
pub const MAX_BODY: usize = 64 * 1024;

/// The certificate of the peer, DER, as a request extension.
///
/// Put in only what was shown in the handshake of this very connection, whose key the peer proved to hold there, and which is
/// valid now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificate(pub Vec<u8>);

/// What the handlers share.
#[derive(Clone)]
struct Api {
    service: Arc<CaService>,
    now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").field("service", &self.service).finish_non_exhaustive()
    }
}

/// The router. `now` is asked once for each request.
pub fn router(service: Arc<CaService>, now: Arc<dyn Fn() -> UtcDateTime + Send + Sync>) -> Router {
    let api = Api { service, now };
    Router::new()
        .route("/v1/issue", post(handlers::issue))
        .route("/v1/revoke", post(handlers::revoke))
        .route("/v1/changes", get(handlers::changes))
        .route("/v1/ca", get(handlers::ca))
        .route("/v1/openapi.json", get(handlers::description))
        .method_not_allowed_fallback(|| async { Problem::plain(&problem::METHOD) })
        .fallback(|| async { Problem::plain(&problem::ROUTE) })
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(middleware::from_fn_with_state(api.clone(), authenticated))
        .with_state(api)
}

/// Lets only configured clients through, and nothing of what they get into a cache.
async fn authenticated(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let shown = request.extensions().get::<ClientCertificate>();
    let client = shown.and_then(|ClientCertificate(der)| api.service.client(der)).map(Arc::clone);
    let mut response = match client {
        Some(client) => {
            request.extensions_mut().insert(client);
            next.run(request).await
        }
        None => Problem::plain(&problem::CLIENT).into_response(),
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
