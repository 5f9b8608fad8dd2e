//! Opening the file: who may read it, what is in it, how `SQLite` is to treat it.

#[cfg(feature = "outbox")]
use std::cmp::Ordering;
use std::{
    fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

use sqlx::{
    ConnectOptions as _, Connection as _, Row as _, SqlSafeStr as _, SqliteConnection,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
};

use crate::{
    codec::{is_busy, primary_code},
    database::Options,
};

/// What is in a file: its mark and its migrations, which may only be added.
pub(crate) struct Schema {
    application: i64,
    mark: &'static str,
    /// The statement that answers with a [`Testimony`](crate::witness::Testimony).
    pub(crate) testimony: &'static str,
    /// Version, a word or two, and the statements.
    migrations: &'static [(i64, &'static str, &'static str)],
}

/// `KSHN`: registry, sessions, schedule and outbox.
#[cfg(any(feature = "registry", feature = "outbox"))]
pub(crate) const REGISTRY: Schema = Schema {
    application: 0x4b53_484e,
    mark: "/* open::migrate */ PRAGMA application_id = 0x4b53484e",
    testimony: "/* open::REGISTRY */ SELECT p.epoch, p.witnessed, p.copied, a.sequence, a.hash, \
                (SELECT serial FROM intents ORDER BY number DESC LIMIT 1), l.number, l.this_update, l.next_update, \
                (SELECT number FROM editions WHERE state = 'published') \
                FROM provenance AS p LEFT JOIN (SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1) AS a \
                ON true LEFT JOIN editions AS l ON l.state = 'reserved' WHERE p.number = 1",
    migrations: &[
        (1, "registry, ledger, outbox", include_str!("../migrations/0001_registry_ledger_outbox.sql")),
        (2, "clock", include_str!("../migrations/0002_clock.sql")),
        (3, "schedule", include_str!("../migrations/0003_schedule.sql")),
        (4, "revocations", include_str!("../migrations/0004_revocations.sql")),
        (5, "enrolment sessions", include_str!("../migrations/0005_enrolment_sessions.sql")),
        (6, "previous sign-in", include_str!("../migrations/0006_previous_sign_in.sql")),
        (7, "orders", include_str!("../migrations/0007_orders.sql")),
        (8, "editions", include_str!("../migrations/0008_editions.sql")),
        (9, "renewal tickets", include_str!("../migrations/0009_renewal_tickets.sql")),
        (10, "restore", include_str!("../migrations/0010_restore.sql")),
        (11, "urgency and tasks", include_str!("../migrations/0011_urgency_and_tasks.sql")),
        (12, "matters", include_str!("../migrations/0012_matters.sql")),
        (13, "agents", include_str!("../migrations/0013_agents.sql")),
    ],
};

/// `KSHL`: the ledger of one CA.
#[cfg(feature = "ledger")]
pub(crate) const LEDGER: Schema = Schema {
    application: 0x4b53_484c,
    mark: "/* open::migrate */ PRAGMA application_id = 0x4b53484c",
    testimony: "/* open::LEDGER */ SELECT p.epoch, p.witnessed, p.copied, a.sequence, a.hash, \
                (SELECT serial FROM entries ORDER BY number DESC LIMIT 1), l.number, l.this_update, l.next_update, \
                (SELECT number FROM editions WHERE state = 'published') \
                FROM provenance AS p LEFT JOIN (SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1) AS a \
                ON true LEFT JOIN editions AS l ON l.state = 'reserved' WHERE p.number = 1",
    migrations: &[
        (1, "ledger", include_str!("../migrations/ledger/0001_ledger.sql")),
        (2, "strays", include_str!("../migrations/ledger/0002_strays.sql")),
    ],
};

/// Pages after which a commit carries the log over although nobody was idle: 32 MiB.
const AUTOCHECKPOINT: &str = "4096";

/// Why a file was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is missing.
    #[error("the folder {} does not exist", path.display())]
    NoFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Others than the owner can read or change it.
    #[error("{} can be read by others (mode {mode:03o}); make it 600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// The permission bits.
        mode: u32,
    },
    /// It cannot be written to.
    #[error("{} cannot be written to", path.display())]
    ReadOnly {
        /// The file.
        path: PathBuf,
    },
    /// It is no database of this program.
    #[error("{} is no database of Koshin", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// A newer program has changed its tables.
    #[error("{} was brought to version {found} by a newer program; this one knows {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
        /// The newest version this program knows.
        known: i64,
    },
    /// Its tables are those of an older program, and nothing may be written to it here.
    #[error("{} is at version {found}, and this program reads {known}; what serves on it brings it there", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// The version of its tables.
        found: i64,
        /// The version this program reads.
        known: i64,
    },
    /// One of its migrations was another one than this program's.
    #[error("{}: migration {version} is not the one that this program knows", path.display())]
    Altered {
        /// The file.
        path: PathBuf,
        /// The version.
        version: i64,
    },
    /// What remembers how far the database had come cannot be used.
    #[error("the witness {} cannot be read", path.display())]
    Witness {
        /// The witness's file.
        path: PathBuf,
        /// What was said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What remembers how far the database has come would not learn how far it comes.
    #[error("the witness {} cannot be written to; it has to be writable by whoever writes the database", path.display())]
    WitnessReadOnly {
        /// The witness's file.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// The file system said no.
    #[error("{} cannot be opened", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// `SQLite` said no.
    #[error("{} cannot be opened", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl OpenError {
    pub(crate) fn from_sqlx(path: &Path, error: sqlx::Error) -> Self {
        let path = path.to_owned();
        match error.as_database_error().and_then(primary_code) {
            Some(8) => Self::ReadOnly { path },
            Some(26) => Self::Foreign { path },
            _ => Self::Sqlite { path, source: Box::new(error) },
        }
    }
}

/// The file itself where a name is a link to it: what lies beside it is the same for everybody who opens it.
pub(crate) fn resolved(path: &Path) -> Result<PathBuf, OpenError> {
    let failed = |source| OpenError::File { path: path.to_owned(), source };
    match fs::canonicalize(path) {
        // Not there, and not a link to what is not there.
        Err(error) if error.kind() == io::ErrorKind::NotFound && fs::symlink_metadata(path).is_err() => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let name = path.file_name().ok_or_else(|| failed(error))?;
            let real = fs::canonicalize(folder).map_err(|_| OpenError::NoFolder { path: folder.to_owned() })?;
            Ok(real.join(name))
        }
        found => found.map_err(failed),
    }
}

/// The connection that writes, with its tables up to date, and how to make those that read.
pub(crate) async fn open(
    path: &Path,
    schema: &Schema,
    options: &Options,
) -> Result<(SqliteConnection, SqliteConnectOptions), OpenError> {
    guard(path)?;
    let failed = |error| OpenError::from_sqlx(path, error);
    let common = common(path, options);
    let writing = common
        .clone()
        // Counts for a new file only. A commit touches few rows of many pages: 8 KiB ones cost a third more CPU a renewal.
        .page_size(4096)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .pragma("secure_delete", "FAST")
        .pragma("wal_autocheckpoint", AUTOCHECKPOINT)
        .thread_name(|_| "koshin-writer".to_owned());
    let mut connection = connect(&writing).await.map_err(failed)?;
    migrate(&mut connection, path, schema).await?;
    Ok((connection, reading(common)))
}

fn common(path: &Path, options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .foreign_keys(true)
        .busy_timeout(options.busy_timeout)
        .statement_cache_capacity(256)
        .pragma("cache_size", "-16384")
        .disable_statement_logging()
}

fn reading(common: SqliteConnectOptions) -> SqliteConnectOptions {
    common.read_only(true).thread_name(|id| format!("koshin-reader-{id}"))
}

/// How to make connections that read, to a file that is there and whose tables are this program's.
#[cfg(feature = "outbox")]
pub(crate) async fn view(path: &Path, schema: &Schema, options: &Options) -> Result<SqliteConnectOptions, OpenError> {
    if !path.exists() {
        let source = io::ErrorKind::NotFound.into();
        return Err(OpenError::File { path: path.to_owned(), source });
    }
    guard(path)?;
    let failed = |error| OpenError::from_sqlx(path, error);
    let reading = reading(common(path, options));
    let mut connection = connect(&reading).await.map_err(failed)?;
    let found = "/* open::view */ SELECT a.application_id FROM pragma_application_id AS a";
    let application: i64 = sqlx::query_scalar(found).fetch_one(&mut connection).await.map_err(failed)?;
    if application != schema.application {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    let found = "/* open::view */ SELECT coalesce(max(version), 0) FROM _sqlx_migrations";
    let found: i64 = sqlx::query_scalar(found).fetch_one(&mut connection).await.map_err(failed)?;
    let known = schema.migrations.last().map_or(0, |(version, _, _)| *version);
    let path = path.to_owned();
    match found.cmp(&known) {
        Ordering::Less => Err(OpenError::Older { path, found, known }),
        Ordering::Greater => Err(OpenError::Newer { path, found, known }),
        Ordering::Equal => Ok(reading),
    }
}

/// Makes a missing file, and refuses one that others can read.
///
/// A file that exists is looked at and not opened: closing it again would drop the locks that another store of this
/// process holds on it (POSIX locks belong to the process).
fn guard(path: &Path) -> Result<(), OpenError> {
    let file = |source| OpenError::File { path: path.to_owned(), source };
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return create(path),
        Err(error) => return Err(file(error)),
    };
    if !metadata.is_file() {
        return Err(OpenError::Foreign { path: path.to_owned() });
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(OpenError::Exposed { path: path.to_owned(), mode });
        }
    }
    if metadata.permissions().readonly() {
        return Err(OpenError::ReadOnly { path: path.to_owned() });
    }
    Ok(())
}

fn create(path: &Path) -> Result<(), OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(OpenError::NoFolder { path: folder.to_owned() });
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    match options.open(path) {
        Ok(_) => Ok(()),
        // Another process was faster: its file is as good.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => guard(path),
        Err(source) => Err(OpenError::File { path: path.to_owned(), source }),
    }
}

impl Schema {
    fn migrator(&self) -> Migrator {
        let migration = |(version, description, sql): &(i64, &'static str, &'static str)| {
            Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
        };
        Migrator::with_migrations(self.migrations.iter().map(migration).collect())
    }
}

/// Brings the tables up to date in one transaction, so that of two processes one waits for the other.
/// How often a connection is tried while somebody else makes the same file, and how long is waited in between.
const CONNECT_TRIES: u32 = 5;
const CONNECT_PAUSE: Duration = Duration::from_millis(100);

/// Of two who make the same file at once only one can turn its log on, and SQLite does not let the other wait for that.
async fn connect(options: &SqliteConnectOptions) -> sqlx::Result<SqliteConnection> {
    let mut tries = 1;
    loop {
        match options.connect().await {
            Err(error) if is_busy(&error) && tries < CONNECT_TRIES => tries += 1,
            done => return done,
        }
        tokio::time::sleep(CONNECT_PAUSE).await;
    }
}

async fn migrate(connection: &mut SqliteConnection, path: &Path, schema: &Schema) -> Result<(), OpenError> {
    let failed = |error| OpenError::from_sqlx(path, error);
    let migrator = schema.migrator();
    let known = migrator.iter().map(|migration| migration.version).max().unwrap_or_default();
    let mut tx = connection.begin_with("/* open::migrate */ BEGIN IMMEDIATE").await.map_err(failed)?;
    let found = "/* open::migrate */ SELECT a.application_id, (SELECT count(*) FROM sqlite_schema) \
                 FROM pragma_application_id AS a";
    let row = sqlx::query(found).fetch_one(&mut *tx).await.map_err(failed)?;
    let (application, tables): (i64, i64) = (row.get(0), row.get(1));
    if application != schema.application {
        if tables > 0 {
            return Err(OpenError::Foreign { path: path.to_owned() });
        }
        sqlx::query(schema.mark).execute(&mut *tx).await.map_err(failed)?;
    }
    migrator.run(&mut *tx).await.map_err(|error| {
        let path = path.to_owned();
        match error {
            MigrateError::VersionMissing(found) => OpenError::Newer { path, found, known },
            MigrateError::VersionMismatch(version) | MigrateError::Dirty(version) => {
                OpenError::Altered { path, version }
            }
            MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => {
                OpenError::from_sqlx(&path, error)
            }
            error => OpenError::Sqlite { path, source: Box::new(error) },
        }
    })?;
    tx.commit().await.map_err(failed)
}
