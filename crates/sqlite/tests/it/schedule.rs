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
        "DROP TRIGGER outbox_makes_a_matter",
        "DROP TRIGGER certificates_end_a_matter",
        "DROP INDEX outbox_escalations",
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

/// A server that answers a run as told, and remembers what reached it.
#[derive(Default)]
struct Server(std::sync::Mutex<(u64, Vec<String>)>);

#[async_trait]
impl koshin_notify::Transport for Server {
    async fn send(&self, envelope: &koshin_notify::Envelope, _: &[u8]) -> koshin_notify::Outcome {
        use koshin_notify::{Outcome, Reply};
        let (how, sent) = &mut *self.0.lock().unwrap();
        sent.push(envelope.message_id.clone());
        match *how {
            0 | 1 => Outcome::Transient { reply: Reply::new(Some(450), "later") },
            2 => Outcome::Permanent { reply: Reply::new(Some(550), "never") },
            3 => Outcome::Unknown,
            _ => Outcome::Accepted,
        }
    }
}

/// Plans and sends on any schedule; what reached the server, and when to run again.
async fn step<S: Schedule + Outbox + Clone>(
    schedule: &S,
    policy: &Policy,
    how: u64,
    dies: bool,
    now: UtcDateTime,
) -> (Wake, Vec<String>) {
    let server = Arc::new(Server::default());
    server.0.lock().unwrap().0 = how;
    let wake = Planner::new(schedule.clone(), policy.clone()).run(now).await.unwrap();
    if dies {
        // Somebody takes everything and is never heard of again; some of it was on its way.
        for claimed in schedule.claim(now, "dies", Duration::minutes(10), 9).await.unwrap() {
            if how.is_multiple_of(2) {
                schedule.transmitting(claimed.mail.id, claimed.fence, now).await.unwrap();
            }
        }
    } else {
        Mailer::new(schedule.clone(), Arc::clone(&server), sender()).run(now).await.unwrap();
    }
    let mut sent = server.0.lock().unwrap().1.clone();
    sent.sort();
    (wake, sent)
}

/// Every history goes the same way on a file and in memory, which is held against the invariants.
#[tokio::test]
async fn a_file_does_as_the_schedule_in_memory() {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    let thresholds: [&[u16]; 5] = [&[30, 10], &[30, 10], &[60, 20, 5], &[40, 30], &[7]];
    let mut reached = 0;
    for history in 0..12 {
        let (file, memory) = (empty().await, Arc::new(koshin_notify::MemorySchedule::default()));
        let mut certificates = Vec::new();
        for number in 1..=4 {
            let begins = day(i64::try_from(random(40)).unwrap());
            let lasts = Duration::days(i64::try_from(5 + random(80)).unwrap());
            let validity = Validity::new(begins, begins + lasts - Duration::SECOND).unwrap();
            let address = if random(8) == 0 { None } else { taro() };
            certificates.push(file.activate(number, validity, address).await);
            memory.activate(certificates.last().unwrap().clone());
        }
        let (mut now, mut policy) = (day(0), policy(&[30, 10]));
        for step_number in 0..14 {
            now += Duration::minutes(i64::try_from(random(8 * 1440)).unwrap()) - Duration::hours(6);
            if random(4) == 0 {
                policy = self::policy(thresholds[usize::try_from(random(5)).unwrap()]);
            }
            if random(8) == 0 && !certificates.is_empty() {
                let gone = certificates.remove(usize::try_from(random(certificates.len() as u64)).unwrap());
                let status =
                    [CertificateStatus::Superseded, CertificateStatus::Revoked][usize::try_from(random(2)).unwrap()];
                file.retire(&gone, status, now).await;
                memory.retire(&gone.serial, status);
            }
            let (how, dies) = (random(7), random(6) == 0);
            let stored = step(&file.0.store, &policy, how, dies, now).await;
            let remembered = step(&memory, &policy, how, dies, now).await;
            assert_eq!(stored, remembered, "history {history}, step {step_number}, {now}");
            reached += stored.1.len();
        }
    }
    assert!(reached > 30, "only {reached} transmissions in all histories");
}
