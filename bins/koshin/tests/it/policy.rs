//! `koshin policy`, held against the specification of the expiry policy.

use std::{fmt::Write as _, time::Instant};

use serde_json::{Value, json};

use crate::program::{koshin, koshin_reading};

fn eval(line: &Value) -> Value {
    koshin_reading(&format!("{line}\n"), ["policy", "eval"]).one()
}

fn validity(line: &Value) -> Value {
    koshin_reading(&format!("{line}\n"), ["policy", "validity"]).one()
}

#[test]
fn a_decision_has_the_promised_members_and_words() {
    let line = json!({
        "id": "a", "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-12-22T14:59:59Z",
        "now": "2026-11-21T15:00:00Z",
        "policy": {"mode": "calendar", "tz": "Asia/Tokyo", "notice_days": 30, "mail_days": [30, 10],
                   "reacquire_days": 90, "renew_after_expiry_days": 0},
        "state": {"sent": [], "status": "active", "renewal": "none", "grant": false},
    });
    let decision = json!({
        "id": "a", "phase": "valid", "login": true, "notice": true, "renewal": true, "reacquire": false,
        "mails_due": [30], "mails_closed": [], "days_left": 30,
        "window_opens": "2026-11-21T15:00:00Z", "ends": "2026-12-22T15:00:00Z", "next_change": "2026-11-22T15:00:00Z",
    });
    assert_eq!(eval(&line), decision);
    // Everything that may be left out has the value that was written above.
    let short =
        json!({"id": "a", "not_before": line["not_before"], "not_after": line["not_after"], "now": line["now"]});
    assert_eq!(eval(&short), decision);
    let order = koshin_reading(&format!("{short}\n"), ["policy", "eval"]).out;
    assert!(order.starts_with("{\"id\":\"a\",\"phase\":\"valid\",\"login\":true,\"notice\":"), "{order}");
}

#[test]
fn late_start_expiry_and_a_window_without_end() {
    let line = |now: &str, policy: Value, state: Value| {
        json!({"id": 7, "not_before": "2026-01-01T00:00:00Z", "not_after": "2026-12-22T14:59:59Z", "now": now,
               "policy": policy, "state": state})
    };
    let late = eval(&line("2026-12-15T00:00:00.500Z", json!({}), json!({})));
    assert_eq!(
        (&late["mails_due"], &late["mails_closed"], &late["days_left"]),
        (&json!([10]), &json!([30]), &json!(7))
    );
    let expired = eval(&line("2026-12-22T15:00:00Z", json!({"reacquire_days": null}), json!({})));
    assert_eq!(
        (&expired["phase"], &expired["reacquire"], &expired["days_left"], &expired["next_change"]),
        (&json!("expired"), &json!(true), &Value::Null, &Value::Null)
    );
    let installed = eval(&line("2026-12-15T00:00:00Z", json!({"mode": "instant"}), json!({"renewal": "installed"})));
    assert_eq!((&installed["login"], &installed["notice"]), (&json!(false), &json!(false)));
    assert_eq!(installed["window_opens"], "2026-11-22T15:00:00Z");
    let granted = eval(&line("2026-12-15T00:00:00Z", json!({}), json!({"status": "revoked", "grant": true})));
    assert_eq!((&granted["renewal"], &granted["reacquire"]), (&json!(false), &json!(true)));
}

#[test]
fn a_line_that_cannot_be_used_is_named_with_its_key() {
    let good = r#"{"id":1,"not_before":"2026-01-01T00:00:00Z","not_after":"2026-12-22T14:59:59Z","now":"2026-06-01T00:00:00Z"}"#;
    let with = |more: &str| good.replace('}', &format!(",{more}}}"));
    for (line, key) in [
        (with(r#""polcy":{}"#), "polcy: unknown field"),
        (with(r#""policy":{"notice_dayz":30}"#), "policy.notice_dayz: unknown field"),
        (with(r#""state":{"sended":[]}"#), "state.sended: unknown field"),
        (with(r#""policy":{"mode":"lunar"}"#), "policy.mode: \"lunar\" is none of"),
        (with(r#""policy":{"tz":"Asia/Nowhere"}"#), "policy.tz: \"Asia/Nowhere\""),
        (with(r#""policy":{"mail_days":[30,30]}"#), "policy.mail_days: the threshold of 30 days is named twice"),
        (with(r#""policy":{"mail_days":[30,-1]}"#), "policy.mail_days[1]: invalid value"),
        (with(r#""policy":{"renew_after_expiry_days":1}"#), "policy.renew_after_expiry_days: only 0"),
        (with(r#""state":{"status":"pending"}"#), "state.status: unknown variant"),
        (good.replace("2026-06-01T00:00:00Z", "June"), "now: \"June\" is no instant"),
        (good.replace("14:59:59Z", "14:59:59.5Z"), "not_after: validity is counted in whole seconds"),
        (good.replace("2026-12-22", "2025-12-22"), "not_after: notAfter"),
        (good.replace("\"id\":1,", ""), "missing field `id`"),
        ("{".to_owned(), "EOF while parsing"),
        (format!("{good}{good}"), "trailing characters"),
    ] {
        let ended = koshin_reading(&format!("{good}\n\n{line}\n{good}\n"), ["policy", "eval"]);
        assert_eq!((ended.status, ended.out.lines().count()), (2, 1), "{line}: {ended:?}");
        assert!(ended.err.starts_with(&format!("koshin: line 3: {key}")), "{line}: {}", ended.err);
        assert!(!ended.err.contains(" at line "), "{}", ended.err);
    }
}

#[test]
fn validities_by_every_rule() {
    let line = json!({"id": "leap", "issue": "2024-02-29T03:00:00.900Z", "tz": "Asia/Tokyo", "rule": "p1y",
                      "backdate_s": 300, "ca_not_after": "2040-01-01T00:00:00Z"});
    let given = json!({"id": "leap", "not_before": "2024-02-29T02:55:00Z", "not_after": "2025-02-28T02:59:59Z",
                       "seconds_inclusive": 365 * 86_400 + 300});
    assert_eq!(validity(&line), given);
    let rule = |rule: &str| {
        let mut line = line.clone();
        line["rule"] = json!(rule);
        validity(&line)
    };
    assert_eq!(rule("p1y-eod")["not_after"], "2025-02-28T14:59:59Z");
    assert_eq!(rule("days:1")["not_after"], "2024-03-01T02:59:59Z");
    let refused = rule("days:36500");
    assert_eq!(refused["id"], "leap");
    assert!(refused["refuse"].as_str().unwrap().contains("beyond the CA certificate"), "{refused}");
    assert!(refused.get("not_after").is_none());

    let wrong = |edit: &str| koshin_reading(&line.to_string().replace("\"rule\"", edit), ["policy", "validity"]);
    assert!(wrong("\"ruel\"").refused(2).contains("line 1: ruel: unknown field"));
    let ended = koshin_reading(&line.to_string().replace("p1y", "p2y"), ["policy", "validity"]);
    assert!(ended.refused(2).contains("line 1: rule: \"p2y\" is none of p1y, p1y-eod, days:N"));
}

#[test]
fn a_hundred_thousand_lines_take_seconds() {
    let mut input = String::new();
    for id in 0..100_000 {
        let (month, hour) = (1 + id % 12, id % 24);
        writeln!(
            input,
            r#"{{"id":{id},"not_before":"2026-01-01T00:00:00Z","not_after":"2026-12-22T14:59:59Z","now":"2026-{month:02}-21T{hour:02}:00:00Z","policy":{{"notice_days":{}}}}}"#,
            id % 60
        )
        .unwrap();
    }
    let begun = Instant::now();
    let ended = koshin_reading(&input, ["policy", "eval"]);
    assert_eq!((ended.status, ended.out.lines().count()), (0, 100_000), "{}", ended.err);
    assert!(ended.out.lines().last().unwrap().starts_with("{\"id\":99999,"));
    // Unoptimized, on a machine that does other things too.
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}

#[test]
fn an_answer_comes_before_the_next_question() {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        process::{Command, Stdio},
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_koshin"))
        .args(["policy", "validity"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut questions = child.stdin.take().unwrap();
    let mut answers = BufReader::new(child.stdout.take().unwrap());
    for id in 0..3 {
        writeln!(questions, r#"{{"id":{id},"issue":"2026-01-01T00:00:00Z"}}"#).unwrap();
        let mut answer = String::new();
        answers.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("{{\"id\":{id},\"not_before\":\"2025-12-31T23:55:00Z\"")), "{answer}");
    }
    drop(questions);
    assert!(child.wait().unwrap().success());
}

#[test]
fn explained_for_a_person_and_for_a_program() {
    let at = ["--not-before", "2026-01-01T00:00:00Z", "--not-after", "2026-12-22T14:59:59Z"];
    let now = ["--now", "2026-11-01T00:00:00Z"];
    let explain = |more: &[&'static str]| {
        koshin(["policy", "explain"].into_iter().chain(at).chain(now).chain(more.iter().copied()))
    };
    insta::assert_snapshot!(explain(&[]).out);
    let object = explain(&["--json"]).one();
    assert_eq!((&object["phase"], &object["changes"][0]["at"]), (&json!("valid"), &json!("2026-11-21T15:00:00Z")));
    let revoked = explain(&["--status", "revoked", "--policy", r#"{"tz":"Europe/Berlin"}"#]).out;
    assert!(revoked.contains("01:00:00 CET") && revoked.contains("cannot log in"), "{revoked}");
    assert!(explain(&["--policy", r#"{"notice_dayz":1}"#]).refused(2).contains("notice_dayz"));
}
