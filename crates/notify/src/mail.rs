//! A mail that is owed to one person, before it has words.

use std::{fmt, str::FromStr};

use koshin_types::{Language, RevocationReason, SerialNumber, SubjectId, Validity};
use sha2::{Digest as _, Sha256};
use time::{Duration, UtcDateTime};
use zeroize::Zeroizing;

use crate::{Address, DaySummary, Digest};

/// What is owed to one person. It is planned in the transaction that makes it due, stored as one outbox row, and put
/// into words only when it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mail {
    /// Names the mail for ever: two plans with the same id are the same mail.
    pub id: MailId,
    /// What it says.
    pub kind: Notice,
    /// The one person it goes to.
    pub to: Address,
    /// The language of its words.
    pub language: Language,
    /// The ID it speaks of, shown masked. Not necessarily the recipient's own.
    pub subject_id: SubjectId,
}

impl Mail {
    /// Plans a mail. `key` tells it from all others of the same kind about the same ID; see [`MailId::derive`].
    pub fn new(kind: Notice, key: &str, to: Address, language: Language, subject_id: SubjectId) -> Self {
        Self { id: MailId::derive(&kind, &subject_id, key), kind, to, language, subject_id }
    }

    /// The instant from which this mail is of no use and must not be sent any more. Without one it is tried until the
    /// mailer's patience ends.
    pub fn worthless_from(&self) -> Option<UtcDateTime> {
        match &self.kind {
            Notice::EnrolmentCode { expires, .. } => Some(*expires),
            Notice::EnrolmentPermitted { until } | Notice::EnrolmentReminder { until } => Some(*until),
            Notice::Expiry { validity, .. }
            | Notice::CertificateIssued { validity, .. }
            | Notice::Escalation { validity } => Some(validity.end()),
            // The next one is better.
            Notice::Digest { digest } => Some(digest.at.saturating_add(Duration::weeks(1))),
            Notice::OperatorSummary { until, .. } => Some(until.saturating_add(Duration::weeks(1))),
            _ => None,
        }
    }

    /// Whether the row of this mail holds something that must not outlive its sending.
    pub fn holds_secret(&self) -> bool {
        matches!(&self.kind, Notice::EnrolmentCode { code, .. } if !code.is_erased())
    }

    /// The same mail with its secret erased: what an outbox keeps of a mail in a terminal state.
    #[must_use]
    pub fn without_secret(mut self) -> Self {
        if let Notice::EnrolmentCode { code, .. } = &mut self.kind {
            *code = Code::erased();
        }
        self
    }
}

/// What a mail tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// The one-time code for an enrolment, valid before `expires`.
    EnrolmentCode {
        /// The code.
        code: Code,
        /// The first instant at which it is refused.
        expires: UtcDateTime,
    },
    /// ID and password were right, but no certificate can be obtained at the moment. The page does not say so, because
    /// whoever sees it need not be the holder.
    EnrolmentClosed {
        /// Why.
        why: WhyClosed,
    },
    /// The administrator or the operator permits the ID to obtain a certificate until the given instant.
    EnrolmentPermitted {
        /// The first instant at which the permission is over.
        until: UtcDateTime,
    },
    /// A certificate was issued.
    CertificateIssued {
        /// Its serial number.
        serial: SerialNumber,
        /// Its validity.
        validity: Validity,
        /// Who is told.
        audience: Audience,
        /// How it was come by.
        way: Way,
    },
    /// A certificate was used for the first time and is now the one that the ID logs in with.
    CertificateActivated {
        /// Its serial number.
        serial: SerialNumber,
        /// The one it replaces, if there is one.
        predecessor: Option<SerialNumber>,
    },
    /// The holder began again with a new key: the certificate that was issued and never used is revoked.
    StartedAgain {
        /// The serial number of the revoked certificate.
        serial: SerialNumber,
    },
    /// A certificate was revoked.
    Revoked {
        /// Its serial number.
        serial: SerialNumber,
        /// Why.
        reason: RevocationReason,
    },
    /// A certificate ends soon.
    Expiry {
        /// The threshold that fired, in days before notAfter: 30 or 10 by default.
        threshold_days: u16,
        /// The validity of the certificate.
        validity: Validity,
        /// Days left by the policy's calendar when the mail was planned.
        days_left: u16,
        /// When renewal opens, if it is not open yet (a threshold may lie before the window).
        renewal_opens: Option<UtcDateTime>,
    },
    /// The registered mail address was changed. Told to the address before the change, and to the one after it.
    AddressChanged {
        /// When.
        at: UtcDateTime,
    },
    /// The permission to obtain a certificate ends soon and was not used. To the holder.
    EnrolmentReminder {
        /// The first instant at which the permission is over.
        until: UtcDateTime,
    },
    /// A mail to the registered address of an ID was refused or came back. To an administrator, without that address.
    AddressUndeliverable {
        /// When that was recorded.
        at: UtcDateTime,
    },
    /// The holder was told and did nothing. To an administrator.
    Escalation {
        /// The validity of the certificate.
        validity: Validity,
    },
    /// The IDs of an organization with which something has to be done. To an administrator.
    Digest {
        /// The list.
        digest: Digest,
    },
    /// What happened in a day. To an operator.
    OperatorSummary {
        /// When the day began.
        from: UtcDateTime,
        /// When it ended.
        until: UtcDateTime,
        /// The figures.
        summary: DaySummary,
    },
}

impl Notice {
    /// The word that stands for the kind of this notice in storage and logs. Part of the [`MailId`]: never change one.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::EnrolmentCode { .. } => "enrolment_code",
            Self::EnrolmentClosed { .. } => "enrolment_closed",
            Self::EnrolmentPermitted { .. } => "enrolment_permitted",
            Self::CertificateIssued { audience: Audience::Holder, .. } => "certificate_issued",
            Self::CertificateIssued { audience: Audience::Administrator, .. } => "certificate_issued_administrator",
            Self::CertificateActivated { .. } => "certificate_activated",
            Self::StartedAgain { .. } => "started_again",
            Self::Revoked { .. } => "revoked",
            Self::Expiry { .. } => "expiry",
            Self::AddressChanged { .. } => "address_changed",
            Self::EnrolmentReminder { .. } => "enrolment_reminder",
            // What ends so went to somebody else than the ID's holder; a store may go by that.
            Self::AddressUndeliverable { .. } => "address_undeliverable_administrator",
            Self::Escalation { .. } => "escalation_administrator",
            Self::Digest { .. } => "digest",
            Self::OperatorSummary { .. } => "operator_summary",
        }
    }

    /// How much it matters that this leaves before others.
    pub const fn urgency(&self) -> Urgency {
        match self {
            Self::EnrolmentCode { .. } => Urgency::Awaited,
            Self::Expiry { threshold_days, .. } if *threshold_days <= Urgency::PRESSING_DAYS => Urgency::Pressing,
            Self::Expiry { .. }
            | Self::EnrolmentPermitted { .. }
            | Self::EnrolmentReminder { .. }
            | Self::AddressUndeliverable { .. }
            | Self::Escalation { .. } => Urgency::Usual,
            Self::Digest { .. } | Self::OperatorSummary { .. } => Urgency::Summary,
            Self::EnrolmentClosed { .. }
            | Self::CertificateIssued { .. }
            | Self::CertificateActivated { .. }
            | Self::StartedAgain { .. }
            | Self::Revoked { .. }
            | Self::AddressChanged { .. } => Urgency::Event,
        }
    }

    /// The threshold of an expiry notice, in days before notAfter.
    pub const fn threshold(&self) -> Option<u16> {
        match self {
            Self::Expiry { threshold_days, .. } => Some(*threshold_days),
            _ => None,
        }
    }
}

/// In which order mails leave when several are due: an outbox hands out the most urgent ones first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Urgency {
    /// Somebody sits before a screen and waits for it.
    Awaited,
    /// Something was done that its owner has to hear of.
    Event,
    /// Little time is left: a notice of expiry of at most 14 days.
    Pressing,
    /// Everything else that has a date.
    Usual,
    /// A summary.
    Summary,
}

impl Urgency {
    /// All, the most urgent first.
    pub const ALL: [Self; 5] = [Self::Awaited, Self::Event, Self::Pressing, Self::Usual, Self::Summary];
    /// The largest threshold, in days, that is pressing.
    const PRESSING_DAYS: u16 = 14;

    /// The number that stands for it in storage: 0 for the most urgent, 4 for the least. Never change one.
    ///
    /// ```
    /// use koshin_notify::Urgency;
    /// assert_eq!(Urgency::ALL.map(Urgency::number), [0, 1, 2, 3, 4]);
    /// ```
    pub const fn number(self) -> u8 {
        match self {
            Self::Awaited => 0,
            Self::Event => 1,
            Self::Pressing => 2,
            Self::Usual => 3,
            Self::Summary => 4,
        }
    }
}

/// Whom a notice speaks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Audience {
    /// The holder of the ID.
    Holder,
    /// An administrator of the holder's organization.
    Administrator,
}

/// Why no certificate can be obtained at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhyClosed {
    /// There is a valid one: renewal is the way.
    StillValid {
        /// Its last second.
        not_after: UtcDateTime,
    },
    /// It ended too long ago: it has to be reissued.
    TooLate {
        /// Its last second.
        not_after: UtcDateTime,
    },
    /// The permission was not used in time.
    PermissionLapsed {
        /// The first instant at which it was over.
        until: UtcDateTime,
    },
    /// Nobody has permitted it.
    NotPermitted,
    /// The certificate was revoked and no reissue was permitted.
    Revoked,
    /// The registered address was changed a short time ago.
    AddressRests {
        /// When it will be possible again.
        until: UtcDateTime,
    },
}

impl WhyClosed {
    /// The word that stands for it in storage and in the audit log.
    pub const fn word(&self) -> &'static str {
        match self {
            Self::StillValid { .. } => "still_valid",
            Self::TooLate { .. } => "too_late",
            Self::PermissionLapsed { .. } => "permission_lapsed",
            Self::NotPermitted => "not_permitted",
            Self::Revoked => "revoked",
            Self::AddressRests { .. } => "address_rests",
        }
    }

    /// The instant that belongs to it.
    pub(crate) const fn at(&self) -> Option<UtcDateTime> {
        match self {
            Self::StillValid { not_after } | Self::TooLate { not_after } => Some(*not_after),
            Self::PermissionLapsed { until } | Self::AddressRests { until } => Some(*until),
            Self::NotPermitted | Self::Revoked => None,
        }
    }

    pub(crate) fn from_parts(word: &str, at: Option<UtcDateTime>) -> Option<Self> {
        Some(match (word, at) {
            ("still_valid", Some(not_after)) => Self::StillValid { not_after },
            ("too_late", Some(not_after)) => Self::TooLate { not_after },
            ("permission_lapsed", Some(until)) => Self::PermissionLapsed { until },
            ("not_permitted", None) => Self::NotPermitted,
            ("revoked", None) => Self::Revoked,
            ("address_rests", Some(until)) => Self::AddressRests { until },
            _ => return None,
        })
    }
}

/// How a certificate was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Renewed while the old one was valid.
    Renewal,
    /// Obtained without a valid one.
    Enrolment,
}

/// The name of a mail: 128 bits, the same whenever and wherever the same mail is planned, and so its Message-ID.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MailId([u8; 16]);

impl MailId {
    /// Derives the id from the kind of the notice, the ID it speaks of and a key of the caller.
    ///
    /// The key says which one of its kind it is: the serial number and the threshold for an expiry notice, the serial
    /// number for an issue (and the administrator's ID for each administrator who is told), the attempt for a code.
    /// The address is no part of it: a corrected address must not make a second mail.
    ///
    /// ```
    /// use koshin_notify::{MailId, Notice};
    /// use koshin_types::SubjectId;
    /// use time::UtcDateTime;
    ///
    /// let notice = Notice::AddressChanged { at: UtcDateTime::UNIX_EPOCH };
    /// let subject: SubjectId = "U-1001".parse()?;
    /// let id = MailId::derive(&notice, &subject, "change 7");
    /// assert_eq!(id, MailId::derive(&notice, &subject, "change 7"));
    /// assert_ne!(id, MailId::derive(&notice, &subject, "change 8"));
    /// assert_eq!(id.to_string().len(), 32);
    /// # Ok::<(), koshin_types::IdError>(())
    /// ```
    pub fn derive(kind: &Notice, subject_id: &SubjectId, key: &str) -> Self {
        let mut hash = Sha256::new();
        for part in ["koshin mail 1", kind.word(), subject_id.as_str(), key] {
            // The length in front keeps two different lists of parts from reading as the same octets.
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest: [u8; 32] = hash.finalize().into();
        Self(digest.first_chunk().copied().unwrap_or_default())
    }

    /// The octets.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Takes the octets as they are, as read from storage.
    pub const fn from_bytes(octets: [u8; 16]) -> Self {
        Self(octets)
    }
}

impl fmt::Display for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for MailId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailId({self})")
    }
}

impl FromStr for MailId {
    type Err = NoMailId;

    fn from_str(text: &str) -> Result<Self, NoMailId> {
        let mut octets = [0; 16];
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(NoMailId);
        }
        for (octet, pair) in octets.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(pair).map_err(|_| NoMailId)?;
            *octet = u8::from_str_radix(digits, 16).map_err(|_| NoMailId)?;
        }
        Ok(Self(octets))
    }
}

/// A text that is no [`MailId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a mail id is written as 32 hexadecimal digits")]
pub struct NoMailId;

/// A one-time code. Wiped from memory when dropped, hidden by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(Zeroizing<String>);

impl Code {
    /// The longest code, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Takes a code of 1 to 64 characters out of `A-Z a-z 0-9 -`.
    ///
    /// # Errors
    ///
    /// [`NoCode`] for anything else.
    ///
    /// ```
    /// use koshin_notify::Code;
    /// assert_eq!(Code::new("4821-7730")?.reveal(), "4821-7730");
    /// assert_eq!(format!("{:?}", Code::new("4821-7730")?), "Code(***)");
    /// assert!(Code::new("").is_err() && Code::new("1\r\n2").is_err());
    /// assert_eq!(Code::MAX_CHARS, 64);
    /// # Ok::<(), koshin_notify::NoCode>(())
    /// ```
    pub fn new(text: &str) -> Result<Self, NoCode> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if text.is_empty() || text.len() > Self::MAX_CHARS || !text.chars().all(allowed) {
            return Err(NoCode { chars: text.chars().count() });
        }
        Ok(Self(Zeroizing::new(text.to_owned())))
    }

    /// What is left of a code when its mail is done with.
    pub fn erased() -> Self {
        Self(Zeroizing::default())
    }

    /// Whether the code is gone. A mail without its code cannot be sent.
    pub fn is_erased(&self) -> bool {
        self.0.is_empty()
    }

    /// The code itself, for the mail.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_erased() { "Code(erased)" } else { "Code(***)" })
    }
}

/// A text that is no one-time code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code is 1 to 64 letters, digits and dashes; this one has {chars} characters or others")]
pub struct NoCode {
    /// Characters given.
    pub chars: usize,
}
