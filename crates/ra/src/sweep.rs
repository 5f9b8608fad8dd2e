//! What time and crashes leave to do.

use std::collections::BTreeSet;

use koshin_renewal::State;
use koshin_types::SubjectId;
use time::{Duration, UtcDateTime};

use crate::{
    Actor, ChangeError, IssuanceError, Owed, Ra, SubjectFile,
    change::{Changed, Decided},
};

/// How many subjects are asked for at once.
const BATCH: u32 = 500;

/// A signature is owed in the ordinary course for some milliseconds; only older ones are taken for left behind.
const GRACE: Duration = Duration::seconds(5);

/// What one sweep has found out about the CA's key.
#[derive(Clone, Copy)]
enum CaKey {
    Answers,
    Fails,
}

impl Ra {
    /// Ends overdue renewals and signs what a crash left between intent and certificate. An intent that can never be
    /// signed ends its renewal as refused.
    ///
    /// Failures of one subject are logged and do not keep the others back, however many there are: every subject that
    /// is overdue is looked at once. While the CA's key gives no signature, what is owed one is left alone.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Clock`] while the clock is not believed, [`ChangeError::Storage`] when the list of overdue subjects
    /// cannot be read.
    pub async fn sweep(&self, now: UtcDateTime) -> Result<Owed, ChangeError> {
        self.desk.clock_is_trusted()?;
        let mut owed = Owed::default();
        let mut key = CaKey::Answers;
        let mut seen = BTreeSet::new();
        loop {
            // The most overdue come first, so those that could not be helped stand before all others.
            let limit = BATCH.saturating_add(u32::try_from(seen.len()).unwrap_or(u32::MAX));
            let mut overdue = self.desk.registry.overdue(now.saturating_sub(GRACE), limit).await?;
            overdue.retain(|id| !seen.contains(id));
            if overdue.is_empty() {
                return Ok(owed);
            }
            for id in overdue {
                match self.sweep_one(&id, key, now).await {
                    Ok(one) => {
                        owed.close.extend(one.close);
                        owed.mail |= one.mail;
                    }
                    Err(error) if error.is_final() => {
                        tracing::error!(subject = %id, %error, "what was recorded can never be signed; it was refused");
                    }
                    Err(error) => {
                        if let IssuanceError::Issue(_) = error {
                            key = CaKey::Fails;
                        }
                        tracing::warn!(subject = %id, %error, "a subject could not be swept; it is tried again");
                    }
                }
                seen.insert(id);
            }
        }
    }

    async fn sweep_one(&self, id: &SubjectId, key: CaKey, now: UtcDateTime) -> Result<Owed, IssuanceError> {
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.sweep(now, &self.desk.settings.deadlines).into())
        };
        let Changed { file, mut owed, .. } = self.desk.change(id, &Actor::System, now, decide).await?;
        let intended = file.holding.open_renewal().filter(|open| matches!(open.state, State::Intended { .. }));
        if let (Some(renewal), CaKey::Answers) = (intended.map(|open| open.id), key) {
            let (_, signed) = self.finish(file, renewal, None, &Actor::System, now).await?;
            owed.mail |= signed.mail;
        }
        Ok(owed)
    }
}
