//! Which certificates have to be looked at, and what was already told about each.

mod memory;

use std::{error::Error, sync::Arc};

use async_trait::async_trait;
use koshin_expiry::{Mode, Policy};
use koshin_types::{Language, SerialNumber, SubjectId, Validity};
use sha2::{Digest, Sha256};
use time::{Duration, UtcDateTime};

pub use memory::MemorySchedule;

use crate::{Address, Mail};

/// The certificates in use, and when each has to be looked at next. A [`Planner`](crate::Planner) works on it.
///
/// A certificate comes in, *unplanned*, in the commit that activates it, and goes out in the one that supersedes or
/// revokes it. Once it is planned it has the instant of the next look, if there is one. All plans are made by one
/// policy; another one is adopted first, which makes them *outdated* until they are made anew.
///
/// An implementation runs [`schedule_conformance!`](crate::schedule_conformance).
#[async_trait]
pub trait Schedule: Send + Sync {
    /// The policy that plans are made by, and what comes next. The idle planner asks nothing else.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Unavailable`] when the store does not answer.
    async fn ahead(&self, now: UtcDateTime) -> Result<Ahead, ScheduleError>;

    /// Declares a share of the plans that were made by another policy *outdated*, and adopts this one once none is left:
    /// `true` then. What was sent and closed stays so, and what waits in the outbox waits there.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Unavailable`] when the store does not answer.
    async fn adopt(&self, policy: PolicyMark) -> Result<bool, ScheduleError>;

    /// The certificates that a look asks for and that stand behind the place `after`, in order, at most `limit`.
    ///
    /// A row that cannot be read is left out and logged. It keeps back no other.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::Unavailable`] when the store does not answer.
    async fn look(
        &self,
        look: Look,
        now: UtcDateTime,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, ScheduleError>;

    /// Stores plans in one transaction: mails into the outbox, thresholds that are closed, mails that are withdrawn,
    /// the instants of the next look. A plan is left out when anything it was decided on has changed since (by its
    /// revision). Answers how many were stored.
    ///
    /// A mail that was ever put in is not put in again, unless it was withdrawn without having been on its way.
    ///
    /// # Errors
    ///
    /// [`ScheduleError::OtherPolicy`] when the plans are made by another policy meanwhile, and nothing is stored.
    async fn plan(&self, policy: PolicyMark, plans: Vec<Plan>, now: UtcDateTime) -> Result<usize, ScheduleError>;
}

#[async_trait]
impl<T: Schedule + ?Sized> Schedule for Arc<T> {
    async fn ahead(&self, now: UtcDateTime) -> Result<Ahead, ScheduleError> {
        (**self).ahead(now).await
    }

    async fn adopt(&self, policy: PolicyMark) -> Result<bool, ScheduleError> {
        (**self).adopt(policy).await
    }

    async fn look(
        &self,
        look: Look,
        now: UtcDateTime,
        after: Option<Place>,
        limit: usize,
    ) -> Result<Page, ScheduleError> {
        (**self).look(look, now, after, limit).await
    }

    async fn plan(&self, policy: PolicyMark, plans: Vec<Plan>, now: UtcDateTime) -> Result<usize, ScheduleError> {
        (**self).plan(policy, plans, now).await
    }
}

/// What a schedule holds ready.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ahead {
    /// The policy by which the plans were made; `None` before the first one.
    pub policy: Option<PolicyMark>,
    /// The earliest next look at a planned certificate, which may lie before now.
    pub next_look: Option<UtcDateTime>,
    /// The earliest notAfter of the certificates with an outdated plan that have not ended.
    pub outdated: Option<UtcDateTime>,
    /// The earliest notAfter of the unplanned certificates that have not ended.
    pub unplanned: Option<UtcDateTime>,
}

/// Which certificates are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Planned ones whose next look has come, the longest due first.
    Due,
    /// Those with an outdated plan that have not ended, the soonest notAfter first.
    Outdated,
    /// Unplanned ones that have not ended and whose notAfter is `until` or earlier, the soonest first.
    Unplanned {
        /// The last notAfter.
        until: UtcDateTime,
    },
}

/// Where a row stands in the order of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The instant that the look is ordered by.
    pub at: UtcDateTime,
    /// The store's number of the certificate: the same in every look.
    pub number: u64,
}

/// Some rows of a look.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// The certificates, in order.
    pub rows: Vec<Scheduled>,
    /// The place behind which the next page begins; `None` when there is none.
    pub more: Option<Place>,
}

/// A certificate that has to be looked at, with everything that a plan is decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scheduled {
    /// Where it stands in the look.
    pub place: Place,
    /// Grows with every plan and with whatever becomes of a notice about this certificate.
    pub revision: u64,
    /// The certificate and its holder.
    pub certificate: InUse,
    /// What became of the thresholds so far.
    pub notices: Vec<(u16, Stage)>,
}

/// A certificate in use, and whom to tell about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InUse {
    /// Its serial number: what was sent belongs to it.
    pub serial: SerialNumber,
    /// Its validity.
    pub validity: Validity,
    /// The ID that holds it.
    pub subject_id: SubjectId,
    /// The language of the holder's mails.
    pub language: Language,
    /// The holder's address, if one is registered.
    pub address: Option<Address>,
}

impl InUse {
    /// The name of the notice about this certificate at a threshold, to its holder by mail: one for each.
    pub fn notice_key(&self, threshold_days: u16) -> String {
        format!("{}/{threshold_days}", self.serial)
    }
}

/// What became of one threshold of one certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// Its mail waits, or is claimed, and was never on its way without an answer.
    Waiting,
    /// Its mail is being transmitted, or was when its mailer died; a repeat is possible from `until` on.
    OnItsWay {
        /// The end of the lease.
        until: UtcDateTime,
    },
    /// Its mail waits for its one repeat: it may have arrived.
    Doubtful,
    /// It counts as sent: sent, undeliverable (or no address to send to), or unknown for good.
    Counts,
    /// Its mail was withdrawn before it was ever on its way.
    Withdrawn,
    /// It was closed together with a more urgent one, without a mail of its own, and counts as soon as that one does.
    Closed {
        /// The more urgent threshold.
        with: u16,
    },
}

/// What is to be stored about one certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The store's number of the certificate.
    pub number: u64,
    /// The revision it was decided on.
    pub revision: u64,
    /// The thresholds whose mails must not go out (again). One that may have arrived ends as unknown. What was closed
    /// together with one of them is open again.
    pub withdraw: Vec<u16>,
    /// The threshold that is due, whether or not its mail waits already.
    pub due: Option<Owed>,
    /// When to look again.
    pub next: Next,
}

/// A notice that is owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// Its threshold, in days before notAfter.
    pub threshold_days: u16,
    /// The mail; `None` for a holder without an address, which counts as undeliverable.
    pub mail: Option<Mail>,
    /// The thresholds that are closed together with it.
    pub closes: Vec<u16>,
}

/// When a certificate is to be looked at again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Next {
    /// At this instant.
    At(UtcDateTime),
    /// Not until another policy is adopted.
    Never,
    /// Not any more: it has ended. It counts as unplanned, so that a clock that is put right finds it again.
    Ended,
}

/// A name for everything in a policy that decides about mails: two policies with the same name plan the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyMark([u8; 16]);

/// The years in which a zone's changes of the clock tell it from others: 2020 to 2049.
const ZONE_FROM: i64 = 1_577_836_800;
const ZONE_UNTIL: i64 = 2_524_608_000;
/// No zone changes its clock more often in that time.
const MOST_CHANGES: usize = 400;

impl PolicyMark {
    /// The mark of a policy: mode, window, thresholds and what its zone does in the years 2020 to 2049. New zone data
    /// make a new mark only where they change something.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use koshin_expiry::{FixedOffset, Policy, PolicyConfig};
    /// use koshin_notify::PolicyMark;
    /// let with = |mail_days| {
    ///     let config = PolicyConfig { mail_days, ..PolicyConfig::default() };
    ///     Policy::new(config, Arc::new(FixedOffset::JST)).map(|policy| PolicyMark::of(&policy))
    /// };
    /// assert_eq!(with(vec![30, 10])?, PolicyMark::of(&Policy::default_jst()));
    /// assert_eq!(with(vec![10, 30])?, with(vec![30, 10])?);
    /// assert_ne!(with(vec![30])?, with(vec![30, 10])?);
    /// # Ok::<(), koshin_expiry::PolicyError>(())
    /// ```
    pub fn of(policy: &Policy) -> Self {
        let mut hash = Sha256::new();
        hash.update(b"koshin plan 1");
        hash.update([u8::from(policy.mode() == Mode::Calendar)]);
        hash.update(policy.notice_days().to_be_bytes());
        hash.update((policy.mail_days().len() as u64).to_be_bytes());
        for days in policy.mail_days() {
            hash.update(days.to_be_bytes());
        }
        let mut at = UtcDateTime::from_unix_timestamp(ZONE_FROM).unwrap_or(UtcDateTime::UNIX_EPOCH);
        for _ in 0..MOST_CHANGES {
            hash.update(at.unix_timestamp().to_be_bytes());
            hash.update(policy.zone().offset_at(at).whole_seconds().to_be_bytes());
            match policy.zone().next_transition(at) {
                Some(next) if next > at && next.unix_timestamp() < ZONE_UNTIL => at = next,
                _ => break,
            }
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

/// How far ahead of notAfter a certificate has to be planned so that no threshold of so many days opens before: the
/// days and two more, because a local date begins up to a day and a zone's skipped date earlier.
///
/// ```
/// use koshin_notify::horizon;
/// assert_eq!(horizon(30).whole_days(), 32);
/// ```
pub const fn horizon(threshold_days: u16) -> Duration {
    Duration::days(threshold_days as i64 + 2)
}

/// Why a schedule did not do what was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScheduleError {
    /// Another program has adopted another policy: two configurations work on one store.
    #[error("the notices are planned by another policy; do two configurations work on one database?")]
    OtherPolicy,
    /// The store does not answer.
    #[error("the schedule does not answer")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
}

impl ScheduleError {
    /// Whether the same call may succeed later.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }
}
