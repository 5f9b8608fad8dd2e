//! The pages beside the agent.

use axum::{
    Json,
    extract::Path,
    response::{IntoResponse as _, Redirect, Response},
};
use http::Uri;
use koshin_ra::{AgentError, AgentTicket, SessionError, SubjectFile};
use koshin_renewal::Basis;
use koshin_types::RenewalId;
use time::UtcDateTime;

use crate::{
    portal::{
        completion,
        context::Context,
        renewal,
        trouble::{Trouble, seconds_until},
        view,
    },
    screens::{self, AgentWay, Host, Problem, Purpose},
};

/// POST `/renewals/{id}/agent`: makes a ticket, and shows it with its digits. A reload asks for another one.
pub(super) async fn begin(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let made = context.portal.ra.agent_ticket(&access, id, context.now).await;
        let made = made.map_err(|error| trouble(&context, error))?;
        let file_way = context.portal.ra.takes_files(&access.file).is_ok() && renewal::key(&access.file).is_none();
        let file_way = file_way.then(|| format!("/renewals/{id}/start"));
        beside(&context, &access.file, id, Some(&made), file_way.as_deref())
    };
    context.answer(result.await)
}

/// GET `/renewals/{id}/agent`: the same page while the agent is at work; on the public host with a completion token, so that
/// who waits beside an enrolment sees how far it is and no more.
pub(super) async fn follow(context: Context, Path(id): Path<String>, uri: Uri) -> Response {
    let result = async {
        let by_token = if context.host == Host::Public { completion::by_token(&context, &id, &uri) } else { None };
        let (file, id, complete) = if let Some(id) = by_token {
            let file = context.portal.ra.renewal_file(&id).await?.ok_or(Problem::NotFound)?;
            (file, id, context.portal.with_token(id, "complete", context.now))
        } else {
            let (access, id) = context.access_to(&id).await?;
            (access.file, id, format!("/renewals/{id}/complete"))
        };
        let renewal = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id);
        if renewal.is_none_or(|renewal| view::stage(&renewal.state).is_none()) {
            return Ok(Redirect::to(&complete).into_response());
        }
        beside(&context, &file, id, None, None)
    };
    context.answer(result.await)
}

fn beside(
    context: &Context,
    file: &SubjectFile,
    id: RenewalId,
    made: Option<&AgentTicket>,
    file_way: Option<&str>,
) -> Result<Response, Trouble> {
    let portal = &context.portal;
    // Of several certificates on one computer the agent shows this one.
    let predecessor = file.holding.renewal.as_ref().and_then(|renewal| match renewal.basis {
        Basis::Renewal { predecessor, .. } => Some(format!("&s={}", predecessor.to_string().to_lowercase())),
        Basis::Enrolment { .. } => None,
    });
    let predecessor = predecessor.unwrap_or_default();
    let link = made.map(|made| link("renew", &portal.hosts.portal, made) + &predecessor);
    let url = |page| portal.with_token(id, page, context.now);
    let view = AgentWay {
        purpose: context.purpose(),
        link: link.as_deref(),
        digits: made.map(|made| made.digits.as_str()),
        until: made.map(|made| made.until),
        id: Some(id),
        events_url: &url("events"),
        status_url: &url("status"),
        onward: &url("complete"),
        file_way,
    };
    Ok(context.page(screens::agent(&context.frame(), &view)?))
}

/// POST `/enrol/agent`: the same for an enrolment whose code was mailed, or seems to have been.
pub(super) async fn begin_enrolment(context: Context) -> Response {
    let Some(token) = context.token() else { return Redirect::to("/enrol").into_response() };
    let result = async {
        let made = match context.portal.ra.agent_enrolment_ticket(&token, context.now).await {
            Ok(made) => made,
            Err(AgentError::Session(SessionError::None)) => return Ok(Redirect::to("/enrol/code").into_response()),
            Err(error) => return Err(trouble(&context, error)),
        };
        let link = link("enrol", &context.portal.hosts.public, &made);
        let view = AgentWay {
            purpose: Purpose::Enrolment,
            link: Some(&link),
            digits: None,
            until: Some(made.until),
            id: None,
            events_url: "",
            status_url: "/enrol/agent/status",
            onward: "",
            file_way: Some("/enrol/code"),
        };
        Ok(context.page(screens::agent(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// GET `/enrol/agent/status`: whether the code was typed into the agent.
pub(super) async fn enrolment_status(context: Context) -> Response {
    let context = Context { script: true, ..context };
    let result = async {
        let token = context.token().ok_or(SessionError::None)?;
        let followed = context.portal.ra.followed_enrolment(&token, context.now).await;
        let begun = followed.map_err(|error| trouble(&context, error))?.is_some();
        Ok(Json(serde_json::json!({ "state": if begun { "begun" } else { "waiting" } })).into_response())
    };
    context.answer(result.await)
}

/// POST `/enrol/agent/join`: the page goes on beside the agent. It may be somebody else's who knows ID and password, so it
/// sees how far the agent is, and no session comes with the code that was typed there.
pub(super) async fn join(context: Context) -> Response {
    let result = async {
        let token = context.token().ok_or(SessionError::None)?;
        let followed = context.portal.ra.followed_enrolment(&token, context.now).await;
        Ok(match followed.map_err(|error| trouble(&context, error))? {
            Some(id) => Redirect::to(&context.portal.with_token(id, "agent", context.now)).into_response(),
            None => Redirect::to("/enrol/code").into_response(),
        })
    };
    context.answer(result.await)
}

/// The link that opens the agent.
fn link(verb: &str, origin: &str, made: &AgentTicket) -> String {
    format!("koshin:{verb}?v=1&portal={}&t={}", encoded(origin), made.token.reveal())
}

/// Everything but letters, digits and the unreserved marks as `%XX` (RFC 3986, 2.1).
fn encoded(text: &str) -> String {
    use std::fmt::Write as _;
    let mut encoded = String::with_capacity(text.len() + 16);
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // Writing to a String cannot fail.
            _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

fn trouble(context: &Context, error: AgentError) -> Trouble {
    match error {
        AgentError::Session(error) => error.into(),
        AgentError::Change(error) => error.into(),
        AgentError::Storage(error) => error.into(),
        AgentError::Entropy(error) => error.into(),
        AgentError::Over => SessionError::None.into(),
        AgentError::NotFound { .. } => Problem::NotFound.into(),
        AgentError::Ended { .. } => Problem::Ended.into(),
        AgentError::TooMany { retry_at } => too_many(retry_at, context.now),
        _ => Problem::Forbidden.into(),
    }
}

fn too_many(retry_at: UtcDateTime, now: UtcDateTime) -> Trouble {
    Problem::TooMany { retry_after: seconds_until(retry_at, now) }.into()
}

#[cfg(test)]
mod tests {
    use super::encoded;

    #[test]
    fn origins_are_encoded_whole() {
        assert_eq!(encoded("https://portal.example:8443"), "https%3A%2F%2Fportal.example%3A8443");
        assert_eq!(encoded("https://[::1]"), "https%3A%2F%2F%5B%3A%3A1%5D");
    }
}
