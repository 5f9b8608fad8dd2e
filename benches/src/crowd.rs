//! Very many people with certificates, put into the tables at once instead of through the use cases, to see what a sweep costs.
//!
//! Rows are as a commit makes them, but what they hang on (renewals, signed bytes, audit records) is of no interest to a sweep
//! and is left out: with it, ten million certificates take 25 GB. So foreign keys are not looked at while the rows are made.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use koshin_expiry::Policy;
use koshin_notify::{Planner, Wake};
use koshin_sqlite::{Options, Store};
use sqlx::{Connection as _, SqliteConnection};
use time::{Duration, UtcDateTime, macros::utc_datetime};

/// Midnight in Japan, with which the first day of the crowd begins.
const DAWN: UtcDateTime = utc_datetime!(2026-11-30 15:00);
/// On each of so many days equally many certificates end; all others end on a later day of the year.
const EVEN_DAYS: u32 = 50;
const YEAR: u32 = 365;
/// Days on which notices are due, as the default policy has it.
const THRESHOLDS: u32 = 2;

/// How many there are, and how many of them have reason to be told each day.
#[derive(Debug, Clone, Copy)]
pub struct Crowd {
    /// Certificates in use, each of somebody else.
    pub certificates: u32,
    /// Notices that become due at each midnight.
    pub due: u32,
}

impl Crowd {
    /// Makes a database in a folder. The notices that are due on the morning of day 0 are planned by the real planner,
    /// and count as sent.
    ///
    /// # Errors
    ///
    /// When a file is not made, or the crowd is too small for what is due.
    pub async fn gather(self, folder: &Path) -> anyhow::Result<Gathered> {
        let a_day = self.due / THRESHOLDS;
        anyhow::ensure!(a_day > 0 && a_day * EVEN_DAYS <= self.certificates, "fewer certificates than are due");
        let gathered = Gathered { file: folder.join("koshin.db") };
        Store::open(&gathered.file, &Options::default()).await?.shut_down().await;
        let mut connection = gathered.connect().await?;
        // Nobody needs this file if the power fails meanwhile.
        for pragma in ["foreign_keys = OFF", "journal_mode = OFF", "synchronous = OFF", "cache_size = -2000000"] {
            sqlx::query(sqlx::AssertSqlSafe(format!("PRAGMA {pragma}"))).execute(&mut connection).await?;
        }
        let each = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)";
        let organizations = format!(
            "{each} INSERT INTO organizations (number, id, name) SELECT i, printf('ORG-%06d', i), \
             printf('みどり商事 %d', i) FROM n"
        );
        let subjects = format!(
            "{each} INSERT INTO subjects (number, id, organization, role, name, language, address, version, password_hash) \
             SELECT i, printf('U-%08d', i), 1 + i / 100, iif(i % 100 = 0, 'administrator', 'user'), printf('利用者 %d', i), \
             iif(i % 5 = 0, 'en', 'ja'), printf('holder%d@customer%d.example', i, i / 100), 6, printf('%097d', i) FROM n"
        );
        // The first end day by day; the others are spread over the rest of the year as if by chance.
        let certificates = format!(
            "{each} INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
             protection, issued_at, status, status_at, deferred) \
             SELECT unhex(printf('%012x', (e - 31536000) * 1000 + i % 1000) || hex(randomblob(13))), i, 1, randomblob(32), \
             e - 31535999, e, randomblob(32), 'file', (e - 31535999) * 1000, 'active', (e - 31535000) * 1000, 0 \
             FROM (SELECT i, ? + 86400 * (1 + iif(i <= ?, (i - 1) / ?, ? + i * 7919 % ?)) - 1 AS e FROM n)"
        );
        let dawn = DAWN.unix_timestamp();
        let run = |statement: String| sqlx::query(sqlx::AssertSqlSafe(statement));
        run(organizations).bind(1 + self.certificates / 100).execute(&mut connection).await?;
        run(subjects).bind(self.certificates).execute(&mut connection).await?;
        let spread = run(certificates).bind(self.certificates).bind(dawn).bind(a_day * EVEN_DAYS).bind(a_day);
        spread.bind(EVEN_DAYS).bind(YEAR - EVEN_DAYS).execute(&mut connection).await?;
        connection.close().await?;

        let store = gathered.open().await?;
        let planner = planner(&store);
        while planner.run(Gathered::morning(0)?).await? == Wake::Now {}
        store.shut_down().await;
        gathered.mark_sent(Gathered::morning(0)?, 0).await?;
        Ok(gathered)
    }
}

/// The real planner with the default policy.
pub fn planner(store: &Store) -> Planner<std::sync::Arc<Store>> {
    Planner::new(std::sync::Arc::new(store.clone()), Policy::default_jst())
}

/// The database of a crowd.
#[derive(Debug)]
pub struct Gathered {
    /// Its file.
    pub file: PathBuf,
}

impl Gathered {
    /// Opens it as programs do.
    ///
    /// # Errors
    ///
    /// When it is not opened.
    pub async fn open(&self) -> anyhow::Result<Store> {
        Ok(Store::open(&self.file, &Options::default()).await?)
    }

    /// A connection of our own.
    ///
    /// # Errors
    ///
    /// When there is none.
    pub async fn connect(&self) -> anyhow::Result<SqliteConnection> {
        Ok(SqliteConnection::connect(&format!("sqlite:{}", self.file.display())).await?)
    }

    /// The minute after the midnight with which a day begins, from 0 on.
    ///
    /// # Errors
    ///
    /// For a day on which fewer notices than always are due.
    pub fn morning(day: u32) -> anyhow::Result<UtcDateTime> {
        anyhow::ensure!(day < EVEN_DAYS - 33, "the crowd has {} even days, this is day {day}", EVEN_DAYS - 33);
        Ok(DAWN + Duration::days(i64::from(day)) + Duration::MINUTE)
    }

    /// Marks what waits in the outbox as sent, as the mailer does, but for so many mails. Answers how many were marked. The
    /// database must not be open.
    ///
    /// # Errors
    ///
    /// When it is not stored.
    pub async fn mark_sent(&self, at: UtcDateTime, but_for: u32) -> anyhow::Result<u64> {
        let mut connection = self.connect().await?;
        let sent = "UPDATE outbox SET state = 'done', claimable_from = NULL, disposition = 'sent', attempts = 1, fence = 1, \
                    recorded_at = ?, recipient = randomblob(16) WHERE number IN (SELECT number FROM outbox \
                    WHERE claimable_from IS NOT NULL ORDER BY number LIMIT -1 OFFSET ?)";
        let millis = i64::try_from(at.unix_timestamp_nanos() / 1_000_000).context("an instant")?;
        let done = sqlx::query(sent).bind(millis).bind(but_for).execute(&mut connection).await?.rows_affected();
        connection.close().await?;
        Ok(done)
    }
}
