//! The CA's key is out of reach, slow or broken: nothing is lost, and the same request succeeds later.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration as Elapsed, Instant},
};

use koshin_endpoints::ca::{IssueRefused, Ledger as _, Signing};
use koshin_issuance::IssueError;

use super::{Bench, now, order};

#[tokio::test]
async fn a_request_waits_for_the_key_as_a_record() {
    let bench = Bench::new();
    let service = bench.service();
    let (first, second) = (order(1), order(2));
    bench.key.away.store(true, Ordering::Relaxed);
    for request in [&first, &first, &second] {
        let refused = service.issue(bench.portal(), request, now()).await.unwrap_err();
        assert!(refused.is_transient());
        assert!(
            matches!(&refused, IssueRefused::Unsigned { source: IssueError::Signer(error), .. } if error.is_transient())
        );
    }
    assert_eq!(bench.ledger.audited(), 2, "two intents");
    let finished = service.finish_unfinished(now()).await.unwrap();
    assert!(finished.issued.is_empty() && finished.abandoned.is_empty());
    assert!(finished.stopped.is_some_and(|stopped| stopped.is_transient()));

    bench.key.away.store(false, Ordering::Relaxed);
    let waiting = bench.ledger.unfinished(10).await.unwrap();
    let issued = service.issue(bench.portal(), &first, now()).await.unwrap();
    assert_eq!(issued.serial, waiting[0].serial);
    let finished = service.finish_unfinished(now()).await.unwrap();
    assert_eq!(finished.issued, [waiting[1].serial]);
    assert_eq!(service.issue(bench.portal(), &second, now()).await.unwrap().serial, waiting[1].serial);
    assert_eq!(bench.ledger.audited(), 4);
}

#[tokio::test]
async fn however_many_waited_they_are_all_finished() {
    let bench = Bench::new();
    let service = bench.service();
    bench.key.away.store(true, Ordering::Relaxed);
    for number in 0..=u8::MAX {
        service.issue(bench.portal(), &order(number), now()).await.unwrap_err();
    }
    bench.key.away.store(false, Ordering::Relaxed);
    let waiting = bench.ledger.unfinished(1000).await.unwrap();
    let finished = service.finish_unfinished(now()).await.unwrap();
    assert!(finished.stopped.is_none());
    assert_eq!(finished.issued, waiting.iter().map(|intent| intent.serial).collect::<Vec<_>>());
    assert_eq!((finished.issued.len(), bench.signatures()), (256, 256));
    assert!(service.finish_unfinished(now()).await.unwrap().issued.is_empty());
}

#[tokio::test]
async fn a_signature_that_does_not_verify_is_no_certificate() {
    let bench = Bench::new();
    let service = bench.service();
    let request = order(1);
    bench.key.broken.store(true, Ordering::Relaxed);
    let refused = service.issue(bench.portal(), &request, now()).await.unwrap_err();
    assert!(matches!(refused, IssueRefused::Unsigned { source: IssueError::Signature, .. }), "{refused:?}");
    assert_eq!(bench.ledger.unfinished(10).await.unwrap().len(), 1);
    bench.key.broken.store(false, Ordering::Relaxed);
    service.issue(bench.portal(), &request, now()).await.unwrap();
}

/// On one thread: what blocks it would block everything.
#[tokio::test]
async fn a_slow_key_keeps_no_thread_of_the_runtime() {
    let mut bench = Bench::with_slow(Elapsed::from_millis(300));
    bench.signing = Signing::Apart { at_once: 1, most: 2 };
    let service = Arc::new(bench.service());
    let requests = [order(1), order(2), order(3)];
    let began = Instant::now();
    let asking: Vec<_> = requests
        .iter()
        .map(|request| {
            let (service, request, portal) = (Arc::clone(&service), request.clone(), bench.portal().clone());
            tokio::spawn(async move { service.issue(&portal, &request, now()).await })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(began.elapsed() < Elapsed::from_millis(250), "{:?}", began.elapsed());
    let mut busy = 0;
    for one in asking {
        match one.await.unwrap() {
            Ok(_) => {}
            Err(IssueRefused::Busy) => busy += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!(busy, 1, "two may be inside, one of them at work");
    assert!(began.elapsed() >= Elapsed::from_millis(600), "one after the other");
    for request in &requests {
        service.issue(bench.portal(), request, now()).await.unwrap();
    }
    assert_eq!(bench.ledger.audited(), 6, "who was sent away had been recorded, and went on");
}

/// Who gives up while the token works leaves a record; the signature that nobody waits for is dropped.
#[tokio::test]
async fn who_gives_up_while_the_key_works_gets_the_certificate_later() {
    let mut bench = Bench::with_slow(Elapsed::from_millis(200));
    bench.signing = Signing::token();
    let service = Arc::new(bench.service());
    let request = order(1);
    let given_up = service.issue(bench.portal(), &request, now());
    assert!(tokio::time::timeout(Elapsed::from_millis(50), given_up).await.is_err());
    let intent = bench.ledger.unfinished(10).await.unwrap().remove(0);
    let issued = service.issue(bench.portal(), &request, now()).await.unwrap();
    assert_eq!(issued.serial, intent.serial);
    assert_eq!(bench.ledger.audited(), 2);
}

/// Recovery comes by while a request is at work: what the request has signed by then is not signed once more.
#[tokio::test]
async fn recovery_signs_nothing_that_has_its_certificate() {
    let mut bench = Bench::with_slow(Elapsed::from_millis(200));
    bench.signing = Signing::token();
    let service = Arc::new(bench.service());
    let (asked, portal) = (Arc::clone(&service), bench.portal().clone());
    let request = tokio::spawn(async move { asked.issue(&portal, &order(1), now()).await });
    while bench.ledger.unfinished(10).await.unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let finished = service.finish_unfinished(now()).await.unwrap();
    assert!(finished.issued.is_empty() && finished.stopped.is_none(), "{finished:?}");
    request.await.unwrap().unwrap();
    assert_eq!(bench.signatures(), 1);
}
