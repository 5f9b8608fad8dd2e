//! `koshin policy replay`, with scripts that were worked out by hand.
//!
//! The certificate ends on 22 December 2026 in Tokyo: the threshold of 30 days opens on 21 November at 15:00 UTC, that of
//! 10 days on 11 December at 15:00 UTC.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::program::{koshin, koshin_reading};

fn script(policy: &Value, events: &Value) -> Value {
    json!({"id": "s", "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-12-22T14:59:59Z", "policy": policy,
           "events": events})
}

/// The mails of a script under the usual policy.
fn mails(events: &Value) -> Value {
    mails_by(&json!({}), events)
}

fn mails_by(policy: &Value, events: &Value) -> Value {
    let answer = koshin_reading(format!("{}\n", script(policy, events)), ["policy", "replay"]).one();
    assert_eq!((answer["id"].as_str(), answer.as_object().unwrap().len()), (Some("s"), 2), "{answer}");
    answer["mails"].clone()
}

#[test]
fn run_sends_each_threshold_once_from_its_first_millisecond_on() {
    let events = json!([
        {"do": "run", "at": "2026-11-21T14:59:59.999Z"},
        {"do": "run", "at": "2026-11-21T15:00:00Z"},
        {"do": "run", "at": "2026-11-22T15:00:00Z"},
        {"do": "run", "at": "2026-12-11T14:59:59Z"},
        {"do": "run", "at": "2026-12-11T15:00:00.500Z"},
        {"do": "run", "at": "2026-12-22T14:59:59Z"},
        {"do": "run", "at": "2027-12-22T14:59:59Z"},
    ]);
    let both = json!([["2026-11-21T15:00:00Z", 30, "sent"], ["2026-12-11T15:00:00.500Z", 10, "sent"]]);
    assert_eq!(mails(&events), both);
    assert_eq!(mails_by(&json!({"mail_days": []}), &events), json!([]));
    // 30 days of 86,400 s before 22 December, 15:00 UTC.
    let instant = json!([["2026-12-11T14:59:59Z", 30, "sent"], ["2026-12-22T14:59:59Z", 10, "sent"]]);
    assert_eq!(
        mails_by(&json!({"mode": "instant"}), &json!([events[0], events[1], events[3], events[4], events[5]])),
        instant
    );
}

#[test]
fn the_first_run_inside_the_last_window_gives_one_mail() {
    let late = json!([{"do": "run", "at": "2026-12-14T15:00:00Z"}, {"do": "run", "at": "2026-12-15T15:00:00Z"}]);
    assert_eq!(mails(&late), json!([["2026-12-14T15:00:00Z", 10, "sent"]]));
    assert_eq!(mails(&json!([{"do": "run", "at": "2026-12-22T15:00:00Z"}])), json!([]), "expired");
    assert_eq!(mails(&json!([{"do": "run"}])), json!([]), "the clock stands at not_before");
    // Twenty days from end to end: the threshold of 30 days is open with the first second and never fires.
    let short = json!({"id": 1, "not_before": "2026-12-02T15:00:00Z", "not_after": "2026-12-22T14:59:59Z", "events": [
        {"do": "run"}, {"do": "run", "at": "2026-12-11T15:00:00Z"}]});
    let answer = koshin_reading(short.to_string(), ["policy", "replay"]).one();
    assert_eq!(answer, json!({"id": 1, "mails": [["2026-12-11T15:00:00Z", 10, "sent"]]}));
}

#[test]
fn run_two_at_once_sends_what_one_sends() {
    let events = json!([{"do": "run_two_at_once", "at": "2026-11-21T15:00:00Z"},
                        {"do": "run_two_at_once", "at": "2026-12-11T15:00:00Z"}]);
    assert_eq!(mails(&events), json!([["2026-11-21T15:00:00Z", 30, "sent"], ["2026-12-11T15:00:00Z", 10, "sent"]]));
}

#[test]
fn run_smtp_4xx_counts_for_nothing_and_is_tried_again() {
    let events = json!([
        {"do": "run_smtp_4xx", "at": "2026-11-21T15:00:00Z"},
        {"do": "run", "at": "2026-11-21T15:04:59Z"},
        {"do": "run", "at": "2026-11-21T15:05:00Z"},
    ]);
    assert_eq!(mails(&events), json!([["2026-11-21T15:05:00Z", 30, "sent"]]), "after five minutes");
    let events = json!([
        {"do": "run_smtp_4xx", "at": "2026-11-21T15:00:00Z"},
        {"do": "run_smtp_4xx", "at": "2026-11-30T15:00:00Z"},
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
        {"do": "run", "at": "2026-12-12T15:00:00Z"},
    ]);
    assert_eq!(mails(&events), json!([["2026-12-11T15:00:00Z", 10, "sent"]]), "the more urgent one takes its place");
    let events =
        json!([{"do": "run_smtp_4xx", "at": "2026-12-20T15:00:00Z"}, {"do": "run", "at": "2026-12-22T15:00:00Z"}]);
    assert_eq!(mails(&events), json!([]), "too late");
}

#[test]
fn run_smtp_5xx_counts_as_sent() {
    let events = json!([
        {"do": "run_smtp_5xx", "at": "2026-11-21T15:00:00Z"},
        {"do": "run", "at": "2026-11-22T15:00:00Z"},
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
    ]);
    assert_eq!(
        mails(&events),
        json!([["2026-11-21T15:00:00Z", 30, "undeliverable"], ["2026-12-11T15:00:00Z", 10, "sent"]])
    );
}

#[test]
fn run_crash_before_record_gives_one_repeat_and_no_more() {
    let events = json!([
        {"do": "run_crash_before_record", "at": "2026-11-21T15:00:00Z"},
        {"do": "run", "at": "2026-11-21T15:09:59Z"},
        {"do": "run", "at": "2026-11-21T15:10:00Z"},
        {"do": "run", "at": "2026-11-22T15:00:00Z"},
    ]);
    let repeated = json!([["2026-11-21T15:00:00Z", 30, "sent"], ["2026-11-21T15:10:00Z", 30, "repeat"]]);
    assert_eq!(mails(&events), repeated, "when the claim of the dead mailer is over");
    let twice = json!([
        {"do": "run_crash_before_record", "at": "2026-11-21T15:00:00Z"},
        {"do": "run_crash_before_record", "at": "2026-11-21T16:00:00Z"},
        {"do": "run", "at": "2026-11-21T17:00:00Z"},
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
    ]);
    assert_eq!(
        mails(&twice),
        json!([
            ["2026-11-21T15:00:00Z", 30, "sent"],
            ["2026-11-21T16:00:00Z", 30, "repeat"],
            ["2026-12-11T15:00:00Z", 10, "sent"]
        ])
    );
    let renewed = json!([
        {"do": "run_crash_before_record", "at": "2026-11-21T15:00:00Z"},
        {"do": "renewal", "to": "installed"},
        {"do": "run", "at": "2026-11-21T16:00:00Z"},
    ]);
    assert_eq!(mails(&renewed), json!([["2026-11-21T15:00:00Z", 30, "sent"]]));
    let idle = json!([{"do": "run_crash_before_record", "at": "2026-06-01T00:00:00Z"}]);
    assert_eq!(mails(&idle), json!([]), "without a mail nothing dies");
}

#[test]
fn policy_changes_some_keys_and_sends_nothing_twice() {
    let runs = |set: Value| {
        mails(&json!([
            {"do": "run", "at": "2026-12-11T15:00:00Z"},
            {"do": "policy", "set": set},
            {"do": "run"},
            {"do": "run", "at": "2026-12-20T15:00:00Z"},
        ]))
    };
    let ten = json!(["2026-12-11T15:00:00Z", 10, "sent"]);
    assert_eq!(runs(json!({"mail_days": [60, 30, 20, 10]})), json!([ten]), "nothing less urgent follows");
    assert_eq!(runs(json!({"mail_days": [30]})), json!([ten]));
    assert_eq!(runs(json!({"mode": "instant", "tz": "America/New_York"})), json!([ten]));
    assert_eq!(runs(json!({"mail_days": [10, 5]})), json!([ten, ["2026-12-20T15:00:00Z", 5, "sent"]]));
    // What was refused for now under the old thresholds is asked about again under the new ones.
    let refused = json!([
        {"do": "run_smtp_4xx", "at": "2026-12-14T15:00:00Z"},
        {"do": "policy", "to": {"mail_days": [30]}},
        {"do": "run", "at": "2026-12-14T16:00:00Z"},
        {"do": "policy", "set": {"mail_days": [30, 10]}},
        {"do": "run", "at": "2026-12-14T17:00:00Z"},
    ]);
    assert_eq!(mails(&refused), json!([["2026-12-14T16:00:00Z", 30, "sent"], ["2026-12-14T17:00:00Z", 10, "sent"]]));
    // The zone alone: 22 December in Tokyo is 22 December in Berlin, where the day begins eight hours later.
    let moved = json!([
        {"do": "policy", "set": {"tz": "Europe/Berlin"}},
        {"do": "run", "at": "2026-11-21T22:59:59Z"},
        {"do": "run", "at": "2026-11-21T23:00:00Z"},
    ]);
    assert_eq!(mails(&moved), json!([["2026-11-21T23:00:00Z", 30, "sent"]]));
}

#[test]
fn renewal_silences_only_when_it_is_installed() {
    let runs = |to: &str| {
        mails(&json!([
            {"do": "run", "at": "2026-11-21T15:00:00Z"},
            {"do": "renewal", "to": to, "at": "2026-12-01T00:00:00Z"},
            {"do": "run", "at": "2026-12-11T15:00:00Z"},
        ]))
    };
    let (thirty, ten) = (json!(["2026-11-21T15:00:00Z", 30, "sent"]), json!(["2026-12-11T15:00:00Z", 10, "sent"]));
    for to in ["none", "started", "issued"] {
        assert_eq!(runs(to), json!([thirty, ten]), "{to}");
    }
    assert_eq!(runs("installed"), json!([thirty]));
}

#[test]
fn revoke_ends_the_mails() {
    let events = json!([
        {"do": "run", "at": "2026-11-21T15:00:00Z"},
        {"do": "revoke"},
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
    ]);
    assert_eq!(mails(&events), json!([["2026-11-21T15:00:00Z", 30, "sent"]]));
    let refused = json!([
        {"do": "run_smtp_4xx", "at": "2026-11-21T15:00:00Z"},
        {"do": "revoke"},
        {"do": "run", "at": "2026-11-21T16:00:00Z"},
    ]);
    assert_eq!(mails(&refused), json!([]));
}

#[test]
fn new_certificate_begins_with_an_empty_record() {
    let events = json!([
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
        {"do": "new_certificate", "not_before": "2026-12-11T15:00:00Z", "not_after": "2027-12-11T14:59:59Z"},
        {"do": "run", "at": "2026-12-20T15:00:00Z"},
        {"do": "run", "at": "2027-11-10T15:00:00Z"},
        {"do": "run", "at": "2027-11-30T15:00:00Z"},
    ]);
    let all = json!([
        ["2026-12-11T15:00:00Z", 10, "sent"],
        ["2027-11-10T15:00:00Z", 30, "sent"],
        ["2027-11-30T15:00:00Z", 10, "sent"]
    ]);
    assert_eq!(mails(&events), all);
    // Issued on 11 December 2026 at 15:00 UTC for one year: 12 December in Tokyo.
    let year = json!([
        {"do": "new_certificate", "at": "2026-12-11T15:00:00Z"},
        {"do": "run", "at": "2027-11-11T14:59:59Z"},
        {"do": "run", "at": "2027-12-11T14:59:59Z"},
    ]);
    assert_eq!(mails(&year), json!([["2027-11-11T14:59:59Z", 30, "sent"], ["2027-12-11T14:59:59Z", 10, "sent"]]));
}

#[test]
fn a_clock_that_jumps_sends_nothing_twice() {
    let events = json!([
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
        {"do": "run", "at": "2026-11-25T15:00:00Z"},
        {"do": "run", "at": "2028-01-01T00:00:00Z"},
        {"do": "run", "at": "2026-12-12T15:00:00Z"},
    ]);
    assert_eq!(mails(&events), json!([["2026-12-11T15:00:00Z", 10, "sent"]]));
    let lost = json!([{"do": "run", "at": "2028-01-01T00:00:00Z"}, {"do": "run", "at": "2026-11-25T15:00:00Z"}]);
    assert_eq!(mails(&lost), json!([["2026-11-25T15:00:00Z", 30, "sent"]]), "a clock put right finds it again");
}

#[test]
fn a_script_that_cannot_be_used_is_named_with_its_key() {
    let good = script(&json!({}), &json!([{"do": "run", "at": "2026-11-21T15:00:00Z"}])).to_string();
    let with = |event: &str| good.replace(r#"{"at":"2026-11-21T15:00:00Z","do":"run"}"#, event);
    assert!(with("").len() < good.len(), "{good}");
    for (line, key) in [
        (good.replace("\"policy\":{}", "\"polcy\":{}"), "polcy: unknown field"),
        (good.replace("\"policy\":{}", "\"policy\":{\"mail_dayz\":[1]}"), "policy.mail_dayz: unknown field"),
        (good.replace("\"policy\":{}", "\"policy\":{\"tz\":\"Mars\"}"), "policy.tz: \"Mars\""),
        (good.replace("2026-12-22", "2025-12-22"), "not_after: notAfter"),
        (with(r#"{"do":"fly"}"#), "events[0].do: unknown variant `fly`"),
        (with(r#"{"do":"run","att":1}"#), "events[0].att: unknown field"),
        (with(r#"{"do":"run","at":"soon"}"#), "events[0].at: \"soon\" is no instant"),
        (with(r#"{"do":"run","set":1}"#), "events[0].set: means nothing"),
        (with(r#"{"do":"revoke"},{"do":"policy"}"#), "events[1].set: is missing"),
        (with(r#"{"do":"policy","set":{"mode":"lunar"}}"#), "events[0].set.mode: \"lunar\" is none of"),
        (with(r#"{"do":"policy","set":{"mail_days":[3,3]}}"#), "events[0].set.mail_days: the threshold of 3 days"),
        (with(r#"{"do":"policy","set":{"days":[3]}}"#), "events[0].set.days: unknown field"),
        (with(r#"{"do":"renewal","to":"lost"}"#), "events[0].to: unknown variant `lost`"),
        (with(r#"{"do":"renewal"}"#), "events[0].to: is missing"),
        (with(r#"{"do":"new_certificate","not_before":"2027-01-01T00:00:00Z"}"#), "events[0].not_after: is missing"),
        ("{}".to_owned(), "missing field `id`"),
    ] {
        let ended = koshin_reading(format!("{good}\n{line}\n{good}\n"), ["policy", "replay"]);
        assert_eq!((ended.status, ended.out.lines().count()), (2, 1), "{line}: {ended:?}");
        assert!(ended.err.starts_with(&format!("koshin: line 2: {key}")), "{line}: {}", ended.err);
    }
}

#[test]
fn thousands_of_scripts_take_seconds() {
    let mut input = String::new();
    for id in 0..2_000 {
        let days = 30 + id % 20;
        writeln!(
            input,
            r#"{{"id":{id},"not_before":"2026-01-01T00:00:00Z","not_after":"2026-12-22T14:59:59Z","policy":{{"tz":"Europe/Berlin","mail_days":[{days},10]}},"events":[{{"do":"run","at":"2026-12-01T00:00:00Z"}},{{"do":"run","at":"2026-12-15T00:00:00Z"}}]}}"#
        )
        .unwrap();
    }
    let begun = std::time::Instant::now();
    let ended = koshin_reading(&input, ["policy", "replay"]);
    assert_eq!((ended.status, ended.out.lines().count()), (0, 2_000), "{}", ended.err);
    assert_eq!(
        ended.out.lines().last(),
        Some(r#"{"id":1999,"mails":[["2026-12-01T00:00:00Z",49,"sent"],["2026-12-15T00:00:00Z",10,"sent"]]}"#)
    );
    // Unoptimized, on a machine that does other things too.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn the_help_tells_the_shape() {
    let help = koshin(["policy", "replay", "--help"]).out;
    for word in ["run_two_at_once", "run_smtp_4xx", "new_certificate", "\"events\"", "undeliverable", "repeat"] {
        assert!(help.contains(word), "{word}: {help}");
    }
    // But for the example, which has to stay in one piece.
    let words = |line: &&str| !line.starts_with('{');
    assert!(help.lines().filter(words).all(|line| line.chars().count() <= 100), "{help}");
}

/// Everything but the notices of expiry, of a script with an administrator.
fn others(administrator: &str, events: &Value) -> Value {
    let mut script = script(&json!({}), events);
    script["administrator"] = json!(administrator);
    koshin_reading(format!("{script}\n"), ["policy", "replay"]).one()["others"].clone()
}

/// Half of the time between 11 December, 15:00, and the end is over on 17 December, 3:00.
#[test]
fn an_administrator_is_told_when_the_holder_ignores_every_notice() {
    let events = json!([
        {"do": "run", "at": "2026-11-21T15:00:00Z"},
        {"do": "run", "at": "2026-11-23T10:00:00Z"},
        {"do": "run", "at": "2026-12-11T15:00:00Z"},
        {"do": "run", "at": "2026-12-17T02:59:59.999Z"},
        {"do": "run", "at": "2026-12-17T03:00:00Z"},
        {"do": "run_two_at_once", "at": "2026-12-18T03:00:00Z"},
    ]);
    assert_eq!(others("single", &events), json!([["2026-12-17T03:00:00Z", "escalation_administrator", "sent"]]));
    // On Mondays at 9, or as soon as somebody runs after that; it takes the place of the mail about one.
    let digests = json!([
        ["2026-11-23T10:00:00Z", "digest", "sent"],
        ["2026-12-11T15:00:00Z", "digest", "sent"],
        ["2026-12-17T02:59:59.999Z", "digest", "sent"],
    ]);
    assert_eq!(others("digest", &events), digests);
    let begun = json!([events[0], events[2], {"do": "renewal", "to": "started"}, events[4], events[5]]);
    assert_eq!(others("single", &begun), json!([]));
    let ended = koshin_reading(
        format!(
            "{}\n",
            json!({"id": 1, "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-12-22T14:59:59Z", "administrator": "often", "events": []})
        ),
        ["policy", "replay"],
    );
    assert!(ended.refused(2).contains("administrator"));
}
