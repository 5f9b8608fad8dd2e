//! The connections that read.

use std::sync::{Mutex, PoisonError};

use sqlx::{
    ConnectOptions as _, Connection as _, SqliteConnection,
    sqlite::{SqliteConnectOptions, SqliteRow},
};
use tokio::sync::Semaphore;

use crate::{error::StoreError, script::Script};

/// A few read-only connections. A caller that goes away in the middle leaves none of them in a transaction, because
/// every read is one statement.
pub(crate) struct Readers {
    idle: Mutex<Vec<SqliteConnection>>,
    permits: Semaphore,
    options: SqliteConnectOptions,
    /// For who goes through very much once: what it leaves in its small cache is of use to nobody.
    scanner: tokio::sync::Mutex<Option<SqliteConnection>>,
}

/// How much the scanner keeps, in KiB.
const SCANNER_CACHE: &str = "-512";

struct Reader<'a> {
    readers: &'a Readers,
    connection: Option<SqliteConnection>,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.readers.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

impl Readers {
    pub(crate) async fn open(options: SqliteConnectOptions, count: u32) -> sqlx::Result<Self> {
        let mut idle = Vec::new();
        for _ in 0..count.max(1) {
            idle.push(options.connect().await?);
        }
        let scanner = tokio::sync::Mutex::default();
        Ok(Self { permits: Semaphore::new(idle.len()), idle: Mutex::new(idle), options, scanner })
    }

    /// A connection of the caller's own, for a long read transaction.
    pub(crate) async fn own(&self) -> Result<SqliteConnection, StoreError> {
        Ok(self.options.connect().await?)
    }

    pub(crate) async fn all(&self, script: Script) -> Result<Vec<SqliteRow>, StoreError> {
        let closed = |error| StoreError::Unavailable(Box::new(error));
        let _permit = self.permits.acquire().await.map_err(closed)?;
        let taken = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut reader = Reader { readers: self, connection: taken };
        let connection = match &mut reader.connection {
            Some(connection) => connection,
            none => none.insert(self.options.connect().await?),
        };
        Ok(all(connection, script).await?)
    }

    pub(crate) async fn one(&self, script: Script) -> Result<Option<SqliteRow>, StoreError> {
        self.all(script).await.map(|rows| rows.into_iter().next())
    }

    /// As [`Readers::one`], for a part of very much that is gone through from end to end.
    pub(crate) async fn scan(&self, script: Script) -> Result<Option<SqliteRow>, StoreError> {
        let closed = |error| StoreError::Unavailable(Box::new(error));
        drop(self.permits.acquire().await.map_err(closed)?);
        let mut scanner = self.scanner.lock().await;
        let connection = match &mut *scanner {
            Some(connection) => connection,
            none => none.insert(self.options.clone().pragma("cache_size", SCANNER_CACHE).connect().await?),
        };
        Ok(all(connection, script).await?.into_iter().next())
    }

    pub(crate) async fn close(&self) {
        self.permits.close();
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        let scanner = self.scanner.lock().await.take();
        for connection in idle.into_iter().chain(scanner) {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a reading connection did not close well");
            }
        }
    }
}

pub(crate) async fn all(connection: &mut SqliteConnection, script: Script) -> sqlx::Result<Vec<SqliteRow>> {
    let Script { text, arguments, failed } = script;
    match failed {
        Some(error) => Err(error),
        None => sqlx::query_with(sqlx::AssertSqlSafe(text), arguments).fetch_all(connection).await,
    }
}
