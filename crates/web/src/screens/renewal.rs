//! Steps 3 to 6, for renewal and enrolment alike, and what branches off them.

use askama::Template;
use koshin_types::{RenewalId, SerialNumber, SubjectId};

use super::{
    RenderError,
    agent::{OnlyAgent, Ways},
    frame::{Frame, Page, Purpose},
    problem::{Problem, ProblemWords, problem_words},
    seen::Tone,
    sign_in::{Summary, wait},
};

/// 電子証明書更新前処理中: step 3. Goes on by itself to the start screen.
#[derive(Debug, Clone, Copy)]
pub struct Preparing<'a> {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// The renewal.
    pub id: RenewalId,
    /// What is checked, in order.
    pub checks: &'a [Check],
    /// Why it cannot go on, where that is so: the check that is not done has failed.
    pub stopped: Option<&'a Problem>,
}

/// One check and how far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Check {
    /// What is checked.
    pub check: RenewalCheck,
    /// It is done.
    pub done: bool,
}

/// What is checked before a key is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalCheck {
    /// The predecessor is valid and in use.
    Certificate,
    /// The renewal window is open.
    Window,
    /// ID, password and code were right.
    Identity,
    /// Enrolment is open.
    Grant,
    /// The CA can issue.
    Authority,
}

impl RenewalCheck {
    const fn key(self) -> &'static str {
        match self {
            Self::Certificate => "check-certificate",
            Self::Window => "check-window",
            Self::Identity => "check-identity",
            Self::Grant => "check-grant",
            Self::Authority => "check-authority",
        }
    }
}

#[derive(Template)]
#[template(path = "preparing.html")]
struct PreparingPage<'a> {
    page: Page<'a>,
    view: &'a Preparing<'a>,
    lead: &'static str,
    stopped: Option<ProblemWords>,
}

/// Renders 電子証明書更新前処理中.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn preparing(frame: &Frame<'_>, view: &Preparing<'_>) -> Result<String, RenderError> {
    let (title, lead) = match view.purpose {
        Purpose::Renewal => ("preparing-title", "preparing-lead"),
        Purpose::Enrolment => ("preparing-title-enrolment", "preparing-lead-enrolment"),
    };
    let mut page = Page::new(frame, title)?;
    page.session = true;
    page.step = Some((view.purpose, 2));
    let stopped = match view.stopped {
        None => None,
        Some(problem) => Some(problem_words(frame, problem)?),
    };
    if stopped.is_none() {
        page.script = Some("preparing.mjs");
    }
    page.failed = stopped.is_some();
    Ok(PreparingPage { page, view, lead, stopped }.render()?)
}

/// How far a renewal is, as its start screen has to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Nothing was asked for.
    Started,
    /// A request is stored.
    Requested,
    /// The certificate's contents are stored, its signature is not.
    Intended,
    /// The certificate is stored.
    Issued {
        /// Its serial number.
        serial: SerialNumber,
    },
    /// The holder has agreed to receive it.
    Delivered {
        /// Its serial number.
        serial: SerialNumber,
    },
}

impl Stage {
    const fn word(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Requested => "requested",
            Self::Intended => "intended",
            Self::Issued { .. } => "issued",
            Self::Delivered { .. } => "delivered",
        }
    }

    /// The key of the case in which to start again with a new key, once there is something to give up.
    const fn again_key(self) -> Option<&'static str> {
        match self {
            Self::Started => None,
            Self::Requested | Self::Intended => Some("start-stuck"),
            Self::Issued { .. } | Self::Delivered { .. } => Some("start-lost"),
        }
    }

    /// The holder has a file of it, or had one.
    const fn is_delivered(self) -> bool {
        matches!(self, Self::Delivered { .. })
    }

    const fn serial(self) -> Option<SerialNumber> {
        match self {
            Self::Started | Self::Requested | Self::Intended => None,
            Self::Issued { serial } | Self::Delivered { serial } => Some(serial),
        }
    }
}

/// 電子証明書更新開始 with both confirmations: steps 4 to 6. For an enrolment its title is 電子証明書取得.
#[derive(Debug, Clone, Copy)]
pub struct Start<'a> {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// Whose it is.
    pub subject: &'a SubjectId,
    /// The renewal.
    pub id: RenewalId,
    /// How far it is.
    pub stage: Stage,
    /// Which ways there are.
    pub ways: Ways,
    /// What the server refused, if this page is the answer to that.
    pub problem: Option<&'a Problem>,
}

#[derive(Template)]
#[template(path = "start.html")]
struct StartPage<'a> {
    page: Page<'a>,
    view: &'a Start<'a>,
    words: Option<ProblemWords>,
}

impl StartPage<'_> {
    fn offers_agent(&self) -> bool {
        self.view.ways == Ways::Both
    }

    fn is_renewal(&self) -> bool {
        self.view.purpose == Purpose::Renewal
    }
}

/// The same where the agent is the only way.
#[derive(Template)]
#[template(path = "start_agent.html")]
struct StartAgentPage<'a> {
    page: Page<'a>,
    view: &'a Start<'a>,
    why: OnlyAgent,
}

impl StartAgentPage<'_> {
    fn is_renewal(&self) -> bool {
        self.view.purpose == Purpose::Renewal
    }

    fn has_begun(&self) -> bool {
        self.why == OnlyAgent::Begun
    }
}

/// Renders 電子証明書更新開始 or 電子証明書取得.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn start(frame: &Frame<'_>, view: &Start<'_>) -> Result<String, RenderError> {
    let title = match view.purpose {
        Purpose::Renewal => "start-title",
        Purpose::Enrolment => "start-title-enrolment",
    };
    let mut page = Page::new(frame, title)?;
    page.session = true;
    page.step = Some((view.purpose, 3));
    let words = match view.problem {
        None => None,
        Some(problem) => Some(problem_words(frame, problem)?),
    };
    page.failed = words.is_some();
    if let Ways::Agent { why } = view.ways {
        return Ok(StartAgentPage { page, view, why }.render()?);
    }
    page.script = Some("renew.mjs");
    Ok(StartPage { page, view, words }.render()?)
}

/// The answer to いいえ.
#[derive(Debug, Clone, Copy)]
pub struct Declined {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// The renewal.
    pub id: RenewalId,
    /// Which confirmation it was.
    pub step: DeclinedStep,
}

/// Which of the two confirmations was declined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeclinedStep {
    /// The first: making the key and the request.
    Request,
    /// The second: saving the certificate.
    Delivery,
}

#[derive(Template)]
#[template(path = "declined.html")]
struct DeclinedPage<'a> {
    page: Page<'a>,
    view: &'a Declined,
}

impl DeclinedPage<'_> {
    fn is_renewal(&self) -> bool {
        self.view.purpose == Purpose::Renewal
    }

    const fn what(&self) -> &'static str {
        match self.view.step {
            DeclinedStep::Request => "declined-one",
            DeclinedStep::Delivery => "declined-two",
        }
    }
}

/// Renders the answer to いいえ.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn declined(frame: &Frame<'_>, view: &Declined) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "declined-title")?;
    page.session = true;
    page.step = Some((view.purpose, 3));
    Ok(DeclinedPage { page, view }.render()?)
}

/// The question before a renewal is begun again with a new key.
#[derive(Debug, Clone, Copy)]
pub struct StartAgain {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// The renewal that would end.
    pub id: RenewalId,
    /// The unactivated certificate that would be revoked.
    pub serial: Option<SerialNumber>,
    /// It was done too often: seconds to wait, as in `Retry-After`.
    pub retry_after: Option<u32>,
}

#[derive(Template)]
#[template(path = "start_again.html")]
struct StartAgainPage<'a> {
    page: Page<'a>,
    view: &'a StartAgain,
    summary: Option<Summary>,
}

impl StartAgainPage<'_> {
    fn is_renewal(&self) -> bool {
        self.view.purpose == Purpose::Renewal
    }
}

/// Renders the question before a new start.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn start_again(frame: &Frame<'_>, view: &StartAgain) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "again-title")?;
    page.session = true;
    let summary = match view.retry_after {
        None => None,
        Some(seconds) => {
            let text = page.t1("again-too-often", "wait", wait(&page, seconds)?)?;
            Some(Summary::one(&page, "again-too-often-title", None, text)?)
        }
    };
    page.failed = summary.is_some();
    Ok(StartAgainPage { page, view, summary }.render()?)
}
