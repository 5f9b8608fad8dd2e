//! Facts from an audit log that nobody vouches for.

use koshin_expiry::Policy;
use koshin_renewal::{Basis, Deadlines, Dialog, Event, Fact, Holding, Key, Why};
use koshin_types::{Fingerprint, ProtectionLevel, RenewalId, RevocationReason, SerialNumber};
use time::{Duration, UtcDateTime};

use crate::script::Script;

/// Any lines are refused, or are facts that say the same after they were written again; folded over a holding they make
/// one that can be asked anything.
pub fn audit_facts(data: &[u8]) {
    let mut holding = Holding::default();
    let mut now = UtcDateTime::from_unix_timestamp(1_790_000_000).unwrap();
    for line in data.split(|octet| *octet == b'\n') {
        let Ok(fact) = serde_json::from_slice::<Fact>(line) else { continue };
        let written = serde_json::to_value(&fact).expect("what was read can be written");
        assert_eq!(written["fact"], fact.as_str());
        assert_eq!(serde_json::from_value::<Fact>(written).expect("what was written can be read"), fact);
        holding.apply(&fact, now);
        now += Duration::HOUR;
    }
    ask(&holding, now);
}

/// Facts of a few renewals, certificates and keys in any order, at any instant: folded over a holding they make one that
/// can be asked anything, and never a second row for one certificate.
pub fn holding_facts(data: &[u8]) {
    let mut script = Script::new(data);
    let mut holding = Holding::default();
    let mut now = script.second();
    let mut issued = 0;
    while script.goes_on() {
        let fact = any_fact(&mut script, &mut issued);
        now = script.near(now);
        let rows = holding.certificates.len();
        holding.apply(&fact, now);
        let added = usize::from(matches!(fact, Fact::Issued { .. }));
        assert!((rows..=rows + added).contains(&holding.certificates.len()), "{fact:?} was to add no row");
    }
    ask(&holding, now);
}

/// Every question and every command: an answer or a refusal, and what a command records gives the holding after it.
fn ask(holding: &Holding, now: UtcDateTime) {
    let (policy, deadlines) = (Policy::default_jst(), Deadlines::default());
    let outlook = holding.outlook(&policy, now);
    assert_eq!(outlook.current, holding.current());
    for held in &holding.certificates {
        let _ = holding.admission(&held.fingerprint, now);
    }
    let fresh = RenewalId::new([0xfe; 16]);
    let id = holding.renewal.as_ref().map_or(fresh, |renewal| renewal.id);
    let (serial, print) = (number(0xfe), Fingerprint::new([0xfe; 32]));
    let far = UtcDateTime::from_unix_timestamp(100_000_000_000).unwrap();
    let validity = policy.validity_for(now, far).unwrap();
    let events = [
        Event::Request { key: Key { spki: print, protection: ProtectionLevel::File } },
        Event::Intend { serial },
        Event::Deliver,
        Event::Decline { dialog: Dialog::Key },
        Event::Refuse,
        Event::Tick,
        Event::Activate { fingerprint: holding.certificates.last().map_or(print, |held| held.fingerprint) },
    ];
    let commands = [
        holding.start(fresh, &policy, now),
        holding.enrol(fresh, &policy, now),
        holding.start_again(id, fresh, now, &deadlines),
        holding.issue(id, serial, print, validity, now, &deadlines),
        holding.defer(&policy, now),
        holding.revoke(RevocationReason::KeyCompromise, now),
        Ok(holding.permit(now, now)),
        Ok(holding.sweep(now, &deadlines)),
    ];
    let steps = events.iter().map(|event| holding.step(id, event, now, &deadlines));
    for change in commands.into_iter().chain(steps).flatten() {
        let mut folded = holding.clone();
        for fact in &change.facts {
            folded.apply(fact, now);
        }
        assert_eq!(folded, change.next, "{:?} do not give the holding", change.facts);
    }
}

fn number(octet: u8) -> SerialNumber {
    SerialNumber::from_be_bytes(&[octet.max(1)]).unwrap()
}

/// One of four renewals, eight certificates, four keys. No two certificates have one serial number or one fingerprint:
/// the ledger sees to that.
fn any_fact(script: &mut Script<'_>, issued: &mut u8) -> Fact {
    let (word, detail) = (script.byte() % 16, script.byte());
    let id = RenewalId::new([detail % 4; 16]);
    let serial = number(1 + detail / 4 % 8);
    match word {
        0 => Fact::RenewalStarted {
            id,
            basis: basis(script, serial),
            again: detail / 4,
            chain_started_at: script.second(),
        },
        1 => Fact::Requested {
            id,
            spki: Fingerprint::new([detail / 4 % 4; 32]),
            protection: script.one_of(&ProtectionLevel::ALL),
        },
        2 => Fact::Intended { id, serial },
        3 => {
            *issued = issued.saturating_add(1).min(0xf0);
            let fingerprint = Fingerprint::new([*issued; 32]);
            Fact::Issued { id, serial: number(*issued), fingerprint, validity: script.validity() }
        }
        4 => Fact::Delivered { id },
        5 => Fact::Declined { id, dialog: script.one_of(&[Dialog::Key, Dialog::Install]) },
        6 => Fact::Activated { id, serial },
        7 => Fact::Superseded { serial, by: number(1 + script.byte() % 8) },
        8 => Fact::Revoked { serial, reason: script.one_of(&RevocationReason::ALL) },
        9 => Fact::Abandoned { id, why: any_why(script) },
        10 => Fact::RenewalRefused { id },
        11 => Fact::RenewalExpired { id },
        12 => Fact::Deferred { serial },
        13 => Fact::Permitted { until: script.second() },
        14 => Fact::PermissionUsed,
        _ => Fact::PermissionWithdrawn,
    }
}

fn basis(script: &mut Script<'_>, predecessor: SerialNumber) -> Basis {
    match script.byte() % 3 {
        0 => Basis::Renewal { predecessor, end: script.second() },
        1 => Basis::Enrolment { predecessor_end: Some(script.second()) },
        _ => Basis::Enrolment { predecessor_end: None },
    }
}

fn any_why(script: &mut Script<'_>) -> Why {
    script.one_of(&[Why::NoRequest, Why::NotActivated, Why::StartedAgain, Why::Enrolment, Why::Revoked])
}
