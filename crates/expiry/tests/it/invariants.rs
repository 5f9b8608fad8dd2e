//! I-01 to I-10, I-12 and I-13 over real and invented zones. I-11 is about encoding and is held where certificates are
//! written.

use core::time::Duration as Backdate;
use std::sync::Arc;

use koshin_expiry::{
    Decision, Mode, Phase, Policy, PolicyConfig, RenewalProgress, Standing, TimeZone, ValidityRefused, ValidityRule,
    validity_for,
};
use koshin_types::{CertificateStatus, Validity};
use proptest::prelude::*;
use time::{Duration, UtcDateTime, UtcOffset};

use crate::{
    oracle,
    zones::{Iana, MS, any_zone, at, named, second},
};

/// A policy, a certificate and an instant that lies near something interesting.
#[derive(Debug, Clone)]
struct Case {
    policy: Policy,
    validity: Validity,
    status: CertificateStatus,
    successor: RenewalProgress,
    grant: bool,
    closed: Vec<u16>,
    now: UtcDateTime,
}

impl Case {
    fn standing(&self) -> Standing<'_> {
        Standing {
            validity: self.validity,
            status: self.status,
            successor: self.successor,
            grant: self.grant,
            closed: &self.closed,
        }
    }

    fn live(&self) -> bool {
        self.status == CertificateStatus::Active && self.successor != RenewalProgress::Activated
    }

    fn decide(&self, now: UtcDateTime) -> Decision {
        self.policy.decide(&self.standing(), now)
    }
}

/// A decision without the field that says how long it holds.
fn answers(decision: Decision) -> Decision {
    Decision { next_change: None, ..decision }
}

prop_compose! {
    fn config()(
        mode in prop_oneof![Just(Mode::Calendar), Just(Mode::Instant)],
        notice_days in prop_oneof![Just(30_u16), 0_u16..=60],
        mail_days in prop_oneof![Just(vec![30, 10]), prop::collection::btree_set(0_u16..=60, 0..4).prop_map(|days| days.into_iter().collect())],
        enrolment_days in prop_oneof![Just(Some(90_u32)), Just(None), (0_u32..200).prop_map(Some)],
    ) -> PolicyConfig {
        PolicyConfig { mode, notice_days, mail_days, enrolment_days, ..PolicyConfig::default() }
    }
}

fn status() -> impl Strategy<Value = CertificateStatus> {
    prop_oneof![6 => Just(CertificateStatus::Active), 1 => prop::sample::select(&CertificateStatus::ALL[..])]
}

fn successor() -> impl Strategy<Value = RenewalProgress> {
    prop_oneof![
        5 => Just(RenewalProgress::None),
        1 => Just(RenewalProgress::Started),
        1 => Just(RenewalProgress::Issued),
        1 => Just(RenewalProgress::Activated),
    ]
}

/// Zones, and certificates that end with `not_after` or soon after the irregular instant it stands for.
fn zone_and_validity() -> impl Strategy<Value = (Arc<dyn TimeZone>, Validity)> {
    let ahead = prop_oneof![Just(0_i64), Just(10), Just(30), 0_i64..70];
    let length = prop_oneof![Just(365_i64 * 86_400), (1_i64..70).prop_map(|days| days * 86_400), 1_i64..40_000_000];
    (second(), ahead, length).prop_flat_map(|(around, ahead, length)| {
        let not_after = around + Duration::days(ahead);
        let validity = Validity::new(not_after - Duration::seconds(length - 1), not_after).unwrap();
        (any_zone(around), Just(validity))
    })
}

fn case() -> impl Strategy<Value = Case> {
    let near = (0_usize..7, prop_oneof![Just(-1_i64), Just(0), Just(1), Just(999), -100_000_000_i64..100_000_000]);
    let facts = (status(), successor(), prop::bool::weighted(0.2), prop::collection::vec(0_u16..=60, 0..3));
    (zone_and_validity(), config(), facts, near).prop_map(|((zone, validity), config, facts, (which, by))| {
        let policy = Policy::new(config, zone).unwrap();
        let now = match which {
            0 => validity.not_before(),
            1 => validity.not_after(),
            2 => validity.end(),
            3 => policy.opening(validity, policy.notice_days()),
            4 => policy.opening(validity, policy.mail_days().first().copied().unwrap_or(10)),
            5 => policy.enrolment_closes(validity).unwrap_or(validity.end()),
            _ => validity.not_before() + (validity.end() - validity.not_before()) / 2,
        } + Duration::milliseconds(by);
        let (status, successor, grant, closed) = facts;
        Case { policy, validity, status, successor, grant, closed, now }
    })
}

proptest! {
    #[test]
    fn invariant_01_valid_through_the_whole_last_second(case in case()) {
        let (nb, na) = (case.validity.not_before(), case.validity.not_after());
        let phase = |now| case.decide(now).phase;
        prop_assert_eq!(phase(nb - MS), Phase::NotYetValid);
        for valid in [nb, na, na + 999 * MS] {
            prop_assert_eq!(phase(valid), Phase::Valid);
        }
        prop_assert_eq!(phase(na + 1_000 * MS), Phase::Expired);
        let end = na + Duration::SECOND;
        prop_assert_eq!(phase(case.now) == Phase::Valid, nb <= case.now && case.now < end);
        prop_assert_eq!(case.decide(case.now).login, case.live() && nb <= case.now && case.now < end);
        prop_assert_eq!(case.decide(case.now).ends, end);
    }

    #[test]
    fn invariant_02_notice_in_the_window_of_a_live_certificate(case in case()) {
        let opens = oracle::opening(&case.policy, case.validity, case.policy.notice_days());
        let opens_at_all = opens.max(case.validity.not_before());
        for now in [case.now, opens_at_all, opens_at_all - MS] {
            let expected = case.live() && case.validity.contains(now) && now >= opens_at_all;
            prop_assert_eq!(case.decide(now).notice, expected);
        }
        prop_assert_eq!(case.decide(case.now).window_opens, opens);
    }

    #[test]
    fn invariant_03_the_screen_offers_what_the_server_allows(case in case(), other in second()) {
        for now in [case.now, other] {
            let decision = case.decide(now);
            prop_assert_eq!(decision.notice, decision.renewal);
        }
    }

    #[test]
    fn invariant_04_enrolment_by_grant_or_for_a_while_after_the_end(case in case()) {
        let end = case.validity.end();
        let closes = case.policy.enrolment_days().map(|days| end + Duration::days(i64::from(days)));
        let instants = [case.now, end - MS, end, closes.unwrap_or(end) - MS, closes.unwrap_or(end)];
        for now in instants {
            let by_itself = case.live() && end <= now && closes.is_none_or(|closes| now < closes);
            prop_assert_eq!(case.decide(now).enrolment, case.grant || by_itself);
        }
    }

    #[test]
    fn invariant_05_no_gap_and_no_overlap(case in case(), other in second()) {
        let live = Case { status: CertificateStatus::Active, successor: RenewalProgress::None, grant: false, ..case.clone() };
        let opens = live.policy.opening(live.validity, live.policy.notice_days()).max(live.validity.not_before());
        for now in [case.now, other] {
            let decision = live.decide(now);
            let window = decision.phase == Phase::Valid && decision.renewal;
            let before_window = decision.phase == Phase::Valid && !decision.renewal;
            let sets = [decision.phase == Phase::NotYetValid, before_window, window, decision.phase == Phase::Expired];
            prop_assert_eq!(sets.into_iter().filter(|inside| *inside).count(), 1);
            prop_assert!(!(decision.renewal && decision.enrolment));
            let one_is_open = now >= opens
                && live.policy.enrolment_closes(live.validity).is_none_or(|closes| now < closes);
            prop_assert_eq!(decision.renewal || decision.enrolment, one_is_open);
        }
    }

    #[test]
    fn invariant_06_more_days_open_no_later(case in case(), one in 0_u16..=u16::MAX, two in 0_u16..=400) {
        let (fewer, more) = (one.min(two), one.max(two));
        prop_assert!(case.policy.opening(case.validity, more) <= case.policy.opening(case.validity, fewer));
    }

    #[test]
    fn invariant_06_total_from_1970_to_2200(case in case(), now in second(), zone in any_zone(at(2026, 1, 1, 0, 0, 0))) {
        let policy = Policy::new(PolicyConfig { mode: case.policy.mode(), ..PolicyConfig::default() }, zone).unwrap();
        let decision = policy.decide(&case.standing(), now);
        prop_assert!(decision.next_change.is_none_or(|next| next > now));
        prop_assert!(policy.validity_for(now, at(9999, 12, 31, 23, 59, 59)).is_ok());
    }

    #[test]
    fn invariant_07_only_the_instant_counts(case in case(), minutes in -1_439_i32..=1_439) {
        let offset = UtcOffset::from_whole_seconds(minutes * 60).unwrap();
        let written_otherwise = case.now.to_offset(offset).to_utc();
        prop_assert_eq!(case.decide(written_otherwise), case.decide(case.now));
    }

    #[test]
    fn invariant_08_a_threshold_opens_with_its_date_or_to_the_second(case in case(), days in 0_u16..=60) {
        let opens = case.policy.opening(case.validity, days);
        match case.policy.mode() {
            Mode::Calendar => {
                let date = oracle::local_date(case.policy.zone(), case.validity.not_after()) - Duration::days(i64::from(days));
                prop_assert_eq!(opens, oracle::first_instant_of(case.policy.zone(), date));
                prop_assert!(oracle::local_date(case.policy.zone(), opens) >= date);
                prop_assert!(oracle::local_date(case.policy.zone(), opens - MS) < date);
            }
            Mode::Instant => {
                prop_assert_eq!((case.validity.end() - opens).whole_seconds(), i64::from(days) * 86_400);
            }
        }
        // A millisecond earlier nothing is due; on time it is, if the certificate can fire it at all.
        let config = PolicyConfig { mode: case.policy.mode(), mail_days: vec![days], ..PolicyConfig::default() };
        let one = Policy::new(config, Arc::new(Shared(case.policy.clone()))).unwrap();
        let standing = Standing::active(case.validity);
        prop_assert_eq!(one.decide(&standing, opens - MS).mail_due, None);
        let fires = case.validity.not_before() < opens && opens < case.validity.end();
        prop_assert_eq!(one.decide(&standing, opens).mail_due, fires.then_some(days));
    }

    #[test]
    fn invariant_09_one_year_is_the_same_wall_clock(zone in named(), issue in second()) {
        let validity = validity_for(&*zone, ValidityRule::OneYear, Backdate::ZERO, issue, issue + Duration::days(400)).unwrap();
        let wall = zone.civil(issue).checked_add(jiff::Span::new().years(1)).unwrap();
        prop_assert_eq!(validity.end(), zone.compatible(wall));
        let seconds = (validity.end() - issue).whole_seconds();
        let change = i64::from(zone.offset_at(issue).whole_seconds()) - i64::from(zone.offset_at(validity.end()).whole_seconds());
        let days = seconds - change;
        // A skipped time moves on by the gap, which is never more than the one skipped day.
        let moved = if zone.civil(validity.end()) == wall { 0 } else { days % 86_400 };
        prop_assert!([365, 366].contains(&((days - moved) / 86_400)) && (days - moved) % 86_400 == 0 || moved > 0 && days <= 367 * 86_400);
    }

    #[test]
    fn invariant_09_the_end_of_the_day_one_year_later(zone in named(), issue in second()) {
        let rule = ValidityRule::OneYearEndOfDay;
        let validity = validity_for(&*zone, rule, Backdate::ZERO, issue, issue + Duration::days(400)).unwrap();
        let date = zone.civil(issue).date().checked_add(jiff::Span::new().years(1)).unwrap();
        prop_assert_eq!(validity.not_after(), zone.compatible(date.at(23, 59, 59, 0)));
    }

    #[test]
    fn invariant_09_days_are_counted_inclusively(zone in named(), issue in second(), days in 1_u32..4_000) {
        let validity = validity_for(&*zone, ValidityRule::Days(days), Backdate::ZERO, issue, at(9999, 1, 1, 0, 0, 0)).unwrap();
        let inclusive = (validity.not_after() - validity.not_before()).whole_seconds() + 1;
        prop_assert_eq!(inclusive, i64::from(days) * 86_400);
    }

    #[test]
    fn invariant_10_the_issue_alone_decides(case in case(), issue in second(), millisecond in 0_i64..1_000, backdate in 0_u64..1_000_000) {
        let config = PolicyConfig { backdate: Backdate::from_secs(backdate), ..PolicyConfig::default() };
        let policy = Policy::new(config, Arc::new(Shared(case.policy.clone()))).unwrap();
        let far = at(9999, 12, 31, 23, 59, 59);
        let validity = policy.validity_for(issue + Duration::milliseconds(millisecond), far).unwrap();
        prop_assert_eq!(validity.not_before() + Duration::seconds(i64::try_from(backdate).unwrap()), issue);
        let without = validity_for(policy.zone(), policy.validity_rule(), Backdate::ZERO, issue, far).unwrap();
        prop_assert_eq!(validity.not_after(), without.not_after());
        // The CA certificate bounds it to the second and never shortens it.
        let last = validity.not_after();
        prop_assert_eq!(policy.validity_for(issue, last), Ok(validity));
        let ca_not_after = last - Duration::SECOND;
        prop_assert_eq!(policy.validity_for(issue, ca_not_after), Err(ValidityRefused::BeyondCa { not_after: last, ca_not_after }));
    }

    #[test]
    fn invariant_12_days_left_fall_to_zero(case in case(), later in 0_i64..200_000_000) {
        let left = |now| case.policy.days_left(case.validity, now);
        let zone = case.policy.zone();
        let then = case.now + Duration::milliseconds(later);
        prop_assert_eq!(left(case.now).is_some(), case.now < case.validity.end());
        if let (Some(now_left), Some(then_left)) = (left(case.now), left(then)) {
            prop_assert!(then_left <= now_left || oracle::local_date(zone, then) < oracle::local_date(zone, case.now));
        }
        prop_assert_eq!(left(case.validity.not_after()), Some(0));
        let days = case.policy.notice_days();
        let opens = oracle::opening(&case.policy, case.validity, days);
        let date = oracle::local_date(zone, case.validity.not_after()) - Duration::days(i64::from(days));
        if case.policy.mode() == Mode::Calendar && oracle::local_date(zone, opens) == date {
            prop_assert_eq!(left(opens), Some(u32::from(days)));
        }
    }

    #[test]
    fn invariant_13_next_change_is_the_next_change(case in case(), probes in prop::collection::vec(0.0_f64..1.0, 24)) {
        let here = case.decide(case.now);
        let same = |now| answers(case.decide(now)) == answers(here.clone());
        let horizon = here.next_change.unwrap_or(case.now + Duration::days(4_000));
        if let Some(next) = here.next_change {
            prop_assert!(next > case.now);
            prop_assert!(!same(next), "nothing changes at {next}");
            prop_assert!(same(next - MS) || next - MS < case.now, "{next} is late");
        }
        let whole = (horizon - case.now).as_seconds_f64();
        for part in probes {
            let probe = case.now + Duration::seconds_f64(whole * part);
            prop_assert!(probe >= horizon || same(probe), "{probe} differs");
        }
        let mut minute = case.now;
        while minute < horizon.min(case.now + Duration::hours(60)) {
            prop_assert!(same(minute), "{minute} differs");
            minute += Duration::minutes(10);
        }
    }

    #[test]
    fn the_decision_is_what_the_specification_says(case in case()) {
        prop_assert_eq!(answers(case.decide(case.now)), oracle::answers(&case.policy, &case.standing(), case.now));
    }

    #[test]
    fn a_mailer_that_sleeps_until_next_mail_misses_none(case in case()) {
        let due = |now| case.decide(now).mail_due;
        let next = case.policy.next_mail(&case.standing(), case.now);
        if let Some(next) = next {
            prop_assert!(next >= case.now && due(next).is_some());
            prop_assert!(next == case.now || due(next - MS).is_none());
        }
        let horizon = next.unwrap_or(case.validity.end().max(case.now));
        let mut now = case.now;
        while now < horizon {
            prop_assert_eq!(due(now), None);
            now = case.decide(now).next_change.unwrap_or(horizon);
        }
    }

    #[test]
    fn following_next_change_sees_every_change(case in case()) {
        // From far before to after the end there are about as many steps as days, and the chain ends.
        let start = case.validity.end() - Duration::days(40);
        let mut now = start;
        let mut seen = vec![case.decide(now)];
        while let Some(next) = seen.last().and_then(|decision| decision.next_change) {
            prop_assert!(next > now && seen.len() < 200);
            now = next;
            seen.push(case.decide(now));
        }
        let pairs = seen.iter().zip(seen.iter().skip(1));
        for (one, two) in pairs {
            prop_assert_ne!(answers(one.clone()), answers(two.clone()));
        }
        prop_assert_eq!(seen.last().unwrap().phase, Phase::Expired);
    }
}

/// The zone of another policy.
#[derive(Debug)]
struct Shared(Policy);

impl TimeZone for Shared {
    fn offset_at(&self, at: UtcDateTime) -> UtcOffset {
        self.0.zone().offset_at(at)
    }

    fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
        self.0.zone().next_transition(after)
    }
}

#[test]
fn invariant_09_every_second_around_the_irregular_days_has_a_validity() {
    for name in ["Pacific/Apia", "America/Sao_Paulo", "Europe/London", "Asia/Tokyo"] {
        let zone = Iana::get(name);
        for start in
            [at(2010, 12, 29, 0, 0, 0), at(2017, 11, 3, 12, 0, 0), at(2023, 3, 25, 12, 0, 0), at(2024, 2, 28, 12, 0, 0)]
        {
            for minute in 0..3 * 24 * 60 {
                let issue = start + Duration::minutes(minute);
                for rule in [ValidityRule::OneYear, ValidityRule::OneYearEndOfDay, ValidityRule::Days(365)] {
                    assert!(validity_for(&*zone, rule, Backdate::ZERO, issue, issue + Duration::days(368)).is_ok());
                }
            }
        }
    }
}
