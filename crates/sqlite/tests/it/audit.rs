//! The audit log.

use koshin_ra::Registry as _;
use koshin_renewal::{Change, Fact, Why};
use koshin_sqlite::AuditError;
use sqlx::SqliteConnection;

use crate::bench::{Bench, at, commit, hash, permit, renewal_id, run};

async fn tampered(statement: &str) -> (Bench, AuditError) {
    let bench = Bench::with(2).await;
    for round in 0..5 {
        permit(&bench.store, 1, at(round)).await.unwrap();
        permit(&bench.store, 2, at(round)).await.unwrap();
    }
    bench.store.audit_replay().await.unwrap();
    let mut raw = open_to_tampering(&bench).await;
    assert!(run(&mut raw, statement).await.unwrap() > 0, "{statement}");
    let error = bench.store.audit_verify().await.expect_err(statement);
    assert!(bench.store.audit_replay().await.is_err(), "{statement}");
    (bench, error)
}

async fn open_to_tampering(bench: &Bench) -> SqliteConnection {
    let mut raw = bench.raw().await;
    run(&mut raw, "DROP TRIGGER audit_is_final").await.unwrap();
    run(&mut raw, "DROP TRIGGER audit_stays").await.unwrap();
    raw
}

#[tokio::test]
async fn invariant_35_edits_are_found_where_they_are() {
    for (statement, place, what) in [
        ("UPDATE audit SET body = replace(body, '1', '2') WHERE sequence = 7", 7, "the hash does not match"),
        ("UPDATE audit SET at = at + 1 WHERE sequence = 1", 1, "the hash does not match"),
        ("UPDATE audit SET actor = 'system' WHERE sequence = 9", 9, "the hash does not match"),
        ("UPDATE audit SET subject = 'U-2' WHERE sequence = 4", 4, "the hash does not match"),
        ("UPDATE audit SET word = 'x' WHERE sequence = 13", 13, "the hash does not match"),
        ("UPDATE audit SET fact = 0 WHERE sequence = 13", 13, "the hash does not match"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE sequence = 13", 13, "the hash does not match"),
        ("UPDATE audit SET hash = zeroblob(32) WHERE sequence = 2", 2, "the hash does not match"),
        ("DELETE FROM audit WHERE sequence = 5", 5, "the record is missing"),
        ("DELETE FROM audit WHERE sequence = 1", 1, "the record is missing"),
        (
            "INSERT INTO audit (sequence, at, actor, subject, fact, word, body, hash) \
             SELECT sequence + 1, at, actor, subject, fact, word, body, hash FROM audit ORDER BY sequence DESC LIMIT 1",
            14,
            "the hash does not match",
        ),
    ] {
        let (_, error) = tampered(statement).await;
        match error {
            AuditError::Break(found) => assert_eq!((found.sequence, &found.what[..]), (place, what), "{statement}"),
            other => panic!("{statement}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn a_cut_end_is_seen_against_a_kept_head() {
    let bench = Bench::with(1).await;
    permit(&bench.store, 1, at(1)).await.unwrap();
    let kept = bench.store.audit_head().await.unwrap();
    assert_eq!(bench.store.audit_verify().await.unwrap().head, kept);
    let last = bench.store.audit_records(0, 100).await.unwrap().pop().unwrap();
    assert_eq!((last.sequence, last.hash), (kept.sequence, kept.hash));
    let mut raw = open_to_tampering(&bench).await;
    run(&mut raw, "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)").await.unwrap();
    let found = bench.store.audit_verify().await.expect("the chain itself is whole").head;
    assert_eq!(found.sequence + 1, kept.sequence);
    assert!(matches!(bench.store.audit_replay().await, Err(AuditError::Differs { subject }) if subject == "U-1"));
}

#[tokio::test]
async fn a_changed_holding_is_not_what_the_log_says() {
    for statement in [
        "UPDATE certificates SET deferred = deferred + 1 WHERE subject = 2",
        "UPDATE certificates SET status = 'revoked', reason = 'unspecified' WHERE subject = 2",
        "UPDATE subjects SET grant_until = 5 WHERE number = 2",
        "UPDATE subjects SET renewal = NULL WHERE number = 2",
        "UPDATE renewals SET again = 3 WHERE subject = 2",
    ] {
        let bench = Bench::with(3).await;
        bench.enrolled(2, 2, at(0)).await;
        assert_eq!(bench.store.audit_replay().await.unwrap().subjects, 3);
        assert_eq!(run(&mut bench.raw().await, statement).await.unwrap(), 1);
        bench.store.audit_verify().await.expect("the log is whole");
        let error = bench.store.audit_replay().await.expect_err(statement);
        assert!(matches!(&error, AuditError::Differs { subject } if subject == "U-2"), "{statement}: {error:?}");
    }
}

/// Commits that add up, of steps that no command takes.
#[tokio::test]
async fn invariant_35_the_first_step_that_the_machine_does_not_allow_is_named() {
    let protection = koshin_types::ProtectionLevel::Os;
    for (fact, says) in [
        (Fact::PermissionUsed, "permission_used comes only together with what it follows from"),
        (Fact::Requested { id: renewal_id(9), spki: hash(9), protection }, "requested is refused"),
        (Fact::Delivered { id: renewal_id(9) }, "delivered is refused"),
        (Fact::Abandoned { id: renewal_id(9), why: Why::NoRequest }, "abandoned is refused"),
    ] {
        let bench = Bench::with(3).await;
        bench.enrolled(2, 2, at(0)).await;
        bench.store.audit_replay().await.unwrap();
        let (file, now) = (bench.file(2).await, at(1));
        let permitted = Fact::Permitted { until: at(9) };
        let mut next = file.holding.clone();
        let facts = vec![permitted, fact];
        for fact in &facts {
            next.apply(fact, now);
        }
        let before = bench.store.audit_head().await.unwrap().sequence;
        bench.store.commit(commit(&file, Change { next, facts, effects: vec![] }, now)).await.unwrap();
        permit(&bench.store, 1, at(1)).await.unwrap();
        bench.store.audit_verify().await.expect("the log is whole");
        match bench.store.audit_replay().await.expect_err(says) {
            AuditError::NotAllowed { sequence, subject, source } => {
                assert_eq!((sequence, &subject[..], &source.to_string()[..]), (before + 2, "U-2", says));
            }
            other => panic!("{says}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn records_are_read_in_pages() {
    let bench = Bench::with(4).await;
    let all = bench.store.audit_records(0, 100).await.unwrap();
    assert_eq!(all.len(), 5);
    let mut paged = Vec::new();
    while let Some(page) =
        Some(bench.store.audit_records(paged.len() as u64, 2).await.unwrap()).filter(|p| !p.is_empty())
    {
        assert!(page.len() <= 2);
        paged.extend(page);
    }
    assert_eq!(paged, all);
}
