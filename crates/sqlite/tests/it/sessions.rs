//! What a beginning costs, and what the migration keeps.

use koshin_notify::{Mail, Notice};
use koshin_ra::{
    Beginning, Begun, Patience, Proof, SentCode, Session, SessionKind, Sessions as _, Settings, Subject, Trace,
};
use sqlx::{Connection as _, Row as _, SqliteConnection};
use time::Duration;

use crate::bench::{Bench, at, hash, id, note, run};

/// Rows that were added or counted up.
async fn written(bench: &Bench) -> i64 {
    let query = "SELECT (SELECT count(*) FROM audit) + (SELECT count(*) FROM outbox) + (SELECT count(*) FROM sessions) \
                 + (SELECT coalesce(sum(failures), 0) FROM tries)";
    sqlx::query(query).fetch_one(&mut bench.raw().await).await.unwrap().get(0)
}

/// Whoever measures how long an answer takes, or how much the disk has to do, learns nothing of the ID or the password.
#[tokio::test]
async fn every_beginning_is_one_commit_of_as_many_rows() {
    let bench = Bench::with(1).await;
    let known = bench.file(1).await.subject.clone();
    let mail = Mail::new(
        Notice::AddressChanged { at: at(0) },
        "key",
        "u-1@example.jp".parse().unwrap(),
        known.language,
        known.id.clone(),
    );
    let patience: Patience = Settings::default().patience();
    let recorded = || Trace::Recorded(note("enrolment_code_sent"));
    let cases: [(&str, Option<Subject>, Trace, Option<Mail>); 4] = [
        ("right", Some(known.clone()), recorded(), Some(mail)),
        ("no address", Some(known.clone()), recorded(), None),
        ("wrong", Some(known.clone()), Trace::Recorded(note("enrolment_refused")), None),
        ("unknown", None, Trace::Counted(note("enrolment_refused")), None),
    ];
    for (number, (what, subject, trace, mail)) in (1..).zip(cases) {
        let (rows, commits) = (written(&bench).await, bench.store.stats());
        let sent = SentCode { code: hash(7), tries: 0, until: at(10), typed_id: hash(number) };
        let kind = SessionKind::Enrolment { subject: mail.as_ref().map(|_| id(1)), proof: Proof::CodeSent(sent) };
        let session = Session { key: hash(number), kind, opened_at: at(0), seen_at: at(0), ends_at: at(10) };
        let beginning = Beginning { session, tries: format!("enrolment {number}"), patience, subject, trace, mail };
        assert_eq!(bench.store.begin(beginning).await.unwrap(), Begun::Opened, "{what}");
        assert_eq!(written(&bench).await, rows + 4, "{what}: session, try, trace, and a mail or its count");
        let after = bench.store.stats();
        assert_eq!((after.batches, after.jobs), (commits.batches + 1, commits.jobs + 1), "{what}");
    }
}

/// Sessions outlive the migration, but for codes that cannot say for which ID they were asked.
#[tokio::test]
async fn a_migration_keeps_who_is_signed_in() {
    let mut raw = SqliteConnection::connect("sqlite::memory:").await.unwrap();
    run(&mut raw, include_str!("../../migrations/0001_registry_ledger_outbox.sql")).await.unwrap();
    run(
        &mut raw,
        "INSERT INTO sessions (key, kind, subject, certificate, code, code_tries, code_until, renewal, opened_at, \
         seen_at, ends_at) VALUES \
         (zeroblob(32), 'portal', 'U-1', x'01', NULL, NULL, NULL, NULL, 1, 2, 3), \
         (randomblob(32), 'code_sent', 'U-1', NULL, x'02', 1, 9, NULL, 1, 2, 3), \
         (randomblob(32), 'proven', 'U-2', NULL, NULL, NULL, NULL, x'03', 4, 5, 6)",
    )
    .await
    .unwrap();
    run(&mut raw, include_str!("../../migrations/0005_enrolment_sessions.sql")).await.unwrap();
    let query = "SELECT kind || ' ' || subject || ' ' || hex(coalesce(certificate, renewal)) || ' ' || opened_at || \
                 seen_at || ends_at FROM sessions ORDER BY opened_at";
    let rows = sqlx::query(query).fetch_all(&mut raw).await.unwrap();
    let kept: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(kept, ["portal U-1 01 123", "proven U-2 03 456"]);
    let nobody =
        "INSERT INTO sessions (key, kind, opened_at, seen_at, ends_at) VALUES (randomblob(32), 'code_sent', 1, 1, 1)";
    assert!(run(&mut raw, nobody).await.is_err(), "a code without the ID it was asked for");
}

/// A day after the last one the tries of an ID are forgotten, some with each beginning.
#[tokio::test]
async fn what_strangers_leave_is_cleared_away() {
    let bench = Bench::empty().await;
    let begin = async |number: u32, now| {
        let sent = SentCode { code: hash(7), tries: 0, until: now + Duration::MINUTE, typed_id: hash(number) };
        let kind = SessionKind::Enrolment { subject: None, proof: Proof::CodeSent(sent) };
        let ends_at = now + Duration::MINUTE;
        let session = Session { key: hash(number), kind, opened_at: now, seen_at: now, ends_at };
        let (tries, patience) = (format!("enrolment {number}"), Settings::default().patience());
        let trace = Trace::Counted(note("enrolment_refused"));
        let beginning = Beginning { session, tries, patience, subject: None, trace, mail: None };
        assert_eq!(bench.store.begin(beginning).await.unwrap(), Begun::Opened);
    };
    for number in 0..10 {
        begin(number, at(0)).await;
    }
    begin(10, at(0) + Duration::DAY).await;
    let count = async |table: &str| -> i64 {
        let query = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query(query).fetch_one(&mut bench.raw().await).await.unwrap().get(0)
    };
    assert_eq!((count("sessions").await, count("audit").await), (1, 1));
    assert_eq!(count("tries").await, 3, "this one, the unknown and those without a mail");
}
