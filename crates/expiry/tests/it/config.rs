//! Which policies are refused, and by which words.

use std::sync::Arc;

use koshin_expiry::{FixedOffset, Mode, Policy, PolicyConfig, PolicyError, ValidityRule};

fn check(config: PolicyConfig) -> Result<(), PolicyError> {
    Policy::new(config, Arc::new(FixedOffset::JST)).map(drop)
}

#[test]
fn the_default_policy_is_the_checked_default_configuration() {
    let checked = Policy::new(PolicyConfig::default(), Arc::new(FixedOffset::JST)).unwrap();
    assert_eq!(format!("{checked:?}"), format!("{:?}", Policy::default_jst()));
    assert_eq!(checked.mail_days(), [10, 30]);
    assert_eq!((checked.mode(), checked.notice_days(), checked.enrolment_days()), (Mode::Calendar, 30, Some(90)));
    assert_eq!((checked.validity_rule(), checked.backdate().as_secs()), (ValidityRule::OneYear, 300));
}

#[test]
fn a_window_or_threshold_may_be_as_long_as_the_validity_but_no_longer() {
    for (validity, longest) in [
        (ValidityRule::OneYear, 365),
        (ValidityRule::OneYearEndOfDay, 365),
        (ValidityRule::Days(1), 1),
        (ValidityRule::Days(90), 90),
    ] {
        let config =
            |notice_days, mail_days| PolicyConfig { notice_days, mail_days, validity, ..PolicyConfig::default() };
        let validity_days = u32::from(longest);
        assert_eq!(check(config(longest, vec![0, longest])), Ok(()));
        let window = PolicyError::WindowBeyondValidity { days: longest + 1, validity_days };
        assert_eq!(check(config(longest + 1, vec![])), Err(window));
        let threshold = PolicyError::ThresholdBeyondValidity { days: longest + 1, validity_days };
        assert_eq!(check(config(1, vec![1, longest + 1])), Err(threshold));
        assert_eq!((window.key(), threshold.key()), ("notice_days", "mail_days"));
    }
    assert_eq!(
        check(PolicyConfig {
            notice_days: u16::MAX,
            validity: ValidityRule::Days(u32::MAX),
            ..PolicyConfig::default()
        }),
        Ok(())
    );
}

#[test]
fn a_contradiction_is_named_with_key_and_values() {
    let twice = check(PolicyConfig { mail_days: vec![30, 10, 30], ..PolicyConfig::default() }).unwrap_err();
    assert_eq!(twice, PolicyError::DuplicateThreshold { days: 30 });
    assert_eq!(twice.to_string(), "mail_days: the threshold of 30 days is named twice");
    let none =
        PolicyConfig { validity: ValidityRule::Days(0), notice_days: 0, mail_days: vec![], ..PolicyConfig::default() };
    let none = check(none).unwrap_err();
    assert_eq!((none, none.key()), (PolicyError::NoValidity { rule: ValidityRule::Days(0) }, "validity"));
    for error in [twice, none] {
        assert!(error.to_string().starts_with(error.key()));
    }
}

#[test]
fn words_are_read_as_they_are_written() {
    for rule in
        [ValidityRule::OneYear, ValidityRule::OneYearEndOfDay, ValidityRule::Days(1), ValidityRule::Days(u32::MAX)]
    {
        assert_eq!(rule.to_string().parse(), Ok(rule));
    }
    for mode in [Mode::Calendar, Mode::Instant] {
        assert_eq!(mode.to_string().parse(), Ok(mode));
    }
    for wrong in
        ["", "P1Y", "p2y", "days", "days:", "days:+1", "days:-1", "days: 1", "days:1.5", "days:4294967296", "p1y "]
    {
        let error = wrong.parse::<ValidityRule>().unwrap_err();
        assert_eq!(error.value, wrong);
        assert_eq!(error.to_string(), format!("{wrong:?} is none of p1y, p1y-eod, days:N"));
        assert_eq!(wrong.parse::<Mode>().unwrap_err().to_string(), format!("{wrong:?} is none of calendar, instant"));
    }
}
