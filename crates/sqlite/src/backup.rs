//! A copy of the whole database while it is in use.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sqlx::{ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};

use crate::{database::Database, error::StoreError};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// A backup replaces nothing.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("{} cannot be written", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// `SQLite` said no.
    #[error("the database cannot be copied to {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The database cannot be read.
    #[error(transparent)]
    Storage(#[from] StoreError),
}

impl Database {
    pub(crate) async fn backup(&self, to: &Path) -> Result<(), BackupError> {
        let file = |source| BackupError::File { path: to.to_owned(), source };
        let name = to.to_str().ok_or_else(|| file(io::Error::new(io::ErrorKind::InvalidInput, "no UTF-8")))?;
        let mut connection = self.readers().own().await?;
        // `VACUUM INTO` takes an empty file, and would make one that others can read.
        create(to)?;
        let copied = sqlx::query("/* Database::backup */ VACUUM INTO ?1").bind(name).execute(&mut connection).await;
        let copied =
            copied.map_err(|error| BackupError::Sqlite { path: to.to_owned(), source: Box::new(error) }).map(drop);
        let copied = match copied {
            Ok(()) => mark(to).await,
            error => error,
        };
        let copied = copied.and_then(|()| synced(to).map_err(file));
        if copied.is_err() {
            // There is already an error to report.
            let _ = fs::remove_file(to);
        }
        copied
    }
}

/// Writes into a copy that it is one.
async fn mark(path: &Path) -> Result<(), BackupError> {
    let failed = |error| BackupError::Sqlite { path: path.to_owned(), source: Box::new(error) };
    let mut copy = SqliteConnectOptions::new().filename(path).connect().await.map_err(failed)?;
    let mark = "/* backup::mark */ UPDATE provenance SET copied = (SELECT coalesce(max(sequence), 0) FROM audit)";
    sqlx::query(mark).execute(&mut copy).await.map_err(failed)?;
    copy.close().await.map_err(failed)
}

fn create(path: &Path) -> Result<(), BackupError> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path).map(drop).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists { path: path.to_owned() },
        _ => BackupError::File { path: path.to_owned(), source },
    })
}

/// The file and its name are on the disk.
fn synced(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // Only where a folder is a file of its own.
    if cfg!(unix) { fs::File::open(folder)?.sync_all() } else { Ok(()) }
}
