//! Step 0 and the end of a session.

use askama::Template;
use koshin_types::SerialNumber;
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Host, Page},
    markup::{self, Markup},
    seen::{Advice, Seen, Tone, advice},
};

/// ログイン: step 0, on the portal host.
#[derive(Debug, Clone, Copy)]
pub struct Login<'a> {
    /// What the server saw of a certificate.
    pub seen: &'a Seen,
    /// Why the last try did not succeed.
    pub refusal: Option<LoginRefusal>,
    /// The ID as it was typed, so that nobody has to type it again. Empty at first.
    pub id: &'a str,
}

/// Why a login did not succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginRefusal {
    /// ID, password and certificate do not belong together: one answer for all of it.
    Mismatch,
    /// No certificate that may log in was shown.
    CertificateNeeded,
    /// A field was left empty.
    Empty {
        /// The ID was.
        id: bool,
        /// The password was.
        password: bool,
    },
    /// Too many tries. Answered with 429.
    TooMany {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
    /// The server has too much to do. Answered with 503.
    Busy {
        /// Seconds to wait, as in `Retry-After`.
        retry_after: u32,
    },
}

/// The summary on top of a form that was refused.
#[derive(Debug)]
pub(crate) struct Summary {
    pub(crate) title: Markup,
    pub(crate) lines: Vec<SummaryLine>,
}

/// One line of a summary, leading to the field that it is about.
#[derive(Debug)]
pub(crate) struct SummaryLine {
    pub(crate) field: Option<&'static str>,
    pub(crate) text: Markup,
}

impl Summary {
    pub(crate) fn one(page: &Page<'_>, title: &str, field: Option<&'static str>, text: Markup) -> askama::Result<Self> {
        Ok(Self { title: page.t(title)?, lines: vec![SummaryLine { field, text }] })
    }

    /// For a form of ID and password with empty fields.
    pub(crate) fn empty(page: &Page<'_>, id: bool, password: bool) -> askama::Result<Self> {
        let mut lines = Vec::new();
        if id {
            lines.push(SummaryLine { field: Some("id"), text: page.t("missing-id")? });
        }
        if password {
            lines.push(SummaryLine { field: Some("password"), text: page.t("missing-password")? });
        }
        Ok(Self { title: page.t("summary-title")?, lines })
    }

    /// Whether this field is to blame: it gets `aria-invalid`.
    pub(crate) fn names(&self, field: &str) -> bool {
        self.lines.iter().any(|line| line.field == Some(field))
    }
}

/// How long to wait, in seconds below 90, else in minutes, rounded up.
pub(crate) fn wait(page: &Page<'_>, seconds: u32) -> askama::Result<Markup> {
    if seconds < 90 {
        page.t1("seconds", "seconds", seconds.max(1))
    } else {
        page.t1("minutes", "minutes", seconds.div_ceil(60))
    }
}

#[derive(Template)]
#[template(path = "login.html")]
struct LoginPage<'a> {
    page: Page<'a>,
    advice: Advice,
    summary: Option<Summary>,
    seen: &'a Seen,
    id: &'a str,
}

impl LoginPage<'_> {
    /// Without a certificate that can log in there is one next step, and no form to fill in vain.
    fn offers_form(&self) -> bool {
        matches!(self.seen, Seen::Active { .. } | Seen::Pending { .. })
    }

    /// Only a certificate in use makes the form the next step; otherwise the advice has a better one.
    fn is_main_way(&self) -> bool {
        matches!(self.seen, Seen::Active { .. })
    }

    fn is_pending(&self) -> bool {
        matches!(self.seen, Seen::Pending { .. })
    }

    /// The door stands on every login page; where the advice already leads there, it need not stand twice.
    fn offers_door(&self) -> bool {
        self.advice.next.as_ref().is_none_or(|next| next.href != self.page.enrolment_url())
    }

    fn blames(&self, field: &str) -> bool {
        self.summary.as_ref().is_some_and(|summary| summary.names(field))
    }
}

/// Renders ログイン.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn login(frame: &Frame<'_>, view: &Login<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "login-title")?;
    page.script = Some("forget.mjs");
    let summary = match view.refusal {
        None => None,
        Some(refusal) => Some(login_summary(&page, refusal)?),
    };
    page.failed = summary.is_some();
    let mut advice = advice(&page, view.seen)?;
    if matches!(view.seen, Seen::Active { .. }) {
        // The form is the next step.
        advice.next = None;
    }
    Ok(LoginPage { advice, summary, seen: view.seen, id: view.id, page }.render()?)
}

fn login_summary(page: &Page<'_>, refusal: LoginRefusal) -> askama::Result<Summary> {
    match refusal {
        LoginRefusal::Mismatch => Summary::one(page, "login-mismatch-title", Some("id"), page.t("login-mismatch")?),
        LoginRefusal::CertificateNeeded => {
            Summary::one(page, "login-mismatch-title", None, page.t("login-certificate-needed")?)
        }
        LoginRefusal::Empty { id, password } => Summary::empty(page, id, password),
        LoginRefusal::TooMany { retry_after } => {
            let text = page.t1("login-too-many", "wait", wait(page, retry_after)?)?;
            Summary::one(page, "login-too-many-title", None, text)
        }
        LoginRefusal::Busy { retry_after } => {
            let text = page.t1("login-busy", "wait", wait(page, retry_after)?)?;
            Summary::one(page, "login-busy-title", None, text)
        }
    }
}

/// Why nobody is signed in any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignedOut {
    /// The holder signed out.
    ByChoice {
        /// A renewal was completed: the browser has to be restarted before the new certificate is used.
        restart: bool,
    },
    /// Nothing happened for too long.
    Idle {
        /// For how long a session may be idle.
        minutes: u32,
    },
    /// The session reached its greatest age.
    Total,
    /// The session's certificate was superseded.
    Replaced {
        /// The serial number of the one in use.
        successor: SerialNumber,
    },
    /// The session's certificate expired.
    Expired {
        /// Its last second.
        at: UtcDateTime,
    },
    /// The session's certificate was revoked.
    Revoked,
}

#[derive(Template)]
#[template(path = "signed_out.html")]
struct SignedOutPage<'a> {
    page: Page<'a>,
    advice: Advice,
    restart: bool,
}

/// Renders the end of a session.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn signed_out(frame: &Frame<'_>, view: &SignedOut) -> Result<String, RenderError> {
    // Without a certificate nobody can log in: an enrolment is begun anew.
    let enrolling = frame.host == Host::Public;
    let key = match view {
        SignedOut::ByChoice { .. } => "signed-out-title",
        SignedOut::Idle { .. } if enrolling => "enrolment-idle-title",
        SignedOut::Total if enrolling => "enrolment-total-title",
        SignedOut::Idle { .. } => "session-idle-title",
        SignedOut::Total => "session-total-title",
        SignedOut::Replaced { .. } => "session-replaced-title",
        SignedOut::Expired { .. } => "session-expired-title",
        SignedOut::Revoked => "session-revoked-title",
    };
    let page = Page::new(frame, key)?;
    let (tone, body) = match view {
        SignedOut::ByChoice { .. } => (Tone::Ok, page.t("signed-out-body")?),
        SignedOut::Idle { minutes } if enrolling => (Tone::Info, page.t1("enrolment-idle-body", "minutes", minutes)?),
        SignedOut::Total if enrolling => (Tone::Info, page.t("enrolment-total-body")?),
        SignedOut::Idle { minutes } => (Tone::Info, page.t1("session-idle-body", "minutes", minutes)?),
        SignedOut::Total => (Tone::Info, page.t("session-total-body")?),
        SignedOut::Replaced { successor } => {
            (Tone::Ok, page.t1("session-replaced-body", "serial", markup::serial(successor))?)
        }
        SignedOut::Expired { at } => (Tone::Stop, page.t1("session-expired-body", "at", page.moment(at))?),
        SignedOut::Revoked => (Tone::Stop, page.t("session-revoked-body")?),
    };
    let advice = Advice::new(&page, tone, key, body)?;
    let advice = match view {
        SignedOut::Revoked => advice.leading_to("#help".to_owned(), page.t("next-contact")?),
        SignedOut::Idle { .. } | SignedOut::Total if enrolling => {
            advice.leading_to(page.enrolment_url(), page.t("next-enrol")?)
        }
        _ => advice.leading_to(page.login_url(), page.t("session-login")?),
    };
    let restart = matches!(view, SignedOut::ByChoice { restart: true });
    Ok(SignedOutPage { page, advice, restart }.render()?)
}
