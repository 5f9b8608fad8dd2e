//! `koshin policy`, held against the specification of the expiry policy.

use std::{fmt::Write as _, time::Instant};

use serde_json::{Value, json};

use crate::program::{koshin, koshin_reading};

fn eval(line: &Value) -> Value {
    koshin_reading(format!("{line}\n"), ["policy", "eval"]).one()
}

fn validity(line: &Value) -> Value {
    koshin_reading(format!("{line}\n"), ["policy", "validity"]).one()
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
    let order = koshin_reading(format!("{short}\n"), ["policy", "eval"]).out;
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
        (with(r#""policy":{"tz":"Etc/Unknown"}"#), "policy.tz: \"Etc/Unknown\" is no zone"),
        (
            with(r#""policy":{"notice_days":65536}"#),
            "policy.notice_days: invalid value: integer `65536`, expected a whole number from 0 to 65535 (column",
        ),
        (with(r#""policy":{"reacquire_days":1.5}"#), "policy.reacquire_days: invalid type: floating point `1.5`, "),
        (with(r#""policy":{"mail_days":30}"#), "policy.mail_days: invalid type: integer `30`, expected an array"),
        (with(r#""state":{"grant":1}"#), "state.grant: invalid type: integer `1`, expected true or false"),
        // What serde would take for an object too: its members in their order.
        (with(r#""policy":["calendar","Asia/Tokyo"]"#), "policy: invalid type: array, expected an object"),
        (with(r#""state":[[],"active"]"#), "state: invalid type: array, expected an object"),
        (
            r#"[1,"2026-01-01T00:00:00Z","2026-12-22T14:59:59Z","2026-06-01T00:00:00Z"]"#.to_owned(),
            "invalid type: array",
        ),
        (good.replace("2026-06-01T00:00:00Z", "0000-01-01T00:00:00+09:00"), "now: \"0000-01-01T00:00:00+09:00\" is no"),
        (good.replace("2026-06-01T00:00:00Z", "June"), "now: \"June\" is no instant"),
        (good.replace("14:59:59Z", "14:59:59.5Z"), "not_after: validity is counted in whole seconds"),
        (good.replace("2026-12-22", "2025-12-22"), "not_after: notAfter"),
        (good.replace("\"id\":1,", ""), "missing field `id`"),
        ("{".to_owned(), "EOF while parsing"),
        (format!("{good}{good}"), "trailing characters"),
    ] {
        let ended = koshin_reading(format!("{good}\n\n{line}\n{good}\n"), ["policy", "eval"]);
        assert_eq!((ended.status, ended.out.lines().count()), (2, 1), "{line}: {ended:?}");
        assert!(ended.err.starts_with(&format!("koshin: line 3: {key}")), "{line}: {}", ended.err);
        assert!(!ended.err.contains(" at line "), "{}", ended.err);
    }
}

#[test]
fn an_id_comes_back_as_it_was_written() {
    for id in [
        r#""\u0041\/é更新""#,
        "1.0e3",
        "-0",
        "123456789012345678901234567890",
        "null",
        r#"{"b": 1,  "a": [1, 2.50]}"#,
        "[[[[[[1]]]]]]",
    ] {
        let line = format!(
            r#"{{"not_before":"2026-01-01T00:00:00Z","id":  {id} ,"not_after":"2026-12-22T14:59:59Z","now":"2026-06-01T00:00:00Z"}}"#
        );
        let answer = koshin_reading(&line, ["policy", "eval"]).out;
        assert!(answer.starts_with(&format!("{{\"id\":{id},\"phase\":")), "{answer}");
        let issue = format!(r#"{{"id":{id},"issue":"2026-01-01T00:00:00Z"}}"#);
        let answer = koshin_reading(&issue, ["policy", "validity"]).out;
        assert!(answer.starts_with(&format!("{{\"id\":{id},\"not_before\":")), "{answer}");
        let script = format!(
            r#"{{"id":{id},"not_before":"2026-01-01T00:00:00Z","not_after":"2026-12-22T14:59:59Z","events":[]}}"#
        );
        assert_eq!(koshin_reading(&script, ["policy", "replay"]).out, format!("{{\"id\":{id},\"mails\":[]}}\n"));
    }
}

#[test]
fn a_line_that_is_no_text_or_too_much_of_it_is_named() {
    let good = r#"{"id":1,"issue":"2026-01-01T00:00:00Z"}"#;
    let said = |octets: &[u8], line: &str| {
        let ended = koshin_reading(octets, ["policy", "validity"]);
        assert_eq!(ended.status, 2, "{ended:?}");
        assert!(ended.err.starts_with(&format!("koshin: {line}: ")), "{}", ended.err);
        assert!(ended.err.len() < 1000 && ended.err.lines().count() == 1, "{}", ended.err);
        ended.err
    };
    assert!(said(format!("\u{feff}{good}").as_bytes(), "line 1").contains("byte order mark"));
    let mut foreign = format!("{good}\n").into_bytes();
    foreign.extend(b"{\"id\":\"\x93\xfa\"}\n");
    assert!(said(&foreign, "line 2").contains("no UTF-8 (column 8)"));
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    said(&[b"\xff\xfe".as_slice(), &utf16].concat(), "line 1");
    for long in ["x".repeat(100_000), "[".repeat(100_000)] {
        said(format!(r#"{{"{long}":1}}"#).as_bytes(), "line 1");
        said(format!(r#"{{"id":1,"issue":"{long}"}}"#).as_bytes(), "line 1");
    }
    for open in ["[", r#"{"a":"#] {
        said(format!(r#"{{"id":1,"issue":{}"#, open.repeat(50_000)).as_bytes(), "line 1");
        said(format!(r#"{{"id":{}"#, open.repeat(50_000)).as_bytes(), "line 1");
    }
    said(format!(r#"{{"id":"{}"}}"#, "x".repeat(1 << 20)).as_bytes(), "line 1");
}

#[test]
fn before_the_calendar_begins_there_is_its_first_instant() {
    let line = json!({"id": 1, "not_before": "0000-01-01T00:00:00Z", "not_after": "0000-01-15T00:00:00Z",
                      "now": "0000-01-02T00:00:00Z"});
    assert_eq!(eval(&line)["window_opens"], "0000-01-01T00:00:00Z");
    let line = json!({"id": 1, "issue": "0000-01-01T00:00:00Z", "tz": "UTC"});
    assert_eq!(validity(&line)["not_before"], "0000-01-01T00:00:00Z");
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

    let wrong = |edit: &str| koshin_reading(line.to_string().replace("\"rule\"", edit), ["policy", "validity"]);
    assert!(wrong("\"ruel\"").refused(2).contains("line 1: ruel: unknown field"));
    let ended = koshin_reading(line.to_string().replace("p1y", "p2y"), ["policy", "validity"]);
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
    assert!(revoked.contains("01:00:00 CET") && revoked.contains("cannot log in with it"), "{revoked}");
    assert!(revoked.contains("CET (2026-11-01T00:00:00Z)\n  The certificate is revoked, for ever.\n"), "{revoked}");
    assert!(explain(&["--status", "superseded"]).out.contains(")\n  The certificate is superseded"));
    assert!(explain(&["--renewal", "installed"]).out.contains(")\n  The certificate's successor is installed"));
    assert!(explain(&["--policy", r#"{"notice_dayz":1}"#]).refused(2).contains("--policy: notice_dayz: unknown field"));
    assert!(explain(&["--policy", "[]"]).refused(2).contains("--policy: invalid type: array, expected an object"));
}

#[test]
fn a_story_is_told_to_its_end() {
    let days: Vec<_> = (1..=40).collect();
    let policy = json!({"mail_days": days, "reacquire_days": 400}).to_string();
    let explained = koshin([
        "policy",
        "explain",
        "--not-before",
        "2026-01-01T00:00:00Z",
        "--not-after",
        "2026-12-22T14:59:59Z",
        "--now",
        "2026-01-01T00:00:00Z",
        "--policy",
        &policy,
        "--json",
    ])
    .one();
    let changes = explained["changes"].as_array().unwrap();
    let said = |at: usize| changes[at].to_string();
    assert!(said(0).contains("The 40-day mail is due"), "{changes:?}");
    let last = changes.len() - 1;
    assert!(said(last - 1).contains("The certificate has expired") && said(last).contains("The time for enrolment"));
    assert_eq!(changes.iter().filter(|change| change.to_string().contains("mail is due")).count(), 40);
    assert!(explained.get("id").is_none());
}
