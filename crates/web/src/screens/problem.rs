//! What went wrong, in words, with a stable code: for pages and for `application/problem+json` (RFC 9457).

use askama::Template;
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Page},
    markup::Markup,
    sign_in::wait,
};

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// 400: the request cannot be read.
    Malformed,
    /// 401: nobody is signed in.
    SessionMissing,
    /// 401: the enrolment has timed out, or has not begun.
    EnrolmentMissing,
    /// 403: not permitted, or sent from another site.
    Forbidden,
    /// 403: this role's keys are made by the agent.
    AgentNeeded,
    /// 403: the renewal window has not opened.
    TooEarly {
        /// When it does.
        opens: UtcDateTime,
    },
    /// 404: unknown, or somebody else's.
    NotFound,
    /// 405: not with this method.
    MethodNotAllowed,
    /// 409: something else came first.
    Conflict,
    /// 409: issued for another key.
    OtherKey,
    /// 410: the renewal has ended.
    Ended,
    /// 410: the CA refused it for good; another one may be started.
    Refused,
    /// 409: the CA ends before a new certificate would. It takes a new CA, so asking again does not help.
    AuthorityEnding,
    /// 413: the body is too large.
    TooLarge,
    /// 415: not in this format.
    UnsupportedType,
    /// 421: meant for another host.
    Misdirected,
    /// 422: a field is missing or wrong.
    Invalid,
    /// 422: the key or its proof of possession is not acceptable.
    KeyRefused,
    /// 422: a private key was sent.
    PrivateKey,
    /// 429: too often.
    TooMany {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// 500: our fault.
    Internal {
        /// What finds it in the logs.
        reference: String,
    },
    /// 503: not now.
    Unavailable {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// 503: the CA cannot issue at the moment.
    AuthorityUnavailable {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// 503: the clock is not believed, so nothing is done that cannot be undone.
    ClockDoubted {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
}

impl Problem {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::SessionMissing | Self::EnrolmentMissing => 401,
            Self::Forbidden | Self::AgentNeeded | Self::TooEarly { .. } => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::Conflict | Self::OtherKey | Self::AuthorityEnding => 409,
            Self::Ended | Self::Refused => 410,
            Self::TooLarge => 413,
            Self::UnsupportedType => 415,
            Self::Misdirected => 421,
            Self::Invalid | Self::KeyRefused | Self::PrivateKey => 422,
            Self::TooMany { .. } => 429,
            Self::Internal { .. } => 500,
            Self::Unavailable { .. } | Self::AuthorityUnavailable { .. } | Self::ClockDoubted { .. } => 503,
        }
    }

    /// The code that stays the same whatever the language. Scripts compare it, people quote it.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "request.malformed",
            Self::SessionMissing => "session.missing",
            Self::EnrolmentMissing => "enrolment.missing",
            Self::Forbidden => "request.forbidden",
            Self::AgentNeeded => "renewal.agent_needed",
            Self::TooEarly { .. } => "renewal.too_early",
            Self::NotFound => "request.not_found",
            Self::MethodNotAllowed => "request.method",
            Self::Conflict => "request.conflict",
            Self::OtherKey => "renewal.other_key",
            Self::Ended => "renewal.ended",
            Self::Refused => "renewal.refused",
            Self::AuthorityEnding => "authority.ending",
            Self::TooLarge => "request.too_large",
            Self::UnsupportedType => "request.type",
            Self::Misdirected => "request.misdirected",
            Self::Invalid => "request.invalid",
            Self::KeyRefused => "request.key",
            Self::PrivateKey => "request.private_key",
            Self::TooMany { .. } => "request.too_many",
            Self::Internal { .. } => "server.internal",
            Self::Unavailable { .. } => "server.unavailable",
            Self::AuthorityUnavailable { .. } => "authority.unavailable",
            Self::ClockDoubted { .. } => "server.clock",
        }
    }

    /// Seconds for `Retry-After`, where waiting helps.
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::TooMany { retry_after }
            | Self::Unavailable { retry_after }
            | Self::AuthorityUnavailable { retry_after }
            | Self::ClockDoubted { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// The keys of title, detail and next step.
    const fn keys(&self) -> [&'static str; 3] {
        match self {
            Self::Malformed => ["problem-malformed-title", "problem-malformed-detail", "problem-malformed-next"],
            Self::SessionMissing => ["problem-session-title", "problem-session-detail", "problem-session-next"],
            Self::EnrolmentMissing => ["problem-enrolment-title", "problem-enrolment-detail", "problem-enrolment-next"],
            Self::Forbidden => ["problem-forbidden-title", "problem-forbidden-detail", "problem-forbidden-next"],
            Self::AgentNeeded => ["problem-agent-title", "problem-agent-detail", "problem-agent-next"],
            Self::TooEarly { .. } => ["problem-early-title", "problem-early-detail", "problem-early-next"],
            Self::NotFound => ["problem-not-found-title", "problem-not-found-detail", "problem-not-found-next"],
            Self::MethodNotAllowed => ["problem-method-title", "problem-method-detail", "problem-method-next"],
            Self::Conflict => ["problem-conflict-title", "problem-conflict-detail", "problem-conflict-next"],
            Self::OtherKey => ["problem-other-key-title", "problem-other-key-detail", "problem-other-key-next"],
            Self::Ended => ["problem-ended-title", "problem-ended-detail", "problem-ended-next"],
            Self::Refused => ["problem-refused-title", "problem-refused-detail", "problem-refused-next"],
            Self::AuthorityEnding => ["problem-ending-title", "problem-ending-detail", "problem-ending-next"],
            Self::TooLarge => ["problem-large-title", "problem-large-detail", "problem-large-next"],
            Self::UnsupportedType => ["problem-type-title", "problem-type-detail", "problem-type-next"],
            Self::Misdirected => {
                ["problem-misdirected-title", "problem-misdirected-detail", "problem-misdirected-next"]
            }
            Self::Invalid => ["problem-invalid-title", "problem-invalid-detail", "problem-invalid-next"],
            Self::KeyRefused => ["problem-key-title", "problem-key-detail", "problem-key-next"],
            Self::PrivateKey => ["problem-private-key-title", "problem-private-key-detail", "problem-private-key-next"],
            Self::TooMany { .. } => ["problem-too-many-title", "problem-too-many-detail", "problem-too-many-next"],
            Self::Internal { .. } => ["problem-internal-title", "problem-internal-detail", "problem-internal-next"],
            Self::Unavailable { .. } => {
                ["problem-unavailable-title", "problem-unavailable-detail", "problem-unavailable-next"]
            }
            Self::AuthorityUnavailable { .. } => {
                ["problem-authority-title", "problem-authority-detail", "problem-authority-next"]
            }
            Self::ClockDoubted { .. } => ["problem-clock-title", "problem-clock-detail", "problem-clock-next"],
        }
    }
}

/// The words of a problem in one language, as HTML.
#[derive(Debug, Clone)]
pub struct ProblemWords {
    pub(crate) code: &'static str,
    pub(crate) title: Markup,
    pub(crate) detail: Markup,
    pub(crate) next: Markup,
}

impl ProblemWords {
    /// `title` of RFC 9457, as plain text.
    pub fn title(&self) -> String {
        self.title.to_text()
    }

    /// `detail` of RFC 9457, as plain text: what happened and how to go on.
    pub fn detail(&self) -> String {
        format!("{} {}", self.detail.to_text(), self.next.to_text())
    }
}

/// The words of a problem, for `application/problem+json`.
///
/// # Errors
///
/// [`RenderError`] when a text fails, which tests rule out.
pub fn problem_words(frame: &Frame<'_>, problem: &Problem) -> Result<ProblemWords, RenderError> {
    let [title, detail, next] = problem.keys();
    let page = Page::new(frame, title)?;
    let detail = match problem {
        Problem::TooEarly { opens } => page.t1(detail, "at", page.date(opens))?,
        _ => page.t(detail)?,
    };
    let next = match problem.retry_after() {
        Some(seconds) => page.t1(next, "wait", wait(&page, seconds)?)?,
        None => page.t(next)?,
    };
    Ok(ProblemWords { code: problem.code(), title: page.t(title)?, detail, next })
}

#[derive(Template)]
#[template(path = "problem.html")]
struct ProblemPage<'a> {
    page: Page<'a>,
    words: ProblemWords,
    reference: Option<&'a str>,
    login: bool,
    enrol: bool,
}

/// Renders the page of a problem.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn problem(frame: &Frame<'_>, view: &Problem) -> Result<String, RenderError> {
    let words = problem_words(frame, view)?;
    let mut page = Page::with_title(frame, words.title.clone());
    page.failed = true;
    let reference = match view {
        Problem::Internal { reference } => Some(reference.as_str()),
        _ => None,
    };
    let (login, enrol) = (*view == Problem::SessionMissing, *view == Problem::EnrolmentMissing);
    Ok(ProblemPage { page, words, reference, login, enrol }.render()?)
}
