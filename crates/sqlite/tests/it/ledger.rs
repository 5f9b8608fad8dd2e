//! The ledger of a CA on a file of its own.

use std::{path::PathBuf, sync::Arc};

use async_trait::async_trait;
use koshin_endpoints::{
    RevocationSource, Revoked,
    ca::{Intent, Ledger, OrderKey, Recorded, Revocation, conformance::Rig},
    publisher::conformance::Rig as PublisherRig,
};
use koshin_issuance::{CrlEdition, OcspStatus, RevokedCertificate};
use koshin_sqlite::{AuditError, LedgerStore, OpenError, Store};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use sqlx::SqliteConnection;
use tempfile::TempDir;
use time::{Duration, UtcDateTime};

use crate::bench::{at, options, raw, run};

pub(crate) struct Desk {
    pub(crate) ledger: LedgerStore,
    pub(crate) folder: TempDir,
}

impl Desk {
    pub(crate) async fn empty() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let ledger = LedgerStore::open(&folder.path().join("ca.db"), &options()).await.unwrap();
        Self { ledger, folder }
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("ca.db")
    }

    pub(crate) async fn raw(&self) -> SqliteConnection {
        raw(self.path()).await
    }
}

#[async_trait]
impl Rig for Desk {
    fn ledger(&self) -> &dyn Ledger {
        &self.ledger
    }

    async fn audited(&self) -> u64 {
        self.ledger.audit_verify().await.expect("the log is whole").head.sequence
    }
}

mod conformance {
    koshin_endpoints::ledger_conformance!(super::Desk::empty);
}

mod published {
    koshin_endpoints::revocations_conformance!(super::Desk::empty);
}

#[async_trait(?Send)]
impl PublisherRig for Desk {
    fn source(&self) -> &dyn RevocationSource {
        &self.ledger
    }

    async fn revoke(&self, revoked: Revoked) {
        let RevokedCertificate { serial, revoked_at, reason, invalidity_date } = revoked.entry;
        let number = u32::try_from(self.ledger.audit_head().await.unwrap().sequence).unwrap();
        let validity = Validity::new(revoked.not_after - Duration::DAY, revoked.not_after).unwrap();
        self.ledger.intend(Intent { serial, validity, ..intent(number, at(0)) }).await.unwrap();
        self.ledger.issued(&serial, &[2; 100], at(0)).await.unwrap();
        let revocation = Revocation { at: revoked_at, reason, invalidity_date, by: "portal".to_owned() };
        self.ledger.revoke(&serial, &revocation, revoked_at).await.unwrap();
    }

    async fn reopen(self) -> Self {
        self.ledger.shut_down().await;
        let ledger = LedgerStore::open(&self.path(), &options()).await.unwrap();
        Self { ledger, ..self }
    }
}

pub(crate) fn serial(number: u32) -> SerialNumber {
    let mut random = [0; 13];
    random[9..].copy_from_slice(&number.to_be_bytes());
    SerialNumber::from_time_and_random(1_728_000_000_000 + i64::from(number), random)
}

pub(crate) fn intent(number: u32, now: UtcDateTime) -> Intent {
    let (mut renewal, mut spki) = ([7; 16], [7; 32]);
    renewal[..4].copy_from_slice(&number.to_be_bytes());
    spki[..4].copy_from_slice(&number.to_be_bytes());
    Intent {
        order: OrderKey { renewal: RenewalId::new(renewal), spki: Fingerprint::new(spki) },
        client: "portal".to_owned(),
        profile: "client".to_owned(),
        organization: "みどり工業".to_owned(),
        subject: format!("U-{number}"),
        serial: serial(number),
        validity: Validity::new(at(0), at(0) + Duration::days(365) - Duration::SECOND).unwrap(),
        tbs: vec![1; 600],
        at: now,
    }
}

pub(crate) fn revocation(minutes: i64) -> Revocation {
    let (at, invalidity_date) = (at(minutes) + Duration::milliseconds(123), Some(at(0)));
    Revocation { at, reason: RevocationReason::KeyCompromise, invalidity_date, by: "operator".to_owned() }
}

pub(crate) async fn issue(ledger: &LedgerStore, number: u32, now: UtcDateTime) {
    assert_eq!(ledger.intend(intent(number, now)).await.unwrap(), Recorded::New);
    ledger.issued(&serial(number), &[2; 700], now).await.unwrap();
}

/// A ledger of six entries: issued, intended, revoked, abandoned, issued, issued.
pub(crate) async fn book() -> Desk {
    let desk = Desk::empty().await;
    let ledger = &desk.ledger;
    for number in [1, 3, 5, 6] {
        issue(ledger, number, at(1)).await;
    }
    for number in [2, 4] {
        ledger.intend(intent(number, at(1))).await.unwrap();
    }
    ledger.revoke(&serial(3), &revocation(2), at(3)).await.unwrap();
    ledger.revoke(&serial(4), &revocation(3), at(3)).await.unwrap();
    desk
}

#[tokio::test]
async fn invariant_35_the_audit_log_says_what_the_ledger_holds() {
    let desk = book().await;
    let report = desk.ledger.audit_replay().await.unwrap();
    assert_eq!((report.head.sequence, report.subjects), (12, 6));
    assert_eq!(desk.ledger.audit_verify().await.unwrap().head, report.head);
    let record = &desk.ledger.audit_records(0, 1).await.unwrap()[0];
    assert_eq!(
        (record.actor.as_str(), record.subject.as_deref(), record.word.as_str()),
        ("portal", Some("U-1"), "intended")
    );
    assert!(!record.body.contains("U-1") && record.body.contains(&serial(1).to_string()), "{}", record.body);
}

/// Whoever can write to the file, but not to the head that was kept elsewhere, is found out.
#[tokio::test]
async fn invariant_35_tampering_is_found() {
    for (statement, found) in [
        ("UPDATE audit SET body = replace(body, 'client', 'server') WHERE sequence = 1", Some(1)),
        ("UPDATE audit SET at = at + 1 WHERE sequence = 2", Some(2)),
        ("UPDATE entries SET subject = 'U-2' WHERE subject = 'U-1'", Some(1)),
        ("UPDATE entries SET tbs = zeroblob(600) WHERE subject = 'U-1'", Some(1)),
        ("UPDATE entries SET not_after = not_after + 86400 WHERE subject = 'U-1'", Some(1)),
        ("UPDATE certificates SET der = zeroblob(700) WHERE entry = 1", Some(2)),
        ("DELETE FROM certificates WHERE entry = 1", Some(2)),
        ("UPDATE revocations SET at = at + 1000 WHERE kind = 'revoked'", Some(11)),
        ("UPDATE revocations SET reason = 'superseded' WHERE kind = 'revoked'", Some(11)),
        ("UPDATE revocations SET revoked_by = 'somebody' WHERE kind = 'abandoned'", Some(12)),
        ("DELETE FROM revocations WHERE kind = 'revoked'", Some(11)),
        ("DELETE FROM changes WHERE sequence = 11", Some(11)),
        ("INSERT INTO revocations VALUES (zeroblob(20), 'adopted', 0, 'superseded', NULL, 0, 'nobody')", None),
    ] {
        let desk = book().await;
        let mut raw = desk.raw().await;
        // What the tables refuse, they refuse to everybody.
        if !statement.starts_with("INSERT") {
            assert!(run(&mut raw, statement).await.is_err(), "{statement}");
        }
        for trigger in [
            "audit_is_final",
            "entries_are_final",
            "certificates_are_final",
            "certificates_stay",
            "revocations_are_final",
            "revocations_stay",
            "changes_stay",
        ] {
            run(&mut raw, &format!("DROP TRIGGER {trigger}")).await.unwrap();
        }
        assert_eq!(run(&mut raw, statement).await.unwrap(), 1, "{statement}");
        match (desk.ledger.audit_replay().await, found) {
            (Err(AuditError::Break(place)), Some(sequence)) => assert_eq!(place.sequence, sequence, "{statement}"),
            (Err(AuditError::Surplus), None) => {}
            (other, _) => panic!("{statement}: {other:?}"),
        }
        if statement.contains("audit") {
            assert!(matches!(desk.ledger.audit_verify().await, Err(AuditError::Break(_))), "{statement}");
        }
    }
}

/// What must never be is refused by the tables, whatever program writes.
#[tokio::test]
async fn the_tables_refuse_what_must_never_be() {
    let desk = book().await;
    let abandoned = "(SELECT number FROM entries WHERE subject = 'U-4')";
    let mut raw = desk.raw().await;
    let padded = |number| format!("x'00{}'", serial(number));
    for statement in [
        "DELETE FROM entries".to_owned(),
        "DELETE FROM audit".to_owned(),
        "DELETE FROM clock".to_owned(),
        "UPDATE clock SET largest = 1".to_owned(),
        "DELETE FROM unfinished".to_owned(),
        format!("INSERT INTO certificates (entry, der) VALUES ({abandoned}, x'00')"),
        "UPDATE revocations SET kind = 'adopted'".to_owned(),
        format!("INSERT INTO revocations VALUES ({}, 'abandoned', 0, 'superseded', NULL, 0, 'x')", padded(1)),
        format!("INSERT INTO revocations VALUES ({}, 'revoked', 0, 'superseded', NULL, 0, 'x')", padded(2)),
        format!("INSERT INTO revocations VALUES ({}, 'adopted', 0, 'superseded', NULL, 0, 'x')", padded(1)),
        format!("INSERT INTO revocations VALUES ({}, 'revoked', 0, 'superseded', NULL, 0, 'x')", padded(9)),
        "INSERT INTO entries SELECT 99, serial, zeroblob(32), zeroblob(16), '', '', '', '', 0, 0, 0, x'' FROM entries"
            .to_owned(),
        "INSERT INTO entries SELECT 99, zeroblob(20), spki, zeroblob(16), '', '', '', '', 0, 0, 0, x'' FROM entries"
            .to_owned(),
    ] {
        assert!(run(&mut raw, &statement).await.is_err(), "{statement}");
    }
    desk.ledger.audit_replay().await.unwrap();
}

/// Two kinds of databases, neither of which is opened as the other.
#[tokio::test]
async fn a_registry_is_no_ledger() {
    let desk = Desk::empty().await;
    assert!(matches!(Store::open(&desk.path(), &options()).await, Err(OpenError::Foreign { .. })));
    let other = desk.folder.path().join("koshin.db");
    Store::open(&other, &options()).await.unwrap().shut_down().await;
    assert!(matches!(LedgerStore::open(&other, &options()).await, Err(OpenError::Foreign { .. })));
}

/// I-75: what the ledger says of a serial number, the list and OCSP say too.
#[tokio::test]
async fn invariant_75_list_and_ocsp_agree_with_the_ledger() {
    let desk = book().await;
    let listed = desk.ledger.revocations(None, 100).await.unwrap();
    let serials: Vec<_> = listed.iter().map(|revoked| revoked.entry.serial).collect();
    assert_eq!(serials, [serial(3), serial(4)]);
    let entry = listed[0].entry;
    assert_eq!((entry.revoked_at, entry.reason, entry.invalidity_date), {
        let revocation = revocation(2);
        (revocation.at, revocation.reason, revocation.invalidity_date)
    });
    assert_eq!(listed[0].not_after, intent(3, at(1)).validity.not_after());
    for number in 1..=7 {
        let status = koshin_endpoints::StatusSource::status(&desk.ledger, &serial(number)).await.unwrap();
        let expected = match number {
            1 | 5 | 6 => OcspStatus::Good,
            3 => OcspStatus::Revoked { at: revocation(2).at, reason: RevocationReason::KeyCompromise },
            4 => OcspStatus::Revoked { at: revocation(3).at, reason: RevocationReason::KeyCompromise },
            // Intended only, or never heard of.
            _ => OcspStatus::Unknown,
        };
        assert_eq!(status, expected, "U-{number}");
        let revocation = desk.ledger.revocation(&serial(number)).await.unwrap();
        assert_eq!(revocation.is_some(), matches!(status, OcspStatus::Revoked { .. }));
    }
}

/// Pages come in the order of the numbers, whatever octets are in them, and leave nothing out.
#[tokio::test]
async fn revocations_come_in_pages_in_the_order_of_their_serial_numbers() {
    let desk = Desk::empty().await;
    let mut serials = Vec::new();
    for number in 0..60_u8 {
        // Short and long ones, with every octet that could end a field or a text.
        let octets: Vec<u8> =
            [&[1 + number][..], &[0, b',', b';', 0xff, 0x80, b'\''][..usize::from(number % 7)]].concat();
        let serial = SerialNumber::from_be_bytes(&octets).unwrap();
        let intent = Intent { serial, ..intent(u32::from(number), at(0)) };
        desk.ledger.intend(intent).await.unwrap();
        desk.ledger.issued(&serial, &[2; 100], at(0)).await.unwrap();
        let invalidity_date = (number % 2 == 0).then_some(at(-1));
        let revocation = Revocation { invalidity_date, ..revocation(i64::from(number)) };
        desk.ledger.revoke(&serial, &revocation, at(1)).await.unwrap();
        serials.push((serial, revocation.at, invalidity_date));
    }
    serials.sort_unstable();
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = desk.ledger.revocations(after, 7).await.unwrap();
        found.extend(page.iter().map(|it| (it.entry.serial, it.entry.revoked_at, it.entry.invalidity_date)));
        after = page.last().map(|last| last.entry.serial);
        if page.len() < 7 {
            break;
        }
    }
    assert_eq!(found, serials);
}

fn edition(number: u64, minutes: i64) -> CrlEdition {
    CrlEdition { number, this_update: at(minutes), next_update: at(minutes) + Duration::days(7) }
}

/// I-43: numbers grow and dates never fall, whoever asks, also at once.
#[tokio::test]
async fn invariant_43_the_number_of_a_list_only_grows() {
    let desk = Desk::empty().await;
    assert_eq!(desk.ledger.editions().await.unwrap().reserved, None);
    assert_eq!(desk.ledger.reserve(edition(10, 5)).await.unwrap(), edition(10, 5));
    assert_eq!(desk.ledger.reserve(edition(1, 3)).await.unwrap(), edition(11, 5));
    let other = LedgerStore::open(&desk.path(), &options()).await.unwrap();
    let ledger = Arc::new(desk.ledger.clone());
    let mut tasks = tokio::task::JoinSet::new();
    for turn in 0..20 {
        let ledger = if turn % 2 == 0 { (*ledger).clone() } else { other.clone() };
        tasks.spawn(async move { ledger.reserve(edition(1, 6)).await.unwrap().number });
    }
    let mut numbers = tasks.join_all().await;
    numbers.sort_unstable();
    assert_eq!(numbers, (12..32).collect::<Vec<u64>>());
    desk.ledger.published(edition(20, 6)).await.unwrap();
    desk.ledger.published(edition(19, 6)).await.unwrap();
    let editions = other.editions().await.unwrap();
    assert_eq!((editions.reserved, editions.published), (Some(edition(31, 6)), Some(edition(20, 6))));
    let mut raw = desk.raw().await;
    assert!(run(&mut raw, "UPDATE editions SET number = number - 1").await.is_err());
    assert!(run(&mut raw, "DELETE FROM editions").await.is_err());
    other.shut_down().await;
}

/// I-41: the recorded time goes back only when somebody vouches for the clock.
#[tokio::test]
async fn the_largest_instant_goes_back_only_when_confirmed() {
    let desk = Desk::empty().await;
    let largest = async || desk.ledger.changes(0, 0).await.unwrap().largest;
    desk.ledger.advance(at(10)).await.unwrap();
    desk.ledger.advance(at(5)).await.unwrap();
    assert_eq!(largest().await, Some(at(10)));
    desk.ledger.confirm_clock("operator", at(7)).await.unwrap();
    assert_eq!(largest().await, Some(at(7)));
    issue(&desk.ledger, 1, at(8)).await;
    assert_eq!(largest().await, Some(at(8)));
    let records = desk.ledger.audit_records(0, 10).await.unwrap();
    assert_eq!((records[0].word.as_str(), records[0].fact), ("clock_confirmed", false));
    desk.ledger.audit_replay().await.unwrap();
}
