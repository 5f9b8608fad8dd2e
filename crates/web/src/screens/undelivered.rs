//! Between login and renewal notice, for holders whose mails do not arrive.

use askama::Template;
use koshin_ra::{NotDelivered, Undelivered};

use super::{
    RenderError,
    frame::{Frame, Page},
    seen::Tone,
};

#[derive(Template)]
#[template(path = "undelivered.html")]
struct UndeliveredPage<'a> {
    page: Page<'a>,
    view: &'a Undelivered,
}

impl UndeliveredPage<'_> {
    const fn tone() -> Tone {
        Tone::Warn
    }

    const fn what(&self) -> &'static str {
        match (&self.view.address, self.view.how) {
            (None, _) => "undelivered-none",
            (Some(_), NotDelivered::Refused) => "undelivered-refused",
            (Some(_), NotDelivered::CameBack) => "undelivered-came-back",
        }
    }
}

/// Renders ご登録のメールアドレスのご確認: that mails to the registered address do not arrive, and what to do. It changes
/// nothing, and leads on to the renewal notice, or to the main screen where there is none.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn undelivered(frame: &Frame<'_>, view: &Undelivered) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "undelivered-title")?;
    page.session = true;
    Ok(UndeliveredPage { page, view }.render()?)
}
