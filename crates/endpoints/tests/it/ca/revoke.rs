//! Revocation is final, and everybody learns of it.

use std::sync::Arc;

use koshin_endpoints::{
    StatusSource as _,
    ca::{
        ChangeKind, ChangesRefused, IssueRefused, IssueRequest, LedgerStatus, RevocationRefused, RevocationRequest,
        Right,
    },
};
use koshin_issuance::OcspStatus;
use koshin_types::{RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use super::{Bench, now, order};

pub(super) fn request(serial: SerialNumber) -> RevocationRequest {
    RevocationRequest { serial, reason: RevocationReason::KeyCompromise, revoked_at: now(), invalidity_date: None }
}

#[tokio::test]
async fn invariant_36_revocation_is_idempotent_and_final() {
    let bench = Bench::new();
    let service = bench.service();
    let ask = order(1);
    let issued = service.issue(bench.portal(), &ask, now()).await.unwrap();
    let later = now() + Duration::minutes(10);
    let known_since = now() - Duration::days(2) + Duration::milliseconds(7);
    let first = RevocationRequest {
        revoked_at: now() + Duration::minutes(9),
        invalidity_date: Some(known_since),
        ..request(issued.serial)
    };
    let revoked = service.revoke(bench.portal(), &first, later).await.unwrap();
    assert_eq!((revoked.at, revoked.reason, revoked.by.as_str()), (first.revoked_at, first.reason, "portal"));
    assert_eq!(revoked.invalidity_date, Some(now() - Duration::days(2)), "whole seconds");
    let second =
        RevocationRequest { reason: RevocationReason::Superseded, revoked_at: later, ..request(issued.serial) };
    for again in [&second, &first] {
        assert_eq!(service.revoke(bench.portal(), again, later).await.unwrap(), revoked);
    }
    let refused = service.issue(bench.portal(), &ask, now()).await.unwrap_err();
    let IssueRefused::Revoked { serial, at, reason } = refused else { panic!("{refused:?}") };
    assert_eq!((serial, at, reason), (issued.serial, revoked.at, revoked.reason));
    let status = LedgerStatus::new(Arc::clone(&bench.ledger) as _).status(&issued.serial).await.unwrap();
    assert_eq!(status, OcspStatus::Revoked { at: revoked.at, reason: revoked.reason });
}

#[tokio::test]
async fn a_revocation_is_never_refused_for_its_date() {
    let bench = Bench::new();
    let service = bench.service();
    let year = Duration::days(365);
    let cases: [(u8, UtcDateTime, UtcDateTime); 3] = [
        (1, now() - year, now()),
        (2, now() + year, now() + Duration::HOUR),
        (3, now() + Duration::MINUTE, now() + Duration::MINUTE),
    ];
    for (number, asked, dated) in cases {
        let issued = service.issue(bench.portal(), &order(number), now()).await.unwrap();
        let wish = RevocationRequest { revoked_at: asked, ..request(issued.serial) };
        let revoked = service.revoke(bench.portal(), &wish, now() + Duration::HOUR).await.unwrap();
        assert_eq!(revoked.at, dated, "not before it was valid, not after today");
    }
}

#[tokio::test]
async fn nobody_revokes_what_is_not_theirs() {
    let bench = Bench::new();
    let service = bench.service();
    let issued = service.issue(bench.portal(), &order(1), now()).await.unwrap();
    let foreign = service.revoke(bench.other(), &request(issued.serial), now()).await.unwrap_err();
    let nowhere = SerialNumber::from_be_bytes(&[1, 2, 3]).unwrap();
    let unknown = service.revoke(bench.other(), &request(nowhere), now()).await.unwrap_err();
    assert_eq!(
        foreign.to_string().replace(&issued.serial.to_string(), "-"),
        unknown.to_string().replace(&nowhere.to_string(), "-"),
        "a foreign one is answered as one that there is not"
    );
    assert!(matches!(foreign, RevocationRefused::Unknown { .. }));
    let mut reader = bench.portal().clone();
    reader.rights.remove(&Right::Revoke);
    let refused = service.revoke(&reader, &request(issued.serial), now()).await.unwrap_err();
    assert!(matches!(refused, RevocationRefused::NotAllowed { .. }));
    assert_eq!(bench.ledger.audited(), 2);
}

#[tokio::test]
async fn invariant_72_an_intent_that_is_revoked_never_becomes_a_certificate() {
    let bench = Bench::new();
    let service = bench.service();
    let ask = order(1);
    bench.key.away.store(true, std::sync::atomic::Ordering::Relaxed);
    let refused = service.issue(bench.portal(), &ask, now()).await.unwrap_err();
    let IssueRefused::Unsigned { serial, .. } = refused else { panic!("{refused:?}") };
    service.revoke(bench.portal(), &request(serial), now()).await.unwrap();
    bench.key.away.store(false, std::sync::atomic::Ordering::Relaxed);
    let refused = service.issue(bench.portal(), &ask, now()).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::Abandoned { .. }), "{refused:?}");
    assert!(service.finish_unfinished(now()).await.unwrap().issued.is_empty());
    let status = LedgerStatus::new(Arc::clone(&bench.ledger) as _).status(&serial).await.unwrap();
    assert_eq!(status, OcspStatus::Unknown, "never issued is never good");
}

#[tokio::test]
async fn each_client_reads_its_own_changes_by_pages() {
    let bench = Bench::new();
    let service = bench.service();
    let mut theirs = Vec::new();
    for number in 0..20 {
        // Every fourth belongs to the other one.
        let client = if number % 4 == 3 { bench.other() } else { bench.portal() };
        let issued = service.issue(client, &order(number), now()).await.unwrap();
        if client == bench.portal() {
            theirs.push((issued.serial, false));
        }
    }
    for serial in [theirs[3].0, theirs[0].0] {
        service.revoke(bench.portal(), &request(serial), now()).await.unwrap();
        theirs.push((serial, true));
    }
    for limit in [1, 3, 7, 1000, u32::MAX, 0] {
        let (mut since, mut seen) = (0, Vec::new());
        loop {
            let page = service.changes(bench.portal(), since, limit).await.unwrap();
            assert!(page.changes.len() <= usize::try_from(limit.max(1)).unwrap());
            seen.extend(page.changes);
            assert!(page.next > since, "every page leads on");
            since = page.next;
            if page.next >= page.head {
                break;
            }
        }
        let seen: Vec<_> =
            seen.iter().map(|change| (change.serial, matches!(change.kind, ChangeKind::Revoked(_)))).collect();
        assert_eq!(seen, theirs, "by {limit}");
    }
    let end = service.changes(bench.portal(), 22, 10).await.unwrap();
    assert_eq!((end.changes.len(), end.next, end.head), (0, 22, 22));
    let mut silent = bench.portal().clone();
    silent.rights.remove(&Right::Changes);
    let refused = service.changes(&silent, 0, 10).await.unwrap_err();
    assert!(matches!(refused, ChangesRefused::NotAllowed { .. }));
}

#[tokio::test]
async fn revoking_goes_on_while_nothing_is_signed() {
    let bench = Bench::new();
    let service = bench.service();
    let issued = service.issue(bench.portal(), &order(1), now()).await.unwrap();
    service.hold(Some("restored".to_owned()));
    let long_ago = now() - Duration::days(400);
    let wish = IssueRequest { now: long_ago, ..order(2) };
    assert!(service.issue(bench.portal(), &wish, long_ago).await.is_err());
    let revoked = service.revoke(bench.portal(), &request(issued.serial), long_ago).await.unwrap();
    assert_eq!(revoked.at, long_ago, "a clock that is wrong keeps nobody logged in");
}
