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
use http::{HeaderMap, StatusCode, header};
use koshin_expiry::ValidityRule;
use koshin_ra::{Access, Bundle, ChangeError};
use koshin_renewal::{Dialog, Refused, Renewal, State};
use koshin_types::{ProtectionLevel, RenewalId};
use serde::Deserialize;

use super::{
    context::Context,
    trouble::{Trouble, seconds_until},
    view,
};
use crate::screens::{
    self, Check, Complete, CompleteStage, Declined, DeclinedStep, Preparing, Problem, Purpose, RenewalCheck, Start,
    StartAgain, Term,
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
        let view = Start { purpose: context.purpose(), subject: access.id(), id, stage, problem: None };
        Ok(context.page(screens::start(&context.frame(), &view)?))
    };
    context.answer(result.await)
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
fn rfc3339(at: time::UtcDateTime) -> String {
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

/// GET `/renewals/{id}/complete`: step 7.
pub(crate) async fn complete(context: Context, Path(id): Path<String>) -> Response {
    let result = async {
        let (access, id) = context.access_to(&id).await?;
        let renewal = current(&access)?;
        let (issued, stage) = match renewal.state {
            State::Delivered { issued } => (issued, CompleteStage::Delivered),
            State::Activated { issued } => (issued, CompleteStage::Activated),
            State::Refused => return Err(Problem::Refused.into()),
            State::Abandoned { .. } | State::Expired => return Err(Problem::Ended.into()),
            _ => return Ok(Redirect::to(&format!("/renewals/{id}/start")).into_response()),
        };
        let held = access.file.holding.certificate(&issued.fingerprint).ok_or(Problem::NotFound)?;
        let term = match context.portal.ra.policy().validity_rule() {
            ValidityRule::Days(days) => Term::Days(days),
            _ => Term::Year,
        };
        let view = Complete {
            purpose: context.purpose(),
            subject: access.id(),
            id,
            ca_name: context.portal.ra.ca().issuer_name(),
            serial: issued.serial,
            validity: held.validity,
            term,
            protection: issued.key.protection,
            stage,
            predecessor: view::predecessor(&access.file.holding, renewal, issued.serial),
            status_url: &context.portal.status_url(id, context.now),
        };
        Ok(context.page(screens::complete(&context.frame(), &view)?))
    };
    context.answer(result.await)
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
