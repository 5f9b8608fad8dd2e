//! Step 1.

use askama::Template;
use koshin_types::{SerialNumber, Validity};

use super::{
    RenderError,
    frame::{Frame, Page, Purpose},
    seen::Tone,
};

/// 電子証明書更新通知: step 1, between login and main.
#[derive(Debug, Clone, Copy)]
pub struct Notice {
    /// The certificate that expires.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// Local dates until its end; 0 on the last one.
    pub days_left: u32,
    /// How often 後で更新する was chosen for this certificate.
    pub later_count: u32,
}

/// How much the notice insists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Insistence {
    /// It informs.
    Calm,
    /// It asks.
    Firm,
    /// It says what happens otherwise.
    Strong,
}

impl Insistence {
    /// Grows as the day comes near and with every 後で更新する, and never falls.
    ///
    /// Firm within 10 days or after the third "later", strong within 3 days, or within 10 after the third "later".
    ///
    /// ```
    /// use koshin_web::screens::Insistence::{self, Calm, Firm, Strong};
    /// assert_eq!([(30, 0), (11, 2)].map(|(days, later)| Insistence::of(days, later)), [Calm; 2]);
    /// assert_eq!([(30, 3), (10, 0), (4, 2)].map(|(days, later)| Insistence::of(days, later)), [Firm; 3]);
    /// assert_eq!([(10, 3), (3, 0), (0, 0)].map(|(days, later)| Insistence::of(days, later)), [Strong; 3]);
    /// ```
    pub const fn of(days_left: u32, later_count: u32) -> Self {
        match (days_left, later_count) {
            (0..=3, _) | (4..=10, 3..) => Self::Strong,
            (4..=10, _) | (_, 3..) => Self::Firm,
            _ => Self::Calm,
        }
    }
}

#[derive(Template)]
#[template(path = "notice.html")]
struct NoticePage<'a> {
    page: Page<'a>,
    view: &'a Notice,
    insistence: Insistence,
}

impl NoticePage<'_> {
    fn tone(&self) -> Tone {
        match self.insistence {
            Insistence::Calm => Tone::Info,
            Insistence::Firm => Tone::Warn,
            Insistence::Strong => Tone::Stop,
        }
    }

    fn heading(&self) -> &'static str {
        match self.insistence {
            _ if self.view.days_left == 0 => "notice-today",
            Insistence::Calm => "notice-calm",
            Insistence::Firm => "notice-firm",
            Insistence::Strong => "notice-strong",
        }
    }

    fn is_strong(&self) -> bool {
        self.insistence == Insistence::Strong
    }
}

/// Renders 電子証明書更新通知.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn notice(frame: &Frame<'_>, view: &Notice) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "notice-title")?;
    page.session = true;
    page.step = Some((Purpose::Renewal, 1));
    Ok(NoticePage { page, view, insistence: Insistence::of(view.days_left, view.later_count) }.render()?)
}
