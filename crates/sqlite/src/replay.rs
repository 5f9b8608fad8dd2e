//! Looking whether the audit log is a history of the machine, and what is stored.

use std::collections::BTreeMap;

use koshin_renewal::{Fact, Holding};
use time::UtcDateTime;

use crate::{
    audit::Entry,
    check::{AuditBreak, AuditError, AuditReport, walk},
    codec::instant,
    error::StoreError,
    file::{self, file_query},
    readers,
    script::Script,
    store::Store,
};

impl Store {
    /// Verifies the audit log and takes every recorded step again, as [`Holding::replay`] does; the holdings that come
    /// of it have to be the stored ones (I-35). Keeps all holdings in memory.
    ///
    /// # Errors
    ///
    /// As [`Store::audit_verify`]; [`AuditError::NotAllowed`] with the first record that is no step of the machine;
    /// [`AuditError::Differs`] with the first subject whose holding is another one.
    pub async fn audit_replay(&self) -> Result<AuditReport, AuditError> {
        const FILES: &str = file_query!("Store::audit_replay", "ORDER BY s.number, c.generation");
        let mut connection = self.database().snapshot().await?;
        let mut replay = Replay::default();
        let head = walk(&mut connection, |sequence, entry| replay.record(sequence, entry)).await?;
        let mut holdings = replay.finish()?;
        let mut subjects = 0;
        for file in file::files(&readers::all(&mut connection, Script::one(FILES)).await.map_err(StoreError::from)?)? {
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
