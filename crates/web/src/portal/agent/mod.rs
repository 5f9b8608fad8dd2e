//! The agent on the holder's computer: what it is answered, and the pages beside it (`docs/agent.md`).
//!
//! On the portal's host an agent shows the predecessor's certificate; on the public host, where an enrolment has none, a
//! bearer secret. Bodies are small JSON objects without unknown keys; every refusal is JSON with a code.

mod answer;
mod events;
mod exchange;
mod page;

use axum::{
    Router,
    extract::DefaultBodyLimit,
    routing::{get, post},
};
use koshin_ra::{Agents, Ra};

use super::Site;
use crate::screens::Host;

pub(crate) use events::{LISTENERS, events};
pub(crate) use exchange::activate;

/// Octets that a body may have: a request with an RSA key of 8192 bits in Base64, several times over.
const BODY: usize = 64 * 1024;

/// Whether anybody may use an agent at all.
pub(crate) fn anybody(ra: &Ra) -> bool {
    let agents = ra.settings().agents;
    [agents.administrator, agents.user].iter().any(|agents| *agents != Agents::Off)
}

/// What one host answers to agents, and the pages beside them.
pub(crate) fn routes(ra: &Ra, host: Host) -> Router<Site> {
    if !anybody(ra) {
        return Router::new();
    }
    let exchanges = Router::new()
        .route("/agent/open", post(exchange::open))
        .route("/agent/renewals/{id}", get(exchange::standing))
        .route("/agent/renewals/{id}/request", post(exchange::request))
        .route("/agent/renewals/{id}/installed", post(exchange::installed))
        .route("/agent/renewals/{id}/declined", post(exchange::declined));
    let router = match host {
        Host::Portal => exchanges
            .route("/agent/renewals/{id}/confirm", post(exchange::confirm))
            .route("/renewals/{id}/agent", get(page::follow).post(page::begin)),
        Host::Public => exchanges
            .route("/agent/confirm", post(exchange::prove))
            .route("/renewals/{id}/agent", get(page::follow))
            .route("/enrol/agent", post(page::begin_enrolment))
            .route("/enrol/agent/status", get(page::enrolment_status))
            .route("/enrol/agent/join", post(page::join)),
        Host::Activate => Router::new(),
    };
    router.layer(DefaultBodyLimit::max(BODY))
}
