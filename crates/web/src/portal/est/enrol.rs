//! `simpleenroll`: ID and password, then ID and one-time code, in one enrolment session.
//!
//! The first request begins an enrolment as the form on the public host does, with the same throttles, the same work for
//! IDs that do not exist and the same mails, and is answered 401 with a cookie. Sent again with that cookie and the code in
//! place of the password, it is answered with the certificate. The code is good in that session only, and for the key of
//! the first request that came with it.

use axum::{
    body::Bytes,
    extract::rejection::BytesRejection,
    response::{IntoResponse as _, Response},
};
use axum_extra::extract::CookieJar;
use http::HeaderMap;
use koshin_ra::{Access, EnrolError, PasswordError, SessionError, SessionToken};
use koshin_types::RenewalId;

use super::{
    answer::{Refused, trouble},
    basic::Credentials,
    issued, request,
};
use crate::{
    portal::{
        context::Context,
        enrolment,
        trouble::{BUSY_SECONDS, seconds_until},
    },
    screens::{EstRefusal, Problem},
};

/// An enrolment that may be used, and the token of its session when it is a new one.
struct Proven {
    access: Access,
    renewal: RenewalId,
    token: Option<SessionToken>,
}

/// POST `/simpleenroll`.
pub(super) async fn enrol(context: Context, headers: HeaderMap, body: Result<Bytes, BytesRejection>) -> Response {
    let result = async {
        let credentials = Credentials::of(&headers).ok_or(EstRefusal::PasswordNeeded)?;
        let (id, secret) = credentials.parts();
        if id.is_empty() || secret.is_empty() {
            return Err(EstRefusal::PasswordNeeded.into());
        }
        let request = request(&headers, body)?;
        let Some(token) = context.enrolment_token() else { return begin(&context, id, secret).await };
        let proven = match prove(&context, &token, secret).await {
            Ok(proven) if proven.access.id().as_str() == id => proven,
            Ok(_) => return Err(EstRefusal::CodeWrong.into()),
            Err(Refused::Est(over @ EstRefusal::EnrolmentOver)) => {
                let jar = CookieJar::new().add(Context::no_enrolment());
                return Ok((jar, context.est_refusal(&over)).into_response());
            }
            Err(refused) => return Err(refused),
        };
        let answer = certificate(&context, &proven, &request).await;
        let answer = context.est_answer(answer);
        // The code is used; what goes on, goes on in the session that it has opened.
        Ok(match &proven.token {
            Some(token) => (CookieJar::new().add(Context::enrolment(token)), answer).into_response(),
            None => answer,
        })
    };
    context.est_answer(result.await)
}

async fn begin(context: &Context, id: &str, password: &str) -> Result<Response, Refused> {
    context.admitted().map_err(|retry_after| Problem::TooMany { retry_after })?;
    match context.portal.ra.begin_enrolment(id, password, context.now).await {
        Ok(token) => {
            context.portal.mail.notify_one();
            let minutes = context.portal.ra.settings().code_lifetime.whole_minutes();
            let sent = EstRefusal::CodeSent { minutes: u32::try_from(minutes).unwrap_or(u32::MAX) };
            Ok((CookieJar::new().add(Context::enrolment(&token)), context.est_refusal(&sent)).into_response())
        }
        Err(error) => Err(refusal(context, error)),
    }
}

/// The enrolment of a session: one whose code was right before, or is now.
async fn prove(context: &Context, token: &SessionToken, code: &str) -> Result<Proven, Refused> {
    let ra = &context.portal.ra;
    match ra.enrolment_session(token, context.now).await {
        Ok((access, renewal)) => return Ok(Proven { access, renewal, token: None }),
        Err(SessionError::None) => {}
        Err(SessionError::Storage(error)) => return Err(trouble(error)),
        Err(_) => return Err(EstRefusal::EnrolmentOver.into()),
    }
    let proven = ra.prove_enrolment(token, code, context.now).await;
    let (token, _, owed) = proven.map_err(|error| refusal(context, error))?;
    context.portal.settle(&owed);
    let (access, renewal) = ra.enrolment_session(&token, context.now).await.map_err(trouble)?;
    Ok(Proven { access, renewal, token: Some(token) })
}

async fn certificate(context: &Context, proven: &Proven, request: &[u8]) -> Result<Response, Refused> {
    let ra = &context.portal.ra;
    let requested = ra.request_by_program(&proven.access, proven.renewal, request, context.now).await;
    let (bundle, owed) = requested.map_err(trouble)?;
    context.portal.settle(&owed);
    Ok(issued(&bundle))
}

fn refusal(context: &Context, error: EnrolError) -> Refused {
    match error {
        EnrolError::WrongCode { left: 0 }
        | EnrolError::CodeExpired { .. }
        | EnrolError::Session(SessionError::None) => EstRefusal::EnrolmentOver.into(),
        EnrolError::WrongCode { .. } => EstRefusal::CodeWrong.into(),
        EnrolError::TooMany { retry_at } => {
            Problem::TooMany { retry_after: seconds_until(retry_at, context.now) }.into()
        }
        EnrolError::Password(PasswordError::Busy) => Problem::Unavailable { retry_after: BUSY_SECONDS }.into(),
        other => Refused::Trouble(enrolment::trouble(other)),
    }
}
