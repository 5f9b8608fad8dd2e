//! Refusals as problems (RFC 9457), each with a word that never changes.

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use koshin_issuance::{IssueError, PrepareError};

use crate::{
    ca::{ChangesRefused, IssueRefused, LedgerError, RevocationRefused},
    wire::{self, ProblemBody},
};

/// A kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kind {
    pub(super) code: &'static str,
    pub(super) status: StatusCode,
    /// What happened, when no values were compared.
    detail: &'static str,
    remedy: &'static str,
    /// After how many seconds the same request may succeed.
    retry_after: Option<u16>,
}

impl Kind {
    const fn new(status: StatusCode, code: &'static str, detail: &'static str, remedy: &'static str) -> Self {
        Self { code, status, detail, remedy, retry_after: None }
    }

    const fn later(seconds: u16, code: &'static str, detail: &'static str, remedy: &'static str) -> Self {
        Self { code, status: StatusCode::SERVICE_UNAVAILABLE, detail, remedy, retry_after: Some(seconds) }
    }
}

/// Declares kinds, and [`ALL`] of them.
macro_rules! kinds {
    ($($name:ident = $kind:expr;)+) => {
        $(pub(super) const $name: Kind = $kind;)+
        /// Every kind of problem there is, beside those of the request gate.
        pub(super) const ALL: &[&Kind] = &[$(&$name),+];
    };
}

const REPEAT: &str = "Send the same request again after the time given.";
const BAD: StatusCode = StatusCode::BAD_REQUEST;
const FORBIDDEN: StatusCode = StatusCode::FORBIDDEN;
const CONFLICT: StatusCode = StatusCode::CONFLICT;
const UNUSABLE: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;
const NEW_RENEWAL: &str = "End this renewal and start another one with a new key.";

kinds! {
    ROUTE = Kind::new(StatusCode::NOT_FOUND, "route.unknown", "There is nothing under this path.",
        "See /v1/openapi.json for what there is.");
    METHOD = Kind::new(StatusCode::METHOD_NOT_ALLOWED, "route.method", "This path does not take this method.",
        "See /v1/openapi.json for what there is.");
    QUERY = Kind::new(BAD, "query.value", "The query cannot be read.", "Send since and limit as decimal numbers, or leave them out.");
    MEDIA_TYPE = Kind::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "body.media_type", "The body is not said to be JSON.",
        "Send application/json.");
    TOO_LARGE = Kind::new(StatusCode::PAYLOAD_TOO_LARGE, "body.too_large", "The body has more than 65536 octets.",
        "Send the certification request alone; it takes some hundred octets.");
    JSON = Kind::new(BAD, "body.json", "The body is not the JSON that belongs here.",
        "Send the members that /v1/openapi.json names, and no others.");
    VALUE = Kind::new(UNUSABLE, "body.value", "A member of the body has a value that cannot be read.",
        "See /v1/openapi.json for how it is written.");
    CLIENT = Kind::new(FORBIDDEN, "client.unknown", "The certificate of this connection is not that of a configured RA client.",
        "Have the CA's operator configure the SHA-256 of the client's certificate.");
    RIGHT = Kind::new(FORBIDDEN, "client.right", "This RA client may not ask for this.",
        "Have the CA's operator give it the right.");
    PROFILE = Kind::new(FORBIDDEN, "client.profile", "This RA client may not use this profile.",
        "Use a profile that GET /v1/ca names, or have the CA's operator allow it.");
    CLOCKS = Kind::later(60, "clock.differs", "RA and CA do not agree on what time it is.",
        "Set the clock that is wrong, and send the request again with the new instant.");
    CLOCK_BEHIND = Kind::later(60, "clock.behind", "The CA's clock is behind what the CA recorded before.",
        "Have the CA's operator set or confirm the clock; then send the same request again.");
    HELD = Kind::later(60, "ca.held", "The CA signs nothing until its operator says so.",
        "Have the CA's operator look at its status; then send the same request again.");
    KEY_AWAY = Kind::later(5, "ca.key_unavailable", "The CA's key cannot be reached. The request is recorded.", REPEAT);
    KEY_FAULT = Kind::later(60, "ca.key_refused", "The CA's key gave no sound signature. The request is recorded.",
        "Have the CA's operator look at the key; then send the same request again.");
    BUSY = Kind::later(2, "ca.busy", "Too many requests wait for the CA.", REPEAT);
    RANDOM = Kind::later(5, "ca.random", "The CA's random source gave no serial number.", REPEAT);
    LEDGER_AWAY = Kind::later(2, "ledger.unavailable", "The CA's ledger does not answer.", REPEAT);
    LEDGER_DAMAGED = Kind::new(StatusCode::INTERNAL_SERVER_ERROR, "ledger.damaged", "The CA's ledger is damaged.",
        "Have the CA's operator read the CA's log.");
    KEY_KIND = Kind::new(UNUSABLE, "profile.key_kind", "The profile does not take keys of this kind.",
        "Make a key of a kind that the profile takes.");
    NAME = Kind::new(UNUSABLE, "subject.name", "The subject cannot stand in a certificate.",
        "Correct the organization's name or the ID in the registry.");
    MAIL = Kind::new(UNUSABLE, "mail.unusable", "The mail address cannot stand in a certificate.",
        "Send the same request without it.");
    TOO_LONG = Kind::new(UNUSABLE, "validity.too_long", "The validity is longer than the profile allows.",
        "Ask for a shorter one: see the RA's expiry policy.");
    AHEAD = Kind::new(UNUSABLE, "validity.ahead", "The validity begins after the request.", "Let it begin with the request.");
    BACKDATED = Kind::new(UNUSABLE, "validity.backdated", "The validity begins too long before the request.",
        "Let it begin with the request.");
    BEYOND_CA = Kind::new(UNUSABLE, "validity.beyond_ca", "The validity leaves that of the CA.",
        "Ask for one that ends before the CA's, or have the CA renewed.");
    OWN_KEY = Kind::new(UNUSABLE, "key.of_ca", "The key is one of the CA's own.", "Make a new key.");
    RULE = Kind::new(UNUSABLE, "certificate.rule", "The certificate would break a rule.",
        "Have the CA's operator check the profile.");
    KEY_SEEN = Kind::new(CONFLICT, "key.seen", "The key was in another request before.",
        "Make a new key: a key is used for one renewal only.");
    TAKEN = Kind::new(CONFLICT, "renewal.taken", "The renewal was asked for with another key before.",
        "Send the request with the first key again, or start another renewal.");
    DIFFERS = Kind::new(CONFLICT, "order.differs", "The same renewal and key were asked for with something else in it.",
        "Send the first request again, or start another renewal with a new key.");
    ABANDONED = Kind::new(CONFLICT, "order.abandoned", "The serial number of this request was abandoned.", NEW_RENEWAL);
    REVOKED = Kind::new(CONFLICT, "order.revoked", "The certificate of this request was revoked.", NEW_RENEWAL);
    UNSIGNABLE = Kind::new(CONFLICT, "order.unsignable", "What was recorded for this request can never be signed.", NEW_RENEWAL);
    SERIAL = Kind::new(StatusCode::NOT_FOUND, "serial.unknown", "No certificate with this serial number was issued for this RA client.",
        "Check the serial number, and which client asked for the certificate.");
}

/// How to go on after the request gate said no; its own sentence says more.
const GATE_REMEDY: &str = "Do what the sentence says, and send a new certification request.";

/// A refusal on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    kind: &'static Kind,
    code: &'static str,
    detail: String,
    remedy: &'static str,
}

impl Problem {
    /// One that compared nothing.
    pub(super) fn plain(kind: &'static Kind) -> Self {
        Self { kind, code: kind.code, detail: kind.detail.to_owned(), remedy: kind.remedy }
    }

    /// A member of the body that cannot be read.
    pub(super) fn value(member: &str, wanted: &str) -> Self {
        Self { detail: format!("The member {member} is not {wanted}."), ..Self::plain(&VALUE) }
    }

    /// One with the words of a parser.
    pub(super) fn parser(kind: &'static Kind, said: &dyn Error) -> Self {
        Self { detail: format!("{} {}", kind.detail, sentence(said)), ..Self::plain(kind) }
    }

    fn caused(kind: &'static Kind, error: &dyn Error) -> Self {
        Self { detail: format!("{} {}", kind.detail, sentence(error)), ..Self::plain(kind) }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.kind.status;
        let body = ProblemBody {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            code: self.code.to_owned(),
            detail: self.detail,
            remedy: self.remedy.to_owned(),
        };
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static(wire::PROBLEM))], body).into_response();
        if let Some(seconds) = self.kind.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl From<IssueRefused> for Problem {
    fn from(refused: IssueRefused) -> Self {
        use IssueRefused as R;
        let kind: &'static Kind = match &refused {
            R::Request(rejected) => {
                return Self { code: rejected.code(), detail: rejected.to_string(), remedy: GATE_REMEDY, kind: &VALUE };
            }
            R::Ledger(error) => ledger(error),
            R::NotAllowed { .. } => &PROFILE,
            R::ClocksDiffer { .. } => &CLOCKS,
            R::ClockBehind { .. } => &CLOCK_BEHIND,
            R::Held { .. } => &HELD,
            R::KeyKind { .. } | R::Prepare(PrepareError::KeyKind { .. }) => &KEY_KIND,
            R::Name(_) => &NAME,
            R::Mail(_) => &MAIL,
            R::ValidityTooLong { .. } => &TOO_LONG,
            R::NotBeforeAhead { .. } => &AHEAD,
            R::Backdated { .. } => &BACKDATED,
            R::Prepare(PrepareError::BeyondCa { .. }) => &BEYOND_CA,
            R::Prepare(PrepareError::OwnKey) => &OWN_KEY,
            R::Prepare(_) => &RULE,
            R::KeySeen { .. } => &KEY_SEEN,
            R::RenewalTaken { .. } => &TAKEN,
            R::OrderDiffers { .. } => &DIFFERS,
            R::Abandoned { .. } => &ABANDONED,
            R::Revoked { .. } => &REVOKED,
            R::Unsignable { .. } => &UNSIGNABLE,
            R::Unsigned { source: IssueError::Signer(error), .. } if error.is_transient() => &KEY_AWAY,
            R::Unsigned { .. } => &KEY_FAULT,
            R::Busy => &BUSY,
            R::NoRandomness => &RANDOM,
        };
        Self::caused(kind, &refused)
    }
}

impl From<RevocationRefused> for Problem {
    fn from(refused: RevocationRefused) -> Self {
        let kind = match &refused {
            RevocationRefused::NotAllowed { .. } => &RIGHT,
            RevocationRefused::Unknown { .. } => &SERIAL,
            RevocationRefused::Ledger(error) => ledger(error),
        };
        Self::caused(kind, &refused)
    }
}

impl From<ChangesRefused> for Problem {
    fn from(refused: ChangesRefused) -> Self {
        let kind = match &refused {
            ChangesRefused::NotAllowed { .. } => &RIGHT,
            ChangesRefused::Ledger(error) => ledger(error),
        };
        Self::caused(kind, &refused)
    }
}

fn ledger(error: &LedgerError) -> &'static Kind {
    tracing::error!(error = ?error, "the ledger failed");
    if error.is_transient() { &LEDGER_AWAY } else { &LEDGER_DAMAGED }
}

/// An error and its sources as one sentence.
fn sentence(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}
