//! What every [`Schedule`] has to do, together with the outbox that it plans into.

use async_trait::async_trait;
use koshin_expiry::{FixedOffset, Policy, PolicyConfig};
use koshin_types::{CertificateStatus, Validity};
use time::{Duration, UtcDateTime};

use crate::{
    Address, Ahead, Claimed, Disposition, InUse, Look, Mail, MailId, Next, Notice, Outbox, Owed, Plan, PolicyMark,
    Reply, Schedule, ScheduleError, Scheduled, Stage,
};

/// A schedule on the bench: what the tests need beside the ports.
#[async_trait]
pub trait ScheduleRig: Send + Sync {
    /// The schedule under test.
    fn schedule(&self) -> &dyn Schedule;
    /// Its outbox.
    fn outbox(&self) -> &dyn Outbox;
    /// Takes the first certificate of a new holder into use, who is number `number` and has this address.
    async fn activate(&self, number: u32, validity: Validity, address: Option<Address>) -> InUse;
    /// Supersedes or revokes a certificate.
    async fn retire(&self, certificate: &InUse, status: CertificateStatus, now: UtcDateTime);
    /// Registers another address of a holder.
    async fn readdress(&self, certificate: &InUse, address: Option<Address>);
    /// The word of the terminal disposition ([`Disposition::word`]) of a mail that has one.
    async fn end(&self, id: MailId) -> Option<String>;
}

/// Makes one `#[test]` of each test of the suite. Takes the path of an `async fn() -> impl ScheduleRig` that gives a new,
/// empty schedule each time.
#[macro_export]
macro_rules! schedule_conformance {
    ($make:path) => {
        $crate::schedule_conformance!(@ $make:
            a_certificate_comes_in_unplanned, pages_leave_nothing_out, a_plan_is_stored_whole,
            a_plan_on_old_knowledge_is_left_out, another_policy_outdates_the_plans, stages_follow_the_outbox,
            what_is_withdrawn_can_be_owed_again, what_is_on_its_way_is_not_withdrawn, what_may_have_arrived_ends_unknown,
            a_retired_certificate_leaves, a_notice_goes_to_the_registered_address,
            a_changed_address_overtakes_the_claim, a_retired_certificate_overtakes_the_claim, a_holder_without_address_is_recorded,
            an_ended_certificate_rests,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $crate::conformance::run(async { $crate::conformance::schedule::$case(&$make().await).await });
        })+
    };
}

/// Midnight of day `days` of the suite.
fn day(days: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000 + days)
}

/// From day 0 to the last second of day `last`.
fn validity(last: i64) -> Validity {
    let made = Validity::new(day(0), day(last + 1) - Duration::SECOND);
    made.unwrap_or_else(|error| fail(&error.to_string()))
}

#[expect(clippy::panic, reason = "a test of the suite fails by panicking")]
fn fail<T>(what: &str) -> T {
    panic!("{what}")
}

fn address(name: &str) -> Option<Address> {
    format!("{name}@example.co.jp").parse().ok()
}

fn mark(mail_days: &[u16]) -> PolicyMark {
    let config = PolicyConfig { mail_days: mail_days.to_vec(), ..PolicyConfig::default() };
    let policy = Policy::new(config, std::sync::Arc::new(FixedOffset::JST));
    PolicyMark::of(&policy.unwrap_or_else(|_| Policy::default_jst()))
}

async fn adopted(rig: &dyn ScheduleRig, mail_days: &[u16]) -> PolicyMark {
    let mark = mark(mail_days);
    for _ in 0..100 {
        match rig.schedule().adopt(mark).await {
            Ok(true) => return mark,
            Ok(false) => {}
            Err(error) => assert!(error.to_string().is_empty(), "adopt: {error:?}"),
        }
    }
    assert_eq!(
        rig.schedule().ahead(day(0)).await.ok().and_then(|ahead| ahead.policy),
        Some(mark),
        "it is never adopted"
    );
    mark
}

async fn look(rig: &dyn ScheduleRig, look: Look, now: UtcDateTime) -> Vec<Scheduled> {
    let page = rig.schedule().look(look, now, None, 100).await;
    assert!(page.is_ok(), "look: {page:?}");
    page.map(|page| page.rows).unwrap_or_default()
}

async fn unplanned(rig: &dyn ScheduleRig, now: UtcDateTime, until: UtcDateTime) -> Vec<Scheduled> {
    look(rig, Look::Unplanned { until }, now).await
}

/// The one certificate that there has to be, planned or not.
async fn only(rig: &dyn ScheduleRig, now: UtcDateTime) -> Scheduled {
    let mut rows = unplanned(rig, now, day(10_000)).await;
    for which in [Look::Outdated, Look::Due] {
        rows.extend(look(rig, which, now).await);
    }
    assert_eq!(rows.len(), 1, "one certificate");
    rows.pop().unwrap_or_else(|| fail("one certificate"))
}

async fn ahead(rig: &dyn ScheduleRig, now: UtcDateTime) -> Ahead {
    let ahead = rig.schedule().ahead(now).await;
    assert!(ahead.is_ok(), "ahead: {ahead:?}");
    ahead.unwrap_or_default()
}

fn mail(certificate: &InUse, threshold_days: u16) -> Option<Mail> {
    let notice = Notice::Expiry {
        threshold_days,
        validity: certificate.validity,
        days_left: threshold_days,
        renewal_opens: None,
    };
    let key = certificate.notice_key(threshold_days);
    let to = certificate.address.clone()?;
    Some(Mail::new(notice, &key, to, certificate.language, certificate.subject_id.clone()))
}

/// A plan that owes one threshold and looks again at once, so that every test finds the row in a look.
fn owes(row: &Scheduled, threshold_days: u16, closes: &[u16], again: UtcDateTime) -> Plan {
    let mail = mail(&row.certificate, threshold_days);
    let due = Some(Owed { threshold_days, mail, closes: closes.to_vec() });
    Plan { number: row.place.number, revision: row.revision, withdraw: vec![], due, next: Next::At(again) }
}

fn nothing(row: &Scheduled, next: Next) -> Plan {
    Plan { number: row.place.number, revision: row.revision, withdraw: vec![], due: None, next }
}

async fn stored(rig: &dyn ScheduleRig, mark: PolicyMark, plans: Vec<Plan>, now: UtcDateTime) -> usize {
    let stored = rig.schedule().plan(mark, plans, now).await;
    assert!(stored.is_ok(), "plan: {stored:?}");
    stored.unwrap_or_default()
}

/// Plans one mail at day 10 for a new holder, and returns its id.
async fn planned(rig: &dyn ScheduleRig, mark: PolicyMark, threshold_days: u16, closes: &[u16]) -> MailId {
    let certificate = rig.activate(1, validity(40), address("taro")).await;
    let row = only(rig, day(10)).await;
    assert_eq!(row.certificate, certificate);
    assert_eq!(stored(rig, mark, vec![owes(&row, threshold_days, closes, day(10))], day(10)).await, 1);
    mail(&certificate, threshold_days).map_or_else(|| fail("mail"), |mail| mail.id)
}

const LEASE: Duration = Duration::minutes(10);

async fn claim(rig: &dyn ScheduleRig, now: UtcDateTime) -> Vec<Claimed> {
    let claimed = rig.outbox().claim(now, "worker", LEASE, 10).await;
    assert!(claimed.is_ok(), "claim: {claimed:?}");
    claimed.unwrap_or_default()
}

async fn claim_one(rig: &dyn ScheduleRig, now: UtcDateTime) -> Claimed {
    let mut claimed = claim(rig, now).await;
    assert_eq!(claimed.len(), 1, "one mail can be claimed");
    claimed.pop().unwrap_or_else(|| fail("one mail"))
}

async fn transmitting(rig: &dyn ScheduleRig, claimed: &Claimed, now: UtcDateTime) -> bool {
    rig.outbox().transmitting(claimed.mail.id, claimed.fence, now).await.is_ok()
}

async fn record(rig: &dyn ScheduleRig, claimed: &Claimed, disposition: &Disposition, now: UtcDateTime) -> bool {
    rig.outbox().record(claimed.mail.id, claimed.fence, disposition, now).await.is_ok()
}

/// A certificate that is taken into use is unplanned, and nothing is known of any threshold.
pub async fn a_certificate_comes_in_unplanned(rig: &dyn ScheduleRig) {
    assert_eq!(ahead(rig, day(1)).await, Ahead::default());
    let certificate = rig.activate(1, validity(40), address("taro")).await;
    let end = certificate.validity.not_after();
    assert_eq!(ahead(rig, day(1)).await, Ahead { unplanned: Some(end), ..Ahead::default() });
    assert!(look(rig, Look::Due, day(1)).await.is_empty());
    assert!(unplanned(rig, day(1), end - Duration::SECOND).await.is_empty());
    let rows = unplanned(rig, day(1), end).await;
    assert_eq!(rows.iter().map(|row| (&row.certificate, row.notices.len())).collect::<Vec<_>>(), [(&certificate, 0)]);
    assert_eq!(rows.first().map(|row| row.place.at), Some(end));
}

/// Pages come in order, leave nothing out and show nothing twice, and go on where others were planned meanwhile.
pub async fn pages_leave_nothing_out(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    for (number, last) in (1_u32..).zip([44, 41, 42, 41, 43]) {
        rig.activate(number, validity(last), address("taro")).await;
    }
    for which in [Look::Unplanned { until: day(10_000) }, Look::Due] {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = rig.schedule().look(which, day(20), after, 2).await;
            let Ok(page) = page else { return assert!(page.is_ok(), "look: {page:?}") };
            assert!(page.rows.len() <= 2);
            let plans = page.rows.iter().map(|row| {
                let last = (row.certificate.validity.end() - day(0)).whole_days() - 1;
                nothing(row, if which == Look::Due { Next::Never } else { Next::At(day(last - 30)) })
            });
            let plans: Vec<_> = plans.collect();
            assert_eq!(stored(rig, mark, plans, day(20)).await, page.rows.len());
            seen.extend(page.rows.iter().map(|row| (row.certificate.validity.end() - day(0)).whole_days() - 1));
            after = page.more;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, [41, 41, 42, 43, 44], "{which:?}");
    }
    assert_eq!(ahead(rig, day(20)).await, Ahead { policy: Some(mark), ..Ahead::default() });
}

/// Mail, closed thresholds and the next look are stored together.
pub async fn a_plan_is_stored_whole(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let certificate = rig.activate(1, validity(40), address("taro")).await;
    let row = only(rig, day(32)).await;
    assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[30], day(35))], day(32)).await, 1);
    let next_look = Some(day(35));
    assert_eq!(ahead(rig, day(32)).await, Ahead { policy: Some(mark), next_look, ..Ahead::default() });
    assert!(look(rig, Look::Due, day(34)).await.is_empty());
    let row = only(rig, day(35)).await;
    assert_eq!(row.place.at, day(35));
    assert_eq!(row.notices, [(10, Stage::Waiting), (30, Stage::Closed { with: 10 })]);
    let claimed = claim_one(rig, day(32)).await;
    assert_eq!(Some(claimed.mail), mail(&certificate, 10));
    assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[30], day(36))], day(35)).await, 1, "the same again");
    assert!(claim(rig, day(32)).await.is_empty(), "is no second mail");
}

/// A plan is left out when somebody else planned, or something became of a mail, since the row was read.
pub async fn a_plan_on_old_knowledge_is_left_out(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    rig.activate(1, validity(40), address("taro")).await;
    let first = only(rig, day(10)).await;
    assert_eq!(stored(rig, mark, vec![owes(&first, 30, &[], day(10))], day(10)).await, 1);
    assert_eq!(stored(rig, mark, vec![owes(&first, 10, &[], day(10))], day(10)).await, 0, "planned by another");
    let mut known = only(rig, day(10)).await;
    let claimed = claim_one(rig, day(10)).await;
    assert!(transmitting(rig, &claimed, day(10)).await);
    for then in [&Disposition::Quarantined { until: day(11) }, &Disposition::Sent] {
        let plan = Plan { withdraw: vec![30], ..owes(&known, 10, &[], day(10)) };
        assert_eq!(stored(rig, mark, vec![plan], day(10)).await, 0, "before {then:?}");
        known = only(rig, day(10)).await;
        assert!(record(rig, &claimed, then, day(10)).await || then == &Disposition::Sent);
    }
    assert_eq!(rig.end(claimed.mail.id).await, None, "nothing was withdrawn");
    let unknown = Plan { number: 9_999, ..nothing(&known, Next::Never) };
    assert_eq!(stored(rig, mark, vec![unknown], day(10)).await, 0, "no such certificate");
}

/// Another policy makes every plan outdated, and leaves alone what was told and what waits.
pub async fn another_policy_outdates_the_plans(rig: &dyn ScheduleRig) {
    let first = adopted(rig, &[30, 10]).await;
    let id = planned(rig, first, 30, &[]).await;
    let row = only(rig, day(10)).await;
    assert!(look(rig, Look::Outdated, day(10)).await.is_empty());
    let second = adopted(rig, &[20]).await;
    let refused = rig.schedule().plan(first, vec![nothing(&row, Next::Never)], day(10)).await;
    assert!(matches!(refused, Err(ScheduleError::OtherPolicy)), "{refused:?}");
    let end = row.certificate.validity.not_after();
    let outdated = Ahead { policy: Some(second), outdated: Some(end), ..Ahead::default() };
    assert_eq!(ahead(rig, day(10)).await, outdated);
    assert!(look(rig, Look::Due, day(10)).await.is_empty());
    assert!(look(rig, Look::Outdated, end + Duration::SECOND).await.is_empty(), "ended");
    let again = look(rig, Look::Outdated, day(10)).await;
    assert_eq!(again.iter().map(|row| row.notices.clone()).collect::<Vec<_>>(), [[(30, Stage::Waiting)]]);
    assert_eq!(stored(rig, second, vec![nothing(&row, Next::Never)], day(10)).await, 0, "decided before the change");
    assert_eq!(adopted(rig, &[20]).await, second, "adopting it again changes nothing");
    let plans = again.iter().map(|row| nothing(row, Next::Never)).collect();
    assert_eq!(stored(rig, second, plans, day(10)).await, 1);
    assert_eq!(ahead(rig, day(10)).await, Ahead { policy: Some(second), ..Ahead::default() });
    assert_eq!(claim_one(rig, day(10)).await.mail.id, id);
}

/// A threshold's stage is what became of its mail.
pub async fn stages_follow_the_outbox(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    planned(rig, mark, 30, &[]).await;
    let stage = async |now| only(rig, now).await.notices;
    let claimed = claim_one(rig, day(10)).await;
    assert_eq!(stage(day(10)).await, [(30, Stage::Waiting)], "claimed");
    assert!(transmitting(rig, &claimed, day(10)).await);
    assert_eq!(stage(day(10)).await, [(30, Stage::OnItsWay { until: day(10) + LEASE })]);
    let retry = Disposition::Retry { at: day(10), reply: Some(Reply::new(Some(450), "later")) };
    assert!(record(rig, &claimed, &retry, day(10)).await);
    assert_eq!(stage(day(10)).await, [(30, Stage::Waiting)], "refused for now");
    let claimed = claim_one(rig, day(10)).await;
    assert!(transmitting(rig, &claimed, day(10)).await);
    assert!(record(rig, &claimed, &Disposition::Quarantined { until: day(11) }, day(10)).await);
    assert_eq!(stage(day(10)).await, [(30, Stage::Doubtful)]);
    let claimed = claim_one(rig, day(11)).await;
    assert_eq!(stage(day(11)).await, [(30, Stage::Doubtful)], "claimed for its repeat");
    assert!(transmitting(rig, &claimed, day(11)).await);
    let reply = Reply::new(Some(550), "no such user");
    assert!(record(rig, &claimed, &Disposition::Undeliverable { reply }, day(11)).await);
    assert_eq!(stage(day(11)).await, [(30, Stage::Counts)]);
}

/// A mail that was never on its way can be withdrawn, even from under its claimer, and owed again under the same name.
pub async fn what_is_withdrawn_can_be_owed_again(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let id = planned(rig, mark, 10, &[30]).await;
    let claimed = claim_one(rig, day(10)).await;
    let row = only(rig, day(10)).await;
    let withdraw = Plan { withdraw: vec![10], ..nothing(&row, Next::At(day(10))) };
    assert_eq!(stored(rig, mark, vec![withdraw], day(10)).await, 1);
    assert_eq!(rig.end(id).await.as_deref(), Some("suppressed_withdrawn"));
    assert!(!transmitting(rig, &claimed, day(10)).await, "nothing may be sent any more");
    assert!(claim(rig, day(30)).await.is_empty());
    let row = only(rig, day(11)).await;
    assert_eq!(row.notices, [(10, Stage::Withdrawn)], "what was closed with it is open again");
    assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[], day(11))], day(11)).await, 1);
    let again = claim_one(rig, day(11)).await;
    assert_eq!((again.mail.id, again.attempts, again.unanswered), (id, 0, 0));
    assert!(again.fence > claimed.fence);
    assert!(transmitting(rig, &again, day(11)).await);
    assert!(record(rig, &again, &Disposition::Sent, day(11)).await);
    let row = only(rig, day(12)).await;
    assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[], day(12))], day(12)).await, 1);
    assert!(claim(rig, day(12)).await.is_empty(), "what was sent is not owed again");
}

/// A mail cannot be withdrawn while it is being transmitted.
pub async fn what_is_on_its_way_is_not_withdrawn(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let id = planned(rig, mark, 30, &[]).await;
    let claimed = claim_one(rig, day(10)).await;
    assert!(transmitting(rig, &claimed, day(10)).await);
    let row = only(rig, day(10)).await;
    let withdraw = Plan { withdraw: vec![30], ..nothing(&row, Next::At(day(10))) };
    assert_eq!(stored(rig, mark, vec![withdraw], day(10)).await, 1);
    assert_eq!(rig.end(id).await, None);
    assert!(record(rig, &claimed, &Disposition::Sent, day(10)).await);
    assert_eq!(only(rig, day(10)).await.notices, [(30, Stage::Counts)]);
}

/// A mail that may have arrived is withdrawn as unknown, and counts.
pub async fn what_may_have_arrived_ends_unknown(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let id = planned(rig, mark, 30, &[]).await;
    let claimed = claim_one(rig, day(10)).await;
    assert!(transmitting(rig, &claimed, day(10)).await);
    // Its mailer died: the lease is over.
    let row = only(rig, day(11)).await;
    let overtake = Plan { withdraw: vec![30], ..owes(&row, 10, &[], day(11)) };
    assert_eq!(stored(rig, mark, vec![overtake], day(11)).await, 1);
    assert_eq!(rig.end(id).await.as_deref(), Some("unknown"));
    assert!(!record(rig, &claimed, &Disposition::Sent, day(11)).await);
    assert_eq!(only(rig, day(11)).await.notices, [(10, Stage::Waiting), (30, Stage::Counts)]);
    assert_eq!(claim_one(rig, day(11)).await.mail.kind.threshold(), Some(10));
}

/// A certificate that is superseded or revoked is not looked at, not planned, and no mail about it is claimed any more.
pub async fn a_retired_certificate_leaves(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let words =
        [(CertificateStatus::Superseded, "suppressed_renewed"), (CertificateStatus::Revoked, "suppressed_revoked")];
    for (number, (status, word)) in (1..).zip(words) {
        let certificate = rig.activate(number, validity(40), address("taro")).await;
        let row = only(rig, day(10)).await;
        assert_eq!(stored(rig, mark, vec![owes(&row, 30, &[], day(10))], day(10)).await, 1);
        let row = only(rig, day(10)).await;
        rig.retire(&certificate, status, day(10)).await;
        assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[], day(10))], day(10)).await, 0, "{status}");
        assert!(claim(rig, day(10)).await.is_empty(), "{status}");
        let id = mail(&certificate, 30).map(|mail| mail.id);
        let end = if let Some(id) = id { rig.end(id).await } else { None };
        assert_eq!(end.as_deref(), Some(word));
        // A successor of the same holder may be unplanned by now; it begins with an empty record.
        let rest = unplanned(rig, day(10), day(10_000)).await;
        assert!(rest.iter().all(|row| row.certificate.serial != certificate.serial && row.notices.is_empty()));
        for row in rest {
            rig.retire(&row.certificate, CertificateStatus::Revoked, day(10)).await;
        }
        assert!(look(rig, Look::Due, day(10_000)).await.is_empty());
    }
}

/// The address is that of the moment of the claim.
pub async fn a_notice_goes_to_the_registered_address(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let id = planned(rig, mark, 30, &[]).await;
    let certificate = only(rig, day(10)).await.certificate;
    rig.readdress(&certificate, address("jiro")).await;
    let claimed = claim_one(rig, day(10)).await;
    assert_eq!((claimed.mail.id, Some(claimed.mail.to.clone())), (id, address("jiro")));
    assert!(record(rig, &claimed, &Disposition::Retry { at: day(10), reply: None }, day(10)).await);
    rig.readdress(&certificate, None).await;
    assert!(claim(rig, day(10)).await.is_empty());
    assert_eq!(rig.end(id).await.as_deref(), Some("undeliverable"));
    assert_eq!(only(rig, day(10)).await.notices, [(30, Stage::Counts)]);
}

/// The address changes between claim and sending: the claimer is overtaken, and one mail goes to the new one (I-63).
pub async fn a_changed_address_overtakes_the_claim(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let id = planned(rig, mark, 30, &[]).await;
    let certificate = only(rig, day(10)).await.certificate;
    let old = claim_one(rig, day(10)).await;
    rig.readdress(&certificate, address("jiro")).await;
    assert!(!transmitting(rig, &old, day(10)).await, "nothing goes to the old address");
    assert!(!record(rig, &old, &Disposition::Sent, day(10)).await);
    let new = claim_one(rig, day(10)).await;
    assert!(new.fence > old.fence);
    assert_eq!((new.mail.id, Some(new.mail.to.clone())), (id, address("jiro")));
    // What is on its way already has gone to the address that was confirmed then.
    assert!(transmitting(rig, &new, day(10)).await);
    rig.readdress(&certificate, address("hanako")).await;
    assert!(record(rig, &new, &Disposition::Sent, day(10)).await);
    assert!(claim(rig, day(11)).await.is_empty(), "one mail");
}

/// The certificate goes out of use between claim and sending (I-56).
pub async fn a_retired_certificate_overtakes_the_claim(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let words =
        [(CertificateStatus::Superseded, "suppressed_renewed"), (CertificateStatus::Revoked, "suppressed_revoked")];
    for (number, (status, word)) in (1..).zip(words) {
        let certificate = rig.activate(number, validity(40), address("taro")).await;
        let row = only(rig, day(10)).await;
        assert_eq!(stored(rig, mark, vec![owes(&row, 30, &[], day(10))], day(10)).await, 1);
        let claimed = claim_one(rig, day(10)).await;
        rig.retire(&certificate, status, day(10)).await;
        assert!(!transmitting(rig, &claimed, day(10)).await, "{status}");
        assert!(claim(rig, day(10)).await.is_empty(), "{status}");
        assert_eq!(rig.end(claimed.mail.id).await.as_deref(), Some(word));
        for row in unplanned(rig, day(10), day(10_000)).await {
            rig.retire(&row.certificate, CertificateStatus::Revoked, day(10)).await;
        }
    }
}

/// A threshold that cannot be told because there is no address counts as told.
pub async fn a_holder_without_address_is_recorded(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    rig.activate(1, validity(40), None).await;
    let row = only(rig, day(32)).await;
    assert_eq!(stored(rig, mark, vec![owes(&row, 10, &[30], day(32))], day(32)).await, 1);
    assert!(claim(rig, day(32)).await.is_empty());
    assert_eq!(only(rig, day(32)).await.notices, [(10, Stage::Counts), (30, Stage::Closed { with: 10 })]);
}

/// A certificate that has ended costs nothing any more, and is found again when the clock is put right.
pub async fn an_ended_certificate_rests(rig: &dyn ScheduleRig) {
    let mark = adopted(rig, &[30, 10]).await;
    let certificate = rig.activate(1, validity(40), address("taro")).await;
    let end = certificate.validity.end();
    let row = only(rig, end - Duration::MILLISECOND).await;
    assert!(unplanned(rig, end, day(10_000)).await.is_empty(), "ended before it was ever planned");
    assert_eq!(stored(rig, mark, vec![nothing(&row, Next::At(day(11)))], day(10)).await, 1);
    let row = only(rig, day(400)).await;
    assert_eq!(stored(rig, mark, vec![nothing(&row, Next::Ended)], day(400)).await, 1);
    assert_eq!(ahead(rig, day(400)).await, Ahead { policy: Some(mark), ..Ahead::default() });
    assert!(look(rig, Look::Due, day(400)).await.is_empty());
    assert_eq!(only(rig, day(12)).await.certificate, certificate);
}
