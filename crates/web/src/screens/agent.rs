//! The way of the agent: its page, and what agents are told.

use askama::Template;
use koshin_types::{ProtectionLevel, RenewalId, Rfc3339};
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Page, Purpose},
    problem::{Problem, problem_words},
};

/// Which ways to a certificate a start screen offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ways {
    /// The page makes the key, and a file.
    File,
    /// Or the agent does.
    Both,
    /// Only the agent does.
    Agent {
        /// Why.
        why: OnlyAgent,
    },
}

/// Why there is no other way than the agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyAgent {
    /// The operator says so.
    Required,
    /// The agent has begun, and has the key.
    Begun,
}

/// The page beside the agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentWay<'a> {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// What the agent is opened with; `None` once it is at work.
    pub link: Option<&'a str>,
    /// The digits that the holder types into it; `None` where the mailed code is.
    pub digits: Option<&'a str>,
    /// When the link is void.
    pub until: Option<UtcDateTime>,
    /// The renewal, once it is known.
    pub id: Option<RenewalId>,
    /// Where the page listens, and where it asks if that does not work.
    pub events_url: &'a str,
    /// The same as one answer.
    pub status_url: &'a str,
    /// Where the page goes on when the certificate is in use.
    pub onward: &'a str,
    /// Where the way without the agent begins, if there is one.
    pub file_way: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "agent.html")]
struct AgentPage<'a> {
    page: Page<'a>,
    view: &'a AgentWay<'a>,
}

impl AgentPage<'_> {
    fn is_renewal(&self) -> bool {
        self.view.purpose == Purpose::Renewal
    }

    /// The renewal, where the page is about one.
    fn id(&self) -> String {
        self.view.id.map(|id| id.to_string()).unwrap_or_default()
    }

    /// In an enrolment that was proven the code is used up.
    fn can_begin_again(&self) -> bool {
        self.is_renewal() || self.view.id.is_none()
    }

    /// Where a new link is made.
    fn again(&self) -> String {
        match (self.view.purpose, self.view.id) {
            (Purpose::Renewal, Some(id)) => format!("/renewals/{id}/agent"),
            _ => "/enrol/agent".to_owned(),
        }
    }
}

/// Renders the page beside the agent.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn agent(frame: &Frame<'_>, view: &AgentWay<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "agent-title")?;
    // Beside an enrolment the page has none: it only watches.
    page.session = view.purpose == Purpose::Renewal;
    page.step = Some((view.purpose, if view.id.is_some() { 3 } else { 1 }));
    page.script = Some("agent.mjs");
    Ok(AgentPage { page, view }.render()?)
}

/// What an agent is told instead of what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentRefusal {
    /// 400: not the JSON that was expected.
    Malformed,
    /// 401 or 403: the exchange is over.
    Over {
        /// A secret was shown, so that another one helps: 401.
        bearer: bool,
    },
    /// 403: no certificate was shown.
    NoCertificate,
    /// 403: the certificate cannot be renewed.
    Certificate {
        /// The word of its status.
        status: &'static str,
    },
    /// 403: another certificate was shown.
    OtherCertificate,
    /// 403: the ticket does not hold.
    TicketWrong,
    /// 410: the ticket was used.
    TicketUsed,
    /// 403: the code was not typed.
    NotConfirmed,
    /// 403: the code is wrong.
    CodeWrong {
        /// Tries that are left.
        left: u8,
    },
    /// 403: the code was wrong too often.
    CodeExhausted,
    /// 403: the key is not protected enough.
    Protection {
        /// What is needed.
        minimum: ProtectionLevel,
        /// What was said.
        claimed: ProtectionLevel,
    },
    /// 403: agents are not offered.
    Off,
    /// 404: no such renewal.
    NotFound,
    /// 409: the renewal has another key.
    OtherKey,
    /// 409: the key was seen elsewhere.
    KeySeen,
    /// 409: not in this state.
    OutOfPlace {
        /// The state.
        state: &'static str,
    },
    /// 409: the renewal has ended.
    Ended {
        /// The state.
        state: &'static str,
    },
    /// 409: what was seen is not this renewal's successor.
    Activation,
    /// 503: the CA is away.
    CaAway {
        /// Seconds to wait.
        retry_after: u32,
    },
    /// 422: the request is not acceptable, for the reason of this problem.
    Request(Problem),
    /// Anything that happens elsewhere too.
    Problem(Problem),
}

impl From<Problem> for AgentRefusal {
    fn from(problem: Problem) -> Self {
        match problem {
            Problem::AuthorityUnavailable { retry_after } => Self::CaAway { retry_after },
            Problem::OtherKey => Self::OtherKey,
            Problem::NotFound => Self::NotFound,
            Problem::Malformed => Self::Malformed,
            Problem::Invalid | Problem::KeyRefused | Problem::PrivateKey => Self::Request(problem),
            other => Self::Problem(other),
        }
    }
}

impl AgentRefusal {
    /// The HTTP status.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Over { bearer: true } => 401,
            Self::Over { bearer: false }
            | Self::NoCertificate
            | Self::Certificate { .. }
            | Self::OtherCertificate
            | Self::TicketWrong
            | Self::NotConfirmed
            | Self::CodeWrong { .. }
            | Self::CodeExhausted
            | Self::Protection { .. }
            | Self::Off => 403,
            Self::NotFound => 404,
            Self::OtherKey | Self::KeySeen | Self::OutOfPlace { .. } | Self::Ended { .. } | Self::Activation => 409,
            Self::TicketUsed => 410,
            Self::Request(_) => 422,
            Self::CaAway { .. } => 503,
            Self::Problem(problem) => problem.status(),
        }
    }

    /// The code that stays the same whatever the language.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "agent.malformed",
            Self::Over { .. } => "agent.over",
            Self::NoCertificate => "agent.no_certificate",
            Self::Certificate { .. } => "agent.certificate",
            Self::OtherCertificate => "agent.other_certificate",
            Self::TicketWrong => "agent.ticket_wrong",
            Self::TicketUsed => "agent.ticket_used",
            Self::NotConfirmed => "agent.not_confirmed",
            Self::CodeWrong { .. } => "agent.code_wrong",
            Self::CodeExhausted => "agent.code_exhausted",
            Self::Protection { .. } => "agent.protection",
            Self::Off => "agent.off",
            Self::NotFound => "agent.not_found",
            Self::OtherKey => "agent.other_key",
            Self::KeySeen => "agent.key_seen",
            Self::OutOfPlace { .. } => "agent.out_of_place",
            Self::Ended { .. } => "agent.ended",
            Self::Activation => "agent.activation",
            Self::CaAway { .. } => "agent.ca_away",
            Self::Request(_) => "agent.request",
            Self::Problem(problem) => match problem {
                Problem::TooLarge => "agent.too_large",
                Problem::UnsupportedType => "agent.type",
                Problem::TooMany { .. } => "agent.too_many",
                Problem::Unavailable { .. } | Problem::ClockDoubted { .. } => "agent.unavailable",
                Problem::Internal { .. } => "agent.internal",
                other => other.code(),
            },
        }
    }

    /// Seconds for `Retry-After`, where waiting helps.
    pub const fn retry_after(&self) -> Option<u32> {
        match self {
            Self::CaAway { retry_after } => Some(*retry_after),
            Self::Problem(problem) => problem.retry_after(),
            _ => None,
        }
    }

    /// The key of its text; `None` for what has words elsewhere.
    const fn key(&self) -> Option<&'static str> {
        Some(match self {
            Self::Malformed => "agent-malformed",
            Self::Over { .. } => "agent-over",
            Self::NoCertificate => "agent-no-certificate",
            Self::Certificate { .. } => "agent-certificate",
            Self::OtherCertificate => "agent-other-certificate",
            Self::TicketWrong => "agent-ticket-wrong",
            Self::TicketUsed => "agent-ticket-used",
            Self::NotConfirmed => "agent-not-confirmed",
            Self::CodeWrong { .. } => "agent-code-wrong",
            Self::CodeExhausted => "agent-code-exhausted",
            Self::Protection { .. } => "agent-protection",
            Self::Off => "agent-off",
            Self::NotFound => "agent-not-found",
            Self::OtherKey => "agent-other-key",
            Self::KeySeen => "agent-key-seen",
            Self::OutOfPlace { .. } => "agent-out-of-place",
            Self::Ended { .. } => "agent-ended",
            Self::Activation => "agent-activation",
            Self::CaAway { .. } => "agent-ca-away",
            Self::Request(_) | Self::Problem(_) => return None,
        })
    }
}

/// The JSON of a refusal: code, a message for people, and what was compared.
///
/// # Errors
///
/// [`RenderError`] when a text fails, which tests rule out.
pub fn agent_refusal(frame: &Frame<'_>, refusal: &AgentRefusal) -> Result<serde_json::Value, RenderError> {
    let page = Page::new(frame, "agent-title")?;
    let message = match (refusal, refusal.key()) {
        (AgentRefusal::CodeWrong { left }, Some(key)) => page.t1(key, "left", u32::from(*left))?.to_text(),
        (AgentRefusal::Protection { minimum, claimed }, Some(key)) => {
            page.t2(key, "minimum", page.protection(minimum)?, "claimed", page.protection(claimed)?)?.to_text()
        }
        (AgentRefusal::Request(problem) | AgentRefusal::Problem(problem), _) => {
            let words = problem_words(frame, problem)?;
            format!("{} {}", words.title(), words.detail())
        }
        (_, Some(key)) => page.t(key)?.to_text(),
        (_, None) => String::new(),
    };
    let mut json = serde_json::Map::new();
    let mut put = |key: &str, value: serde_json::Value| json.insert(key.to_owned(), value);
    put("code", refusal.code().into());
    put("message", message.into());
    match refusal {
        AgentRefusal::CodeWrong { left } => _ = put("left", (*left).into()),
        AgentRefusal::Certificate { status } => _ = put("status", (*status).into()),
        AgentRefusal::Ended { state } | AgentRefusal::OutOfPlace { state } => _ = put("state", (*state).into()),
        AgentRefusal::Protection { minimum, claimed } => {
            put("minimum", minimum.as_str().into());
            put("claimed", claimed.as_str().into());
        }
        AgentRefusal::Problem(Problem::TooEarly { opens }) => _ = put("opens", Rfc3339(*opens).to_string().into()),
        _ => {}
    }
    Ok(json.into())
}
