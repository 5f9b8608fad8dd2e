//! The dealings with a CA elsewhere.

use async_trait::async_trait;
use koshin_types::RenewalId;
use time::UtcDateTime;

use super::{MemoryStore, State};
use crate::{Correspondence, Order, Progress, Reached, StorageError};

#[async_trait]
impl Correspondence for MemoryStore {
    async fn order(&self, renewal: &RenewalId) -> Result<Option<Order>, StorageError> {
        Ok(self.state().orders.iter().find(|order| order.renewal == *renewal).cloned())
    }

    async fn void(&self, limit: u32) -> Result<Vec<Order>, StorageError> {
        let state = self.state();
        let void = state.orders.iter().filter(|order| !state.is_open(&order.renewal)).cloned();
        Ok(void.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect())
    }

    async fn waiting_since(&self) -> Result<Option<UtcDateTime>, StorageError> {
        Ok(self.state().orders.iter().map(|order| order.at).min())
    }

    async fn forget(&self, renewal: &RenewalId) -> Result<(), StorageError> {
        let mut state = self.state();
        if !state.is_open(renewal) {
            state.orders.retain(|order| order.renewal != *renewal);
        }
        Ok(())
    }

    async fn progress(&self) -> Result<Progress, StorageError> {
        Ok(self.state().progress)
    }

    async fn reached(&self, place: Reached) -> Result<(), StorageError> {
        let mut state = self.state();
        match place {
            Reached::Told(told) => state.progress.told = told,
            Reached::Heard(heard) => state.progress.heard = heard,
        }
        Ok(())
    }
}

impl State {
    fn is_open(&self, renewal: &RenewalId) -> bool {
        let file = self.renewals.get(renewal).and_then(|id| self.files.get(id));
        file.and_then(|file| file.holding.open_renewal()).is_some_and(|open| open.id == *renewal)
    }
}
