//! `kill -9` at any moment takes no acknowledged commit back.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use koshin_ra::Registry as _;
use koshin_sqlite::Store;
use sqlx::Row as _;

use crate::bench::{Bench, at, id, options, permit};

pub(crate) const FILE: &str = "KOSHIN_SQLITE_TEST_FILE";
const SUBJECTS: u32 = 6;

/// This test binary again, with one of the tests below, which then writes to the file.
pub(crate) fn child(test: &str, path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Commits on every subject, and says each time what was acknowledged.
async fn commits(path: &Path, rounds: u32) {
    let store = Store::open(path, &options()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    for subject in 1..=SUBJECTS {
        let store = store.clone();
        tasks.spawn(async move {
            for round in 0..rounds {
                match permit(&store, subject, at(i64::from(round))).await {
                    Ok(version) => {
                        let mut out = std::io::stdout().lock();
                        writeln!(out, "\nstored {subject} {version}").unwrap();
                        out.flush().unwrap();
                    }
                    Err(error) => assert!(matches!(error, koshin_ra::CommitError::Conflict { .. }), "{error:?}"),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    store.shut_down().await;
}

fn acknowledged(line: &str) -> Option<(u32, u64)> {
    let (subject, version) = line.strip_prefix("stored ")?.split_once(' ')?;
    Some((subject.parse().ok()?, version.parse().ok()?))
}

#[test]
fn every_acknowledged_commit_survives_kill_9() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(path) = std::env::var_os(FILE) {
        return runtime.block_on(commits(Path::new(&path), u32::MAX));
    }
    let bench = runtime.block_on(async {
        let bench = Bench::with(SUBJECTS).await;
        bench.store.shut_down().await;
        bench
    });
    let mut total = 0;
    for round in 0..20_u64 {
        let mut child = child("kill::every_acknowledged_commit_survives_kill_9", &bench.path());
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said: BTreeMap<u32, u64> = BTreeMap::new();
        let mut deadline = None;
        // Between 0 and 150 ms after the first acknowledgement, at another moment each time.
        let pause = Duration::from_micros((round * 7_919 + 13) * 997 % 150_000);
        while let Some(Ok(line)) = lines.next() {
            if let Some((subject, version)) = acknowledged(&line) {
                said.insert(subject, version);
                total += 1;
            }
            if !said.is_empty() && Instant::now() >= *deadline.get_or_insert(Instant::now() + pause) {
                child.kill().unwrap();
            }
        }
        child.wait().unwrap();
        assert!(!said.is_empty(), "round {round}: nothing was acknowledged");
        runtime.block_on(async {
            let mut raw = bench.raw().await;
            let check = sqlx::query("PRAGMA integrity_check").fetch_one(&mut raw).await.unwrap();
            assert_eq!(check.get::<String, _>(0), "ok");
            drop(raw);
            let store = Store::open(&bench.path(), &options()).await.unwrap();
            for (subject, version) in said {
                let found = store.subject(&id(subject)).await.unwrap().unwrap().version;
                assert!(found >= version, "round {round}: U-{subject} is at {found}, {version} was acknowledged");
            }
            store.audit_replay().await.unwrap();
            store.shut_down().await;
        });
    }
    assert!(total > 100, "only {total} commits in all rounds");
}

/// The operator's command writes beside a running server: two processes, one file, one audit chain.
#[test]
fn two_processes_share_a_file() {
    const ROUNDS: u32 = 25;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    if let Some(path) = std::env::var_os(FILE) {
        return runtime.block_on(commits(Path::new(&path), ROUNDS));
    }
    runtime.block_on(async {
        let bench = Bench::with(SUBJECTS).await;
        let mut child = child("kill::two_processes_share_a_file", &bench.path());
        let out = child.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            BufReader::new(out).lines().map_while(Result::ok).filter_map(|line| acknowledged(&line)).count()
        });
        let mut own = 0;
        while child.try_wait().unwrap().is_none() {
            for subject in 1..=SUBJECTS {
                match permit(&bench.store, subject, at(1)).await {
                    Ok(_) => own += 1,
                    Err(error) => assert!(matches!(error, koshin_ra::CommitError::Conflict { .. }), "{error:?}"),
                }
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(child.wait().unwrap().success());
        let theirs = reader.join().unwrap();
        assert!(own > 0 && theirs > 0, "{own} and {theirs}");
        let mut stored = 0;
        for subject in 1..=SUBJECTS {
            stored += usize::try_from(bench.file(subject).await.version).unwrap();
        }
        assert_eq!(stored, own + theirs);
        bench.store.audit_replay().await.unwrap();
    });
}
