//! The expiry policy in any zone, with any numbers, at any instant.

use std::sync::Arc;

use koshin_expiry::{Decision, Mode, Phase, Policy, PolicyConfig, RenewalProgress, Standing, ValidityRule};
use koshin_types::CertificateStatus;
use time::{Duration, UtcDateTime};

use crate::script::Script;

/// Whatever the numbers, the zone and the instant: the answers agree with each other, and stay until the instant at
/// which the decision says that they change.
pub fn policy(data: &[u8]) {
    let mut script = Script::new(data);
    let Some(policy) = any_policy(&mut script) else { return };
    issue(&policy, &mut script);
    let closed = [script.u16() % 400, script.u16() % 40];
    let standing = Standing {
        validity: script.validity(),
        status: script.one_of(&CertificateStatus::ALL),
        successor: script.one_of(&[
            RenewalProgress::None,
            RenewalProgress::Started,
            RenewalProgress::Issued,
            RenewalProgress::Activated,
        ]),
        grant: script.byte() & 1 == 1,
        closed: &closed[..usize::from(script.byte() % 3)],
    };
    openings(&policy, &standing);
    let now = script.near(standing.validity.end());
    let decision = policy.decide(&standing, now);
    agrees_with_itself(&decision, &standing, now);
    lasts(&policy, &standing, now, &decision);
}

fn any_policy(script: &mut Script<'_>) -> Option<Policy> {
    let config = PolicyConfig {
        mode: script.one_of(&[Mode::Calendar, Mode::Instant]),
        notice_days: script.u16() % 400,
        mail_days: (0..script.byte() % 4).map(|_| script.u16() % 400).collect(),
        enrolment_days: (script.byte() & 1 == 1).then(|| u32::from(script.u16())),
        validity: match script.byte() % 3 {
            0 => ValidityRule::OneYear,
            1 => ValidityRule::OneYearEndOfDay,
            _ => ValidityRule::Days(script.u32()),
        },
        backdate: std::time::Duration::from_millis(u64::from(script.u32())),
    };
    let zone = Arc::new(script.zone());
    Policy::new(config, zone).ok()
}

/// I-09, I-10.
fn issue(policy: &Policy, script: &mut Script<'_>) {
    let (issue, ca_not_after) = (script.second(), script.second());
    if let Ok(validity) = policy.validity_for(issue, ca_not_after) {
        assert!(validity.not_after() <= ca_not_after);
        assert!(validity.not_before() <= issue && issue <= validity.not_after());
        assert_eq!(issue - validity.not_before(), Duration::seconds(policy.backdate().as_secs().cast_signed()));
    }
}

/// I-06: a larger number of days never opens later, and nothing opens after the end.
fn openings(policy: &Policy, standing: &Standing<'_>) {
    let opens: Vec<_> = [400, 30, 10, 1, 0].map(|days| policy.opening(standing.validity, days)).to_vec();
    assert!(opens.is_sorted(), "{opens:?}");
    assert!(opens.iter().all(|opens| *opens <= standing.validity.end()));
}

/// I-01, I-03, I-04, I-05, I-12, I-51.
fn agrees_with_itself(decision: &Decision, standing: &Standing<'_>, now: UtcDateTime) {
    assert_eq!(decision.notice, decision.renewal);
    assert_eq!(decision.phase == Phase::Valid, standing.validity.contains(now));
    assert!(!decision.renewal || decision.login, "a renewal is offered only to those who can sign in");
    assert!(!decision.login || decision.phase == Phase::Valid);
    assert!(standing.grant || !(decision.renewal && decision.enrolment));
    assert_eq!(decision.days_left.is_some(), now < standing.validity.end());
    assert_eq!(decision.ends, standing.validity.end());
    assert!(decision.mail_due.is_none_or(|days| !standing.closed.contains(&days)));
    assert!(decision.mail_due.is_none_or(|days| !decision.mails_closed.contains(&days)));
    assert!(decision.mail_due.is_none() || decision.login);
}

/// I-13: the decision stays the same until `next_change`, and is another one then.
fn lasts(policy: &Policy, standing: &Standing<'_>, now: UtcDateTime, decision: &Decision) {
    let at = |instant| policy.decide(standing, instant);
    let Some(change) = decision.next_change else {
        assert_eq!(at(UtcDateTime::MAX), *decision, "nothing was to change any more");
        return;
    };
    assert!(now < change);
    assert_eq!(at(change - Duration::MILLISECOND), *decision);
    assert_eq!(at(now + (change - now) / 2), *decision);
    let unchanged = Decision { next_change: decision.next_change, ..at(change) };
    assert_ne!(unchanged, *decision, "something was to change at {change}");
}
