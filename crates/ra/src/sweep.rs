//! What time and crashes leave to do.

use koshin_renewal::State;
use koshin_types::SubjectId;
use time::{Duration, UtcDateTime};

use crate::{
    Actor, ChangeError, IssuanceError, Owed, Ra, SubjectFile,
    change::{Changed, Decided},
};

/// How many subjects one sweep looks at.
const BATCH: u32 = 500;

/// A signature is owed in the ordinary course for some milliseconds; only older ones are taken for left behind.
const GRACE: Duration = Duration::seconds(5);

impl Ra {
    /// Ends overdue renewals and signs what a crash left between intent and certificate.
    ///
    /// Failures of one subject are logged and do not keep the others back.
    ///
    /// # Errors
    ///
    /// [`ChangeError::Clock`] while the clock is not believed, [`ChangeError::Storage`] when the list of overdue subjects
    /// cannot be read.
    pub async fn sweep(&self, now: UtcDateTime) -> Result<Owed, ChangeError> {
        self.desk.clock_is_trusted()?;
        let mut owed = Owed::default();
        for id in self.desk.registry.overdue(now.saturating_sub(GRACE), BATCH).await? {
            match self.sweep_one(&id, now).await {
                Ok(one) => {
                    owed.close.extend(one.close);
                    owed.mail |= one.mail;
                }
                Err(error) => tracing::warn!(subject = %id, %error, "a subject could not be swept; it is tried again"),
            }
        }
        Ok(owed)
    }

    async fn sweep_one(&self, id: &SubjectId, now: UtcDateTime) -> Result<Owed, IssuanceError> {
        let decide = |file: &SubjectFile| -> Result<Decided, ChangeError> {
            Ok(file.holding.sweep(now, &self.desk.settings.deadlines).into())
        };
        let Changed { file, mut owed, .. } = self.desk.change(id, &Actor::System, now, decide).await?;
        let intended = file.holding.open_renewal().filter(|open| matches!(open.state, State::Intended { .. }));
        if let Some(renewal) = intended.map(|open| open.id) {
            let (_, signed) = self.finish(file, renewal, None, &Actor::System, now).await?;
            owed.mail |= signed.mail;
        }
        Ok(owed)
    }
}
