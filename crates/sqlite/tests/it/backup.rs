//! Copies of a database that is in use.

use std::{fs, os::unix::fs::PermissionsExt as _};

use koshin_ra::Directory as _;
use koshin_sqlite::{BackupError, Store};

use crate::bench::{Bench, at, options, permit};

#[tokio::test]
async fn a_copy_is_whole_private_and_can_be_opened() {
    let bench = Bench::with(3).await;
    permit(&bench.store, 1, at(1)).await.unwrap();
    let to = bench.folder.path().join("copy's.db");
    bench.store.backup(&to).await.unwrap();
    // What happens later is not in it.
    permit(&bench.store, 2, at(2)).await.unwrap();
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!bench.folder.path().join("copy's.db-wal").exists(), "it is one file");
    let copy = Store::open(&to, &options()).await.unwrap();
    let (copied, head) = (copy.audit_replay().await.unwrap(), bench.store.audit_head().await.unwrap());
    assert_eq!((copied.subjects, copied.head.sequence + 1), (3, head.sequence));
    assert_eq!(copy.subjects(None, None).await.unwrap().len(), 3);
    permit(&copy, 3, at(3)).await.unwrap();
}

#[tokio::test]
async fn a_copy_is_made_while_others_write() {
    let bench = Bench::with(1).await;
    let writing = async {
        for round in 0..50 {
            permit(&bench.store, 1, at(round)).await.unwrap();
        }
    };
    let copying = async {
        for round in 0..5 {
            bench.store.backup(&bench.folder.path().join(format!("{round}.db"))).await.unwrap();
        }
    };
    tokio::join!(writing, copying);
    for round in 0..5 {
        let copy = Store::open(&bench.folder.path().join(format!("{round}.db")), &options()).await.unwrap();
        assert_eq!(copy.audit_replay().await.unwrap().subjects, 1);
    }
}

#[tokio::test]
async fn nothing_is_replaced_and_nothing_left_behind() {
    let bench = Bench::with(1).await;
    let error = bench.store.backup(&bench.path()).await.unwrap_err();
    assert!(matches!(&error, BackupError::Exists { path } if *path == bench.path()), "{error:?}");
    assert_eq!(bench.store.audit_replay().await.unwrap().subjects, 1);
    let nowhere = bench.folder.path().join("nowhere/copy.db");
    let error = bench.store.backup(&nowhere).await.unwrap_err();
    assert!(matches!(error, BackupError::File { .. }), "{error:?}");
    assert!(!nowhere.exists());
}
