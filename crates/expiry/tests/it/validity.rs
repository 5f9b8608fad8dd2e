//! The validity of a new certificate, by rule 8.

use core::time::Duration as Backdate;
use std::sync::Arc;

use koshin_expiry::{FixedOffset, Policy, TimeZone, ValidityRefused, ValidityRule, validity_for};
use time::{Duration, UtcDateTime, UtcOffset};

use crate::zones::{Iana, MS, Table, at};

const FIVE_MINUTES: Backdate = Backdate::from_secs(300);

fn far() -> UtcDateTime {
    at(9999, 12, 31, 23, 59, 59)
}

fn not_after(zone: &dyn TimeZone, rule: ValidityRule, issue: UtcDateTime) -> UtcDateTime {
    validity_for(zone, rule, FIVE_MINUTES, issue, far()).unwrap().not_after()
}

#[test]
fn one_year_is_the_same_wall_clock_minus_a_second() {
    let jst = &FixedOffset::JST;
    for (issue, last) in [
        (at(2026, 11, 22, 3, 0, 0), at(2027, 11, 22, 2, 59, 59)),
        // 29 February in Tokyo begins on the 28th in UTC.
        (at(2024, 2, 28, 15, 0, 0), at(2025, 2, 27, 14, 59, 59)),
        (at(2024, 2, 29, 14, 59, 59), at(2025, 2, 28, 14, 59, 58)),
        (at(2024, 2, 29, 15, 0, 0), at(2025, 2, 28, 14, 59, 59)),
        (at(2027, 2, 28, 3, 0, 0), at(2028, 2, 28, 2, 59, 59)),
        (at(2049, 6, 1, 0, 0, 0), at(2050, 5, 31, 23, 59, 59)),
    ] {
        assert_eq!(not_after(jst, ValidityRule::OneYear, issue), last);
    }
}

#[test]
fn the_end_of_the_day_is_that_of_the_zone() {
    let rule = ValidityRule::OneYearEndOfDay;
    assert_eq!(not_after(&FixedOffset::JST, rule, at(2026, 11, 22, 3, 0, 0)), at(2027, 11, 22, 14, 59, 59));
    assert_eq!(not_after(&FixedOffset::JST, rule, at(2026, 11, 22, 15, 0, 0)), at(2027, 11, 23, 14, 59, 59));
    assert_eq!(not_after(&FixedOffset::JST, rule, at(2024, 2, 29, 3, 0, 0)), at(2025, 2, 28, 14, 59, 59));
    // 23:59:59 comes twice on 2019-02-16 in Sao Paulo; the earlier one counts.
    let sao_paulo = Iana::get("America/Sao_Paulo");
    assert_eq!(not_after(&*sao_paulo, rule, at(2018, 2, 16, 12, 0, 0)), at(2019, 2, 17, 1, 59, 59));
    // The last hour of 2026-03-28 does not exist in Nuuk; 23:59:59 moves forward by the gap of one hour.
    let nuuk = Iana::get("America/Nuuk");
    assert_eq!(not_after(&*nuuk, rule, at(2025, 3, 28, 12, 0, 0)), at(2026, 3, 29, 1, 59, 59));
}

#[test]
fn gaps_move_forward_and_the_earlier_of_two_counts() {
    let rule = ValidityRule::OneYear;
    let london = Iana::get("Europe/London");
    // 2026-03-29 01:30 does not exist: it becomes 02:30 summer time.
    assert_eq!(not_after(&*london, rule, at(2025, 3, 29, 1, 30, 0)), at(2026, 3, 29, 1, 29, 59));
    // 2026-10-25 01:30 exists twice: the one in summer time.
    assert_eq!(not_after(&*london, rule, at(2025, 10, 25, 0, 30, 0)), at(2026, 10, 25, 0, 29, 59));
    // Issued in the second 01:30 of a repeated hour it is still 01:30 one year later.
    assert_eq!(not_after(&*london, rule, at(2025, 10, 26, 1, 30, 0)), at(2026, 10, 26, 1, 29, 59));
    // 2011-12-30 was skipped in Apia: the gap is a whole day.
    let apia = Iana::get("Pacific/Apia");
    assert_eq!(not_after(&*apia, rule, at(2010, 12, 30, 22, 0, 0)), at(2011, 12, 30, 21, 59, 59));
}

#[test]
fn zones_that_nobody_would_decree_are_read_to_the_end() {
    let hours = |hours: i64, minutes: i64| at(2026, 6, 1, 0, 0, 0) + Duration::minutes(60 * hours + minutes);
    let offset = |minutes: i32| UtcOffset::from_whole_seconds(60 * minutes).unwrap();
    let wall = |then: &[(UtcDateTime, i32)], reading: UtcDateTime| {
        let then = then.iter().map(|(from, minutes)| (*from, offset(*minutes))).collect();
        // One year earlier the zone was UTC, so the issue is the reading.
        let zone = Table { first: UtcOffset::UTC, then };
        not_after(&zone, ValidityRule::OneYear, reading - Duration::days(365)) + Duration::SECOND
    };
    // At 0:00 the clock jumps to 2:00, and when it shows 3:00 it is put back to 1:30: 1:45 is jumped over and then shown.
    let back = [(hours(0, 0), 120), (hours(1, 0), 30)];
    assert_eq!(wall(&back, hours(1, 45)), hours(1, 15));
    // Put back by an hour, and five hours later forward by two: what that jumps over moves forward by those two.
    let twice = [(hours(-5, 0), -60), (hours(0, 0), 60)];
    assert_eq!(wall(&twice, hours(0, 0)), hours(1, 0));
    // Jumped over twice, because it was put back in between without being shown: the first gap counts.
    let again = [(hours(0, 0), 120), (hours(0, 30), 30), (hours(1, 0), 120)];
    assert_eq!(wall(&again, hours(1, 45)), hours(1, 45));
    // The reading at which a gap ends is the first one behind it.
    assert_eq!(wall(&[(hours(0, 0), 120)], hours(2, 0)), hours(0, 0));
}

#[test]
fn days_are_counted_in_seconds() {
    let london = Iana::get("Europe/London");
    for zone in [&*london as &dyn TimeZone, &FixedOffset::JST] {
        let validity =
            validity_for(zone, ValidityRule::Days(365), FIVE_MINUTES, at(2026, 1, 1, 0, 0, 0), far()).unwrap();
        assert_eq!(validity.not_after(), at(2026, 12, 31, 23, 59, 59));
        assert_eq!(validity.not_before(), at(2025, 12, 31, 23, 55, 0));
    }
}

#[test]
fn the_issue_is_cut_to_seconds_and_backdating_moves_not_before_only() {
    let policy = Policy::default_jst();
    let issue = at(2026, 11, 22, 3, 0, 0);
    let validity = policy.validity_for(issue + 999 * MS, far()).unwrap();
    assert_eq!(validity, policy.validity_for(issue, far()).unwrap());
    assert_eq!(
        (validity.not_before(), validity.not_after()),
        (at(2026, 11, 22, 2, 55, 0), at(2027, 11, 22, 2, 59, 59))
    );
    let before_epoch = at(1969, 12, 31, 23, 59, 59);
    let cut = validity_for(&FixedOffset::JST, ValidityRule::Days(1), Backdate::ZERO, before_epoch + MS, far()).unwrap();
    assert_eq!(cut.not_before(), before_epoch);
    let fraction = Backdate::from_millis(1_999);
    let cut = validity_for(&FixedOffset::JST, ValidityRule::Days(1), fraction, issue, far()).unwrap();
    assert_eq!(cut.not_before(), issue - Duration::SECOND);
}

#[test]
fn never_beyond_the_certificate_of_the_ca() {
    let policy = Policy::default_jst();
    let issue = at(2026, 11, 22, 3, 0, 0);
    let last = at(2027, 11, 22, 2, 59, 59);
    assert_eq!(policy.validity_for(issue, last).unwrap().not_after(), last);
    let ca_not_after = last - Duration::SECOND;
    let refused = policy.validity_for(issue, ca_not_after).unwrap_err();
    assert_eq!(refused, ValidityRefused::BeyondCa { not_after: last, ca_not_after });
}

#[test]
fn what_no_certificate_can_carry_is_refused() {
    let jst = &FixedOffset::JST;
    let issue = at(2026, 11, 22, 3, 0, 0);
    let refuse = |rule, backdate, issue| validity_for(jst, rule, backdate, issue, far()).unwrap_err();
    let rule = ValidityRule::Days(0);
    let not_after = issue - Duration::SECOND;
    assert_eq!(refuse(rule, FIVE_MINUTES, issue), ValidityRefused::Empty { issue, not_after, rule });
    let rule = ValidityRule::Days(u32::MAX);
    assert_eq!(refuse(rule, FIVE_MINUTES, issue), ValidityRefused::OutOfRange { issue, rule });
    let rule = ValidityRule::OneYear;
    for backdate in [Backdate::MAX, Backdate::from_secs(i64::MAX.unsigned_abs()), Backdate::from_secs(1 << 40)] {
        assert_eq!(refuse(rule, backdate, issue), ValidityRefused::OutOfRange { issue, rule });
    }
    for rule in [ValidityRule::OneYear, ValidityRule::OneYearEndOfDay, ValidityRule::Days(366)] {
        let issue = at(9999, 6, 1, 0, 0, 0);
        assert_eq!(refuse(rule, FIVE_MINUTES, issue), ValidityRefused::OutOfRange { issue, rule });
    }
    let jst: Arc<dyn TimeZone> = Arc::new(FixedOffset::JST);
    let one_day = validity_for(&*jst, ValidityRule::Days(1), Backdate::ZERO, at(9999, 12, 31, 0, 0, 0), far()).unwrap();
    assert_eq!(one_day.not_after(), far());
}
