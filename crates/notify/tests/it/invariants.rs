//! I-50 to I-60 over histories that nobody thought of: planner and mailer against a server that accepts, refuses, keeps
//! silent, and against crashes, changes of the policy and clocks that jump.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig, Standing};
use koshin_notify::{Envelope, InUse, MailId, Mailer, MemorySchedule, Outbox, Outcome, Planner, Stage, Transport};
use koshin_types::{CertificateStatus, Language, Validity};
use proptest::prelude::*;
use time::{Duration, UtcDateTime, UtcOffset};
use tokio::{runtime::Runtime, sync::Notify};

use crate::fixture::{NOW, address, permanent, sender, serial, transient};

/// How a run of the mailer goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Run {
    /// The server takes every mail.
    Accepted,
    /// Two mailers at the same time, and the server takes every mail.
    Two,
    /// 450.
    Later,
    /// 550.
    Never,
    /// The server takes the mail and the connection breaks.
    Lost,
    /// The server takes the mail and the mailer dies.
    DiesAfter,
    /// The mailer dies before the server takes the mail.
    DiesBefore,
    /// It dies when everything is planned and nothing is claimed.
    OnlyPlans,
    /// It dies when everything is claimed.
    OnlyClaims,
}

/// A transmission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sent {
    at: UtcDateTime,
    id: MailId,
    how: Run,
}

struct Server {
    state: Mutex<(UtcDateTime, Run, Vec<Sent>)>,
    death: Notify,
}

#[async_trait]
impl Transport for Server {
    async fn send(&self, envelope: &Envelope, _: &[u8]) -> Outcome {
        tokio::task::yield_now().await;
        let how = {
            let (at, how, sent) = &mut *self.state.lock().unwrap();
            let id = envelope.message_id.trim_start_matches('<').split('@').next().unwrap().parse().unwrap();
            sent.push(Sent { at: *at, id, how: *how });
            *how
        };
        match how {
            Run::Later => transient(),
            Run::Never => permanent(),
            Run::Lost => Outcome::Unknown,
            Run::DiesAfter | Run::DiesBefore => {
                self.death.notify_one();
                std::future::pending().await
            }
            _ => Outcome::Accepted,
        }
    }
}

struct World {
    schedule: Arc<MemorySchedule>,
    server: Arc<Server>,
    certificate: InUse,
    /// Tells the threshold of a mail that was ever planned.
    thresholds: BTreeMap<MailId, u16>,
}

impl World {
    fn new(validity: Validity) -> Self {
        let certificate = InUse {
            serial: serial("1A"),
            validity,
            subject_id: "U-1001".parse().unwrap(),
            language: Language::En,
            address: Some(address("taro@example.co.jp")),
        };
        let schedule = Arc::new(MemorySchedule::default());
        schedule.activate(certificate.clone());
        let server = Server { state: Mutex::new((NOW, Run::Accepted, Vec::new())), death: Notify::new() };
        Self { schedule, server: Arc::new(server), certificate, thresholds: BTreeMap::new() }
    }

    async fn run(&mut self, policy: &Policy, how: Run, now: UtcDateTime) {
        {
            let mut state = self.server.state.lock().unwrap();
            (state.0, state.1) = (now, how);
        }
        let once = async || {
            Planner::new(Arc::clone(&self.schedule), policy.clone()).run(now).await.unwrap();
            Mailer::new(Arc::clone(&self.schedule), Arc::clone(&self.server), sender()).run(now).await.unwrap();
        };
        match how {
            Run::Two => drop(tokio::join!(once(), once())),
            Run::OnlyPlans | Run::OnlyClaims => {
                Planner::new(Arc::clone(&self.schedule), policy.clone()).run(now).await.unwrap();
                if how == Run::OnlyClaims {
                    self.schedule.claim(now, "dies", Duration::minutes(10), 9).await.unwrap();
                }
            }
            _ => tokio::select! {
                () = once() => {}
                () = self.server.death.notified() => {}
            },
        }
        for (days, _, mail) in self.schedule.notices(&self.certificate.serial) {
            self.thresholds.extend(mail.map(|id| (id, days)));
        }
    }

    fn sent(&self) -> Vec<Sent> {
        self.server.state.lock().unwrap().2.clone()
    }

    /// When, which threshold, how.
    fn history(&self) -> Vec<(UtcDateTime, u16, Run)> {
        self.sent().iter().map(|sent| (sent.at, self.thresholds[&sent.id], sent.how)).collect()
    }
}

/// A step of a history: time goes on by so many minutes (or back), the policy becomes another one, the mailer runs.
type Step = (i64, Option<Policy>, Run);

prop_compose! {
    fn policy()(
        calendar in any::<bool>(),
        hours in prop::sample::select(&[-8_i8, 0, 9][..]),
        mail_days in prop_oneof![
            2 => Just(vec![30, 10]),
            3 => prop::collection::btree_set(0_u16..=60, 0..5).prop_map(|days| days.into_iter().collect()),
        ],
    ) -> Policy {
        let mode = if calendar { Mode::Calendar } else { Mode::Instant };
        let zone = FixedOffset::new(UtcOffset::from_hms(hours, 0, 0).unwrap());
        Policy::new(PolicyConfig { mode, mail_days, ..PolicyConfig::default() }, Arc::new(zone)).unwrap()
    }
}

prop_compose! {
    /// A certificate that ends within 64 days of the beginning of the history, and was issued before or after it.
    fn validity()(ends in 1_i64..64 * 86_400, lasts in 1_i64..90 * 86_400) -> Validity {
        let not_after = NOW + Duration::seconds(ends);
        Validity::new(not_after - Duration::seconds(lasts), not_after).unwrap()
    }
}

fn run() -> impl Strategy<Value = Run> {
    prop::sample::select(
        &[
            Run::Accepted,
            Run::Accepted,
            Run::Two,
            Run::Later,
            Run::Later,
            Run::Never,
            Run::Lost,
            Run::DiesAfter,
            Run::DiesBefore,
            Run::OnlyPlans,
            Run::OnlyClaims,
        ][..],
    )
}

fn steps(pause: impl Strategy<Value = i64>) -> impl Strategy<Value = Vec<Step>> {
    prop::collection::vec((pause, prop::option::weighted(0.2, policy()), run()), 1..20)
}

/// Longer than every lease, quarantine and delay, so that whatever waits is tried in the next run.
fn long() -> impl Strategy<Value = i64> {
    prop_oneof![300_i64..600, 300_i64..10 * 1440]
}

/// From seconds to days, and now and then back.
fn any_pause() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0_i64..30, 3 => 0_i64..3 * 1440, 2 => 0_i64..20 * 1440, 1 => -40 * 1440_i64..0]
}

/// Lives a history, and shows it step by step: the policy and the instant of each run, with what was sent up to it.
fn live(
    runtime: &Runtime,
    validity: Validity,
    first: Policy,
    steps: Vec<Step>,
    mut see: impl FnMut(&mut World, &Policy, Run, UtcDateTime) -> Result<(), TestCaseError>,
) -> Result<World, TestCaseError> {
    let mut world = World::new(validity);
    let (mut now, mut policy) = (NOW, first);
    for (minutes, change, how) in steps {
        now += Duration::minutes(minutes);
        policy = change.unwrap_or(policy);
        runtime.block_on(world.run(&policy, how, now));
        see(&mut world, &policy, how, now)?;
    }
    Ok(world)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap()
}

/// The mailer in one paragraph: what a run transmits, where every retry is due by the next run.
#[derive(Debug, Default)]
struct Reference {
    counted: Vec<u16>,
    doubtful: Option<u16>,
}

impl Reference {
    fn run(&mut self, policy: &Policy, validity: Validity, how: Run, now: UtcDateTime) -> Option<u16> {
        let closed: Vec<_> = self.counted.iter().copied().chain(self.doubtful).collect();
        let standing = Standing { closed: &closed, ..Standing::active(validity) };
        let due = policy.decide(&standing, now).mail_due;
        if due.is_some() {
            // What may have arrived is not repeated once something more urgent is due.
            self.counted.extend(self.doubtful.take());
        }
        if matches!(how, Run::OnlyPlans | Run::OnlyClaims) || now >= validity.end() {
            return None;
        }
        let tried = due.or(self.doubtful)?;
        match how {
            Run::Later => {}
            Run::Lost | Run::DiesAfter | Run::DiesBefore if self.doubtful.is_none() => self.doubtful = Some(tried),
            _ => {
                self.doubtful = None;
                self.counted.push(tried);
            }
        }
        Some(tried)
    }
}

proptest! {
    /// What a run sends is what the policy says of the certificate with what counts as sent, and nothing else; also
    /// where thresholds, zone and mode change (I-59) and mailers die at any point (I-58).
    #[test]
    fn invariant_51_one_due_and_it_is_the_most_urgent(
        validity in validity(), first in policy(), steps in steps(long())
    ) {
        let (runtime, mut reference, mut before) = (runtime(), Reference::default(), 0);
        live(&runtime, validity, first, steps, |world, policy, how, now| {
            let expected = reference.run(policy, validity, how, now);
            let history = world.history();
            let new: Vec<_> = history[before..].iter().map(|(_, days, _)| *days).collect();
            before = history.len();
            prop_assert_eq!(new, expected.into_iter().collect::<Vec<_>>(), "at {} after {:?}", now, history);
            Ok(())
        })?;
    }

    /// Whatever clock, settings and server do.
    #[test]
    fn invariant_53_nothing_less_urgent_follows_and_nothing_comes_twice(
        validity in validity(), first in policy(), steps in steps(any_pause())
    ) {
        let world = live(&runtime(), validity, first, steps, |_, _, _, _| Ok(()))?;
        let history = world.history();
        for (index, (_, days, how)) in history.iter().enumerate() {
            let later = history[index + 1..].iter();
            let answered = matches!(how, Run::Accepted | Run::Two | Run::Never);
            let doubtful = matches!(how, Run::Lost | Run::DiesAfter | Run::DiesBefore);
            for (at, then, _) in later {
                prop_assert!(!answered || then < days, "{} after {} at {}: {:?}", then, days, at, history);
                prop_assert!(!doubtful || then <= days, "{} after {} at {}: {:?}", then, days, at, history);
            }
        }
        for days in history.iter().map(|(_, days, _)| *days).collect::<BTreeSet<_>>() {
            let mine = || history.iter().filter(|(_, other, _)| *other == days);
            let unanswered = mine().filter(|(_, _, how)| matches!(how, Run::Lost | Run::DiesAfter | Run::DiesBefore));
            let taken = mine().filter(|(_, _, how)| !matches!(how, Run::Later | Run::Never | Run::DiesBefore));
            prop_assert!(unanswered.count() <= 2 && taken.count() <= 2, "{}: {:?}", days, history);
        }
    }

    /// One Message-ID for a certificate and threshold, for ever.
    #[test]
    fn invariant_50_one_message_id_for_a_threshold(
        validity in validity(), first in policy(), steps in steps(any_pause())
    ) {
        let world = live(&runtime(), validity, first, steps, |_, _, _, _| Ok(()))?;
        let days: BTreeSet<_> = world.thresholds.values().collect();
        prop_assert_eq!(days.len(), world.thresholds.len());
        prop_assert!(world.sent().iter().all(|sent| world.thresholds.contains_key(&sent.id)));
    }

    /// A threshold that is open with the first second never fires; before it and from the end on, nothing does.
    #[test]
    fn invariant_55_no_mail_in_the_minute_of_issue(
        validity in validity(), first in policy(), steps in steps(any_pause())
    ) {
        let (runtime, mut before) = (runtime(), 0);
        let mut doubtful = BTreeSet::new();
        live(&runtime, validity, first, steps, |world, policy, _, _| {
            let history = world.history();
            for (at, days, how) in &history[before..] {
                prop_assert!(validity.contains(*at), "{} at {}", days, at);
                let fires = policy.mail_days().contains(days) && policy.opening(validity, *days) > validity.not_before();
                // The one repeat of a mail that an older policy made due is still that mail.
                prop_assert!(fires || doubtful.contains(days), "{} at {} by {:?}", days, at, policy);
                if matches!(how, Run::Lost | Run::DiesAfter | Run::DiesBefore) {
                    doubtful.insert(*days);
                }
            }
            before = history.len();
            Ok(())
        })?;
    }

    /// A run in every interval between two openings gives each threshold its one mail.
    #[test]
    fn invariant_54_each_threshold_once_when_a_run_falls_between(
        validity in validity(), policy in policy(), places in prop::collection::vec((0.0..1.0_f64, 0.0..1.0_f64), 8)
    ) {
        let openings: Vec<_> = policy.mail_days().iter().rev().map(|days| (policy.opening(validity, *days), *days)).collect();
        let ends = openings.iter().skip(1).map(|(opens, _)| *opens).chain([validity.end()]);
        let runtime = runtime();
        let mut world = World::new(validity);
        let mut expected = Vec::new();
        for (((opens, days), ends), (one, two)) in openings.iter().zip(ends).zip(places) {
            if *opens <= validity.not_before() || *opens >= ends {
                continue;
            }
            expected.push(*days);
            let mut runs = [one, two].map(|place| *opens + (ends - *opens - Duration::MILLISECOND) * place);
            runs.sort_unstable();
            for at in runs {
                runtime.block_on(world.run(&policy, Run::Accepted, at));
            }
        }
        prop_assert_eq!(world.history().iter().map(|(_, days, _)| *days).collect::<Vec<_>>(), expected);
    }

    /// First seen inside the last window: exactly one mail, and everything that was open before it is closed with it.
    #[test]
    fn invariant_52_first_seen_late_it_gets_one_mail(validity in validity(), policy in policy(), minutes in 0_i64..64 * 1440) {
        let now = NOW + Duration::minutes(minutes);
        let runtime = runtime();
        let mut world = World::new(validity);
        runtime.block_on(world.run(&policy, Run::Accepted, now));
        let fires = |days: &u16| {
            let opens = policy.opening(validity, *days);
            validity.not_before() < opens && opens <= now
        };
        let open: Vec<_> = policy.mail_days().iter().copied().filter(fires).collect();
        // A more urgent threshold that never fires leaves nothing to say.
        let silent = policy.mail_days().first().is_none_or(|days| policy.opening(validity, *days) <= validity.not_before());
        let expected = if validity.contains(now) && !silent { open.clone() } else { Vec::new() };
        let stages: Vec<_> = world.schedule.notices(&world.certificate.serial);
        prop_assert_eq!(stages.iter().map(|(days, _, _)| *days).collect::<Vec<_>>(), expected.clone());
        for (days, stage, _) in stages {
            let closed = Stage::Closed { with: expected[0] };
            prop_assert_eq!(stage, if days == expected[0] { Stage::Counts } else { closed });
        }
        prop_assert_eq!(world.history().len(), expected.len().min(1));
    }

    /// From the moment in which a certificate is out of use nothing is said about it, whatever was planned or claimed.
    #[test]
    fn invariant_56_nothing_about_a_certificate_that_is_gone(
        validity in validity(), first in policy(), before in steps(any_pause()), after in steps(any_pause()),
        status in prop::sample::select(&[CertificateStatus::Superseded, CertificateStatus::Revoked][..])
    ) {
        let runtime = runtime();
        let mut world = live(&runtime, validity, first.clone(), before, |_, _, _, _| Ok(()))?;
        world.schedule.retire(&world.certificate.serial, status);
        let (said, mut now) = (world.history().len(), NOW);
        for (minutes, change, how) in after {
            now += Duration::minutes(minutes);
            runtime.block_on(world.run(&change.unwrap_or_else(|| first.clone()), how, now));
        }
        prop_assert_eq!(world.history().len(), said);
    }

    /// Two mailers at once send what one sends.
    #[test]
    fn invariant_57_two_mailers_are_one(validity in validity(), first in policy(), steps in steps(long())) {
        let with = |two: bool| {
            let steps = steps.iter().cloned().map(|(minutes, change, how)| match how {
                Run::Accepted | Run::Two => (minutes, change, if two { Run::Two } else { Run::Accepted }),
                _ => (minutes, change, how),
            });
            live(&runtime(), validity, first.clone(), steps.collect(), |_, _, _, _| Ok(()))
        };
        let messages = |world: World| world.sent().iter().map(|sent| (sent.at, sent.id)).collect::<Vec<_>>();
        prop_assert_eq!(messages(with(true)?), messages(with(false)?));
    }

    /// A crash at any point loses no mail; only one between the server's yes and the record repeats it, once.
    #[test]
    fn invariant_58_a_crash_loses_nothing_and_repeats_at_most_once(
        minutes in 0_i64..2 * 1440, crash in prop::sample::select(
            &[Run::OnlyPlans, Run::OnlyClaims, Run::DiesBefore, Run::DiesAfter, Run::Lost][..]),
        pause in 15_i64..1440
    ) {
        let validity = Validity::new(NOW - Duration::days(300), NOW + Duration::days(9)).unwrap();
        let policy = Policy::default_jst();
        let runtime = runtime();
        let mut world = World::new(validity);
        let now = NOW + Duration::minutes(minutes);
        for (after, how) in [(0, crash), (pause, Run::Accepted), (2 * pause, Run::Accepted), (3 * pause, Run::Accepted)] {
            runtime.block_on(world.run(&policy, how, now + Duration::minutes(after)));
        }
        let taken: Vec<_> = world.sent().into_iter().filter(|sent| sent.how != Run::DiesBefore).collect();
        let repeats = matches!(crash, Run::DiesAfter | Run::Lost);
        prop_assert_eq!(taken.len(), if repeats { 2 } else { 1 });
        prop_assert!(taken.iter().all(|sent| sent.id == taken[0].id));
        let stages = world.schedule.notices(&world.certificate.serial);
        let done = stages.iter().all(|(_, stage, _)| [Stage::Counts, Stage::Closed { with: 10 }].contains(stage));
        prop_assert!(done, "{:?}", stages);
    }

    /// A change of thresholds, zone or mode sends nothing twice and nothing less urgent than what was sent.
    #[test]
    fn invariant_59_another_policy_repeats_nothing(
        validity in validity(), policies in prop::collection::vec(policy(), 2..6), minutes in 0_i64..64 * 1440
    ) {
        let runtime = runtime();
        let mut world = World::new(validity);
        let now = NOW + Duration::minutes(minutes);
        for policy in policies.iter().chain(&policies) {
            runtime.block_on(world.run(policy, Run::Accepted, now));
        }
        let days: Vec<_> = world.history().iter().map(|(_, days, _)| *days).collect();
        prop_assert!(days.is_sorted_by(|one, next| one > next), "{:?}", days);
    }

    /// What was sent belongs to one certificate: its successor gets every mail of its own.
    #[test]
    fn invariant_60_the_successor_begins_with_an_empty_record(policy in policy(), steps in steps(long())) {
        let old = Validity::new(NOW - Duration::days(300), NOW + Duration::days(60)).unwrap();
        let runtime = runtime();
        let mut world = live(&runtime, old, policy.clone(), steps, |_, _, _, _| Ok(()))?;
        let said = world.history().len();
        world.schedule.retire(&world.certificate.serial, CertificateStatus::Superseded);
        let start = NOW + Duration::days(400);
        let validity = Validity::new(start, start + Duration::days(365)).unwrap();
        world.certificate = InUse { serial: serial("2B"), validity, ..world.certificate.clone() };
        world.schedule.activate(world.certificate.clone());
        for days in policy.mail_days().iter().rev() {
            let opens = policy.opening(validity, *days);
            runtime.block_on(world.run(&policy, Run::Accepted, opens));
        }
        let own: Vec<_> = world.history()[said..].iter().map(|(_, days, _)| *days).collect();
        // By the mode instant the threshold of 0 days opens with the end.
        let opens = |days: &u16| policy.opening(validity, *days) < validity.end();
        prop_assert_eq!(own, policy.mail_days().iter().rev().copied().filter(opens).collect::<Vec<_>>());
    }
}
