//! EST (RFC 7030, RFC 8951) for holders whose certificate is kept by a program instead of a browser.
//!
//! One base URL serves everything, as clients of EST expect: the portal's host asks for a client certificate and does not
//! insist on it. Enrolment, which needs none, is answered on the public host as well. Every refusal is a short text with
//! a code that stays the same, in the language of the request.

mod answer;
mod basic;
mod enrol;
mod renew;

use axum::{
    Router,
    body::Bytes,
    extract::rejection::BytesRejection,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{HeaderMap, HeaderName, header};
use koshin_endpoints::est::{self, BodyError};
use koshin_ra::Bundle;

use super::{Site, context::Context};
use crate::screens::{EstRefusal, Host, Problem};

pub(crate) use answer::is_text;

/// Whether holders may use EST.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HolderEst {
    /// Nobody may: its paths do not exist.
    #[default]
    Off,
    /// With a renewal ticket, made in a session with password, to renew; with password and one-time code to enrol.
    Ticket,
}

/// Below this path everything is EST (RFC 7030, 3.2.2).
const WELL_KNOWN: &str = "/.well-known/est";

/// Whether a path is one of EST, so that answers are texts.
pub(crate) fn is_path(path: &str) -> bool {
    path.strip_prefix(WELL_KNOWN).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// The operations of one host. A label in the path (RFC 7030, 3.2.2) names nothing here, and is not found.
pub(crate) fn routes(holders: HolderEst, host: Host) -> Router<Site> {
    let path = |operation: &str| format!("{WELL_KNOWN}/{operation}");
    let both = || {
        Router::new()
            .route(&path("cacerts"), get(ca_certificates))
            .route(&path("csrattrs"), get(attributes))
            .route(&path("simpleenroll"), post(enrol::enrol))
    };
    match (holders, host) {
        (HolderEst::Off, _) | (_, Host::Activate) => Router::new(),
        (HolderEst::Ticket, Host::Public) => both(),
        (HolderEst::Ticket, Host::Portal) => both().route(&path("simplereenroll"), post(renew::renew)),
    }
}

/// GET `/cacerts`: the issuing CA and those above it.
async fn ca_certificates(context: Context) -> Response {
    let ca = context.portal.ra.ca();
    let above = ca.chain_der().iter().map(Vec::as_slice);
    body(est::CA_CERTIFICATES_TYPE, &est::certs_only(std::iter::once(ca.certificate_der()).chain(above)))
}

/// GET `/csrattrs`: which keys are taken.
async fn attributes(context: Context) -> Response {
    body(est::ATTRIBUTES_TYPE, &est::csr_attributes(context.portal.ra.gate().keys()))
}

/// The certificate that was issued, and only that (RFC 7030, 4.2.3).
fn issued(bundle: &Bundle) -> Response {
    body(est::CERTIFICATE_TYPE, &est::certs_only([bundle.certificate.as_slice()]))
}

/// Base64. Its header means nothing since RFC 8951, and clients from before it look for it.
fn body(kind: &'static str, der: &[u8]) -> Response {
    let encoding = HeaderName::from_static("content-transfer-encoding");
    ([(header::CONTENT_TYPE, kind), (encoding, "base64")], est::encode(der)).into_response()
}

/// The DER of a request's body.
fn request(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Vec<u8>, EstRefusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case(est::REQUEST_TYPE) {
        return Err(Problem::UnsupportedType.into());
    }
    let body = body.map_err(|rejection| super::trouble::of_status(rejection.status()))?;
    match est::decode(&body) {
        Ok(der) => Ok(der),
        Err(BodyError::TooLarge { .. }) => Err(Problem::TooLarge.into()),
        Err(_) if body.windows(PRIVATE.len()).any(|window| window == PRIVATE) => Err(Problem::PrivateKey.into()),
        Err(_) => Err(EstRefusal::NotBase64),
    }
}

/// What stands in the first line of a private key in PEM.
const PRIVATE: &[u8] = b"PRIVATE KEY-----";
