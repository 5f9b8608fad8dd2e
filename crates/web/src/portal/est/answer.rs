//! Refusals as short texts.

use std::{convert::Infallible, future::ready};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use http::{HeaderValue, StatusCode, header};
use koshin_ra::IssuanceError;

use crate::{
    portal::{context::Context, trouble::Trouble},
    screens::{self, EstRefusal, Problem},
};

/// On an answer that says in words what it means, although it is no page.
#[derive(Clone, Copy)]
struct Worded;

/// Whether an answer is one of these texts.
pub(crate) fn is_text(response: &Response) -> bool {
    response.extensions().get::<Worded>().is_some()
}

/// Why a handler has no certificate to answer with.
pub(super) enum Refused {
    Est(EstRefusal),
    Trouble(Trouble),
}

impl<T: Into<EstRefusal>> From<T> for Refused {
    fn from(refusal: T) -> Self {
        Self::Est(refusal.into())
    }
}

/// What other use cases cannot do.
pub(super) fn trouble(error: impl Into<Trouble>) -> Refused {
    Refused::Trouble(error.into())
}

impl Context {
    /// The answer of a handler of EST.
    pub(super) fn est_answer(&self, result: Result<Response, Refused>) -> Response {
        match result {
            Ok(response) => response,
            Err(Refused::Est(refusal)) => self.est_refusal(&refusal),
            Err(Refused::Trouble(trouble)) => self.est_refusal(&self.meaning(&trouble)),
        }
    }

    fn meaning(&self, trouble: &Trouble) -> EstRefusal {
        match (trouble, self.problem_of(trouble)) {
            // The request is recorded, and the same request will get the certificate (RFC 7030, 4.2.3).
            (
                Trouble::Issuance(IssuanceError::Issue(_) | IssuanceError::Authority(_) | IssuanceError::Verify(_)),
                Problem::AuthorityUnavailable { retry_after },
            ) => EstRefusal::Recorded { retry_after },
            (_, problem) => problem.into(),
        }
    }

    /// A refusal as a text.
    pub(crate) fn est_refusal(&self, refusal: &EstRefusal) -> Response {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let text = screens::est_refusal(&self.frame(), refusal).unwrap_or_default();
        let body = match refusal.realm() {
            // Bouncy Castle's client answers a challenge without reading it, and fails if it was told how long it is.
            Some(_) => Body::from_stream(futures_util::stream::once(ready(Ok::<_, Infallible>(text)))),
            None => Body::from(text),
        };
        let mut response = (status, body).into_response();
        response.extensions_mut().insert(Worded);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static(self.language.as_str()));
        if let Some(seconds) = refusal.retry_after() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(realm) = refusal.realm() {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(realm));
        }
        response
    }
}
