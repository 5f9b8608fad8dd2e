//! A portal's database with people whose certificates end soon, its configuration, and the program on both.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{Arc, Mutex},
    thread::sleep,
    time::{Duration, Instant},
};

use koshin_sqlite::{Options, Store};
use serde_json::Value;
use sqlx::{ConnectOptions as _, Connection as _, Row as _, sqlite::SqliteConnectOptions};
use tempfile::TempDir;
use time::UtcDateTime;

pub(crate) const DAY: i64 = 86_400;

pub(crate) struct Site {
    folder: TempDir,
}

pub(crate) fn now() -> i64 {
    koshin_operator::machine::now().unix_timestamp()
}

pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// Waits until it is so, for half a minute at most.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        sleep(Duration::from_millis(20));
    }
}

impl Site {
    /// So many certificates that end in twenty days, one holder each: `holder1@example.co.jp` and so on.
    pub(crate) fn new(port: u16, holders: u32) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.configure(port, "");
        block_on(async {
            Store::open(&site.database(), &Options::default()).await.unwrap().shut_down().await;
        });
        site.sql("INSERT INTO organizations (number, id, name) VALUES (1, 'C-1', 'Midori')");
        for holder in 1..=holders {
            site.add(holder);
        }
        site
    }

    pub(crate) fn add(&self, holder: u32) {
        let (end, year) = (now() + 20 * DAY, 365 * DAY);
        self.sql(&format!(
            "PRAGMA foreign_keys = OFF; INSERT INTO subjects (number, id, organization, role, name, language, address, \
             version) VALUES ({holder}, 'U-{holder}', 1, 'user', '', 'en', 'holder{holder}@example.co.jp', 0); \
             INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
             protection, issued_at, status, status_at, deferred) VALUES (unhex(printf('1A%08X', {holder})), {holder}, 1, \
             randomblob(32), {end} - {year}, {end}, randomblob(32), 'os', 0, 'active', 0, 0)"
        ));
    }

    /// Writes the configuration, with more keys in `[mail]`.
    pub(crate) fn configure(&self, port: u16, more: &str) {
        let text = format!(
            "[storage]\ndatabase = \"koshin.db\"\n\n[brand]\noperator = {{ ja = \"みどり\", en = \"Midori Bank\" }}\n\
             portal = {{ ja = \"みどり\", en = \"Midori Business Web\" }}\n\n[contact]\nname = {{ ja = \"係\", en = \"Support\" }}\n\n\
             [mail]\nfrom = \"noreply@midori.example\"\n{more}\n[mail.smtp]\nhost = \"localhost\"\nport = {port}\n\
             tls = \"none\"\nhello = \"koshin.example\"\n"
        );
        fs::write(self.path().join("koshin.toml"), text).unwrap();
    }

    /// The same database, in another place.
    pub(crate) fn copy(&self, port: u16) -> Self {
        let site = Self { folder: tempfile::tempdir().unwrap() };
        site.configure(port, "");
        fs::copy(self.database(), site.database()).unwrap();
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.path().join("koshin.db")
    }

    /// Runs statements behind everybody's back.
    pub(crate) fn sql(&self, statements: &str) {
        block_on(async {
            let mut connection = SqliteConnectOptions::new().filename(self.database()).connect().await.unwrap();
            sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.unwrap();
            connection.close().await.unwrap();
        });
    }

    /// The first column of a query.
    pub(crate) fn asked(&self, query: &str) -> Vec<String> {
        block_on(async {
            let options = SqliteConnectOptions::new().filename(self.database()).read_only(true);
            let mut connection = options.connect().await.unwrap();
            let rows = sqlx::query(sqlx::AssertSqlSafe(query.to_owned())).fetch_all(&mut connection).await.unwrap();
            connection.close().await.unwrap();
            rows.iter().map(|row| row.get(0)).collect()
        })
    }

    /// Each mail's state, or how it ended.
    pub(crate) fn states(&self) -> Vec<String> {
        self.asked("SELECT iif(state = 'done', disposition, state) FROM outbox ORDER BY number")
    }

    /// A connection as the portal has one.
    pub(crate) async fn store(&self) -> Arc<Store> {
        Arc::new(Store::open(&self.database(), &Options::default()).await.unwrap())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_koshin-mailer"));
        command.args(arguments).arg("--config").arg(self.path().join("koshin.toml"));
        command.env_remove("KOSHIN_LOG").env_remove("KOSHIN_CONFIG");
        command
    }

    pub(crate) fn mailer(&self, arguments: &[&str]) -> Said {
        Said(self.command(arguments).output().unwrap())
    }

    /// The same before a terminal; what appears there.
    pub(crate) fn on_a_terminal(&self, arguments: &str) -> String {
        let (program, config) = (env!("CARGO_BIN_EXE_koshin-mailer"), self.path().join("koshin.toml"));
        let line = format!("{program} {arguments} --config {}", config.display());
        let ended = Command::new("script").args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
        assert!(ended.status.success(), "{ended:?}");
        String::from_utf8(ended.stdout).unwrap()
    }

    /// Begins to run, and waits until it says so.
    pub(crate) fn run(&self, arguments: &[&str]) -> Running {
        let mut child = self.command(&[&["run"], arguments].concat()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                heard.lock().unwrap().push(line);
            }
        });
        let running = Running { child, lines };
        until("it begins", || running.said("sends what"));
        running
    }
}

/// What a command said.
pub(crate) struct Said(Output);

impl Said {
    pub(crate) fn status(&self) -> i32 {
        self.0.status.code().unwrap()
    }

    pub(crate) fn errors(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    /// The lines of standard output.
    pub(crate) fn json(&self) -> Vec<Value> {
        let text = String::from_utf8(self.0.stdout.clone()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The one line of standard output, after an end with this status.
    pub(crate) fn one(&self, status: i32) -> Value {
        assert_eq!(self.status(), status, "{}", self.errors());
        let mut lines = self.json();
        assert_eq!(lines.len(), 1, "{lines:?}");
        lines.remove(0)
    }
}

/// A program that is not left behind by a test that fails.
pub(crate) struct Running {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    /// Whether a line on standard error has this in it.
    pub(crate) fn said(&self, what: &str) -> bool {
        self.lines.lock().unwrap().iter().any(|line| line.contains(what))
    }

    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    pub(crate) fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    /// Asks it to end; with which status it did, and how long that took.
    pub(crate) fn end(mut self) -> (Option<i32>, Duration) {
        self.signal("TERM");
        let begun = Instant::now();
        until("it ends", || self.child.try_wait().unwrap().is_some());
        (self.child.wait().unwrap().code(), begun.elapsed())
    }
}

/// An instant as rows have it.
pub(crate) fn instant(seconds: i64) -> UtcDateTime {
    UtcDateTime::from_unix_timestamp(seconds).unwrap()
}
