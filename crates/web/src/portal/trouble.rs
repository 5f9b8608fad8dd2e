//! What went wrong, as an answer.

use axum::{
    extract::rejection::{BytesRejection, FormRejection},
    response::{Html, IntoResponse, Redirect, Response},
};
use http::{HeaderValue, StatusCode, header};
use koshin_expiry::ValidityRefused;
use koshin_issuance::PrepareError;
use koshin_ra::{AuthorityError, ChangeError, IssuanceError, NoEntropy, PasswordError, SessionError, StorageError};
use koshin_renewal::{Admission, Refused};
use koshin_types::RenewalId;
use time::{Duration, UtcDateTime};

use super::context::Context;
use crate::screens::{self, Host, Problem, RenderError, SignedOut};

/// Why a handler has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    #[error("{0:?}")]
    Problem(Problem),
    /// The renewal that was asked for was followed by this one.
    #[error("the renewal goes on as {0}")]
    GoesOn(RenewalId),
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Issuance(#[from] IssuanceError),
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error(transparent)]
    Storage(#[from] StorageError),
    #[error(transparent)]
    Entropy(#[from] NoEntropy),
    #[error(transparent)]
    Render(#[from] RenderError),
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        Self::Problem(problem)
    }
}

impl From<FormRejection> for Trouble {
    fn from(rejection: FormRejection) -> Self {
        Self::Problem(of_status(rejection.status()))
    }
}

impl From<BytesRejection> for Trouble {
    fn from(rejection: BytesRejection) -> Self {
        Self::Problem(of_status(rejection.status()))
    }
}

/// The problem that stands for a status of the framework or of the edge.
pub(crate) fn of_status(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Problem::MethodNotAllowed,
        StatusCode::PAYLOAD_TOO_LARGE => Problem::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Problem::UnsupportedType,
        StatusCode::MISDIRECTED_REQUEST => Problem::Misdirected,
        StatusCode::FORBIDDEN => Problem::Forbidden,
        StatusCode::SERVICE_UNAVAILABLE => Problem::Unavailable { retry_after: BUSY_SECONDS },
        status if status.is_server_error() => Problem::Internal { reference: String::new() },
        _ => Problem::Malformed,
    }
}

/// After how many seconds a busy server may be asked again.
pub(crate) const BUSY_SECONDS: u32 = 5;

/// After how many seconds to ask again while an operator looks at the clock.
const CLOCK_SECONDS: u32 = 300;
/// And while an operator has to look at one order, or at a CA that has been away for minutes.
const OPERATOR_SECONDS: u32 = 300;
/// A CA that has been away for so long is not back in a moment: the next try is worth while after this time.
const AWAY_SECONDS: u32 = 60;
/// How long a CA may be away until that is said: less than the page's own tries take.
const MOMENT: Duration = Duration::seconds(15);

/// After how many seconds to ask a CA again that has not answered for so long.
fn away(silent: Duration) -> u32 {
    if silent < MOMENT {
        BUSY_SECONDS
    } else if silent < Duration::seconds(5 * 60) {
        AWAY_SECONDS
    } else {
        OPERATOR_SECONDS
    }
}

/// Whole seconds until an instant, rounded up, at least one.
pub(crate) fn seconds_until(at: UtcDateTime, now: UtcDateTime) -> u32 {
    let left = at - now + Duration::milliseconds(999);
    u32::try_from(left.whole_seconds().max(1)).unwrap_or(u32::MAX)
}

impl Trouble {
    pub(crate) fn problem(&self, now: UtcDateTime) -> Problem {
        match self {
            Self::Problem(problem) => problem.clone(),
            Self::Session(SessionError::Storage(error)) | Self::Storage(error) => storage(error, now),
            Self::Session(SessionError::EnrolmentOver { .. }) | Self::GoesOn(_) => Problem::Ended,
            Self::Session(_) => Problem::SessionMissing,
            Self::Change(error) => change(error, now),
            Self::Issuance(error) => issuance(error, now),
            Self::Password(PasswordError::Busy) | Self::Entropy(_) => {
                Problem::Unavailable { retry_after: BUSY_SECONDS }
            }
            Self::Password(_) => Problem::Invalid,
            Self::Render(error) => internal(error, now),
        }
    }
}

fn storage(error: &StorageError, now: UtcDateTime) -> Problem {
    if error.is_transient() {
        tracing::error!(error = ?error, "storage is not available");
        Problem::Unavailable { retry_after: BUSY_SECONDS }
    } else {
        internal(error, now)
    }
}

/// The reference is the instant: it finds the line in the log and says nothing else.
fn internal(error: &dyn std::error::Error, now: UtcDateTime) -> Problem {
    let reference = format!("{:x}", now.unix_timestamp_nanos() / 1_000_000);
    tracing::error!(error = ?error, reference, "a request could not be answered");
    Problem::Internal { reference }
}

fn change(error: &ChangeError, now: UtcDateTime) -> Problem {
    match error {
        ChangeError::Refused(refused) => match *refused {
            Refused::TooEarly { opens, .. } => Problem::TooEarly { opens },
            Refused::Ended { .. } | Refused::Lapsed { .. } => Problem::Ended,
            Refused::OtherKey { .. } => Problem::OtherKey,
            Refused::NoRenewal { .. } => Problem::NotFound,
            Refused::TooOften { retry_at, .. } => Problem::TooMany { retry_after: seconds_until(retry_at, now) },
            Refused::OutOfPlace { .. } | Refused::OtherSerial { .. } | Refused::OtherCertificate { .. } => {
                Problem::Conflict
            }
            _ => Problem::Forbidden,
        },
        ChangeError::KeySeen { .. } => Problem::KeyRefused,
        ChangeError::NoSubject(_) => Problem::NotFound,
        ChangeError::Clock(_) => Problem::ClockDoubted { retry_after: CLOCK_SECONDS },
        ChangeError::Storage(error) => storage(error, now),
        _ => Problem::Unavailable { retry_after: BUSY_SECONDS },
    }
}

fn issuance(error: &IssuanceError, now: UtcDateTime) -> Problem {
    match error {
        IssuanceError::Rejected(rejected) => {
            tracing::info!(code = rejected.code(), "a certification request was refused");
            rejected_problem(rejected.code())
        }
        IssuanceError::Busy => Problem::Unavailable { retry_after: BUSY_SECONDS },
        IssuanceError::Change(error) => change(error, now),
        IssuanceError::Storage(error) => storage(error, now),
        error if error.is_final() => {
            tracing::error!(error = ?error, "what was recorded can never be signed; the renewal was refused");
            Problem::Refused
        }
        IssuanceError::Validity(ValidityRefused::BeyondCa { .. })
        | IssuanceError::Prepare(PrepareError::BeyondCa { .. }) => {
            tracing::error!(error = ?error, "the CA ends too early to issue; it needs a successor");
            Problem::AuthorityEnding
        }
        IssuanceError::Prepare(PrepareError::OwnKey) => Problem::KeyRefused,
        IssuanceError::AgentNeeded | IssuanceError::Protection { .. } => Problem::AgentNeeded,
        IssuanceError::Issue(error) => {
            tracing::error!(error = ?error, "the signer failed; the renewal keeps its state");
            Problem::AuthorityUnavailable { retry_after: BUSY_SECONDS }
        }
        IssuanceError::Authority(AuthorityError::Unavailable { .. }) => {
            tracing::error!(error = ?error, "the CA gave no certificate; the renewal keeps its state");
            Problem::AuthorityUnavailable { retry_after: BUSY_SECONDS }
        }
        // It concerns this order alone, and is mended by nobody in a moment.
        IssuanceError::Authority(_) | IssuanceError::Verify(_) => {
            tracing::error!(error = ?error, "the CA gave no certificate for an order; the renewal keeps its state");
            Problem::AuthorityUnavailable { retry_after: OPERATOR_SECONDS }
        }
        other => internal(other, now),
    }
}

/// The gate has many codes; a holder needs to know which of three things to do.
fn rejected_problem(code: &str) -> Problem {
    if code.contains("private_key") {
        Problem::PrivateKey
    } else if code.contains("key") || code.contains("rsa") || code.contains("curve") {
        Problem::KeyRefused
    } else if code.contains("too_large") {
        Problem::TooLarge
    } else {
        Problem::Invalid
    }
}

impl Context {
    /// A page.
    pub(crate) fn page(&self, html: String) -> Response {
        self.page_with(StatusCode::OK, html)
    }

    pub(crate) fn page_with(&self, status: StatusCode, html: String) -> Response {
        let language = HeaderValue::from_static(self.language.as_str());
        (status, [(header::CONTENT_LANGUAGE, language)], Html(html)).into_response()
    }

    /// The answer of a handler, or what stands for its trouble.
    pub(crate) fn answer(&self, result: Result<Response, Trouble>) -> Response {
        let trouble = match result {
            Ok(response) => return response,
            Err(trouble) => trouble,
        };
        if let (Trouble::Session(error), false) = (&trouble, self.script || self.est)
            && let Some(response) = self.session_over(error)
        {
            return response;
        }
        if let Trouble::GoesOn(id) = trouble {
            return Redirect::to(&format!("/renewals/{id}")).into_response();
        }
        match self.problem_of(&trouble) {
            // Whoever is here to obtain a certificate has none to log in with.
            Problem::SessionMissing if self.host == Host::Public => self.problem(&Problem::EnrolmentMissing),
            problem => self.problem(&problem),
        }
    }

    /// The problem that stands for a trouble. How long to wait for a CA that is away depends on how long it has been.
    pub(crate) fn problem_of(&self, trouble: &Trouble) -> Problem {
        match trouble.problem(self.now) {
            Problem::AuthorityUnavailable { retry_after } => {
                let silent = self.portal.ra.silent_since().map_or(Duration::ZERO, |since| self.now - since);
                Problem::AuthorityUnavailable { retry_after: retry_after.max(away(silent)) }
            }
            problem => problem,
        }
    }

    /// A problem, as a page or for a script.
    pub(crate) fn problem(&self, problem: &Problem) -> Response {
        if self.est {
            return self.est_refusal(&problem.clone().into());
        }
        let status = StatusCode::from_u16(problem.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let frame = self.frame();
        let mut response = if self.script {
            match screens::problem_words(&frame, problem) {
                Ok(words) => {
                    let body = serde_json::json!({
                        "type": "about:blank",
                        "status": problem.status(),
                        "code": problem.code(),
                        "title": words.title(),
                        "detail": words.detail(),
                    });
                    let kind = [(header::CONTENT_TYPE, "application/problem+json")];
                    (status, kind, body.to_string()).into_response()
                }
                Err(_) => status.into_response(),
            }
        } else {
            match screens::problem(&frame, problem) {
                Ok(html) => self.page_with(status, html),
                Err(_) => status.into_response(),
            }
        };
        if let Some(seconds) = problem.retry_after() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    /// A session that is over is explained; one that never was leads to the front door.
    fn session_over(&self, error: &SessionError) -> Option<Response> {
        let why = match error {
            SessionError::Idle { .. } => {
                let minutes = self.portal.ra.settings().session_idle.whole_minutes();
                SignedOut::Idle { minutes: u32::try_from(minutes).unwrap_or(u32::MAX) }
            }
            SessionError::Ended { .. } => SignedOut::Total,
            SessionError::Certificate(Admission::Superseded { by, .. }) => SignedOut::Replaced { successor: *by },
            SessionError::Certificate(Admission::Expired { ends }) => {
                SignedOut::Expired { at: *ends - Duration::SECOND }
            }
            SessionError::Certificate(Admission::Revoked { .. }) => SignedOut::Revoked,
            SessionError::None | SessionError::OtherCertificate | SessionError::Certificate(_) => {
                let door = if self.host == Host::Public { "/enrol" } else { "/" };
                return Some(Redirect::to(door).into_response());
            }
            _ => return None,
        };
        let html = screens::signed_out(&self.frame(), &why).ok()?;
        Some(self.page_with(StatusCode::UNAUTHORIZED, html))
    }
}
