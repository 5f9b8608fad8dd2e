//! The clock by which a database is worked on.

use std::{sync::Arc, time::Duration as Elapsed};

use anyhow::Context as _;
use koshin_expiry::{ClockDoubt, ClockGuard};
use koshin_operator::{clock::reading, instant::rfc3339, machine, post::Believed};
use koshin_ra::{Actor, ClockWatch, NoEntropy, StorageError};
use koshin_sqlite::Store;
use time::UtcDateTime;

/// Who says that a clock is right that could not be believed.
#[derive(Debug, Clone)]
pub(crate) enum Confirms {
    /// The operator, with `koshin clock confirm`.
    Operator,
    /// Nobody has to: a demonstration lies still for months, on a machine that sleeps, and harms nobody.
    Itself,
}

/// The clock by which a database is worked on: the system's, but never before what was recorded. Clones are one clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    watch: Arc<ClockWatch>,
    confirms: Confirms,
}

/// How often the watch and the database compare notes.
const KEEP_EVERY: Elapsed = Elapsed::from_secs(1);
/// After how many rounds a doubt that remains is logged again: ten minutes.
const SAY_AGAIN: u32 = 600;

impl Clock {
    /// Begins to watch. What is in doubt now is remembered, so that nothing recorded meanwhile hides it.
    pub(crate) async fn open(store: &Arc<Store>, confirms: Confirms) -> anyhow::Result<Self> {
        let watch = ClockWatch::begin(store.clone(), ClockGuard::default(), reading()).await;
        let watch = watch.context("the recorded time cannot be read")?;
        let clock = Self { watch: Arc::new(watch), confirms };
        if clock.trusted().is_err() {
            clock.compare_notes().await?;
        }
        Ok(clock)
    }

    /// The present instant. Every call is a judgement of the clock.
    pub(crate) fn now(&self) -> UtcDateTime {
        self.watch.instant(reading())
    }

    /// Whether the clock is believed now, so that what cannot be undone may be done.
    pub(crate) fn trusted(&self) -> Result<(), ClockDoubt> {
        self.now();
        self.watch.trusted()
    }

    /// The present instant where it is believed, for whoever sends mails.
    pub(crate) fn believed(&self) -> Believed {
        let clock = self.clone();
        Arc::new(move || {
            let now = clock.now();
            clock.watch.trusted().ok().map(|()| now)
        })
    }

    /// Both, for who signs lists and answers.
    pub(crate) fn reading(&self) -> koshin_endpoints::Reading {
        let now = self.now();
        match self.watch.trusted() {
            Ok(()) => koshin_endpoints::Reading::Believed(now),
            Err(_) => koshin_endpoints::Reading::Doubted(now),
        }
    }

    /// The same for the TLS edge, which stamps the requests.
    pub(crate) fn edge(&self) -> koshin_edge::Now {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }

    pub(crate) fn watch(&self) -> Arc<ClockWatch> {
        Arc::clone(&self.watch)
    }

    /// Somebody says that the clock is right. Answers whether it was in doubt.
    pub(crate) async fn confirm(&self, actor: Actor) -> Result<bool, StorageError> {
        self.watch.confirm(actor, reading()).await
    }

    /// Compares notes with the database until the future is ready, and says what it thinks of the clock.
    pub(crate) async fn keep(self, stopped: impl Future<Output = ()>) {
        tokio::pin!(stopped);
        let mut rounds_in_doubt = 0_u32;
        loop {
            if let Err(error) = self.compare_notes().await {
                tracing::error!(error = ?error, "the time cannot be recorded");
            }
            match self.trusted() {
                Err(doubt) => {
                    if rounds_in_doubt.is_multiple_of(SAY_AGAIN) {
                        doubted(doubt);
                    }
                    rounds_in_doubt = rounds_in_doubt.wrapping_add(1);
                }
                Ok(()) if rounds_in_doubt > 0 => {
                    tracing::warn!(now = rfc3339(self.now()), "the clock is believed again; everything goes on");
                    rounds_in_doubt = 0;
                }
                Ok(()) => {}
            }
            tokio::select! {
                () = &mut stopped => return,
                () = tokio::time::sleep(KEEP_EVERY) => {}
            }
        }
    }

    async fn compare_notes(&self) -> Result<(), StorageError> {
        self.watch.keep(reading()).await?;
        if let (Err(doubt), Confirms::Itself) = (self.trusted(), &self.confirms) {
            self.confirm(Actor::Operator("demo".into())).await?;
            eprintln!("koshin: {doubt}; the demonstration goes on with what the clock says");
        }
        Ok(())
    }
}

/// Logs both instants, and the command that ends the doubt.
pub(crate) fn doubted(doubt: ClockDoubt) {
    let (now, compared) = match doubt {
        ClockDoubt::Behind { now, recorded } => (now, recorded),
        ClockDoubt::Ahead { now, expected } => (now, expected),
    };
    tracing::error!(
        now = rfc3339(now),
        recorded = rfc3339(compared),
        "{doubt}: nothing is issued, activated, ended, mailed or published; set the clock right, and if it is right run \
         `koshin clock confirm`"
    );
}

/// The operating system's random source, as use cases take it.
pub(crate) fn entropy(octets: &mut [u8]) -> Result<(), NoEntropy> {
    machine::entropy(octets).map_err(|_| NoEntropy)
}
