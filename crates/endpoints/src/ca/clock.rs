//! The largest instant that the ledger recorded, kept at hand.

use std::sync::{Mutex, PoisonError};

use time::UtcDateTime;
use tokio::sync::OnceCell;

use super::ledger::{Ledger, LedgerError};

/// Read from the ledger once; afterwards what this process records is added.
#[derive(Debug, Default)]
pub(super) struct Latest(OnceCell<Mutex<Option<UtcDateTime>>>);

impl Latest {
    pub(super) async fn largest(&self, ledger: &dyn Ledger) -> Result<Option<UtcDateTime>, LedgerError> {
        let kept = self.kept(ledger).await?.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(*kept)
    }

    /// Something was recorded with this instant.
    pub(super) fn saw(&self, now: UtcDateTime) {
        // Not read yet: it will be found in the ledger.
        if let Some(kept) = self.0.get() {
            let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
            *kept = kept.max(Some(now));
        }
    }

    /// Lets this instant count, be it smaller than what was recorded.
    pub(super) async fn confirm(&self, ledger: &dyn Ledger, now: UtcDateTime) -> Result<(), LedgerError> {
        *self.kept(ledger).await?.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
        Ok(())
    }

    async fn kept(&self, ledger: &dyn Ledger) -> Result<&Mutex<Option<UtcDateTime>>, LedgerError> {
        let read = || async { Ok(Mutex::new(ledger.changes(u64::MAX, 0).await?.largest)) };
        self.0.get_or_try_init(read).await
    }
}
