//! Login, notice, main screen, logout.

use axum::{
    Form,
    extract::rejection::FormRejection,
    response::{IntoResponse, Redirect, Response},
};
use axum_extra::extract::CookieJar;
use http::{HeaderValue, StatusCode, header};
use koshin_ra::{Access, PasswordError, SessionError, SignInError};
use koshin_renewal::{Renewal, State};
use serde::Deserialize;

use super::{
    HolderEst,
    context::Context,
    trouble::{BUSY_SECONDS, Trouble, seconds_until},
    view,
};
use crate::screens::{self, Host, Login, LoginRefusal, Main, Notice, SignedOut};

/// GET `/`: the login page, which greets whatever certificate there is. Whoever is signed in gets the main screen.
pub(crate) async fn login_page(context: Context) -> Response {
    let result = async {
        if context.access().await.is_ok() {
            return Ok(Redirect::to("/main").into_response());
        }
        let seen = context.seen().await?;
        let html = screens::login(&context.frame(), &Login { seen: &seen, refusal: None, id: "" })?;
        Ok(context.page(html))
    };
    context.answer(result.await)
}

#[derive(Deserialize)]
pub(crate) struct Credentials {
    #[serde(default)]
    pub(crate) id: String,
    #[serde(default)]
    pub(crate) password: String,
}

/// POST `/login`.
pub(crate) async fn login(context: Context, form: Result<Form<Credentials>, FormRejection>) -> Response {
    let result = async {
        let Form(Credentials { id, password }) = form?;
        let id = id.trim();
        if id.is_empty() || password.is_empty() {
            let refusal = LoginRefusal::Empty { id: id.is_empty(), password: password.is_empty() };
            return refuse(&context, id, refusal, StatusCode::BAD_REQUEST).await;
        }
        let portal = &context.portal;
        match portal.ra.sign_in(context.fingerprint(), id, &password, context.now).await {
            Ok(signed_in) => {
                portal.settle(&signed_in.owed);
                let next = match (signed_in.undelivered, signed_in.notice) {
                    (true, _) => "/undelivered",
                    (false, true) => "/notice",
                    (false, false) => "/main",
                };
                let language = signed_in.access.file.subject.language;
                let jar = CookieJar::new().add(context.session(&signed_in.token)).add(Context::own_language(language));
                Ok((jar, Redirect::to(next)).into_response())
            }
            Err(error) => refused(&context, id, error).await,
        }
    };
    context.answer(result.await)
}

async fn refused(context: &Context, id: &str, error: SignInError) -> Result<Response, Trouble> {
    let (refusal, status) = match error {
        SignInError::Wrong => (LoginRefusal::Mismatch, StatusCode::FORBIDDEN),
        SignInError::NoCertificate | SignInError::Certificate(_) => {
            (LoginRefusal::CertificateNeeded, StatusCode::FORBIDDEN)
        }
        SignInError::TooMany { retry_at } => {
            let retry_after = seconds_until(retry_at, context.now);
            (LoginRefusal::TooMany { retry_after }, StatusCode::TOO_MANY_REQUESTS)
        }
        SignInError::Password(PasswordError::Busy) => {
            (LoginRefusal::Busy { retry_after: BUSY_SECONDS }, StatusCode::SERVICE_UNAVAILABLE)
        }
        SignInError::Password(error) => return Err(error.into()),
        SignInError::Change(error) => return Err(error.into()),
        SignInError::Storage(error) => return Err(error.into()),
        SignInError::Entropy(error) => return Err(error.into()),
        other => {
            tracing::warn!(error = ?other, "a sign-in failed");
            (LoginRefusal::Mismatch, StatusCode::FORBIDDEN)
        }
    };
    refuse(context, id, refusal, status).await
}

async fn refuse(context: &Context, id: &str, refusal: LoginRefusal, status: StatusCode) -> Result<Response, Trouble> {
    let seen = context.seen().await?;
    let html = screens::login(&context.frame(), &Login { seen: &seen, refusal: Some(refusal), id })?;
    let mut response = context.page_with(status, html);
    if let LoginRefusal::TooMany { retry_after } | LoginRefusal::Busy { retry_after } = refusal {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after));
    }
    Ok(response)
}

/// GET `/undelivered`: between login and renewal notice, while mails to the registered address do not arrive.
pub(crate) async fn undelivered(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        match context.portal.ra.undelivered(&access.file).await? {
            Some(view) => Ok(context.page(screens::undelivered(&context.frame(), &view)?)),
            None => Ok(Redirect::to("/notice").into_response()),
        }
    };
    context.answer(result.await)
}

/// GET `/notice`: step 1, between login and main screen.
pub(crate) async fn notice(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let outlook = access.file.holding.outlook(context.portal.ra.policy(), context.now);
        let (Some(held), Some(decision)) = (outlook.current, outlook.decision.filter(|decision| decision.notice))
        else {
            return Ok(Redirect::to("/main").into_response());
        };
        let view = Notice {
            serial: held.serial,
            validity: held.validity,
            days_left: decision.days_left.unwrap_or(0),
            later_count: held.deferred,
        };
        Ok(context.page(screens::notice(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// POST `/notice/later`.
pub(crate) async fn later(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        context.portal.ra.defer(&access, context.now).await?;
        Ok(Redirect::to("/main").into_response())
    };
    context.answer(result.await)
}

/// GET `/main`.
pub(crate) async fn main(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let file = &access.file;
        let outlook = file.holding.outlook(context.portal.ra.policy(), context.now);
        let (Some(held), Some(decision)) = (outlook.current, &outlook.decision) else {
            return Err(SessionError::None.into());
        };
        let view = Main {
            organization: &file.organization.name,
            role: file.subject.role,
            name: &file.subject.name,
            certificate: &view::certificate(file, held),
            days_left: decision.days_left.unwrap_or(0),
            renewal: view::offer(&file.holding, decision.renewal, decision.window_opens),
            last_login: access.previous_sign_in(),
            programs: context.portal.est == HolderEst::Ticket,
        };
        Ok(context.page(screens::main(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// POST `/logout`, on either host. Logging out twice, or after the session has ended, is no error.
pub(crate) async fn logout(context: Context) -> Response {
    let result = async {
        let restart = match context.access().await {
            Ok(access) => {
                context.portal.ra.sign_out(&access, context.now).await?;
                needs_restart(&access)
            }
            Err(Trouble::Session(SessionError::Storage(error))) => return Err(error.into()),
            // Superseded by the certificate that was just activated: the browser still holds the old one.
            Err(Trouble::Session(SessionError::Certificate(_))) => true,
            Err(_) => context.host == Host::Public,
        };
        let html = screens::signed_out(&context.frame(), &SignedOut::ByChoice { restart })?;
        let jar = CookieJar::new().add(context.no_session()).add(Context::no_own_language());
        Ok((jar, context.page(html)).into_response())
    };
    context.answer(result.await)
}

fn needs_restart(access: &Access) -> bool {
    let delivered = |renewal: &Renewal| matches!(renewal.state, State::Delivered { .. } | State::Activated { .. });
    access.file.holding.renewal.as_ref().is_some_and(delivered)
}
