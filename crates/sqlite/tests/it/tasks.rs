//! Mails that reached nobody, on a file: what closes their tasks, and that nothing of it scans a table.

use koshin_notify::{Bounce, Disposition, Mail, MailId, Notice, Outbox, Reply, Tasks as _, Whose};
use koshin_ra::{Commit, Directory as _, Registry as _, Subject};
use koshin_types::Language;
use sqlx::Row as _;
use time::Duration;

use crate::bench::{Bench, at, commit, id, note};

async fn refused(bench: &Bench, notice: Notice, to: &str) {
    ended(bench, notice, to, &Disposition::Undeliverable { reply: Reply::new(Some(550), "no") }).await;
}

async fn sent(bench: &Bench, notice: Notice, to: &str) -> MailId {
    ended(bench, notice, to, &Disposition::Sent).await
}

async fn ended(bench: &Bench, notice: Notice, to: &str, end: &Disposition) -> MailId {
    let file = bench.file(1).await;
    let nothing = koshin_renewal::Change { next: file.holding.clone(), facts: vec![], effects: vec![] };
    let mail = Mail::new(notice, &format!("{to} {}", file.version), to.parse().unwrap(), Language::Ja, id(1));
    bench.store.commit(Commit { mails: vec![mail], ..commit(&file, nothing, at(0)) }).await.unwrap();
    let claimed = bench.store.claim(at(0), "w", Duration::minutes(10), 9).await.unwrap().remove(0);
    bench.store.transmitting(claimed.mail.id, claimed.fence, at(0)).await.unwrap();
    Outbox::record(&bench.store, claimed.mail.id, claimed.fence, end, at(0)).await.unwrap();
    claimed.mail.id
}

/// Another address is what a refused mail to the holder asks for. A mail to an administrator went elsewhere.
#[tokio::test]
async fn another_address_settles_what_did_not_reach_the_old_one() {
    let bench = Bench::with(2).await;
    refused(&bench, Notice::AddressChanged { at: at(0) }, "taro@example.co.jp").await;
    refused(&bench, Notice::AddressUndeliverable { at: at(0) }, "boss@example.co.jp").await;
    let open = async || bench.store.open_tasks(Whose::About(&id(1)), None, 9).await.unwrap();
    assert_eq!(open().await.len(), 2);
    let file = bench.file(1).await;
    let subject = Subject { address: "jiro@example.co.jp".parse().ok(), ..file.subject.clone() };
    bench.store.update_subject(&subject, file.version, vec![], note("address_set"), at(1)).await.unwrap();
    let left: Vec<_> = open().await.into_iter().map(|task| task.kind).collect();
    assert_eq!(left, ["address_undeliverable_administrator"]);
    assert!(bench.store.open_tasks(Whose::About(&id(2)), None, 9).await.unwrap().is_empty());
    // What the old address refuses or returns after that says nothing about the new one.
    refused(&bench, Notice::AddressChanged { at: at(1) }, "taro@example.co.jp").await;
    let late = sent(&bench, Notice::EnrolmentPermitted { until: at(9) }, "taro@example.co.jp").await;
    let bounce = Bounce::Failed { reply: Reply::new(None, "5.1.1 unknown") };
    assert!(bench.store.bounced(late, &bounce, at(2)).await.unwrap());
    assert_eq!(open().await.len(), 1);
    let here = sent(&bench, Notice::EnrolmentReminder { until: at(9) }, "Jiro@example.co.jp").await;
    assert!(bench.store.bounced(here, &bounce, at(2)).await.unwrap());
    assert_eq!(open().await.len(), 2);
}

#[tokio::test]
async fn neither_order_nor_limit_nor_tasks_scan_a_table() {
    let bench = Bench::with(1).await;
    let mut raw = bench.raw().await;
    for (query, index) in [
        (
            "SELECT number FROM outbox WHERE urgency = 3 AND claimable_from <= 9 ORDER BY claimable_from, number LIMIT 5",
            "outbox_claimable (urgency=? AND claimable_from<?)",
        ),
        ("SELECT min(claimable_from) FROM outbox WHERE urgency = 3 AND claimable_from IS NOT NULL", "outbox_claimable"),
        (
            "SELECT count(*) FROM outbox WHERE recipient = x'00' AND urgency > 0 AND (state = 'transmitting' \
             OR (recorded_at >= 5 AND disposition IN ('sent', 'unknown')))",
            "outbox_told (recipient=?",
        ),
        (
            "SELECT id FROM outbox WHERE disposition IN ('undeliverable', 'bounced', 'unknown') AND state = 'done' \
             AND settled = 0 AND (recorded_at, id) > (5, x'00') ORDER BY recorded_at, id LIMIT 5",
            "outbox_tasks",
        ),
    ] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let rows = sqlx::query(plan).fetch_all(&mut raw).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(plan.len() == 1 && plan[0].contains("SEARCH") && plan[0].contains(index), "{query}: {plan:?}");
    }
}
