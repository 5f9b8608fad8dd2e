//! The renewal ticket, for holders whose certificate is kept by a program.

use askama::Template;
use koshin_types::SubjectId;
use time::UtcDateTime;

use super::{
    RenderError,
    frame::{Frame, Page},
    seen::Tone,
};

/// 更新チケット: made here, shown once.
#[derive(Debug, Clone, Copy)]
pub enum Ticket<'a> {
    /// The renewal window has not opened.
    Closed {
        /// When it does.
        opens: UtcDateTime,
    },
    /// A ticket can be made.
    Offer {
        /// For how many minutes it will hold.
        minutes: u32,
    },
    /// It was made. It is not shown again.
    Made {
        /// The ID that goes with it.
        subject: &'a SubjectId,
        /// The ticket.
        ticket: &'a str,
        /// When it is void.
        until: UtcDateTime,
    },
}

#[derive(Template)]
#[template(path = "ticket.html")]
struct TicketPage<'a> {
    page: Page<'a>,
    view: &'a Ticket<'a>,
    url: String,
}

/// Renders 更新チケット.
///
/// # Errors
///
/// [`RenderError`] when a text or a template fails, which tests rule out.
pub fn ticket(frame: &Frame<'_>, view: &Ticket<'_>) -> Result<String, RenderError> {
    let mut page = Page::new(frame, "ticket-title")?;
    page.session = true;
    let url = format!("{}/.well-known/est/simplereenroll", frame.hosts.portal);
    Ok(TicketPage { page, view, url }.render()?)
}
