//! What the page beside the agent hears, without asking again and again (server-sent events, HTML, 9.2).

use std::{convert::Infallible, time::Duration};

use axum::{
    body::Body,
    extract::Path,
    response::{IntoResponse as _, Response},
};
use futures_util::stream;
use http::{HeaderName, HeaderValue, Uri, header};
use koshin_ra::Ra;
use koshin_types::RenewalId;
use time::UtcDateTime;
use tokio::sync::OwnedSemaphorePermit;

use crate::{
    portal::{
        completion,
        context::Context,
        trouble::{BUSY_SECONDS, Trouble},
    },
    screens::Problem,
};

/// How many pages may listen to one host at once.
pub(crate) const LISTENERS: usize = 256;

/// How often the renewal is looked at for each of them.
const LOOK: Duration = Duration::from_millis(500);
/// A stream ends after so many looks: half a minute. The page connects again by itself, as long as its token works.
const LOOKS: u32 = 60;
/// After so many looks without news a comment shows that the connection lives.
const QUIET: u32 = 20;

/// GET `/renewals/{id}/events`: a message at each change, with what the status says. With a session, or on the public host
/// with a completion token: there no connection ends with the predecessor.
pub(crate) async fn events(context: Context, Path(id): Path<String>, uri: Uri) -> Response {
    // Only scripts listen here.
    let context = Context { script: true, ..context };
    let result = async {
        let id = completion::readable(&context, &id, &uri).await?;
        let busy = |_| Trouble::from(Problem::Unavailable { retry_after: BUSY_SECONDS });
        let permit = context.listeners.clone().try_acquire_owned().map_err(busy)?;
        let listener = Listener {
            ra: context.portal.ra.clone(),
            id,
            begun: context.now,
            looks: 0,
            quiet: 0,
            last: String::new(),
            over: false,
            _permit: permit,
        };
        let body = Body::from_stream(stream::unfold(listener, Listener::next));
        let mut response = body.into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        // nginx would keep it all back until the end.
        headers.insert(HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
        Ok(response)
    };
    let response = context.answer(result.await);
    completion::for_the_portal(&context, response)
}

struct Listener {
    ra: Ra,
    id: RenewalId,
    begun: UtcDateTime,
    looks: u32,
    quiet: u32,
    last: String,
    over: bool,
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    async fn next(mut self) -> Option<(Result<String, Infallible>, Self)> {
        while !self.over && self.looks < LOOKS {
            if self.looks > 0 {
                tokio::time::sleep(LOOK).await;
            }
            let now = self.begun.saturating_add(time::Duration::milliseconds(500) * self.looks);
            self.looks += 1;
            // While storage does not answer there is nothing new.
            let Ok(Some((json, ended))) = completion::standing(&self.ra, self.id, now).await else { continue };
            let news = json.to_string();
            if news != self.last {
                let message = format!("retry: 1000\ndata: {news}\n\n");
                (self.last, self.over, self.quiet) = (news, ended, 0);
                return Some((Ok(message), self));
            }
            self.quiet += 1;
            if self.quiet == QUIET {
                self.quiet = 0;
                return Some((Ok(":\n\n".to_owned()), self));
            }
        }
        None
    }
}
