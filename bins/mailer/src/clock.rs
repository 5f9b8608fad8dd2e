//! The clock by which mails are sent: the system's, but never before what the database recorded.

use std::{
    sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError},
    time::{Duration as Elapsed, Instant},
};

use anyhow::Context as _;
use koshin_expiry::{ClockDoubt, ClockGuard, Reading, Watch};
use koshin_operator::{instant::rfc3339, machine, post::Believed};
use koshin_sqlite::{Store, StoreError};
use time::UtcDateTime;

use crate::exit::{Fault, Status};

/// One look at both clocks. The monotonic one stands still while the machine sleeps, so a long sleep is a jump.
fn reading() -> Reading {
    static BEGUN: LazyLock<Instant> = LazyLock::new(Instant::now);
    Reading { monotonic: BEGUN.elapsed(), system: machine::now() }
}

/// A clock that is watched. Clones are one clock.
#[derive(Clone)]
pub(crate) struct Clock {
    store: Arc<Store>,
    watch: Arc<Mutex<Watch>>,
}

/// How often the watch and the database compare notes.
const KEEP_EVERY: Elapsed = Elapsed::from_secs(1);
/// After how many rounds a doubt that remains is logged again: ten minutes.
const SAY_AGAIN: u32 = 600;

impl Clock {
    /// Begins to watch, by what the database remembers. Nothing is written.
    pub(crate) async fn begin(store: &Arc<Store>) -> anyhow::Result<Self> {
        let record = store.clock_recorded().await.context("the recorded time cannot be read")?;
        let watch = Watch::begin(ClockGuard::default(), &record, reading());
        Ok(Self { store: Arc::clone(store), watch: Arc::new(Mutex::new(watch)) })
    }

    /// Exchanges what is known with the database: a jump at once, the largest instant once a minute.
    pub(crate) async fn compare_notes(&self) -> Result<(), StoreError> {
        let record = self.store.clock_recorded().await?;
        let reading = reading();
        let dues = {
            let mut watch = self.watch();
            watch.adopt(&record, reading);
            watch.instant(reading);
            watch.dues(&record, reading)
        };
        if let Some(jump) = dues.doubt {
            self.store.clock_doubt(jump).await?;
        }
        if let Some(largest) = dues.advance {
            self.store.clock_advance(largest).await?;
            self.watch().advanced(reading);
        }
        Ok(())
    }

    /// The present instant, believed or not, and what is thought of it.
    pub(crate) fn judged(&self) -> (UtcDateTime, Result<(), ClockDoubt>) {
        let mut watch = self.watch();
        (watch.instant(reading()), watch.trusted())
    }

    /// The present instant, for what cannot be undone.
    pub(crate) fn now(&self) -> Result<UtcDateTime, Fault> {
        let (now, verdict) = self.judged();
        let remedy = "nothing is sent; set the clock right, and if it is right run `koshin clock confirm`";
        verdict.map(|()| now).map_err(|doubt| Fault::new(Status::State, format!("{doubt}: {remedy}")))
    }

    /// The same for whoever sends.
    pub(crate) fn believed(&self) -> Believed {
        let clock = self.clone();
        Arc::new(move || {
            let (now, verdict) = clock.judged();
            verdict.ok().map(|()| now)
        })
    }

    /// Compares notes until the future is ready, and says what it thinks of the clock.
    pub(crate) async fn keep(self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        let mut rounds_in_doubt = 0_u32;
        loop {
            if let Err(error) = self.compare_notes().await {
                tracing::error!(error = ?error, "the time cannot be recorded");
            }
            match self.now() {
                Err(doubt) => {
                    if rounds_in_doubt.is_multiple_of(SAY_AGAIN) {
                        tracing::error!("{doubt}");
                    }
                    rounds_in_doubt = rounds_in_doubt.wrapping_add(1);
                }
                Ok(now) if rounds_in_doubt > 0 => {
                    tracing::warn!(now = rfc3339(now), "the clock is believed again; the mails go on");
                    rounds_in_doubt = 0;
                }
                Ok(_) => {}
            }
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(KEEP_EVERY) => {}
            }
        }
    }

    fn watch(&self) -> MutexGuard<'_, Watch> {
        self.watch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
