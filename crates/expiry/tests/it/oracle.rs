//! The specification once more, written slowly: by looking at every minute instead of calculating.

use koshin_expiry::{Decision, Mode, Phase, Policy, RenewalProgress, Standing, TimeZone};
use koshin_types::{CertificateStatus, Validity};
use time::{Date, Duration, UtcDateTime};

use crate::zones::MS;

pub(crate) fn local_date(zone: &dyn TimeZone, at: UtcDateTime) -> Date {
    at.to_offset(zone.offset_at(at)).date()
}

/// The least millisecond with `local_date >= date`. Needs a zone that changes at most once a minute.
pub(crate) fn first_instant_of(zone: &dyn TimeZone, date: Date) -> UtcDateTime {
    let step = Duration::MINUTE;
    let mut at = date.midnight().as_utc() - Duration::hours(26);
    assert!(local_date(zone, at) < date);
    while local_date(zone, at + step) < date {
        at += step;
    }
    bisect(at, at + step, |at| local_date(zone, at) >= date)
}

/// The least millisecond in `(low, high]` at which `holds`, which must not hold at `low` and must at `high`.
pub(crate) fn bisect(mut low: UtcDateTime, mut high: UtcDateTime, holds: impl Fn(UtcDateTime) -> bool) -> UtcDateTime {
    while high - low > MS {
        let middle = low + Duration::milliseconds(i64::try_from((high - low).whole_milliseconds() / 2).unwrap());
        if holds(middle) { high = middle } else { low = middle }
    }
    high
}

pub(crate) fn opening(policy: &Policy, validity: Validity, days: u16) -> UtcDateTime {
    let days = Duration::days(i64::from(days));
    match policy.mode() {
        Mode::Calendar => first_instant_of(policy.zone(), local_date(policy.zone(), validity.not_after()) - days),
        Mode::Instant => validity.not_after() + Duration::SECOND - days,
    }
}

/// What a decision says beside `next_change`.
pub(crate) fn answers(policy: &Policy, standing: &Standing<'_>, now: UtcDateTime) -> Decision {
    let (nb, na) = (standing.validity.not_before(), standing.validity.not_after());
    let end = na + Duration::SECOND;
    let valid = nb <= now && now < end;
    let live = standing.status == CertificateStatus::Active && standing.successor != RenewalProgress::Activated;
    let window_opens = opening(policy, standing.validity, policy.notice_days());
    let notice = live && valid && now >= window_opens.max(nb);

    let opened: Vec<u16> = policy
        .mail_days()
        .iter()
        .copied()
        .filter(|days| {
            let opens = opening(policy, standing.validity, *days);
            nb < opens && opens <= now
        })
        .collect();
    let most_urgent = opened.iter().copied().min().filter(|_| live && valid);
    let mail_due = most_urgent.filter(|due| !standing.closed.iter().any(|closed| closed <= due));
    let mut mails_closed: Vec<u16> =
        opened.into_iter().filter(|days| mail_due.is_some_and(|due| *days > due)).collect();
    mails_closed.retain(|days| !standing.closed.contains(days));
    mails_closed.sort_unstable_by(|a, b| b.cmp(a));

    let window = policy.enrolment_days().map(|days| Duration::days(i64::from(days)));
    let days = (local_date(policy.zone(), na) - local_date(policy.zone(), now)).whole_days();
    Decision {
        phase: match (now < nb, valid) {
            (true, _) => Phase::NotYetValid,
            (false, true) => Phase::Valid,
            (false, false) => Phase::Expired,
        },
        login: live && valid,
        notice,
        renewal: notice,
        enrolment: standing.grant || (live && end <= now && window.is_none_or(|window| now < end + window)),
        mail_due,
        mails_closed,
        days_left: (now < end).then(|| u32::try_from(days.max(0)).unwrap()),
        window_opens,
        ends: end,
        next_change: None,
    }
}
