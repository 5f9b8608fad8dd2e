//! The certificate doctor, on the hosts that ask for a certificate, also for those who have none.

use askama::Template;
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Page},
    seen::{Advice, Seen, Tone, advice},
};

/// 電子証明書の診断: what the server saw, and the one next step.
#[derive(Debug, Clone, Copy)]
pub struct Doctor<'a> {
    /// What the server saw of a certificate.
    pub seen: &'a Seen,
    /// The host name that the browser asked for.
    pub host_name: &'a str,
    /// The protocol of the connection, for example `TLS 1.3`.
    pub tls: &'a str,
    /// When it was seen.
    pub now: UtcDateTime,
}

#[derive(Template)]
#[template(path = "doctor.html")]
struct DoctorPage<'a> {
    page: Page<'a>,
    view: &'a Doctor<'a>,
    advice: Advice,
}

/// Renders 電子証明書の診断.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn doctor(frame: &Frame<'_>, view: &Doctor<'_>) -> Result<String, RenderError> {
    let page = Page::new(frame, "doctor-title")?;
    let advice = match view.seen {
        Seen::Active { certificate, waiting: None } => {
            let at = page.moment(certificate.validity.not_after());
            let body = page.t1("doctor-healthy-body", "at", at)?;
            Advice::new(&page, Tone::Ok, "doctor-healthy-title", body)?
                .leading_to(page.login_url(), page.t("next-login")?)
        }
        seen => advice(&page, seen)?,
    };
    Ok(DoctorPage { page, view, advice }.render()?)
}
