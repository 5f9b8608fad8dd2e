//! The notices of expiry: the suite of the port, and planner and mailer on a real file.

use std::sync::Arc;

use async_trait::async_trait;
use koshin_expiry::{FixedOffset, Policy, PolicyConfig};
use koshin_notify::{
    Address, Bilingual, InUse, Look, MailId, Mailbox, Mailer, Outbox, Planner, Schedule, Sender, Wake, Zone,
    conformance::schedule::ScheduleRig,
};
use koshin_ra::{Directory as _, Organization, Registry as _, Subject};
use koshin_renewal::{Deadlines, Event};
use koshin_types::{CertificateStatus, Language, RevocationReason, Role, Validity};
use sqlx::Row as _;
use time::{Duration, UtcDateTime, UtcOffset};

use crate::bench::{Bench, at, commit, hash, id, issued, note, renewal_id, requested, run, serial};

struct File(Bench);

async fn empty() -> File {
    let bench = Bench::empty().await;
    let organization = Organization { id: "C-1".parse().unwrap(), name: "Midori".into() };
    bench.store.add_organization(&organization, note("organization_added"), at(0)).await.unwrap();
    File(bench)
}

impl File {
    async fn one(&self, query: &'static str) -> i64 {
        sqlx::query(query).fetch_one(&mut self.0.raw().await).await.unwrap().get(0)
    }

    /// What the outbox holds: the threshold of each notice, and how it ended.
    async fn notices(&self) -> Vec<(i64, Option<String>)> {
        let query = "SELECT n.threshold, o.disposition FROM notices AS n LEFT JOIN outbox AS o ON o.number = n.mail \
                     ORDER BY n.certificate, n.planned_at, n.threshold";
        let rows = sqlx::query(query).fetch_all(&mut self.0.raw().await).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }
}

#[async_trait]
impl ScheduleRig for File {
    fn schedule(&self) -> &dyn Schedule {
        &self.0.store
    }

    fn outbox(&self) -> &dyn Outbox {
        &self.0.store
    }

    async fn activate(&self, number: u32, validity: Validity, address: Option<Address>) -> InUse {
        let subject = Subject {
            id: id(number),
            organization: "C-1".parse().unwrap(),
            role: Role::User,
            name: String::new(),
            language: Language::Ja,
            address: address.clone(),
            address_rests_until: None,
            password_hash: None,
            last_sign_in: None,
        };
        self.0.store.add_subject(&subject, note("subject_added"), validity.not_before()).await.unwrap();
        self.0.enrolled_for(number, number, validity, validity.not_before()).await;
        InUse { serial: serial(number), validity, subject_id: id(number), language: Language::Ja, address }
    }

    async fn retire(&self, certificate: &InUse, status: CertificateStatus, now: UtcDateTime) {
        let file = self.0.store.subject(&certificate.subject_id).await.unwrap().unwrap();
        if status == CertificateStatus::Revoked {
            let revoked = file.holding.revoke(RevocationReason::KeyCompromise, now).unwrap();
            return self.0.store.commit(commit(&file, revoked, now)).await.unwrap();
        }
        let superseded = "UPDATE certificates SET status = 'superseded', status_at = 0, superseded_by = x'01' \
                          WHERE status = 'active' AND subject = (SELECT number FROM subjects WHERE id = ?)";
        let superseded = sqlx::query(superseded).bind(certificate.subject_id.as_str());
        superseded.execute(&mut self.0.raw().await).await.unwrap();
    }

    async fn readdress(&self, certificate: &InUse, address: Option<Address>) {
        let file = self.0.store.subject(&certificate.subject_id).await.unwrap().unwrap();
        let subject = Subject { address, ..file.subject.clone() };
        self.0.store.update_subject(&subject, file.version, vec![], note("address_set"), at(0)).await.unwrap();
    }

    async fn end(&self, id: MailId) -> Option<String> {
        let query = "SELECT CASE state WHEN 'done' THEN disposition END FROM outbox WHERE id = ?";
        let query = sqlx::query(query).bind(id.as_bytes().to_vec());
        query.fetch_optional(&mut self.0.raw().await).await.unwrap()?.get(0)
    }
}

koshin_notify::schedule_conformance!(empty);

fn policy(mail_days: &[u16]) -> Policy {
    let config = PolicyConfig { mail_days: mail_days.to_vec(), ..PolicyConfig::default() };
    Policy::new(config, Arc::new(FixedOffset::UTC)).unwrap()
}

fn sender() -> Sender {
    let names = || Bilingual::new("行", "Bank");
    let zone = Zone::fixed(UtcOffset::UTC, "UTC");
    Sender::new("noreply@bank.example".parse().unwrap(), names(), names(), names(), zone).unwrap()
}

/// Midnight of day `days`, which is when a certificate of the tests begins that is taken on day 0.
fn day(days: i64) -> UtcDateTime {
    at(0) + Duration::days(days)
}

fn year() -> Validity {
    Validity::new(day(0), day(365) - Duration::SECOND).unwrap()
}

fn taro() -> Option<Address> {
    "taro@example.co.jp".parse().ok()
}

/// Plans and sends.
async fn at_work(file: &File, mailbox: &Mailbox, policy: &Policy, now: UtcDateTime) -> Wake {
    let wake = Planner::new(file.0.store.clone(), policy.clone()).run(now).await.unwrap();
    Mailer::new(file.0.store.clone(), mailbox.clone(), sender()).run(now).await.unwrap();
    wake
}

#[tokio::test]
async fn invariant_60_a_year_of_one_certificate_and_its_successor() {
    let (file, mailbox, policy) = (empty().await, Mailbox::default(), policy(&[30, 10]));
    file.activate(1, year(), taro()).await;
    let enters = day(365) - Duration::SECOND - Duration::days(32);
    assert_eq!(at_work(&file, &mailbox, &policy, day(1)).await, Wake::At(enters));
    assert_eq!(at_work(&file, &mailbox, &policy, enters).await, Wake::At(day(334)));
    assert_eq!(at_work(&file, &mailbox, &policy, day(334)).await, Wake::At(day(354)));
    // A successor that is started, and issued, silences nothing (I-60).
    let before = file.0.file(1).await;
    let started = before.holding.start(renewal_id(2), &policy, day(340)).expect("the window is open");
    file.0.store.commit(commit(&before, started, day(340))).await.unwrap();
    for step in [requested, issued] {
        let before = file.0.file(1).await;
        file.0.store.commit(step(&before, 2, day(340))).await.unwrap();
    }
    assert_eq!(at_work(&file, &mailbox, &policy, day(354)).await, Wake::Idle);
    assert_eq!(mailbox.newest(9).len(), 2);
    // One that is installed takes the predecessor off the schedule, and comes in with an empty record.
    let before = file.0.file(1).await;
    let activate = Event::Activate { fingerprint: hash(2) };
    let change = before.holding.step(renewal_id(2), &activate, day(355), &Deadlines::default()).unwrap();
    file.0.store.commit(commit(&before, change, day(355))).await.unwrap();
    assert_eq!(file.one("SELECT count(*) FROM schedule").await, 1);
    // It lasts until day 380, so that its thresholds open on days 350 and 370.
    assert_eq!(at_work(&file, &mailbox, &policy, day(355)).await, Wake::At(day(370)));
    assert_eq!(at_work(&file, &mailbox, &policy, day(370)).await, Wake::Idle);
    let sent = || Some("sent".to_owned());
    assert_eq!(file.notices().await, [(30, sent()), (10, sent()), (30, sent()), (10, sent())]);
    assert_eq!(mailbox.newest(9).len(), 4);
    file.0.store.audit_replay().await.unwrap();
}

#[tokio::test]
async fn what_was_active_before_there_was_a_schedule_is_on_it() {
    let file = empty().await;
    file.activate(1, year(), taro()).await;
    file.activate(2, year(), taro()).await;
    file.retire(&InUse { subject_id: id(2), ..file_in_use(&file).await }, CertificateStatus::Revoked, day(1)).await;
    file.0.store.shut_down().await;
    let mut raw = file.0.raw().await;
    for undo in [
        "DROP TRIGGER outbox_tells_the_schedule",
        "ALTER TABLE outbox DROP COLUMN certificate",
        "ALTER TABLE outbox ADD COLUMN not_after INTEGER",
        "DROP TABLE notices",
        "DROP TABLE schedule_policy",
        "DROP TRIGGER certificates_added_in_use",
        "DROP TRIGGER certificates_taken_into_use",
        "DROP TRIGGER certificates_out_of_use",
        "DROP TABLE schedule",
        "DELETE FROM _sqlx_migrations WHERE version = 3",
    ] {
        run(&mut raw, undo).await.unwrap();
    }
    drop(raw);
    let store = koshin_sqlite::Store::open(&file.0.path(), &crate::bench::options()).await.unwrap();
    let page = store.look(Look::Unplanned { until: day(400) }, day(2), None, 10).await.unwrap();
    assert_eq!(page.rows.iter().map(|row| row.certificate.subject_id.clone()).collect::<Vec<_>>(), [id(1)]);
}

async fn file_in_use(file: &File) -> InUse {
    let page = file.0.store.look(Look::Unplanned { until: day(400) }, day(0), None, 1).await.unwrap();
    page.rows.into_iter().next().unwrap().certificate
}

/// A row that cannot be read is left alone and keeps back no other; nothing runs hot over it.
#[tokio::test]
async fn a_damaged_row_keeps_nobody_back() {
    let (file, mailbox, policy) = (empty().await, Mailbox::default(), policy(&[30, 10]));
    for number in 1..=3 {
        file.activate(number, year(), taro()).await;
    }
    let damage = "UPDATE subjects SET address = 'no address' WHERE id = 'U-1'";
    run(&mut file.0.raw().await, damage).await.unwrap();
    assert_eq!(at_work(&file, &mailbox, &policy, day(334)).await, Wake::At(day(334) + Duration::MINUTE));
    assert_eq!(mailbox.newest(9).len(), 2);
    let mend = "UPDATE subjects SET address = NULL WHERE id = 'U-1'";
    run(&mut file.0.raw().await, mend).await.unwrap();
    assert_eq!(at_work(&file, &mailbox, &policy, day(335)).await, Wake::At(day(354)));
    assert_eq!(file.notices().await.iter().filter(|(days, end)| *days == 30 && end.is_some()).count(), 2);
}

/// What the tables refuse, whatever program writes.
#[tokio::test]
async fn a_notice_that_was_owed_stays() {
    let (file, mailbox, policy) = (empty().await, Mailbox::default(), policy(&[30, 10]));
    file.activate(1, year(), taro()).await;
    at_work(&file, &mailbox, &policy, day(360)).await;
    assert_eq!(file.notices().await, [(10, Some("sent".to_owned())), (30, None)]);
    let mut raw = file.0.raw().await;
    for statement in [
        "DELETE FROM notices WHERE threshold = 10",
        "UPDATE notices SET mail = NULL WHERE threshold = 10",
        "UPDATE notices SET threshold = 9 WHERE threshold = 10",
        "UPDATE notices SET closed_with = 30 WHERE threshold = 30",
        "UPDATE schedule SET planned = 0, next_look = 1",
    ] {
        run(&mut raw, statement).await.expect_err(statement);
    }
}

/// The reads of a sweep go through an index, whatever the number of certificates.
#[tokio::test]
async fn a_sweep_scans_no_table() {
    let file = empty().await;
    file.activate(1, year(), taro()).await;
    let mut raw = file.0.raw().await;
    for (query, index) in [
        ("SELECT min(next_look) FROM schedule WHERE next_look IS NOT NULL", "schedule_due"),
        ("SELECT min(not_after) FROM schedule WHERE planned = 0 AND not_after >= 5", "schedule_by_end"),
        (
            "SELECT certificate FROM schedule WHERE next_look BETWEEN 0 AND 9 AND (next_look, certificate) > (0, 5) \
             ORDER BY next_look, certificate LIMIT 5",
            "schedule_due (next_look>",
        ),
        (
            "SELECT certificate FROM schedule WHERE planned = 0 AND not_after BETWEEN 0 AND 9 \
             AND (not_after, certificate) > (0, 5) ORDER BY not_after, certificate LIMIT 5",
            "schedule_by_end (planned=? AND not_after>",
        ),
        ("SELECT certificate FROM schedule WHERE planned = 1 LIMIT 5", "schedule_by_end (planned=?)"),
    ] {
        let plan = sqlx::AssertSqlSafe(format!("EXPLAIN QUERY PLAN {query}"));
        let rows = sqlx::query(plan).fetch_all(&mut raw).await.unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        assert!(plan.len() == 1 && plan[0].contains("SEARCH") && plan[0].contains(index), "{query}: {plan:?}");
    }
}
