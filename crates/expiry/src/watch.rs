//! A process's watch over its clock, as a value: what it knows, and what it owes to whoever remembers the time.

use core::time::Duration as Elapsed;

use time::UtcDateTime;

use crate::{ClockDoubt, ClockGuard, Since, go_on_with};

/// One look at the clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the system's clock says, right or wrong.
    pub system: UtcDateTime,
    /// Time since some fixed moment of this process, by a clock that nobody sets.
    pub monotonic: Elapsed,
}

/// A clock that went ahead of what it can have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Jump {
    /// Where it should have been.
    pub expected: UtcDateTime,
    /// What it said.
    pub found: UtcDateTime,
}

impl From<Jump> for ClockDoubt {
    fn from(Jump { expected, found }: Jump) -> Self {
        Self::Ahead { now: found, expected }
    }
}

/// What storage remembers of the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockRecord {
    /// The largest instant that was recorded: as believed, as confirmed, or with any audit record since. While a jump waits
    /// for its confirmation it is the instant that was expected instead of it.
    pub largest: Option<UtcDateTime>,
    /// A forward jump that nobody has confirmed yet.
    pub jump: Option<Jump>,
    /// The audit record of the newest confirmation; 0 before the first.
    pub confirmed: u64,
}

/// What a watch has to tell storage.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockDues {
    /// A jump that storage does not know yet.
    pub doubt: Option<Jump>,
    /// The largest instant, once a minute.
    pub advance: Option<UtcDateTime>,
}

/// How often the largest instant is recorded.
const ADVANCE_EVERY: Elapsed = Elapsed::from_secs(60);

/// What one process thinks of its clock. Every instant that it acts on comes out of [`Watch::instant`], so that every
/// reading is judged.
///
/// ```
/// use koshin_expiry::{ClockDues, ClockGuard, ClockRecord, Reading, Watch};
/// use time::{Duration, UtcDateTime};
///
/// let begun = UtcDateTime::UNIX_EPOCH + Duration::days(20_000);
/// let at = |system, seconds| Reading { system, monotonic: core::time::Duration::from_secs(seconds) };
/// let mut watch = Watch::begin(ClockGuard::default(), &ClockRecord::default(), at(begun, 0));
/// assert_eq!(watch.dues(&ClockRecord::default(), at(begun, 0)), ClockDues { advance: Some(begun), doubt: None });
///
/// // A year in a minute is a jump, and stays one although the clock is put right again.
/// watch.instant(at(begun + Duration::days(365), 60));
/// watch.instant(at(begun + Duration::minutes(2), 120));
/// assert!(watch.trusted().is_err());
/// ```
#[derive(Debug, Clone)]
pub struct Watch {
    guard: ClockGuard,
    largest: Option<UtcDateTime>,
    /// When the largest instant was taken, once this process has believed its clock.
    taken: Option<Elapsed>,
    /// A jump stays one until it is confirmed, whatever the clock says next.
    jump: Option<Jump>,
    verdict: Result<(), ClockDoubt>,
    /// When the largest instant was last recorded, and which confirmation is known.
    advanced: Option<Elapsed>,
    confirmed: u64,
}

impl Watch {
    /// Begins to watch: the first reading is judged by what is recorded.
    pub fn begin(guard: ClockGuard, record: &ClockRecord, reading: Reading) -> Self {
        let ClockRecord { largest, jump, confirmed } = *record;
        let mut watch = Self { guard, largest, taken: None, jump, verdict: Ok(()), advanced: None, confirmed };
        watch.instant(reading);
        watch
    }

    /// Judges a reading, and answers with the instant to go on with: never before the largest that is known (I-41).
    pub fn instant(&mut self, reading: Reading) -> UtcDateTime {
        let since = self.taken.map_or(Since::Start, |at| Since::Recorded(reading.monotonic.saturating_sub(at)));
        let judged = self.guard.judge(reading.system, self.largest, since);
        let verdict = self.jump.map_or(judged, |jump| Err(jump.into()));
        let instant = go_on_with(reading.system, self.largest);
        match verdict {
            Ok(()) => (self.largest, self.taken) = (Some(instant), Some(reading.monotonic)),
            Err(ClockDoubt::Ahead { now: found, expected }) => self.jump = Some(Jump { expected, found }),
            Err(ClockDoubt::Behind { .. }) => {}
        }
        self.verdict = verdict;
        instant
    }

    /// Whether the last reading was believed.
    ///
    /// # Errors
    ///
    /// [`ClockDoubt`] with what was compared.
    pub const fn trusted(&self) -> Result<(), ClockDoubt> {
        self.verdict
    }

    /// The largest instant that was believed, as far as this process knows.
    pub const fn largest(&self) -> Option<UtcDateTime> {
        self.largest
    }

    /// Learns what other processes have confirmed or doubted.
    pub fn adopt(&mut self, record: &ClockRecord, reading: Reading) {
        if record.confirmed != self.confirmed {
            // What was recorded in the moment before this process heard of it counts no more: it is recorded anew at once.
            self.largest = Some(reading.system);
            self.taken = Some(reading.monotonic);
            self.confirmed = record.confirmed;
            (self.jump, self.verdict, self.advanced) = (None, Ok(()), None);
        }
        self.jump = self.jump.or(record.jump);
    }

    /// What storage has to be told, beside what it remembers.
    pub fn dues(&self, record: &ClockRecord, reading: Reading) -> ClockDues {
        let due = self.advanced.is_none_or(|at| reading.monotonic.saturating_sub(at) >= ADVANCE_EVERY);
        ClockDues {
            doubt: self.jump.filter(|_| record.jump.is_none()),
            advance: self.largest.filter(|_| due && self.verdict.is_ok()),
        }
    }

    /// The largest instant was recorded.
    pub const fn advanced(&mut self, reading: Reading) {
        self.advanced = Some(reading.monotonic);
    }
}
