//! The exchange, step by step.

use axum::{
    body::Bytes,
    extract::{Path, rejection::BytesRejection},
    response::Response,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, header};
use koshin_ra::{AgentOpened, Bundle, SessionToken, SubjectFile};
use koshin_renewal::{Basis, Dialog, Status};
use koshin_types::{ProtectionLevel, RenewalId, Rfc3339};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::answer::Told;
use crate::{
    portal::{context::Context, renewal::rfc3339, trouble::of_status},
    screens::{AgentRefusal, Host, Problem},
};

type Body = Result<Bytes, BytesRejection>;

/// A JSON object of this form and no other.
fn read<T: DeserializeOwned>(headers: &HeaderMap, body: Body) -> Result<T, AgentRefusal> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
        return Err(Problem::UnsupportedType.into());
    }
    let body = body.map_err(|rejection| of_status(rejection.status()))?;
    serde_json::from_slice(&body).map_err(|_| AgentRefusal::Malformed)
}

/// The secret of an enrolment's exchange (RFC 6750, 2.1).
fn bearer(headers: &HeaderMap) -> Result<SessionToken, AgentRefusal> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return Err(AgentRefusal::Over { bearer: true }) };
    let token = value.to_str().ok().and_then(|value| value.split_once(' '));
    let token = token.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    token.and_then(|(_, token)| SessionToken::parse(token)).ok_or(AgentRefusal::Over { bearer: true })
}

fn renewal(id: &str) -> Result<RenewalId, AgentRefusal> {
    id.parse().map_err(|_| AgentRefusal::NotFound)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Open {
    v: u32,
    ticket: String,
}

/// POST `/agent/open`: a ticket opens an exchange, once.
pub(super) async fn open(context: Context, headers: HeaderMap, body: Body) -> Response {
    let result = async {
        let Open { v, ticket } = read(&headers, body)?;
        if v != 1 {
            return Err(AgentRefusal::Malformed.into());
        }
        let ra = &context.portal.ra;
        if context.host == Host::Public {
            context.admitted().map_err(|retry_after| Problem::TooMany { retry_after })?;
            let exchange = ra.agent_open_enrolment(&ticket, context.now).await?;
            return Ok(json!({
                "renewal": null,
                "subject": null,
                "organization": null,
                "role": null,
                "predecessor": null,
                "minimum_protection": null,
                "authority": ra.ca().issuer_name(),
                "activation": context.portal.hosts.activate,
                "opens": null,
                "code_length": CODE_LENGTH,
                "tries": ra.settings().code_tries,
                "exchange": exchange.reveal(),
            }));
        }
        let opened = ra.agent_open(context.fingerprint(), &ticket, context.now).await?;
        Ok::<_, Told>(renewal_opened(&context, &opened))
    };
    let result = result.await;
    context.agent_answer(result, false)
}

/// The length of a mailed code.
const CODE_LENGTH: u32 = 8;

fn renewal_opened(context: &Context, opened: &AgentOpened) -> Value {
    let ra = &context.portal.ra;
    let file = &opened.file;
    let opens = file.holding.outlook(ra.policy(), context.now).decision.map(|decision| decision.window_opens);
    let mut json = about(file, opened.minimum);
    let more = json!({
        "renewal": opened.renewal.to_string(),
        "authority": ra.ca().issuer_name(),
        "activation": context.portal.hosts.activate,
        "opens": opens.map(|at| Rfc3339(at).to_string()),
        "code_length": 4,
        "tries": ra.settings().agent_tries,
    });
    merge(&mut json, more);
    json
}

/// Whose renewal or enrolment it is.
fn about(file: &SubjectFile, minimum: ProtectionLevel) -> Value {
    let predecessor = file.holding.renewal.as_ref().and_then(|renewal| match renewal.basis {
        Basis::Renewal { predecessor, .. } => Some(predecessor),
        Basis::Enrolment { .. } => None,
    });
    let held = predecessor.and_then(|serial| file.holding.certificates.iter().find(|held| held.serial == serial));
    json!({
        "subject": file.subject.id.as_str(),
        "organization": file.organization.name,
        "role": file.subject.role.as_str(),
        "predecessor": held.map(|held| json!({
            "serial": held.serial.to_string(),
            "not_after": rfc3339(held.validity.not_after()),
        })),
        "minimum_protection": minimum.as_str(),
    })
}

fn merge(json: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (json, more) {
        into.extend(more);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Code {
    code: String,
}

/// POST `/agent/renewals/{id}/confirm`: the digits that the page shows.
pub(super) async fn confirm(context: Context, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let result = async {
        let Code { code } = read(&headers, body)?;
        let id = renewal(&id)?;
        context.portal.ra.agent_confirm(context.fingerprint(), id, code.trim(), context.now).await?;
        Ok::<_, Told>(json!({ "confirmed": true }))
    };
    let result = result.await;
    context.agent_answer(result, false)
}

/// POST `/agent/confirm` on the public host: the mailed code, and with it who enrols.
pub(super) async fn prove(context: Context, headers: HeaderMap, body: Body) -> Response {
    let result = async {
        let exchange = bearer(&headers)?;
        let Code { code } = read(&headers, body)?;
        let ra = &context.portal.ra;
        let proven = ra.agent_prove(&exchange, &code, context.now).await?;
        context.portal.settle(&proven.owed);
        let file = &proven.access.file;
        let mut json = about(file, ra.settings().minimum_protection.of(file.subject.role));
        let more = json!({
            "confirmed": true,
            "exchange": proven.token.reveal(),
            "renewal": proven.renewal.to_string(),
        });
        merge(&mut json, more);
        Ok::<_, Told>(json)
    };
    let result = result.await;
    context.agent_answer(result, true)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    request: String,
    protection: String,
}

/// POST `/agent/renewals/{id}/request`: the request in, the certificate out.
pub(super) async fn request(context: Context, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let is_public = context.host == Host::Public;
    let result = async {
        let Request { request, protection } = read(&headers, body)?;
        let id = renewal(&id)?;
        let protection = protection.parse().map_err(|_| AgentRefusal::Malformed)?;
        let der = STANDARD.decode(request).map_err(|_| AgentRefusal::Malformed)?;
        let (ra, now) = (&context.portal.ra, context.now);
        let (bundle, owed) = if is_public {
            ra.agent_request_enrolment(&bearer(&headers)?, id, &der, protection, now).await?
        } else {
            ra.agent_request(context.fingerprint(), id, &der, protection, now).await?
        };
        context.portal.settle(&owed);
        Ok::<_, Told>(issued(&bundle))
    };
    let result = result.await;
    context.agent_answer(result, is_public)
}

fn issued(bundle: &Bundle) -> Value {
    json!({
        "certificate": STANDARD.encode(&bundle.certificate),
        "chain": bundle.chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>(),
        "serial": bundle.serial.to_string(),
        "not_before": rfc3339(bundle.validity.not_before()),
        "not_after": rfc3339(bundle.validity.not_after()),
    })
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// POST `/agent/renewals/{id}/installed`: "yes" to the second confirmation, and the certificate is in the store.
pub(super) async fn installed(context: Context, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let is_public = context.host == Host::Public;
    let result = async {
        let Nothing {} = read(&headers, body)?;
        let id = renewal(&id)?;
        let (ra, now) = (&context.portal.ra, context.now);
        if is_public {
            ra.agent_installed_enrolment(&bearer(&headers)?, id, now).await?;
        } else {
            ra.agent_installed(context.fingerprint(), id, now).await?;
        }
        Ok::<_, Told>(json!({ "state": "delivered" }))
    };
    let result = result.await;
    context.agent_answer(result, is_public)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Declined {
    at: u8,
}

/// POST `/agent/renewals/{id}/declined`: "no" to a confirmation.
pub(super) async fn declined(context: Context, Path(id): Path<String>, headers: HeaderMap, body: Body) -> Response {
    let is_public = context.host == Host::Public;
    let result = async {
        let dialog = match read(&headers, body)? {
            Declined { at: 1 } => Dialog::Key,
            Declined { at: 2 } => Dialog::Install,
            Declined { .. } => return Err(AgentRefusal::Malformed.into()),
        };
        let id = renewal(&id)?;
        let (ra, now) = (&context.portal.ra, context.now);
        if is_public {
            ra.agent_declined_enrolment(&bearer(&headers)?, id, dialog, now).await?;
        } else {
            ra.agent_declined(context.fingerprint(), id, dialog, now).await?;
        }
        Ok::<_, Told>(json!({ "declined": true }))
    };
    let result = result.await;
    context.agent_answer(result, is_public)
}

/// GET `/agent/renewals/{id}`: where it stands, for an agent that was interrupted.
pub(super) async fn standing(context: Context, Path(id): Path<String>, headers: HeaderMap) -> Response {
    let is_public = context.host == Host::Public;
    let result = async {
        let id = renewal(&id)?;
        let (ra, now) = (&context.portal.ra, context.now);
        let standing = if is_public {
            ra.agent_standing_enrolment(&bearer(&headers)?, id, now).await?
        } else {
            ra.agent_standing(context.fingerprint(), id, now).await?
        };
        let serial = standing.serial.map(|serial| serial.to_string());
        Ok::<_, Told>(json!({ "state": standing.state, "serial": serial }))
    };
    let result = result.await;
    context.agent_answer(result, is_public)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Activate {
    renewal: String,
}

/// POST `/activate` with JSON: the handshake of this request is the proof, and it has to be about this renewal.
pub(crate) async fn activate(context: Context, headers: HeaderMap, body: Body) -> Response {
    let result = async {
        let Activate { renewal: id } = read(&headers, body)?;
        let id = renewal(&id)?;
        let fingerprint = context.fingerprint().ok_or(AgentRefusal::NoCertificate)?;
        let ra = &context.portal.ra;
        let file = ra.holder(fingerprint).await.map_err(crate::portal::trouble::Trouble::from)?;
        let file = file.ok_or(AgentRefusal::Certificate { status: "unknown" })?;
        let current = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id).ok_or(AgentRefusal::NotFound)?;
        if current.state.issued().is_none_or(|issued| issued.fingerprint != *fingerprint) {
            return Err(AgentRefusal::Activation.into());
        }
        let activated = ra.activate(fingerprint, context.now).await;
        let (serial, owed) = activated.map_err(koshin_ra::AgentError::from)?;
        context.portal.settle(&owed);
        let file = ra.holder(fingerprint).await.map_err(crate::portal::trouble::Trouble::from)?;
        let superseded = file.as_ref().and_then(|file| {
            file.holding.certificates.iter().rev().find_map(|other| match other.status {
                Status::Superseded { by, .. } if by == serial => Some(other.serial.to_string()),
                _ => None,
            })
        });
        Ok::<_, Told>(json!({ "serial": serial.to_string(), "superseded": superseded }))
    };
    let result = result.await;
    context.agent_answer(result, false)
}
