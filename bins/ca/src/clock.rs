//! The clock by which the CA signs: the system's, but never before what the ledger recorded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;
use koshin_endpoints::{Reading, ca::Ledger as _};
use koshin_expiry::{ClockDoubt, ClockGuard, ClockRecord, Reading as Look, Watch};
use koshin_operator::clock::reading;
use koshin_sqlite::LedgerStore;
use time::UtcDateTime;

/// How the ledger's audit log says that somebody vouched for the clock.
const CONFIRMED: &str = "clock_confirmed";

/// A clock that is watched. Clones are one clock.
#[derive(Clone)]
pub(crate) struct Clock(Arc<Inner>);

struct Inner {
    store: LedgerStore,
    state: Mutex<State>,
}

struct State {
    watch: Watch,
    /// What the ledger remembers, as far as this process knows. A jump is remembered by the process that saw it.
    record: ClockRecord,
    /// The newest audit record that was looked at.
    seen: u64,
}

impl Clock {
    /// Begins to watch: the first reading is judged by what is recorded.
    pub(crate) async fn open(store: &LedgerStore) -> anyhow::Result<Self> {
        let unread = "the recorded time cannot be read";
        let seen = store.audit_head().await.context(unread)?.sequence;
        let largest = store.changes(u64::MAX, 0).await.context(unread)?.largest;
        let record = ClockRecord { largest, ..ClockRecord::default() };
        let watch = Watch::begin(ClockGuard::default(), &record, reading());
        Ok(Self(Arc::new(Inner { store: store.clone(), state: Mutex::new(State { watch, record, seen }) })))
    }

    /// The present instant. Every call is a judgement of the clock.
    pub(crate) fn now(&self) -> UtcDateTime {
        self.judge(reading())
    }

    fn judge(&self, look: Look) -> UtcDateTime {
        let watch = &mut self.state().watch;
        let instant = watch.instant(look);
        // An instant that is not believed is not given out either: what is recorded meanwhile bears the last good one.
        match (watch.trusted(), watch.largest()) {
            (Err(ClockDoubt::Ahead { .. }), Some(largest)) => largest,
            _ => instant,
        }
    }

    /// Whether the clock is believed now.
    pub(crate) fn trusted(&self) -> Result<(), ClockDoubt> {
        self.now();
        self.state().watch.trusted()
    }

    /// The same, for what signs by itself.
    pub(crate) fn reading(&self) -> Reading {
        let now = self.now();
        if self.state().watch.trusted().is_ok() { Reading::Believed(now) } else { Reading::Doubted(now) }
    }

    /// The same as a function.
    pub(crate) fn function(&self) -> Arc<dyn Fn() -> UtcDateTime + Send + Sync> {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    /// The largest instant that is recorded or was believed, as far as this process knows.
    pub(crate) fn recorded(&self) -> Option<UtcDateTime> {
        self.state().watch.largest()
    }

    /// The operator says that the clock is right. It is recorded whatever this process thinks of it: a running service may
    /// have seen a jump that a new process knows nothing of. Answers whether this one was in doubt.
    pub(crate) async fn confirm(&self, by: &str) -> anyhow::Result<bool> {
        let doubted = self.trusted().is_err();
        self.0.store.confirm_clock(by, reading().system).await?;
        self.look_for_confirmation().await?;
        Ok(doubted)
    }

    /// Exchanges what is known with the ledger: the largest instant once a minute; and learns that another process
    /// vouched for the clock. Answers with that instant. To be called every second.
    pub(crate) async fn keep(&self) -> anyhow::Result<Option<UtcDateTime>> {
        let confirmed = if self.trusted().is_err() { self.look_for_confirmation().await? } else { None };
        let due = {
            let state = self.state();
            state.watch.dues(&state.record, reading()).advance
        };
        if let Some(largest) = due {
            self.0.store.advance(largest).await?;
            let seen = self.0.store.audit_head().await?.sequence;
            let mut state = self.state();
            state.watch.advanced(reading());
            state.seen = seen;
        }
        Ok(confirmed)
    }

    async fn look_for_confirmation(&self) -> anyhow::Result<Option<UtcDateTime>> {
        let mut seen = self.state().seen;
        let mut confirmed: Option<(u64, UtcDateTime)> = None;
        loop {
            let records = self.0.store.audit_records(seen, 1000).await?;
            let Some(last) = records.last() else { break };
            seen = last.sequence;
            let vouched = records.iter().rfind(|record| record.word == CONFIRMED);
            confirmed = vouched.map(|record| (record.sequence, record.at)).or(confirmed);
        }
        let mut state = self.state();
        state.seen = seen;
        if let Some((sequence, at)) = confirmed {
            let State { watch, record, .. } = &mut *state;
            *record = ClockRecord { largest: Some(at), confirmed: sequence, jump: None };
            watch.adopt(record, reading());
        }
        Ok(confirmed.map(|(_, at)| at))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use koshin_operator::machine;
    use koshin_sqlite::Options;
    use time::Duration;

    use super::*;

    async fn clock() -> (tempfile::TempDir, Clock) {
        let folder = tempfile::tempdir().unwrap();
        let store = LedgerStore::open(&folder.path().join("ca.db"), &Options::default()).await.unwrap();
        let clock = Clock::open(&store).await.unwrap();
        (folder, clock)
    }

    #[tokio::test]
    async fn a_clock_that_went_back_gives_out_no_smaller_instant() {
        let (_folder, clock) = clock().await;
        let now = clock.now();
        let back = now - Duration::hours(3);
        assert_eq!(clock.judge(Look { system: back, ..reading() }), now);
        assert!(matches!(clock.state().watch.trusted(), Err(ClockDoubt::Behind { .. })));
        // It stands right again: nothing has to be said.
        assert!(clock.trusted().is_ok());
    }

    #[tokio::test]
    async fn a_jump_stays_one_until_it_is_confirmed() {
        let (_folder, clock) = clock().await;
        let now = clock.now();
        let ahead = now + Duration::hours(3);
        assert_eq!(
            clock.judge(Look { system: ahead, ..reading() }),
            now,
            "what is recorded meanwhile bears the last good instant"
        );
        assert!(clock.trusted().is_err(), "although it stands right now");
        assert!(matches!(clock.reading(), Reading::Doubted(_)));
        // Another process confirms.
        let other = Clock::open(&clock.0.store).await.unwrap();
        clock.0.store.confirm_clock("operator:x", other.now()).await.unwrap();
        assert!(clock.keep().await.unwrap().is_some());
        assert!(clock.trusted().is_ok());
    }

    #[tokio::test]
    async fn what_was_recorded_is_known_to_the_next_process() {
        let (_folder, clock) = clock().await;
        let far = machine::now() + Duration::days(2);
        clock.0.store.confirm_clock("operator:x", far).await.unwrap();
        let next = Clock::open(&clock.0.store).await.unwrap();
        assert!(matches!(next.trusted(), Err(ClockDoubt::Behind { .. })));
        assert!(next.confirm("operator:x").await.unwrap());
        assert!(next.trusted().is_ok() && !next.confirm("operator:x").await.unwrap());
    }
}
