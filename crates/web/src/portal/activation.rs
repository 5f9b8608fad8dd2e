//! The activation host: does the new certificate work?

use axum::response::Response;
use http::StatusCode;

use super::{context::Context, trouble::Trouble, view};
use crate::screens::{self, Activation, Problem, Seen};

/// GET `/`: says what was seen, and changes nothing.
pub(crate) async fn page(context: Context) -> Response {
    let result = async {
        let seen = context.seen().await?;
        Ok(context.page(screens::activation(&context.frame(), &Activation::Seen(&seen))?))
    };
    context.answer(result.await)
}

/// POST `/activate`: the TLS handshake of this request is the proof.
pub(crate) async fn activate(context: Context) -> Response {
    let result = async {
        let seen = context.seen().await?;
        // The old certificate while a new one waits is no success, however active it is.
        let (Seen::Pending { .. } | Seen::Active { waiting: None, .. }, Some(fingerprint)) =
            (&seen, context.fingerprint())
        else {
            let html = screens::activation(&context.frame(), &Activation::Seen(&seen))?;
            return Ok(context.page_with(StatusCode::CONFLICT, html));
        };
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
