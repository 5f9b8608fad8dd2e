//! Step 2.

use askama::Template;
use koshin_types::{RenewalId, Role, SerialNumber};
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Page},
    seen::{SeenCertificate, Tone},
};

/// メイン: step 2.
#[derive(Debug, Clone, Copy)]
pub struct Main<'a> {
    /// The organization's name.
    pub organization: &'a str,
    /// The subject's role.
    pub role: Role,
    /// The holder's name; may be empty.
    pub name: &'a str,
    /// The certificate of this session.
    pub certificate: &'a SeenCertificate,
    /// Local dates until the certificate's end; 0 on the last one.
    pub days_left: u32,
    /// What can be done about the certificate.
    pub renewal: RenewalOffer,
    /// When this subject logged in before this session.
    pub last_login: Option<UtcDateTime>,
    /// Whether programs may renew for holders.
    pub programs: bool,
}

/// What the menu offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RenewalOffer {
    /// The window has not opened.
    NotYet {
        /// When it does.
        opens: UtcDateTime,
    },
    /// 証明書更新 can begin.
    Open,
    /// A renewal was begun and nothing is issued yet.
    Underway {
        /// The renewal.
        id: RenewalId,
    },
    /// The successor is issued and waits for its activation.
    Issued {
        /// The renewal.
        id: RenewalId,
        /// The successor's serial number.
        serial: SerialNumber,
        /// The holder has said はい to the second confirmation.
        delivered: bool,
    },
}

#[derive(Template)]
#[template(path = "main.html")]
struct MainPage<'a> {
    page: Page<'a>,
    view: &'a Main<'a>,
}

impl MainPage<'_> {
    const fn role_key(&self) -> &'static str {
        match self.view.role {
            Role::Administrator => "main-role-administrator",
            Role::User => "main-role-user",
        }
    }
}

/// Renders メイン.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn main(frame: &Frame<'_>, view: &Main<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "main-title")?;
    page.session = true;
    page.script = Some("forget.mjs");
    Ok(MainPage { page, view }.render()?)
}
