//! A log of facts against the machine that should have written it.

use std::sync::Arc;

use koshin_expiry::{FixedOffset, Policy, PolicyConfig};
use koshin_renewal::{Change, Deadlines, Dialog, Event, Fact, Holding, Key, NotAllowed, Refused, Why};
use koshin_types::{Fingerprint, RenewalId, RevocationReason, SerialNumber};
use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use crate::{
    fixtures::{NOW, fingerprint, holder, id, key, policy, serial, year_until},
    history::{history, log, ops},
};

type Log = Vec<(Fact, UtcDateTime)>;

/// Replays a whole log: facts of one instant at a time, as one commit cannot be told from the next otherwise.
fn replay(start: &Holding, log: &Log) -> Result<Holding, (usize, NotAllowed)> {
    let (mut holding, mut done) = (start.clone(), 0);
    for together in log.chunk_by(|(_, a), (_, b)| a == b) {
        let facts: Vec<_> = together.iter().map(|(fact, _)| fact.clone()).collect();
        holding = holding.replay(&facts, together[0].1).map_err(|error| (done + error.index(), error))?;
        done += facts.len();
    }
    Ok(holding)
}

/// A change of one place of a log, as somebody who edits it might make it.
#[derive(Debug, Clone, Copy)]
enum Edit {
    Drop,
    Duplicate,
    Swap,
    Id,
    Number,
    Reason,
}

const EDITS: [Edit; 6] = [Edit::Drop, Edit::Duplicate, Edit::Swap, Edit::Id, Edit::Number, Edit::Reason];

fn edited(log: &Log, edit: Edit, place: usize) -> Option<Log> {
    let mut log = log.clone();
    match edit {
        Edit::Drop => drop(log.remove(place)),
        Edit::Duplicate => log.insert(place, log[place].clone()),
        Edit::Swap if place + 1 < log.len() => log.swap(place, place + 1),
        Edit::Swap => return None,
        Edit::Id => *id_of(&mut log[place].0)? = id(200),
        Edit::Number => match &mut log[place].0 {
            Fact::Requested { spki, .. } => *spki = fingerprint(201),
            Fact::Issued { serial: number, .. }
            | Fact::Intended { serial: number, .. }
            | Fact::Activated { serial: number, .. }
            | Fact::Superseded { serial: number, .. }
            | Fact::Revoked { serial: number, .. }
            | Fact::Deferred { serial: number } => *number = serial(201),
            _ => return None,
        },
        Edit::Reason => match &mut log[place].0 {
            Fact::Revoked { reason, .. } => {
                *reason = if *reason == RevocationReason::Unspecified {
                    RevocationReason::KeyCompromise
                } else {
                    RevocationReason::Unspecified
                }
            }
            Fact::Abandoned { why, .. } => {
                *why = if *why == Why::StartedAgain { Why::NotActivated } else { Why::StartedAgain }
            }
            _ => return None,
        },
    }
    Some(log)
}

fn id_of(fact: &mut Fact) -> Option<&mut RenewalId> {
    match fact {
        Fact::RenewalStarted { id, .. }
        | Fact::Requested { id, .. }
        | Fact::Intended { id, .. }
        | Fact::Issued { id, .. }
        | Fact::Delivered { id }
        | Fact::Declined { id, .. }
        | Fact::Activated { id, .. }
        | Fact::Abandoned { id, .. }
        | Fact::RenewalRefused { id }
        | Fact::RenewalExpired { id } => Some(id),
        _ => None,
    }
}

/// Whether some sequence of commands records exactly these facts. It knows nothing of how [`Holding::replay`] goes
/// about it: it tries every command with every argument that the facts could supply, under the widest settings.
fn recordable(holding: &Holding, facts: &[Fact], at: UtcDateTime) -> Option<Holding> {
    if facts.is_empty() {
        return Some(holding.clone());
    }
    // What two commands record alike leads to the same holding; going on from each would take for ever.
    let mut possible: Vec<Change> = Vec::new();
    for change in commands(holding, facts, at) {
        let recorded = !change.facts.is_empty() && facts.starts_with(&change.facts);
        if recorded && possible.iter().all(|other| other.facts != change.facts) {
            possible.push(change);
        }
    }
    possible.iter().find_map(|change| recordable(&change.next, &facts[change.facts.len()..], at))
}

fn commands(holding: &Holding, facts: &[Fact], at: UtcDateTime) -> Vec<Change> {
    let (mut ids, mut reasons): (Vec<RenewalId>, _) = (vec![], vec![RevocationReason::Unspecified]);
    let mut events = vec![Event::Deliver, Event::Refuse, Event::Tick];
    events.extend([Dialog::Key, Dialog::Install].map(|dialog| Event::Decline { dialog }));
    let proofs = holding.certificates.iter().map(|held| Event::Activate { fingerprint: held.fingerprint });
    events.extend(proofs);
    let (mut permissions, mut issues): (Vec<UtcDateTime>, Vec<(SerialNumber, Fingerprint, _)>) = (vec![], vec![]);
    // What a command is told stands in the first three facts it records.
    for fact in facts.iter().take(3) {
        ids.extend(id_of(&mut fact.clone()).copied());
        match *fact {
            Fact::Requested { spki, protection, .. } => {
                events.push(Event::Request { key: Key { spki, protection } });
            }
            Fact::Intended { serial, .. } => events.push(Event::Intend { serial }),
            Fact::Issued { serial, fingerprint, validity, .. } => issues.push((serial, fingerprint, validity)),
            Fact::Revoked { reason, .. } => reasons.push(reason),
            Fact::Permitted { until } => permissions.push(until),
            _ => {}
        }
    }
    let (mut changes, generous) = (Vec::new(), generous());
    let open = holding.renewal.as_ref().map(|renewal| renewal.id);
    for deadlines in widest() {
        for &id in &ids {
            changes.push(holding.start(id, &generous, at));
            changes.push(holding.enrol(id, &generous, at));
            changes.extend(open.map(|open| holding.start_again(open, id, at, &deadlines)));
            changes.extend(events.iter().map(|event| holding.step(id, event, at, &deadlines)));
            let issue = |&(serial, print, validity)| holding.issue(id, serial, print, validity, at, &deadlines);
            changes.extend(issues.iter().map(issue));
        }
        changes.push(Ok(holding.sweep(at, &deadlines)));
    }
    changes.push(holding.defer(&generous, at));
    changes.extend(reasons.iter().map(|&reason| holding.revoke(reason, at)));
    changes.extend(permissions.iter().map(|&until| Ok(holding.permit(until, at))));
    changes.push(Ok(holding.withdraw_permission(at)));
    changes.into_iter().flatten().collect()
}

/// A policy under which a certificate may be renewed from its first day, and enrolment stays open for ever.
fn generous() -> Policy {
    let config = PolicyConfig { notice_days: 364, mail_days: vec![], enrolment_days: None, ..PolicyConfig::default() };
    Policy::new(config, Arc::new(FixedOffset::JST)).unwrap()
}

/// Deadlines that never pass, and ones that pass at once.
fn widest() -> [Deadlines; 2] {
    [Duration::MAX, Duration::ZERO].map(|length| Deadlines {
        request: length,
        activation_after_issue: length,
        activation_after_end: length,
        again_limit: u8::MAX,
        again_within: length,
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn invariant_35_every_history_replays(ops in ops(), empty in any::<bool>()) {
        let start = if empty { Holding::default() } else { holder(20) };
        let steps = history(start.clone(), &ops);
        let end = steps.last().map_or(start.clone(), |step| step.change.next.clone());
        assert_eq!(replay(&start, &log(&steps)), Ok(end));
    }

    #[test]
    fn invariant_35_an_edited_history_is_named_or_is_one_that_could_have_been(
        ops in ops(), edit in prop::sample::select(EDITS.to_vec()), place in any::<prop::sample::Index>(),
    ) {
        let steps = history(holder(20), &ops);
        let log = log(&steps);
        // Nothing to edit is no case to reject: there would be too many of them in a long run.
        if log.is_empty() {
            return Ok(());
        }
        let place = place.index(log.len());
        let Some(edited) = edited(&log, edit, place) else { return Ok(()) };
        let mut holding = holder(20);
        for together in edited.chunk_by(|(_, a), (_, b)| a == b) {
            let (facts, at): (Vec<_>, _) = (together.iter().map(|(fact, _)| fact.clone()).collect(), together[0].1);
            let replayed = holding.replay(&facts, at);
            assert_eq!(replayed.clone().ok(), recordable(&holding, &facts, at), "{edit:?} at {place}: {facts:?}");
            let Ok(next) = replayed else { break };
            holding = next;
        }
        match replay(&holder(20), &edited) {
            // Nothing before the edit is blamed; what is missing is missing after the fact before it.
            Err((named, error)) => assert!(named + 1 >= place, "{edit:?} at {place}, named {named}: {error}"),
            Ok(_) => assert!(!matches!(edit, Edit::Id) || place + 1 >= last_of_renewal(&log, place)),
        }
    }
}

/// The place after the last fact that speaks of the same renewal as the one at `place`.
fn last_of_renewal(log: &Log, place: usize) -> usize {
    let id = id_of(&mut log[place].0.clone()).copied();
    log.iter().rposition(|(fact, _)| id_of(&mut fact.clone()).copied() == id).unwrap() + 1
}

/// The log of somebody who does everything once: enrolled by a permission, says "no" and "later", renews, starts again,
/// lets a start lapse, renews, is revoked, and enrols by a permission again.
fn a_life() -> (Holding, Log) {
    let deadlines = Deadlines::default();
    let (mut holding, mut log) = (Holding::default(), Log::new());
    let mut now = NOW;
    let mut run = |hours, command: &dyn Fn(&Holding, UtcDateTime) -> Result<Change, Refused>| {
        now += Duration::hours(hours);
        let change = command(&holding, now).unwrap();
        log.extend(change.facts.into_iter().map(|fact| (fact, now)));
        holding = change.next;
        holding.clone()
    };
    let event = |n, event| move |holding: &Holding, now| holding.step(id(n), &event, now, &deadlines);
    let issue = |n| {
        move |holding: &Holding, now: UtcDateTime| {
            let validity = year_until(now.replace_nanosecond(0).unwrap() + Duration::days(365));
            holding.issue(id(n), serial(n), fingerprint(n), validity, now, &deadlines)
        }
    };
    run(1, &|holding, now| Ok(holding.permit(now + Duration::days(7), now)));
    run(1, &|holding, now| holding.enrol(id(1), &policy(), now));
    run(1, &event(1, Event::Request { key: key(1) }));
    run(0, &event(1, Event::Intend { serial: serial(1) }));
    run(0, &issue(1));
    run(1, &event(1, Event::Deliver));
    run(1, &event(1, Event::Activate { fingerprint: fingerprint(1) }));
    run(24 * 340, &|holding, now| holding.defer(&policy(), now));
    run(1, &|holding, now| holding.start(id(2), &policy(), now));
    run(1, &event(2, Event::Decline { dialog: Dialog::Key }));
    run(24, &|holding, now| Ok(holding.sweep(now, &deadlines)));
    run(1, &|holding, now| holding.start(id(3), &policy(), now));
    run(1, &event(3, Event::Request { key: key(3) }));
    run(0, &event(3, Event::Intend { serial: serial(3) }));
    run(0, &issue(3));
    run(1, &|holding, now| holding.start_again(id(3), id(4), now, &deadlines));
    run(1, &event(4, Event::Request { key: key(4) }));
    run(1, &event(4, Event::Refuse));
    run(1, &|holding, now| holding.start(id(5), &policy(), now));
    run(1, &event(5, Event::Request { key: key(5) }));
    run(0, &event(5, Event::Intend { serial: serial(5) }));
    run(0, &issue(5));
    run(1, &event(5, Event::Activate { fingerprint: fingerprint(5) }));
    run(24 * 340, &|holding, now| holding.start(id(6), &policy(), now));
    run(1, &event(6, Event::Request { key: key(6) }));
    run(24 * 30, &|holding, now| Ok(holding.sweep(now, &deadlines)));
    run(1, &|holding, now| holding.enrol(id(7), &policy(), now));
    run(0, &event(7, Event::Request { key: key(7) }));
    run(0, &event(7, Event::Intend { serial: serial(7) }));
    run(0, &issue(7));
    let end = run(1, &|holding, now| holding.revoke(RevocationReason::KeyCompromise, now));
    (end, log)
}

#[test]
fn a_life_replays_and_hardly_an_edit_of_it_does() {
    let (end, log) = a_life();
    assert_eq!(replay(&Holding::default(), &log), Ok(end.clone()));
    let mut unseen = Vec::new();
    for place in 0..log.len() {
        for edit in EDITS {
            let Some(edited) = edited(&log, edit, place) else { continue };
            match replay(&Holding::default(), &edited) {
                Err((named, error)) => {
                    assert!(named + 1 >= place, "{edit:?} at {place}, named {named}: {error}");
                }
                Ok(holding) if holding == end => unseen.push(format!("{} {edit:?}", log[place].0.as_str())),
                Ok(_) => unseen.push(format!("{} {edit:?}, and the holding is another one", log[place].0.as_str())),
            }
        }
    }
    // What no later step depends on: what a "no", a "later" and a second "yes" say, a key that was never certified, a
    // request that came to nothing. Where the holding is another one, the stored holding tells; where it is the same, the
    // chain of hashes does.
    let expected = [
        "permitted Duplicate",
        "requested Number, and the holding is another one",
        "delivered Drop",
        "deferred Drop, and the holding is another one",
        "deferred Duplicate, and the holding is another one",
        "deferred Swap",
        "declined Drop",
        "declined Duplicate",
        "requested Number, and the holding is another one",
        "requested Drop",
        "requested Number",
        "requested Number, and the holding is another one",
        "requested Drop",
        "requested Number",
        "requested Number, and the holding is another one",
    ];
    assert_eq!(unseen, expected);
}

#[test]
fn the_first_fact_that_is_not_allowed_is_named_with_what_the_machine_says() {
    let pending = crate::fixtures::with_pending(&holder(10), 1, NOW);
    let (old, new) = (serial(0), serial(1));
    let superseded = Fact::Superseded { serial: old, by: new };
    let activated = Fact::Activated { id: id(1), serial: new };
    let delivered = Fact::Delivered { id: id(1) };
    let revoked = |reason| Fact::Revoked { serial: new, reason };
    let abandoned = |why| Fact::Abandoned { id: id(1), why };
    let end = pending.certificates[0].validity.end();
    let start = |basis| Fact::RenewalStarted { id: id(2), basis, again: 0, chain_started_at: NOW };
    let enrolment = start(koshin_renewal::Basis::Enrolment { predecessor_end: Some(end) });
    let unspecified = RevocationReason::Unspecified;
    for (facts, index, says) in [
        (vec![superseded.clone()], 0, "activated is missing after it"),
        (vec![activated.clone()], 0, "activated stands where superseded belongs"),
        (vec![superseded.clone(), delivered.clone()], 1, "delivered stands where activated belongs"),
        (vec![delivered.clone(), delivered.clone()], 1, "delivered changes nothing"),
        (
            vec![Fact::Requested { id: id(1), spki: fingerprint(2), protection: key(2).protection }],
            0,
            "requested is refused",
        ),
        (vec![superseded.clone(), activated.clone(), Fact::Deferred { serial: old }], 2, "stands where Deferred"),
        (vec![Fact::PermissionUsed], 0, "permission_used comes only together with what it follows from"),
        (vec![Fact::PermissionWithdrawn], 0, "permission_withdrawn changes nothing"),
        (vec![Fact::RenewalExpired { id: id(1) }], 0, "renewal_expired changes nothing"),
        (vec![abandoned(Why::NotActivated)], 0, "abandoned changes nothing"),
        (vec![abandoned(Why::StartedAgain)], 0, "abandoned stands where revoked belongs"),
        (
            vec![revoked(RevocationReason::CessationOfOperation), abandoned(Why::StartedAgain)],
            1,
            "renewal_started is missing",
        ),
        (vec![revoked(unspecified), abandoned(Why::Revoked)], 1, "revoked is missing after it"),
        (vec![revoked(unspecified)], 0, "abandoned is missing after it"),
        (vec![enrolment], 0, "renewal_started is refused"),
        (vec![start(koshin_renewal::Basis::Renewal { predecessor: old, end })], 0, "renewal_started changes nothing"),
    ] {
        let error = pending.replay(&facts, NOW).expect_err(says);
        assert_eq!(error.index(), index, "{error}");
        assert!(error.to_string().contains(says), "{error} is not {says}");
    }
    let refused = pending.replay(&[Fact::Delivered { id: id(3) }], NOW).unwrap_err();
    assert_eq!(refused, NotAllowed::Refused { index: 0, fact: "delivered", refused: Refused::NoRenewal { id: id(3) } });
    assert_eq!(pending.replay(&[], NOW), Ok(pending.clone()));
    // From the predecessor's end on time may have ended it, and not a moment before.
    let lapsed = [revoked(RevocationReason::CessationOfOperation), abandoned(Why::NotActivated)];
    assert!(pending.replay(&lapsed, end).is_ok());
    assert!(pending.replay(&lapsed, end - Duration::MILLISECOND).is_err());
}
