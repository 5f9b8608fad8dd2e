//! What surrounds every handler: cross-site protection, headers, the last resort.

use axum::{
    Router,
    extract::{FromRequestParts as _, Path, Query, Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request::Parts};
use serde::Deserialize;
use tower_http::{
    catch_panic::CatchPanicLayer,
    csrf::{CsrfLayer, ProtectionError},
};

use super::{Site, context::Context, est, trouble::of_status};
use crate::{assets, screens::Problem};

/// Puts the layers around the routes of one host.
pub(crate) fn around(router: Router<Site>, site: &Site) -> Router<Site> {
    router
        .fallback(|context: Context| async move { context.problem(&Problem::NotFound) })
        .method_not_allowed_fallback(|context: Context| async move { context.problem(&Problem::MethodNotAllowed) })
        .layer(CatchPanicLayer::new())
        .layer(CsrfLayer::new())
        .layer(middleware::from_fn_with_state(site.clone(), finish))
}

/// Headers on every answer, a page for every bare error, the language that was chosen.
async fn finish(State(site): State<Site>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let Ok(context) = Context::from_request_parts(&mut parts, &site).await;
    let mut response = next.run(Request::from_parts(parts, body)).await;
    if response.extensions().get::<ProtectionError>().is_some() {
        response = context.problem(&Problem::Forbidden);
    } else if is_bare_error(&response) {
        response = context.problem(&of_status(response.status()));
    }
    headers(&context, response.headers_mut());
    if context.chosen {
        return (CookieJar::new().add(context.language_cookie()), response).into_response();
    }
    response
}

/// Extractors and the panic handler answer with plain text; our own pages are HTML or JSON.
fn is_bare_error(response: &Response) -> bool {
    let kind = response.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    (response.status().is_client_error() || response.status().is_server_error())
        && !est::is_text(response)
        && !kind.starts_with("text/html")
        && !kind.contains("json")
}

fn headers(context: &Context, headers: &mut HeaderMap) {
    let hosts = &context.portal.hosts;
    // The completion screen asks the public host for its status after its own session has ended.
    let csp = format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
         connect-src 'self' {}; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        hosts.public
    );
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("permissions-policy"), "camera=(), geolocation=(), microphone=()"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // The name localhost belongs to every program on the machine: the browser would keep them all from plain HTTP.
    if !hosts.portal.starts_with("https://localhost") {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=63072000"));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(csp) = HeaderValue::from_str(&csp) {
        headers.insert(header::CONTENT_SECURITY_POLICY, csp);
    }
}

/// The answer to a request that the edge turned away.
pub(crate) fn refuse(site: &Site, status: StatusCode, parts: &Parts) -> Response {
    let context = Context::new(parts, site);
    let mut response = context.problem(&of_status(status));
    headers(&context, response.headers_mut());
    response
}

#[derive(Deserialize)]
pub(crate) struct Version {
    v: Option<String>,
}

/// GET `/assets/{name}`.
pub(crate) async fn asset(
    context: Context,
    Path(name): Path<String>,
    version: Result<Query<Version>, axum::extract::rejection::QueryRejection>,
    headers: HeaderMap,
) -> Response {
    let Some(asset) = assets::find(&name) else { return context.problem(&Problem::NotFound) };
    let version = version.ok().and_then(|Query(version)| version.v);
    let common = [
        (header::ETAG, HeaderValue::from_str(asset.etag())),
        (header::CACHE_CONTROL, HeaderValue::from_str(asset.cache_control(version.as_deref()))),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tags| tags.to_str().ok());
    let mut response = if known.is_some_and(|tags| asset.matches(tags)) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        ([(header::CONTENT_TYPE, asset.content_type)], asset.bytes).into_response()
    };
    for (name, value) in common {
        if let Ok(value) = value {
            response.headers_mut().insert(name, value);
        }
    }
    response
}
