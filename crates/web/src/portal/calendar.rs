//! The dates of a certificate, for the holder's own calendar.

use axum::response::{IntoResponse as _, Response};
use http::header;
use koshin_ra::SessionError;
use koshin_types::{Language, SerialNumber, Validity};
use time::UtcDateTime;

use super::context::Context;

/// What stands in a calendar file.
#[derive(Debug, Clone, Copy)]
pub struct Dates {
    /// Of the certificate.
    pub serial: SerialNumber,
    /// Of the certificate.
    pub validity: Validity,
    /// From when on it can be renewed.
    pub window_opens: UtcDateTime,
    /// Of the words.
    pub language: Language,
    /// When the file is made.
    pub now: UtcDateTime,
}

/// Makes the text of a calendar file (RFC 5545). The binary names who does: its words are those of the mails.
pub type Calendar = Box<dyn Fn(&Dates) -> String + Send + Sync>;

/// GET `/certificate.ics`: when the certificate of this session can be renewed, and when it ends.
pub(crate) async fn file(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let outlook = access.file.holding.outlook(context.portal.ra.policy(), context.now);
        let (Some(held), Some(decision)) = (outlook.current, outlook.decision) else {
            return Err(SessionError::None.into());
        };
        let text = (context.portal.calendar)(&Dates {
            serial: held.serial,
            validity: held.validity,
            window_opens: decision.window_opens,
            language: context.language,
            now: context.now,
        });
        let kind = (header::CONTENT_TYPE, "text/calendar; charset=utf-8");
        let saved = (header::CONTENT_DISPOSITION, "attachment; filename=\"certificate.ics\"");
        Ok(([kind, saved], text).into_response())
    };
    context.answer(result.await)
}
