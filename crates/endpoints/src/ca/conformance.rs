//! What every [`Ledger`] has to do, as tests that any implementation runs on itself.
//!
//! ```
//! use async_trait::async_trait;
//! use koshin_endpoints::ca::{Ledger, MemoryLedger, conformance::Rig};
//!
//! struct Memory(MemoryLedger);
//!
//! #[async_trait]
//! impl Rig for Memory {
//!     fn ledger(&self) -> &dyn Ledger {
//!         &self.0
//!     }
//!     async fn audited(&self) -> u64 {
//!         self.0.audited()
//!     }
//! }
//!
//! async fn empty() -> Memory {
//!     Memory(MemoryLedger::default())
//! }
//!
//! koshin_endpoints::ledger_conformance!(empty);
//! # fn main() {
//! #     use koshin_endpoints::ca::conformance;
//! #     conformance::run(async { conformance::an_order_is_recorded_once(&empty().await).await })
//! # }
//! ```

#![expect(clippy::missing_panics_doc, reason = "a test of the suite fails by panicking")]

use std::future::Future;

use async_trait::async_trait;
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber, Validity};
use time::{Duration, UtcDateTime};

use super::ledger::{
    ChangeKind, Changes, IntendError, Intent, IssuedError, Ledger, OrderKey, Recorded, Revocation, RevokeError,
    Standing, Status,
};

/// A ledger on the bench: what the tests need beside the port.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The ledger under test.
    fn ledger(&self) -> &dyn Ledger;
    /// How many audit records there are.
    async fn audited(&self) -> u64;
}

/// Runs one test of the suite on a runtime of its own.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime {
        Ok(runtime) => runtime.block_on(test),
        Err(error) => assert!(error.to_string().is_empty(), "no runtime: {error}"),
    }
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl Rig` that gives a new, empty
/// ledger each time.
#[macro_export]
macro_rules! ledger_conformance {
    ($make:path) => {
        $crate::ledger_conformance!(@ $make:
            an_empty_ledger_knows_nothing, an_order_is_recorded_once, an_entry_comes_back_as_it_was_put_in,
            a_key_belongs_to_one_order, a_renewal_has_one_key, a_serial_number_is_used_once,
            the_first_certificate_wins, only_what_is_recorded_is_issued, revocation_is_final,
            an_intent_can_be_abandoned, changes_come_in_pages, the_unfinished_are_listed_oldest_first,
            every_change_leaves_one_audit_record, the_largest_instant_never_falls, many_at_once_make_one_entry,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $crate::ca::conformance::run(async { $crate::ca::conformance::$case(&$make().await).await });
        })+
    };
}

fn at(milliseconds: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000) + Duration::milliseconds(milliseconds)
}

fn serial(number: u8) -> SerialNumber {
    SerialNumber::from_time_and_random(1_728_000_000_000, [number; 13])
}

fn order(renewal: u8, key: u8) -> OrderKey {
    OrderKey { renewal: RenewalId::new([renewal; 16]), spki: Fingerprint::new([key; 32]) }
}

/// An intent whose renewal, key and serial number are all made of one number.
fn intent(number: u8) -> Intent {
    let validity = Validity::new(at(0), at(0) + Duration::days(365) - Duration::SECOND);
    let validity = validity.unwrap_or_else(|error| unreachable!("whole seconds in order: {error}"));
    Intent {
        order: order(number, number),
        client: "portal".to_owned(),
        profile: "client".to_owned(),
        organization: "更新商店 \"株式会社\"'; --".to_owned(),
        subject: format!("U-{number}"),
        serial: serial(number),
        validity,
        tbs: vec![0x30, 0x03, 0x02, 0x01, number],
        at: at(i64::from(number)),
    }
}

fn revocation(reason: RevocationReason, milliseconds: i64) -> Revocation {
    let invalidity_date = Some(at(0) - Duration::days(1));
    Revocation { at: at(milliseconds), reason, invalidity_date, by: "portal".to_owned() }
}

async fn put(rig: &dyn Rig, number: u8) -> Intent {
    let intent = intent(number);
    let recorded = rig.ledger().intend(intent.clone()).await;
    assert!(matches!(recorded, Ok(Recorded::New)), "{recorded:?}");
    intent
}

async fn issue(rig: &dyn Rig, number: u8, milliseconds: i64) {
    put(rig, number).await;
    let stored = rig.ledger().issued(&serial(number), &[0x30, number], at(milliseconds)).await;
    assert!(stored.as_ref().is_ok_and(|der| *der == [0x30, number]), "{stored:?}");
}

async fn revoke(rig: &dyn Rig, number: u8, revocation: &Revocation, milliseconds: i64) -> Option<Standing> {
    let revoked = rig.ledger().revoke(&serial(number), revocation, at(milliseconds)).await;
    assert!(!matches!(revoked, Err(RevokeError::Ledger(_))), "the ledger answers: {revoked:?}");
    revoked.ok()
}

async fn status(rig: &dyn Rig, number: u8) -> Option<Status> {
    let status = rig.ledger().status(&serial(number)).await;
    assert!(status.is_ok(), "the ledger answers: {status:?}");
    status.unwrap_or_default()
}

async fn standing(rig: &dyn Rig, number: u8) -> Option<Standing> {
    status(rig, number).await.map(|status| status.standing)
}

async fn changes(rig: &dyn Rig, after: u64, limit: u32) -> Changes {
    let changes = rig.ledger().changes(after, limit).await;
    assert!(changes.is_ok(), "the ledger answers: {changes:?}");
    changes.unwrap_or_default()
}

async fn unfinished(rig: &dyn Rig, limit: u32) -> Vec<Intent> {
    let unfinished = rig.ledger().unfinished(limit).await;
    assert!(unfinished.is_ok(), "the ledger answers: {unfinished:?}");
    unfinished.unwrap_or_default()
}

/// Nothing is there before something was put in.
pub async fn an_empty_ledger_knows_nothing(rig: &dyn Rig) {
    assert!(matches!(rig.ledger().find(&order(1, 1)).await, Ok(None)));
    assert_eq!(status(rig, 1).await, None);
    assert_eq!(changes(rig, 0, 10).await, Changes::default());
    assert_eq!(unfinished(rig, 10).await, []);
    assert_eq!(rig.audited().await, 0);
}

/// The same order again is answered with the entry that is there, whatever else is in the second intent.
pub async fn an_order_is_recorded_once(rig: &dyn Rig) {
    let first = put(rig, 1).await;
    let again = Intent { serial: serial(9), tbs: vec![0x30, 0], at: at(500), ..first.clone() };
    for _ in 0..2 {
        let recorded = rig.ledger().intend(again.clone()).await;
        let Ok(Recorded::Known(entry)) = recorded else { unreachable!("{recorded:?}") };
        assert_eq!((entry.intent, entry.certificate, entry.standing), (first.clone(), None, Standing::Intended));
    }
    assert_eq!(status(rig, 9).await, None, "the second serial number was never recorded");
    assert!(rig.ledger().issued(&serial(1), &[0x30, 1], at(600)).await.is_ok());
    let recorded = rig.ledger().intend(again.clone()).await;
    let Ok(Recorded::Known(entry)) = recorded else { unreachable!("{recorded:?}") };
    assert_eq!((entry.certificate, entry.standing), (Some(vec![0x30, 1]), Standing::Issued));
}

/// Everything that was put in comes out again, from every door.
pub async fn an_entry_comes_back_as_it_was_put_in(rig: &dyn Rig) {
    let first = put(rig, 1).await;
    put(rig, 2).await;
    let found = rig.ledger().find(&order(1, 1)).await.ok().flatten();
    assert_eq!(found.map(|entry| (entry.intent, entry.certificate, entry.standing)), {
        Some((first.clone(), None, Standing::Intended))
    });
    assert_eq!(unfinished(rig, 1).await, std::slice::from_ref(&first));
    let Intent { order: key, client, validity, .. } = first;
    assert_eq!(status(rig, 1).await, Some(Status { order: key, client, validity, standing: Standing::Intended }));
    assert!(matches!(rig.ledger().find(&order(1, 2)).await, Ok(None)), "both parts make the order");
}

/// A key is never taken for a second order, whatever became of the first.
pub async fn a_key_belongs_to_one_order(rig: &dyn Rig) {
    put(rig, 1).await;
    let other = Intent { order: order(2, 1), ..intent(2) };
    let key_seen = |result: &Result<Recorded, IntendError>| matches!(result, Err(IntendError::KeySeen { spki }) if *spki == order(2, 1).spki);
    let refused = rig.ledger().intend(other.clone()).await;
    assert!(key_seen(&refused), "{refused:?}");
    assert!(revoke(rig, 1, &revocation(RevocationReason::KeyCompromise, 5), 5).await.is_some());
    let refused = rig.ledger().intend(other.clone()).await;
    assert!(key_seen(&refused), "abandoned: {refused:?}");
    issue(rig, 3, 10).await;
    let refused =
        rig.ledger().intend(Intent { order: OrderKey { spki: order(3, 3).spki, ..other.order }, ..other }).await;
    assert!(matches!(refused, Err(IntendError::KeySeen { .. })), "issued: {refused:?}");
    assert_eq!(status(rig, 2).await, None, "a refused intent leaves nothing");
    put(rig, 2).await;
}

/// A renewal never gets a second key.
pub async fn a_renewal_has_one_key(rig: &dyn Rig) {
    put(rig, 1).await;
    let refused = rig.ledger().intend(Intent { order: order(1, 2), ..intent(2) }).await;
    let Err(IntendError::RenewalTaken { recorded, asked }) = refused else { unreachable!("{refused:?}") };
    assert_eq!((recorded, asked), (order(1, 1).spki, order(1, 2).spki));
    assert!(revoke(rig, 1, &revocation(RevocationReason::Unspecified, 5), 5).await.is_some());
    let refused = rig.ledger().intend(Intent { order: order(1, 2), ..intent(2) }).await;
    assert!(matches!(refused, Err(IntendError::RenewalTaken { .. })), "{refused:?}");
    put(rig, 2).await;
    // Key and renewal both known, from two orders: the key is the heavier sin.
    let refused = rig.ledger().intend(Intent { order: order(1, 2), ..intent(3) }).await;
    assert!(matches!(refused, Err(IntendError::KeySeen { .. })), "{refused:?}");
}

/// I-70: a serial number is never recorded twice, not even after it was abandoned (I-72).
pub async fn a_serial_number_is_used_once(rig: &dyn Rig) {
    put(rig, 1).await;
    let taken = Intent { serial: serial(1), ..intent(2) };
    let refused = rig.ledger().intend(taken.clone()).await;
    assert!(matches!(refused, Err(IntendError::SerialTaken { serial: found }) if found == serial(1)), "{refused:?}");
    assert!(revoke(rig, 1, &revocation(RevocationReason::Unspecified, 5), 5).await.is_some());
    let refused = rig.ledger().intend(taken).await;
    assert!(matches!(refused, Err(IntendError::SerialTaken { .. })), "{refused:?}");
    put(rig, 2).await;
}

/// I-25: what was stored first is the certificate for ever.
pub async fn the_first_certificate_wins(rig: &dyn Rig) {
    put(rig, 1).await;
    for der in [[0x30, 1], [0x30, 2], [0x30, 1]] {
        let stored = rig.ledger().issued(&serial(1), &der, at(10)).await;
        assert!(stored.as_ref().is_ok_and(|stored| *stored == [0x30, 1]), "{stored:?}");
    }
    assert_eq!(standing(rig, 1).await, Some(Standing::Issued));
    let first = revocation(RevocationReason::Superseded, 20);
    assert_eq!(revoke(rig, 1, &first, 20).await, Some(Standing::Revoked(first.clone())));
    let stored = rig.ledger().issued(&serial(1), &[0x30, 3], at(30)).await;
    assert!(stored.as_ref().is_ok_and(|stored| *stored == [0x30, 1]), "{stored:?}");
    assert_eq!(standing(rig, 1).await, Some(Standing::Revoked(first.clone())), "storing again revives nothing");
    let found = rig.ledger().find(&order(1, 1)).await.ok().flatten();
    assert_eq!(found.map(|entry| (entry.certificate, entry.standing)), {
        Some((Some(vec![0x30, 1]), Standing::Revoked(first)))
    });
}

/// A certificate without an intent is none.
pub async fn only_what_is_recorded_is_issued(rig: &dyn Rig) {
    put(rig, 1).await;
    let refused = rig.ledger().issued(&serial(2), &[0x30, 2], at(10)).await;
    assert!(matches!(refused, Err(IssuedError::Unknown { serial: found }) if found == serial(2)), "{refused:?}");
    assert_eq!(status(rig, 2).await, None);
    assert_eq!(changes(rig, 0, 10).await.changes, []);
}

/// I-36: a revocation is never changed and never lifted.
pub async fn revocation_is_final(rig: &dyn Rig) {
    issue(rig, 1, 1).await;
    let first = revocation(RevocationReason::CessationOfOperation, 10);
    assert_eq!(revoke(rig, 1, &first, 11).await, Some(Standing::Revoked(first.clone())));
    let second = Revocation { invalidity_date: None, ..revocation(RevocationReason::KeyCompromise, 20) };
    for again in [&second, &first] {
        assert_eq!(revoke(rig, 1, again, 21).await, Some(Standing::Revoked(first.clone())));
    }
    assert_eq!(standing(rig, 1).await, Some(Standing::Revoked(first)));
    let unknown = rig.ledger().revoke(&serial(2), &second, at(30)).await;
    assert!(matches!(unknown, Err(RevokeError::Unknown { serial: found }) if found == serial(2)), "{unknown:?}");
    assert_eq!(changes(rig, 0, 10).await.changes.len(), 2, "issued and revoked, once each");
    for (reason, number) in RevocationReason::ALL.into_iter().zip(10..) {
        issue(rig, number, 40).await;
        let each = Revocation { invalidity_date: None, ..revocation(reason, 50) };
        assert_eq!(revoke(rig, number, &each, 50).await, Some(Standing::Revoked(each.clone())));
        assert_eq!(standing(rig, number).await, Some(Standing::Revoked(each)));
    }
}

/// I-72: an abandoned intent never becomes a certificate.
pub async fn an_intent_can_be_abandoned(rig: &dyn Rig) {
    put(rig, 1).await;
    let given_up = revocation(RevocationReason::Unspecified, 10);
    for _ in 0..2 {
        assert_eq!(revoke(rig, 1, &given_up, 10).await, Some(Standing::Abandoned(given_up.clone())));
    }
    let refused = rig.ledger().issued(&serial(1), &[0x30, 1], at(20)).await;
    assert!(matches!(refused, Err(IssuedError::Abandoned { serial: found }) if found == serial(1)), "{refused:?}");
    assert_eq!(unfinished(rig, 10).await, []);
    let found = rig.ledger().find(&order(1, 1)).await.ok().flatten();
    assert_eq!(
        found.map(|entry| (entry.certificate, entry.standing)),
        Some((None, Standing::Abandoned(given_up.clone())))
    );
    let kinds: Vec<_> = changes(rig, 0, 10).await.changes.into_iter().map(|change| change.kind).collect();
    assert_eq!(kinds, [ChangeKind::Abandoned(given_up)]);
}

/// Changes come in their order, each once, in pages of the size asked for.
pub async fn changes_come_in_pages(rig: &dyn Rig) {
    for number in 1..=3 {
        issue(rig, number, 10 + i64::from(number)).await;
    }
    let revoked = revocation(RevocationReason::KeyCompromise, 20);
    revoke(rig, 2, &revoked, 21).await;
    put(rig, 4).await;
    let all = changes(rig, 0, 10).await;
    let seen: Vec<_> = all.changes.iter().map(|change| (change.serial, change.at, change.kind.clone())).collect();
    assert_eq!(
        seen,
        [
            (serial(1), at(11), ChangeKind::Issued),
            (serial(2), at(12), ChangeKind::Issued),
            (serial(3), at(13), ChangeKind::Issued),
            (serial(2), at(21), ChangeKind::Revoked(revoked)),
        ]
    );
    assert!(all.changes.iter().all(|change| change.client.as_deref() == Some("portal") && change.sequence > 0));
    assert!(all.changes.is_sorted_by(|one, next| one.sequence < next.sequence));
    assert_eq!(all.changes.last().map(|last| last.sequence), Some(all.head), "an intent is no change");
    let (mut after, mut paged) = (0, Vec::new());
    loop {
        let page = changes(rig, after, 3).await;
        assert!(page.changes.len() <= 3 && page.head == all.head);
        let Some(last) = page.changes.last() else { break };
        after = last.sequence;
        paged.extend(page.changes);
    }
    assert_eq!(paged, all.changes);
    assert_eq!(changes(rig, 0, 0).await, Changes { changes: Vec::new(), ..all });
    assert_eq!(changes(rig, u64::MAX, 10).await.changes, []);
}

/// What was begun and not ended is found again, the oldest first.
pub async fn the_unfinished_are_listed_oldest_first(rig: &dyn Rig) {
    // In the order of their recording, which is not that of their serial numbers.
    for number in [3, 1, 2, 5, 4] {
        assert!(matches!(rig.ledger().intend(Intent { at: at(100), ..intent(number) }).await, Ok(Recorded::New)));
    }
    assert!(rig.ledger().issued(&serial(1), &[0x30, 1], at(200)).await.is_ok());
    revoke(rig, 5, &revocation(RevocationReason::Unspecified, 200), 200).await;
    let serials = |intents: Vec<Intent>| intents.into_iter().map(|intent| intent.serial).collect::<Vec<_>>();
    assert_eq!(serials(unfinished(rig, 10).await), [serial(3), serial(2), serial(4)]);
    assert_eq!(serials(unfinished(rig, 2).await), [serial(3), serial(2)]);
    assert_eq!(serials(unfinished(rig, 0).await), []);
}

/// I-35: one record for each change, none for what changed nothing.
pub async fn every_change_leaves_one_audit_record(rig: &dyn Rig) {
    let gone = revocation(RevocationReason::Unspecified, 30);
    put(rig, 1).await;
    assert_eq!(rig.audited().await, 1);
    assert!(matches!(rig.ledger().intend(intent(1)).await, Ok(Recorded::Known(_))));
    assert!(rig.ledger().intend(Intent { order: order(2, 1), ..intent(2) }).await.is_err());
    assert!(rig.ledger().issued(&serial(2), &[0x30, 2], at(10)).await.is_err());
    assert_eq!(revoke(rig, 2, &gone, 30).await, None);
    assert_eq!(rig.audited().await, 1, "refusals and repetitions are no changes");
    for _ in 0..2 {
        assert!(rig.ledger().issued(&serial(1), &[0x30, 1], at(20)).await.is_ok());
        assert_eq!(rig.audited().await, 2);
    }
    for _ in 0..2 {
        revoke(rig, 1, &gone, 30).await;
        assert_eq!(rig.audited().await, 3);
    }
    put(rig, 3).await;
    revoke(rig, 3, &gone, 40).await;
    assert_eq!(rig.audited().await, 5);
}

/// I-41: a clock has something to be compared with, whatever was recorded, and in which order.
pub async fn the_largest_instant_never_falls(rig: &dyn Rig) {
    let largest = || async { changes(rig, u64::MAX, 0).await.largest };
    put(rig, 50).await;
    assert_eq!(largest().await, Some(at(50)));
    put(rig, 10).await;
    assert_eq!(largest().await, Some(at(50)));
    assert!(rig.ledger().issued(&serial(10), &[0x30, 10], at(70)).await.is_ok());
    assert_eq!(largest().await, Some(at(70)));
    // When it counts from is not when it was recorded.
    revoke(rig, 10, &revocation(RevocationReason::Superseded, 5_000), 60).await;
    assert_eq!(largest().await, Some(at(70)));
    revoke(rig, 50, &revocation(RevocationReason::Superseded, 5), 80).await;
    assert_eq!(largest().await, Some(at(80)));
}

/// Of many who record the same order, or the same certificate, at once, one does.
pub async fn many_at_once_make_one_entry(rig: &dyn Rig) {
    let attempt = |number: u8| {
        let mine = Intent { serial: serial(number), ..intent(1) };
        async move {
            let recorded = rig.ledger().intend(mine).await;
            let serial = match recorded {
                Ok(Recorded::New) => serial(number),
                Ok(Recorded::Known(entry)) => entry.intent.serial,
                Err(error) => unreachable!("{error}"),
            };
            let stored = rig.ledger().issued(&serial, &[0x30, number], at(i64::from(number))).await;
            (serial, stored.unwrap_or_default())
        }
    };
    let (a, b, c, d) = (attempt(1), attempt(2), attempt(3), attempt(4));
    let (a, b, c, d) = tokio::join!(a, b, c, d);
    assert!(!a.1.is_empty() && [&b, &c, &d].iter().all(|other| **other == a), "{a:?} {b:?} {c:?} {d:?}");
    assert_eq!(rig.audited().await, 2);
}
