//! A database that was put back.

use std::{fs, path::Path};

use koshin_endpoints::{
    RevocationSource as _, StatusSource,
    ca::{ChangeKind, IntendError, IssuedError, Ledger as _, LedgerError, Standing as EntryStanding},
};
use koshin_issuance::{CrlEdition, OcspStatus};
use koshin_sqlite::{
    Behind, Evidence, FoundCertificate, LedgerStore, ListEdition, ListedRevocation, NewestList, NotReconciled,
    PublishedList, ReconcileError, Standing, Why, Witnessed,
};
use koshin_types::{RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::{
    bench::{at, options, run},
    ledger::{Desk, intent, issue, revocation, serial},
};

pub(crate) fn edition(number: u64, minutes: i64) -> CrlEdition {
    CrlEdition { number, this_update: at(minutes), next_update: at(minutes) + Duration::days(7) }
}

pub(crate) fn published(edition: CrlEdition, entries: Vec<ListedRevocation>) -> Evidence {
    let CrlEdition { number, this_update, next_update } = edition;
    let list = PublishedList { edition: ListEdition { number, this_update, next_update }, entries };
    Evidence { list: NewestList::Found(list), certificates: vec![] }
}

pub(crate) fn listed(serial: SerialNumber, at: UtcDateTime) -> ListedRevocation {
    ListedRevocation { serial, at, reason: RevocationReason::KeyCompromise, invalidity_date: None }
}

pub(crate) fn why(standing: Standing) -> Behind {
    match standing {
        Standing::Behind(behind) => *behind,
        Standing::Current => panic!("nothing is missing"),
    }
}

/// Puts a file in the database's place, as an operator would: the log beside the database belongs to the lost one.
pub(crate) fn put_back(copy: &Path, database: &Path) {
    for suffix in ["-wal", "-shm"] {
        let mut name = database.as_os_str().to_owned();
        name.push(suffix);
        let _ = fs::remove_file(name);
    }
    fs::copy(copy, database).unwrap();
}

fn is_not_reconciled(error: &LedgerError) -> bool {
    error.is_transient() && matches!(error, LedgerError::Unavailable(source) if source.is::<NotReconciled>())
}

/// A ledger with two certificates and an intent, copied; then it went on: one certificate more, one revoked, the intent
/// issued, three lists. Then the copy was put in its place.
async fn put_back_ledger() -> (Desk, LedgerStore) {
    let desk = Desk::empty().await;
    let ledger = &desk.ledger;
    for number in [1, 2] {
        issue(ledger, number, at(1)).await;
    }
    ledger.intend(intent(3, at(1))).await.unwrap();
    ledger.reserve(edition(1, 2)).await.unwrap();
    let copy = desk.folder.path().join("backup.db");
    ledger.backup(&copy).await.unwrap();
    issue(ledger, 4, at(10)).await;
    ledger.revoke(&serial(1), &revocation(11), at(11)).await.unwrap();
    ledger.issued(&serial(3), &certificate(3), at(12)).await.unwrap();
    for minutes in [13, 14, 15] {
        let edition = ledger.reserve(edition(1, minutes)).await.unwrap();
        ledger.published(edition).await.unwrap();
    }
    // For these there was no signature.
    for minutes in [16, 17] {
        ledger.reserve(edition(1, minutes)).await.unwrap();
    }
    ledger.shut_down().await;
    put_back(&copy, &desk.path());
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    (desk, back)
}

/// As a certificate holds its to-be-signed bytes.
fn certificate(number: u32) -> Vec<u8> {
    [&[0x30, 0x82, 0x02, 0xff][..], &intent(number, at(1)).tbs, &[7; 90]].concat()
}

fn found(number: u32) -> FoundCertificate {
    let intent = intent(number, at(10));
    let not_after = intent.validity.not_after();
    FoundCertificate { serial: intent.serial, spki: intent.order.spki, not_after, der: certificate(number) }
}

#[tokio::test]
async fn an_older_ledger_signs_nothing() {
    let (desk, back) = put_back_ledger().await;
    let behind = why(back.standing().await.unwrap());
    let Witnessed { head, serial: newest, list, closed, epoch, published } = behind.witness.unwrap();
    assert_eq!((behind.why, behind.head.sequence, behind.list.unwrap().number), (Why::Older, 6, 1));
    assert_eq!((head.sequence, newest, list.unwrap().number, closed, epoch), (15, Some(serial(4)), 6, true, 0));
    assert_eq!(published, Some(4));
    let Err(IntendError::Ledger(error)) = back.intend(intent(5, at(20))).await else { panic!("it was recorded") };
    assert!(is_not_reconciled(&error), "{error:?}");
    let Err(IssuedError::Ledger(error)) = back.issued(&serial(3), &[9; 9], at(20)).await else { panic!("stored") };
    assert!(is_not_reconciled(&error), "{error:?}");
    assert!(back.reserve(edition(9, 20)).await.is_err());
    // What it knows can be read and revoked. That something is valid, it does not know.
    assert_eq!(back.issued(&serial(1), &[9; 9], at(20)).await.unwrap(), [2; 700]);
    assert!(StatusSource::status(&back, &serial(2)).await.is_err());
    assert!(StatusSource::status(&back, &serial(4)).await.is_err());
    // Nor that something was never recorded.
    assert!(is_not_reconciled(&koshin_endpoints::ca::Ledger::status(&back, &serial(4)).await.unwrap_err()));
    back.revoke(&serial(2), &revocation(21), at(21)).await.unwrap();
    assert!(matches!(StatusSource::status(&back, &serial(2)).await.unwrap(), OcspStatus::Revoked { .. }));
    back.shut_down().await;
    // Nobody takes it for the newest because it was written to and closed.
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(why(again.standing().await.unwrap()).why, Why::Older);
}

#[tokio::test]
async fn invariant_43_a_reconciled_ledger_goes_on_after_what_was_published() {
    let (desk, back) = put_back_ledger().await;
    let server = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    let older = published(edition(3, 14), vec![]);
    let refused = back.reconcile(older, "operator", at(30)).await;
    assert!(matches!(refused, Err(ReconcileError::OlderList { found: 3, witnessed: 4 })), "{refused:?}");
    let stranger = SerialNumber::from_be_bytes(&[0x99; 19]).unwrap();
    let evidence = Evidence {
        certificates: vec![found(3), found(4)],
        ..published(edition(4, 15), vec![listed(serial(1), at(11)), listed(stranger, at(12))])
    };
    let done = back.reconcile(evidence.clone(), "operator", at(30)).await.unwrap();
    assert_eq!((done.adopted, done.revoked, done.recovered, done.abandoned, done.epoch), (2, 1, 1, 0, 1));
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
    assert!(matches!(back.reconcile(evidence, "operator", at(31)).await, Err(ReconcileError::NotBehind)));
    // The dates and reasons of the list stay as they were; what was adopted is on every list from now on (I-74).
    let entries = back.revocations(None, 10).await.unwrap();
    let mut entries: Vec<_> =
        entries.iter().map(|it| (it.entry.serial, it.entry.revoked_at, it.entry.reason)).collect();
    entries.sort_unstable_by_key(|entry| entry.1);
    assert_eq!(
        entries,
        [
            (serial(1), at(11), RevocationReason::KeyCompromise),
            (stranger, at(12), RevocationReason::KeyCompromise),
            (serial(4), at(30), RevocationReason::Unspecified),
        ]
    );
    for unknown in [serial(4), stranger] {
        assert!(matches!(StatusSource::status(&back, &unknown).await.unwrap(), OcspStatus::Revoked { .. }));
    }
    // RAs learn of them like of every other revocation, whosever they are.
    let told = back.changes(6, 100).await.unwrap();
    let told_of: Vec<_> = told.changes.iter().map(|it| (it.serial, it.client.as_deref(), it.at)).collect();
    let owner = Some("portal");
    assert_eq!(
        told_of,
        [(serial(3), owner, at(30)), (serial(4), None, at(30)), (serial(1), owner, at(30)), (stranger, None, at(30)),]
    );
    assert!(matches!(&told.changes[3].kind, ChangeKind::Revoked(it) if it.at == at(12)), "{told:?}");
    assert_eq!(told.head, told.changes[3].sequence);
    let one = back.changes(told.changes[0].sequence, 1).await.unwrap();
    assert_eq!((one.changes.as_slice(), one.head), (&told.changes[1..2], told.head), "by pages as well");
    // The certificate that the holder has is the one that is stored, and neither key nor number is taken again.
    assert_eq!(back.issued(&serial(3), &[9; 9], at(31)).await.unwrap(), certificate(3));
    let refused = back.intend(intent(4, at(32))).await;
    assert!(matches!(refused, Err(IntendError::KeySeen { .. })), "{refused:?}");
    let mut other = intent(5, at(32));
    other.serial = stranger;
    let refused = back.intend(other).await;
    assert!(matches!(refused, Err(IntendError::SerialTaken { .. })), "{refused:?}");
    issue(&back, 5, at(33)).await;
    let next = back.reserve(edition(1, 3)).await.unwrap();
    assert_eq!((next.number, next.this_update), (7, at(17)));
    // Another process that has it open, and one that opens it, see the same.
    assert_eq!(server.standing().await.unwrap(), Standing::Current);
    issue(&server, 6, at(34)).await;
    back.audit_replay().await.unwrap();
    back.shut_down().await;
    server.shut_down().await;
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(again.standing().await.unwrap(), Standing::Current);
}

/// A ledger that was reconciled before changes of strays were kept, and brought up to date.
#[tokio::test]
async fn strays_of_before_are_told_of_too() {
    let (desk, back) = put_back_ledger().await;
    let evidence = Evidence { certificates: vec![found(3), found(4)], ..published(edition(4, 15), vec![]) };
    back.reconcile(evidence, "operator", at(30)).await.unwrap();
    let told = back.changes(0, 100).await.unwrap();
    back.shut_down().await;
    let mut raw = desk.raw().await;
    run(&mut raw, "DROP TABLE stray_changes").await.unwrap();
    run(&mut raw, "DELETE FROM _sqlx_migrations WHERE version = 2").await.unwrap();
    drop(raw);
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(again.changes(0, 100).await.unwrap(), told);
    again.audit_replay().await.unwrap();
    // A record of a stray that nobody is told of is a break.
    again.shut_down().await;
    let mut raw = desk.raw().await;
    run(&mut raw, "DROP TRIGGER stray_changes_stay").await.unwrap();
    run(&mut raw, "DELETE FROM stray_changes").await.unwrap();
    drop(raw);
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert!(again.audit_replay().await.is_err());
}

/// Without any evidence nothing is signed twice, and the list's number jumps.
#[tokio::test]
async fn a_ledger_can_be_reconciled_when_everything_is_lost() {
    let (desk, back) = put_back_ledger().await;
    back.shut_down().await;
    fs::remove_file(desk.folder.path().join("ca.db.witness")).unwrap();
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(why(back.standing().await.unwrap()).why, Why::Copy);
    let lost = Evidence { list: NewestList::Lost, certificates: vec![] };
    let done = back.reconcile(lost, "operator", at(30)).await.unwrap();
    assert_eq!((done.adopted, done.revoked, done.recovered, done.abandoned), (0, 0, 0, 1));
    let status = koshin_endpoints::ca::Ledger::status(&back, &serial(3)).await.unwrap().unwrap();
    assert!(matches!(status.standing, EntryStanding::Abandoned(_)), "{status:?}");
    assert_eq!(back.reserve(edition(1, 40)).await.unwrap().number, 1_000_002);
    back.audit_replay().await.unwrap();
}

/// A database that moves, with nothing written since, is no older one.
#[tokio::test]
async fn the_newest_copy_is_current() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    let copy = desk.folder.path().join("backup.db");
    desk.ledger.backup(&copy).await.unwrap();
    desk.ledger.shut_down().await;
    put_back(&copy, &desk.path());
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
    issue(&back, 2, at(2)).await;
    back.shut_down().await;
    // The mark of a copy is gone: killed or not, it is the original now.
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    issue(&back, 3, at(3)).await;
    drop(back);
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
}

/// A copy of an original that nobody closed may lack something.
#[tokio::test]
async fn a_copy_of_an_original_that_was_killed_is_not_current() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    let copy = desk.folder.path().join("backup.db");
    desk.ledger.backup(&copy).await.unwrap();
    issue(&desk.ledger, 2, at(2)).await;
    // Long before the witness looks again.
    let other = desk.folder.path().join("ca2.db");
    put_back(&copy, &other);
    fs::copy(desk.folder.path().join("ca.db.witness"), desk.folder.path().join("ca2.db.witness")).unwrap();
    let back = LedgerStore::open(&other, &options()).await.unwrap();
    assert_eq!(why(back.standing().await.unwrap()).why, Why::Copy);
}

/// Without its witness a database that had one is not believed; a new one is.
#[tokio::test]
async fn a_witness_that_is_gone_is_missed() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    desk.ledger.shut_down().await;
    let witness = desk.folder.path().join("ca.db.witness");
    let kept = fs::read(&witness).unwrap();
    fs::remove_file(&witness).unwrap();
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    let behind = why(back.standing().await.unwrap());
    assert_eq!((behind.why, behind.witness), (Why::NoWitness, None));
    // Found again, it is believed at once; half a line at its end is not missed.
    fs::write(&witness, [&kept[..], b"\n{\"epoch\":0,\"sequ"].concat()).unwrap();
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
    issue(&back, 2, at(2)).await;
    back.shut_down().await;
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
    back.shut_down().await;
    // Nor is what the disk made of such a half line.
    let kept = fs::read(&witness).unwrap();
    fs::write(&witness, [&kept[..], b"\n{\xff\0\0"].concat()).unwrap();
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(back.standing().await.unwrap(), Standing::Current);
    // Rubbish is no witness, and no reason to go on.
    back.shut_down().await;
    fs::write(&witness, "rubbish").unwrap();
    assert!(LedgerStore::open(&desk.path(), &options()).await.is_err());
}

/// Two histories from one copy: the one that the witness has not seen is found even when it is longer.
#[tokio::test]
async fn a_fork_is_found() {
    let desk = Desk::empty().await;
    issue(&desk.ledger, 1, at(1)).await;
    desk.ledger.shut_down().await;
    let copy = desk.folder.path().join("copied-by-hand.db");
    fs::copy(desk.path(), &copy).unwrap();
    let ledger = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    issue(&ledger, 2, at(2)).await;
    ledger.shut_down().await;
    // Elsewhere, with a witness of its own, the copy goes another way.
    fs::copy(desk.folder.path().join("ca.db.witness"), desk.folder.path().join("old.witness")).unwrap();
    let elsewhere = koshin_sqlite::Options { witness: Some(desk.folder.path().join("new.witness")), ..options() };
    let fork = LedgerStore::open(&copy, &elsewhere).await.unwrap();
    let lost = Evidence { list: NewestList::Lost, certificates: vec![] };
    assert_eq!(why(fork.standing().await.unwrap()).why, Why::NoWitness);
    fork.reconcile(lost, "operator", at(3)).await.unwrap();
    for number in 3..9 {
        issue(&fork, number, at(4)).await;
    }
    fork.shut_down().await;
    put_back(&copy, &desk.path());
    run(&mut desk.raw().await, "UPDATE provenance SET epoch = 0").await.unwrap();
    let back = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(why(back.standing().await.unwrap()).why, Why::Forked);
}

/// However long it runs, the witness stays small, and others cannot read it.
#[tokio::test]
async fn the_witness_stays_small() {
    let desk = Desk::empty().await;
    let witness = desk.folder.path().join("ca.db.witness");
    let line = fs::read(&witness).unwrap();
    fs::write(&witness, line.repeat(2 * 1024 * 1024 / line.len())).unwrap();
    desk.ledger.reserve(edition(1, 1)).await.unwrap();
    assert!(fs::metadata(&witness).unwrap().len() < 1024);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(fs::metadata(&witness).unwrap().permissions().mode() & 0o777, 0o600);
    }
    // And its owner is the database's, whoever made it: root is allowed to make it another's, and nobody else has to.
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, chown};
        let owner = |path: &Path| fs::metadata(path).unwrap().uid();
        let _ = chown(desk.path(), Some(65_534), None);
        fs::write(&witness, line.repeat(2 * 1024 * 1024 / line.len())).unwrap();
        desk.ledger.reserve(edition(1, 2)).await.unwrap();
        assert_eq!(owner(&witness), owner(&desk.path()));
    }
    drop(desk.ledger.clone());
    let again = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    assert_eq!(again.standing().await.unwrap(), Standing::Current);
}
