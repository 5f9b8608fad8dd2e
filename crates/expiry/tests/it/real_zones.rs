//! Days that are not like others, in zones that exist.

use std::sync::Arc;

use koshin_expiry::{FixedOffset, Mode, Standing};
use koshin_types::Validity;
use time::{Date, Duration, Month, UtcDateTime};

use crate::{
    oracle,
    zones::{Iana, MS, Table, ZONES, at, days_until, policy},
};

/// The opening of the date `days` before that of `not_after` in a zone of the database.
fn opening(zone: &str, not_after: UtcDateTime, days: u16) -> UtcDateTime {
    policy(Mode::Calendar, Iana::get(zone)).opening(days_until(365, not_after), days)
}

#[test]
fn a_midnight_that_does_not_exist_is_the_first_instant_that_does() {
    // 2018-11-04 begins at 01:00 in Sao Paulo, 2024-04-26 at 01:00 in Cairo, 2026-03-29 at 01:00 in Beirut, and
    // 2026-03-08 at 01:00 in Havana.
    for (zone, not_after, opens) in [
        ("America/Sao_Paulo", at(2018, 12, 4, 12, 0, 0), at(2018, 11, 4, 3, 0, 0)),
        ("Africa/Cairo", at(2024, 5, 26, 12, 0, 0), at(2024, 4, 25, 22, 0, 0)),
        ("Asia/Beirut", at(2026, 4, 28, 12, 0, 0), at(2026, 3, 28, 22, 0, 0)),
        ("America/Havana", at(2026, 4, 7, 12, 0, 0), at(2026, 3, 8, 5, 0, 0)),
    ] {
        assert_eq!(opening(zone, not_after, 30), opens, "{zone}");
    }
}

#[test]
fn a_date_that_does_not_exist_opens_with_the_next() {
    let not_after = at(2012, 1, 29, 12, 0, 0);
    assert_eq!(opening("Pacific/Apia", not_after, 31), at(2011, 12, 30, 10, 0, 0));
    assert_eq!(opening("Pacific/Apia", not_after, 30), at(2011, 12, 30, 10, 0, 0));
    assert_eq!(opening("Pacific/Apia", not_after, 32), at(2011, 12, 29, 10, 0, 0));
    // The days that are left lose two at once there.
    let policy = policy(Mode::Calendar, Iana::get("Pacific/Apia"));
    let validity = days_until(365, not_after);
    let skip = at(2011, 12, 30, 10, 0, 0);
    assert_eq!([skip - MS, skip].map(|now| policy.days_left(validity, now)), [Some(32), Some(30)]);
    assert_eq!(policy.decide(&Standing::active(validity), skip - MS).next_change, Some(skip));
}

#[test]
fn a_date_that_begins_twice_opens_the_first_time() {
    // At 00:01 on 2007-11-04 the clocks of St John's went back to 23:01 of the day before.
    let not_after = at(2007, 12, 4, 12, 0, 0);
    let first = at(2007, 11, 4, 2, 30, 0);
    assert_eq!(opening("America/St_Johns", not_after, 30), first);
    let policy = policy(Mode::Calendar, Iana::get("America/St_Johns"));
    let standing = Standing::active(days_until(365, not_after));
    let back = first + Duration::MINUTE;
    let again = back + 59 * Duration::MINUTE;
    for (now, days_left, next) in
        [(first - MS, 31, first), (first, 30, back), (back, 31, again), (again, 30, again + Duration::DAY)]
    {
        let decision = policy.decide(&standing, now);
        assert_eq!((decision.days_left, decision.next_change), (Some(days_left), Some(next)));
        assert_eq!(decision.notice, now >= first);
    }
    // In Havana midnight comes twice, but the date has begun by then and nothing happens the second time.
    assert_eq!(opening("America/Havana", at(2025, 12, 2, 12, 0, 0), 30), at(2025, 11, 2, 4, 0, 0));
    let havana = crate::zones::policy(Mode::Calendar, Iana::get("America/Havana"));
    let standing = Standing::active(days_until(365, at(2025, 12, 2, 12, 0, 0)));
    let decision = havana.decide(&standing, at(2025, 11, 2, 4, 0, 0));
    assert_eq!(decision.next_change, Some(at(2025, 11, 3, 5, 0, 0)));
}

#[test]
fn the_last_date_stays_the_last_when_the_zone_repeats_its_eve() {
    // notAfter lies in the second 23:30 of the eve; the minute of the next date before it leaves 0 days, not -1.
    let policy = policy(Mode::Calendar, Iana::get("America/St_Johns"));
    let validity = days_until(365, at(2007, 11, 4, 3, 0, 0));
    let standing = Standing::active(validity);
    let eve = at(2007, 11, 3, 2, 30, 0);
    assert_eq!(policy.opening(validity, 0), eve);
    for now in [eve, at(2007, 11, 4, 2, 30, 30), at(2007, 11, 4, 2, 31, 0), validity.not_after()] {
        assert_eq!(policy.days_left(validity, now), Some(0), "{now}");
        assert_eq!(policy.decide(&standing, now).next_change, Some(validity.end()));
    }
}

#[test]
fn wall_clocks_agree_with_the_database_every_day_for_years() {
    for name in ZONES {
        let zone = Iana::get(name);
        let policy = policy(Mode::Calendar, zone.clone());
        let mut not_after = at(2006, 12, 25, 12, 34, 56);
        while not_after < at(2031, 1, 1, 0, 0, 0) {
            let date = zone.civil(not_after).date();
            let by_database = zone.compatible(date.at(0, 0, 0, 0));
            let skipped = zone.civil(by_database).date() > date;
            let opens = policy.opening(Validity::new(not_after, not_after).unwrap(), 0);
            assert!(!skipped && opens <= by_database, "{name} {date}");
            // Only a gap over midnight lets the database's rule land later than the first instant of the date.
            assert!(opens == by_database || zone.civil(opens).date() == date, "{name} {date}");
            assert!(zone.civil(opens - MS).date() < date, "{name} {date}");
            not_after += Duration::DAY;
        }
    }
}

#[test]
fn a_zone_that_answers_nonsense_ends_no_loop() {
    /// Always says that the next transition is now or long ago.
    #[derive(Debug)]
    struct Stuck(Duration);
    impl koshin_expiry::TimeZone for Stuck {
        fn offset_at(&self, at: UtcDateTime) -> time::UtcOffset {
            FixedOffset::JST.offset_at(at)
        }
        fn next_transition(&self, after: UtcDateTime) -> Option<UtcDateTime> {
            Some(after - self.0)
        }
    }
    let validity = days_until(365, at(2026, 12, 22, 3, 0, 0));
    let standing = Standing::active(validity);
    let now = at(2026, 11, 30, 3, 0, 0);
    let expected = policy(Mode::Calendar, Arc::new(FixedOffset::JST)).decide(&standing, now);
    for back in [Duration::ZERO, Duration::DAY] {
        let stuck = policy(Mode::Calendar, Arc::new(Stuck(back)));
        assert_eq!(stuck.decide(&standing, now), expected);
        assert!(stuck.validity_for(now, at(2040, 1, 1, 0, 0, 0)).is_ok());
    }
}

#[test]
fn transitions_that_change_nothing_change_nothing() {
    let jst = time::UtcOffset::from_hms(9, 0, 0).unwrap();
    let hours = (0..24 * 40).map(|hour| (at(2026, 11, 20, 0, 0, 0) + Duration::hours(hour), jst)).collect();
    let chatty = policy(Mode::Calendar, Arc::new(Table { first: jst, then: hours }));
    let plain = policy(Mode::Calendar, Arc::new(FixedOffset::JST));
    let validity = days_until(365, at(2026, 12, 22, 3, 0, 0));
    for hour in 0..24 * 33 {
        let now = at(2026, 11, 20, 0, 30, 0) + Duration::hours(hour);
        let standing = Standing::active(validity);
        assert_eq!(chatty.decide(&standing, now), plain.decide(&standing, now));
        assert_eq!(chatty.validity_for(now, at(2040, 1, 1, 0, 0, 0)), plain.validity_for(now, at(2040, 1, 1, 0, 0, 0)));
    }
    let backwards = at(2025, 11, 20, 0, 0, 0);
    assert_eq!(
        chatty.validity_for(backwards, at(2040, 1, 1, 0, 0, 0)).unwrap().not_after(),
        at(2026, 11, 19, 23, 59, 59)
    );
}

#[test]
fn a_reading_that_is_jumped_over_and_shown_later_is_the_later_one() {
    // 06:00 -> 08:00 and, an hour on, back again: 07:00 is skipped at first and then shown.
    let hour = |hours| time::UtcOffset::from_hms(hours, 0, 0).unwrap();
    let then = vec![(at(2026, 6, 1, 6, 0, 0), hour(2)), (at(2026, 6, 1, 6, 30, 0), hour(0))];
    let zone = Table { first: hour(0), then };
    let policy = policy(Mode::Calendar, Arc::new(zone.clone()));
    let validity = policy.validity_for(at(2025, 6, 1, 7, 0, 0), at(2040, 1, 1, 0, 0, 0)).unwrap();
    assert_eq!(validity.not_after(), at(2026, 6, 1, 6, 59, 59));
    // A date reached early by such a jump has begun all the same.
    let then = vec![(at(2026, 6, 1, 22, 0, 0), hour(3)), (at(2026, 6, 1, 22, 30, 0), hour(0))];
    let early = Table { first: hour(0), then };
    let date = Date::from_calendar_date(2026, Month::June, 2).unwrap();
    assert_eq!(oracle::first_instant_of(&early, date), at(2026, 6, 1, 22, 0, 0));
    let policy = crate::zones::policy(Mode::Calendar, Arc::new(early));
    assert_eq!(policy.opening(days_until(9, at(2026, 6, 2, 12, 0, 0)), 0), at(2026, 6, 1, 22, 0, 0));
}
