//! What every [`Matters`] has to do, as stories of planner, steward and mailer on one store.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use koshin_expiry::Policy;
use koshin_types::{Language, OrganizationId, Role, SerialNumber, SubjectId, Validity};
use time::{Duration, UtcDateTime, UtcOffset};

use crate::{
    Address, Bounce, Conclusion, Digests, Envelope, MailId, Mailer, Matters, Operator, Outbox, Outcome, Party, Planner,
    Reply, Schedule, Sender, Steward, Tasks, Then, Transport, Wake, Whose, Zone,
};

/// A store of matters on the bench: what the stories need beside the ports. Everybody is of the organization `C-1`.
#[async_trait]
pub trait MattersRig: Send + Sync {
    /// The store, with all its ports.
    type Store: Schedule + Matters + Outbox + Tasks;
    /// The store under test.
    fn store(&self) -> Arc<Self::Store>;
    /// Registers a person of `C-1`.
    async fn register(&self, role: Role, party: &Party);
    /// Takes the first certificate of a holder into use.
    async fn activate(&self, holder: &Party, validity: Validity) -> SerialNumber;
    /// Revokes the certificate of a holder.
    async fn revoke(&self, holder: &Party, now: UtcDateTime);
    /// The holder begins a renewal.
    async fn begin(&self, holder: &Party, now: UtcDateTime);
    /// Permits to obtain a certificate, or takes that back.
    async fn permit(&self, holder: &Party, until: Option<UtcDateTime>, now: UtcDateTime);
    /// Registers another address.
    async fn readdress(&self, person: &Party, address: Option<Address>);
    /// Says whether `C-1` wants digests.
    async fn prefer(&self, digests: Digests, now: UtcDateTime);
    /// The words of the terminal dispositions of the mails of a kind ([`Notice::word`](crate::Notice::word)), in the order
    /// in which they were owed.
    async fn ends(&self, kind: &str) -> Vec<String>;
}

/// Makes one `#[test]` of each story of the suite. Takes the path of an `async fn() -> impl MattersRig` that gives a new
/// store each time, with an organization `C-1` that has nobody and wants digests.
#[macro_export]
macro_rules! matters_conformance {
    ($make:path) => {
        $crate::matters_conformance!(@ $make:
            who_ignores_every_notice_is_escalated_once, who_has_begun_is_not_escalated,
            nobody_is_escalated_whose_certificate_is_gone, an_administrators_own_goes_to_the_operator,
            a_digest_takes_the_place_of_single_mails, no_digest_takes_a_place_where_it_does_not_arrive,
            what_was_left_to_a_digest_is_let_go, digests_are_caught_up_once, a_permission_is_reminded_of_once,
            a_permission_that_is_gone_is_not_reminded_of, an_address_that_refuses_is_told_once,
            what_nobody_can_be_told_is_kept, an_administrators_address_is_that_of_the_moment,
            tasks_are_told_apart, a_day_is_summed_up_once, a_conclusion_on_old_knowledge_is_left_out,
        );
    };
    (@ $make:path: $($case:ident,)+) => {
        $(#[test]
        fn $case() {
            $crate::conformance::run(async { $crate::conformance::matters::$case(&$make().await).await });
        })+
    };
}

/// Midnight, UTC, of day `days` of the suite: 9 o'clock in Tokyo. Day 3 is a Monday.
fn day(days: i64) -> UtcDateTime {
    UtcDateTime::UNIX_EPOCH + Duration::days(20_000 + days)
}

/// Ends on day 60: notices open on days 29 and 49, an escalation on day 54 in the evening.
fn validity() -> Validity {
    Validity::new(day(-305), day(60) - Duration::SECOND).unwrap_or_else(|error| fail(&error.to_string()))
}

#[expect(clippy::panic, reason = "a test of the suite fails by panicking")]
fn fail<T>(what: &str) -> T {
    panic!("{what}")
}

fn ok<T, E: std::fmt::Debug>(result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| fail(&format!("{error:?}")))
}

fn person(id: &str) -> Party {
    let address = ok(format!("{}@example.co.jp", id.to_ascii_lowercase()).parse());
    Party { subject_id: ok(id.parse()), language: Language::En, address: Some(address), refused: false }
}

fn organization() -> OrganizationId {
    ok("C-1".parse())
}

/// A mail server that refuses the mails to some addresses for ever, and remembers all others.
#[derive(Default)]
struct Server {
    refuses: Mutex<BTreeSet<String>>,
    took: Mutex<Vec<(String, &'static str)>>,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, envelope: &Envelope, _: &[u8]) -> Outcome {
        let to = envelope.to.as_str().to_owned();
        if self.refuses.lock().unwrap_or_else(PoisonError::into_inner).contains(&to) {
            return Outcome::Permanent { reply: Reply::new(Some(550), "5.1.1 no such user") };
        }
        let kinds = [
            ("A user's certificate", "escalation"),
            ("The certificates in your contract", "digest"),
            ("You can obtain your certificate until", "reminder"),
            ("could not be delivered", "undeliverable"),
            ("Mails and certificates", "summary"),
        ];
        let kind = kinds.iter().find(|(words, _)| envelope.words.subject.contains(words));
        let kind = kind.map_or("expiry", |(_, kind)| kind);
        self.took.lock().unwrap_or_else(PoisonError::into_inner).push((to, kind));
        Outcome::Accepted
    }
}

/// A mailer's house over one store.
struct House<S> {
    store: Arc<S>,
    server: Arc<Server>,
    operator: Option<Operator>,
}

impl<S: Schedule + Matters + Outbox + Tasks> House<S> {
    fn over<R: MattersRig<Store = S>>(rig: &R) -> Self {
        let address = ok("ops@bank.example".parse());
        let operator = Some(Operator { address, language: Language::En });
        Self { store: rig.store(), server: Arc::default(), operator }
    }

    fn steward(&self) -> Steward<Arc<S>> {
        let zone = Zone::fixed(UtcOffset::from_hms(9, 0, 0).unwrap_or(UtcOffset::UTC), "JST");
        Steward::new(Arc::clone(&self.store), Policy::default_jst(), zone).with_operator(self.operator.clone())
    }

    async fn owe(&self, now: UtcDateTime) -> Wake {
        ok(Planner::new(Arc::clone(&self.store), Policy::default_jst()).run(now).await);
        ok(self.steward().run(now).await)
    }

    async fn send(&self, now: UtcDateTime) {
        let sender = Sender::example().unwrap_or_else(|| fail("a sender"));
        ok(Mailer::new(Arc::clone(&self.store), Arc::clone(&self.server), sender).run(now).await);
    }

    /// Owes and sends. What is sent may make something else due, so twice.
    async fn run(&self, now: UtcDateTime) {
        for _ in 0..2 {
            self.owe(now).await;
            self.send(now).await;
        }
    }

    fn refuse(&self, person: &Party) {
        let to = person.address.as_ref().map(|address| address.as_str().to_owned());
        self.server.refuses.lock().unwrap_or_else(PoisonError::into_inner).extend(to);
    }

    /// What the server took since it was asked last, but for notices of expiry: to whom, and of which kind.
    fn took(&self) -> Vec<String> {
        let took = std::mem::take(&mut *self.server.took.lock().unwrap_or_else(PoisonError::into_inner));
        let name = |to: &str| to.split('@').next().unwrap_or_default().to_owned();
        let others = took.into_iter().filter(|(_, kind)| *kind != "expiry");
        let mut took: Vec<_> = others.map(|(to, kind)| format!("{kind} to {}", name(&to))).collect();
        took.sort();
        took
    }
}

/// An administrator, and a user with a certificate that ends on day 60.
async fn two<R: MattersRig>(rig: &R) -> (Party, Party) {
    let (administrator, user) = (person("A-1"), person("U-1"));
    rig.register(Role::Administrator, &administrator).await;
    rig.register(Role::User, &user).await;
    rig.activate(&user, validity()).await;
    (administrator, user)
}

/// Half of the time over that the most urgent notice left, an administrator is told, and never again.
pub async fn who_ignores_every_notice_is_escalated_once<R: MattersRig>(rig: &R) {
    two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [30, 40, 50, 54] {
        house.run(day(days)).await;
        assert_eq!(house.took(), [""; 0], "day {days}");
    }
    let opens = day(54) + Duration::minutes(19 * 60 + 30);
    assert_eq!(house.owe(opens - Duration::MILLISECOND).await, Wake::At(opens));
    house.run(opens).await;
    assert_eq!(house.took(), ["escalation to a-1"]);
    for days in [55, 56, 59, 60, 61] {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), [""; 0]);
    assert_eq!(rig.ends("escalation_administrator").await, ["sent"]);
}

/// A renewal that was begun silences no notice, but it is no reason to tell others.
pub async fn who_has_begun_is_not_escalated<R: MattersRig>(rig: &R) {
    let (_, user) = two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [30, 50] {
        house.run(day(days)).await;
    }
    rig.begin(&user, day(52)).await;
    for days in 53..62 {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), [""; 0]);
    assert!(rig.ends("escalation_administrator").await.is_empty());
}

/// Nothing is escalated once the certificate is out of use or over, and a claim ends with it (I-39, I-56).
pub async fn nobody_is_escalated_whose_certificate_is_gone<R: MattersRig>(rig: &R) {
    let (_, user) = two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [30, 50] {
        house.run(day(days)).await;
    }
    house.owe(day(55)).await;
    let claimed = ok(house.store.claim(day(55), "slow", Duration::minutes(10), 9).await);
    assert_eq!(claimed.len(), 1);
    rig.revoke(&user, day(55)).await;
    for claim in &claimed {
        assert!(house.store.transmitting(claim.mail.id, claim.fence, day(55)).await.is_err());
    }
    house.send(day(55)).await;
    assert!(!house.took().contains(&"escalation to a-1".to_owned()));
    assert_eq!(rig.ends("escalation_administrator").await, ["suppressed_revoked"]);
    let other = person("U-2");
    rig.register(Role::User, &other).await;
    rig.activate(&other, validity()).await;
    house.run(day(50)).await;
    house.owe(day(55)).await;
    house.run(validity().end()).await;
    assert_eq!(rig.ends("escalation_administrator").await, ["suppressed_revoked", "suppressed_too_late"]);
}

/// Who is an administrator does not watch over itself.
pub async fn an_administrators_own_goes_to_the_operator<R: MattersRig>(rig: &R) {
    let (first, second) = (person("A-1"), person("A-2"));
    rig.register(Role::Administrator, &first).await;
    rig.activate(&first, validity()).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House::over(rig);
    for days in [30, 50, 55] {
        house.run(day(days)).await;
    }
    let escalations = house.took().into_iter().filter(|mail| mail.starts_with("escalation"));
    assert_eq!(escalations.collect::<Vec<_>>(), ["escalation to ops"]);
    rig.register(Role::Administrator, &second).await;
    rig.activate(&second, validity()).await;
    for days in [50, 55] {
        house.run(day(days)).await;
    }
    let escalations = house.took().into_iter().filter(|mail| mail.starts_with("escalation"));
    assert_eq!(escalations.collect::<Vec<_>>(), ["escalation to a-1", "escalation to ops"]);
}

/// An organization that wants digests gets one a week, and what is left to it is closed with the reason.
pub async fn a_digest_takes_the_place_of_single_mails<R: MattersRig>(rig: &R) {
    let (_, user) = two(rig).await;
    let house = House { operator: None, ..House::over(rig) };
    // The first look only marks where digests begin.
    house.run(day(27)).await;
    assert_eq!(house.took(), [""; 0]);
    for days in [31, 37, 38] {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), ["digest to a-1", "digest to a-1"], "on days 31 and 38");
    house.run(day(45) - Duration::MILLISECOND).await;
    assert_eq!(house.took(), [""; 0]);
    for days in [45, 50, 52, 55] {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), ["digest to a-1", "digest to a-1"], "and no escalation");
    assert_eq!(rig.ends("escalation_administrator").await, ["suppressed_in_digest"]);
    house.run(day(59)).await;
    assert_eq!(house.took(), ["digest to a-1"]);
    rig.revoke(&user, day(59)).await;
    house.run(day(66)).await;
    assert!(!house.took().contains(&"digest to a-1".to_owned()), "there is no mail that says nothing");
}

/// Where mails to an administrator do not arrive, no digest takes the place of a mail, and the operator is told.
pub async fn no_digest_takes_a_place_where_it_does_not_arrive<R: MattersRig>(rig: &R) {
    let (administrator, user) = two(rig).await;
    let house = House::over(rig);
    house.refuse(&administrator);
    house.run(day(27)).await;
    house.run(day(31)).await;
    assert_eq!(rig.ends("digest").await, ["undeliverable"]);
    let told: Vec<_> = house.took().into_iter().filter(|mail| !mail.starts_with("summary")).collect();
    assert_eq!(told, ["undeliverable to ops"]);
    for days in [50, 55] {
        house.run(day(days)).await;
    }
    let told: Vec<_> = house.took().into_iter().filter(|mail| !mail.starts_with("summary")).collect();
    assert_eq!(told, ["escalation to ops"]);
    let mut ends = rig.ends("escalation_administrator").await;
    ends.sort();
    assert_eq!(ends, ["sent", "undeliverable"], "to the operator, and to the administrator all the same");
    assert_eq!(rig.ends("digest").await.len(), 1);
    rig.revoke(&user, day(56)).await;
}

/// What was left to a digest goes out by itself when there will be none: the address refuses by then, or the organization
/// opts out.
pub async fn what_was_left_to_a_digest_is_let_go<R: MattersRig>(rig: &R) {
    let (administrator, _) = two(rig).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [27, 30, 50, 52] {
        house.run(day(days)).await;
    }
    house.run(day(55)).await;
    assert_eq!(rig.ends("escalation_administrator").await, ["suppressed_in_digest"]);
    house.took();
    house.refuse(&administrator);
    rig.permit(&administrator, Some(day(60)), day(50)).await;
    house.run(day(56)).await;
    assert_eq!(rig.ends("enrolment_reminder").await, ["undeliverable"]);
    house.run(day(59)).await;
    assert_eq!(rig.ends("escalation_administrator").await, ["undeliverable"], "it was tried, and is a task");
    let other = person("U-2");
    rig.register(Role::User, &other).await;
    rig.activate(&other, validity()).await;
    rig.readdress(&administrator, person("A-9").address).await;
    for days in [50, 55] {
        house.run(day(days)).await;
    }
    let ends = rig.ends("escalation_administrator").await;
    assert_eq!(ends, ["undeliverable", "suppressed_in_digest"]);
    rig.prefer(Digests::OptedOut, day(55)).await;
    house.took();
    house.run(day(56)).await;
    assert_eq!(house.took(), ["escalation to a-9"]);
    assert_eq!(rig.ends("escalation_administrator").await, ["undeliverable", "sent"]);
}

/// After an outage of weeks there is one digest; two stewards at once owe it once.
pub async fn digests_are_caught_up_once<R: MattersRig>(rig: &R) {
    two(rig).await;
    let house = House { operator: None, ..House::over(rig) };
    house.run(day(27)).await;
    let (one, other) = (house.steward(), house.steward());
    let (one, other) = tokio::join!(one.run(day(48)), other.run(day(48)));
    assert_eq!((ok(one), ok(other)), (Wake::At(day(52)), Wake::At(day(52))));
    house.run(day(48)).await;
    assert_eq!(house.took(), ["digest to a-1"]);
}

/// Ten days before a permission ends, its holder is reminded, once.
pub async fn a_permission_is_reminded_of_once<R: MattersRig>(rig: &R) {
    let user = person("U-1");
    rig.register(Role::User, &user).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    rig.permit(&user, Some(day(80)), day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    assert_eq!(ok(house.store.coming().await).matter, Some(day(70)));
    house.run(day(70) - Duration::MILLISECOND).await;
    assert_eq!(house.took(), [""; 0]);
    let rehearsed = ok(house.steward().rehearse(day(70)).await);
    assert_eq!(rehearsed.iter().map(|mail| mail.kind.word()).collect::<Vec<_>>(), ["enrolment_reminder"]);
    for days in [70, 70, 75, 80, 81] {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), ["reminder to u-1"]);
    // Another permission is another matter.
    rig.permit(&user, Some(day(165)), day(85)).await;
    house.run(day(155)).await;
    assert_eq!(house.took(), ["reminder to u-1"]);
}

/// A permission that was used or withdrawn, before the plan or between plan and sending, is not reminded of.
pub async fn a_permission_that_is_gone_is_not_reminded_of<R: MattersRig>(rig: &R) {
    let (first, second) = (person("U-1"), person("U-2"));
    rig.prefer(Digests::OptedOut, day(0)).await;
    for user in [&first, &second] {
        rig.register(Role::User, user).await;
        rig.permit(user, Some(day(80)), day(0)).await;
    }
    let house = House { operator: None, ..House::over(rig) };
    rig.permit(&first, None, day(60)).await;
    house.owe(day(70)).await;
    rig.permit(&second, None, day(70)).await;
    house.send(day(70)).await;
    house.run(day(75)).await;
    assert_eq!(house.took(), [""; 0]);
    assert_eq!(rig.ends("enrolment_reminder").await, ["suppressed_withdrawn"]);
}

/// The administrator hears once of an address that refuses mails, and once more after it was changed to another such one.
pub async fn an_address_that_refuses_is_told_once<R: MattersRig>(rig: &R) {
    let (_, user) = two(rig).await;
    let house = House { operator: None, ..House::over(rig) };
    house.refuse(&user);
    for days in [30, 31, 50] {
        house.run(day(days)).await;
    }
    let told: Vec<_> = house.took().into_iter().filter(|mail| mail.starts_with("undeliverable")).collect();
    assert_eq!(told, ["undeliverable to a-1"], "of two mails that were refused");
    let mut moved = person("U-7");
    rig.readdress(&user, moved.address.clone()).await;
    let open = ok(house.store.open_tasks(Whose::To(&user.subject_id), None, 9).await);
    assert_eq!(open.len(), 0, "nothing is known of the new address");
    moved.subject_id = user.subject_id.clone();
    rig.permit(&user, Some(day(61)), day(41)).await;
    house.run(day(51)).await;
    assert_eq!(rig.ends("enrolment_reminder").await, ["sent"]);
    let bounce = Bounce::Failed { reply: Reply::new(Some(550), "5.1.1 gone") };
    assert!(ok(house.store.bounced(reminder(&moved), &bounce, day(51)).await));
    house.took();
    house.run(day(51)).await;
    assert_eq!(house.took(), ["undeliverable to a-1"], "it came back");
}

/// The id of the reminder of a permission until day 61.
fn reminder(person: &Party) -> MailId {
    let notice = crate::Notice::EnrolmentReminder { until: day(61) };
    MailId::derive(&notice, &person.subject_id, &day(61).unix_timestamp_nanos().to_string())
}

/// Without administrator and operator nothing is lost: it is told as soon as there is somebody.
pub async fn what_nobody_can_be_told_is_kept<R: MattersRig>(rig: &R) {
    let user = person("U-1");
    rig.register(Role::User, &user).await;
    rig.activate(&user, validity()).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [30, 50, 55, 56] {
        house.run(day(days)).await;
    }
    assert_eq!(house.took(), [""; 0]);
    rig.register(Role::Administrator, &person("A-1")).await;
    house.run(day(57)).await;
    assert_eq!(house.took(), ["escalation to a-1"]);
}

/// The administrator's address changes between plan and claim, and between claim and sending (I-63).
pub async fn an_administrators_address_is_that_of_the_moment<R: MattersRig>(rig: &R) {
    let (administrator, _) = two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    for days in [30, 50] {
        house.run(day(days)).await;
    }
    house.owe(day(55)).await;
    rig.readdress(&administrator, person("A-8").address).await;
    let mut claimed = ok(house.store.claim(day(55), "slow", Duration::minutes(10), 9).await);
    let slow = claimed.pop().unwrap_or_else(|| fail("one mail"));
    assert_eq!(Some(slow.mail.to), person("A-8").address);
    rig.readdress(&administrator, person("A-9").address).await;
    assert!(house.store.transmitting(slow.mail.id, slow.fence, day(55)).await.is_err());
    house.run(day(55)).await;
    assert_eq!(house.took(), ["escalation to a-9"]);
}

/// A task is of the ID that its mail speaks of, of the address that it went to, and of the organization.
pub async fn tasks_are_told_apart<R: MattersRig>(rig: &R) {
    let (administrator, user) = two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House { operator: None, ..House::over(rig) };
    house.run(day(30)).await;
    house.run(day(50)).await;
    house.refuse(&administrator);
    house.run(day(55)).await;
    let count = async |whose: Whose<'_>| ok(house.store.open_tasks(whose, None, 9).await).len();
    let nobody: SubjectId = ok("U-9".parse());
    let elsewhere: OrganizationId = ok("C-9".parse());
    assert_eq!(count(Whose::All).await, 1);
    assert_eq!(count(Whose::About(&user.subject_id)).await, 1, "the escalation speaks of the user");
    assert_eq!(count(Whose::To(&user.subject_id)).await, 0, "and went to somebody else");
    assert_eq!(count(Whose::To(&administrator.subject_id)).await, 1);
    assert_eq!(count(Whose::To(&nobody)).await, 0);
    assert_eq!(
        (count(Whose::Organization(&organization())).await, count(Whose::Organization(&elsewhere)).await),
        (1, 0)
    );
    rig.readdress(&administrator, person("A-9").address).await;
    assert_eq!(count(Whose::All).await, 0, "seen to with the address");
}

/// Once for each local date; a day without a mailer is in the next summary.
pub async fn a_day_is_summed_up_once<R: MattersRig>(rig: &R) {
    two(rig).await;
    rig.prefer(Digests::OptedOut, day(0)).await;
    let house = House::over(rig);
    let midnight = |days: i64| day(days) - Duration::hours(9);
    house.run(day(30)).await;
    assert_eq!(house.took(), [""; 0], "the first look only marks where to begin");
    assert_eq!(house.owe(midnight(31) - Duration::MILLISECOND).await, Wake::At(midnight(31)));
    for hours in 0..30 {
        house.run(midnight(31) + Duration::hours(hours)).await;
    }
    assert_eq!(house.took(), ["summary to ops", "summary to ops"], "of two days");
    let rehearsed = ok(house.steward().rehearse(midnight(34)).await);
    assert_eq!(rehearsed.iter().map(|mail| mail.kind.word()).collect::<Vec<_>>(), ["operator_summary"]);
    house.run(midnight(35) + Duration::HOUR).await;
    assert_eq!(house.took(), ["summary to ops"], "after an outage of three");
    assert_eq!(ok(house.store.coming().await).summarized, Some(midnight(35)));
    // On day 30, Tokyo's, the notice of 30 days and nothing else was sent.
    let summary = ok(house.store.day(midnight(30), midnight(31)).await);
    assert_eq!((summary.sent, summary.refused, summary.bounced, summary.unknown, summary.waiting), (1, 0, 0, 0, 0));
    assert_eq!((summary.ending_soon, summary.ending, summary.ended, summary.tasks), (0, 1, 0, 0));
    let last = ok(house.store.day(day(59), day(60)).await);
    assert_eq!((last.ended, last.ending), (1, 0));
    let taken = ok(house.store.summarize(Some(midnight(34)), midnight(36), None, day(36)).await);
    assert!(!taken, "somebody else told it");
}

/// A conclusion is left out when another steward was faster, or the matter is gone.
pub async fn a_conclusion_on_old_knowledge_is_left_out<R: MattersRig>(rig: &R) {
    let user = person("U-1");
    rig.register(Role::User, &user).await;
    rig.permit(&user, Some(day(80)), day(0)).await;
    let house = House::over(rig);
    let seen = ok(house.store.matters(day(70), None, 9).await);
    let places: Vec<_> = seen.rows.iter().map(|matter| matter.place).collect();
    assert_eq!(places.len(), 1);
    let behind = ok(house.store.matters(day(70), places.first().copied(), 9).await);
    assert!(behind.rows.is_empty(), "nothing stands behind it");
    let conclude = async |then| {
        let conclusions = places.iter().map(|place| Conclusion { place: *place, owed: vec![], then });
        ok(house.store.conclude(conclusions.collect(), day(70)).await)
    };
    assert_eq!(conclude(Then::LookAt(day(71))).await, 1);
    assert_eq!(conclude(Then::Over).await, 0, "somebody was faster");
    assert_eq!(ok(house.store.coming().await).matter, Some(day(71)));
    rig.permit(&user, None, day(70)).await;
    assert_eq!(conclude(Then::Over).await, 0, "it is gone");
    assert_eq!(ok(house.store.coming().await).matter, None);
}
