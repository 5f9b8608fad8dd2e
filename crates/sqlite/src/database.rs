//! One open file: a writer, some readers, an audit log.

use std::{path::Path, time::Duration};

use crate::{
    audit::{self, AuditHead, AuditRecord},
    error::StoreError,
    open::{self, OpenError, Schema},
    readers::Readers,
    script::Script,
    writer::{Job, Stats, Writer},
};

/// How a file is opened.
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

pub(crate) struct Database {
    writer: Writer,
    readers: Readers,
}

impl Database {
    pub(crate) async fn open(path: &Path, schema: &Schema, options: &Options) -> Result<Self, OpenError> {
        let (connection, reading) = open::open(path, schema, options).await?;
        let failed = |error| OpenError::from_sqlx(path, error);
        let readers = Readers::open(reading, options.readers).await.map_err(failed)?;
        Ok(Self { writer: Writer::start(connection, options.queue), readers })
    }

    pub(crate) async fn shut_down(&self) {
        self.writer.close().await;
        self.readers.close().await;
    }

    pub(crate) fn stats(&self) -> Stats {
        self.writer.stats()
    }

    pub(crate) async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        audit::head(self.readers.one(Script::one(audit::HEAD)).await?.as_ref())
    }

    pub(crate) async fn audit_records(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.readers.all(audit::page(after, limit)).await?.iter().map(audit::record).collect()
    }

    pub(crate) async fn write<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        self.writer.run(job).await
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.readers
    }
}
