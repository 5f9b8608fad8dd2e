//! Where the witness lies, and what goes on without it.

use std::{fs, os::unix::fs::symlink, path::Path};

use koshin_endpoints::{
    RevocationSource as _, StatusSource,
    ca::{IntendError, Ledger as _, LedgerError},
};
use koshin_issuance::OcspStatus;
use koshin_ra::{CommitError, Registry as _, StorageError};
use koshin_sqlite::{LedgerStore, OpenError, Options, Standing, Store, WitnessSilent};

use crate::{
    bench::{Bench, at, id, issued, options, permit, run},
    ledger::{Desk, intent, issue, revocation, serial},
    restore::edition,
};

/// In its place stands something that cannot be written to, whoever tries.
fn silence(witness: &Path) -> Vec<u8> {
    let kept = fs::read(witness).unwrap();
    fs::remove_file(witness).unwrap();
    fs::create_dir(witness).unwrap();
    kept
}

fn mend(witness: &Path, kept: &[u8]) {
    fs::remove_dir(witness).unwrap();
    fs::write(witness, kept).unwrap();
}

fn why(error: &dyn std::error::Error) -> String {
    std::iter::successors(Some(error), |error| error.source()).map(|error| format!("{error}. ")).collect()
}

#[tokio::test]
async fn a_link_to_a_database_has_no_witness_of_its_own() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    desk.ledger.shut_down().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link.db");
    symlink(desk.path(), &link).unwrap();
    let linked = LedgerStore::open(&link, &options()).await.unwrap();
    assert_eq!(linked.standing().await.unwrap(), Standing::Current);
    issue(&linked, 2, at(2)).await;
    linked.shut_down().await;
    let beside: Vec<_> = fs::read_dir(elsewhere.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(beside, ["link.db"]);
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(again.standing().await.unwrap(), Standing::Current);
    // A link to nothing is no place for a new one.
    let dangling = elsewhere.path().join("dangling.db");
    symlink(elsewhere.path().join("nowhere.db"), &dangling).unwrap();
    let refused = LedgerStore::open(&dangling, &options()).await.unwrap_err();
    assert!(matches!(&refused, OpenError::File { path, .. } if *path == dangling), "{refused:?}");
}

/// Before it is needed: a service that could not tell it would issue nothing.
#[tokio::test]
async fn a_witness_that_cannot_be_written_is_found_at_once() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    desk.ledger.shut_down().await;
    let witness = desk.folder.path().join("no-such-folder/ca.witness");
    let elsewhere = Options { witness: Some(witness.clone()), ..options() };
    let refused = LedgerStore::open(&desk.path(), &elsewhere).await.unwrap_err();
    assert!(matches!(&refused, OpenError::WitnessReadOnly { path, .. } if *path == witness), "{refused:?}");
    let said = refused.to_string();
    assert!(said.contains("ca.witness cannot be written to; it has to be writable"), "{said}");
    LedgerStore::open(&desk.path(), &options()).await.unwrap();
}

#[tokio::test]
async fn a_silent_witness_stops_what_is_issued_by_a_ca_and_nothing_else() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    desk.ledger.intend(intent(2, at(1))).await.unwrap();
    desk.ledger.shut_down().await;
    let ledger = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    let witness = desk.folder.path().join("ca.db.witness");
    let kept = silence(&witness);
    assert!(ledger.witness_silent().is_none(), "nobody had anything to tell it");
    let refused = ledger.intend(intent(3, at(2))).await.unwrap_err();
    let IntendError::Ledger(error @ LedgerError::Unavailable(_)) = &refused else { panic!("{refused:?}") };
    assert!(error.is_transient() && why(error).contains("nothing is issued until it can"), "{}", why(error));
    assert_eq!(ledger.witness_silent().unwrap().path, witness);
    assert!(ledger.issued(&serial(2), &[2; 700], at(2)).await.is_err());
    // What protects others goes on: revocations, lists, answers.
    ledger.advance(at(3)).await.unwrap();
    ledger.revoke(&serial(1), &revocation(3), at(3)).await.unwrap();
    assert_eq!(ledger.reserve(edition(1, 3)).await.unwrap().number, 1);
    assert!(matches!(StatusSource::status(&ledger, &serial(1)).await.unwrap(), OcspStatus::Revoked { .. }));
    assert_eq!(StatusSource::status(&ledger, &serial(9)).await.unwrap(), OcspStatus::Unknown);
    // And it goes on by itself.
    mend(&witness, &kept);
    ledger.issued(&serial(2), &[2; 700], at(4)).await.unwrap();
    issue(&ledger, 3, at(4)).await;
    assert!(ledger.witness_silent().is_none());
    ledger.audit_replay().await.unwrap();
    ledger.shut_down().await;
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(again.standing().await.unwrap(), Standing::Current);
}

#[tokio::test]
async fn a_silent_witness_stops_what_is_issued_by_a_portal_and_nothing_else() {
    let bench = Bench::with(2).await;
    crate::restore_store::request(&bench.store, 1, 1).await.unwrap();
    bench.store.shut_down().await;
    let store = Store::open(&bench.path(), &options()).await.unwrap();
    let witness = bench.folder.path().join("koshin.db.witness");
    let kept = silence(&witness);
    permit(&store, 2, at(21)).await.unwrap();
    assert_eq!(store.witness_silent().unwrap().path, witness);
    let file = store.subject(&id(1)).await.unwrap().unwrap();
    let refused = store.commit(issued(&file, 1, at(21))).await;
    let Err(CommitError::Storage(StorageError::Unavailable(source))) = refused else { panic!("{refused:?}") };
    assert!(source.is::<WitnessSilent>() || why(&*source).contains("witness"), "{source:?}");
    permit(&store, 2, at(22)).await.unwrap();
    mend(&witness, &kept);
    store.commit(issued(&file, 1, at(23))).await.unwrap();
    assert!(store.witness_silent().is_none());
    let file = store.subject(&id(2)).await.unwrap().unwrap();
    assert!(file.holding.open_renewal().is_none());
}

/// The power went off while the first line of a new database was written.
#[tokio::test]
async fn half_a_first_line_is_no_end() {
    let folder = tempfile::tempdir().unwrap();
    let (path, witness) = (folder.path().join("ca.db"), folder.path().join("ca.db.witness"));
    LedgerStore::open(&path, &options()).await.unwrap().shut_down().await;
    fs::write(&witness, "\n{\"epoch\":0,\"sequ").unwrap();
    let mut raw = crate::bench::raw(path.clone()).await;
    run(&mut raw, "UPDATE provenance SET witnessed = 0").await.unwrap();
    let ledger = LedgerStore::open(&path, &options()).await.unwrap();
    assert_eq!(ledger.standing().await.unwrap(), Standing::Current);
    issue(&ledger, 1, at(1)).await;
    ledger.shut_down().await;
    // With something in it, nobody can know, and it is said what is to be done.
    fs::write(&witness, "\n{\"epoch\":0,\"sequ").unwrap();
    let refused = LedgerStore::open(&path, &options()).await.unwrap_err();
    assert!(matches!(refused, OpenError::Witness { .. }), "{refused:?}");
    let said = why(&refused);
    assert!(said.contains("ca.db.witness cannot be read") && said.contains("remove it and run `doctor`"), "{said}");
    fs::remove_file(&witness).unwrap();
    let ledger = LedgerStore::open(&path, &options()).await.unwrap();
    assert!(matches!(ledger.standing().await.unwrap(), Standing::Behind(_)));
}
