//! One open file: a writer, some readers, an audit log, a witness.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use tokio::{sync::OnceCell, task::AbortHandle};

use crate::{
    audit::{self, AuditHead, AuditRecord},
    codec::{Columns, signed},
    error::{StoreError, damaged},
    open::{self, OpenError, Schema},
    readers::Readers,
    script::Script,
    witness::{NotReconciled, Standing, Testimony, Told, Witness, WitnessSilent, Witnessed},
    writer::{Failed, Job, Stats, Transaction, Writer},
};

/// How often the witness looks whether something changed.
const WATCH: Duration = Duration::from_secs(5);

/// How a file is opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Connections that read, each with its own thread and cache: 4 by default.
    pub readers: u32,
    /// Jobs that may wait for the writer before callers wait to be queued: 1,024 by default.
    pub queue: usize,
    /// How long one try to write waits for another process: 2 seconds by default. There are three tries.
    pub busy_timeout: Duration,
    /// The file that remembers how far the database has come, for the case that an older copy takes its place. By default
    /// it lies beside the database, with `.witness` behind its name. No backup may bring it back.
    pub witness: Option<PathBuf>,
}

impl Default for Options {
    /// ```
    /// let options = koshin_sqlite::Options::default();
    /// assert_eq!((options.readers, options.queue, options.busy_timeout.as_secs()), (4, 1024, 2));
    /// ```
    fn default() -> Self {
        Self { readers: 4, queue: 1024, busy_timeout: Duration::from_secs(2), witness: None }
    }
}

pub(crate) struct Database {
    shared: Arc<Shared>,
    watch: Option<AbortHandle>,
}

struct Shared {
    /// `None` where nothing may be written.
    writer: Option<Writer>,
    readers: Readers,
    testimony: &'static str,
    witness: Arc<Witness>,
    /// Whether it was found to be current. It stays so.
    current: AtomicBool,
    /// Set before the first write of this process: the witness knows that it is no longer closed, unless it is silent.
    begun: OnceCell<()>,
    /// Why the witness learns nothing at the moment.
    silent: Mutex<Option<WitnessSilent>>,
}

impl Drop for Database {
    fn drop(&mut self) {
        self.watch.as_ref().inspect(|watch| watch.abort());
    }
}

impl Database {
    pub(crate) async fn open(path: &Path, schema: &Schema, options: &Options) -> Result<Self, OpenError> {
        let path = &open::resolved(path)?;
        let (connection, reading) = open::open(path, schema, options).await?;
        let witness = Arc::new(Witness::of(path, options.witness.as_deref()));
        witness
            .try_append()
            .map_err(|source| OpenError::WitnessReadOnly { path: witness.path().to_owned(), source })?;
        let failed = |error| OpenError::from_sqlx(path, error);
        let readers = Readers::open(reading, options.readers).await.map_err(failed)?;
        let shared = Arc::new(Shared {
            writer: Some(Writer::start(connection, options.queue)),
            readers,
            testimony: schema.testimony,
            witness,
            current: AtomicBool::new(false),
            begun: OnceCell::new(),
            silent: Mutex::default(),
        });
        let watch = tokio::spawn(watch(Arc::downgrade(&shared))).abort_handle();
        let database = Self { shared, watch: Some(watch) };
        let unreadable = |error: StoreError| OpenError::Witness {
            path: database.shared.witness.path().to_owned(),
            source: match error {
                StoreError::Unavailable(source) => source,
                damaged @ StoreError::Damaged { .. } => Box::new(damaged),
            },
        };
        database.standing().await.map_err(unreadable)?;
        Ok(database)
    }

    /// For reading only: neither the file nor its witness changes, and what would write is answered as unavailable.
    #[cfg(feature = "outbox")]
    pub(crate) async fn view(path: &Path, schema: &Schema, options: &Options) -> Result<Self, OpenError> {
        let path = &open::resolved(path)?;
        let reading = open::view(path, schema, options).await?;
        let failed = |error| OpenError::from_sqlx(path, error);
        let shared = Arc::new(Shared {
            writer: None,
            readers: Readers::open(reading, options.readers).await.map_err(failed)?,
            testimony: schema.testimony,
            witness: Arc::new(Witness::of(path, options.witness.as_deref())),
            current: AtomicBool::new(false),
            begun: OnceCell::new(),
            silent: Mutex::default(),
        });
        Ok(Self { shared, watch: None })
    }

    pub(crate) async fn shut_down(&self) {
        self.watch.as_ref().inspect(|watch| watch.abort());
        if let Some(writer) = &self.shared.writer {
            writer.close().await;
        }
        if self.shared.begun.initialized()
            && let Err(error) = self.shared.testify(true).await
        {
            tracing::warn!(%error, "the witness was not told that the database is closed");
        }
        self.shared.readers.close().await;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.writer.as_ref().map(Writer::stats).unwrap_or_default()
    }

    pub(crate) async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        audit::head(self.readers().one(Script::one(audit::HEAD)).await?.as_ref())
    }

    pub(crate) async fn audit_records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.readers().all(audit::page(after, limit)).await?.iter().map(audit::record).collect()
    }

    pub(crate) async fn write<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        let Some(writer) = &self.shared.writer else { return Err(StoreError::Unavailable(Box::new(OnlyRead)).into()) };
        self.shared.begin().await?;
        writer.run(job).await
    }

    #[cfg(feature = "registry")]
    pub(crate) fn outsiders(&self) -> Arc<crate::writer::Outsiders> {
        self.shared.writer.as_ref().map(Writer::outsiders).unwrap_or_default()
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.shared.readers
    }

    /// Whether this is the database that was written last. Asks the files until it is.
    pub(crate) async fn standing(&self) -> Result<Standing, StoreError> {
        if self.is_current() {
            return Ok(Standing::Current);
        }
        // The witness first: another process may write between the two, and is not to look as if it had gone ahead.
        let witness = Arc::clone(&self.shared.witness);
        let told = blocking(move || witness.told()).await?;
        let mine = self.testimony().await?;
        let witness = match told {
            // The power went off while its first line was written, and nobody went on because of it.
            Told::Illegible if mine.is_blank() => None,
            told => told.seen().map_err(|error| StoreError::Unavailable(Box::new(error)))?,
        };
        let there = match witness {
            Some(seen) => self.hash_at(seen.head.sequence).await?,
            None => None,
        };
        let standing = mine.beside(witness.as_ref(), there);
        if standing == Standing::Current {
            self.now_current(&mine).await?;
        }
        Ok(standing)
    }

    /// Refuses what uses up serial numbers, keys and list numbers while something may be missing.
    pub(crate) async fn has_to_be_current(&self) -> Result<(), StoreError> {
        match self.standing().await? {
            Standing::Current => Ok(()),
            Standing::Behind(_) => Err(StoreError::Unavailable(Box::new(NotReconciled))),
        }
    }

    /// Refuses what is issued, while something may be missing or the witness would not learn of it.
    pub(crate) async fn may_issue(&self) -> Result<(), StoreError> {
        self.has_to_be_current().await?;
        self.shared.begin().await?;
        // It may have been mended since.
        if self.silent().is_some() { self.shared.testify(false).await } else { Ok(()) }
    }

    /// Why the witness learns nothing at the moment, if it is so.
    pub(crate) fn silent(&self) -> Option<WitnessSilent> {
        self.shared.silent().clone()
    }

    pub(crate) async fn testimony(&self) -> Result<Testimony, StoreError> {
        self.shared.own_testimony().await
    }

    /// What the witness saw last.
    pub(crate) async fn newest(&self) -> Result<Option<Witnessed>, StoreError> {
        let witness = Arc::clone(&self.shared.witness);
        blocking(move || witness.newest()).await
    }

    /// Tells the witness how far it has come, before somebody else learns of it; unless it is silent.
    pub(crate) async fn testify(&self) -> Result<(), StoreError> {
        self.shared.unless_silent(self.shared.testify(false).await)
    }

    async fn now_current(&self, mine: &Testimony) -> Result<(), StoreError> {
        self.shared.current.store(true, Ordering::Release);
        if mine.copied || !mine.witnessed {
            self.shared.testify(false).await?;
            return self.write(Settle).await;
        }
        if self.shared.begun.initialized() { self.shared.testify(false).await } else { Ok(()) }
    }

    /// A reconciliation was stored: goes on from here, and tells the witness.
    pub(crate) async fn reconciled(&self) -> Result<(), StoreError> {
        self.shared.current.store(true, Ordering::Release);
        self.shared.testify(false).await
    }

    fn is_current(&self) -> bool {
        self.shared.current.load(Ordering::Acquire)
    }

    pub(crate) async fn hash_at(&self, sequence: u64) -> Result<Option<koshin_types::Fingerprint>, StoreError> {
        let query = "/* Database::hash_at */ SELECT hash FROM audit WHERE sequence = ?";
        let row = self.readers().one(Script::one(query).with(signed(sequence))).await?;
        row.map(|row| Columns::of(&row).fingerprint("audit.hash")).transpose()
    }
}

impl Shared {
    async fn own_testimony(&self) -> Result<Testimony, StoreError> {
        let row = self.readers.one(Script::one(self.testimony)).await?;
        Testimony::read(&row.ok_or_else(|| damaged("provenance: the row is missing"))?)
    }

    async fn testify(&self, closed: bool) -> Result<(), StoreError> {
        if !self.current.load(Ordering::Acquire) {
            return Ok(());
        }
        let seen = self.own_testimony().await?.witnessed(closed);
        let witness = Arc::clone(&self.witness);
        let added = blocking(move || Ok(witness.add(seen))).await?;
        let mut silent = self.silent();
        let Err(error) = added else {
            if silent.take().is_some() {
                tracing::warn!("the witness of the database can be written again");
            }
            return Ok(());
        };
        let now = WitnessSilent { path: self.witness.path().to_owned(), source: Arc::new(error) };
        if silent.is_none() {
            let path = now.path.display();
            tracing::error!(error = %now.source, %path, "the witness cannot be written to; nothing is issued until it can");
        }
        *silent = Some(now.clone());
        Err(StoreError::Unavailable(Box::new(now)))
    }

    /// To be called before the first write.
    async fn begin(&self) -> Result<(), StoreError> {
        let tell = || async { self.unless_silent(self.testify(false).await) };
        self.begun.get_or_try_init(tell).await.copied()
    }

    /// A silent witness keeps nothing from going on but what is issued.
    fn unless_silent(&self, told: Result<(), StoreError>) -> Result<(), StoreError> {
        if self.silent().is_some() { Ok(()) } else { told }
    }

    fn silent(&self) -> MutexGuard<'_, Option<WitnessSilent>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Something was to be written on a view.
#[derive(Debug, thiserror::Error)]
#[error("the database was opened for reading only")]
struct OnlyRead;

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|error| StoreError::Unavailable(Box::new(error)))?;
    done.map_err(|error| StoreError::Unavailable(Box::new(error)))
}

/// Tells the witness of what was written lately, until the database is dropped.
async fn watch(database: Weak<Shared>) {
    loop {
        tokio::time::sleep(WATCH).await;
        let Some(database) = database.upgrade() else { return };
        if database.begun.initialized()
            && let Err(error) = database.testify(false).await
            && database.silent().is_none()
        {
            tracing::error!(%error, "the witness of the database does not learn how far it has come");
        }
    }
}

/// The database has a witness and is no mere copy.
struct Settle;

#[async_trait]
impl Job for Settle {
    type Done = ();
    type Refused = StoreError;

    async fn run(&mut self, tx: &mut Transaction<'_>) -> Result<(), Failed<StoreError>> {
        let settle = "/* Settle::run */ UPDATE provenance SET witnessed = 1, copied = NULL WHERE number = 1";
        tx.write_last(Script::one(settle)).await?;
        Ok(())
    }
}
