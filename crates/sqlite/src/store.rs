//! The store: one writer, some readers.

use std::{
    collections::HashMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use koshin_ra::StorageError;
use koshin_types::SubjectId;

use crate::{
    audit::{self, AuditHead, AuditRecord},
    file::Loaded,
    open::{self, OpenError},
    readers::Readers,
    script::Script,
    writer::{Job, Stats, Writer},
};

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// Connections that read, each with its own thread and cache: 4 by default.
    pub readers: u32,
    /// Jobs that may wait for the writer before callers wait to be queued: 1,024 by default.
    pub queue: usize,
    /// How long one try to write waits for another process: 2 seconds by default. There are three tries.
    pub busy_timeout: Duration,
}

impl Default for Options {
    /// ```
    /// let options = koshin_sqlite::Options::default();
    /// assert_eq!((options.readers, options.queue, options.busy_timeout.as_secs()), (4, 1024, 2));
    /// ```
    fn default() -> Self {
        Self { readers: 4, queue: 1024, busy_timeout: Duration::from_secs(2) }
    }
}

/// An open database file. Clones share it.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
}

struct Inner {
    writer: Writer,
    readers: Readers,
    recent: Recent,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens a database file, or makes a new one that only its owner can read, and brings its tables up to date. Has to
    /// be called on a tokio runtime with time enabled, which the writer lives on.
    ///
    /// # Errors
    ///
    /// [`OpenError`] with a text for the operator.
    pub async fn open(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let (connection, reading) = open::open(path, options).await?;
        let failed = |error| OpenError::from_sqlx(path, error);
        let readers = Readers::open(reading, options.readers).await.map_err(failed)?;
        let writer = Writer::start(connection, options.queue);
        Ok(Self { inner: Arc::new(Inner { writer, readers, recent: Recent::default() }) })
    }

    /// Commits what is queued and closes the file, for this and every clone. Later calls are answered with
    /// [`StorageError::Unavailable`].
    pub async fn shut_down(&self) {
        self.inner.writer.close().await;
        self.inner.readers.close().await;
    }

    /// How the writer has done so far.
    pub fn stats(&self) -> Stats {
        self.inner.writer.stats()
    }

    /// The end of the audit log, to be signed and kept elsewhere.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn audit_head(&self) -> Result<AuditHead, StorageError> {
        audit::head(self.readers().one(Script::one(audit::HEAD)).await?.as_ref())
    }

    /// The audit records after a sequence number, in order, at most `limit`.
    ///
    /// # Errors
    ///
    /// [`StorageError`].
    pub async fn audit_records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StorageError> {
        self.readers().all(audit::page(after, limit)).await?.iter().map(audit::record).collect()
    }

    pub(crate) async fn write<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        self.inner.writer.run(job).await
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.inner.recent
    }
}

/// The files that were read lately, so that a commit knows what it was decided on without reading it again. What a
/// version holds never changes, and the writer compares the version, so an old entry can only cost a second read.
#[derive(Default)]
pub(crate) struct Recent {
    generations: Mutex<[HashMap<SubjectId, Loaded>; 2]>,
}

impl Recent {
    const GENERATION: usize = 1024;

    pub(crate) fn put(&self, loaded: &Loaded) {
        let [young, old] = &mut *self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        if young.len() >= Self::GENERATION {
            *old = std::mem::take(young);
        }
        young.insert(loaded.file.subject.id.clone(), loaded.clone());
    }

    pub(crate) fn get(&self, id: &SubjectId, version: u64) -> Option<Loaded> {
        let [young, old] = &*self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let known = [young, old].into_iter().filter_map(|generation| generation.get(id));
        known.into_iter().find(|loaded| loaded.file.version == version).cloned()
    }
}
