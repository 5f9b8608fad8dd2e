//! What is said between this program and a portal: fixed paths, JSON. `docs/agent.md` describes the other side.

use std::{fmt, time::Duration};

use koshin_types::{ProtectionLevel, RenewalId, SubjectId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::origin::Origin;

/// The most that is read of an answer, in octets.
pub(crate) const MOST: usize = 64 << 10;

/// What a ticket is exchanged for.
#[derive(Debug, Serialize)]
pub(crate) struct Open<'a> {
    pub(crate) v: u8,
    pub(crate) ticket: &'a str,
}

/// The answer to a renewal's ticket.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Opened {
    #[serde(with = "text")]
    pub(crate) renewal: RenewalId,
    #[serde(with = "text")]
    pub(crate) subject: SubjectId,
    #[serde(default)]
    pub(crate) organization: Option<String>,
    #[serde(default)]
    pub(crate) authority: Option<String>,
    pub(crate) activation: Origin,
    #[serde(default)]
    pub(crate) minimum_protection: Option<ProtectionLevel>,
    #[serde(default)]
    pub(crate) predecessor: Option<Predecessor>,
    #[serde(default = "four")]
    pub(crate) code_length: u8,
}

/// The certificate that a renewal replaces.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Predecessor {
    pub(crate) serial: String,
    pub(crate) not_after: String,
}

/// The answer to an enrolment's ticket. Who it is for is said only after the code was right.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Asked {
    pub(crate) exchange: Bearer,
    pub(crate) activation: Origin,
    #[serde(default)]
    pub(crate) authority: Option<String>,
    #[serde(default = "eight")]
    pub(crate) code_length: u8,
}

/// The answer to an enrolment's code.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Recognized {
    pub(crate) exchange: Bearer,
    #[serde(with = "text")]
    pub(crate) renewal: RenewalId,
    #[serde(with = "text")]
    pub(crate) subject: SubjectId,
    #[serde(default)]
    pub(crate) organization: Option<String>,
    #[serde(default)]
    pub(crate) predecessor: Option<Predecessor>,
    #[serde(default)]
    pub(crate) minimum_protection: Option<ProtectionLevel>,
}

/// Stands for the right to go on with one enrolment.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Bearer(Zeroizing<String>);

impl Bearer {
    /// Whether it looks like one: 64 hexadecimal digits in lower case. Only such a one becomes a header.
    pub(crate) fn is_sound(&self) -> bool {
        self.0.len() == 64 && self.0.bytes().all(|octet| octet.is_ascii_digit() || (b'a'..=b'f').contains(&octet))
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(***)")
    }
}

/// The digits that the holder typed.
#[derive(Serialize)]
pub(crate) struct Confirm<'a> {
    pub(crate) code: &'a str,
}

/// A PKCS#10 request, and where its key lives as far as this program knows.
#[derive(Debug, Serialize)]
pub(crate) struct Request {
    pub(crate) request: String,
    pub(crate) protection: ProtectionLevel,
}

/// The certificate, in DER and base64.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Issued {
    pub(crate) certificate: String,
    pub(crate) chain: Vec<String>,
    pub(crate) serial: String,
}

/// At which confirmation the holder said No.
#[derive(Debug, Serialize)]
pub(crate) struct Declined {
    pub(crate) at: u8,
}

/// Which renewal's successor shows itself.
#[derive(Debug, Serialize)]
pub(crate) struct Activate {
    #[serde(with = "text")]
    pub(crate) renewal: RenewalId,
}

/// It is in use now.
#[derive(Debug, Deserialize)]
pub(crate) struct Activated {
    pub(crate) serial: String,
}

/// Where a renewal stands at the portal.
#[derive(Debug, Deserialize)]
pub(crate) struct Standing {
    pub(crate) state: String,
}

/// Something that was refused.
#[derive(Debug, Clone, Deserialize, thiserror::Error)]
#[error("{message} ({code})")]
pub(crate) struct Refusal {
    #[serde(skip)]
    pub(crate) status: u16,
    /// A stable word, such as `agent.ticket_used`.
    pub(crate) code: String,
    /// A sentence for the holder.
    pub(crate) message: String,
    /// How many tries are left.
    #[serde(default)]
    pub(crate) left: Option<u32>,
    /// After how many seconds it may be asked again.
    #[serde(skip)]
    pub(crate) after: Option<Duration>,
}

impl Refusal {
    /// Whether the same call may succeed later.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self.status, 429 | 500 | 502 | 503 | 504)
    }

    /// Whether the exchange, or the ticket for it, is over, so that a new link is needed to go on.
    pub(crate) fn needs_a_new_link(&self) -> bool {
        const OVER: [&str; 5] =
            ["agent.over", "agent.ticket_used", "agent.ticket_wrong", "agent.code_exhausted", "agent.not_confirmed"];
        OVER.contains(&self.code.as_str())
    }
}

const fn four() -> u8 {
    4
}

const fn eight() -> u8 {
    8
}

/// Words that are written as they are displayed, and read only when they are sound.
pub(crate) mod text {
    use std::{fmt::Display, str::FromStr};

    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub(crate) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(crate) fn deserialize<'de, T: FromStr<Err: Display>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<T, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
