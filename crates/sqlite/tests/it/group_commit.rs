//! The writer.

use std::time::Duration;

use koshin_notify::{Mail, Notice};
use koshin_ra::{Commit, CommitError, Registry as _, StorageError};
use koshin_sqlite::{Options, Store};
use koshin_types::Language;
use tokio::task::JoinSet;

use crate::bench::{Bench, at, commit, id, issued, options, permit, renewal_id, requested, run};

/// 64 commits that arrive together all succeed, in fewer commits than jobs; those who come again find each other again.
#[tokio::test]
async fn concurrent_commits_share_a_commit() {
    let bench = Bench::with(64).await;
    let before = bench.store.stats();
    let mut tasks = JoinSet::new();
    for subject in 1..=64 {
        let store = bench.store.clone();
        tasks.spawn(async move {
            for round in 0..4 {
                permit(&store, subject, at(round)).await.unwrap();
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let stats = bench.store.stats();
    assert_eq!(stats.jobs - before.jobs, 256);
    assert!(stats.batches - before.batches < 128, "{stats:?}");
    assert!(stats.largest > 8, "{stats:?}");
    for subject in 1..=64 {
        assert_eq!(bench.file(subject).await.version, 4);
    }
    assert_eq!(bench.store.audit_replay().await.unwrap().subjects, 64);
}

/// In one commit with others, a job that is refused takes nobody with it and leaves nothing.
#[tokio::test]
async fn a_refused_job_rolls_back_alone() {
    let bench = Bench::with(8).await;
    let stale = bench.file(1).await;
    let policy = koshin_expiry::Policy::default_jst();
    for subject in 1..=8 {
        permit(&bench.store, subject, at(0)).await.unwrap();
        let file = bench.file(subject).await;
        let enrol = file.holding.enrol(renewal_id(subject), &policy, at(0)).unwrap();
        bench.store.commit(commit(&file, enrol, at(0))).await.unwrap();
    }
    let mut tasks = JoinSet::new();
    for subject in 2..=8_u32 {
        // 2, 4, 6 and 8 bring the same key; the first of them wins.
        let key = if subject % 2 == 0 { 100 } else { subject };
        let (store, file) = (bench.store.clone(), bench.file(subject).await);
        tasks.spawn(async move {
            let done = store.commit(requested(&file, key, at(1))).await;
            (subject, done)
        });
    }
    let store = bench.store.clone();
    tasks.spawn(async move {
        let late = commit(&stale, stale.holding.permit(at(9), at(1)), at(1));
        (1, store.commit(late).await)
    });
    let (mut seen, mut stored) = (0, 0);
    while let Some(done) = tasks.join_next().await {
        match done.unwrap() {
            (1, Err(CommitError::Conflict { expected: 0, found: 2 })) => {}
            (2 | 4 | 6 | 8, Err(CommitError::KeySeen { .. })) => seen += 1,
            (2..=8, Ok(())) => stored += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((seen, stored), (3, 4));
    bench.store.audit_replay().await.unwrap();
}

/// When SQLite itself throws the transaction away, nobody in it is told that his commit is stored.
#[tokio::test]
async fn a_lost_batch_is_lost_for_all() {
    let bench = Bench::with(32).await;
    let trigger = "CREATE TRIGGER boom BEFORE INSERT ON outbox BEGIN SELECT RAISE(ROLLBACK, 'boom'); END";
    run(&mut bench.raw().await, trigger).await.unwrap();
    let mut tasks = JoinSet::new();
    for subject in 1..=32_u32 {
        let (store, file) = (bench.store.clone(), bench.file(subject).await);
        tasks.spawn(async move {
            let mut permit = commit(&file, file.holding.permit(at(9), at(1)), at(1));
            if subject == 16 {
                let notice = Notice::AddressChanged { at: at(1) };
                let to = "taro@example.co.jp".parse().unwrap();
                permit.mails = vec![Mail::new(notice, "1", to, Language::Ja, id(16))];
            }
            (subject, store.commit(permit).await)
        });
    }
    let mut lost = 0;
    while let Some(done) = tasks.join_next().await {
        let (subject, done) = done.unwrap();
        let version = bench.file(subject).await.version;
        match done {
            Ok(()) => assert_eq!(version, 1, "U-{subject} was told that it is stored"),
            Err(CommitError::Storage(StorageError::Unavailable(_))) => {
                assert_eq!(version, 0, "U-{subject} was told that it is not");
                lost += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(lost > 1, "the one that failed was alone");
    run(&mut bench.raw().await, "DROP TRIGGER boom").await.unwrap();
    permit(&bench.store, 16, at(2)).await.unwrap();
    bench.store.audit_replay().await.unwrap();
}

/// Two stores on one file: both write, one audit chain, and each sees the other's commits at once.
#[tokio::test]
async fn two_stores_share_a_file() {
    let bench = Bench::with(2).await;
    let other = Store::open(&bench.path(), &options()).await.unwrap();
    let (one, two) = tokio::join!(
        async {
            for round in 0..40 {
                permit(&bench.store, 1, at(round)).await.unwrap();
            }
        },
        async {
            for round in 0..40 {
                permit(&other, 2, at(round)).await.unwrap();
            }
        }
    );
    assert_eq!((one, two), ((), ()));
    for round in 0..20 {
        let (a, b) = tokio::join!(permit(&bench.store, 1, at(round)), permit(&other, 1, at(round)));
        let conflict = |done: &Result<u64, CommitError>| matches!(done, Err(CommitError::Conflict { .. }));
        assert!(a.is_ok() && (b.is_ok() || conflict(&b)) || conflict(&a) && b.is_ok(), "{a:?} {b:?}");
    }
    let version = permit(&bench.store, 2, at(99)).await.unwrap();
    assert_eq!(other.subject(&id(2)).await.unwrap().unwrap().version, version);
    assert_eq!(other.audit_replay().await.unwrap(), bench.store.audit_replay().await.unwrap());
    other.shut_down().await;
}

/// A lock that somebody else holds is waited for, not for ever, and then said.
#[tokio::test]
async fn a_locked_file_is_unavailable_for_a_while() {
    let bench = Bench::with(1).await;
    let busy = Options { busy_timeout: Duration::from_millis(40), ..options() };
    let impatient = Store::open(&bench.path(), &busy).await.unwrap();
    let mut raw = bench.raw().await;
    run(&mut raw, "BEGIN IMMEDIATE").await.unwrap();
    let error = permit(&impatient, 1, at(1)).await.unwrap_err();
    assert!(matches!(&error, CommitError::Storage(error) if error.is_transient()), "{error:?}");
    assert_eq!(impatient.subject(&id(1)).await.unwrap().unwrap().version, 0, "readers do not wait");
    let (patient, ()) = tokio::join!(permit(&bench.store, 1, at(1)), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        run(&mut raw, "ROLLBACK").await.unwrap();
    });
    assert_eq!(patient.unwrap(), 1);
    assert_eq!(permit(&impatient, 1, at(1)).await.unwrap(), 2);
}

/// What was queued before the store is shut down is stored; later calls are refused as unavailable.
#[tokio::test]
async fn shutting_down_finishes_what_was_queued() {
    let bench = Bench::with(16).await;
    let mut tasks = JoinSet::new();
    for subject in 1..=16 {
        let store = bench.store.clone();
        tasks.spawn(async move { permit(&store, subject, at(1)).await });
    }
    tokio::task::yield_now().await;
    bench.store.shut_down().await;
    let reopened = Store::open(&bench.path(), &options()).await.unwrap();
    let mut stored = 0;
    while let Some(done) = tasks.join_next().await {
        // A task that had not even read its file when the readers closed panics on it, which is as good as refused.
        stored += u64::from(matches!(done, Ok(Ok(_))));
    }
    let mut found = 0;
    for subject in 1..=16 {
        found += reopened.subject(&id(subject)).await.unwrap().unwrap().version;
    }
    assert_eq!(stored, found);
    let error = bench.store.subject(&id(1)).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    bench.store.shut_down().await;
}

/// The log is carried over into the file when nobody waits, so that no commit has to.
#[tokio::test]
async fn an_idle_writer_carries_the_log_over() {
    let bench = Bench::with(1).await;
    bench.enrolled(1, 7, at(0)).await;
    let file = std::fs::metadata(bench.path()).unwrap().len();
    let file_of = async |subject| {
        for round in 0..200 {
            permit(&bench.store, subject, at(round)).await.unwrap();
        }
    };
    file_of(1).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(std::fs::metadata(bench.path()).unwrap().len() > file, "nothing was carried over");
    let file = bench.file(1).await;
    assert_eq!(file.holding.certificates.len(), 1);
    let policy = koshin_expiry::Policy::default_jst();
    let later = at(0) + time::Duration::days(20);
    let start = file.holding.start(renewal_id(8), &policy, later).unwrap();
    bench.store.commit(commit(&file, start, later)).await.unwrap();
    for step in [requested, issued] {
        let next: Commit = step(&*bench.file(1).await, 8, later);
        bench.store.commit(next).await.unwrap();
    }
    bench.store.audit_replay().await.unwrap();
}
