//! The port `Chronicle`.

use async_trait::async_trait;
use koshin_ra::{AuditNote, Chronicle, ClockRecord, Jump, StorageError};
use time::UtcDateTime;

use crate::{
    audit::Entry,
    codec::{Columns, millis, signed},
    error::damaged,
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
    type Refused = StorageError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StorageError>> {
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

#[async_trait]
impl Chronicle for Store {
    async fn recorded(&self) -> Result<ClockRecord, StorageError> {
        // In the order of commits the newest thousand records hold the largest instant but for seconds, at any load.
        let query = "/* Store::recorded */ SELECT c.largest, \
                     (SELECT max(newest.at) FROM (SELECT at FROM audit WHERE sequence > c.sequence \
                     ORDER BY sequence DESC LIMIT 1000) AS newest), c.confirmed, c.expected, c.found \
                     FROM clock AS c WHERE c.number = 1";
        let row = self.readers().one(Script::one(query)).await?.ok_or_else(|| damaged("clock: the row is missing"))?;
        let mut columns = Columns::of(&row);
        let largest = columns.maybe_instant("clock.largest")?;
        let newer = columns.maybe_instant("audit.at")?;
        let confirmed = columns.unsigned("clock.confirmed")?;
        let expected = columns.maybe_instant("clock.expected")?;
        let found = columns.maybe_instant("clock.found")?;
        let jump = expected.zip(found).map(|(expected, found)| Jump { expected, found });
        Ok(ClockRecord { largest: largest.max(newer.filter(|_| jump.is_none())), jump, confirmed })
    }

    async fn advance(&self, to: UtcDateTime) -> Result<(), StorageError> {
        self.write(Write::Advance { to: millis(to) }).await
    }

    async fn doubt(&self, Jump { expected, found }: Jump) -> Result<(), StorageError> {
        self.write(Write::Doubt { expected: millis(expected), found: millis(found) }).await
    }

    async fn confirm(&self, at: UtcDateTime, note: AuditNote) -> Result<(), StorageError> {
        self.write(Write::Confirm { note: Entry::note(&note, at) }).await
    }
}
