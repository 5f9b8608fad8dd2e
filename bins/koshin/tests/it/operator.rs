//! The operator's work, and the exit statuses that scripts rely on.

use std::fs;

use serde_json::{Value, json};

use crate::program::{Site, koshin};

fn peopled() -> Site {
    let site = Site::new();
    site.run("organization add C-1 更新商店 --json").one();
    let added = site.run_reading("correct horse\n", &format!("subject add U-1 {WHO} --password-file - --json")).one();
    assert_eq!((&added["state"], &added["password"]), (&json!("not_enrolled"), &json!(true)));
    site
}

const WHO: &str = "--organization C-1 --name 更新太郎 --address taro@example.co.jp";

#[test]
fn an_organization_opts_out_of_digests() {
    let site = peopled();
    assert_eq!(site.run("organization digests C-1 off --json").one(), json!({"id": "C-1", "digests": "off"}));
    assert_eq!(site.run("organization list --json").one()["digests"], "off");
    site.run("organization digests C-1 on");
    assert_eq!(site.run("organization list --json").one()["digests"], "on");
    assert!(site.run("organization digests C-9 off").refused(3).contains("there is no organization C-9"));
    // Ten days before a permission of 80 days ends, its holder is reminded.
    let until = site.run("subject permit U-1 --json").one()["permitted_until"].as_str().unwrap().to_owned();
    let due = site.run(&format!("mail tomorrow --json --date {until}")).json();
    assert_eq!(due, Vec::<Value>::new(), "over");
    let day = until.split('T').next().unwrap();
    let due = site.run(&format!("mail tomorrow --json --date {day}T00:00:00Z")).json();
    let kinds: Vec<_> =
        due.iter().map(|mail| (mail["kind"].as_str().unwrap(), mail["subject"].as_str().unwrap())).collect();
    assert_eq!(kinds, [("enrolment_reminder", "U-1")]);
}

#[test]
fn from_nothing_to_a_permission() {
    let site = peopled();
    let organization = json!({"id": "C-1", "name": "更新商店", "digests": "on"});
    assert_eq!(site.run("organization list --json").json(), [organization]);
    site.run("subject add A-1 --organization C-1 --role administrator --language en --json").one();
    let permitted = site.run("subject permit U-1 --json").one();
    let listed = site.run("subject list --json").json();
    assert_eq!(listed.iter().map(|subject| subject["id"].clone()).collect::<Vec<_>>(), ["A-1", "U-1"]);
    let user = json!({
        "id": "U-1", "organization": "C-1", "role": "user", "name": "更新太郎", "language": "ja",
        "address": "taro@example.co.jp", "password": true, "state": "not_enrolled", "serial": null, "not_after": null,
        "days_left": null, "enrolment": true, "permitted_until": permitted["permitted_until"], "renewal": null,
        "last_sign_in": null,
    });
    assert_eq!(listed[1], user);
    assert_eq!((&listed[0]["enrolment"], &listed[0]["password"]), (&json!(false), &json!(false)));
    let mut shown = site.run("subject show U-1 --json").one();
    assert_eq!(shown.as_object_mut().unwrap().remove("certificates"), Some(json!([])));
    assert_eq!(shown, user);
    site.run("organization add C-2 x --json").one();
    assert_eq!(site.run("subject list --organization C-2 --json").json(), Vec::<Value>::new());
    assert_eq!(site.run("certificate list --json").json(), Vec::<Value>::new());
    assert_eq!(site.run("certificate list --expiring 30d --json").json(), Vec::<Value>::new());
    // Off a terminal the plain form has no head and no frame.
    assert_eq!(site.run("organization list").out, "C-1\t更新商店\ton\nC-2\tx\ton\n");
    assert!(site.run("subject list").out.starts_with("A-1\tC-1\tadmin\t-\tnot_enrolled\t-\t-\tclosed\t-\n"));
    // What it is comes first, and what is empty is said to be.
    let shown = site.run("subject show A-1").out;
    let lines: Vec<_> = shown.lines().collect();
    assert_eq!(lines[..4], ["id\tA-1", "organization\tC-1", "role\tadministrator", "name\t-"], "{shown}");
    assert_eq!(lines.last(), Some(&"certificates\t-"));
}

#[test]
fn everything_leaves_an_audit_record() {
    let site = peopled();
    let records = |site: &Site| {
        let report = site.run("audit replay --json").one();
        assert_eq!(report["ok"], true);
        report["records"].as_u64().unwrap()
    };
    let before = records(&site);
    assert_eq!(site.run("subject permit U-1").status, 0);
    site.run("subject set-address U-1 jiro@example.co.jp --at-once --json").one();
    site.run_reading("battery staple\n", "subject set-password U-1 --password-file - --json").one();
    assert_eq!(records(&site), before + 3);
    let cleared = site.run("subject set-address U-1 --none --json");
    assert_eq!(cleared.status, 0, "{cleared:?}");
    assert_eq!(site.run("subject show U-1 --json").one()["address"], Value::Null);
}

#[test]
fn every_exit_status() {
    let site = peopled();
    // 2: how the command is used.
    for usage in [
        "subject list --nonsense",
        "subject add -x --organization C-1",
        "subject add U-2 --organization C-1 --address nobody",
        "subject add U-2 --organization C-1 --role king",
        "certificate list --expiring soon",
        "subject revoke U-1 --reason because",
        "subject revoke U-1",
        "subject list --log foo=bar=baz",
        "subject set-password U-1 --password secret",
        "subject set-password U-1",
        "organization add C-2 \u{202e}evil",
    ] {
        site.run(usage).refused(2);
    }
    site.run_reading("short\n", "subject set-password U-1 --password-file -").refused(2);
    site.run_reading("short\n", "subject add U-2 --organization C-1 --password-file -").refused(2);
    let said = site.run("organization add C/2 x");
    assert!(said.refused(2).contains("'/' at octet 1 may not stand in an identifier"), "{said:?}");
    // 3: what was named is not there.
    for missing in [
        "subject show U-9",
        "subject permit U-9",
        "subject revoke U-9 --yes",
        "subject list --organization C-9",
        "certificate list --organization C-9",
        "certificate list --expiring 30d --organization C-9",
        "subject reissue U-9",
        "subject set-password U-9 --password-file -",
        "subject set-address U-9 taro@example.co.jp",
        "subject add U-2 --organization C-9",
    ] {
        site.run_reading("correct horse\n", missing).refused(3);
    }
    let nowhere = site.folder().join("nowhere");
    let nowhere = nowhere.to_str().unwrap();
    koshin(["organization", "list", "--config", nowhere]).refused(3);
    koshin(["organization", "list", "--data", nowhere]).refused(3);
    // 4: the state forbids it.
    for forbidden in [
        "organization add C-1 again",
        "subject add U-1 --organization C-1",
        "subject revoke U-1 --yes",
        "subject reissue U-1",
    ] {
        site.run(forbidden).refused(4);
    }
    // 0 and 1, and nothing of all that was done.
    assert_eq!(site.run("subject list --json").json().len(), 1);
    // Without its log, or SQLite would mend the file from it.
    fs::write(site.folder().join("koshin.db"), "no database").unwrap();
    let _ = fs::remove_file(site.folder().join("koshin.db-wal"));
    site.run("subject list").refused(1);
}

#[test]
fn a_lost_database_is_no_new_installation() {
    let site = peopled();
    let file = site.folder().join("koshin.db");
    for lost in [false, true] {
        if lost {
            fs::remove_file(&file).unwrap();
        } else {
            fs::write(&file, "").unwrap();
        }
        let _ = fs::remove_file(site.folder().join("koshin.db-wal"));
        for command in ["organization list", "subject add U-2 --organization C-1", "audit verify", "clock status"] {
            let ended = site.run(command);
            let said = ended.refused(3);
            assert!(said.contains(file.to_str().unwrap()) && said.contains("koshin init"), "{said}");
        }
        assert_eq!(fs::metadata(&file).map_or(0, |file| file.len()), 0);
    }
    assert!(!file.exists());
}

#[test]
fn a_permission_that_nobody_can_use_is_remarked_on() {
    let site = peopled();
    assert_eq!(site.run("subject permit U-1").err, "");
    site.run("subject add U-2 --organization C-1 --json").one();
    let permitted = site.run("subject permit U-2");
    assert_eq!(permitted.status, 0, "{permitted:?}");
    for what in ["password", "address"] {
        let expected = format!("U-2 cannot enrol yet: it has no {what}; `koshin subject set-{what} U-2`\n");
        assert!(permitted.err.contains(&expected), "{}", permitted.err);
    }
}

#[test]
fn a_permission_is_taken_back_alone_or_with_a_revocation() {
    let site = peopled();
    let enrols = |site: &Site| site.run("subject show U-1 --json").one()["enrolment"].clone();
    site.run("subject permit U-1 --json").one();
    assert_eq!(enrols(&site), true);
    let withdrawn = site.run("subject permit U-1 --withdraw --json").one();
    assert_eq!(withdrawn, json!({"id": "U-1", "done": "permission_withdrawn"}));
    assert_eq!(enrols(&site), false);
    assert!(site.run("subject permit U-1 --withdraw").refused(4).contains("has no open permission"));
    site.run("subject permit U-9 --withdraw").refused(3);

    site.run("subject permit U-1 --json").one();
    let revoked = site.run("subject revoke U-1 --yes --json").one();
    let expected = json!({"id": "U-1", "revoked": 0, "reason": "unspecified", "permission_withdrawn": true});
    assert_eq!(revoked, expected);
    assert_eq!(enrols(&site), false);
    site.run("subject revoke U-1 --yes").refused(4);
    assert_eq!(site.run("audit verify --json").one()["ok"], true);
    assert_eq!(site.run("audit replay --json").status, 0);
}

#[cfg(unix)]
#[test]
fn a_backup_holds_everything() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = peopled();
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("koshin.db");
    let command = format!("backup {} --json", copy.display());
    let made = site.run(&command).one();
    assert_eq!(made["octets"], fs::metadata(&copy).unwrap().len());
    assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(site.run(&command).refused(4).contains("exists already"));
    site.run("backup /nowhere/koshin.db").refused(3);
    site.run("subject add U-2 --organization C-1 --json").one();
    let listed = koshin(["subject", "list", "--json", "--data", folder.path().to_str().unwrap()]).json();
    assert_eq!((listed.len(), &listed[0]["id"]), (1, &json!("U-1")));
}

#[test]
fn a_text_from_outside_does_not_reach_the_terminal_raw() {
    let ended = koshin([
        "policy",
        "explain",
        "--not-before",
        "2026-01-01T00:00:00Z",
        "--not-after",
        "2026-12-22T14:59:59Z",
        "--policy",
        "{\"\u{1b}[2J\u{7}\u{202e}\":1}",
    ]);
    assert!(!ended.refused(2).contains(['\u{1b}', '\u{7}', '\u{202e}']), "{}", ended.err);
    let missing = koshin(["organization", "list", "--config", "\u{1b}]0;title\u{7}"]);
    assert!(!missing.refused(3).contains(['\u{1b}', '\u{7}']), "{}", missing.err);
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_koshin"))
        .args(["policy", "validity"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let mut questions = child.stdin.take().unwrap();
    // More than any pipe or buffer holds: the program has to meet its closed output.
    let line = "{\"id\":1,\"issue\":\"2026-01-01T00:00:00Z\"}\n".repeat(10_000);
    let _ = questions.write_all(line.as_bytes());
    drop(questions);
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8(ended.stderr).unwrap().as_str()), (Some(0), ""));
}

#[test]
fn the_exit_statuses_are_said() {
    let help = koshin(["--help"]).out;
    for status in ["0  done", "1  it failed", "2  ", "3  ", "4  ", "5  ", "6  busy"] {
        assert!(help.contains(&format!("\n  {status}")), "{help}");
    }
}

#[cfg(unix)]
#[test]
fn a_database_that_others_can_read_is_not_opened() {
    use std::os::unix::fs::PermissionsExt as _;
    let site = peopled();
    fs::set_permissions(site.folder().join("koshin.db"), fs::Permissions::from_mode(0o644)).unwrap();
    assert!(site.run("subject list").refused(5).contains("can be read by others"));
}

#[test]
fn a_demonstration_is_administered_by_its_folder() {
    let site = peopled();
    let folder = site.folder().to_str().unwrap();
    let listed = koshin(["subject", "list", "--json", "--data", folder]).json();
    assert_eq!(listed[0]["id"], "U-1");
    koshin(["subject", "list", "--data", folder, "--config", folder]).refused(2);
}
