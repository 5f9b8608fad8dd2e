//! What it costs to find the notices of expiry that are due, and to owe them, among very many certificates: the real planner
//! over the real store, on a file of so many rows.
//!
//! ```text
//! cargo xtask bench-sweep             # 100,000 and a million certificates
//! cargo xtask bench-sweep 10000000    # 100,000 and ten million: 10 GB on the disk, some 10 minutes
//! ```
//!
//! 3,000 notices become due at each midnight. A sweep looks at 1,500 more certificates, which come within 32 days of their
//! end then and have to be planned; it costs the same. What a process reads is what it asks the system for (`rchar` of
//! `proc(5)`), so that it counts the pages that were touched and not the luck with caches.

use std::{
    fmt, fs,
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use koshin_benches::{
    crowd::{Crowd, Gathered, planner},
    measure::{self, Disk, Latencies},
    place, stage,
};
use koshin_notify::{Look, Schedule as _, Wake};
use koshin_sqlite::Store;
use sqlx::Connection as _;
use time::UtcDateTime;

const SMALL: u32 = 100_000;
const LARGE: u32 = 1_000_000;
const DUE: u32 = 3_000;
/// Midnights that are swept.
const DAYS: u32 = 5;
/// How often the planner is asked in vain.
const POLLS: usize = 1_000;
/// How many certificates the planner reads at once.
const PAGE: usize = 500;

fn main() -> ExitCode {
    stage::main("sweep", run)
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let quick = arguments == ["--test"];
    let (sizes, due, days) = match arguments {
        [] => ([SMALL, LARGE], DUE, DAYS),
        ["--test"] => ([1_000, 40_000], 20, 2),
        [rows] => ([SMALL, rows.parse().context("usage: sweep [ROWS]")?], DUE, DAYS),
        other => anyhow::bail!("usage: sweep [ROWS], not {other:?}"),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let patience = Duration::from_secs(if quick { 0 } else { 15 });
    let mut costs = Vec::new();
    println!("{}", Cost::HEAD);
    for certificates in sizes {
        let cost = runtime.block_on(sweep(Crowd { certificates, due }, days, patience))?;
        println!("{cost}");
        costs.push(cost);
    }
    if let [small, large] = costs.as_slice() {
        println!(
            "{} against {}: listing {:.2} times, the whole sweep {:.2} times, an idle poll {:.2} times as much",
            large.certificates,
            small.certificates,
            large.list / small.list,
            large.whole / small.whole,
            large.idle / small.idle,
        );
    }
    Ok(())
}

/// What was measured with one crowd. Times are medians in microseconds.
struct Cost {
    certificates: u32,
    /// Notices that became due at a midnight, and certificates that were looked at for them.
    due: usize,
    looked_at: usize,
    /// Planner runs without anything to do: median and p99.
    idle: f64,
    idle_p99: f64,
    /// KiB that the first one read.
    idle_read: u64,
    /// Reading the pages of what is due, for each certificate, and KiB read for it.
    list: f64,
    list_read: u64,
    /// A whole run of the planner, durable, for each certificate looked at.
    whole: f64,
    /// Going through all certificates once, in milliseconds.
    scan: f64,
    gathered: Duration,
    gigabytes: f64,
    machine: String,
}

impl Cost {
    const HEAD: &str = "| certificates | looked at, of these due | idle poll, p50 / p99 us | KiB read | list, us each | KiB read \
                        | list + plan + mark + outbox, us each | full scan, ms | file, made in | machine |\n\
                        | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |";
}

impl fmt::Display for Cost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { certificates, due, looked_at, idle, idle_p99, idle_read, list, list_read, whole, scan, .. } = self;
        write!(
            f,
            "| {certificates} | {looked_at}, {due} | {idle:.0} / {idle_p99:.0} | {idle_read} | {list:.2} | {list_read} \
             | {whole:.1} | {scan:.1} | {:.1} GB, {:.0} s | {} |",
            self.gigabytes,
            self.gathered.as_secs_f64(),
            self.machine,
        )
    }
}

async fn sweep(crowd: Crowd, days: u32, patience: Duration) -> anyhow::Result<Cost> {
    let folder = place::folder()?;
    let begun = Instant::now();
    let gathered = crowd.gather(folder.path()).await?;
    let took = begun.elapsed();
    let machine =
        format!("{}; {}", Disk::measure(folder.path(), Duration::from_millis(500))?, measure::quiet(patience)?);
    let (mut idle, mut lists, mut wholes) = (Latencies::default(), Vec::new(), Vec::new());
    let (mut idle_read, mut list_read, mut due, mut looked_at) = (0, 0, 0, 0);
    for day in 1..=days {
        // Opened anew each day: nothing of it is in memory of the process.
        let (store, now) = (gathered.open().await?, Gathered::morning(day)?);
        let planner = planner(&store);
        let (before, early) = (read_so_far()?, Gathered::morning(day - 1)? + time::Duration::HOUR);
        for poll in 0..POLLS {
            let one = Instant::now();
            ensure!(matches!(planner.run(early).await?, Wake::At(_)), "something was due that should not be");
            idle.push(one.elapsed());
            if poll == 0 {
                idle_read = (read_so_far()? - before) / 1024;
            }
        }
        let (before, one) = (read_so_far()?, Instant::now());
        looked_at = list(&store, now).await?;
        lists.push(one.elapsed().as_secs_f64() * 1e6 / count(looked_at));
        list_read = (read_so_far()? - before) / 1024;

        let one = Instant::now();
        while planner.run(now).await? == Wake::Now {}
        wholes.push(one.elapsed().as_secs_f64() * 1e6 / count(looked_at));
        store.shut_down().await;
        due = usize::try_from(gathered.mark_sent(now, 0).await?)?;
        ensure!(due == usize::try_from(crowd.due)?, "{due} notices were planned instead of {}", crowd.due);
    }
    let scan = scan(&gathered).await?;
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    let gigabytes = fs::metadata(&gathered.file)?.len() as f64 / 1e9;
    Ok(Cost {
        certificates: crowd.certificates,
        due,
        looked_at,
        idle: idle.millis(500) * 1e3,
        idle_p99: idle.millis(990) * 1e3,
        idle_read,
        list: median(lists),
        list_read,
        whole: median(wholes),
        scan,
        gathered: took,
        gigabytes,
        machine,
    })
}

/// Reads all pages of what the planner would look at, and counts the certificates.
async fn list(store: &Store, now: UtcDateTime) -> anyhow::Result<usize> {
    let until = now + koshin_notify::horizon(30);
    let mut found = 0;
    for look in [Look::Due, Look::Unplanned { until }] {
        let mut after = None;
        loop {
            let page = store.look(look, now, after, PAGE).await?;
            found += page.rows.len();
            match page.more {
                Some(place) => after = Some(place),
                None => break,
            }
        }
    }
    Ok(found)
}

/// What a mailer does that asks every certificate for its end.
async fn scan(gathered: &Gathered) -> anyhow::Result<f64> {
    let mut connection = gathered.connect().await?;
    let one = Instant::now();
    let query = "SELECT count(*) FROM certificates NOT INDEXED WHERE status = 'active' AND not_after BETWEEN 1 AND 2";
    let found: i64 = sqlx::query_scalar(query).fetch_one(&mut connection).await?;
    ensure!(found == 0, "{found} certificates of 1970");
    let took = one.elapsed();
    connection.close().await?;
    Ok(took.as_secs_f64() * 1e3)
}

/// Octets that this process has asked for so far, wherever they came from.
fn read_so_far() -> anyhow::Result<u64> {
    let io = fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).context("proc tells of no rchar")?;
    Ok(line.parse()?)
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn count(rows: usize) -> f64 {
    rows.max(1) as f64
}
