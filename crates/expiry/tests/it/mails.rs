//! Which mail is due, by rule 5.

use std::sync::Arc;

use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig, Standing};
use koshin_types::{CertificateStatus, Validity};
use time::{Duration, UtcDateTime};

use crate::zones::{MS, at, days_until};

fn with(mode: Mode, mail_days: &[u16]) -> Policy {
    let config = PolicyConfig { mode, mail_days: mail_days.to_vec(), ..PolicyConfig::default() };
    Policy::new(config, Arc::new(FixedOffset::JST)).unwrap()
}

fn year() -> Validity {
    days_until(365, at(2026, 12, 22, 3, 0, 0))
}

fn due(policy: &Policy, validity: Validity, closed: &[u16], now: UtcDateTime) -> (Option<u16>, Vec<u16>) {
    let decision = policy.decide(&Standing { closed, ..Standing::active(validity) }, now);
    (decision.mail_due, decision.mails_closed)
}

#[test]
fn each_threshold_is_due_from_its_opening_until_it_is_sent() {
    for mode in [Mode::Calendar, Mode::Instant] {
        let policy = with(mode, &[30, 10]);
        let (thirty, ten) = (policy.opening(year(), 30), policy.opening(year(), 10));
        assert_eq!(due(&policy, year(), &[], thirty - MS), (None, vec![]));
        assert_eq!(due(&policy, year(), &[], thirty), (Some(30), vec![]));
        assert_eq!(due(&policy, year(), &[30], thirty), (None, vec![]));
        assert_eq!(due(&policy, year(), &[30], ten - MS), (None, vec![]));
        assert_eq!(due(&policy, year(), &[30], ten), (Some(10), vec![]));
        assert_eq!(due(&policy, year(), &[30, 10], ten), (None, vec![]));
        assert_eq!(due(&policy, year(), &[30], year().end() - MS), (Some(10), vec![]));
        assert_eq!(due(&policy, year(), &[30], year().end()), (None, vec![]));
        assert_eq!(due(&policy, year(), &[], year().not_before() - MS), (None, vec![]));
    }
}

#[test]
fn a_late_start_gives_one_mail_and_closes_the_rest() {
    let policy = with(Mode::Calendar, &[10, 60, 1, 30]);
    let eight_left = policy.opening(year(), 8);
    assert_eq!(due(&policy, year(), &[], eight_left), (Some(10), vec![60, 30]));
    assert_eq!(due(&policy, year(), &[60], eight_left), (Some(10), vec![30]));
    assert_eq!(due(&policy, year(), &[60, 30, 10], eight_left), (None, vec![]));
    // A more urgent one was sent, by other settings or another clock: the less urgent ones are over.
    assert_eq!(due(&policy, year(), &[10], eight_left), (None, vec![]));
    assert_eq!(due(&policy, year(), &[7], eight_left), (None, vec![]));
    assert_eq!(due(&policy, year(), &[11], eight_left), (Some(10), vec![60, 30]));
    assert_eq!(due(&policy, year(), &[10], policy.opening(year(), 30)), (None, vec![]));
    assert_eq!(due(&policy, year(), &[10], policy.opening(year(), 1)), (Some(1), vec![60, 30]));
}

#[test]
fn a_threshold_that_opens_by_not_before_never_fires() {
    let policy = with(Mode::Calendar, &[30, 10]);
    for days in [20, 30] {
        let short = days_until(days, at(2026, 12, 22, 3, 0, 0));
        let ten = policy.opening(short, 10);
        assert_eq!(due(&policy, short, &[], short.not_before()), (None, vec![]));
        assert_eq!(due(&policy, short, &[], ten - MS), (None, vec![]));
        // It never was open, so it is not closed either.
        assert_eq!(due(&policy, short, &[], ten), (Some(10), vec![]));
    }
    // Opening with the first second is too early, one second later is not.
    let instant = with(Mode::Instant, &[30]);
    let exact = days_until(30, at(2026, 12, 22, 3, 0, 0));
    let longer = Validity::new(exact.not_before() - Duration::SECOND, exact.not_after()).unwrap();
    assert_eq!(instant.opening(exact, 30), exact.not_before());
    assert_eq!(due(&instant, exact, &[], exact.not_after()), (None, vec![]));
    assert_eq!(due(&instant, longer, &[], instant.opening(longer, 30)), (Some(30), vec![]));
}

#[test]
fn a_threshold_before_the_window_is_a_mail_without_a_renewal() {
    let policy = with(Mode::Calendar, &[60, 10]);
    let sixty = policy.opening(year(), 60);
    let decision = policy.decide(&Standing::active(year()), sixty);
    assert_eq!((decision.mail_due, decision.renewal, decision.days_left), (Some(60), false, Some(60)));
    assert_eq!(policy.local_date(decision.window_opens), policy.local_date(year().not_after()) - Duration::days(30));
}

#[test]
fn the_mailer_knows_when_to_wake() {
    let next = |policy: &Policy, validity, closed: &[u16], now| {
        policy.next_mail(&Standing { closed, ..Standing::active(validity) }, now)
    };
    let policy = with(Mode::Calendar, &[30, 10]);
    let (thirty, ten) = (policy.opening(year(), 30), policy.opening(year(), 10));
    for (closed, now, expected) in [
        (&[][..], year().not_before() - Duration::DAY, Some(thirty)),
        (&[], thirty - MS, Some(thirty)),
        (&[], thirty, Some(thirty)),
        (&[], thirty + MS, Some(thirty + MS)),
        (&[], ten + MS, Some(ten + MS)),
        (&[30], year().not_before(), Some(ten)),
        (&[30], thirty, Some(ten)),
        (&[30], ten, Some(ten)),
        (&[10], thirty, None),
        (&[30, 10], ten, None),
        (&[], year().end() - MS, Some(year().end() - MS)),
        (&[], year().end(), None),
    ] {
        assert_eq!(next(&policy, year(), closed, now), expected, "{closed:?} {now}");
    }
    // Open with the first second, or with the end: never.
    let exact = days_until(30, at(2026, 12, 22, 3, 0, 0));
    let instant = with(Mode::Instant, &[30, 0]);
    assert_eq!(next(&instant, exact, &[], exact.not_before() - Duration::DAY), None);
    let revoked = Standing { status: CertificateStatus::Revoked, ..Standing::active(year()) };
    assert_eq!(policy.next_mail(&revoked, thirty), None);
}

#[test]
fn without_thresholds_there_is_no_mail() {
    let policy = with(Mode::Calendar, &[]);
    assert_eq!(due(&policy, year(), &[], year().not_after()), (None, vec![]));
}
