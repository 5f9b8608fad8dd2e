//! I-41, I-42 and I-44 as far as they are arithmetic.

use core::time::Duration as Elapsed;
use std::sync::Arc;

use koshin_expiry::{ClockDoubt, ClockGuard, FixedOffset, Mode, Phase, Since, Standing, go_on_with};
use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use crate::zones::{MS, days_until, policy, second};

/// Milliseconds on either side of zero, small ones and guards among them.
fn offset() -> impl Strategy<Value = Duration> {
    let around = |middle: Duration| (-2_i64..=2).prop_map(move |ms| middle + Duration::milliseconds(ms));
    prop_oneof![
        around(Duration::ZERO),
        around(Duration::HOUR),
        around(-Duration::HOUR),
        around(Duration::days(30)),
        (-4_000_000_000_i64..4_000_000_000).prop_map(Duration::milliseconds),
    ]
}

fn elapsed() -> impl Strategy<Value = Elapsed> {
    prop_oneof![Just(Elapsed::ZERO), (0_u64..4_000_000_000).prop_map(Elapsed::from_millis)]
}

fn since() -> impl Strategy<Value = Since> {
    prop_oneof![Just(Since::Start), elapsed().prop_map(Since::Recorded)]
}

proptest! {
    #[test]
    fn invariant_41_behind_exactly_below_the_guard(recorded in second(), offset in offset(), since in since()) {
        let (guard, now) = (ClockGuard::default(), recorded + offset);
        let behind = matches!(guard.judge(now, Some(recorded), since), Err(ClockDoubt::Behind { .. }));
        prop_assert_eq!(behind, now < recorded - Duration::HOUR);
        prop_assert_eq!(go_on_with(now, Some(recorded)), now.max(recorded));
    }

    #[test]
    fn invariant_44_ahead_exactly_above_the_guard(recorded in second(), offset in offset(), elapsed in elapsed()) {
        let (guard, now) = (ClockGuard::default(), recorded + offset);
        let ahead = |since| match guard.judge(now, Some(recorded), since) {
            Err(ClockDoubt::Ahead { now: said, expected }) => Some((said, expected)),
            _ => None,
        };
        let expected = recorded + Duration::try_from(elapsed).unwrap();
        prop_assert_eq!(ahead(Since::Recorded(elapsed)), (now > expected + Duration::HOUR).then_some((now, expected)));
        prop_assert_eq!(ahead(Since::Start), (now > recorded + Duration::days(30)).then_some((now, recorded)));
    }

    /// A clock that is never off by more than the guard is never doubted, however long the machine is off between.
    #[test]
    fn invariant_44_an_ordinary_clock_is_believed(
        begin in second(),
        steps in prop::collection::vec((elapsed(), -1_800_000_i64..=1_800_000, prop::bool::ANY), 1..40),
    ) {
        let guard = ClockGuard::default();
        let (mut truth, mut recorded) = (begin, begin);
        for (elapsed, error, restarted) in steps {
            let off = Duration::try_from(elapsed.min(Elapsed::from_secs(29 * 86_400))).unwrap();
            truth += off;
            let now = truth + Duration::milliseconds(error);
            let since = if restarted { Since::Start } else { Since::Recorded(Elapsed::try_from(off).unwrap()) };
            prop_assert_eq!(guard.judge(now, Some(recorded), since), Ok(()));
            recorded = go_on_with(now, Some(recorded));
        }
    }

    /// Whatever the clock says afterwards, what was told expired stays so: time goes on from the largest instant.
    #[test]
    fn invariant_42_nothing_unexpires(
        not_after in second(),
        readings in prop::collection::vec(offset(), 1..40),
    ) {
        let policy = policy(Mode::Calendar, Arc::new(FixedOffset::JST));
        let standing = Standing::active(days_until(365, not_after));
        let (mut recorded, mut expired): (Option<UtcDateTime>, bool) = (None, false);
        for reading in readings {
            let now = go_on_with(not_after + reading, recorded);
            prop_assert!(recorded.is_none_or(|recorded| recorded <= now));
            let decision = policy.decide(&standing, now);
            prop_assert!(!expired || (!decision.renewal && !decision.login));
            expired |= matches!(decision.phase, Phase::Expired);
            recorded = Some(now);
        }
    }
}

#[test]
fn nothing_overflows_and_nothing_recorded_is_nothing_doubted() {
    let guard = ClockGuard::default();
    for now in [UtcDateTime::MIN, UtcDateTime::UNIX_EPOCH, UtcDateTime::MAX] {
        for since in [Since::Start, Since::Recorded(Elapsed::ZERO), Since::Recorded(Elapsed::MAX)] {
            assert_eq!(guard.judge(now, None, since), Ok(()));
            assert_eq!(guard.judge(now, Some(now), since), Ok(()));
        }
    }
    let (now, recorded) = (UtcDateTime::MIN, UtcDateTime::MAX);
    assert_eq!(guard.judge(now, Some(recorded), Since::Start), Err(ClockDoubt::Behind { now, recorded }));
    let (now, expected) = (UtcDateTime::MAX, UtcDateTime::MIN);
    assert_eq!(guard.judge(now, Some(expected), Since::Start), Err(ClockDoubt::Ahead { now, expected }));
    // No more than one kind of doubt at a time: the guards do not overlap.
    let (now, recorded) = (UtcDateTime::UNIX_EPOCH - Duration::HOUR - MS, UtcDateTime::UNIX_EPOCH);
    let doubt = ClockDoubt::Behind { now, recorded };
    assert_eq!(guard.judge(now, Some(recorded), Since::Recorded(Elapsed::ZERO)), Err(doubt));
    assert_eq!(
        doubt.to_string(),
        "the clock says 1969-12-31T22:59:59.999Z, but 1970-01-01T00:00:00Z was recorded before"
    );
}
