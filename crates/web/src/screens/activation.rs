//! The activation host: shows at once whether a new certificate works.

use askama::Template;
use koshin_types::SerialNumber;

use super::{
    RenderError,
    frame::{Frame, Page},
    seen::{Advice, Seen, SeenCertificate, Tone, advice},
};

/// What the activation host has to say.
#[derive(Debug, Clone, Copy)]
pub enum Activation<'a> {
    /// GET: what was seen. A pending certificate gets the form that activates it, everything else an explanation.
    Seen(&'a Seen),
    /// POST: the certificate is in use from now on.
    Activated {
        /// The certificate.
        certificate: &'a SeenCertificate,
        /// The predecessor, which can no longer log in.
        superseded: Option<SerialNumber>,
    },
}

#[derive(Template)]
#[template(path = "activation.html")]
struct ActivationPage<'a> {
    page: Page<'a>,
    advice: Advice,
    certificate: Option<&'a SeenCertificate>,
    state: State,
    superseded: Option<SerialNumber>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Confirm,
    Done,
    Advice,
}

impl ActivationPage<'_> {
    fn confirms(&self) -> bool {
        self.state == State::Confirm
    }

    fn is_done(&self) -> bool {
        self.state == State::Done
    }
}

/// Renders the activation host's only screen.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn activation(frame: &Frame<'_>, view: &Activation<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "activation-title")?;
    let (state, certificate, superseded) = match view {
        Activation::Seen(seen @ Seen::Pending { .. }) => (State::Confirm, seen.certificate(), None),
        Activation::Seen(seen) => (State::Advice, seen.certificate(), None),
        Activation::Activated { certificate, superseded } => (State::Done, Some(*certificate), *superseded),
    };
    let advice = match view {
        Activation::Seen(Seen::Pending { .. }) => {
            page.script = Some("activate.mjs");
            let body = page.t("activation-confirm-body")?;
            Advice::new(&page, Tone::Info, "activation-confirm-title", body)?
        }
        Activation::Seen(Seen::None) => {
            Advice::new(&page, Tone::Warn, "seen-none-title", page.t("activation-none-body")?)?
        }
        Activation::Seen(Seen::Active { waiting: None, .. }) => {
            let body = page.t("activation-already-body")?;
            Advice::new(&page, Tone::Ok, "activation-already-title", body)?
                .leading_to(page.login_url(), page.t("next-login")?)
        }
        Activation::Seen(seen) => advice(&page, seen)?,
        Activation::Activated { .. } => {
            let body = page.t("activation-done-body")?;
            Advice::new(&page, Tone::Ok, "activation-done-title", body)?
                .leading_to(page.login_url(), page.t("next-login")?)
        }
    };
    if state == State::Done {
        page.replace_title(&advice.title);
    }
    Ok(ActivationPage { page, advice, certificate, state, superseded }.render()?)
}
