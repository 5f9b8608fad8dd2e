//! Looking whether the audit log is whole, a history of the machine, and what is stored.

use std::collections::BTreeMap;

use koshin_ra::StorageError;
use koshin_renewal::{Fact, Holding, NotAllowed};
use sqlx::SqliteConnection;
use time::UtcDateTime;

use crate::{
    audit::{self, AuditHead, Entry},
    codec::{instant, storage},
    file::{self, file_query},
    readers,
    script::Script,
    store::Store,
};

/// Records read at a time.
const PAGE: u32 = 1_000;

/// What [`Store::audit_verify`] and [`Store::audit_replay`] found in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditReport {
    /// The end of the log.
    pub head: AuditHead,
    /// Subjects whose holding was compared; 0 for [`Store::audit_verify`].
    pub subjects: u64,
}

/// The first place at which the log is not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the audit log breaks at record {sequence}: {what}")]
pub struct AuditBreak {
    /// The record.
    pub sequence: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Why a check did not come to a good end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The log was changed.
    #[error(transparent)]
    Break(#[from] AuditBreak),
    /// A record is no step that the machine allows where it stands.
    #[error("the machine does not allow record {sequence}, about {subject}")]
    NotAllowed {
        /// The record.
        sequence: u64,
        /// The subject.
        subject: String,
        /// What the machine says.
        source: Box<NotAllowed>,
    },
    /// The log gives another holding than is stored.
    #[error("what {subject} holds is not what the audit log says")]
    Differs {
        /// The subject.
        subject: String,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Store {
    /// Walks the whole audit log and compares every hash. It finds records that were changed, put in, taken out or put
    /// in another order; records cut off at the end are found by comparing [`AuditReport::head`] with a head that was
    /// kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`AuditError::Break`] with the first record that is wrong.
    pub async fn audit_verify(&self) -> Result<AuditReport, AuditError> {
        let mut connection = self.snapshot().await?;
        let head = walk(&mut connection, |_, _| Ok(())).await?;
        Ok(AuditReport { head, subjects: 0 })
    }

    /// Verifies the audit log and takes every recorded step again, as [`Holding::replay`] does; the holdings that come
    /// of it have to be the stored ones (I-35). Keeps all holdings in memory.
    ///
    /// # Errors
    ///
    /// As [`Store::audit_verify`]; [`AuditError::NotAllowed`] with the first record that is no step of the machine;
    /// [`AuditError::Differs`] with the first subject whose holding is another one.
    pub async fn audit_replay(&self) -> Result<AuditReport, AuditError> {
        const FILES: &str = file_query!("Store::audit_replay", "ORDER BY s.number, c.generation");
        let mut connection = self.snapshot().await?;
        let mut replay = Replay::default();
        let head = walk(&mut connection, |sequence, entry| replay.record(sequence, entry)).await?;
        let mut holdings = replay.finish()?;
        let mut subjects = 0;
        for file in file::files(&readers::all(&mut connection, Script::one(FILES)).await.map_err(storage)?)? {
            let id = file.file.subject.id.to_string();
            if holdings.remove(&id).unwrap_or_default() != file.file.holding {
                return Err(AuditError::Differs { subject: id });
            }
            subjects += 1;
        }
        match holdings.into_keys().next() {
            Some(subject) => Err(AuditError::Differs { subject }),
            None => Ok(AuditReport { head, subjects }),
        }
    }

    /// A connection that goes on seeing this instant's state until it is dropped.
    async fn snapshot(&self) -> Result<SqliteConnection, StorageError> {
        let mut connection = self.readers().own().await?;
        readers::all(&mut connection, Script::one("/* Store::snapshot */ BEGIN")).await.map_err(storage)?;
        Ok(connection)
    }
}

/// Walks the log from its beginning; `each` sees every record whose hash is right.
async fn walk(
    connection: &mut SqliteConnection,
    mut each: impl FnMut(u64, &Entry) -> Result<(), AuditError>,
) -> Result<AuditHead, AuditError> {
    let mut head = AuditHead::default();
    loop {
        let rows = readers::all(connection, audit::page(head.sequence, PAGE)).await.map_err(storage)?;
        for row in &rows {
            let expected = head.sequence + 1;
            let broken = |what: &str| AuditBreak { sequence: expected, what: what.to_owned() };
            let (sequence, entry, hash) = audit::stored(row).map_err(|error| broken(&error.to_string()))?;
            if sequence != expected {
                return Err(broken("the record is missing").into());
            }
            head = entry.follow(head);
            if head.hash != hash {
                return Err(broken("the hash does not match").into());
            }
            each(sequence, &entry)?;
        }
        if rows.is_empty() {
            return Ok(head);
        }
    }
}

/// Everybody's holding as far as the log was read.
#[derive(Default)]
struct Replay {
    holdings: BTreeMap<String, Holding>,
    together: Option<Together>,
}

/// Facts of one subject and one instant that stand next to each other. The facts of one commit always do.
struct Together {
    subject: String,
    at: UtcDateTime,
    first: u64,
    facts: Vec<Fact>,
}

impl Replay {
    fn record(&mut self, sequence: u64, entry: &Entry) -> Result<(), AuditError> {
        if !entry.fact {
            return self.judge();
        }
        let broken = |what: &str| AuditBreak { sequence, what: what.to_owned() };
        let subject = entry.subject.as_ref().ok_or_else(|| broken("a fact about nobody"))?;
        let fact: Fact = serde_json::from_str(&entry.body).map_err(|_| broken("the fact cannot be read"))?;
        let at = instant(entry.at, "audit.at")?;
        match &mut self.together {
            Some(together) if together.subject == *subject && together.at == at => together.facts.push(fact),
            _ => {
                self.judge()?;
                self.together = Some(Together { subject: subject.clone(), at, first: sequence, facts: vec![fact] });
            }
        }
        Ok(())
    }

    fn judge(&mut self) -> Result<(), AuditError> {
        let Some(Together { subject, at, first, facts }) = self.together.take() else { return Ok(()) };
        let holding = self.holdings.entry(subject.clone()).or_default();
        *holding = holding.replay(&facts, at).map_err(|source| AuditError::NotAllowed {
            sequence: first + source.index() as u64,
            subject,
            source: source.into(),
        })?;
        Ok(())
    }

    fn finish(mut self) -> Result<BTreeMap<String, Holding>, AuditError> {
        self.judge()?;
        Ok(self.holdings)
    }
}
