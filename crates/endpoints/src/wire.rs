//! The bodies of the RA-CA API, as both sides read and write them.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use koshin_types::Rfc3339;
use serde::{Deserialize, Serialize};
use time::{UtcDateTime, format_description::well_known};

/// The media type of problems (RFC 9457, 3).
pub(crate) const PROBLEM: &str = "application/problem+json";

/// A request for a certificate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct IssueBody {
    /// The renewal at the RA, 16 octets in hexadecimal. With the key in `request` it makes two requests the same one.
    #[cfg_attr(feature = "api", schema(example = "5f0c1d2e3a4b5c6d7e8f901122334455"))]
    pub(crate) renewal_id: String,
    /// The profile, by its configured name.
    #[cfg_attr(feature = "api", schema(example = "client"))]
    pub(crate) profile: String,
    /// Whom it is for.
    pub(crate) subject: SubjectBody,
    /// The subject's address, to stand in the certificate as rfc822Name; left out when it cannot.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(example = "taro@example.jp"))]
    pub(crate) mail: Option<String>,
    /// The first second of the validity, RFC 3339.
    #[cfg_attr(feature = "api", schema(format = DateTime, example = "2026-11-22T00:00:00Z"))]
    pub(crate) not_before: String,
    /// The last second of the validity, RFC 3339.
    #[cfg_attr(feature = "api", schema(format = DateTime, example = "2027-11-21T23:59:59Z"))]
    pub(crate) not_after: String,
    /// The RA's own instant, RFC 3339; within one hour of the CA's.
    #[cfg_attr(feature = "api", schema(format = DateTime, example = "2026-11-22T00:00:00.123Z"))]
    pub(crate) now: String,
    /// The certification request (RFC 2986), DER in Base64. Only its key is used.
    #[cfg_attr(feature = "api", schema(content_encoding = "base64"))]
    pub(crate) request: String,
}

/// The subject of a certificate.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct SubjectBody {
    /// O: the organization's name, 1 to 64 characters.
    #[cfg_attr(feature = "api", schema(min_length = 1, max_length = 64))]
    pub(crate) organization: String,
    /// CN: the administrator or user ID, 1 to 64 characters.
    #[cfg_attr(feature = "api", schema(min_length = 1, max_length = 64))]
    pub(crate) id: String,
}

/// An issued certificate.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct IssuedBody {
    /// The serial number, in hexadecimal.
    pub(crate) serial: String,
    /// The certificate, DER in Base64. The same bytes every time.
    #[cfg_attr(feature = "api", schema(content_encoding = "base64"))]
    pub(crate) certificate: String,
    /// The certificates above it, the next one first, each DER in Base64.
    pub(crate) chain: Vec<String>,
    /// The first second of the validity: that of the first request of this renewal and key.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) not_before: String,
    /// The last second of the validity.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) not_after: String,
}

/// A revocation.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct RevokeBody {
    /// The serial number, in hexadecimal.
    pub(crate) serial: String,
    /// Why: `unspecified`, `keyCompromise`, `affiliationChanged`, `superseded`, `cessationOfOperation` or `privilegeWithdrawn`.
    #[cfg_attr(feature = "api", schema(example = "superseded"))]
    pub(crate) reason: String,
    /// Since when, RFC 3339.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) revoked_at: String,
    /// Since when the key may have been in other hands, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) invalidity_date: Option<String>,
    /// The RA's own instant, RFC 3339. A clock that differs is logged; it keeps no certificate from being revoked.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) now: String,
}

/// The revocation that counts: the first one that was asked for.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct RevokedBody {
    /// The serial number, in hexadecimal.
    pub(crate) serial: String,
    /// Why.
    pub(crate) reason: String,
    /// Since when.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) revoked_at: String,
    /// Since when the key may have been in other hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) invalidity_date: Option<String>,
    /// Who asked for it first.
    pub(crate) by: String,
}

/// A page of changes.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct ChangesBody {
    /// What became of the client's own certificates, in order.
    pub(crate) changes: Vec<ChangeBody>,
    /// What to ask for next as `since`. A page may be empty and still lead on.
    pub(crate) next: u64,
    /// The newest change there is; the page is the last one when `next` is not smaller.
    pub(crate) head: u64,
}

/// What became of a certificate.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct ChangeBody {
    /// Its place among all changes.
    pub(crate) sequence: u64,
    /// The serial number, in hexadecimal.
    pub(crate) serial: String,
    /// When the CA recorded it.
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) at: String,
    /// What happened.
    pub(crate) kind: ChangeWord,
    /// Of a revocation: why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<String>,
    /// Of a revocation: since when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) revoked_at: Option<String>,
    /// Of a revocation: since when the key may have been in other hands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "api", schema(format = DateTime))]
    pub(crate) invalidity_date: Option<String>,
    /// Of a revocation: who asked for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<String>,
}

/// What happened.
#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) enum ChangeWord {
    /// The certificate was issued.
    Issued,
    /// The serial number was given up before there was a certificate.
    Abandoned,
    /// The certificate was revoked.
    Revoked,
}

/// The CA that answers.
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
pub(crate) struct CaBody {
    /// The issuing CA's certificate, DER in Base64.
    #[cfg_attr(feature = "api", schema(content_encoding = "base64"))]
    pub(crate) certificate: String,
    /// The certificates above it, the next one first, each DER in Base64.
    pub(crate) chain: Vec<String>,
    /// The profiles that this client may use.
    pub(crate) profiles: Vec<String>,
}

/// Why nothing was done (RFC 9457).
#[derive(Serialize, Deserialize)]
#[cfg_attr(feature = "api", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "api", schema(as = Problem))]
pub(crate) struct ProblemBody {
    /// The kind of problem; always `about:blank`, the `code` says more.
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    /// The status in words.
    #[serde(default)]
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened, for programs. These words never change.
    pub(crate) code: String,
    /// What happened, in a sentence.
    #[serde(default)]
    pub(crate) detail: String,
    /// How to go on, in a sentence.
    #[serde(default)]
    pub(crate) remedy: String,
}

pub(crate) fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

pub(crate) fn unbase64(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn instant(at: UtcDateTime) -> String {
    Rfc3339(at).to_string()
}

/// Reads an instant; fractions of a millisecond are dropped.
pub(crate) fn read_instant(text: &str) -> Option<UtcDateTime> {
    UtcDateTime::parse(text, &well_known::Rfc3339).ok().map(UtcDateTime::truncate_to_millisecond)
}
