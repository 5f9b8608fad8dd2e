//! What is known of the time; with the feature `registry` it is the port `Chronicle`.

use async_trait::async_trait;
use koshin_expiry::{ClockRecord, Jump};
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, millis, signed},
    error::{StoreError, damaged},
    readers::Readers,
    script::Script,
    store::Store,
    writer::{Failed, Job, Transaction},
};

/// A change of what is known of the time.
enum Write {
    Advance { to: i64 },
    Doubt { expected: i64, found: i64 },
    Confirm { note: Entry },
}

#[async_trait]
impl Job for Write {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let mut script = Script::default();
        match self {
            Self::Advance { to } => {
                script.push(
                    "/* clock::Write::run */ UPDATE clock SET largest = max(coalesce(largest, ?), ?), sequence = ? \
                     WHERE number = 1 AND expected IS NULL",
                );
                script.bind(*to).bind(*to).bind(signed(tx.head.sequence));
            }
            Self::Doubt { expected, found } => {
                script.push(
                    "/* clock::Write::run */ UPDATE clock SET largest = ?, sequence = ?, expected = ?, found = ? \
                     WHERE number = 1 AND expected IS NULL",
                );
                script.bind(*expected).bind(signed(tx.head.sequence)).bind(*expected).bind(*found);
            }
            Self::Confirm { note } => {
                let at = note.at;
                let sequence = signed(note.clone().append(&mut tx.head, &mut script));
                script.push(
                    "/* clock::Write::run */ UPDATE clock SET largest = ?, sequence = ?, confirmed = ?, \
                     expected = NULL, found = NULL WHERE number = 1",
                );
                script.bind(at).bind(sequence).bind(sequence);
            }
        }
        tx.write_last(script).await?;
        Ok(())
    }
}

/// What is remembered of the time.
pub(crate) async fn recorded(readers: &Readers) -> Result<ClockRecord, StoreError> {
    // In the order of commits the newest thousand records hold the largest instant but for seconds, at any load.
    let query = "/* clock::recorded */ SELECT c.largest, \
                 (SELECT max(newest.at) FROM (SELECT at FROM audit WHERE sequence > c.sequence \
                 ORDER BY sequence DESC LIMIT 1000) AS newest), c.confirmed, c.expected, c.found \
                 FROM clock AS c WHERE c.number = 1";
    let row = readers.one(Script::one(query)).await?.ok_or_else(|| damaged("clock: the row is missing"))?;
    let mut columns = Columns::of(&row);
    let largest = columns.maybe_instant("clock.largest")?;
    let newer = columns.maybe_instant("audit.at")?;
    let confirmed = columns.unsigned("clock.confirmed")?;
    let expected = columns.maybe_instant("clock.expected")?;
    let found = columns.maybe_instant("clock.found")?;
    let jump = expected.zip(found).map(|(expected, found)| Jump { expected, found });
    Ok(ClockRecord { largest: largest.max(newer.filter(|_| jump.is_none())), jump, confirmed })
}

impl Store {
    /// What is remembered of the time, for a process that keeps a [`Watch`](koshin_expiry::Watch) on it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn clock_recorded(&self) -> Result<ClockRecord, StoreError> {
        recorded(self.readers()).await
    }

    /// Records an instant that was believed. The largest does not fall by it; while a jump is unconfirmed nothing happens.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn clock_advance(&self, to: UtcDateTime) -> Result<(), StoreError> {
        self.write(Write::Advance { to: millis(to) }).await
    }

    /// Records a jump, until somebody confirms it. One that is unconfirmed already stays as it is.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub async fn clock_doubt(&self, Jump { expected, found }: Jump) -> Result<(), StoreError> {
        self.write(Write::Doubt { expected: millis(expected), found: millis(found) }).await
    }
}

#[cfg(feature = "registry")]
mod chronicle {
    use koshin_ra::{AuditNote, Chronicle, StorageError};

    use super::{ClockRecord, Entry, Jump, Store, UtcDateTime, Write, async_trait};

    #[async_trait]
    impl Chronicle for Store {
        async fn recorded(&self) -> Result<ClockRecord, StorageError> {
            Ok(self.clock_recorded().await?)
        }

        async fn advance(&self, to: UtcDateTime) -> Result<(), StorageError> {
            Ok(self.clock_advance(to).await?)
        }

        async fn doubt(&self, jump: Jump) -> Result<(), StorageError> {
            Ok(self.clock_doubt(jump).await?)
        }

        async fn confirm(&self, at: UtcDateTime, note: AuditNote) -> Result<(), StorageError> {
            Ok(self.write(Write::Confirm { note: Entry::note(&note, at) }).await?)
        }
    }
}
