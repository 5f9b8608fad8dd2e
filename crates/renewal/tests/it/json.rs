//! Facts as JSON, as logs have them: a change of these lines makes old logs unreadable.

use koshin_renewal::{Basis, Dialog, Fact, Why};
use koshin_types::{ProtectionLevel, RevocationReason, Validity};
use time::{Duration, macros::utc_datetime};

use crate::fixtures::{NOW, fingerprint, id, key, serial};

fn lines() -> Vec<(Fact, String)> {
    let at = NOW + Duration::milliseconds(7);
    let millis = 1_795_316_400_007_i64;
    let renewal = "01".repeat(16);
    let print = "02".repeat(32);
    let start = |basis| Fact::RenewalStarted { id: id(1), basis, again: 2, chain_started_at: at };
    let validity = Validity::new(utc_datetime!(2026-11-22 03:00), utc_datetime!(2027-11-22 02:59:59)).unwrap();
    let started = |basis: &str| {
        format!(
            r#"{{"fact":"renewal_started","id":"{renewal}","basis":{basis},"again":2,"chain_started_at":{millis}}}"#
        )
    };
    let fact = |rest: &str| format!(r#"{{"fact":{rest}}}"#);
    let of = |word: &str, rest: &str| fact(&format!(r#""{word}","id":"{renewal}"{rest}"#));
    vec![
        (
            start(Basis::Renewal { predecessor: serial(0), end: at }),
            started(&format!(r#"{{"kind":"renewal","predecessor":"0100","end":{millis}}}"#)),
        ),
        (
            start(Basis::Enrolment { predecessor_end: Some(at) }),
            started(&format!(r#"{{"kind":"enrolment","predecessor_end":{millis}}}"#)),
        ),
        (start(Basis::Enrolment { predecessor_end: None }), started(r#"{"kind":"enrolment","predecessor_end":null}"#)),
        (
            Fact::Requested { id: id(1), spki: key(2).spki, protection: ProtectionLevel::Os },
            of("requested", &format!(r#","spki":"{print}","protection":"os""#)),
        ),
        (Fact::Intended { id: id(1), serial: serial(2) }, of("intended", r#","serial":"0102""#)),
        (
            Fact::Issued { id: id(1), serial: serial(2), fingerprint: fingerprint(2), validity },
            of("issued", &format!(r#","serial":"0102","fingerprint":"{print}","validity":[1795316400,1826852399]"#)),
        ),
        (Fact::Delivered { id: id(1) }, of("delivered", "")),
        (Fact::Declined { id: id(1), dialog: Dialog::Key }, of("declined", r#","dialog":"key""#)),
        (Fact::Declined { id: id(1), dialog: Dialog::Install }, of("declined", r#","dialog":"install""#)),
        (Fact::Activated { id: id(1), serial: serial(2) }, of("activated", r#","serial":"0102""#)),
        (Fact::Superseded { serial: serial(0), by: serial(2) }, fact(r#""superseded","serial":"0100","by":"0102""#)),
        (
            Fact::Revoked { serial: serial(2), reason: RevocationReason::KeyCompromise },
            fact(r#""revoked","serial":"0102","reason":"keyCompromise""#),
        ),
        (Fact::Abandoned { id: id(1), why: Why::NoRequest }, of("abandoned", r#","why":"no_request""#)),
        (Fact::Abandoned { id: id(1), why: Why::NotActivated }, of("abandoned", r#","why":"not_activated""#)),
        (Fact::Abandoned { id: id(1), why: Why::StartedAgain }, of("abandoned", r#","why":"started_again""#)),
        (Fact::Abandoned { id: id(1), why: Why::Enrolment }, of("abandoned", r#","why":"enrolment""#)),
        (Fact::Abandoned { id: id(1), why: Why::Revoked }, of("abandoned", r#","why":"revoked""#)),
        (Fact::RenewalRefused { id: id(1) }, of("renewal_refused", "")),
        (Fact::RenewalExpired { id: id(1) }, of("renewal_expired", "")),
        (Fact::Deferred { serial: serial(2) }, fact(r#""deferred","serial":"0102""#)),
        (Fact::Permitted { until: at }, fact(&format!(r#""permitted","until":{millis}"#))),
        (Fact::PermissionUsed, fact(r#""permission_used""#)),
        (Fact::PermissionWithdrawn, fact(r#""permission_withdrawn""#)),
    ]
}

#[test]
fn every_fact_has_its_line() {
    for (fact, line) in lines() {
        assert_eq!(serde_json::to_string(&fact).unwrap(), line);
        assert_eq!(serde_json::from_str::<Fact>(&line).unwrap(), fact, "{line}");
        // The word in the line is the one that stands beside it in the log.
        assert!(line.starts_with(&format!(r#"{{"fact":"{}""#, fact.as_str())), "{line}");
        if let Fact::Abandoned { why, .. } = fact {
            assert!(line.contains(&format!(r#""why":"{}""#, why.as_str())), "{line}");
        }
    }
}

#[test]
fn what_is_no_fact_is_refused_with_the_reason() {
    let far = i64::MAX;
    for (line, reason) in [
        (r#"{"fact":"married"}"#.to_owned(), "unknown variant `married`"),
        (r#"{"fact":"delivered","id":"01"}"#.to_owned(), "identifier of 2 octets"),
        (r#"{"fact":"deferred","serial":"00"}"#.to_owned(), "positive"),
        (format!(r#"{{"fact":"permitted","until":{far}}}"#), "an instant out of range"),
        (
            lines()[1].1.replace(r#""predecessor_end":1795316400007"#, &format!(r#""predecessor_end":{far}"#)),
            "an instant out of range",
        ),
        (lines()[5].1.replace("1826852399", "1795316399"), "lies before notBefore"),
        (lines()[5].1.replace("1826852399", &far.to_string()), "range"),
    ] {
        let error = serde_json::from_str::<Fact>(&line).expect_err(&line).to_string();
        assert!(error.contains(reason), "{line}: {error}");
    }
}
