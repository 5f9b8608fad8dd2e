//! Random histories of one subject against what must hold in every prefix of them.

use koshin_renewal::{Admission, Deadlines, Dialog, Effect, Event, Holding, Status, Why};
use koshin_types::RevocationReason;
use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, holder, id, key, policy, serial, year_until};

/// Something a holder, an administrator, the CA or time may do.
#[derive(Debug, Clone)]
enum Op {
    Start,
    Enrol,
    StartAgain,
    Permit,
    Revoke,
    Defer,
    Issue(u8),
    Event(Event),
    Sweep,
    Wait(i64),
}

fn event() -> impl Strategy<Value = Event> {
    let n = 1_u8..3;
    prop_oneof![
        n.clone().prop_map(|n| Event::Request { key: key(n) }),
        n.clone().prop_map(|n| Event::Intend { serial: serial(n) }),
        Just(Event::Deliver),
        Just(Event::Decline { dialog: Dialog::Key }),
        Just(Event::Decline { dialog: Dialog::Install }),
        n.prop_map(|n| Event::Activate { fingerprint: fingerprint(n) }),
        Just(Event::Refuse),
        Just(Event::Abandon { why: Why::StartedAgain }),
        Just(Event::Tick),
    ]
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        3 => Just(Op::Start),
        2 => Just(Op::Enrol),
        1 => Just(Op::StartAgain),
        1 => Just(Op::Permit),
        1 => Just(Op::Defer),
        1 => Just(Op::Sweep),
        1 => Just(Op::Revoke),
        4 => (1_u8..3).prop_map(Op::Issue),
        12 => event().prop_map(Op::Event),
        4 => prop_oneof![0_i64..1000, 0_i64..100_000_000, 0_i64..4_000_000_000].prop_map(Op::Wait),
    ];
    prop::collection::vec(op, 1..60)
}

/// Runs one operation; `None` when it was refused.
fn run(holding: &Holding, op: &Op, new_id: u8, now: UtcDateTime) -> Option<koshin_renewal::Change> {
    let deadlines = Deadlines::default();
    let current = holding.renewal.as_ref().map_or(id(0), |renewal| renewal.id);
    let validity = year_until(now.replace_nanosecond(0).unwrap() + Duration::days(365));
    match op {
        Op::Start => holding.start(id(new_id), &policy(), now).ok(),
        Op::Enrol => holding.enrol(id(new_id), &policy(), now).ok(),
        Op::StartAgain => holding.start_again(current, id(new_id), now, &deadlines).ok(),
        Op::Permit => Some(holding.permit(now + Duration::days(80), now)),
        Op::Revoke => holding.revoke(RevocationReason::PrivilegeWithdrawn, now).ok(),
        Op::Defer => holding.defer(&policy(), now).ok(),
        Op::Issue(n) => holding.issue(current, serial(*n), fingerprint(*n), validity, now, &deadlines).ok(),
        Op::Event(event) => holding.step(current, event, now, &deadlines).ok(),
        Op::Sweep => Some(holding.sweep(now, &deadlines)),
        Op::Wait(_) => None,
    }
}

/// Walks a history; hands every accepted operation to `check` with the holding before it.
fn walk(ops: &[Op], mut check: impl FnMut(&Holding, &Op, &koshin_renewal::Change, UtcDateTime)) {
    let (mut holding, mut now) = (holder(20), NOW);
    for (at, op) in ops.iter().enumerate() {
        if let Op::Wait(millis) = op {
            now += Duration::milliseconds(*millis);
        }
        let before = holding.clone();
        if let Some(change) = run(&holding, op, u8::try_from(at + 1).unwrap(), now) {
            check(&before, op, &change, now);
            holding = change.next;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_20_facts_and_holding_always_agree(ops in ops()) {
        walk(&ops, |before, op, change, now| {
            let mut folded = before.clone();
            change.facts.iter().for_each(|fact| folded.apply(fact, now));
            assert_eq!(folded, change.next, "{op:?}");
        });
    }

    #[test]
    fn invariant_21_every_command_is_idempotent(ops in ops()) {
        walk(&ops, |_, op, change, now| {
            // Each "later" counts, each "start again" is a new start: these two are commands, not redeliveries.
            if matches!(op, Op::Defer | Op::StartAgain) {
                return;
            }
            if let Some(again) = run(&change.next, op, 250, now) {
                assert_eq!(again.next, change.next, "{op:?}");
            }
        });
    }

    #[test]
    fn invariant_22_one_renewal_gives_at_most_one_certificate(ops in ops()) {
        let mut issued = std::collections::BTreeSet::new();
        walk(&ops, |before, _, change, _| {
            if change.next.certificates.len() > before.certificates.len() {
                let id = change.next.renewal.as_ref().unwrap().id;
                assert!(issued.insert(id));
            }
        });
    }

    #[test]
    fn invariant_23_at_most_one_active_and_one_pending(ops in ops()) {
        walk(&ops, |_, op, change, _| {
            let count = |wanted: fn(&Status) -> bool| {
                change.next.certificates.iter().filter(|held| wanted(&held.status)).count()
            };
            assert!(count(|status| matches!(status, Status::Active { .. })) <= 1, "{op:?}");
            let pending = count(|status| matches!(status, Status::Pending));
            let open = change.next.open_renewal().and_then(koshin_renewal::Renewal::pending);
            assert_eq!(pending, usize::from(open.is_some()), "{op:?}");
        });
    }

    #[test]
    fn invariant_24_never_locked_out(ops in ops()) {
        let ops: Vec<Op> = ops.into_iter().filter(|op| !matches!(op, Op::Revoke)).collect();
        let mut holding = holder(20);
        let end = holding.certificates[0].validity.end();
        walk(&ops, |_, op, change, now| {
            holding = change.next.clone();
            let someone = holding.certificates.iter().any(|held| {
                holding.admission(&held.fingerprint, now) == Admission::Login
            });
            assert!(someone || now >= end, "{op:?} left nobody to log in");
        });
    }

    #[test]
    fn superseded_and_revoked_are_final(ops in ops()) {
        walk(&ops, |before, op, change, _| {
            for held in &before.certificates {
                let after = change.next.certificate(&held.fingerprint).unwrap();
                if matches!(held.status, Status::Superseded { .. } | Status::Revoked { .. }) {
                    assert_eq!(after.status, held.status, "{op:?}");
                }
            }
        });
    }

    #[test]
    fn invariant_36_what_may_nothing_any_more_is_closed(ops in ops()) {
        walk(&ops, |before, op, change, now| {
            for held in &before.certificates {
                let could = matches!(held.status, Status::Active { .. } | Status::Pending);
                let after = change.next.certificate(&held.fingerprint).unwrap();
                let ended = matches!(after.status, Status::Superseded { .. } | Status::Revoked { .. });
                let closed = change.effects.contains(&Effect::CloseCertificate { fingerprint: held.fingerprint });
                assert_eq!(could && ended, closed, "{op:?} at {now}");
            }
        });
    }
}
