//! The page on which a holder makes a renewal ticket for a program.

use axum::{
    Json,
    response::{IntoResponse as _, Response},
};
use koshin_ra::{ChangeError, TicketError};
use koshin_renewal::Refused;
use koshin_types::Rfc3339;

use super::{context::Context, trouble::Trouble};
use crate::screens::{self, Problem, Ticket};

/// GET `/ticket`: what a ticket is, and whether one can be made. It makes none.
pub(crate) async fn page(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let ra = &context.portal.ra;
        let outlook = access.file.holding.outlook(ra.policy(), context.now);
        let minutes = u32::try_from(ra.settings().session_idle.whole_minutes()).unwrap_or(u32::MAX);
        let view = match outlook.decision {
            Some(decision) if !decision.renewal => Ticket::Closed { opens: decision.window_opens },
            _ => Ticket::Offer { minutes },
        };
        Ok(context.page(screens::ticket(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

/// POST `/ticket`: makes one, and with it the renewal that it is good for. A script gets it as JSON.
pub(crate) async fn make(context: Context) -> Response {
    let result = async {
        let access = context.access().await?;
        let made = match context.portal.ra.renewal_ticket(&access, context.now).await {
            Ok(made) => made,
            Err(TicketError::Change(ChangeError::Refused(Refused::TooEarly { opens, .. }))) => {
                return Err(Problem::TooEarly { opens }.into());
            }
            Err(error) => return Err(trouble(error)),
        };
        if context.script {
            let (user, ticket, until) = (access.id().as_str(), made.token.reveal(), Rfc3339(made.until).to_string());
            return Ok(Json(serde_json::json!({ "user": user, "ticket": ticket, "until": until })).into_response());
        }
        let view = Ticket::Made { subject: access.id(), ticket: made.token.reveal(), until: made.until };
        Ok(context.page(screens::ticket(&context.frame(), &view)?))
    };
    context.answer(result.await)
}

fn trouble(error: TicketError) -> Trouble {
    match error {
        TicketError::Session(error) => error.into(),
        TicketError::Change(error) => error.into(),
        TicketError::Storage(error) => error.into(),
        TicketError::Entropy(error) => error.into(),
        _ => Problem::Forbidden.into(),
    }
}
