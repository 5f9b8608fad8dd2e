//! How the outbox stands, seen from outside of the mailers; and a view on a file, which changes nothing.

use koshin_notify::{Ahead, Disposition, Mail, MailId, Notice, Outbox, Reply, Schedule as _};
use koshin_ra::{Commit, Registry as _};
use koshin_sqlite::{OpenError, PostCounts, Store};
use koshin_types::Language;
use sqlx::Row as _;
use time::{Duration, UtcDateTime};

use crate::bench::{Bench, at, commit, id, note, options, run};

const LEASE: Duration = Duration::minutes(10);

/// Owes a mail to the first subject, from `now` on.
async fn owed(bench: &Bench, now: UtcDateTime) -> MailId {
    let file = bench.file(1).await;
    let nothing = koshin_renewal::Change { next: file.holding.clone(), facts: vec![], effects: vec![] };
    let key = format!("{now}");
    let mail = Mail::new(Notice::AddressChanged { at: now }, &key, "a@b.jp".parse().unwrap(), Language::Ja, id(1));
    let id = mail.id;
    bench.store.commit(Commit { mails: vec![mail], ..commit(&file, nothing, now) }).await.unwrap();
    id
}

/// Claims the one mail that is due, begins to send it, and records what came of it, if anything did.
async fn sent(bench: &Bench, end: Option<Disposition>, now: UtcDateTime) -> MailId {
    let [claimed] = <[_; 1]>::try_from(bench.store.claim(now, "w", LEASE, 1).await.unwrap()).unwrap();
    bench.store.transmitting(claimed.mail.id, claimed.fence, now).await.unwrap();
    if let Some(end) = end {
        Outbox::record(&bench.store, claimed.mail.id, claimed.fence, &end, now).await.unwrap();
    }
    claimed.mail.id
}

#[tokio::test]
async fn counts_follow_each_mail_from_row_to_end() {
    let bench = Bench::with(1).await;
    let counted = async |now| bench.store.post_counts(now).await.unwrap();
    assert_eq!(counted(at(0)).await, PostCounts::default());
    owed(&bench, at(0)).await;
    let waiting =
        PostCounts { planned: 1, waiting: 1, oldest_due: Some(at(0)), oldest: Some(at(0)), ..PostCounts::default() };
    assert_eq!(counted(at(5)).await, waiting);

    // On its way, and nobody could claim it; when its mailer is dead, somebody could.
    sent(&bench, None, at(5)).await;
    let claimed = PostCounts { waiting: 0, claimed: 1, oldest_due: None, ..waiting };
    assert_eq!(counted(at(6)).await, claimed);
    assert_eq!(counted(at(15)).await, PostCounts { oldest_due: Some(at(15)), ..claimed });

    // Its answer was lost.
    sent(&bench, Some(Disposition::Quarantined { until: at(40) }), at(16)).await;
    let quarantined = PostCounts { claimed: 0, quarantined: 1, ..claimed };
    assert_eq!(counted(at(20)).await, quarantined);
    sent(&bench, Some(Disposition::Unknown), at(40)).await;
    let task = PostCounts { planned: 1, undeliverable: 1, ..PostCounts::default() };
    assert_eq!(counted(at(41)).await, task);

    // One that waits for the next day because its address had its share is nobody's fault.
    owed(&bench, at(50)).await;
    sent(&bench, Some(Disposition::Retry { at: at(1440), reply: None }), at(50)).await;
    assert_eq!(counted(at(60)).await, PostCounts { planned: 2, waiting: 1, ..task });
    let later = counted(at(1440)).await;
    assert_eq!((later.oldest_due, later.oldest), (Some(at(1440)), Some(at(50))));
    // One that is refused for now has been due all the time.
    let busy = Disposition::Retry { at: at(1500), reply: Some(Reply::new(Some(450), "busy")) };
    sent(&bench, Some(busy), at(1440)).await;
    let refused = counted(at(1450)).await;
    assert_eq!((refused.oldest_due, refused.oldest), (None, Some(at(50))));
    let id = sent(&bench, Some(Disposition::Sent), at(1500)).await;
    let done = PostCounts { planned: 2, last_sent: Some(at(1500)), ..task };
    assert_eq!(counted(at(1501)).await, done);
    let [delivered] = <[_; 1]>::try_from(bench.store.delivered(9).await.unwrap()).unwrap();
    assert_eq!((delivered.mail.id, delivered.due, delivered.sent), (id, at(50), at(1500)));
}

#[tokio::test]
async fn what_is_due_is_found_page_by_page_in_the_order_of_a_claim() {
    let bench = Bench::with(1).await;
    for minute in 0..5 {
        owed(&bench, at(minute)).await;
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = bench.store.due_mails(at(3), after.as_ref(), 3).await.unwrap();
        seen.extend(page.iter().map(|due| due.id));
        match page.into_iter().last() {
            Some(last) => after = Some(last),
            None => break,
        }
    }
    let claimed = bench.store.claim(at(3), "w", LEASE, 9).await.unwrap();
    assert_eq!(seen, claimed.iter().map(|claim| claim.mail.id).collect::<Vec<_>>());
    assert_eq!(seen.len(), 4);
    assert!(bench.store.due_mails(at(3), None, 9).await.unwrap().is_empty(), "somebody has them");
}

#[tokio::test]
async fn a_view_shows_everything_and_changes_nothing() {
    let bench = Bench::with(1).await;
    owed(&bench, at(0)).await;
    let read = || {
        let files = ["koshin.db", "koshin.db-wal", "koshin.db.witness"].map(|name| bench.folder.path().join(name));
        files.map(|file| std::fs::read(file).unwrap_or_default())
    };
    // While the store is open, and once it is closed.
    for _ in 0..2 {
        let before = read();
        let view = Store::view(&bench.path(), &options()).await.unwrap();
        assert_eq!(view.post_counts(at(1)).await.unwrap().waiting, 1);
        assert_eq!(view.ahead(at(1)).await.unwrap(), Ahead::default());
        assert!(view.subject(&id(1)).await.unwrap().is_some());
        let refused = view.claim(at(1), "w", LEASE, 9).await.unwrap_err();
        assert!(format!("{refused:?}").contains("OnlyRead"), "{refused:?}");
        view.clock_advance(at(9)).await.unwrap_err();
        view.shut_down().await;
        assert!(read() == before, "something was written");
        bench.store.shut_down().await;
    }
    let nowhere = bench.folder.path().join("other.db");
    assert!(Store::view(&nowhere, &options()).await.is_err() && !nowhere.exists(), "a view makes no file");
}

#[tokio::test]
async fn a_view_asks_for_the_tables_that_it_reads() {
    let bench = Bench::with(0).await;
    let mut raw = bench.raw().await;
    run(&mut raw, "DELETE FROM _sqlx_migrations WHERE version = (SELECT max(version) FROM _sqlx_migrations)")
        .await
        .unwrap();
    match Store::view(&bench.path(), &options()).await.unwrap_err() {
        OpenError::Older { found, known, .. } => assert_eq!(found + 1, known),
        error => panic!("{error:?}"),
    }
}

#[tokio::test]
async fn whoever_settles_a_task_stands_in_the_audit_log() {
    let bench = Bench::with(1).await;
    let mail = owed(&bench, at(0)).await;
    let settled = async || bench.store.settle_noted(mail, &note("task_settled"), at(9)).await.unwrap();
    assert!(!settled().await, "there is no task yet");
    let reply = Reply::new(Some(550), "no");
    sent(&bench, Some(Disposition::Undeliverable { reply }), at(1)).await;
    let before = bench.store.audit_head().await.unwrap().sequence;
    assert!(settled().await && !settled().await);
    let records = bench.store.audit_records(before, 9).await.unwrap();
    let [record] = records.as_slice() else { panic!("{records:?}") };
    assert_eq!((record.word.as_str(), record.subject.as_deref(), record.at), ("task_settled", Some("U-1"), at(9)));
    bench.store.audit_verify().await.unwrap();
    bench.store.audit_replay().await.unwrap();
}

/// Counting looks at what is not done with, however many mails there ever were.
#[tokio::test]
async fn counting_scans_no_table() {
    let bench = Bench::with(0).await;
    let mut raw = bench.raw().await;
    let query = "EXPLAIN QUERY PLAN SELECT count(*), (SELECT count(*) FROM outbox INDEXED BY outbox_tasks \
                 WHERE state = 'done' AND settled = 0 AND disposition IN ('undeliverable', 'bounced', 'unknown')) \
                 FROM outbox INDEXED BY outbox_claimable WHERE claimable_from IS NOT NULL";
    let rows = sqlx::query(query).fetch_all(&mut raw).await.unwrap();
    let steps: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
    let scans: Vec<_> = steps.iter().filter(|step| step.starts_with("SCAN")).collect();
    assert!(
        !scans.is_empty() && scans.iter().all(|step| step.contains("USING") && step.contains("INDEX")),
        "{steps:?}"
    );
}
