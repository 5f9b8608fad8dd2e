//! A registry that was put back.

use koshin_endpoints::StatusSource;
use koshin_issuance::{CrlEdition, OcspStatus};
use koshin_ra::{CommitError, Registry as _, StorageError};
use koshin_renewal::{Change, Deadlines, Event};
use koshin_sqlite::{Evidence, FoundCertificate, NotReconciled, ReconcileError, Standing, Store, Why};
use koshin_types::RevocationReason;

use crate::{
    bench::{Bench, at, commit, hash, issued, options, permit, renewal_id, requested, serial},
    restore::{edition, listed, published, put_back, why},
};

/// Three people: one has a certificate, which is revoked after the copy was made; one gets one after it; one does nothing.
async fn put_back_registry() -> (Bench, Store) {
    let bench = Bench::with(3).await;
    bench.enrolled(1, 1, at(1)).await;
    bench.store.reserve_list(edition(1, 2)).await.unwrap();
    let copy = bench.folder.path().join("backup.db");
    bench.store.backup(&copy).await.unwrap();
    revoke(&bench.store, 1).await;
    bench.enrolled(2, 2, at(10)).await;
    bench.store.reserve_list(edition(1, 12)).await.unwrap();
    bench.store.shut_down().await;
    put_back(&copy, &bench.path());
    let back = Store::open(&bench.path(), &options()).await.unwrap();
    (bench, back)
}

async fn revoke(store: &Store, subject: u32) {
    let file = store.subject(&crate::bench::id(subject)).await.unwrap().unwrap();
    let change: Change = file.holding.revoke(RevocationReason::KeyCompromise, at(11)).unwrap();
    store.commit(commit(&file, change, at(11))).await.unwrap();
}

/// Opens a renewal and asks for a certificate in it.
pub(crate) async fn request(store: &Store, subject: u32, number: u32) -> Result<(), CommitError> {
    let policy = koshin_expiry::Policy::default_jst();
    permit(store, subject, at(20)).await.unwrap();
    let file = store.subject(&crate::bench::id(subject)).await.unwrap().unwrap();
    let enrol = file.holding.enrol(renewal_id(number), &policy, at(20)).unwrap();
    store.commit(commit(&file, enrol, at(20))).await.unwrap();
    let file = store.subject(&crate::bench::id(subject)).await.unwrap().unwrap();
    store.commit(requested(&file, number, at(20))).await
}

#[tokio::test]
async fn an_older_registry_signs_nothing_until_it_is_reconciled() {
    let (bench, back) = put_back_registry().await;
    let behind = why(back.standing().await.unwrap());
    assert_eq!((behind.why, behind.witness.unwrap().list.unwrap().number), (Why::Older, 2));
    // People are permitted and renewals begun; that is as far as it goes.
    let refused = request(&back, 3, 3).await;
    let Err(CommitError::Storage(StorageError::Unavailable(source))) = refused else { panic!("{refused:?}") };
    assert!(source.is::<NotReconciled>(), "{source:?}");
    assert!(back.reserve_list(edition(1, 20)).await.is_err());
    // What may have been revoked since is not called good, nor what may have been issued unknown.
    for serial in [serial(1), serial(9)] {
        assert!(StatusSource::status(&back, &serial).await.is_err());
    }

    let found = FoundCertificate { serial: serial(2), spki: hash(2), not_after: at(90_000), der: vec![2; 700] };
    let evidence = Evidence { certificates: vec![found], ..published(edition(2, 12), vec![listed(serial(1), at(11))]) };
    let refused = back.reconcile(evidence.clone(), "operator:ops", at(30)).await;
    let Err(ReconcileError::StillValid { serials }) = &refused else { panic!("{refused:?}") };
    assert_eq!(serials, &[listed(serial(1), at(11))]);
    assert!(why(back.standing().await.unwrap()).why == Why::Older, "nothing was changed");
    revoke(&back, 1).await;
    let done = back.reconcile(evidence, "operator:ops", at(30)).await.unwrap();
    assert_eq!((done.adopted, done.epoch), (1, 1));
    assert_eq!(back.standing().await.unwrap(), Standing::Current);

    // And for everybody who asks: the lost one, too.
    for revoked in [serial(1), serial(2)] {
        let told = StatusSource::status(&back, &revoked).await.unwrap();
        assert!(matches!(told, OcspStatus::Revoked { .. }), "{told:?}");
    }
    assert_eq!(StatusSource::status(&back, &serial(9)).await.unwrap(), OcspStatus::Unknown);

    // Both are on the next list, which follows what was published.
    let CrlEdition { number, this_update, .. } = back.reserve_list(edition(1, 3)).await.unwrap();
    assert_eq!((number, this_update), (3, at(12)));
    let revoked = back.revocations(None, 10).await.unwrap();
    let serials: Vec<_> = revoked.iter().map(|(entry, _)| entry.serial).collect();
    assert_eq!(serials, [serial(1), serial(2)]);
    assert_eq!(back.revocations(Some(serial(1)), 10).await.unwrap().len(), 1);
    assert_eq!(back.revocations(None, 1).await.unwrap()[0].0.serial, serial(1));
    // The lost certificate's key is nobody's, its serial number too, and its holder enrols anew.
    let refused = request(&back, 2, 2).await;
    assert!(matches!(refused, Err(CommitError::KeySeen { .. })), "{refused:?}");
    let file = back.subject(&crate::bench::id(3)).await.unwrap().unwrap();
    back.commit(requested(&file, 3, at(31))).await.unwrap();
    back.audit_replay().await.unwrap();
    back.shut_down().await;
    let again = Store::open(&bench.path(), &options()).await.unwrap();
    assert_eq!(again.standing().await.unwrap(), Standing::Current);
}

/// What was begun in the copy and is on the list can never be stored, and says so: the renewal is ended.
#[tokio::test]
async fn what_was_begun_in_the_copy_and_revoked_since_can_be_ended() {
    let bench = Bench::with(2).await;
    request(&bench.store, 1, 1).await.unwrap();
    let copy = bench.folder.path().join("backup.db");
    bench.store.backup(&copy).await.unwrap();
    let file = bench.file(1).await;
    bench.store.commit(issued(&file, 1, at(21))).await.unwrap();
    revoke(&bench.store, 1).await;
    bench.store.reserve_list(edition(1, 22)).await.unwrap();
    bench.store.shut_down().await;
    put_back(&copy, &bench.path());
    let back = Store::open(&bench.path(), &options()).await.unwrap();
    let evidence = published(edition(1, 22), vec![listed(serial(1), at(11))]);
    assert_eq!(back.reconcile(evidence, "operator:ops", at(30)).await.unwrap().adopted, 1);

    let file = back.subject(&crate::bench::id(1)).await.unwrap().unwrap();
    let refused = back.commit(issued(&file, 1, at(31))).await;
    assert!(matches!(refused, Err(CommitError::SerialRevoked { serial: found }) if found == serial(1)), "{refused:?}");
    let refuse = file.holding.step(renewal_id(1), &Event::Refuse, at(32), &Deadlines::default()).unwrap();
    back.commit(commit(&file, refuse, at(32))).await.unwrap();
    let file = back.subject(&crate::bench::id(1)).await.unwrap().unwrap();
    assert_eq!((file.holding.open_renewal(), file.holding.certificates.len()), (None, 0));
    back.audit_replay().await.unwrap();
}

/// A database of before there were witnesses is the newest, and has one from then on.
#[tokio::test]
async fn a_witness_begins_with_an_upgrade() {
    let bench = Bench::with(1).await;
    bench.store.shut_down().await;
    let witness = bench.folder.path().join("koshin.db.witness");
    std::fs::remove_file(&witness).unwrap();
    crate::bench::run(&mut bench.raw().await, "UPDATE provenance SET witnessed = 0").await.unwrap();
    let store = Store::open(&bench.path(), &options()).await.unwrap();
    assert_eq!(store.standing().await.unwrap(), Standing::Current);
    assert!(witness.exists());
    permit(&store, 1, at(1)).await.unwrap();
}
