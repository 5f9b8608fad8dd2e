//! Step 7.

use askama::Template;
use koshin_types::{ProtectionLevel, RenewalId, SerialNumber, SubjectId, Validity};

use super::{
    RenderError,
    frame::{Frame, Page, Purpose},
    seen::Tone,
};

/// 電子証明書発行 発行完了: step 7.
#[derive(Debug, Clone, Copy)]
pub struct Complete<'a> {
    /// Renewal or enrolment.
    pub purpose: Purpose,
    /// Whose it is.
    pub subject: &'a SubjectId,
    /// The renewal.
    pub id: RenewalId,
    /// The name of the CA that issued the certificate.
    pub ca_name: &'a str,
    /// The certificate's serial number.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// Its validity as the policy says it.
    pub term: Term,
    /// How its key is protected: decides what may be promised.
    pub protection: ProtectionLevel,
    /// How far it is.
    pub stage: CompleteStage,
    /// The certificate that it replaces, and that the holder may still have.
    pub predecessor: Option<SerialNumber>,
    /// Where the page asks how far the renewal is: a URL on this host, or on the public one with a completion token.
    pub status_url: &'a str,
}

/// What is left to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompleteStage {
    /// Saving, importing, checking.
    Delivered,
    /// The certificate is in use: at most the removal of the old one.
    Activated,
}

/// How long a certificate is valid, in words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Term {
    /// One calendar year.
    Year,
    /// So many days.
    Days(u32),
}

#[derive(Template)]
#[template(path = "complete.html")]
struct CompletePage<'a> {
    page: Page<'a>,
    view: &'a Complete<'a>,
}

impl CompletePage<'_> {
    fn is_file(&self) -> bool {
        self.view.protection == ProtectionLevel::File
    }

    /// What the page's script compares.
    const fn state(&self) -> &'static str {
        match self.view.stage {
            CompleteStage::Delivered => "delivered",
            CompleteStage::Activated => "activated",
        }
    }

    fn is_activated(&self) -> bool {
        self.view.stage == CompleteStage::Activated
    }

    const fn note_key(&self) -> &'static str {
        match self.view.protection {
            ProtectionLevel::File => "complete-note-file",
            ProtectionLevel::Os => "complete-note-os",
            ProtectionLevel::Hardware => "complete-note-hardware",
        }
    }
}

/// Renders 電子証明書発行 発行完了.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn complete(frame: &Frame<'_>, view: &Complete<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "complete-title")?;
    page.session = true;
    let step = match view.stage {
        CompleteStage::Delivered => 4,
        CompleteStage::Activated => 5,
    };
    page.step = Some((view.purpose, step));
    if view.protection == ProtectionLevel::File {
        page.script = Some("complete.mjs");
    }
    Ok(CompletePage { page, view }.render()?)
}
