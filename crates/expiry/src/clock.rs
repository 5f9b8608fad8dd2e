//! Whether the machine's clock can be believed.

use core::time::Duration as Elapsed;

use koshin_types::Rfc3339;
use time::{Duration, UtcDateTime};

/// How far a clock may be off before nothing irreversible is done by it.
///
/// A machine's clock is set by people and by the network, so it can be wrong by years from one moment to the next. What
/// was recorded before, and a monotonic clock while the process runs, tell when it cannot be right.
///
/// ```
/// use koshin_expiry::{ClockDoubt, ClockGuard, Since};
/// use time::{Duration, UtcDateTime};
///
/// let guard = ClockGuard::default();
/// assert_eq!(guard.backward, Duration::hours(1));
/// assert_eq!(guard.running, Duration::hours(1));
/// assert_eq!(guard.start, Duration::days(30));
///
/// let recorded = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
/// let judge = |now, since| guard.judge(now, Some(recorded), since);
/// let later = |elapsed| recorded + elapsed;
/// // A machine that was off for three weeks has not jumped; after five weeks somebody has to say so.
/// assert_eq!(judge(later(Duration::weeks(3)), Since::Start), Ok(()));
/// let (now, expected) = (later(Duration::weeks(5)), recorded);
/// assert_eq!(judge(now, Since::Start), Err(ClockDoubt::Ahead { now, expected }));
/// // While it runs, two hours in a minute are a jump.
/// let minute = Since::Recorded(core::time::Duration::from_secs(60));
/// let (now, expected) = (later(Duration::hours(2)), later(Duration::MINUTE));
/// assert_eq!(judge(now, minute), Err(ClockDoubt::Ahead { now, expected }));
/// // Back is back, whoever asks.
/// let now = later(Duration::hours(-2));
/// assert_eq!(judge(now, Since::Start), Err(ClockDoubt::Behind { now, recorded }));
/// assert_eq!(judge(later(Duration::minutes(-30)), minute), Ok(()));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockGuard {
    /// How far the clock may be behind the largest instant that was recorded: 1 hour.
    pub backward: Duration,
    /// How far it may run ahead of a running process's monotonic clock: 1 hour.
    pub running: Duration,
    /// How far it may be ahead of the largest recorded instant when a process starts: 30 days. Downtime is no jump.
    pub start: Duration,
}

impl Default for ClockGuard {
    fn default() -> Self {
        Self { backward: Duration::HOUR, running: Duration::HOUR, start: Duration::days(30) }
    }
}

/// What is known of the time that went by since the largest recorded instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Since {
    /// Nothing: the process has just started.
    Start,
    /// So much of it by a monotonic clock, at least.
    Recorded(Elapsed),
}

/// Why a clock is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClockDoubt {
    /// It is behind what was recorded before.
    #[error("the clock says {}, but {} was recorded before", Rfc3339(*now), Rfc3339(*recorded))]
    Behind {
        /// What the clock says.
        now: UtcDateTime,
        /// The largest recorded instant.
        recorded: UtcDateTime,
    },
    /// It is ahead of what it can be, or of what is taken for downtime.
    #[error("the clock says {}, but about {} was expected", Rfc3339(*now), Rfc3339(*expected))]
    Ahead {
        /// What the clock said when this was noticed.
        now: UtcDateTime,
        /// The largest recorded instant, moved on by the monotonic clock.
        expected: UtcDateTime,
    },
}

impl ClockGuard {
    /// Judges a clock that says `now`, when `recorded` is the largest instant that was ever recorded; without one
    /// there is nothing to doubt. A difference of exactly the guard is still believed.
    ///
    /// # Errors
    ///
    /// [`ClockDoubt`] with the instants that were compared.
    pub fn judge(&self, now: UtcDateTime, recorded: Option<UtcDateTime>, since: Since) -> Result<(), ClockDoubt> {
        let Some(recorded) = recorded else { return Ok(()) };
        let (elapsed, guard) = match since {
            Since::Start => (Duration::ZERO, self.start),
            Since::Recorded(elapsed) => (Duration::try_from(elapsed).unwrap_or(Duration::MAX), self.running),
        };
        let expected = recorded.saturating_add(elapsed);
        if now < recorded.saturating_sub(self.backward) {
            Err(ClockDoubt::Behind { now, recorded })
        } else if now > expected.saturating_add(guard) {
            Err(ClockDoubt::Ahead { now, expected })
        } else {
            Ok(())
        }
    }
}

/// The instant to go on with, whatever is thought of the clock: never before the largest recorded one, so that nothing
/// that has expired comes to life again.
///
/// ```
/// use time::{Duration, UtcDateTime};
///
/// let (recorded, now) = (UtcDateTime::UNIX_EPOCH + Duration::DAY, UtcDateTime::UNIX_EPOCH);
/// assert_eq!(koshin_expiry::go_on_with(now, Some(recorded)), recorded);
/// assert_eq!(koshin_expiry::go_on_with(now, None), now);
/// ```
pub fn go_on_with(now: UtcDateTime, recorded: Option<UtcDateTime>) -> UtcDateTime {
    recorded.map_or(now, |recorded| recorded.max(now))
}
