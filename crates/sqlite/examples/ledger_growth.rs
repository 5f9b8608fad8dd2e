//! What issuing costs in a ledger of many certificates, beside an empty one, in the same run.
//!
//! ```text
//! cargo run --release -p koshin-sqlite --example ledger_growth -- [ROWS] [COUNT] [FOLDER]
//! ```
//!
//! `ROWS` certificates (100,000) are put into a ledger in `FOLDER` (a temporary one), some 2.5 kB each. Then `COUNT` (4,000)
//! are issued in turn into that ledger and into an empty one, five times each, 64 at once: an intent and a certificate, both
//! durable. Nothing is signed, so that the ratio is that of the ledgers alone. A folder that holds a filled ledger already
//! is used as it is.

use std::{
    error::Error,
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    time::Instant,
};

use koshin_endpoints::ca::{Intent, Ledger as _, OrderKey};
use koshin_sqlite::{LedgerStore, Options};
use koshin_types::{Fingerprint, RenewalId, SerialNumber, Validity};
use ring::rand::{SecureRandom as _, SystemRandom};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection, sqlite::SqliteConnectOptions};
use time::{Duration, UtcDateTime};

type Outcome<T> = Result<T, Box<dyn Error>>;

const AT_ONCE: u64 = 64;
const TURNS: usize = 5;
/// Rows of one transaction while the ledger is filled.
const SHARE: u64 = 50_000;
/// Octets of the to-be-signed bytes, and of a certificate.
const SIZES: (usize, usize) = (600, 700);

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1);
    let rows: u64 = arguments.next().map_or(Ok(100_000), |text| text.parse())?;
    let count: u64 = arguments.next().map_or(Ok(4_000), |text| text.parse())?;
    let temporary = tempfile::tempdir()?;
    let folder = arguments.next().map_or_else(|| temporary.path().to_owned(), PathBuf::from);
    let filled = folder.join("filled.db");
    if !filled.exists() {
        let began = Instant::now();
        fill(&filled, rows).await?;
        println!("filled with {rows} certificates in {:.1} s", began.elapsed().as_secs_f64());
    }
    println!("{:.0} fdatasyncs/s on this disk", sync_rate(&folder)?);
    let empty = LedgerStore::open(&temporary.path().join("empty.db"), &Options::default()).await?;
    let filled = LedgerStore::open(&filled, &Options::default()).await?;
    let mut issuer = Issuer { random: SystemRandom::new(), issued: 0 };
    // Both once before anything is counted.
    for ledger in [&empty, &filled] {
        issuer.issue(ledger, count / 4).await?;
    }
    let mut rates = [Vec::new(), Vec::new()];
    println!("{:<8} {:>12} {:>14}", "ledger", "issued/s", "CPU each, µs");
    for _ in 0..TURNS {
        for ((name, ledger), rates) in [("empty", &empty), ("filled", &filled)].into_iter().zip(&mut rates) {
            let (began, cpu) = (Instant::now(), cpu_seconds());
            issuer.issue(ledger, count).await?;
            #[expect(clippy::cast_precision_loss, reason = "a count of some thousands")]
            let (rate, each) = (count as f64 / began.elapsed().as_secs_f64(), (cpu_seconds() - cpu) / count as f64);
            println!("{name:<8} {rate:>12.0} {:>14.1}", each * 1e6);
            rates.push(rate);
        }
    }
    let [empty_rate, filled_rate] = rates.map(median);
    println!("the filled ledger issues at {:.3} of the empty one's rate (medians)", filled_rate / empty_rate);
    empty.shut_down().await;
    filled.shut_down().await;
    Ok(())
}

struct Issuer {
    random: SystemRandom,
    issued: i64,
}

impl Issuer {
    async fn issue(&mut self, ledger: &LedgerStore, count: u64) -> Outcome<()> {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..AT_ONCE {
            let intents = (0..count / AT_ONCE).map(|_| self.intent()).collect::<Outcome<Vec<_>>>()?;
            let ledger = ledger.clone();
            tasks.spawn(async move {
                for intent in intents {
                    let (serial, at) = (intent.serial, intent.at);
                    ledger.intend(intent).await.map_err(|error| error.to_string())?;
                    ledger.issued(&serial, &[2; SIZES.1], at).await.map_err(|error| error.to_string())?;
                }
                Ok::<_, String>(())
            });
        }
        while let Some(done) = tasks.join_next().await {
            done??;
        }
        Ok(())
    }

    fn intent(&mut self) -> Outcome<Intent> {
        self.issued += 1;
        let (mut serial, mut spki, mut renewal) = ([0; 13], [0; 32], [0; 16]);
        for octets in [&mut serial[..], &mut spki, &mut renewal] {
            self.random.fill(octets).map_err(|_| "no randomness")?;
        }
        let at = UtcDateTime::UNIX_EPOCH + Duration::days(30_000) + Duration::milliseconds(self.issued);
        let begin = UtcDateTime::UNIX_EPOCH + Duration::days(30_000);
        Ok(Intent {
            order: OrderKey { renewal: RenewalId::new(renewal), spki: Fingerprint::new(spki) },
            client: "portal".to_owned(),
            profile: "client".to_owned(),
            organization: "Midori Shoji".to_owned(),
            subject: format!("U-{}", self.issued),
            serial: SerialNumber::from_time_and_random(at.unix_timestamp() * 1000 + self.issued, serial),
            validity: Validity::new(begin, begin + Duration::days(365) - Duration::SECOND)?,
            tbs: vec![1; SIZES.0],
            at,
        })
    }
}

/// Puts rows into a ledger as issuing would have, in the order of time. The audit records are as long as real ones, and their
/// hashes are zeros: this ledger is for measuring only.
async fn fill(path: &Path, rows: u64) -> Outcome<()> {
    LedgerStore::open(path, &Options::default()).await?.shut_down().await;
    let mut raw = SqliteConnectOptions::new().filename(path).pragma("cache_size", "-262144").connect().await?;
    let mut done = 0;
    while done < rows {
        let share = SHARE.min(rows - done);
        put(&mut raw, done, share).await?;
        done += share;
    }
    raw.close().await?;
    Ok(())
}

async fn put(raw: &mut SqliteConnection, first: u64, count: u64) -> Outcome<()> {
    const NUMBERS: &str = "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?1 + ?2)";
    let mut tx = raw.begin().await?;
    for statement in [
        "INSERT INTO audit SELECT 2 * i + 1, 1800000000000 + i, 'portal', 'U-' || i, 1, 'intended', \
         hex(randomblob(200)), zeroblob(32) FROM n",
        "INSERT INTO audit SELECT 2 * i + 2, 1800000000000 + i, 'portal', 'U-' || i, 1, 'issued', \
         hex(randomblob(65)), zeroblob(32) FROM n",
        "INSERT INTO entries SELECT 2 * i + 1, unhex(printf('00%012x', 1800000000000 + i) || hex(randomblob(13))), \
         randomblob(32), randomblob(16), 'portal', 'client', 'Midori Shoji', 'U-' || i, 1800000000, 1831535999, \
         1800000000000 + i, randomblob(600) FROM n",
        "INSERT INTO certificates SELECT 2 * i + 1, randomblob(700) FROM n",
        "INSERT INTO changes SELECT 2 * i + 2, 2 * i + 1, 'issued' FROM n",
    ] {
        let statement = sqlx::AssertSqlSafe(format!("{NUMBERS} {statement}"));
        sqlx::query(statement).bind(i64::try_from(first)?).bind(i64::try_from(count)?).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How often a small write becomes durable in a second.
fn sync_rate(folder: &Path) -> Outcome<f64> {
    const TIMES: u32 = 300;
    let path = folder.join("sync-rate");
    let mut file = fs::File::create(&path)?;
    let began = Instant::now();
    for _ in 0..TIMES {
        file.write_all(&[0; 4096])?;
        file.sync_data()?;
    }
    let rate = f64::from(TIMES) / began.elapsed().as_secs_f64();
    fs::remove_file(path)?;
    Ok(rate)
}

/// CPU time of this process so far, user and system, in steps of 10 ms; zero where there is no `/proc`.
fn cpu_seconds() -> f64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
    fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
}
