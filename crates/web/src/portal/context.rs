//! What every handler knows about its request.

use std::{
    convert::Infallible,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use axum::extract::{ConnectInfo, FromRequestParts};
use axum_extra::extract::cookie::{Cookie, CookieJar, SameSite};
use http::{HeaderMap, header, request::Parts};
use koshin_edge::{ClientCertificate, Protocol, RequestInstant, Trust};
use koshin_ra::{Access, SessionToken};
use koshin_types::{Fingerprint, Language, RenewalId};
use time::UtcDateTime;
use tokio::sync::Semaphore;

use super::{
    Portal, Site, est,
    throttle::Throttle,
    trouble::{Trouble, seconds_until},
};
use crate::screens::{Frame, Host, Problem, Purpose};

/// The language that somebody chose on a page.
const LANGUAGE_COOKIE: &str = "koshin-language";
/// The language that is registered for whoever logged in.
const OWN_LANGUAGE_COOKIE: &str = "koshin-own-language";
/// The session of an enrolment.
const ENROLMENT_COOKIE: &str = "__Host-koshin-enrolment";

/// One request: when, from whom, in which language, on which host.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) portal: Arc<Portal>,
    pub(crate) host: Host,
    pub(crate) now: UtcDateTime,
    pub(crate) certificate: ClientCertificate,
    /// The protocol of the connection, for people.
    pub(crate) protocol: &'static str,
    pub(crate) language: Language,
    /// Whether `?lang=` chose the language, so that the choice is kept.
    pub(crate) chosen: bool,
    pub(crate) path: String,
    /// Whether a script asks, so that a problem is JSON instead of a page.
    pub(crate) script: bool,
    /// Whether a program asks by EST, so that a problem is plain text.
    pub(crate) est: bool,
    pub(crate) jar: CookieJar,
    /// The peer's address, where the edge knows it.
    pub(crate) peer: Option<IpAddr>,
    pub(crate) throttle: Arc<Throttle>,
    /// How many more pages may listen to this host.
    pub(crate) listeners: Arc<Semaphore>,
}

impl FromRequestParts<Site> for Context {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, Infallible> {
        Ok(Self::new(parts, site))
    }
}

impl Context {
    pub(crate) fn new(parts: &Parts, site: &Site) -> Self {
        let jar = CookieJar::from_headers(&parts.headers);
        let (language, chosen) = language(parts, &jar);
        // The edge stamps every request. One that came another way is as old as time, which no session or certificate is.
        let instant = parts.extensions.get().copied().unwrap_or(RequestInstant(UtcDateTime::UNIX_EPOCH));
        Self {
            portal: Arc::clone(&site.portal),
            host: site.host,
            now: instant.0,
            certificate: parts.extensions.get().cloned().unwrap_or(ClientCertificate::None),
            protocol: parts.extensions.get().map_or("TLS", |Protocol(name)| name),
            language,
            chosen,
            path: page_path(parts),
            script: asked_by_script(&parts.headers),
            est: est::is_path(parts.uri.path()),
            jar,
            peer: parts.extensions.get().map(|ConnectInfo(address): &ConnectInfo<SocketAddr>| address.ip()),
            throttle: Arc::clone(&site.throttle),
            listeners: Arc::clone(&site.listeners),
        }
    }

    /// Counts one more of what strangers may ask for only so often, or says after how many seconds they may again.
    pub(crate) fn admitted(&self) -> Result<(), u32> {
        let Some(peer) = self.peer else { return Ok(()) };
        self.throttle.admit(peer, self.now).map_err(|at| seconds_until(at, self.now))
    }

    pub(crate) fn frame(&self) -> Frame<'_> {
        let Portal { texts, zone, hosts, brand, contact, .. } = &*self.portal;
        Frame {
            language: self.language,
            texts,
            zone: zone.as_ref(),
            hosts,
            host: self.host,
            brand,
            contact,
            path: &self.path,
        }
    }

    /// The certificate of the handshake, as the key to the ledger. One that is none of ours is as good as none.
    pub(crate) fn fingerprint(&self) -> Option<&Fingerprint> {
        let ours = |trust| !matches!(trust, Trust::Untrusted { .. });
        self.certificate.peer().filter(|peer| ours(peer.trust)).map(|peer| &peer.fingerprint)
    }

    /// Which way to a certificate this host offers.
    pub(crate) fn purpose(&self) -> Purpose {
        match self.host {
            Host::Public => Purpose::Enrolment,
            Host::Portal | Host::Activate => Purpose::Renewal,
        }
    }

    pub(crate) fn token(&self) -> Option<SessionToken> {
        self.jar.get(self.session_cookie()).and_then(|cookie| SessionToken::parse(cookie.value()))
    }

    /// The session of this request on either host.
    pub(crate) async fn access(&self) -> Result<Access, Trouble> {
        let token = self.token().ok_or(koshin_ra::SessionError::None)?;
        let ra = &self.portal.ra;
        Ok(match self.host {
            Host::Public => ra.enrolment_session(&token, self.now).await?.0,
            Host::Portal | Host::Activate => ra.session(&token, self.fingerprint(), self.now).await?,
        })
    }

    /// The session, and the renewal that a path names if it is the session's own. An earlier one of the same subject has
    /// ended, and leads to the open one where there is one. Foreign, unknown and misspelt identifiers cannot be told apart.
    pub(crate) async fn access_to(&self, id: &str) -> Result<(Access, RenewalId), Trouble> {
        let access = self.access().await?;
        let id: Option<RenewalId> = id.parse().ok();
        let own = access.file.holding.renewal.as_ref().map(|renewal| renewal.id);
        match id {
            Some(id) if own == Some(id) => Ok((access, id)),
            Some(id) if self.portal.ra.is_renewal_of(access.id(), &id).await? => {
                match access.file.holding.open_renewal() {
                    Some(open) if !self.script => Err(Trouble::GoesOn(open.id)),
                    _ => Err(Problem::Ended.into()),
                }
            }
            _ => Err(Problem::NotFound.into()),
        }
    }

    /// A cookie that carries a new session. Names differ per host because cookies know no ports.
    pub(crate) fn session(&self, token: &SessionToken) -> Cookie<'static> {
        cookie(self.session_cookie(), token.reveal().to_owned())
    }

    /// A cookie that ends the session in the browser.
    pub(crate) fn no_session(&self) -> Cookie<'static> {
        let mut gone = cookie(self.session_cookie(), String::new());
        gone.make_removal();
        gone
    }

    /// The session of an enrolment by EST, which has one cookie on either host.
    pub(crate) fn enrolment_token(&self) -> Option<SessionToken> {
        self.jar.get(ENROLMENT_COOKIE).and_then(|cookie| SessionToken::parse(cookie.value()))
    }

    /// A cookie that carries it.
    pub(crate) fn enrolment(token: &SessionToken) -> Cookie<'static> {
        cookie(ENROLMENT_COOKIE, token.reveal().to_owned())
    }

    /// A cookie that ends it.
    pub(crate) fn no_enrolment() -> Cookie<'static> {
        let mut gone = cookie(ENROLMENT_COOKIE, String::new());
        gone.make_removal();
        gone
    }

    /// A cookie that keeps the language for a year.
    pub(crate) fn language_cookie(&self) -> Cookie<'static> {
        let mut kept = language_cookie(LANGUAGE_COOKIE, self.language.as_str());
        kept.set_max_age(time::Duration::days(365));
        kept
    }

    /// A cookie that shows screens in a subject's registered language, as long as nothing else is chosen on a page.
    pub(crate) fn own_language(language: Language) -> Cookie<'static> {
        language_cookie(OWN_LANGUAGE_COOKIE, language.as_str())
    }

    /// A cookie that ends it.
    pub(crate) fn no_own_language() -> Cookie<'static> {
        let mut gone = language_cookie(OWN_LANGUAGE_COOKIE, "");
        gone.make_removal();
        gone
    }

    const fn session_cookie(&self) -> &'static str {
        match self.host {
            Host::Public => ENROLMENT_COOKIE,
            Host::Portal | Host::Activate => "__Host-koshin-portal",
        }
    }
}

fn cookie(name: &'static str, value: String) -> Cookie<'static> {
    let mut cookie = Cookie::new(name, value);
    cookie.set_path("/");
    cookie.set_secure(true);
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Strict);
    cookie
}

fn language_cookie(name: &'static str, value: &'static str) -> Cookie<'static> {
    let mut cookie = Cookie::new(name, value);
    cookie.set_path("/");
    cookie.set_secure(true);
    cookie.set_http_only(true);
    cookie.set_same_site(SameSite::Lax);
    cookie
}

/// `?lang=`, then the choice kept in a cookie, then the language registered for whoever logged in, then what the browser
/// accepts, then Japanese.
fn language(parts: &Parts, jar: &CookieJar) -> (Language, bool) {
    let query = parts.uri.query().unwrap_or_default();
    let asked = query.split('&').find_map(|pair| pair.strip_prefix("lang=")).and_then(|word| word.parse().ok());
    if let Some(language) = asked {
        return (language, true);
    }
    let read = |name| jar.get(name).and_then(|cookie| cookie.value().parse().ok());
    let kept = read(LANGUAGE_COOKIE).or_else(|| read(OWN_LANGUAGE_COOKIE));
    let accepted = || parts.headers.get(header::ACCEPT_LANGUAGE).and_then(|value| accepted(value.to_str().ok()?));
    (kept.or_else(accepted).unwrap_or(Language::Ja), false)
}

/// The best language of an `Accept-Language` (RFC 9110, 12.5.4) that we have; the first one among equals.
fn accepted(header: &str) -> Option<Language> {
    let mut best: Option<(f32, Language)> = None;
    for range in header.split(',').take(32) {
        let mut parts = range.split(';');
        let tag = parts.next().unwrap_or_default().trim();
        let primary = tag.split('-').next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.trim().strip_prefix("q="));
        let quality = quality.map_or(Some(1.0), |text| text.parse::<f32>().ok()).unwrap_or(0.0);
        if let Ok(language) = primary.parse()
            && quality > best.map_or(0.0, |(quality, _)| quality)
        {
            best = Some((quality, language));
        }
    }
    best.map(|(_, language)| language)
}

/// Browsers say how they ask; other clients say what they take.
fn asked_by_script(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value: &http::HeaderValue| value.to_str().ok());
    match text("sec-fetch-mode") {
        Some(mode) => mode != "navigate",
        None => text("accept").is_some_and(|accept| accept.contains("json") && !accept.contains("text/html")),
    }
}

/// Where the language switch leads: this page, or for a POST the page it came from. A browser takes what begins with two
/// slashes, or with a slash and a backslash, for another host: no page of ours has such a path.
fn page_path(parts: &Parts) -> String {
    let path = own_path(parts);
    if path.starts_with("//") || path.starts_with("/\\") { "/".to_owned() } else { path }
}

fn own_path(parts: &Parts) -> String {
    let path = parts.uri.path();
    if parts.method == http::Method::GET {
        return path.to_owned();
    }
    match path {
        "/notice/later" => "/notice".to_owned(),
        "/enrol" | "/enrol/code" | "/ticket" => path.to_owned(),
        "/enrol/agent" | "/enrol/agent/join" => "/enrol/code".to_owned(),
        _ => match path.rsplit_once('/') {
            Some((renewal, "start-again")) => format!("{renewal}/start-again"),
            Some((renewal, "request" | "declined" | "delivered" | "agent")) => format!("{renewal}/start"),
            _ => "/".to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_language_wins() {
        assert_eq!(accepted("en-US,en;q=0.9,ja;q=0.8"), Some(Language::En));
        assert_eq!(accepted("fr, ja;q=0.5, en;q=0.4"), Some(Language::Ja));
        assert_eq!(accepted("ja;q=0, en;q=0.1"), Some(Language::En));
        assert_eq!(accepted("en;q=x, de"), None);
        assert_eq!(accepted(""), None);
    }
}
