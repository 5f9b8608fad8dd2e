//! The instants at which an answer changes, and the millisecond before.

use std::sync::Arc;

use koshin_expiry::{Decision, FixedOffset, Mode, Phase, Policy, PolicyConfig, RenewalProgress, Standing};
use koshin_types::CertificateStatus;
use time::{Duration, UtcDateTime, UtcOffset};

use crate::zones::{MS, at, days_until, policy};

const JST_MIDNIGHT: u8 = 15;

fn jst(mode: Mode) -> Policy {
    policy(mode, Arc::new(FixedOffset::JST))
}

/// 365 days until 2026-12-22 23:59:59 in Tokyo.
fn year() -> koshin_types::Validity {
    days_until(365, at(2026, 12, 22, 14, 59, 59))
}

#[test]
fn a_life_in_calendar_days() {
    let policy = jst(Mode::Calendar);
    let standing = Standing::active(year());
    let ends = at(2026, 12, 22, JST_MIDNIGHT, 0, 0);
    let opens = at(2026, 11, 21, JST_MIDNIGHT, 0, 0);
    let decide = |now| policy.decide(&standing, now);

    let early = decide(year().not_before() - MS);
    assert_eq!((early.phase, early.login, early.days_left), (Phase::NotYetValid, false, Some(365)));
    assert_eq!(early.next_change, Some(year().not_before()));
    assert!(decide(year().not_before()).login);

    let before = decide(opens - MS);
    assert_eq!((before.window_opens, before.ends), (opens, ends));
    assert!(before.login && !before.notice && !before.renewal && !before.enrolment);
    assert_eq!((before.days_left, before.mail_due, before.next_change), (Some(31), None, Some(opens)));

    let open = decide(opens);
    assert!(open.login && open.notice && open.renewal && !open.enrolment);
    assert_eq!((open.days_left, open.mail_due), (Some(30), Some(30)));
    assert_eq!(open.next_change, Some(opens + Duration::DAY));

    let last = decide(ends - MS);
    assert!(last.login && last.notice && last.renewal && !last.enrolment);
    assert_eq!((last.phase, last.days_left, last.next_change), (Phase::Valid, Some(0), Some(ends)));

    let dead = decide(ends);
    assert!(!dead.login && !dead.notice && !dead.renewal && dead.enrolment);
    assert_eq!((dead.phase, dead.days_left, dead.mail_due), (Phase::Expired, None, None));

    let closes = ends + Duration::days(90);
    assert_eq!(dead.next_change, Some(closes));
    assert!(decide(closes - MS).enrolment);
    assert!(!decide(closes).enrolment);
    assert_eq!(decide(closes).next_change, None);
}

#[test]
fn a_life_in_instants() {
    let policy = jst(Mode::Instant);
    let validity = days_until(365, at(2026, 12, 22, 3, 0, 0));
    let standing = Standing::active(validity);
    let opens = at(2026, 11, 22, 3, 0, 1);
    assert_eq!(policy.opening(validity, 30), opens);
    assert!(!policy.decide(&standing, opens - MS).notice);
    assert_eq!(policy.decide(&standing, opens - MS).next_change, Some(opens));
    assert!(policy.decide(&standing, opens).notice);
    // The days that are shown follow the calendar in this mode too.
    assert_eq!(policy.decide(&standing, opens).days_left, Some(30));
    let midnight = at(2026, 11, 22, JST_MIDNIGHT, 0, 0);
    assert_eq!(policy.decide(&standing, opens).next_change, Some(midnight));
    assert_eq!(policy.decide(&standing, midnight - MS).days_left, Some(30));
    assert_eq!(policy.decide(&standing, midnight).days_left, Some(29));
    // A mail falls due between two midnights and is found by next_change.
    let ten = at(2026, 12, 12, 3, 0, 1);
    let earlier = policy.decide(&Standing { closed: &[30], ..standing }, ten - Duration::HOUR);
    assert_eq!((earlier.mail_due, earlier.next_change), (None, Some(ten)));
}

#[test]
fn the_day_belongs_to_the_zone() {
    // 2026-12-22 14:59:59 UTC is the 22nd in Tokyo; one second later is the 23rd there and still the 22nd in UTC.
    let policy = jst(Mode::Calendar);
    let utc = crate::zones::policy(Mode::Calendar, Arc::new(FixedOffset::UTC));
    let late = days_until(365, at(2026, 12, 22, 15, 0, 0));
    assert_eq!(policy.opening(year(), 0), at(2026, 12, 21, 15, 0, 0));
    assert_eq!(policy.opening(late, 0), at(2026, 12, 22, 15, 0, 0));
    assert_eq!(utc.opening(late, 0), at(2026, 12, 22, 0, 0, 0));
    assert_eq!(utc.opening(late, 30), at(2026, 11, 22, 0, 0, 0));
    // The end itself would be the next date: the date of notAfter counts.
    let eastmost = FixedOffset::new(UtcOffset::from_hms(25, 59, 59).unwrap());
    let westmost = FixedOffset::new(UtcOffset::from_hms(-25, -59, -59).unwrap());
    for zone in [eastmost, westmost] {
        let policy = crate::zones::policy(Mode::Calendar, Arc::new(zone));
        let opens = policy.opening(late, 30);
        assert_eq!(policy.days_left(late, opens), Some(30));
        assert_eq!(policy.days_left(late, opens - MS), Some(31));
    }
}

#[test]
fn a_certificate_shorter_than_the_window_is_inside_from_its_first_second() {
    for mode in [Mode::Calendar, Mode::Instant] {
        let validity = days_until(20, at(2026, 12, 22, 3, 0, 0));
        let policy = jst(mode);
        let standing = Standing::active(validity);
        assert!(policy.opening(validity, 30) < validity.not_before());
        assert!(!policy.decide(&standing, validity.not_before() - MS).notice);
        assert!(policy.decide(&standing, validity.not_before()).notice);
    }
}

#[test]
fn only_a_certificate_in_use_logs_in_and_renews() {
    let policy = jst(Mode::Calendar);
    let alive = Standing::active(year());
    let unused = [
        Standing { status: CertificateStatus::Pending, ..alive },
        Standing { status: CertificateStatus::Superseded, ..alive },
        Standing { status: CertificateStatus::Revoked, ..alive },
        Standing { successor: RenewalProgress::Activated, ..alive },
    ];
    let instants = [
        year().not_before(),
        policy.opening(year(), 30),
        policy.opening(year(), 10),
        year().not_after(),
        year().end(),
        year().end() + Duration::days(90),
    ];
    for standing in unused {
        for now in instants {
            let decision = policy.decide(&standing, now);
            assert!(!decision.login && !decision.notice && !decision.renewal && !decision.enrolment, "{standing:?}");
            assert_eq!((decision.mail_due, decision.mails_closed.as_slice()), (None, [].as_slice()));
            assert!(policy.decide(&Standing { grant: true, ..standing }, now).enrolment);
        }
        // Nothing but the days that are left changes for it any more.
        assert_eq!(policy.decide(&standing, year().end()).next_change, None);
    }
    for successor in [RenewalProgress::Started, RenewalProgress::Issued] {
        for now in instants {
            let open = policy.decide(&Standing { successor, ..alive }, now);
            assert_eq!(open, policy.decide(&alive, now));
        }
    }
}

#[test]
fn a_grant_opens_enrolment_at_any_time_and_nothing_else() {
    let policy = jst(Mode::Calendar);
    let plain = Standing::active(year());
    let granted = Standing { grant: true, ..plain };
    for now in [UtcDateTime::UNIX_EPOCH, year().not_before(), year().not_after(), at(2199, 1, 1, 0, 0, 0)] {
        let with = policy.decide(&granted, now);
        let without = policy.decide(&plain, now);
        assert!(with.enrolment);
        // A closing enrolment window is no change for it.
        assert!(now < year().end() || with.next_change.is_none());
        assert_eq!(Decision { enrolment: false, next_change: None, ..with }, Decision { next_change: None, ..without });
    }
}

#[test]
fn the_enrolment_window_may_be_absent_or_endless() {
    let with = |enrolment_days| {
        Policy::new(PolicyConfig { enrolment_days, ..PolicyConfig::default() }, Arc::new(FixedOffset::JST)).unwrap()
    };
    let standing = Standing::active(year());
    let none = with(Some(0)).decide(&standing, year().end());
    assert_eq!((none.enrolment, none.next_change), (false, None));
    let endless = with(None).decide(&standing, at(2199, 12, 31, 0, 0, 0));
    assert_eq!((endless.enrolment, endless.next_change), (true, None));
    let longest = with(Some(u32::MAX)).decide(&standing, at(2199, 12, 31, 0, 0, 0));
    assert!(longest.enrolment);
}

#[test]
fn a_window_of_no_days_is_the_last_date_or_nothing() {
    let config = |mode| PolicyConfig { mode, notice_days: 0, mail_days: vec![0], ..PolicyConfig::default() };
    let calendar = Policy::new(config(Mode::Calendar), Arc::new(FixedOffset::JST)).unwrap();
    let standing = Standing::active(year());
    let opens = at(2026, 12, 21, JST_MIDNIGHT, 0, 0);
    let first = calendar.decide(&standing, opens);
    assert_eq!((first.window_opens, first.notice, first.mail_due, first.days_left), (opens, true, Some(0), Some(0)));
    assert!(!calendar.decide(&standing, opens - MS).notice);
    // Zero times 86,400 s before the end is the end, and from the end on there is neither notice nor mail.
    let instant = Policy::new(config(Mode::Instant), Arc::new(FixedOffset::JST)).unwrap();
    for now in [year().not_after(), year().end() - MS, year().end()] {
        let decision = instant.decide(&standing, now);
        assert_eq!((decision.window_opens, decision.notice, decision.mail_due), (year().end(), false, None));
    }
}

#[test]
fn the_ends_of_representable_time_are_no_reason_to_panic() {
    let (first, last) = (time::PrimitiveDateTime::MIN.as_utc(), time::PrimitiveDateTime::MAX.as_utc());
    let validity = koshin_types::Validity::new(first, last.truncate_to_second()).unwrap();
    for mode in [Mode::Calendar, Mode::Instant] {
        for offset in [(9, 0, 0), (-9, 0, 0), (25, 59, 59), (-25, -59, -59)] {
            let zone = FixedOffset::new(UtcOffset::from_hms(offset.0, offset.1, offset.2).unwrap());
            let policy = crate::zones::policy(mode, Arc::new(zone));
            for now in [first, UtcDateTime::UNIX_EPOCH, last - MS, last] {
                let decision = policy.decide(&Standing::active(validity), now);
                assert!(decision.next_change.is_none_or(|next| next > now));
                assert!(policy.validity_for(now, last).is_ok() == (now == UtcDateTime::UNIX_EPOCH) || now == first);
            }
        }
    }
}
