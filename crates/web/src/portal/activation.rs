//! The activation host: does the new certificate work?

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    response::{IntoResponse as _, Redirect, Response},
};
use http::{HeaderMap, StatusCode, header};

use super::{agent, context::Context, trouble::Trouble, view};
use crate::screens::{self, Activation, Problem, Seen};

/// GET `/`: says what was seen, and changes nothing.
pub(crate) async fn page(context: Context) -> Response {
    let result = async {
        let seen = context.seen().await?;
        if let Some(login) = login_needed(&context, &seen).await? {
            return Ok(login);
        }
        Ok(context.page(screens::activation(&context.frame(), &Activation::Seen(&seen))?))
    };
    context.answer(result.await)
}

/// POST `/activate`: the TLS handshake of this request is the proof. An agent sends JSON, and gets it.
pub(crate) async fn activate(context: Context, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    if kind.starts_with("application/json") {
        return agent::activate(context, headers, body).await;
    }
    let result = async {
        let seen = context.seen().await?;
        // The old certificate while a new one waits is no success, however active it is.
        let (Seen::Pending { .. } | Seen::Active { waiting: None, .. }, Some(fingerprint)) =
            (&seen, context.fingerprint())
        else {
            let html = screens::activation(&context.frame(), &Activation::Seen(&seen))?;
            return Ok(context.page_with(StatusCode::CONFLICT, html));
        };
        if let Some(login) = login_needed(&context, &seen).await? {
            return Ok(login);
        }
        let (_, owed) = context.portal.ra.activate(fingerprint, context.now).await?;
        context.portal.settle(&owed);
        let file = context.portal.ra.holder(fingerprint).await?;
        let held = file.as_ref().and_then(|file| file.holding.certificate(fingerprint).map(|held| (file, held)));
        let (file, held) = held.ok_or(Trouble::Problem(Problem::Conflict))?;
        let superseded = file.holding.certificates.iter().rev().find_map(|other| match other.status {
            koshin_renewal::Status::Superseded { by, .. } if by == held.serial => Some(other.serial),
            _ => None,
        });
        let certificate = view::certificate(file, held);
        let activation = Activation::Activated { certificate: &certificate, superseded };
        Ok(context.page(screens::activation(&context.frame(), &activation)?))
    };
    context.answer(result.await)
}

/// A certificate that a program asked for is put into use by a login with password, not by its file alone.
async fn login_needed(context: &Context, seen: &Seen) -> Result<Option<Response>, Trouble> {
    let (Seen::Pending { .. }, Some(fingerprint)) = (seen, context.fingerprint()) else { return Ok(None) };
    let ra = &context.portal.ra;
    let file = ra.holder(fingerprint).await?;
    let Some(held) = file.as_ref().and_then(|file| file.holding.certificate(fingerprint)) else { return Ok(None) };
    let asked_by_program = ra.is_program_key(&held.key.spki).await?;
    Ok(asked_by_program.then(|| Redirect::to(&format!("{}/", context.portal.hosts.portal)).into_response()))
}
