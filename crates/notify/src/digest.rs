//! What administrators and operators are told in summaries, and when. Pure functions over values.

use koshin_expiry::{Policy, RenewalProgress, Standing};
use koshin_types::{OrganizationId, SubjectId, Validity};
use serde::{Deserialize, Serialize};
use time::{Duration, UtcDateTime, Weekday};

use crate::{Audience, Notice, Way, sender::Zone};

/// The IDs of one organization with which something has to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// The instant at which all of it was so.
    pub at: UtcDateTime,
    /// The IDs, the soonest end first, at most [`Digest::MOST_LINES`].
    pub lines: Vec<DigestLine>,
    /// How many more there are.
    pub more: u32,
}

/// One ID in a digest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestLine {
    /// The ID, shown masked.
    pub subject_id: SubjectId,
    /// The last second of its certificate.
    pub not_after: UtcDateTime,
    /// Days left by the policy's calendar; 0 once it has ended.
    pub days_left: u16,
    /// How it stands.
    pub state: DigestState,
}

/// How an ID in a digest stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DigestState {
    /// The window is open and nothing was done.
    NotRenewed,
    /// A renewal was begun.
    UnderWay,
    /// The new certificate was issued and not used yet.
    NotInUse,
    /// The certificate has ended, and can still be obtained anew.
    Ended,
    /// The holder's mails do not arrive.
    AddressRefused,
}

impl DigestState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::NotRenewed, Self::UnderWay, Self::NotInUse, Self::Ended, Self::AddressRefused];

    /// The word that stands for it in `states.txt`.
    pub const fn word(self) -> &'static str {
        match self {
            Self::NotRenewed => "not_renewed",
            Self::UnderWay => "under_way",
            Self::NotInUse => "not_in_use",
            Self::Ended => "ended",
            Self::AddressRefused => "address_refused",
        }
    }
}

/// An ID of an organization, as far as a digest has to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// The ID.
    pub subject_id: SubjectId,
    /// The validity of its newest certificate in use; `None` for an ID without one.
    pub validity: Option<Validity>,
    /// How far its renewal is.
    pub renewal: RenewalProgress,
    /// Whether a mail to its holder is an open task ([`Tasks`](crate::Tasks)).
    pub address_refused: bool,
}

impl Digest {
    /// The most IDs in one mail; the portal shows the others.
    pub const MOST_LINES: usize = 200;

    /// What an administrator is to be told of these IDs at `now`: those inside the window, those that ended and can
    /// still obtain a certificate, and those whose mails do not arrive. `None` when that is nobody: there is no mail
    /// that says nothing.
    pub fn of(members: &[Member], policy: &Policy, now: UtcDateTime) -> Option<Self> {
        let mut lines: Vec<_> = members.iter().filter_map(|member| line(member, policy, now)).collect();
        lines.sort_by(|one, other| (one.not_after, &one.subject_id).cmp(&(other.not_after, &other.subject_id)));
        let more = u32::try_from(lines.len().saturating_sub(Self::MOST_LINES)).unwrap_or(u32::MAX);
        lines.truncate(Self::MOST_LINES);
        (!lines.is_empty()).then_some(Self { at: now, lines, more })
    }
}

fn line(member: &Member, policy: &Policy, now: UtcDateTime) -> Option<DigestLine> {
    let validity = member.validity?;
    let decision = policy.decide(&Standing { successor: member.renewal, ..Standing::active(validity) }, now);
    let state = match member.renewal {
        RenewalProgress::Activated => return None,
        _ if member.address_refused && now < validity.end() => DigestState::AddressRefused,
        _ if now >= validity.end() => decision.enrolment.then_some(DigestState::Ended)?,
        _ if !decision.renewal => return None,
        RenewalProgress::None => DigestState::NotRenewed,
        RenewalProgress::Started => DigestState::UnderWay,
        RenewalProgress::Issued => DigestState::NotInUse,
    };
    let days_left = policy.days_left(validity, now).and_then(|days| u16::try_from(days).ok()).unwrap_or_default();
    Some(DigestLine { subject_id: member.subject_id.clone(), not_after: validity.not_after(), days_left, state })
}

/// When digests go out: on one day of the week, at one hour of the sender's zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// The day; Monday by default.
    pub weekday: Weekday,
    /// The hour, 0 to 23; 9 by default.
    pub hour: u8,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self { weekday: Weekday::Monday, hour: 9 }
    }
}

impl Rhythm {
    /// The last instant at or before `now` at which a digest was due, and the next one.
    pub fn around(self, now: UtcDateTime, zone: &Zone) -> (UtcDateTime, UtcDateTime) {
        let (begins, _) = zone.day(now);
        // The middle of the local day names its weekday in every zone.
        let local = begins.saturating_add(Duration::seconds(i64::from(zone.at(now).0.whole_seconds())));
        let since =
            i64::from((7 + local.weekday().number_days_from_monday() - self.weekday.number_days_from_monday()) % 7);
        let this = begins - Duration::days(since) + Duration::hours(i64::from(self.hour.min(23)));
        let week = Duration::weeks(1);
        if this <= now { (this, this.saturating_add(week)) } else { (this.saturating_sub(week), this) }
    }

    /// What tells the digest of one organization from all others for an administrator: planned twice, it is one mail.
    pub fn key(organization: &OrganizationId, due: UtcDateTime) -> String {
        format!("{organization}/{}", due.unix_timestamp())
    }
}

/// Whether an organization wants one digest instead of many mails to its administrators.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Digests {
    /// One mail a week.
    #[default]
    Wanted,
    /// The organization opted out: each by itself.
    OptedOut,
}

impl Digests {
    /// Whether this notice to an administrator is left to the digest. What goes to holders never is, nor what an
    /// administrator has to hear of at once: that a certificate was obtained without a valid one, or that an address
    /// refuses the mails (an open task stands in the digest beside that).
    pub const fn replace(self, notice: &Notice) -> bool {
        let can_wait = matches!(
            notice,
            Notice::CertificateIssued { audience: Audience::Administrator, way: Way::Renewal, .. }
                | Notice::Escalation { .. }
        );
        can_wait && matches!(self, Self::Wanted)
    }
}

/// From when on an administrator is told that a holder ignored every notice: when half of the time is over that the
/// most urgent notice left. `None` while fewer than two thresholds were told, or where the policy has no thresholds.
///
/// `told` are the thresholds of this certificate that count as sent or closed.
///
/// ```
/// use koshin_expiry::Policy;
/// use koshin_notify::escalation_opens;
/// use koshin_types::Validity;
/// use time::{Duration, UtcDateTime};
///
/// let validity = Validity::new(UtcDateTime::UNIX_EPOCH, UtcDateTime::UNIX_EPOCH + Duration::days(365))?;
/// let policy = Policy::default_jst();
/// let opens = escalation_opens(&policy, validity, &[30, 10]).expect("two were told");
/// assert_eq!((validity.end() - opens).whole_days(), 5);
/// assert_eq!(escalation_opens(&policy, validity, &[30]), None);
/// # Ok::<(), koshin_types::ValidityError>(())
/// ```
pub fn escalation_opens(policy: &Policy, validity: Validity, told: &[u16]) -> Option<UtcDateTime> {
    let most_urgent = *policy.mail_days().first()?;
    if told.len() < 2 || !told.contains(&most_urgent) {
        return None;
    }
    let (opened, end) = (policy.opening(validity, most_urgent), validity.end());
    (opened < end).then(|| opened + (end - opened) / 2)
}

/// When to remind of a permission to obtain a certificate: ten days before it ends, or when half of a short one is over.
///
/// ```
/// use koshin_notify::reminder_opens;
/// use time::{Duration, UtcDateTime};
///
/// let permitted = UtcDateTime::UNIX_EPOCH;
/// assert_eq!(reminder_opens(permitted, permitted + Duration::days(80)), permitted + Duration::days(70));
/// assert_eq!(reminder_opens(permitted, permitted + Duration::days(6)), permitted + Duration::days(3));
/// ```
pub fn reminder_opens(permitted: UtcDateTime, until: UtcDateTime) -> UtcDateTime {
    let lasts = (until - permitted).max(Duration::ZERO);
    until.saturating_sub(Duration::days(10).min(lasts / 2))
}

/// A day of the whole installation, for its operator.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaySummary {
    /// Mails that the server took.
    pub sent: u64,
    /// Mails that it refused for ever.
    pub refused: u64,
    /// Mails that came back later.
    pub bounced: u64,
    /// Mails of which nobody knows.
    pub unknown: u64,
    /// Mails that wait at the end of the day.
    pub waiting: u64,
    /// Open tasks at the end of the day.
    pub tasks: u64,
    /// Certificates issued.
    pub issued: u64,
    /// Certificates revoked.
    pub revoked: u64,
    /// Certificates that ended without a successor.
    pub ended: u64,
    /// Certificates in use that end within 10 days.
    pub ending_soon: u64,
    /// Certificates in use that end within 30 days.
    pub ending: u64,
}
