//! Opening files, good and bad.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path};

use koshin_ra::Chronicle as _;
use koshin_sqlite::{OpenError, Store};
use sqlx::Row as _;

use crate::bench::{Bench, at, options, permit, raw, run};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

async fn refused(path: &Path) -> OpenError {
    Store::open(path, &options()).await.expect_err("the file is no good")
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_and_durable() {
    let bench = Bench::with(1).await;
    for name in ["koshin.db", "koshin.db-wal", "koshin.db-shm"] {
        assert_eq!(mode(&bench.folder.path().join(name)), 0o600, "{name}");
    }
    let mut raw = bench.raw().await;
    for (pragma, value) in [("page_size", "4096"), ("journal_mode", "wal"), ("application_id", "1263749198")] {
        let query = sqlx::AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"));
        assert_eq!(sqlx::query(query).fetch_one(&mut raw).await.unwrap().get::<String, _>(0), value, "{pragma}");
    }
    permit(&bench.store, 1, at(1)).await.unwrap();
    bench.store.shut_down().await;
    let again = Store::open(&bench.path(), &options()).await.unwrap();
    assert_eq!(permit(&again, 1, at(2)).await.unwrap(), 2);
}

#[tokio::test]
async fn two_who_make_the_same_file_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("koshin.db");
    let options = options();
    let (one, two) = tokio::join!(Store::open(&path, &options), Store::open(&path, &options));
    assert_eq!(one.unwrap().audit_head().await.unwrap(), two.unwrap().audit_head().await.unwrap());
}

#[tokio::test]
async fn what_others_can_read_is_refused() {
    let bench = Bench::empty().await;
    for bad in [0o644, 0o640, 0o606, 0o660] {
        set_mode(&bench.path(), bad);
        let error = refused(&bench.path()).await;
        assert!(matches!(error, OpenError::Exposed { mode, .. } if mode == bad), "{error:?}");
        assert!(
            error.to_string().ends_with(&format!("can be read by others (mode {bad:03o}); make it 600")),
            "{error}"
        );
    }
    set_mode(&bench.path(), 0o400);
    let error = refused(&bench.path()).await;
    assert!(matches!(error, OpenError::ReadOnly { .. }), "{error:?}");
    set_mode(&bench.path(), 0o600);
    Store::open(&bench.path(), &options()).await.unwrap();
}

#[tokio::test]
async fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = refused(&folder.path().join("nowhere/koshin.db")).await;
    assert!(matches!(&error, OpenError::NoFolder { path } if path.ends_with("nowhere")), "{error:?}");
    assert!(error.to_string().ends_with("nowhere does not exist"), "{error}");
    let error = refused(folder.path()).await;
    assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.db");
    fs::write(&text, "no database at all, but long enough to be looked at".repeat(20)).unwrap();
    let other = folder.path().join("other.db");
    fs::write(&other, "").unwrap();
    run(&mut raw(other.clone()).await, "CREATE TABLE subjects (name TEXT)").await.unwrap();
    for path in [text, other] {
        set_mode(&path, 0o600);
        let before = fs::read(&path).unwrap();
        let error = refused(&path).await;
        assert!(matches!(error, OpenError::Foreign { .. }), "{error:?}");
        if path.ends_with("text.db") {
            assert_eq!(fs::read(&path).unwrap(), before);
        }
    }
}

/// A file that knows no clock yet has one after the update: the largest instant of its audit log.
#[tokio::test]
async fn an_older_file_learns_of_the_time() {
    let bench = Bench::with(1).await;
    permit(&bench.store, 1, at(7)).await.unwrap();
    bench.store.advance(at(1_000)).await.unwrap();
    bench.store.shut_down().await;
    let mut raw = bench.raw().await;
    run(&mut raw, "DROP TABLE clock").await.unwrap();
    run(&mut raw, "DELETE FROM _sqlx_migrations WHERE version = 2").await.unwrap();
    let again = Store::open(&bench.path(), &options()).await.unwrap();
    assert_eq!(again.recorded().await.unwrap().largest, Some(at(7)));
}

#[tokio::test]
async fn a_newer_or_altered_file_is_refused_and_not_touched() {
    let bench = Bench::with(1).await;
    bench.store.shut_down().await;
    let mut raw = bench.raw().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 VALUES (999, 'from the future', 1, x'00', 0)";
    run(&mut raw, newer).await.unwrap();
    let error = refused(&bench.path()).await;
    let OpenError::Newer { found: 999, known, .. } = error else { panic!("{error:?}") };
    let sentence = format!("to version 999 by a newer program; this one knows {known}");
    assert!(error.to_string().ends_with(&sentence), "{error}");
    run(&mut raw, "DELETE FROM _sqlx_migrations WHERE version = 999").await.unwrap();
    run(&mut raw, "UPDATE _sqlx_migrations SET checksum = x'00' WHERE version = 1").await.unwrap();
    let error = refused(&bench.path()).await;
    assert!(matches!(error, OpenError::Altered { version: 1, .. }), "{error:?}");
    let version = sqlx::query("SELECT version FROM subjects").fetch_one(&mut raw).await.unwrap();
    assert_eq!(version.get::<i64, _>(0), 0);
}
