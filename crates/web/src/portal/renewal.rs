//! Renewal and enrolment, from the preparation to the completed issuance.

use axum::{
    Form, Json,
    body::Bytes,
    extract::{
        Path,
        rejection::{BytesRejection, FormRejection},
    },
    response::{IntoResponse, Redirect, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, Uri, header};
use koshin_expiry::ValidityRule;
use koshin_ra::{Access, Agents, Bundle, ChangeError, SubjectFile};
use koshin_renewal::{Basis, Dialog, Key, Refused, Renewal, State};
use koshin_types::{ProtectionLevel, RenewalId};
use serde::Deserialize;

use super::{
    completion,
    context::Context,
    trouble::{Trouble, seconds_until},
    view,
};
use crate::screens::{
    self, Check, Complete, CompleteStage, Declined, DeclinedStep, Host, OnlyAgent, Preparing, Problem, Purpose,
    RenewalCheck, Start, StartAgain, Term, Ways,
};

/// POST `/renewals`: "renew now", and the menu item.
pub(crate) async fn start(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let id = context.portal.ra.start_renewal(&access, context.now).await?;
        Ok(Redirect::to(&format!("/renewals/{id}")).into_response())
    };
    context.answer(result.await)
}

/// GET `/renewals/{id}`: step 3. The checks are made here; the page goes on by itself.
pub(crate) async fn preparing(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        if view::stage(&current(&access)?.state).is_none() {
            return ended(&access, id);
        }
        let checks = checks(&context, &access);
        let able = checks.iter().all(|check| check.check != RenewalCheck::Authority || check.done);
        let stopped = (!able).then_some(&Problem::AuthorityEnding);
        let view = Preparing { purpose: context.purpose(), id, checks: &checks, stopped };
        Ok(context.page(screens::preparing(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

fn checks(context: &Context, access: &Access) -> Vec<Check> {
    let ra = &context.portal.ra;
    let outlook = access.file.holding.outlook(ra.policy(), context.now);
    // What is recorded has its validity already.
    let started = access.file.holding.renewal.as_ref().is_some_and(|renewal| renewal.state == State::Started);
    let authority = !started || ra.policy().validity_for(context.now, ra.ca().not_after()).is_ok();
    let decided = |wanted: fn(&koshin_expiry::Decision) -> bool| outlook.decision.as_ref().is_some_and(wanted);
    let check = |check, done| Check { check, done };
    match context.purpose() {
        Purpose::Renewal => vec![
            check(RenewalCheck::Certificate, decided(|decision| decision.login)),
            check(RenewalCheck::Window, decided(|decision| decision.renewal)),
            check(RenewalCheck::Authority, authority),
        ],
        Purpose::Enrolment => vec![
            check(RenewalCheck::Identity, true),
            check(RenewalCheck::Grant, outlook.enrolment),
            check(RenewalCheck::Authority, authority),
        ],
    }
}

/// GET `/renewals/{id}/start`: steps 4 to 6.
pub(crate) async fn start_page(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let Some(stage) = view::stage(&current(&access)?.state) else { return ended(&access, id) };
        let ways = ways(&context, &access).await?;
        let view = Start { purpose: context.purpose(), subject: access.id(), id, stage, ways, problem: None };
        Ok(context.page(screens::start(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// The key that a renewal is bound to.
pub(crate) fn key(file: &SubjectFile) -> Option<Key> {
    file.holding.renewal.as_ref().and_then(|renewal| renewal.state.key())
}

/// Which ways a start screen offers: whoever has begun one goes on with it.
async fn ways(context: &Context, access: &Access) -> Result<Ways, Trouble> {
    let (ra, file) = (&context.portal.ra, &access.file);
    let offered = ra.settings().agents.of(file.subject.role) != Agents::Off;
    Ok(if ra.is_agents(file).await? {
        Ways::Agent { why: OnlyAgent::Begun }
    } else if ra.takes_files(file).is_err() {
        Ways::Agent { why: OnlyAgent::Required }
    } else if offered && key(file).is_none() && context.host == Host::Portal {
        Ways::Both
    } else {
        Ways::File
    })
}

/// POST `/renewals/{id}/request`: the certification request in, the certificate out.
pub(crate) async fn request(
    context: Context,
    Path(id): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.split(';').next().unwrap_or_default().trim() != "application/pkcs10" {
            return Err(Problem::UnsupportedType.into());
        }
        let ra = &context.portal.ra;
        let requested = ra.request_certificate(&access, id, &body?, ProtectionLevel::File, context.now).await;
        let (bundle, owed) = requested?;
        context.portal.settle(&owed);
        Ok(handed_over(&context, &access, &bundle))
    };
    context.answer(result.await)
}

/// GET `/renewals/{id}/certificate`: the same certificate again.
pub(crate) async fn certificate(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let bundle = context.portal.ra.certificate(&access, id).await?;
        Ok(handed_over(&context, &access, &bundle))
    };
    context.answer(result.await)
}

fn handed_over(context: &Context, access: &Access, bundle: &Bundle) -> Response {
    let not_after = bundle.validity.not_after();
    // The date that the screens show.
    let last_day = context.portal.ra.policy().local_date(not_after);
    let body = serde_json::json!({
        "serial": bundle.serial.to_string(),
        "certificate": STANDARD.encode(&bundle.certificate),
        "chain": bundle.chain.iter().map(|der| STANDARD.encode(der)).collect::<Vec<_>>(),
        "not_after": rfc3339(not_after),
        "file_name": format!("koshin-{}-{last_day}.p12", access.id()),
    });
    Json(body).into_response()
}

/// RFC 3339 in UTC, whole seconds.
pub(crate) fn rfc3339(at: time::UtcDateTime) -> String {
    format!("{}T{:02}:{:02}:{:02}Z", at.date(), at.hour(), at.minute(), at.second())
}

#[derive(Deserialize)]
pub(crate) struct No {
    step: u8,
}

/// POST `/renewals/{id}/declined`: "no" to a dialog.
pub(crate) async fn declined(
    context: Context,
    Path(id): Path<String>,
    form: Result<Form<No>, FormRejection>,
) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let (dialog, step) = match form?.step {
            1 => (Dialog::Key, DeclinedStep::Request),
            2 => (Dialog::Install, DeclinedStep::Delivery),
            _ => return Err(Problem::Malformed.into()),
        };
        context.portal.ra.decline(&access, id, dialog, context.now).await?;
        if context.script {
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let view = Declined { purpose: context.purpose(), id, step };
        Ok(context.page(screens::declined(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// POST `/renewals/{id}/delivered`: "yes" to the second dialog.
pub(crate) async fn delivered(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        context.portal.ra.deliver(&access, id, context.now).await?;
        Ok(if context.script {
            StatusCode::NO_CONTENT.into_response()
        } else {
            Redirect::to(&format!("/renewals/{id}/complete")).into_response()
        })
    };
    context.answer(result.await)
}

/// GET `/renewals/{id}/complete`: step 7. With a completion token on the public host too, once the certificate of an agent is
/// in use: the session of its predecessor has ended by then.
pub(crate) async fn complete(context: Context, Path(id): Path<String>, uri: Uri) -> Response {
    let result = async {
        if context.host == Host::Public
            && let Some(id) = completion::by_token(&context, &id, &uri)
        {
            let file = context.portal.ra.renewal_file(&id).await?.ok_or(Problem::NotFound)?;
            let is_done = |renewal: &Renewal| renewal.id == id && matches!(renewal.state, State::Activated { .. });
            if !file.holding.renewal.as_ref().is_some_and(is_done) || !context.portal.ra.is_agents(&file).await? {
                return Err(Problem::NotFound.into());
            }
            return completed(&context, &file, id);
        }
        let (access, id) = context.access_to(&id).await?;
        completed(&context, &access.file, id)
    };
    context.answer(result.await)
}

fn completed(context: &Context, file: &SubjectFile, id: RenewalId) -> Result<Response, Trouble> {
    let renewal = file.holding.renewal.as_ref().ok_or(Problem::NotFound)?;
    let (issued, stage) = match renewal.state {
        State::Delivered { issued } => (issued, CompleteStage::Delivered),
        State::Activated { issued } => (issued, CompleteStage::Activated),
        State::Refused => return Err(Problem::Refused.into()),
        State::Abandoned { .. } | State::Expired => return Err(Problem::Ended.into()),
        _ => return Ok(Redirect::to(&format!("/renewals/{id}/start")).into_response()),
    };
    let held = file.holding.certificate(&issued.fingerprint).ok_or(Problem::NotFound)?;
    let term = match context.portal.ra.policy().validity_rule() {
        ValidityRule::Days(days) => Term::Days(days),
        _ => Term::Year,
    };
    let predecessor = view::predecessor(&file.holding, renewal, issued.serial);
    let view = Complete {
        purpose: match renewal.basis {
            Basis::Renewal { .. } => Purpose::Renewal,
            Basis::Enrolment { .. } => Purpose::Enrolment,
        },
        subject: &file.subject.id,
        id,
        ca_name: context.portal.ra.ca().issuer_name(),
        serial: issued.serial,
        validity: held.validity,
        term,
        protection: issued.key.protection,
        stage,
        // An agent removes it by itself.
        predecessor: predecessor.filter(|_| issued.key.protection == ProtectionLevel::File),
        status_url: &context.portal.status_url(id, context.now),
    };
    Ok(context.page(screens::complete(&context.frame(), &view)?))
}

/// GET `/renewals/{id}/start-again`: says what it means before it is done.
pub(crate) async fn start_again_page(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        if view::stage(&current(&access)?.state).is_none() {
            return ended(&access, id);
        }
        start_again_screen(&context, &access, id, None)
    };
    context.answer(result.await)
}

/// POST `/renewals/{id}/start-again`.
pub(crate) async fn start_again(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        match context.portal.ra.start_again(&access, id, context.now).await {
            Ok((id, owed)) => {
                context.portal.settle(&owed);
                Ok(Redirect::to(&format!("/renewals/{id}")).into_response())
            }
            Err(ChangeError::Refused(Refused::TooOften { retry_at, .. })) if !context.script => {
                let wait = seconds_until(retry_at, context.now);
                start_again_screen(&context, &access, id, Some(wait))
            }
            Err(error) => Err(error.into()),
        }
    };
    context.answer(result.await)
}

fn start_again_screen(
    context: &Context,
    access: &Access,
    id: RenewalId,
    retry_after: Option<u32>,
) -> Result<Response, Trouble> {
    let serial = current(access)?.pending().map(|issued| issued.serial);
    let view = StartAgain { purpose: context.purpose(), id, serial, retry_after };
    let html = screens::start_again(&context.frame(), &view)?;
    let Some(seconds) = retry_after else { return Ok(context.page(html)) };
    let mut response = context.page_with(StatusCode::TOO_MANY_REQUESTS, html);
    response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
    Ok(response)
}

fn current(access: &Access) -> Result<&Renewal, Trouble> {
    access.file.holding.renewal.as_ref().ok_or(Trouble::Problem(Problem::NotFound))
}

/// A renewal that has ended: with its certificate, or without.
fn ended(access: &Access, id: RenewalId) -> Result<Response, Trouble> {
    match current(access)?.state {
        State::Activated { .. } => Ok(Redirect::to(&format!("/renewals/{id}/complete")).into_response()),
        State::Refused => Err(Problem::Refused.into()),
        _ => Err(Problem::Ended.into()),
    }
}
