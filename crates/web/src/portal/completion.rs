//! The status of one renewal, also after its predecessor's session has ended.

use axum::{
    Json,
    extract::Path,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, Uri, header};
use koshin_ra::{Ra, StorageError};
use koshin_renewal::State;
use koshin_types::RenewalId;
use ring::hmac;
use time::{Duration, UtcDateTime};

use super::{Portal, context::Context, hex, trouble::Trouble};
use crate::screens::{Host, Problem};

/// How long a completion token works.
const LIFETIME: Duration = Duration::minutes(15);

/// The key of completion tokens. Made at start from random octets; a restart voids the tokens that are out.
pub struct CompletionKey(hmac::Key);

impl CompletionKey {
    /// Takes 256 random bits.
    pub fn new(random: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, random))
    }

    /// A token of 128 bits that reads the status of this renewal and nothing else, until it lapses.
    fn token(&self, id: RenewalId, now: UtcDateTime) -> String {
        let until = now.saturating_add(LIFETIME).unix_timestamp();
        format!("{until:x}-{}", self.seal(id, until))
    }

    fn opens(&self, id: RenewalId, token: &str, now: UtcDateTime) -> bool {
        let Some((until, seal)) = token.split_once('-') else { return false };
        let Ok(until) = i64::from_str_radix(until, 16) else { return false };
        // Compared through a second keyed hash, so that the time taken says nothing about the seal.
        let equal = hmac::sign(&self.0, seal.as_bytes()).as_ref()
            == hmac::sign(&self.0, self.seal(id, until).as_bytes()).as_ref();
        equal && now.unix_timestamp() < until
    }

    fn seal(&self, id: RenewalId, until: i64) -> String {
        let tag = hmac::sign(&self.0, format!("{id} {until}").as_bytes());
        hex(tag.as_ref(), 16)
    }
}

impl Portal {
    /// Where the completion screen of this renewal asks how far it is.
    pub(crate) fn status_url(&self, id: RenewalId, now: UtcDateTime) -> String {
        self.with_token(id, "status", now)
    }

    /// A page of this renewal on the public host, for whoever has the token in it.
    pub(crate) fn with_token(&self, id: RenewalId, page: &str, now: UtcDateTime) -> String {
        format!("{}/renewals/{id}/{page}?t={}", self.hosts.public, self.completion.token(id, now))
    }
}

/// GET `/renewals/{id}/status`: with a session on either host, or with a completion token on the public one.
pub(crate) async fn status(context: Context, Path(id): Path<String>, uri: Uri) -> Response {
    // Only scripts ask here.
    let context = Context { script: true, ..context };
    let result = async {
        let id = readable(&context, &id, &uri).await?;
        let (json, _) = standing(&context.portal.ra, id, context.now).await?.ok_or(Problem::NotFound)?;
        Ok(Json(json).into_response())
    };
    let response = context.answer(result.await);
    for_the_portal(&context, response)
}

/// The renewal of this path, if this request may know how far it is.
pub(crate) async fn readable(context: &Context, id: &str, uri: &Uri) -> Result<RenewalId, Trouble> {
    if context.host == Host::Public && token(uri).is_some() {
        return by_token(context, id, uri).ok_or_else(|| Problem::NotFound.into());
    }
    let (_, id) = context.access_to(id).await?;
    Ok(id)
}

/// The renewal of this path, if its completion token is shown.
pub(crate) fn by_token(context: &Context, id: &str, uri: &Uri) -> Option<RenewalId> {
    let (id, token) = (id.parse().ok()?, token(uri)?);
    context.portal.completion.opens(id, token, context.now).then_some(id)
}

fn token(uri: &Uri) -> Option<&str> {
    uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("t="))
}

/// Lets the pages of the portal's host read what the public host answers.
pub(crate) fn for_the_portal(context: &Context, mut response: Response) -> Response {
    if context.host == Host::Public
        && let Ok(origin) = HeaderValue::from_str(&context.portal.hosts.portal)
    {
        response.headers_mut().insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        response.headers_mut().insert(header::VARY, HeaderValue::from_static("Origin"));
    }
    response
}

/// How far a renewal is, in words, and whether it is at its end; `None` for one that never was.
pub(crate) async fn standing(
    ra: &Ra,
    id: RenewalId,
    now: UtcDateTime,
) -> Result<Option<(serde_json::Value, bool)>, StorageError> {
    let Some(file) = ra.renewal_file(&id).await? else { return Ok(None) };
    let Some(renewal) = file.holding.renewal.as_ref().filter(|renewal| renewal.id == id) else {
        // Started again meanwhile: for this page that is the end of it.
        return Ok(Some((serde_json::json!({ "state": "abandoned", "serial": null }), true)));
    };
    let serial = renewal.state.serial().map(|serial| serial.to_string());
    let state = renewal.state.as_str();
    let json = if renewal.state == State::Started {
        let agent = ra.agent_stage(&id, now).await?.as_str();
        serde_json::json!({ "state": state, "serial": serial, "agent": agent })
    } else {
        serde_json::json!({ "state": state, "serial": serial })
    };
    Ok(Some((json, renewal.state.is_end())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_opens_one_renewal_for_a_quarter_of_an_hour() {
        let key = CompletionKey::new(&[7; 32]);
        let (id, other, now) = (RenewalId::new([1; 16]), RenewalId::new([2; 16]), UtcDateTime::UNIX_EPOCH);
        let token = key.token(id, now);
        assert!(key.opens(id, &token, now) && key.opens(id, &token, now + LIFETIME - Duration::SECOND));
        assert!(!key.opens(id, &token, now + LIFETIME));
        assert!(!key.opens(other, &token, now));
        assert!(!CompletionKey::new(&[8; 32]).opens(id, &token, now));
        let later = format!("fffffff{}", token.split_at(token.find('-').unwrap()).1);
        assert!(!key.opens(id, &later, now) && !key.opens(id, "", now) && !key.opens(id, "x-y", now));
    }
}
