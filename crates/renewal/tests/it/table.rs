//! The exhaustive table of states and events. `transitions.md` is what this prints; set `KOSHIN_BLESS=1` to write it.

use std::{collections::BTreeMap, fmt::Write as _};

use koshin_renewal::{Basis, Deadlines, Dialog, Event, Refused, Renewal, State, Why};
use time::{Duration, UtcDateTime};

use crate::fixtures::{NOW, fingerprint, id, issued, key, renewal_basis, serial};

fn states() -> Vec<State> {
    let at = NOW;
    vec![
        State::Started,
        State::Requested { key: key(1) },
        State::Intended { key: key(1), serial: serial(1) },
        State::Issued { issued: issued(1, at) },
        State::Delivered { issued: issued(1, at) },
        State::Activated { issued: issued(1, at) },
        State::Abandoned { why: Why::StartedAgain },
        State::Refused,
        State::Expired,
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    let issue = |n| Event::Issue { serial: serial(n), fingerprint: fingerprint(n) };
    vec![
        ("request", Event::Request { key: key(1) }),
        ("request, other key", Event::Request { key: key(2) }),
        ("intend", Event::Intend { serial: serial(1) }),
        ("intend, other serial", Event::Intend { serial: serial(2) }),
        ("issue", issue(1)),
        ("issue, other serial", issue(2)),
        ("issue, other certificate", Event::Issue { serial: serial(1), fingerprint: fingerprint(2) }),
        ("deliver", Event::Deliver),
        ("decline 1", Event::Decline { dialog: Dialog::Key }),
        ("decline 2", Event::Decline { dialog: Dialog::Install }),
        ("activate", Event::Activate { fingerprint: fingerprint(1) }),
        ("activate, other certificate", Event::Activate { fingerprint: fingerprint(2) }),
        ("refuse", Event::Refuse),
        ("abandon", Event::Abandon { why: Why::Revoked }),
        ("abandon, same reason", Event::Abandon { why: Why::StartedAgain }),
        ("time", Event::Tick),
    ]
}

fn cell(basis: Basis, state: State, event: Event, now: UtcDateTime) -> String {
    let renewal = Renewal { state, ..Renewal::new(id(1), basis, NOW) };
    match renewal.step(&event, now, &Deadlines::default()) {
        Ok(next) if next == state => "·".to_owned(),
        Ok(next) => format!("**{next}**"),
        Err(refused) => match refused {
            Refused::Lapsed { .. } => "✗ lapsed",
            Refused::OtherKey { .. } => "✗ other key",
            Refused::OtherSerial { .. } => "✗ other serial",
            Refused::OtherCertificate { .. } => "✗ other certificate",
            Refused::OutOfPlace { .. } => "✗",
            other => panic!("{other:?} is no refusal of the machine"),
        }
        .to_owned(),
    }
}

fn table(title: &str, basis: Basis, now: UtcDateTime) -> String {
    let mut out = format!("## {title}\n\n| event |");
    for state in states() {
        write!(out, " {} |", state.as_str()).unwrap();
    }
    out.push_str("\n| --- |");
    out.push_str(&" --- |".repeat(states().len()));
    for (name, event) in events() {
        write!(out, "\n| {name} |").unwrap();
        for state in states() {
            write!(out, " {} |", cell(basis, state, event, now)).unwrap();
        }
    }
    out.push_str("\n\n");
    out
}

/// The instants and bases of the tables below, with their titles.
fn tables() -> [(&'static str, Basis, UtcDateTime); 5] {
    let end = NOW + Duration::days(10);
    let (renewal, enrolment) = (renewal_basis(end), Basis::Enrolment { predecessor_end: None });
    let (soon, late) = (NOW + Duration::HOUR, NOW + Duration::days(40));
    [
        ("A renewal, in time", renewal, soon),
        ("A renewal, after its predecessor's end", renewal, end),
        ("A renewal, after every deadline", renewal, late),
        ("An enrolment, in time", enrolment, soon),
        ("An enrolment, after every deadline", enrolment, late),
    ]
}

/// Every transition there is in the tables, by its events.
fn diagram() -> String {
    let mut arrows: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
    let place = |state: State| states().iter().position(|known| known.as_str() == state.as_str()).unwrap();
    for (_, basis, now) in tables() {
        for state in states() {
            for (_, event) in events() {
                let renewal = Renewal { state, ..Renewal::new(id(1), basis, NOW) };
                let Ok(next) = renewal.step(&event, now, &Deadlines::default()) else { continue };
                let words =
                    if next == state { continue } else { arrows.entry((place(state), place(next))).or_default() };
                let word = if event == Event::Tick { "time" } else { event.as_str() };
                if !words.contains(&word) {
                    words.push(word);
                }
            }
        }
    }
    let mut out = String::from("```mermaid\nstateDiagram-v2\n    [*] --> started\n");
    for ((from, to), words) in arrows {
        let (from, to) = (states()[from].as_str(), states()[to].as_str());
        writeln!(out, "    {from} --> {to}: {}", words.join(" / ")).unwrap();
    }
    for end in states().iter().filter(|state| state.is_end()) {
        writeln!(out, "    {end} --> [*]", end = end.as_str()).unwrap();
    }
    out + "```\n\n"
}

fn page() -> String {
    let mut out = String::from(
        "# Transitions of a renewal\n\n\
         Printed from the code by the test `the_table_is_the_one_people_read`. First one renewal by itself, then a subject \
         with all it holds, then the situations people get into.\n\n\
         **request** is \"yes\" to the first dialog, **intend** the commit of serial number and to-be-signed bytes, **issue** that \
         of the certificate, **deliver** \"yes\" to the second dialog, **decline** \"no\" to either, **activate** the first login \
         with the new certificate, **refuse** a refusal by the CA for good, **abandon** an end from outside (started again, an \
         enrolment instead, a revocation), **time** whatever a deadline ends.\n\n",
    );
    out += &diagram();
    out += "In the tables, **bold** is the next state, `·` changes nothing (a repetition, or something that is only recorded), \
            `✗` is refused and changes nothing.\n\n";
    for (title, basis, now) in tables() {
        out += &table(title, basis, now);
    }
    crate::situations::print(&mut out);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[test]
fn the_table_is_the_one_people_read() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/transitions.md");
    let printed = page();
    if std::env::var_os("KOSHIN_BLESS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    let read = std::fs::read_to_string(path).unwrap();
    assert!(read == printed, "transitions.md is stale: run the tests once with KOSHIN_BLESS=1 and read the difference");
}

#[test]
fn invariant_33_end_states_absorb() {
    for state in states().into_iter().filter(State::is_end) {
        for (name, event) in events() {
            for days in [0, 10, 400] {
                let renewal = Renewal { state, ..Renewal::new(id(1), renewal_basis(NOW + Duration::days(10)), NOW) };
                let answer = renewal.step(&event, NOW + Duration::days(days), &Deadlines::default());
                assert!(answer.is_err() || answer == Ok(state), "{name} changed {state}");
            }
        }
    }
}
