//! What strangers can cause in storage: the beginning of an enrolment, tries that are counted, and what is left of them.

use koshin_notify::Mail;
use time::{Duration, UtcDateTime};

use crate::{AuditNote, Session, Subject, Tries};

/// How many tries are free, and how long one has to wait after more.
///
/// ```
/// use koshin_ra::{Settings, Tries};
/// use time::{Duration, UtcDateTime};
///
/// let (patience, last) = (Settings::default().patience(), UtcDateTime::UNIX_EPOCH + Duration::DAY);
/// let wait = |failures| {
///     let tries = Tries { failures, last_at: 86_400_000 };
///     patience.blocked_until(tries).map(|until| (until - last).whole_seconds())
/// };
/// assert_eq!([wait(4), wait(5), wait(6), wait(100)], [None, Some(30), Some(60), Some(900)]);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Tries that are free of delay.
    pub free: u32,
    /// The wait after these. Each further try doubles it.
    pub first: Duration,
    /// The longest wait.
    pub longest: Duration,
}

impl Patience {
    /// Until when no further try is possible; `None` while they are free.
    pub fn blocked_until(&self, tries: Tries) -> Option<UtcDateTime> {
        let beyond = tries.failures.checked_sub(self.free)?;
        let delay = self.first.saturating_mul(1 << beyond.min(16)).min(self.longest);
        let last = UtcDateTime::from_unix_timestamp_nanos(i128::from(tries.last_at) * 1_000_000).ok()?;
        Some(last.saturating_add(delay))
    }
}

/// What is left of something that anybody can cause without being known.
#[derive(Debug, Clone)]
pub enum Trace {
    /// An audit record.
    Recorded(AuditNote),
    /// Counted under the note's word, with an audit record at 10, 100, 1000 and so on: whatever strangers invent, the
    /// audit log does not grow by it.
    Counted(AuditNote),
}

impl Trace {
    /// The record that is due when so many were counted.
    pub fn due(note: &AuditNote, count: u32) -> Option<AuditNote> {
        let is_round = count >= 10 && 10_u32.pow(count.ilog10()) == count;
        is_round.then(|| note.clone().with("count", &count))
    }
}

impl From<AuditNote> for Trace {
    fn from(note: AuditNote) -> Self {
        Self::Recorded(note)
    }
}

/// The beginning of an enrolment, as one commit. From outside it is the same work whether the ID exists, the password was
/// right, and a mail is owed, or not.
#[derive(Debug, Clone)]
pub struct Beginning {
    /// The new session.
    pub session: Session,
    /// Under which key the try is counted.
    pub tries: String,
    /// When it comes too soon.
    pub patience: Patience,
    /// The subject as it was when its password was checked; `None` for an unknown ID.
    pub subject: Option<Subject>,
    /// What is left of it.
    pub trace: Trace,
    /// The mail that is owed.
    pub mail: Option<Mail>,
}

/// What came of a [`Beginning`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begun {
    /// All of it is stored.
    Opened,
    /// Nothing is stored: there were too many tries.
    TooSoon {
        /// When the next one is possible.
        retry_at: UtcDateTime,
    },
    /// Nothing is stored: the subject's password or address is another one by now.
    Changed,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Actor;

    #[test]
    fn round_numbers_are_recorded() {
        let note = AuditNote { actor: Actor::System, subject: None, word: "x", details: [].into() };
        let due: Vec<_> = (0..=100_000).filter(|count| Trace::due(&note, *count).is_some()).collect();
        assert_eq!(due, [10, 100, 1000, 10_000, 100_000]);
        assert_eq!(Trace::due(&note, 100).unwrap().details["count"], "100");
        assert!(Trace::due(&note, u32::MAX).is_none());
    }
}
