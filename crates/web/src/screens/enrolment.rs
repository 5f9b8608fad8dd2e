//! 電子証明書取得, on the public host, up to the point where it becomes the flow of a renewal.

use askama::Template;

use super::{
    RenderError,
    frame::{Frame, Page, Purpose},
    sign_in::{Summary, wait},
};

#[derive(Template)]
#[template(path = "enrolment_home.html")]
struct HomePage<'a> {
    page: Page<'a>,
    keep_days: u32,
}

/// Renders the public host's first page: for whom 電子証明書取得 is, and its door. A key that the browser has kept for more
/// than `keep_days` is of no use any more, and is forgotten.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn enrolment_home(frame: &Frame<'_>, keep_days: u32) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "home-title")?;
    page.script = Some("forget.mjs");
    Ok(HomePage { page, keep_days }.render()?)
}

/// The form for ID and password.
#[derive(Debug, Clone, Copy)]
pub struct EnrolmentIdentify<'a> {
    /// The ID as it was typed. Empty at first.
    pub id: &'a str,
    /// Why the last try did not succeed.
    pub refusal: Option<EnrolmentRefusal>,
}

/// Why ID and password were not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnrolmentRefusal {
    /// A field was left empty.
    Empty {
        /// The ID was.
        id: bool,
        /// The password was.
        password: bool,
    },
    /// Too many tries for this ID. Answered with 429.
    TooMany {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// Too many from this network. Answered with 429.
    Crowded {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// The server has too much to do. Answered with 503.
    Busy {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
}

#[derive(Template)]
#[template(path = "enrolment_identify.html")]
struct IdentifyPage<'a> {
    page: Page<'a>,
    summary: Option<Summary>,
    id: &'a str,
}

impl IdentifyPage<'_> {
    fn blames(&self, field: &str) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.names(field))
    }
}

/// Renders the form for ID and password.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn enrolment_identify(frame: &Frame<'_>, view: &EnrolmentIdentify<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "enrol-title")?;
    page.step = Some((Purpose::Enrolment, 1));
    let summary = match view.refusal {
        None => None,
        Some(EnrolmentRefusal::Empty { id, password }) => Some(Summary::empty(&page, id, password)?),
        Some(EnrolmentRefusal::TooMany { retry_after }) => {
            let text = page.t1("enrol-too-many", "wait", wait(&page, retry_after)?)?;
            Some(Summary::one(&page, "enrol-too-many-title", None, text)?)
        }
        Some(EnrolmentRefusal::Crowded { retry_after }) => {
            let text = page.t1("enrol-crowded", "wait", wait(&page, retry_after)?)?;
            Some(Summary::one(&page, "enrol-too-many-title", None, text)?)
        }
        Some(EnrolmentRefusal::Busy { retry_after }) => {
            let text = page.t1("enrol-busy", "wait", wait(&page, retry_after)?)?;
            Some(Summary::one(&page, "enrol-busy-title", None, text)?)
        }
    };
    page.failed = summary.is_some();
    Ok(IdentifyPage { page, summary, id: view.id }.render()?)
}

/// The form for the one-time code. It never tells whether the ID exists.
#[derive(Debug, Clone, Copy)]
pub struct EnrolmentCode {
    /// For how long a code can be used.
    pub minutes: u32,
    /// How many digits it has.
    pub digits: u32,
    /// Whether the code may be typed into the agent instead.
    pub agent: bool,
    /// Why the last try did not succeed.
    pub refusal: Option<CodeRefusal>,
}

/// Why a code was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeRefusal {
    /// Nothing was entered.
    Empty,
    /// It is not the code.
    Wrong,
    /// Its time is over.
    Expired,
    /// It was tried too often.
    Spent,
    /// Too many tries altogether. Answered with 429.
    TooMany {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
}

#[derive(Template)]
#[template(path = "enrolment_code.html")]
struct CodePage<'a> {
    page: Page<'a>,
    view: &'a EnrolmentCode,
    summary: Option<Summary>,
}

impl CodePage<'_> {
    /// No entry can be right any more: there is nothing to fill in.
    fn is_over(&self) -> bool {
        matches!(self.view.refusal, Some(CodeRefusal::Expired | CodeRefusal::Spent))
    }

    fn blames(&self) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.names("code"))
    }
}

/// Renders the form for the one-time code.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn enrolment_code(frame: &Frame<'_>, view: &EnrolmentCode) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "code-title")?;
    page.step = Some((Purpose::Enrolment, 1));
    let field = Some("code");
    let summary = match view.refusal {
        None => None,
        Some(CodeRefusal::Empty) => Some(Summary::one(&page, "summary-title", field, page.t("code-missing")?)?),
        Some(CodeRefusal::Wrong) => Some(Summary::one(&page, "code-wrong-title", field, page.t("code-wrong")?)?),
        Some(CodeRefusal::Expired) => Some(Summary::one(&page, "code-expired-title", None, page.t("code-expired")?)?),
        Some(CodeRefusal::Spent) => Some(Summary::one(&page, "code-spent-title", None, page.t("code-spent")?)?),
        Some(CodeRefusal::TooMany { retry_after }) => {
            let text = page.t1("code-too-many", "wait", wait(&page, retry_after)?)?;
            Some(Summary::one(&page, "code-too-many-title", None, text)?)
        }
    };
    page.failed = summary.is_some();
    Ok(CodePage { page, view, summary }.render()?)
}
