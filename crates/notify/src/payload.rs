//! The text of an outbox row.

use koshin_types::{Language, RevocationReason, SerialNumber, Validity};
use serde::{Deserialize, Serialize};
use time::UtcDateTime;
use zeroize::Zeroizing;

use crate::{Address, Audience, Code, DaySummary, Digest, DigestLine, DigestState, Mail, Notice, Way, WhyClosed};

impl Mail {
    /// Writes the mail as one line of JSON for its outbox row. Instants are milliseconds since 1970. The text holds the
    /// address and, where there is one, the code: it belongs into the row and nowhere else.
    pub fn encode(&self) -> Zeroizing<String> {
        let stored = Stored {
            v: VERSION,
            id: self.id.to_string(),
            to: self.to.as_str().into(),
            lang: self.language.as_str().into(),
            subject: self.subject_id.to_string(),
            notice: (&self.kind).into(),
        };
        // The derived writer of plain strings and numbers has no way to fail.
        Zeroizing::new(serde_json::to_string(&stored).unwrap_or_default())
    }

    /// Reads what [`Mail::encode`] wrote, in this or an earlier version.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the text is none of ours. An outbox answers that by suppressing the row, never by stopping.
    pub fn decode(text: &str) -> Result<Self, DecodeError> {
        // serde_json's message may quote a value of the row, so only its position is passed on.
        let stored: Stored = serde_json::from_str(text)
            .map_err(|error| DecodeError::Json { line: error.line(), column: error.column() })?;
        if stored.v != VERSION {
            return Err(DecodeError::Version { found: stored.v, known: VERSION });
        }
        Ok(Self {
            id: stored.id.parse().map_err(|_| DecodeError::Field { name: "id" })?,
            to: stored.to.parse::<Address>().map_err(|_| DecodeError::Field { name: "to" })?,
            language: stored.lang.parse::<Language>().map_err(|_| DecodeError::Field { name: "lang" })?,
            subject_id: stored.subject.parse().map_err(|_| DecodeError::Field { name: "subject" })?,
            kind: stored.notice.try_into()?,
        })
    }
}

/// Why the text of an outbox row is no mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// No JSON, or not of our shape.
    #[error("not the JSON of a mail, line {line}, column {column}")]
    Json {
        /// Line, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
    },
    /// A version this program does not know.
    #[error("a mail of version {found}, version {known} is known")]
    Version {
        /// Version found.
        found: u8,
        /// Version known.
        known: u8,
    },
    /// A field holds what it cannot hold.
    #[error("the field {name} does not hold what it should")]
    Field {
        /// Name of the field.
        name: &'static str,
    },
}

const VERSION: u8 = 1;

#[derive(Serialize, Deserialize)]
struct Stored {
    v: u8,
    id: String,
    to: String,
    lang: String,
    subject: String,
    #[serde(flatten)]
    notice: StoredNotice,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum StoredNotice {
    EnrolmentCode {
        code: Zeroizing<String>,
        expires: i64,
    },
    EnrolmentClosed {
        why: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        at: Option<i64>,
    },
    EnrolmentPermitted {
        until: i64,
    },
    CertificateIssued {
        serial: String,
        not_before: i64,
        not_after: i64,
        audience: Audience,
        way: Way,
    },
    CertificateActivated {
        serial: String,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        predecessor: Option<String>,
    },
    StartedAgain {
        serial: String,
    },
    Revoked {
        serial: String,
        reason: String,
    },
    Expiry {
        threshold: u16,
        not_before: i64,
        not_after: i64,
        days_left: u16,
        #[serde(skip_serializing_if = "Option::is_none", default)]
        opens: Option<i64>,
    },
    AddressChanged {
        at: i64,
    },
    EnrolmentReminder {
        until: i64,
    },
    AddressUndeliverable {
        at: i64,
    },
    Escalation {
        not_before: i64,
        not_after: i64,
    },
    Digest {
        at: i64,
        lines: Vec<StoredLine>,
        more: u32,
    },
    OperatorSummary {
        from: i64,
        until: i64,
        summary: DaySummary,
    },
}

#[derive(Serialize, Deserialize)]
struct StoredLine {
    id: String,
    not_after: i64,
    days_left: u16,
    state: DigestState,
}

impl From<&Notice> for StoredNotice {
    fn from(notice: &Notice) -> Self {
        match notice {
            Notice::EnrolmentCode { code, expires } => {
                Self::EnrolmentCode { code: Zeroizing::new(code.reveal().to_owned()), expires: milliseconds(*expires) }
            }
            Notice::EnrolmentClosed { why } => {
                Self::EnrolmentClosed { why: why.word().into(), at: why.at().map(milliseconds) }
            }
            Notice::EnrolmentPermitted { until } => Self::EnrolmentPermitted { until: milliseconds(*until) },
            Notice::CertificateIssued { serial, validity, audience, way } => Self::CertificateIssued {
                serial: serial.to_string(),
                not_before: milliseconds(validity.not_before()),
                not_after: milliseconds(validity.not_after()),
                audience: *audience,
                way: *way,
            },
            Notice::CertificateActivated { serial, predecessor } => Self::CertificateActivated {
                serial: serial.to_string(),
                predecessor: predecessor.map(|serial| serial.to_string()),
            },
            Notice::StartedAgain { serial } => Self::StartedAgain { serial: serial.to_string() },
            Notice::Revoked { serial, reason } => {
                Self::Revoked { serial: serial.to_string(), reason: reason.as_str().into() }
            }
            Notice::Expiry { threshold_days, validity, days_left, renewal_opens } => Self::Expiry {
                threshold: *threshold_days,
                not_before: milliseconds(validity.not_before()),
                not_after: milliseconds(validity.not_after()),
                days_left: *days_left,
                opens: renewal_opens.map(milliseconds),
            },
            Notice::AddressChanged { at } => Self::AddressChanged { at: milliseconds(*at) },
            Notice::EnrolmentReminder { until } => Self::EnrolmentReminder { until: milliseconds(*until) },
            Notice::AddressUndeliverable { at } => Self::AddressUndeliverable { at: milliseconds(*at) },
            Notice::Escalation { validity } => Self::Escalation {
                not_before: milliseconds(validity.not_before()),
                not_after: milliseconds(validity.not_after()),
            },
            Notice::Digest { digest } => Self::Digest {
                at: milliseconds(digest.at),
                lines: digest.lines.iter().map(StoredLine::from).collect(),
                more: digest.more,
            },
            Notice::OperatorSummary { from, until, summary } => {
                Self::OperatorSummary { from: milliseconds(*from), until: milliseconds(*until), summary: *summary }
            }
        }
    }
}

impl From<&DigestLine> for StoredLine {
    fn from(line: &DigestLine) -> Self {
        let (id, not_after) = (line.subject_id.to_string(), milliseconds(line.not_after));
        Self { id, not_after, days_left: line.days_left, state: line.state }
    }
}

impl TryFrom<StoredLine> for DigestLine {
    type Error = DecodeError;

    fn try_from(stored: StoredLine) -> Result<Self, DecodeError> {
        Ok(Self {
            subject_id: stored.id.parse().map_err(|_| DecodeError::Field { name: "id" })?,
            not_after: instant(stored.not_after, "not_after")?,
            days_left: stored.days_left,
            state: stored.state,
        })
    }
}

impl TryFrom<StoredNotice> for Notice {
    type Error = DecodeError;

    fn try_from(stored: StoredNotice) -> Result<Self, DecodeError> {
        Ok(match stored {
            StoredNotice::EnrolmentCode { code, expires } => {
                let code = if code.is_empty() {
                    Code::erased()
                } else {
                    Code::new(&code).map_err(|_| DecodeError::Field { name: "code" })?
                };
                Self::EnrolmentCode { code, expires: instant(expires, "expires")? }
            }
            StoredNotice::EnrolmentClosed { why, at } => {
                let at = at.map(|at| instant(at, "at")).transpose()?;
                Self::EnrolmentClosed {
                    why: WhyClosed::from_parts(&why, at).ok_or(DecodeError::Field { name: "why" })?,
                }
            }
            StoredNotice::EnrolmentPermitted { until } => Self::EnrolmentPermitted { until: instant(until, "until")? },
            StoredNotice::CertificateIssued { serial, not_before, not_after, audience, way } => {
                let (serial, validity) = (serial_number(&serial, "serial")?, validity(not_before, not_after)?);
                Self::CertificateIssued { serial, validity, audience, way }
            }
            StoredNotice::CertificateActivated { serial, predecessor } => Self::CertificateActivated {
                serial: serial_number(&serial, "serial")?,
                predecessor: predecessor.map(|text| serial_number(&text, "predecessor")).transpose()?,
            },
            StoredNotice::StartedAgain { serial } => Self::StartedAgain { serial: serial_number(&serial, "serial")? },
            StoredNotice::Revoked { serial, reason } => Self::Revoked {
                serial: serial_number(&serial, "serial")?,
                reason: reason.parse::<RevocationReason>().map_err(|_| DecodeError::Field { name: "reason" })?,
            },
            StoredNotice::Expiry { threshold, not_before, not_after, days_left, opens } => Self::Expiry {
                threshold_days: threshold,
                validity: validity(not_before, not_after)?,
                days_left,
                renewal_opens: opens.map(|at| instant(at, "opens")).transpose()?,
            },
            StoredNotice::AddressChanged { at } => Self::AddressChanged { at: instant(at, "at")? },
            StoredNotice::EnrolmentReminder { until } => Self::EnrolmentReminder { until: instant(until, "until")? },
            StoredNotice::AddressUndeliverable { at } => Self::AddressUndeliverable { at: instant(at, "at")? },
            StoredNotice::Escalation { not_before, not_after } => {
                Self::Escalation { validity: validity(not_before, not_after)? }
            }
            StoredNotice::Digest { at, lines, more } => {
                let lines = lines.into_iter().map(DigestLine::try_from).collect::<Result<_, _>>()?;
                Self::Digest { digest: Digest { at: instant(at, "at")?, lines, more } }
            }
            StoredNotice::OperatorSummary { from, until, summary } => {
                Self::OperatorSummary { from: instant(from, "from")?, until: instant(until, "until")?, summary }
            }
        })
    }
}

/// Milliseconds since 1970. The years `time` can name fit 64 bits many times over.
fn milliseconds(instant: UtcDateTime) -> i64 {
    instant.unix_timestamp() * 1000 + i64::from(instant.millisecond())
}

fn instant(milliseconds: i64, name: &'static str) -> Result<UtcDateTime, DecodeError> {
    UtcDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000)
        .map_err(|_| DecodeError::Field { name })
}

fn serial_number(text: &str, name: &'static str) -> Result<SerialNumber, DecodeError> {
    text.parse().map_err(|_| DecodeError::Field { name })
}

fn validity(not_before: i64, not_after: i64) -> Result<Validity, DecodeError> {
    Validity::new(instant(not_before, "not_before")?, instant(not_after, "not_after")?)
        .map_err(|_| DecodeError::Field { name: "not_after" })
}
