//! What is answered from memory holds.

use std::time::{Duration as Elapsed, Instant};

use koshin_ra::{Directory as _, Registry as _, Session, SessionKind, Sessions as _, Subject};

use crate::bench::{Bench, at, hash, id, note, permit, run};

/// Asks again until it is so; a second of grace for a machine that is busy.
async fn within_a_second(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Elapsed::from_secs(2), "not within a second: {what}");
        tokio::time::sleep(Elapsed::from_millis(20)).await;
    }
}

fn portal_session(number: u32) -> Session {
    let kind = SessionKind::Portal { subject: id(1), certificate: hash(1), previous_sign_in: None };
    Session { key: hash(number), kind, opened_at: at(5), seen_at: at(5), ends_at: at(20) }
}

#[tokio::test]
async fn every_commit_of_this_process_is_seen_at_once() {
    let bench = Bench::with(2).await;
    bench.enrolled(1, 1, at(0)).await;
    bench.enrolled(2, 2, at(0)).await;
    for round in 1..50 {
        let holder = bench.store.holder(&hash(1)).await.unwrap().unwrap();
        assert_eq!(holder, bench.file(1).await, "round {round}");
        let version = permit(&bench.store, 1, at(round)).await.unwrap();
        assert_eq!(bench.store.holder(&hash(1)).await.unwrap().unwrap().version, version);
    }
    // The instant of a sign-in is none of the version's business.
    assert!(bench.store.open(portal_session(7), &bench.file(1).await.subject, note("signed_in")).await.unwrap());
    let holder = bench.store.holder(&hash(1)).await.unwrap().unwrap();
    assert_eq!(holder.subject.last_sign_in, Some(at(5)));
    assert!(bench.store.holder(&hash(3)).await.unwrap().is_none());
    assert_eq!(bench.store.holder(&hash(2)).await.unwrap().unwrap().subject.id, id(2));
}

#[tokio::test]
async fn whoever_loses_a_race_is_answered_with_what_was_committed() {
    let bench = Bench::with(1).await;
    bench.enrolled(1, 1, at(0)).await;
    for round in 1..10 {
        // Some of these lose: their commits are refused, and leave nothing in memory either.
        let all = (0..8).map(|_| permit(&bench.store, 1, at(round)));
        let won = futures_join(all).await;
        assert!(won >= 1);
        assert_eq!(bench.store.holder(&hash(1)).await.unwrap().unwrap(), bench.file(1).await);
    }
}

async fn futures_join<F: Future<Output = Result<u64, koshin_ra::CommitError>>>(all: impl Iterator<Item = F>) -> usize {
    let mut all: Vec<_> = all.map(Box::pin).collect();
    let mut won = 0;
    std::future::poll_fn(|context| {
        all.retain_mut(|one| match one.as_mut().poll(context) {
            std::task::Poll::Ready(result) => {
                won += usize::from(result.is_ok());
                false
            }
            std::task::Poll::Pending => true,
        });
        if all.is_empty() { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    won
}

#[tokio::test]
async fn what_other_processes_write_is_seen_within_a_second() {
    let bench = Bench::with(1).await;
    bench.enrolled(1, 1, at(0)).await;
    let name = async || bench.store.holder(&hash(1)).await.unwrap().unwrap().subject.name.clone();
    let mut raw = bench.raw().await;
    for round in 0..5 {
        assert!(
            bench.store.open(portal_session(7 + round), &bench.file(1).await.subject, note("signed_in")).await.unwrap()
        );
        assert!(bench.store.find(&hash(7 + round)).await.unwrap().is_some());
        let wanted = format!("Taro {round}");
        run(&mut raw, &format!("UPDATE subjects SET name = '{wanted}'")).await.unwrap();
        run(&mut raw, "DELETE FROM sessions").await.unwrap();
        within_a_second("the new name", async || name().await == wanted).await;
        within_a_second("the end of the session", async || bench.store.find(&hash(7 + round)).await.unwrap().is_none())
            .await;
    }
}

#[tokio::test]
async fn sessions_change_and_end_at_once() {
    let bench = Bench::with(1).await;
    let store = &bench.store;
    let subject = bench.file(1).await.subject.clone();
    let before = portal_session(7);
    assert!(store.open(before.clone(), &subject, note("signed_in")).await.unwrap());
    let after = Session { seen_at: at(6), ..before.clone() };
    assert!(store.replace(&before, &after, None).await.unwrap());
    assert_eq!(store.find(&hash(7)).await.unwrap(), Some(after.clone()));
    // From another tab, decided on what is no more.
    assert!(!store.replace(&before, &Session { seen_at: at(7), ..before.clone() }, None).await.unwrap());
    assert_eq!(store.find(&hash(7)).await.unwrap(), Some(after.clone()));
    let moved = Session { key: hash(8), ..after.clone() };
    assert!(store.replace(&after, &moved, None).await.unwrap());
    assert_eq!((store.find(&hash(7)).await.unwrap(), store.find(&hash(8)).await.unwrap()), (None, Some(moved)));
    store.close(&hash(8), note("signed_out"), at(8)).await.unwrap();
    assert_eq!(store.find(&hash(8)).await.unwrap(), None);

    // Another password ends them all.
    assert!(store.open(portal_session(9), &subject, note("signed_in")).await.unwrap());
    assert!(store.find(&hash(9)).await.unwrap().is_some());
    let changed = Subject { password_hash: Some("$argon2id$other".into()), ..subject };
    store.update_subject(&changed, 0, Vec::new(), note("password_set"), at(9)).await.unwrap();
    assert_eq!(store.find(&hash(9)).await.unwrap(), None);
}
