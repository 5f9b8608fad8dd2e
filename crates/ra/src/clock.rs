//! Whether the clock is believed: what storage remembers of the time, and the watch that a process keeps.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use koshin_expiry::{ClockDoubt, ClockGuard, Watch};
pub use koshin_expiry::{ClockRecord, Jump, Reading};
use koshin_renewal::{Basis, Fact};
use time::UtcDateTime;

use crate::{Actor, AuditNote, StorageError, sign_in::note};

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

/// A process's watch over its clock. All instants that a service acts on come out of [`ClockWatch::instant`], so that
/// every reading is judged; while one is doubted, [`Ra`](crate::Ra) does nothing that cannot be undone.
pub struct ClockWatch {
    chronicle: Arc<dyn Chronicle>,
    watch: Mutex<Watch>,
}

impl fmt::Debug for ClockWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClockWatch").field("trusted", &self.trusted()).finish_non_exhaustive()
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
        let watch = Watch::begin(guard, &chronicle.recorded().await?, reading);
        Ok(Self { chronicle, watch: Mutex::new(watch) })
    }

    /// Judges a reading, and answers with the instant to go on with: never before the largest that is known (I-41).
    pub fn instant(&self, reading: Reading) -> UtcDateTime {
        self.watch().instant(reading)
    }

    /// Whether the last reading was believed.
    ///
    /// # Errors
    ///
    /// [`ClockDoubt`] with what was compared.
    pub fn trusted(&self) -> Result<(), ClockDoubt> {
        self.watch().trusted()
    }

    /// The largest instant that was believed, as far as this process knows.
    pub fn largest(&self) -> Option<UtcDateTime> {
        self.watch().largest()
    }

    /// Exchanges what is known with storage: the largest instant once a minute, a new jump at once; and learns what
    /// other processes have confirmed or doubted. To be called every second.
    ///
    /// # Errors
    ///
    /// [`StorageError`]; the next call tries again.
    pub async fn keep(&self, reading: Reading) -> Result<(), StorageError> {
        let record = self.chronicle.recorded().await?;
        let dues = {
            let mut watch = self.watch();
            watch.adopt(&record, reading);
            watch.instant(reading);
            watch.dues(&record, reading)
        };
        if let Some(jump) = dues.doubt {
            self.chronicle.doubt(jump).await?;
        }
        if let Some(largest) = dues.advance {
            self.chronicle.advance(largest).await?;
            self.watch().advanced(reading);
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
        let mut watch = self.watch();
        watch.adopt(&record, reading);
        watch.instant(reading);
        Ok(true)
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
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
