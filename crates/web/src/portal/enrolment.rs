//! 電子証明書取得: ID, password and one-time code on the host without certificates.

use axum::{
    Form,
    extract::rejection::FormRejection,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderValue, StatusCode, header};
use koshin_ra::{EnrolError, PasswordError, SessionError, SessionToken};
use serde::Deserialize;

use super::{
    agent,
    context::Context,
    sign_in::Credentials,
    trouble::{BUSY_SECONDS, Trouble, seconds_until},
};
use crate::screens::{self, CodeRefusal, EnrolmentCode, EnrolmentIdentify, EnrolmentRefusal};

/// GET `/` of the public host.
pub(crate) async fn home(context: Context) -> Response {
    let deadlines = &context.portal.ra.settings().deadlines;
    let keep_days = (deadlines.request + deadlines.activation_after_issue).whole_days() + 1;
    let keep_days = u32::try_from(keep_days).unwrap_or(u32::MAX);
    let result = screens::enrolment_home(&context.frame(), keep_days).map(|html| context.page(html));
    context.answer(result.map_err(Trouble::from))
}

/// GET `/enrol`.
pub(crate) async fn identify_page(context: Context) -> Response {
    let view = EnrolmentIdentify { id: "", refusal: None };
    let result = screens::enrolment_identify(&context.frame(), &view).map(|html| context.page(html));
    context.answer(result.map_err(Trouble::from))
}

/// POST `/enrol`.
pub(crate) async fn identify(context: Context, form: Result<Form<Credentials>, FormRejection>) -> Response {
    let result = async {
        let Form(Credentials { id, password }) = form?;
        let id = id.trim();
        if id.is_empty() || password.is_empty() {
            let refusal = EnrolmentRefusal::Empty { id: id.is_empty(), password: password.is_empty() };
            return identify_again(&context, id, refusal, StatusCode::BAD_REQUEST, None);
        }
        if let Err(retry_after) = context.admitted() {
            let refusal = EnrolmentRefusal::Crowded { retry_after };
            return identify_again(&context, id, refusal, StatusCode::TOO_MANY_REQUESTS, Some(retry_after));
        }
        let ra = &context.portal.ra;
        match ra.begin_enrolment(id, &password, context.now).await {
            Ok(token) => {
                context.portal.mail.notify_one();
                let jar = CookieJar::new().add(context.session(&token));
                Ok((jar, Redirect::to("/enrol/code")).into_response())
            }
            Err(EnrolError::TooMany { retry_at }) => {
                let retry_after = seconds_until(retry_at, context.now);
                let refusal = EnrolmentRefusal::TooMany { retry_after };
                identify_again(&context, id, refusal, StatusCode::TOO_MANY_REQUESTS, Some(retry_after))
            }
            Err(EnrolError::Password(PasswordError::Busy)) => {
                let refusal = EnrolmentRefusal::Busy { retry_after: BUSY_SECONDS };
                identify_again(&context, id, refusal, StatusCode::SERVICE_UNAVAILABLE, Some(BUSY_SECONDS))
            }
            Err(error) => Err(trouble(error)),
        }
    };
    context.answer(result.await)
}

fn identify_again(
    context: &Context,
    id: &str,
    refusal: EnrolmentRefusal,
    status: StatusCode,
    retry_after: Option<u32>,
) -> Result<Response, Trouble> {
    let view = EnrolmentIdentify { id, refusal: Some(refusal) };
    let html = screens::enrolment_identify(&context.frame(), &view)?;
    Ok(with_retry(context.page_with(status, html), retry_after))
}

/// GET `/enrol/code`.
pub(crate) async fn code_page(context: Context) -> Response {
    let Some(token) = context.token() else { return Redirect::to("/enrol").into_response() };
    let result = match under_way(&context, &token).await {
        Ok(None) => code_screen(&context, None, StatusCode::OK),
        Ok(Some(response)) => Ok(response),
        Err(trouble) => Err(trouble),
    };
    context.answer(result)
}

#[derive(Deserialize)]
pub(crate) struct Code {
    #[serde(default)]
    code: String,
}

/// POST `/enrol/code`.
pub(crate) async fn code(context: Context, form: Result<Form<Code>, FormRejection>) -> Response {
    let result = async {
        let Form(Code { code }) = form?;
        let token = context.token().ok_or(SessionError::None)?;
        if code.trim().is_empty() {
            return code_screen(&context, Some(CodeRefusal::Empty), StatusCode::BAD_REQUEST);
        }
        match context.portal.ra.prove_enrolment(&token, &code, context.now).await {
            Ok((token, renewal, owed)) => {
                context.portal.settle(&owed);
                let jar = CookieJar::new().add(context.session(&token));
                Ok((jar, Redirect::to(&format!("/renewals/{renewal}"))).into_response())
            }
            // The form of an enrolment that is open already, or of a code that is long gone.
            Err(EnrolError::Session(SessionError::None)) => match under_way(&context, &token).await? {
                Some(response) => Ok(response),
                None => code_screen(&context, Some(CodeRefusal::Expired), StatusCode::FORBIDDEN),
            },
            Err(EnrolError::WrongCode { left: 0 }) => {
                code_screen(&context, Some(CodeRefusal::Spent), StatusCode::FORBIDDEN)
            }
            Err(EnrolError::WrongCode { .. }) => code_screen(&context, Some(CodeRefusal::Wrong), StatusCode::FORBIDDEN),
            Err(EnrolError::CodeExpired { .. }) => {
                code_screen(&context, Some(CodeRefusal::Expired), StatusCode::FORBIDDEN)
            }
            Err(EnrolError::TooMany { retry_at }) => {
                let retry_after = seconds_until(retry_at, context.now);
                let refusal = CodeRefusal::TooMany { retry_after };
                let response = code_screen(&context, Some(refusal), StatusCode::TOO_MANY_REQUESTS)?;
                Ok(with_retry(response, Some(retry_after)))
            }
            Err(error) => Err(trouble(error)),
        }
    };
    context.answer(result.await)
}

/// Where somebody goes on whose code was right before.
async fn under_way(context: &Context, token: &SessionToken) -> Result<Option<Response>, Trouble> {
    match context.portal.ra.enrolment_session(token, context.now).await {
        Ok((_, renewal)) => Ok(Some(Redirect::to(&format!("/renewals/{renewal}")).into_response())),
        Err(SessionError::Storage(error)) => Err(error.into()),
        Err(_) => Ok(None),
    }
}

fn code_screen(context: &Context, refusal: Option<CodeRefusal>, status: StatusCode) -> Result<Response, Trouble> {
    let minutes = context.portal.ra.settings().code_lifetime.whole_minutes();
    let minutes = u32::try_from(minutes).unwrap_or(u32::MAX);
    let agent = agent::anybody(&context.portal.ra);
    let html = screens::enrolment_code(&context.frame(), &EnrolmentCode { minutes, digits: 8, agent, refusal })?;
    Ok(context.page_with(status, html))
}

fn with_retry(mut response: Response, seconds: Option<u32>) -> Response {
    if let Some(seconds) = seconds {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

pub(crate) fn trouble(error: EnrolError) -> Trouble {
    match error {
        EnrolError::Session(error) => error.into(),
        EnrolError::Change(error) => error.into(),
        EnrolError::Password(error) => error.into(),
        EnrolError::Storage(error) => error.into(),
        EnrolError::Entropy(error) => error.into(),
        other => {
            tracing::warn!(error = ?other, "an enrolment failed");
            crate::screens::Problem::Forbidden.into()
        }
    }
}
