//! Revocations in memory: for tests, and for trying things out.

use std::{
    collections::BTreeMap,
    ops::Bound,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use koshin_issuance::CrlEdition;
use koshin_types::SerialNumber;

use super::source::{Editions, RevocationSource, Revoked, SourceUnavailable};

/// A source that forgets everything with the process.
#[derive(Debug, Default)]
pub struct MemoryRevocations(Mutex<State>);

#[derive(Debug, Default, Clone)]
struct State {
    revoked: BTreeMap<SerialNumber, Revoked>,
    editions: Editions,
    reservations: u64,
    asked: u64,
    away: bool,
}

impl MemoryRevocations {
    /// Records a revocation. A second one of the same certificate changes nothing: revocation is final.
    pub fn revoke(&self, revoked: Revoked) {
        self.state().revoked.entry(revoked.entry.serial).or_insert(revoked);
    }

    /// Lets every question fail, or answers again.
    pub fn set_away(&self, away: bool) {
        self.state().away = away;
    }

    /// How many numbers were reserved so far.
    pub fn reservations(&self) -> u64 {
        self.state().reservations
    }

    /// How often it was asked for pages of revocations so far.
    pub fn asked(&self) -> u64 {
        self.state().asked
    }

    /// A copy of everything as it is now, as a backup is.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Mutex::new(self.state().clone()))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answering(&self) -> Result<std::sync::MutexGuard<'_, State>, SourceUnavailable> {
        let state = self.state();
        if state.away { Err(SourceUnavailable("it was sent away".into())) } else { Ok(state) }
    }
}

#[async_trait]
impl RevocationSource for MemoryRevocations {
    async fn revocations(&self, after: Option<SerialNumber>, limit: usize) -> Result<Vec<Revoked>, SourceUnavailable> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut state = self.answering()?;
        state.asked += 1;
        Ok(state.revoked.range((from, Bound::Unbounded)).map(|(_, revoked)| *revoked).take(limit).collect())
    }

    async fn editions(&self) -> Result<Editions, SourceUnavailable> {
        Ok(self.answering()?.editions)
    }

    async fn reserve(&self, wanted: CrlEdition) -> Result<CrlEdition, SourceUnavailable> {
        let mut state = self.answering()?;
        let next = wanted.following(state.editions.reserved);
        state.editions.reserved = Some(next);
        state.reservations += 1;
        Ok(next)
    }

    async fn published(&self, edition: CrlEdition) -> Result<(), SourceUnavailable> {
        let mut state = self.answering()?;
        if state.editions.published.is_none_or(|published| published.number < edition.number) {
            state.editions.published = Some(edition);
        }
        Ok(())
    }
}
