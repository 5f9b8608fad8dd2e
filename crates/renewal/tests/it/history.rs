//! Random histories of one subject: what a holder, an administrator, the CA or time may do, in any order.

use koshin_renewal::{Change, Deadlines, Dialog, Event, Fact, Holding, Refused, State, Why};
use koshin_types::RevocationReason;
use proptest::prelude::*;
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, id, key, policy, serial, year_until};

/// What somebody has in mind. It becomes a [`Command`] when it is known how the subject stands.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Op {
    Start,
    Enrol,
    StartAgain,
    Permit {
        days: i64,
    },
    Revoke(RevocationReason),
    Defer,
    Sweep,
    Request(Which),
    Intend(Which),
    Issue(Which),
    Deliver,
    Decline(Dialog),
    Activate(Which),
    Refuse,
    Abandon(Why),
    /// Whatever brings an open renewal one step on.
    GoOn,
    Wait {
        millis: i64,
    },
    /// To so many milliseconds from the end of the certificate that counts.
    WaitForEnd {
        millis: i64,
    },
}

/// Which key, serial number or certificate is meant.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Which {
    /// The one that the renewal is bound to, or a new one.
    Bound,
    /// One that nobody has seen before.
    New,
}

/// A command with its arguments, as it may be delivered twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Command {
    Start,
    Enrol,
    StartAgain,
    Permit { until: UtcDateTime },
    Revoke(RevocationReason),
    Defer,
    Sweep,
    Issue(u8),
    Event(Event),
}

pub(crate) fn op() -> impl Strategy<Value = Op> {
    let which = prop_oneof![4 => Just(Which::Bound), 1 => Just(Which::New)];
    let reason = prop::sample::select(RevocationReason::ALL.to_vec());
    let why = prop::sample::select(vec![Why::StartedAgain, Why::Enrolment, Why::Revoked, Why::NoRequest]);
    let dialog = prop::sample::select(vec![Dialog::Key, Dialog::Install]);
    prop_oneof![
        4 => Just(Op::Start),
        2 => Just(Op::Enrol),
        1 => Just(Op::StartAgain),
        1 => (0_i64..90).prop_map(|days| Op::Permit { days }),
        1 => Just(Op::Defer),
        1 => Just(Op::Sweep),
        1 => reason.prop_map(Op::Revoke),
        1 => which.clone().prop_map(Op::Request),
        1 => which.clone().prop_map(Op::Intend),
        1 => which.clone().prop_map(Op::Issue),
        1 => which.prop_map(Op::Activate),
        2 => Just(Op::Deliver),
        1 => dialog.prop_map(Op::Decline),
        1 => Just(Op::Refuse),
        1 => why.prop_map(Op::Abandon),
        12 => Just(Op::GoOn),
        3 => prop_oneof![0_i64..1000, 0_i64..100_000_000, 0_i64..4_000_000_000].prop_map(|millis| Op::Wait { millis }),
        2 => prop_oneof![-1_i64..=1, -2_000_000_000_i64..700_000_000].prop_map(|millis| Op::WaitForEnd { millis }),
    ]
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    prop::collection::vec(op(), 1..60)
}

/// Histories in which no administrator takes anything away.
pub(crate) fn ops_without_revocation() -> impl Strategy<Value = Vec<Op>> {
    ops().prop_map(|ops| ops.into_iter().filter(|op| !matches!(op, Op::Revoke(_))).collect())
}

impl Op {
    /// The command this is for a subject that stands so; `new` is a number nobody has used.
    fn command(self, holding: &Holding, new: u8, now: UtcDateTime) -> Option<Command> {
        let state = holding.renewal.as_ref().map_or(State::Started, |renewal| renewal.state);
        // Keys, serial numbers and certificates bear the number under which they came up.
        let number = |bound: Option<u8>, which| match which {
            Which::Bound => bound.unwrap_or(new),
            Which::New => new,
        };
        let bound_key = state.key().map(|key| key.spki.as_bytes()[0]);
        let bound_serial = state.serial().and_then(|serial| serial.as_be_bytes().last().copied());
        let issued = state.issued().map(|issued| issued.fingerprint.as_bytes()[0]);
        Some(match self {
            Self::Start => Command::Start,
            Self::Enrol => Command::Enrol,
            Self::StartAgain => Command::StartAgain,
            Self::Permit { days } => Command::Permit { until: now + Duration::days(days) },
            Self::Revoke(reason) => Command::Revoke(reason),
            Self::Defer => Command::Defer,
            Self::Sweep => Command::Sweep,
            Self::Request(which) => Command::Event(Event::Request { key: key(number(bound_key, which)) }),
            Self::Intend(which) => Command::Event(Event::Intend { serial: serial(number(bound_serial, which)) }),
            Self::Issue(which) => Command::Issue(number(issued.or(bound_serial), which)),
            Self::Deliver => Command::Event(Event::Deliver),
            Self::Decline(dialog) => Command::Event(Event::Decline { dialog }),
            Self::Activate(which) => {
                Command::Event(Event::Activate { fingerprint: fingerprint(number(issued, which)) })
            }
            Self::Refuse => Command::Event(Event::Refuse),
            Self::Abandon(why) => Command::Event(Event::Abandon { why }),
            Self::GoOn => {
                let next = match state {
                    _ if holding.open_renewal().is_none() => Self::Start,
                    State::Started => Self::Request(Which::Bound),
                    State::Requested { .. } => Self::Intend(Which::Bound),
                    State::Intended { .. } => Self::Issue(Which::Bound),
                    _ => Self::Activate(Which::Bound),
                };
                return next.command(holding, new, now);
            }
            Self::Wait { .. } | Self::WaitForEnd { .. } => return None,
        })
    }

    fn wait(self, holding: &Holding, now: UtcDateTime) -> UtcDateTime {
        match self {
            Self::Wait { millis } => now + Duration::milliseconds(millis),
            Self::WaitForEnd { millis } => {
                let end = holding.current().map_or(now, |held| held.validity.end());
                now.max(end + Duration::milliseconds(millis))
            }
            _ => now,
        }
    }
}

impl Command {
    /// Runs it; a renewal that it starts gets the identifier `new_id`.
    pub(crate) fn run(self, holding: &Holding, new_id: u8, now: UtcDateTime) -> Result<Change, Refused> {
        let deadlines = Deadlines::default();
        let current = holding.renewal.as_ref().map_or(id(0), |renewal| renewal.id);
        let validity = year_until(now.replace_nanosecond(0).unwrap() + Duration::days(365));
        match self {
            Self::Start => holding.start(id(new_id), &policy(), now),
            Self::Enrol => holding.enrol(id(new_id), &policy(), now),
            Self::StartAgain => holding.start_again(current, id(new_id), now, &deadlines),
            Self::Permit { until } => Ok(holding.permit(until, now)),
            Self::Revoke(reason) => holding.revoke(reason, now),
            Self::Defer => holding.defer(&policy(), now),
            Self::Issue(n) => holding.issue(current, serial(n), fingerprint(n), validity, now, &deadlines),
            Self::Event(event) => holding.step(current, &event, now, &deadlines),
            Self::Sweep => Ok(holding.sweep(now, &deadlines)),
        }
    }
}

/// One accepted command of a history.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) before: Holding,
    pub(crate) command: Command,
    pub(crate) change: Change,
    pub(crate) now: UtcDateTime,
}

/// What came of it: every command that was accepted, in order.
pub(crate) fn history(start: Holding, ops: &[Op]) -> Vec<Step> {
    let (mut before, mut now, mut steps) = (start, NOW, Vec::new());
    for (at, op) in ops.iter().enumerate() {
        now = op.wait(&before, now);
        let new = u8::try_from(at + 1).unwrap();
        let Some(command) = op.command(&before, new, now) else { continue };
        if let Ok(change) = command.run(&before, new, now) {
            let next = change.next.clone();
            steps.push(Step { before, command, change, now });
            before = next;
        }
    }
    steps
}

/// The facts of a history with their instants, as an audit log has them.
pub(crate) fn log(steps: &[Step]) -> Vec<(Fact, UtcDateTime)> {
    steps.iter().flat_map(|step| step.change.facts.iter().map(|fact| (fact.clone(), step.now))).collect()
}
