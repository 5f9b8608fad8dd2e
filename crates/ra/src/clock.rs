//! Whether the clock is believed: what storage remembers of the time, and the watch that a process keeps.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration as Elapsed,
};

use async_trait::async_trait;
use koshin_expiry::{ClockDoubt, ClockGuard, Since, go_on_with};
use koshin_renewal::{Basis, Fact};
use time::UtcDateTime;

use crate::{Actor, AuditNote, StorageError, sign_in::note};

/// What storage remembers of the time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClockRecord {
    /// The largest instant that was recorded: by [`Chronicle::advance`] or [`Chronicle::confirm`], or with any audit record
    /// since. While a jump waits for its confirmation it is the instant that was expected instead of it.
    pub largest: Option<UtcDateTime>,
    /// A forward jump that nobody has confirmed yet.
    pub jump: Option<Jump>,
    /// The audit record of the newest confirmation; 0 before the first.
    pub confirmed: u64,
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

/// The memory of the time. It is written once a minute; between, the audit records of commits count, so that no commit
/// costs more for it.
#[async_trait]
pub trait Chronicle: Send + Sync {
    /// What is remembered. Of the audit records since it was last written, the newest thousand are looked at.
    async fn recorded(&self) -> Result<ClockRecord, StorageError>;

    /// Records an instant that was believed. The largest does not fall by it; while a jump is unconfirmed nothing happens.
    async fn advance(&self, to: UtcDateTime) -> Result<(), StorageError>;

    /// Records a jump. From now on the instant that was expected is the largest, whatever is recorded, until the jump is
    /// confirmed. One that is unconfirmed already stays as it is.
    async fn doubt(&self, jump: Jump) -> Result<(), StorageError>;

    /// The operator says that it is `at`: the largest instant from now on, be it smaller than before. There is no jump
    /// any more, and the note is recorded with this instant.
    async fn confirm(&self, at: UtcDateTime, note: AuditNote) -> Result<(), StorageError>;
}

/// One look at the clocks of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reading {
    /// What the system's clock says, right or wrong.
    pub system: UtcDateTime,
    /// Time since some fixed moment of this process, by a clock that nobody sets.
    pub monotonic: Elapsed,
}

/// A process's watch over its clock. All instants that a service acts on come out of [`ClockWatch::instant`], so that
/// every reading is judged; while one is doubted, [`Ra`](crate::Ra) does nothing that cannot be undone.
pub struct ClockWatch {
    guard: ClockGuard,
    chronicle: Arc<dyn Chronicle>,
    state: Mutex<State>,
}

struct State {
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

/// How often the largest instant is recorded.
const ADVANCE_EVERY: Elapsed = Elapsed::from_secs(60);

impl fmt::Debug for ClockWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockWatch")
            .field("guard", &self.guard)
            .field("trusted", &self.trusted())
            .finish_non_exhaustive()
    }
}

impl ClockWatch {
    /// Begins to watch: the first reading is judged by what is recorded.
    ///
    /// # Errors
    ///
    /// [`StorageError`] when that cannot be read.
    pub async fn begin(
        chronicle: Arc<dyn Chronicle>,
        guard: ClockGuard,
        reading: Reading,
    ) -> Result<Self, StorageError> {
        let ClockRecord { largest, jump, confirmed } = chronicle.recorded().await?;
        let state = State { largest, taken: None, jump, verdict: Ok(()), advanced: None, confirmed };
        let watch = Self { guard, chronicle, state: Mutex::new(state) };
        watch.instant(reading);
        Ok(watch)
    }

    /// Judges a reading, and answers with the instant to go on with: never before the largest that is known (I-41).
    pub fn instant(&self, reading: Reading) -> UtcDateTime {
        let mut state = self.state();
        let since = state.taken.map_or(Since::Start, |at| Since::Recorded(reading.monotonic.saturating_sub(at)));
        let judged = self.guard.judge(reading.system, state.largest, since);
        let verdict = state.jump.map_or(judged, |jump| Err(jump.into()));
        let instant = go_on_with(reading.system, state.largest);
        match verdict {
            Ok(()) => (state.largest, state.taken) = (Some(instant), Some(reading.monotonic)),
            Err(ClockDoubt::Ahead { now: found, expected }) => state.jump = Some(Jump { expected, found }),
            Err(ClockDoubt::Behind { .. }) => {}
        }
        state.verdict = verdict;
        instant
    }

    /// Whether the last reading was believed.
    ///
    /// # Errors
    ///
    /// [`ClockDoubt`] with what was compared.
    pub fn trusted(&self) -> Result<(), ClockDoubt> {
        self.state().verdict
    }

    /// The largest instant that was believed, as far as this process knows.
    pub fn largest(&self) -> Option<UtcDateTime> {
        self.state().largest
    }

    /// Exchanges what is known with storage: the largest instant once a minute, a new jump at once; and learns what
    /// other processes have confirmed or doubted. To be called every second.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; the next call tries again.
    pub async fn keep(&self, reading: Reading) -> Result<(), StorageError> {
        let record = self.chronicle.recorded().await?;
        self.adopt(&record, reading);
        self.instant(reading);
        let (jump, due) = {
            let state = self.state();
            let due = state.advanced.is_none_or(|at| reading.monotonic.saturating_sub(at) >= ADVANCE_EVERY);
            (state.jump, state.largest.filter(|_| due && state.verdict.is_ok()))
        };
        if let (Some(jump), None) = (jump, record.jump) {
            self.chronicle.doubt(jump).await?;
        }
        if let Some(largest) = due {
            self.chronicle.advance(largest).await?;
            self.state().advanced = Some(reading.monotonic);
        }
        Ok(())
    }

    /// The operator says that the clock is right. Answers whether there was anything to confirm.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn confirm(&self, actor: Actor, reading: Reading) -> Result<bool, StorageError> {
        self.instant(reading);
        let Err(doubt) = self.trusted() else { return Ok(false) };
        let compared = match doubt {
            ClockDoubt::Behind { recorded, .. } => ("recorded", recorded.to_string()),
            ClockDoubt::Ahead { expected, .. } => ("expected", expected.to_string()),
        };
        let details = [compared, ("confirmed", reading.system.to_string())];
        self.chronicle.confirm(reading.system, note(actor, None, "clock_confirmed", details)).await?;
        let record = self.chronicle.recorded().await?;
        self.adopt(&record, reading);
        self.instant(reading);
        Ok(true)
    }

    fn adopt(&self, record: &ClockRecord, reading: Reading) {
        let mut state = self.state();
        if record.confirmed != state.confirmed {
            // What was recorded in the moment before this process heard of it counts no more: it is recorded anew at once.
            let (largest, taken) = (Some(reading.system), Some(reading.monotonic));
            let confirmed = record.confirmed;
            *state = State { largest, taken, jump: None, verdict: Ok(()), advanced: None, confirmed };
        }
        state.jump = state.jump.or(record.jump);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a decision could do harm if a wrong clock had led to it: it issues, activates, supersedes, ends, or opens an
/// enrolment because a certificate has expired. What operator and administrators do, such as revoking, is their own
/// decision and not the clock's.
pub(crate) fn is_irreversible(facts: &[Fact], actor: &Actor) -> bool {
    let harmful = |fact: &Fact| match fact {
        Fact::RenewalStarted { basis, .. } => matches!(basis, Basis::Enrolment { .. }),
        Fact::Delivered { .. } | Fact::Declined { .. } | Fact::Deferred { .. } | Fact::Permitted { .. } => false,
        _ => true,
    };
    !matches!(actor, Actor::Operator(_) | Actor::Administrator(_)) && facts.iter().any(harmful)
}
