//! Random histories of one subject against what must hold in every prefix of them.

use std::collections::BTreeSet;

use koshin_renewal::{Admission, Effect, Fact, Renewal, Status};
use koshin_types::RevocationReason;
use proptest::prelude::*;
use time::Duration;

use crate::{
    fixtures::{NOW, holder, policy},
    history::{Command, Op, Step, Which, history, ops, ops_without_revocation},
};

fn walk(ops: &[Op]) -> Vec<Step> {
    history(holder(20), ops)
}

fn facts_and_holding_always_agree(ops: &[Op]) {
    for Step { before, command, change, now } in walk(ops) {
        let mut folded = before.clone();
        change.facts.iter().for_each(|fact| folded.apply(fact, now));
        assert_eq!(folded, change.next, "{command:?}");
        // What changed is recorded, and what is recorded changed something: but for a "no" and a permission given again.
        let without_effect = matches!(change.facts[..], [] | [Fact::Declined { .. }]);
        assert!(!without_effect || change.next == before, "{command:?}");
        assert!(without_effect || change.next != before || matches!(command, Command::Permit { .. }), "{command:?}");
        assert!(!change.facts.is_empty() || change.effects.is_empty(), "{command:?} owes without a record");
    }
}

fn every_command_is_idempotent(ops: &[Op]) {
    for Step { command, change, now, .. } in walk(ops) {
        // Each "later" counts, each "start again" is a new start: these two are commands, not redeliveries.
        if matches!(command, Command::Defer | Command::StartAgain) {
            continue;
        }
        if let Ok(again) = command.run(&change.next, 250, now) {
            assert_eq!((again.next, again.effects), (change.next, vec![]), "{command:?}");
        }
    }
}

fn one_renewal_gives_at_most_one_certificate(ops: &[Op]) {
    let mut issued = BTreeSet::new();
    for Step { before, command, change, .. } in walk(ops) {
        let added = &change.next.certificates[before.certificates.len()..];
        assert!(added.len() <= 1, "{command:?}");
        if let [added] = added {
            let renewal = change.next.renewal.unwrap();
            assert!(issued.insert(renewal.id), "{command:?}");
            assert_eq!(renewal.state.key(), Some(added.key), "{command:?}");
        }
    }
}

fn at_most_one_active_and_one_pending(ops: &[Op]) {
    for Step { command, change, .. } in walk(ops) {
        let count =
            |wanted: fn(&Status) -> bool| change.next.certificates.iter().filter(|held| wanted(&held.status)).count();
        assert!(count(|status| matches!(status, Status::Active { .. })) <= 1, "{command:?}");
        let pending = count(|status| matches!(status, Status::Pending));
        let open = change.next.open_renewal().and_then(Renewal::pending);
        assert_eq!(pending, usize::from(open.is_some()), "{command:?}");
    }
}

fn never_locked_out(ops: &[Op]) {
    let end = holder(20).certificates[0].validity.end();
    for Step { before, command, change, now } in walk(ops) {
        let lets_in = |holding: &koshin_renewal::Holding| {
            holding.certificates.iter().any(|held| holding.admission(&held.fingerprint, now) == Admission::Login)
        };
        assert!(lets_in(&change.next) || now >= end, "{command:?} left nobody to log in");
        // And later too: whoever was let in before a command is let in after it.
        assert!(lets_in(&change.next) || !lets_in(&before), "{command:?} locked the holder out");
        // Nothing supersedes but the proof of the successor.
        if change.facts.iter().any(|fact| matches!(fact, Fact::Superseded { .. })) {
            assert!(matches!(change.facts.last(), Some(Fact::Activated { .. })), "{command:?}");
        }
    }
}

fn superseded_and_revoked_are_final(ops: &[Op]) {
    for Step { before, command, change, .. } in walk(ops) {
        for held in &before.certificates {
            let after = change.next.certificate(&held.fingerprint).unwrap();
            if matches!(held.status, Status::Superseded { .. } | Status::Revoked { .. }) {
                assert_eq!(after, held, "{command:?}");
            }
        }
    }
}

fn an_enrolment_takes_one_permission_and_leaves_the_old_certificate_alone(ops: &[Op]) {
    for Step { before, command, change, .. } in walk(ops) {
        let used = change.facts.contains(&Fact::PermissionUsed);
        let issued = change.facts.iter().any(|fact| matches!(fact, Fact::Issued { .. }));
        assert!(!used || (issued && before.grant.is_some() && change.next.grant.is_none()), "{command:?}");
        if issued {
            let old = &change.next.certificates[..before.certificates.len()];
            assert_eq!(old, &before.certificates[..], "{command:?}");
        }
    }
}

fn what_may_nothing_any_more_is_closed(ops: &[Op]) {
    for Step { before, command, change, now } in walk(ops) {
        for held in &before.certificates {
            let could = matches!(held.status, Status::Active { .. } | Status::Pending);
            let after = change.next.certificate(&held.fingerprint).unwrap();
            let ended = matches!(after.status, Status::Superseded { .. } | Status::Revoked { .. });
            let closed = change.effects.contains(&Effect::CloseCertificate { fingerprint: held.fingerprint });
            assert_eq!(could && ended, closed, "{command:?} at {now}");
        }
    }
}

fn what_is_superseded_revoked_or_expired_gets_no_notice_no_renewal_no_mail(ops: &[Op]) {
    for Step { change, now, .. } in walk(ops) {
        let holding = change.next;
        for now in [now, now + Duration::days(20), now + Duration::days(400)] {
            let outlook = holding.outlook(&policy(), now);
            let (Some(current), Some(decision)) = (outlook.current, outlook.decision) else { continue };
            let out = !matches!(current.status, Status::Active { .. }) || !current.validity.contains(now);
            assert!(!out || (!decision.notice && !decision.renewal && decision.mail_due.is_none()), "{holding:?}");
            let started = holding.start(crate::fixtures::id(250), &policy(), now);
            assert_eq!(started.is_ok(), decision.renewal, "{holding:?}");
            assert_eq!(holding.defer(&policy(), now).is_ok(), decision.notice, "{holding:?}");
            // Of several certificates it is the one in use that all this is about.
            let active = holding.certificates.iter().find(|held| matches!(held.status, Status::Active { .. }));
            assert!(active.is_none_or(|active| active == current));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_20_facts_and_holding_always_agree(ops in ops()) {
        facts_and_holding_always_agree(&ops);
    }

    #[test]
    fn invariant_21_every_command_is_idempotent(ops in ops()) {
        every_command_is_idempotent(&ops);
    }

    #[test]
    fn invariant_22_one_renewal_gives_at_most_one_certificate(ops in ops()) {
        one_renewal_gives_at_most_one_certificate(&ops);
    }

    #[test]
    fn invariant_23_at_most_one_active_and_one_pending(ops in ops()) {
        at_most_one_active_and_one_pending(&ops);
    }

    #[test]
    fn invariant_24_never_locked_out(ops in ops_without_revocation()) {
        never_locked_out(&ops);
    }

    #[test]
    fn invariant_33_superseded_and_revoked_are_final(ops in ops()) {
        superseded_and_revoked_are_final(&ops);
    }

    #[test]
    fn invariant_34_an_enrolment_takes_one_permission_and_leaves_the_old_certificate_alone(ops in ops()) {
        an_enrolment_takes_one_permission_and_leaves_the_old_certificate_alone(&ops);
    }

    #[test]
    fn invariant_36_what_may_nothing_any_more_is_closed(ops in ops()) {
        what_may_nothing_any_more_is_closed(&ops);
    }

    #[test]
    fn invariant_39_what_is_superseded_revoked_or_expired_gets_no_notice_no_renewal_no_mail(ops in ops()) {
        what_is_superseded_revoked_or_expired_gets_no_notice_no_renewal_no_mail(&ops);
    }
}

/// Histories that went wrong once while this was written, or that would be the first to, by what they are about.
const SEEDS: [(&str, &[Op]); 9] = [
    ("a permission is given twice", &[Op::Permit { days: 74 }, Op::Permit { days: 74 }]),
    ("a reissue long before the end", &[Op::Permit { days: 80 }, Op::Enrol, GO, GO, GO, GO, Op::Enrol, Op::Start]),
    ("issued in time, activated after the end", &[GO, GO, GO, GO, TO_THE_END, GO, Op::Enrol]),
    ("issued in time, enrolled after the end", &[GO, GO, GO, GO, TO_THE_END, Op::Enrol, GO, GO, GO, GO]),
    ("intended, and then too late", &[GO, GO, GO, TO_THE_END, GO, Op::Sweep, Op::Enrol, GO, GO, GO, GO]),
    (
        "an enrolment that outlives its permission",
        &[Op::Permit { days: 0 }, Op::Permit { days: 1 }, Op::Enrol, A_DAY, A_DAY, Op::Sweep, Op::Enrol],
    ),
    (
        "started again until it is refused",
        &[GO, Op::StartAgain, GO, GO, GO, Op::StartAgain, Op::StartAgain, Op::StartAgain, A_DAY, Op::StartAgain],
    ),
    (
        "revoked with a pending certificate and a permission",
        &[
            Op::Permit { days: 80 },
            GO,
            GO,
            GO,
            GO,
            REVOKE,
            REVOKE,
            Op::Enrol,
            Op::Permit { days: 1 },
            Op::Enrol,
            GO,
            GO,
            GO,
            GO,
        ],
    ),
    (
        "never activated",
        &[GO, GO, GO, GO, Op::Deliver, TO_THE_END, A_MONTH, A_DAY, Op::Sweep, Op::Activate(Which::Bound), Op::Enrol],
    ),
];

const GO: Op = Op::GoOn;
const REVOKE: Op = Op::Revoke(RevocationReason::KeyCompromise);
const TO_THE_END: Op = Op::WaitForEnd { millis: 0 };
const A_DAY: Op = Op::Wait { millis: 86_400_000 };
const A_MONTH: Op = Op::Wait { millis: 31 * 86_400_000 };

#[test]
fn every_seed_keeps_every_invariant() {
    let invariants = [
        facts_and_holding_always_agree,
        every_command_is_idempotent,
        one_renewal_gives_at_most_one_certificate,
        at_most_one_active_and_one_pending,
        superseded_and_revoked_are_final,
        an_enrolment_takes_one_permission_and_leaves_the_old_certificate_alone,
        what_may_nothing_any_more_is_closed,
        what_is_superseded_revoked_or_expired_gets_no_notice_no_renewal_no_mail,
    ];
    for (about, ops) in SEEDS {
        for invariant in invariants {
            invariant(ops);
        }
        if !ops.iter().any(|op| matches!(op, Op::Revoke(_))) {
            never_locked_out(ops);
        }
        // None of them is about nothing.
        assert!(walk(ops).iter().any(|step| !step.change.facts.is_empty()), "{about}");
    }
}

#[test]
fn histories_get_somewhere() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};
    let mut runner = TestRunner::deterministic();
    let mut words = BTreeSet::new();
    for _ in 0..200 {
        let ops = ops().new_tree(&mut runner).unwrap().current();
        words.extend(walk(&ops).iter().flat_map(|step| step.change.facts.iter().map(Fact::as_str)).map(str::to_owned));
    }
    // Every word of the log comes up, or the properties above would be about nothing.
    assert_eq!(words.len(), 16, "{words:?}");
    assert!(holder(20).certificates[0].validity.contains(NOW));
}
