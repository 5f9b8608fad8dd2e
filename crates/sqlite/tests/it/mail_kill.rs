//! Mailers that are killed and stopped at random, on one file: together they send what one that is left alone sends, the
//! notices of expiry and what an administrator is told of those who ignored them.

mod mta;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use koshin_expiry::{FixedOffset, Policy, PolicyConfig};
use koshin_notify::{
    Bilingual, Envelope, Mailer, Outcome, Planner, Sender, Settings, SmtpTransport, Steward, Transport, Wake, Zone,
    smtp::{SmtpConfig, Tls},
};
use koshin_sqlite::Store;
use sqlx::Row as _;
use time::{UtcDateTime, UtcOffset};

use crate::bench::{Bench, at, options, run};
use mta::Mta;

/// File, port of the server, instant in seconds.
const WORK: &str = "KOSHIN_MAILER_TEST_WORK";
/// How many certificates; a nightly run takes 10,000.
const CERTIFICATES: &str = "KOSHIN_MAILER_TEST_CERTIFICATES";
const SEED: &str = "KOSHIN_MAILER_TEST_SEED";

/// Days on which something is due: by then many thresholds have opened, and again twelve days later.
const DAYS: [i64; 2] = [336, 348];
/// Longer than a lease and a quarantine.
const PAUSE: time::Duration = time::Duration::minutes(16);
/// Rounds of disturbance on each of the days.
const ROUNDS: u32 = 3;

fn sender() -> Sender {
    let names = || Bilingual::new("行", "Bank");
    let zone = Zone::fixed(UtcOffset::UTC, "UTC");
    Sender::new("noreply@bank.example".parse().unwrap(), names(), names(), names(), zone).unwrap()
}

/// Plans and sends until nothing is due any more.
async fn work(store: Arc<Store>, transport: impl Transport, now: UtcDateTime) {
    let planner =
        Planner::new(Arc::clone(&store), Policy::new(PolicyConfig::default(), Arc::new(FixedOffset::UTC)).unwrap());
    let settings = Settings { worker: std::process::id().to_string(), ..Settings::default() };
    let policy = Policy::new(PolicyConfig::default(), Arc::new(FixedOffset::UTC)).unwrap();
    let steward = Steward::new(Arc::clone(&store), policy, sender().zone().clone());
    let mailer = Mailer::new(store, transport, sender()).with_settings(settings);
    let deadline = Instant::now() + Duration::from_mins(5);
    let mut quiet = 0;
    // What is sent may make something else due.
    while Instant::now() < deadline && quiet < 2 {
        // Another mailer that is stopped in the middle of a commit keeps everybody out for a while.
        let (Ok(one), Ok(_), Ok(other)) = (planner.run(now).await, steward.run(now).await, mailer.run(now).await)
        else {
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        quiet = if [one, other].contains(&Wake::Now) { 0 } else { quiet + 1 };
    }
}

/// What a child does: the mailer's work on a file, with the real client.
fn child() -> bool {
    let Ok(work_order) = std::env::var(WORK) else { return false };
    let mut parts = work_order.split('|');
    let mut next = || parts.next().unwrap().to_owned();
    let (path, port, now) = (next(), next().parse().unwrap(), next().parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open(Path::new(&path), &options()).await.unwrap();
        let config =
            SmtpConfig { port, tls: Tls::None, hello: Some("koshin.example".into()), ..SmtpConfig::new("localhost") };
        let client = SmtpTransport::new(config).unwrap();
        work(Arc::new(store), client, UtcDateTime::from_unix_timestamp(now).unwrap()).await;
    });
    true
}

/// As many certificates as asked for, which end on twenty different days.
async fn filled(bench: &Bench, count: u32) {
    let mut raw = bench.raw().await;
    let numbers = format!("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {count})");
    let (day, year) = (86_400, 365 * 86_400);
    let end = format!("{} + (345 + i % 20) * {day} - 1", at(0).unix_timestamp());
    for statement in [
        // The path of each certificate into the file is of no interest here, and takes five commits.
        "PRAGMA foreign_keys = OFF".to_owned(),
        "INSERT INTO organizations (number, id, name, digests) VALUES (1, 'C-1', 'Midori', 0)".to_owned(),
        format!(
            "INSERT INTO subjects (number, id, organization, role, name, language, address, version) \
             VALUES ({count} + 1, 'A-1', 1, 'administrator', '', 'en', 'administrator@example.co.jp', 0)"
        ),
        format!(
            "{numbers} INSERT INTO subjects (number, id, organization, role, name, language, address, version) \
             SELECT i, 'U-' || i, 1, 'user', '', iif(i % 2, 'ja', 'en'), 'holder' || i || '@example.co.jp', 0 FROM n"
        ),
        format!(
            "{numbers} INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
             protection, issued_at, status, status_at, deferred) SELECT unhex(printf('1A%08X', i)), i, 1, randomblob(32), \
             {end} - {year} + 1, {end}, randomblob(32), 'os', 0, 'active', 0, 0 FROM n"
        ),
    ] {
        run(&mut raw, &statement).await.unwrap();
    }
}

/// Remembers what went to whom.
#[derive(Clone, Default)]
struct Remembers(Arc<Mutex<BTreeMap<String, String>>>);

#[async_trait]
impl Transport for Remembers {
    async fn send(&self, envelope: &Envelope, _: &[u8]) -> Outcome {
        let twice = self.0.lock().unwrap().insert(envelope.message_id.clone(), envelope.to.as_str().to_owned());
        assert_eq!(twice, None, "one mailer that is left alone sends nothing twice");
        Outcome::Accepted
    }
}

/// What one mailer sends that is left alone: Message-ID and recipient.
async fn undisturbed(file: &Path) -> BTreeMap<String, String> {
    let store = Arc::new(Store::open(file, &options()).await.unwrap());
    let remembers = Remembers::default();
    for day in DAYS {
        work(Arc::clone(&store), remembers.clone(), at(day * 1440)).await;
    }
    let sent = remembers.0.lock().unwrap();
    sent.clone()
}

struct Mailers {
    test: &'static str,
    path: PathBuf,
    port: u16,
    running: Vec<Child>,
    stopped: Vec<Child>,
    seed: u64,
    interruptions: usize,
    /// How long a round lasts.
    round: Duration,
}

impl Mailers {
    fn random(&mut self, below: u64) -> u64 {
        self.seed = self.seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.seed >> 33) % below
    }

    fn start(&mut self, now: UtcDateTime) {
        let order = format!("{}|{}|{}", self.path.display(), self.port, now.unix_timestamp());
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", self.test, "--nocapture", "--test-threads=1"])
            .env(WORK, order)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.running.push(child.unwrap());
    }

    /// One of those that still run, if there is one.
    fn any(&mut self) -> Option<Child> {
        self.running.retain_mut(|child| child.try_wait().unwrap().is_none());
        let count = self.running.len() as u64;
        (count > 0)
            .then_some(count)
            .map(|count| self.random(count))
            .map(|at| self.running.remove(usize::try_from(at).unwrap()))
    }

    fn go_on(&mut self) {
        for child in std::mem::take(&mut self.stopped) {
            signal(&child, "CONT");
            self.running.push(child);
        }
    }

    /// Kills, stops and lets go on, for a while or until all is done. `count` mailers are kept at work.
    fn disturb(&mut self, count: usize, now: UtcDateTime) {
        // Those of the round before are not heard of again until others have taken over what they held.
        let late = Instant::now() + Duration::from_millis(300);
        let end = Instant::now() + self.round;
        let mut finished = 0;
        while Instant::now() < end && finished < count {
            self.running.retain_mut(|child| {
                let done = child.try_wait().unwrap();
                finished += usize::from(done.is_some_and(|status| status.success()));
                done.is_none()
            });
            if self.running.is_empty() && self.stopped.is_empty() && finished > 0 {
                break;
            }
            while self.running.len() + self.stopped.len() < count {
                self.start(now);
            }
            std::thread::sleep(Duration::from_millis(5 + self.random(60)));
            match (self.random(4), self.any()) {
                (0, Some(mut child)) => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    self.interruptions += 1;
                }
                (1, Some(child)) => {
                    signal(&child, "STOP");
                    self.stopped.push(child);
                    self.interruptions += 1;
                }
                (_, Some(child)) => self.running.push(child),
                (_, None) => {}
            }
            if Instant::now() > late && self.random(3) == 0 {
                self.go_on();
            }
        }
        // Half of the others is killed, half sleeps into the next round.
        while let Some(mut child) = self.any() {
            self.interruptions += 1;
            if self.random(2) == 0 {
                child.kill().unwrap();
                child.wait().unwrap();
            } else {
                signal(&child, "STOP");
                self.stopped.push(child);
            }
        }
    }
}

impl Drop for Mailers {
    fn drop(&mut self) {
        for child in self.running.iter_mut().chain(&mut self.stopped) {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).stderr(Stdio::null()).status();
    // It may have come to its end by itself.
    assert!(sent.is_ok(), "{sent:?}");
}

fn number(variable: &str, usual: u64) -> u64 {
    std::env::var(variable).ok().map_or(usual, |text| text.parse().expect(variable))
}

fn judged(test: &'static str, count: usize) {
    if child() {
        return;
    }
    let certificates = u32::try_from(number(CERTIFICATES, 1_000)).unwrap();
    let seed = number(SEED, u64::from(std::process::id()));
    println!("{certificates} certificates, {SEED}={seed}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let bench = runtime.block_on(async {
        let bench = Bench::empty().await;
        filled(&bench, certificates).await;
        bench
    });
    let copy = bench.folder.path().join("undisturbed.db");
    runtime.block_on(async {
        let mut raw = bench.raw().await;
        run(&mut raw, &format!("VACUUM INTO '{}'", copy.display())).await.unwrap();
    });
    #[cfg(unix)]
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let expected = runtime.block_on(undisturbed(&copy));
    assert!(expected.len() > certificates as usize, "some are told twice: {}", expected.len());
    let told = expected.values().filter(|to| to.starts_with("administrator")).count();
    assert!(told > 0 && told < certificates as usize, "some are told to the administrator: {told}");

    let mta = Mta::start(seed);
    let (path, port) = (bench.path(), mta.port);
    let round = Duration::from_millis(2 * u64::from(certificates));
    let mut mailers = Mailers { test, path, port, running: vec![], stopped: vec![], seed, interruptions: 0, round };
    for day in DAYS {
        let mut now = at(day * 1440);
        for _ in 0..ROUNDS {
            mailers.disturb(count, now);
            now += PAUSE;
        }
        mailers.go_on();
        // Then they are left alone, until what had to wait is sent.
        for _ in 0..8 {
            mailers.start(now);
            for mut child in std::mem::take(&mut mailers.running) {
                child.wait().unwrap();
            }
            now += PAUSE;
        }
    }
    let ends = runtime.block_on(ends(&bench));
    judge(&expected, &mta, &ends, mailers.interruptions);
}

/// How each mail ended, and after how many transmissions.
async fn ends(bench: &Bench) -> BTreeMap<String, (String, i64)> {
    let query = "SELECT lower(hex(id)), coalesce(disposition, state), attempts FROM outbox";
    let rows = sqlx::query(query).fetch_all(&mut bench.raw().await).await.unwrap();
    rows.iter().map(|row| (format!("<{}@bank.example>", row.get::<String, _>(0)), (row.get(1), row.get(2)))).collect()
}

fn judge(expected: &BTreeMap<String, String>, mta: &Mta, ends: &BTreeMap<String, (String, i64)>, interruptions: usize) {
    let received = mta.received();
    for (id, recipients) in &received {
        let to = expected.get(id).unwrap_or_else(|| panic!("{id} is sent by nobody who is left alone"));
        assert!(recipients.iter().all(|recipient| recipient == to), "{id} went to {recipients:?}");
        assert!(recipients.len() <= 2, "{id} came {} times", recipients.len());
    }
    assert_eq!(ends.keys().collect::<BTreeSet<_>>(), expected.keys().collect(), "planned");
    let mut open = 0;
    for (id, (end, attempts)) in ends {
        match (end.as_str(), received.contains_key(id)) {
            ("sent" | "unknown", true) => {}
            // Two mailers in a row died between the record of a transmission and its first octet: nobody can know, and
            // the operator is shown it.
            ("unknown", false) => {
                assert!(*attempts >= 2, "{id} was given up after {attempts}");
                open += 1;
            }
            (end, received) => panic!("{id} ended {end}, received: {received}"),
        }
    }
    let repeats = received.values().filter(|recipients| recipients.len() > 1).count();
    println!(
        "{} mails, {interruptions} interruptions, {repeats} repeats, {open} of which nobody knows",
        received.len()
    );
    assert!(repeats + open <= interruptions, "{repeats} repeats, {open} unknown, {interruptions} interruptions");
    assert!(interruptions > 10, "only {interruptions} interruptions");
    assert_eq!(received.len() + open, expected.len());
}

#[test]
fn invariant_58_one_mailer_killed_at_random_sends_what_one_left_alone_sends() {
    judged("mail_kill::invariant_58_one_mailer_killed_at_random_sends_what_one_left_alone_sends", 1);
}

#[test]
fn invariant_57_three_mailers_killed_and_stopped_at_random_send_what_one_left_alone_sends() {
    judged("mail_kill::invariant_57_three_mailers_killed_and_stopped_at_random_send_what_one_left_alone_sends", 3);
}
