//! What time and crashes leave to do.

use std::collections::BTreeSet;

use koshin_renewal::State;
use koshin_types::SubjectId;
use time::{Duration, UtcDateTime};

use crate::{Actor, ChangeError, IssuanceError, Owed, Ra, SubjectFile, change::Decided};

/// How many subjects are asked for at once.
const BATCH: u32 = 500;

/// A signature is owed in the ordinary course for some milliseconds; only older ones are taken for left behind.
const GRACE: Duration = Duration::seconds(5);

/// What one sweep has found out about the CA, or about the key of one in this process.
#[derive(Clone, Copy)]
enum Ca {
    Answers,
    Fails,
}

impl Ra {
    /// Ends overdue renewals, and obtains what a crash or a lost answer left between request and certificate. What can
    /// never be issued ends its renewal as refused. With a CA elsewhere, what it may have issued for a renewal that ended
    /// meanwhile is revoked.
    ///
    /// Failures of one subject are logged and do not keep the others back, however many there are: every subject that
    /// is overdue is looked at once. While the CA gives no certificate, what is owed one is left alone; what gets none for
    /// a reason of its own is asked for less and less often, up to once a minute.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Clock`] while the clock is not believed, [`ChangeError::Storage`] when the list of overdue subjects
    /// cannot be read.
    pub async fn sweep(&self, now: UtcDateTime) -> Result<Owed, ChangeError> {
        self.desk.clock_is_trusted()?;
        let mut owed = Owed::default();
        let mut ca = Ca::Answers;
        let mut seen = BTreeSet::new();
        loop {
            // The most overdue come first, so those that could not be helped stand before all others.
            let limit = BATCH.saturating_add(u32::try_from(seen.len()).unwrap_or(u32::MAX));
            let mut overdue = self.desk.registry.overdue(now.saturating_sub(GRACE), limit).await?;
            overdue.retain(|id| !seen.contains(id));
            if overdue.is_empty() {
                break;
            }
            for id in overdue {
                match self.sweep_one(&id, ca, now).await {
                    Ok(one) => {
                        owed.close.extend(one.close);
                        owed.mail |= one.mail;
                    }
                    Err(error) if error.is_final() => {
                        tracing::error!(subject = %id, %error, "what was recorded can never be signed; it was refused");
                    }
                    Err(error) if error.is_of_everybody() => ca = Ca::Fails,
                    Err(error @ (IssuanceError::Change(_) | IssuanceError::Storage(_))) => {
                        tracing::warn!(subject = %id, %error, "a subject could not be swept; it is tried again");
                    }
                    // Said when it began, and tried less and less often.
                    Err(_) => {}
                }
                seen.insert(id);
            }
        }
        if let Ca::Answers = ca {
            self.settle_void_orders(now).await?;
        }
        Ok(owed)
    }

    async fn sweep_one(&self, id: &SubjectId, ca: Ca, now: UtcDateTime) -> Result<Owed, IssuanceError> {
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.sweep(now, &self.desk.settings.deadlines).into())
        };
        let mut changed = self.desk.change(id, &Actor::System, now, decide).await?;
        let mut owed = std::mem::take(&mut changed.owed);
        let is_owed = |state| matches!(state, State::Requested { .. } | State::Intended { .. });
        let waiting = changed.file.holding.open_renewal().filter(|open| is_owed(open.state)).map(|open| open.id);
        if let (Some(renewal), Ca::Answers) = (waiting, ca)
            && !self.dealings.rests(&renewal, now)
        {
            let (_, issued) = self.finish(changed, renewal, &Actor::System, now).await?;
            owed.mail |= issued.mail;
        }
        Ok(owed)
    }
}
