//! One at a time for each order, so that a repeated request waits for the first instead of signing beside it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

use super::ledger::OrderKey;

/// The orders that are being worked on in this process. Other processes are kept apart by the ledger.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<OrderKey, Weak<Turn<()>>>>);

impl Turns {
    /// How many orders are remembered before those that nobody works on are forgotten.
    const REMEMBERED: usize = 256;

    /// Waits until nobody else here works on this order.
    pub(super) async fn of(&self, order: OrderKey) -> OwnedMutexGuard<()> {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if turns.len() >= Self::REMEMBERED && turns.len().is_power_of_two() {
                turns.retain(|_, turn| turn.strong_count() > 0);
            }
            let known = turns.get(&order).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let turn = Arc::new(Turn::new(()));
                turns.insert(order, Arc::downgrade(&turn));
                turn
            })
        };
        turn.lock_owned().await
    }
}
