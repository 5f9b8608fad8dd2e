//! Answers to agents: JSON, and a code that stays the same.

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use koshin_ra::{AgentError, ChangeError, IssuanceError, SessionError};
use koshin_renewal::{Admission, Refused};

use crate::{
    portal::{
        context::Context,
        trouble::{Trouble, seconds_until},
    },
    screens::{self, AgentRefusal, Problem},
};

/// Why a handler has no answer.
pub(super) enum Told {
    Refusal(AgentRefusal),
    Error(AgentError),
    Trouble(Trouble),
}

impl From<AgentRefusal> for Told {
    fn from(refusal: AgentRefusal) -> Self {
        Self::Refusal(refusal)
    }
}

impl From<Problem> for Told {
    fn from(problem: Problem) -> Self {
        Self::Refusal(problem.into())
    }
}

impl From<AgentError> for Told {
    fn from(error: AgentError) -> Self {
        Self::Error(error)
    }
}

impl From<Trouble> for Told {
    fn from(trouble: Trouble) -> Self {
        Self::Trouble(trouble)
    }
}

/// The word for what a certificate may do.
const fn status(admission: &Admission) -> &'static str {
    match admission {
        Admission::Login => "active",
        Admission::ActivationOnly => "pending",
        Admission::NotYetValid { .. } => "not_yet_valid",
        Admission::Expired { .. } => "expired",
        Admission::Superseded { .. } => "superseded",
        Admission::Revoked { .. } => "revoked",
        Admission::Unknown => "unknown",
    }
}

impl Context {
    /// The answer of a handler for agents.
    pub(super) fn agent_answer(&self, result: Result<serde_json::Value, Told>, bearer: bool) -> Response {
        let refusal = match result {
            Ok(value) => return axum::Json(value).into_response(),
            Err(Told::Refusal(refusal)) => refusal,
            Err(Told::Error(error)) => self.agent_meaning(error, bearer),
            Err(Told::Trouble(trouble)) => trouble.problem(self.now).into(),
        };
        let code = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = screens::agent_refusal(&self.frame(), &refusal).unwrap_or_default();
        let mut response = (code, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.language.as_str()));
        if let Some(seconds) = refusal.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }

    pub(super) fn agent_meaning(&self, error: AgentError, bearer: bool) -> AgentRefusal {
        let change = |error: ChangeError| match error {
            ChangeError::Refused(Refused::OtherKey { .. }) => AgentRefusal::OtherKey,
            ChangeError::Refused(Refused::OutOfPlace { state, .. }) => AgentRefusal::OutOfPlace { state },
            ChangeError::Refused(Refused::Lapsed { .. } | Refused::Ended { .. }) => {
                AgentRefusal::Ended { state: "expired" }
            }
            ChangeError::KeySeen { .. } => AgentRefusal::KeySeen,
            other => Trouble::from(other).problem(self.now).into(),
        };
        match error {
            AgentError::NoCertificate => AgentRefusal::NoCertificate,
            AgentError::Certificate(admission) => AgentRefusal::Certificate { status: status(&admission) },
            AgentError::OtherCertificate => AgentRefusal::OtherCertificate,
            AgentError::TicketWrong => AgentRefusal::TicketWrong,
            AgentError::TicketUsed => AgentRefusal::TicketUsed,
            AgentError::Over | AgentError::Session(SessionError::None) => AgentRefusal::Over { bearer },
            AgentError::NotConfirmed => AgentRefusal::NotConfirmed,
            AgentError::CodeWrong { left } => AgentRefusal::CodeWrong { left },
            AgentError::CodeExhausted => AgentRefusal::CodeExhausted,
            AgentError::NotFound { .. } => AgentRefusal::NotFound,
            AgentError::Ended { state } => AgentRefusal::Ended { state },
            AgentError::Protection { minimum, claimed } => AgentRefusal::Protection { minimum, claimed },
            AgentError::Off => AgentRefusal::Off,
            AgentError::TooMany { retry_at } => {
                Problem::TooMany { retry_after: seconds_until(retry_at, self.now) }.into()
            }
            AgentError::Issuance(IssuanceError::Change(error)) | AgentError::Change(error) => change(error),
            AgentError::Issuance(error) => Trouble::from(error).problem(self.now).into(),
            AgentError::Session(error) => Trouble::from(error).problem(self.now).into(),
            AgentError::Storage(error) => Trouble::from(error).problem(self.now).into(),
            AgentError::Entropy(error) => Trouble::from(error).problem(self.now).into(),
            other => {
                tracing::warn!(error = ?other, "an agent was refused");
                Problem::Forbidden.into()
            }
        }
    }
}
