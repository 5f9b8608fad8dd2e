//! A revocation list out of a database with very many revocations, and the first OCSP answer from it: time and memory.
//!
//! ```text
//! cargo run --release -p koshin-benches --bin lists            # a million
//! cargo run --release -p koshin-benches --bin lists -- 100000
//! ```
//!
//! Memory is what the process holds (`VmRSS`, and `VmHWM` for the most), in a process that has done nothing else.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    sync::Arc,
    time::Instant,
};

use anyhow::{Context as _, ensure};
use koshin_benches::{place, rim, stage};
use koshin_endpoints::{
    CrlSettings, OcspService, OcspSettings, Place, Publication, Publisher, RevocationSource, StatusSource,
};
use koshin_issuance::{
    AuthorityName, AuthorityPlan, Ca, OcspStatus, Profile, ProfileConfig, create_issuing, create_root, new_serial,
};
use koshin_sqlite::{Options, Store};
use koshin_types::Validity;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use time::Duration;

/// How often each figure is taken.
const ROUNDS: usize = 5;
const MILLION: u32 = 1_000_000;
/// How many revocations the publisher asks for at once.
const PAGE: usize = 4096;

fn main() -> ExitCode {
    stage::main("lists", run)
}

fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments {
        [] => all(MILLION),
        ["prepare", database, count] => runtime.block_on(prepare(Path::new(database), count.parse()?)),
        ["list", database] => runtime.block_on(list(Path::new(database))),
        ["ocsp", database] => runtime.block_on(ocsp(Path::new(database))),
        [count] => all(count.parse().context("usage: lists [COUNT]")?),
        other => anyhow::bail!("usage: lists [COUNT], not {other:?}"),
    }
}

/// Each part in a process of its own, so that the memory of one is not the other's.
fn all(count: u32) -> anyhow::Result<()> {
    let folder = place::folder()?;
    let database = folder.path().join("koshin.db");
    println!("{count} revoked certificates");
    let database = database.to_str().context("the folder's name is no text")?;
    for arguments in [&["prepare", database, &count.to_string()][..], &["ocsp", database], &["list", database]] {
        let done = Command::new(std::env::current_exe()?).args(arguments).status()?;
        ensure!(done.success(), "{arguments:?}: {done}");
    }
    Ok(())
}

/// Fills the table of certificates with revoked ones; what their rows hang on is of no interest here.
async fn prepare(database: &Path, count: u32) -> anyhow::Result<()> {
    let begun = Instant::now();
    Store::open(database, &Options::default()).await?.shut_down().await;
    let mut connection = SqliteConnection::connect(&format!("sqlite:{}", database.display())).await?;
    sqlx::query("PRAGMA foreign_keys = OFF").execute(&mut connection).await?;
    let insert = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) \
                  INSERT INTO certificates (serial, subject, generation, fingerprint, not_before, not_after, spki, \
                  protection, issued_at, status, status_at, reason, deferred) \
                  SELECT unhex(printf('%012x', 1790000000000 + i) || hex(randomblob(13))), i, 1, randomblob(32), 0, \
                  4000000000, x'', '', 0, 'revoked', 1790000000000 + i, 'cessationOfOperation', 0 FROM n";
    sqlx::query(insert).bind(count).execute(&mut connection).await?;
    let word = sqlx::query("SELECT reason FROM certificates LIMIT 1").fetch_one(&mut connection).await?;
    let word: &str = word.try_get(0)?;
    word.parse::<koshin_types::RevocationReason>().ok().context("that is no word for a reason")?;
    connection.close().await?;
    println!("prepared in {:.1} s", begun.elapsed().as_secs_f64());
    Ok(())
}

async fn list(database: &Path) -> anyhow::Result<()> {
    let store = Arc::new(Store::open(database, &Options::default()).await?);
    let folder: PathBuf = database.parent().context("the database lies nowhere")?.join("lists");
    fs::create_dir_all(&folder)?;
    let publication = Publication::new(Arc::new(rim::now));
    let source: Arc<dyn RevocationSource> = store;
    let place = Place::new(&folder, "issuing.crl");
    let publisher = Publisher::new(Arc::new(ca()?), source.clone(), publication, place, CrlSettings::default());
    let idle = memory("VmRSS")?;
    for round in 0..ROUNDS {
        let begun = Instant::now();
        let mut last = None;
        loop {
            let page = source.revocations(last, PAGE).await?;
            last = page.last().map(|revoked| revoked.entry.serial);
            if page.len() < PAGE {
                break;
            }
        }
        let read = begun.elapsed();
        let begun = Instant::now();
        publisher.publish(rim::now()).await?;
        let whole = begun.elapsed();
        let (most, octets) = (memory("VmHWM")?, fs::metadata(folder.join("issuing.crl"))?.len());
        println!(
            "list {round}: {:.3} s, of which {:.3} s to read the revocations; {:.1} MB; at most {:.1} MiB above idle ({:.1} MiB)",
            whole.as_secs_f64(),
            read.as_secs_f64(),
            mega(octets, 1_000_000),
            mega(most.saturating_sub(idle), 1 << 20),
            mega(idle, 1 << 20),
        );
    }
    Ok(())
}

async fn ocsp(database: &Path) -> anyhow::Result<()> {
    let begun = Instant::now();
    let store = Arc::new(Store::open(database, &Options::default()).await?);
    let source: Arc<dyn StatusSource> = Arc::clone(&store) as _;
    let service = OcspService::new(source.clone(), Arc::new(rim::now), OcspSettings::default());
    let (first, _) = *store.revocations(None, 1).await?.first().context("there is no certificate")?;
    let status = source.status(&first.serial).await?;
    ensure!(matches!(status, OcspStatus::Revoked { .. }), "{status:?}");
    let ready = begun.elapsed();
    println!(
        "OCSP: ready with the first status after {:.1} ms; {:.1} MiB; {} answers kept",
        ready.as_secs_f64() * 1e3,
        mega(memory("VmRSS")?, 1 << 20),
        service.kept(),
    );
    Ok(())
}

fn ca() -> anyhow::Result<Ca> {
    let (now, random) = (rim::now().truncate_to_second(), rim::random());
    let for_days = |days| Validity::new(now - Duration::DAY, now + Duration::days(days));
    let serial = || new_serial(now, random.as_ref());
    let name = AuthorityName::new(Some("JP"), "Koshin benches", "Root")?;
    let root = create_root(&AuthorityPlan::root(name), serial()?, for_days(7300)?, &random)?;
    let name = AuthorityName::new(Some("JP"), "Koshin benches", "Issuing")?;
    let issuing = create_issuing(&AuthorityPlan::issuing(name), &root, serial()?, for_days(3650)?, &random)?;
    let certificate = issuing.certificate_der().to_vec();
    let profile = Profile::new(ProfileConfig::default())?;
    Ok(Ca::load(&certificate, &[], Box::new(issuing.into_signer()), profile)?)
}

/// Octets that `/proc/self/status` tells of.
fn memory(what: &str) -> anyhow::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(what)).context("there is no such line")?;
    let kib: u64 = line.split_whitespace().nth(1).context("there is no figure")?.parse()?;
    Ok(kib * 1024)
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn mega(octets: u64, unit: u64) -> f64 {
    octets as f64 / unit as f64
}
