//! Planner and mailer together, on days that were worked out by hand.

use std::sync::Arc;

use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig};
use koshin_notify::{InUse, MailId, Mailbox, Mailer, MemorySchedule, Notice, Outbox, Planner, Stage, Wake};
use koshin_types::{CertificateStatus, Language, Validity};
use time::{Duration, UtcDateTime, macros::utc_datetime};

use crate::fixture::{address, sender, serial};

/// Ends on 22 December in Tokyo: 30 days before begins on 21 November, 15:00 UTC, 10 days before on 11 December.
pub(crate) fn holder(number: u8) -> InUse {
    InUse {
        serial: serial(&format!("1A{number:02X}")),
        validity: Validity::new(utc_datetime!(2025-12-22 15:00), utc_datetime!(2026-12-22 14:59:59)).unwrap(),
        subject_id: format!("U-10{number:02}").parse().unwrap(),
        language: Language::Ja,
        address: Some(address("taro@example.co.jp")),
    }
}

const OPENS_30: UtcDateTime = utc_datetime!(2026-11-21 15:00);
const OPENS_10: UtcDateTime = utc_datetime!(2026-12-11 15:00);

pub(crate) fn policy(mail_days: &[u16]) -> Policy {
    let config = PolicyConfig { mail_days: mail_days.to_vec(), ..PolicyConfig::default() };
    Policy::new(config, Arc::new(FixedOffset::JST)).unwrap()
}

struct House {
    schedule: Arc<MemorySchedule>,
    mailbox: Mailbox,
}

impl House {
    fn with(holders: impl IntoIterator<Item = InUse>) -> Self {
        let schedule = Arc::new(MemorySchedule::default());
        holders.into_iter().for_each(|holder| schedule.activate(holder));
        Self { schedule, mailbox: Mailbox::default() }
    }

    /// Plans and sends, and returns when the planner wants to run again.
    async fn run(&self, policy: &Policy, now: UtcDateTime) -> Wake {
        let wake = Planner::new(Arc::clone(&self.schedule), policy.clone()).run(now).await.unwrap();
        Mailer::new(Arc::clone(&self.schedule), self.mailbox.clone(), sender()).run(now).await.unwrap();
        wake
    }

    /// The thresholds of the mails that arrived, oldest first.
    fn arrived(&self) -> Vec<u16> {
        let mut mails = self.mailbox.newest(1000);
        mails.reverse();
        let id = |mail: &koshin_notify::Received| {
            mail.envelope.message_id.trim_matches(['<', '>']).split('@').next().unwrap().parse::<MailId>().unwrap()
        };
        let threshold = |id| self.schedule.outbox().mail(id).unwrap().kind.threshold().unwrap();
        mails.iter().map(|mail| threshold(id(mail))).collect()
    }

    fn stages(&self) -> Vec<(u16, Stage)> {
        self.schedule.notices(&holder(1).serial).into_iter().map(|(days, stage, _)| (days, stage)).collect()
    }
}

const MS: Duration = Duration::MILLISECOND;

#[tokio::test]
async fn a_mail_at_thirty_and_one_at_ten_days_each_to_the_millisecond() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    // Thirty-two days before notAfter it has to be looked at for the first time.
    let enters = utc_datetime!(2026-11-20 14:59:59);
    assert_eq!(house.run(&policy, utc_datetime!(2026-06-01 0:00)).await, Wake::At(enters));
    assert_eq!(house.run(&policy, enters).await, Wake::At(OPENS_30));
    assert_eq!(house.run(&policy, OPENS_30 - MS).await, Wake::At(OPENS_30));
    assert!(house.arrived().is_empty());
    assert_eq!(house.run(&policy, OPENS_30).await, Wake::At(OPENS_10));
    assert_eq!(house.arrived(), [30]);
    assert_eq!(house.run(&policy, OPENS_10 - MS).await, Wake::At(OPENS_10));
    assert_eq!(house.run(&policy, OPENS_10).await, Wake::Idle);
    assert_eq!(house.run(&policy, utc_datetime!(2026-12-22 14:59:59)).await, Wake::Idle);
    assert_eq!(house.run(&policy, utc_datetime!(2027-12-22 15:00)).await, Wake::Idle);
    assert_eq!(house.arrived(), [30, 10]);
    assert_eq!(house.stages(), [(10, Stage::Counts), (30, Stage::Counts)]);
}

#[tokio::test]
async fn invariant_52_seen_at_eight_days_it_gets_the_mail_of_ten_and_nothing_else() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    assert_eq!(house.run(&policy, utc_datetime!(2026-12-14 3:00)).await, Wake::Idle);
    assert_eq!(house.run(&policy, utc_datetime!(2026-12-15 3:00)).await, Wake::Idle);
    assert_eq!(house.arrived(), [10]);
    assert_eq!(house.stages(), [(10, Stage::Counts), (30, Stage::Closed { with: 10 })]);
}

#[tokio::test]
async fn a_mailer_that_stood_still_for_25_days_sends_one_mail_each_and_none_for_who_is_gone() {
    let (house, policy) = (House::with((1..=5).map(holder)), policy(&[30, 10]));
    house.run(&policy, utc_datetime!(2026-11-20 15:00)).await;
    house.schedule.retire(&holder(2).serial, CertificateStatus::Superseded);
    house.schedule.retire(&holder(3).serial, CertificateStatus::Revoked);
    assert_eq!(house.run(&policy, utc_datetime!(2026-12-16 15:00)).await, Wake::Idle);
    assert_eq!(house.arrived(), [10, 10, 10]);

    let expired = House::with([holder(1)]);
    expired.run(&policy, utc_datetime!(2026-11-20 15:00)).await;
    assert_eq!(expired.run(&policy, holder(1).validity.end()).await, Wake::Idle);
    assert!(expired.arrived().is_empty());
}

#[tokio::test]
async fn invariant_56_between_plan_and_claim_the_certificate_may_go() {
    let policy = policy(&[30, 10]);
    for (status, word) in
        [(CertificateStatus::Superseded, "suppressed_renewed"), (CertificateStatus::Revoked, "suppressed_revoked")]
    {
        let house = House::with([holder(1)]);
        Planner::new(Arc::clone(&house.schedule), policy.clone()).run(OPENS_30).await.unwrap();
        house.schedule.retire(&holder(1).serial, status);
        Mailer::new(Arc::clone(&house.schedule), house.mailbox.clone(), sender()).run(OPENS_30).await.unwrap();
        assert!(house.arrived().is_empty());
        let id = house.schedule.notices(&holder(1).serial)[0].2.unwrap();
        assert_eq!(house.schedule.outbox().end(id).unwrap().word(), word);
    }
    let house = House::with([holder(1)]);
    Planner::new(Arc::clone(&house.schedule), policy).run(OPENS_30).await.unwrap();
    let end = holder(1).validity.end();
    Mailer::new(Arc::clone(&house.schedule), house.mailbox.clone(), sender()).run(end).await.unwrap();
    assert!(house.arrived().is_empty(), "expired a moment ago");
}

#[tokio::test]
async fn invariant_63_an_address_that_changes_between_claim_and_sending_gets_the_one_mail() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    Planner::new(Arc::clone(&house.schedule), policy.clone()).run(OPENS_30).await.unwrap();
    let slow = house.schedule.claim(OPENS_30, "slow", Duration::minutes(10), 9).await.unwrap().remove(0);
    assert_eq!(slow.mail.to, address("taro@example.co.jp"));
    house.schedule.readdress(&holder(1).serial, Some(address("jiro@example.co.jp")));
    assert!(house.schedule.transmitting(slow.mail.id, slow.fence, OPENS_30).await.is_err(), "not to the old one");
    assert_eq!(house.run(&policy, OPENS_30).await, Wake::At(OPENS_10));
    let mails = house.mailbox.newest(9);
    assert_eq!(mails.iter().map(|mail| mail.envelope.to.clone()).collect::<Vec<_>>(), [address("jiro@example.co.jp")]);
    assert_eq!(house.stages(), [(30, Stage::Counts)]);
}

#[tokio::test]
async fn invariant_56_a_claim_ends_with_the_certificate() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    Planner::new(Arc::clone(&house.schedule), policy).run(OPENS_30).await.unwrap();
    let slow = house.schedule.claim(OPENS_30, "slow", Duration::minutes(10), 9).await.unwrap().remove(0);
    house.schedule.retire(&holder(1).serial, CertificateStatus::Superseded);
    assert!(house.schedule.transmitting(slow.mail.id, slow.fence, OPENS_30).await.is_err());
}

#[tokio::test]
async fn invariant_60_the_record_belongs_to_the_serial() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    house.run(&policy, OPENS_10).await;
    let validity = Validity::new(utc_datetime!(2026-12-11 15:00), utc_datetime!(2027-12-11 14:59:59)).unwrap();
    house.schedule.retire(&holder(1).serial, CertificateStatus::Superseded);
    house.schedule.activate(InUse { serial: serial("2B"), validity, ..holder(1) });
    assert_eq!(house.run(&policy, utc_datetime!(2027-11-10 15:00)).await, Wake::At(utc_datetime!(2027-11-30 15:00)));
    assert_eq!(house.arrived(), [10, 30]);
}

#[tokio::test]
async fn a_threshold_before_the_window_says_from_when_renewal_is_possible() {
    let (house, policy) = (House::with([holder(1)]), policy(&[60, 10]));
    let opens_60 = utc_datetime!(2026-10-22 15:00);
    assert_eq!(house.run(&policy, opens_60).await, Wake::At(OPENS_10));
    let mail = house.mailbox.newest(1).remove(0);
    assert!(mail.envelope.words.text.contains("更新の開始：2026年11月22日(日) 00:00 JST"));
    let id = house.schedule.notices(&holder(1).serial)[0].2.unwrap();
    let notice = Notice::Expiry {
        threshold_days: 60,
        validity: holder(1).validity,
        days_left: 60,
        renewal_opens: Some(OPENS_30),
    };
    assert_eq!(house.schedule.outbox().mail(id).unwrap().kind, notice);
}

#[tokio::test]
async fn a_holder_without_an_address_keeps_nobody_back() {
    let (house, policy) = (House::with([InUse { address: None, ..holder(1) }, holder(2)]), policy(&[30, 10]));
    assert_eq!(house.run(&policy, OPENS_30).await, Wake::At(OPENS_10));
    assert_eq!(house.arrived(), [30]);
    assert_eq!(house.stages(), [(30, Stage::Counts)]);
}

#[tokio::test]
async fn more_than_a_run_plans_is_gone_on_with_at_once() {
    let (house, policy) = (House::with([]), policy(&[30, 10]));
    for number in 0..10_001_u32 {
        let serial = koshin_types::SerialNumber::from_be_bytes(&(number + 0x0100_0000).to_be_bytes()).unwrap();
        house.schedule.activate(InUse { serial, ..holder(1) });
    }
    let planner = Planner::new(Arc::clone(&house.schedule), policy);
    assert_eq!(planner.run(OPENS_30).await.unwrap(), Wake::Now);
    assert_eq!(planner.run(OPENS_30).await.unwrap(), Wake::At(OPENS_10));
    let claimed = house.schedule.claim(OPENS_30, "w", Duration::HOUR, 20_000).await.unwrap();
    assert_eq!(claimed.len(), 10_001);
}

#[tokio::test]
async fn a_policy_without_thresholds_sends_nothing() {
    let (house, policy) = (House::with([holder(1)]), policy(&[]));
    assert_eq!(house.run(&policy, OPENS_10).await, Wake::Idle);
    assert!(house.arrived().is_empty());
}

#[tokio::test]
async fn another_policy_plans_anew_what_is_near_and_the_rest_when_it_comes_near() {
    let far = Validity::new(utc_datetime!(2026-04-01 15:00), utc_datetime!(2027-04-01 14:59:59)).unwrap();
    let house = House::with([holder(1), InUse { validity: far, ..holder(2) }]);
    let (usual, early) = (policy(&[30, 10]), policy(&[60, 10]));
    let config = PolicyConfig { mode: Mode::Instant, ..PolicyConfig::default() };
    let instant = Policy::new(config, Arc::new(FixedOffset::JST)).unwrap();
    let now = utc_datetime!(2026-11-21 12:00);
    assert_eq!(house.run(&usual, now).await, Wake::At(OPENS_30));
    // By the second policy the 60-day mail has been due for a month; the far one comes near on 29 January.
    assert_eq!(house.run(&early, now).await, Wake::At(OPENS_10));
    assert_eq!(house.arrived(), [60]);
    // By the third the 30-day mail opens exactly 30 days before the end.
    assert_eq!(house.run(&instant, now).await, Wake::At(utc_datetime!(2026-11-22 15:00)));
    assert_eq!(house.run(&instant, utc_datetime!(2026-11-22 15:00)).await, Wake::At(utc_datetime!(2026-12-12 15:00)));
    assert_eq!(house.arrived(), [60, 30]);
    assert_eq!(house.run(&usual, utc_datetime!(2026-12-12 15:00)).await, Wake::At(utc_datetime!(2027-02-28 14:59:59)));
    assert_eq!(house.arrived(), [60, 30, 10]);
}

/// The mail of 60 days waits for another try when the operator goes back to 30 and 10: it must not go out any more, although
/// by the new policy the certificate would not have to be looked at for weeks.
#[tokio::test]
async fn what_waits_by_an_older_policy_is_withdrawn_however_far_the_end_is() {
    let house = House::with([holder(1)]);
    let now = utc_datetime!(2026-10-22 15:00);
    Planner::new(Arc::clone(&house.schedule), policy(&[60, 10])).run(now).await.unwrap();
    assert_eq!(house.stages(), [(60, Stage::Waiting)]);
    assert_eq!(house.run(&policy(&[30, 10]), now).await, Wake::At(OPENS_30));
    assert_eq!(house.stages(), [(60, Stage::Withdrawn)]);
    assert!(house.arrived().is_empty());
    // Back again: it is the same mail.
    assert_eq!(house.run(&policy(&[60, 10]), now + Duration::HOUR).await, Wake::At(OPENS_10));
    assert_eq!(house.arrived(), [60]);
}

#[tokio::test]
async fn a_more_urgent_notice_waits_for_the_one_that_is_on_its_way() {
    let (house, policy) = (House::with([holder(1)]), policy(&[30, 10]));
    let before = OPENS_10 - Duration::minutes(5);
    Planner::new(Arc::clone(&house.schedule), policy.clone()).run(before).await.unwrap();
    let lease = Duration::minutes(10);
    let claimed = house.schedule.claim(before, "slow", lease, 9).await.unwrap().remove(0);
    house.schedule.transmitting(claimed.mail.id, claimed.fence, before).await.unwrap();
    assert_eq!(house.run(&policy, OPENS_10).await, Wake::At(before + lease));
    assert!(house.arrived().is_empty(), "else the one of 30 days might come after that of 10");
    // Its mailer is dead: nobody will ever know whether it arrived.
    assert_eq!(house.run(&policy, before + lease).await, Wake::Idle);
    assert_eq!(house.arrived(), [10]);
    assert_eq!(house.stages(), [(10, Stage::Counts), (30, Stage::Counts)]);
    assert_eq!(house.schedule.outbox().end(claimed.mail.id).unwrap().word(), "unknown");
}

#[tokio::test]
async fn what_was_closed_with_a_mail_that_never_left_is_open_again() {
    let house = House::with([holder(1)]);
    let now = utc_datetime!(2026-12-14 15:00);
    Planner::new(Arc::clone(&house.schedule), policy(&[30, 20, 10])).run(now).await.unwrap();
    let closed = Stage::Closed { with: 10 };
    assert_eq!(house.stages(), [(10, Stage::Waiting), (20, closed), (30, closed)]);
    house.run(&policy(&[30, 20]), now).await;
    assert_eq!(house.stages(), [(10, Stage::Withdrawn), (20, Stage::Counts), (30, Stage::Closed { with: 20 })]);
    house.run(&policy(&[30]), now).await;
    assert_eq!(house.arrived(), [20], "what was closed with a mail that arrived stays so");
}

#[tokio::test]
async fn a_rehearsal_says_who_gets_what_and_stores_nothing() {
    let (house, policy) = (House::with((1..=3).map(holder)), policy(&[30, 10]));
    let planner = Planner::new(Arc::clone(&house.schedule), policy.clone());
    let told = async |at| {
        let mails = planner.rehearse(at).await.unwrap();
        let mut told: Vec<_> =
            mails.iter().map(|mail| (mail.subject_id.to_string(), mail.kind.threshold().unwrap())).collect();
        told.sort();
        told
    };
    assert!(told(OPENS_30 - MS).await.is_empty());
    let all = |days| (1..=3).map(|number| (format!("U-10{number:02}"), days)).collect::<Vec<_>>();
    assert_eq!(told(OPENS_30).await, all(30), "before anything was planned");
    assert_eq!(told(OPENS_10).await, all(10));
    house.run(&policy, OPENS_30).await;
    assert!(told(OPENS_10 - MS).await.is_empty(), "the first one was told");
    house.schedule.retire(&holder(2).serial, CertificateStatus::Superseded);
    assert_eq!(told(OPENS_10).await.iter().map(|(_, days)| *days).collect::<Vec<_>>(), [10, 10]);
    let mails = planner.rehearse(OPENS_10).await.unwrap();
    assert_eq!(house.run(&policy, OPENS_10).await, Wake::Idle);
    assert_eq!(house.arrived(), [30, 30, 30, 10, 10], "a rehearsal is no plan");
    let sent: Vec<_> = house.mailbox.newest(2).iter().map(|mail| mail.envelope.message_id.clone()).collect();
    assert!(mails.iter().all(|mail| sent.contains(&format!("<{}@midori.example>", mail.id))), "what was said is sent");
    let other = Planner::new(Arc::clone(&house.schedule), self::policy(&[20]));
    assert!(matches!(other.rehearse(OPENS_10).await, Err(koshin_notify::ScheduleError::OtherPolicy)));
}
