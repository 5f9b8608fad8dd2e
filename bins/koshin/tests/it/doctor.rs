//! `koshin doctor`: a healthy installation, an ill one, and one whose database was put back from a backup.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration as Wait, Instant},
};

use serde_json::{Value, json};
use time::Duration;

use crate::{
    clock::remember,
    config::server_certificate,
    est::{Shell, person},
    program::{Ended, Site, koshin},
    serve::{Running, choose_ports, choose_ports_in, fetch, five_ports},
};

fn problems(ended: &Ended) -> Vec<String> {
    let found: Value = serde_json::from_str(&ended.out).unwrap_or_else(|error| panic!("{error}: {ended:?}"));
    let problems: Vec<String> = serde_json::from_value(found["problems"].clone()).unwrap();
    let ok = problems.is_empty();
    assert_eq!((found["ok"].as_bool(), ended.status), (Some(ok), i32::from(!ok)), "{ended:?}");
    problems
}

#[test]
fn a_good_installation_has_no_problems() {
    let site = Site::new();
    server_certificate(&site);
    choose_ports(&site);
    assert_eq!(site.run("doctor --json").one(), json!({"ok": true, "problems": [], "warnings": []}));
    site.run("organization add C-1 x --json").one();
    assert_eq!(problems(&site.run("doctor --json")), [""; 0]);
    // There is nothing to bring it up to.
    assert!(site.run("doctor --after-restore --crl-lost").refused(4).contains("nothing to reconcile"));
    site.run("doctor --crl-lost").refused(2);
}

#[test]
fn every_problem_is_named() {
    let site = Site::new();
    server_certificate(&site);
    remember(&site.folder().join("koshin.db"), Duration::hours(2));
    fs::remove_file(site.folder().join("tls/server.key")).unwrap();
    let ended = site.run("doctor --json");
    let found = problems(&ended);
    let says = |part: &str| found.iter().any(|problem| problem.contains(part));
    assert!(found.len() == 2 && says("koshin.toml: tls.key: ") && says("`koshin clock confirm`"), "{found:?}");
    assert!(ended.err.contains("2 problems were found"), "{ended:?}");

    fs::write(site.folder().join("tls/server.pem"), "none").unwrap();
    fs::remove_file(site.folder().join("koshin.db")).unwrap();
    let found = problems(&site.run("doctor --json"));
    let says = |part: &str| found.iter().any(|problem| problem.contains(part));
    assert!(says("tls.certificate: ") && says("tls.key: ") && says("there is no database"), "{found:?}");
    assert!(!site.folder().join("koshin.db").exists());
}

/// An installation on the CA, the people and the database that a demonstration made, and what it said of them.
fn peopled(folder: &Path) -> Value {
    let (data, base) = (folder.to_str().unwrap(), five_ports().to_string());
    let mut demo = Running::start(&["demo", "--json", "--data", data, "--port-base", &base]);
    let ready = serde_json::from_str(&demo.first_line()).unwrap();
    assert_eq!(demo.end("TERM").0, Some(0));
    let made = Site::new();
    let mut text = fs::read_to_string(made.folder().join("koshin.toml")).unwrap();
    for (there, here) in [
        ("\"ca/issuing.", "\"issuing."),
        ("\"ca/root.", "\"root."),
        ("\"tls/server.", "\"server."),
        ("# [est]\n# holders", "[est]\nholders"),
    ] {
        assert!(text.contains(there), "{there}");
        text = text.replace(there, here);
    }
    fs::write(folder.join("koshin.toml"), text).unwrap();
    fs::create_dir(folder.join("audit")).unwrap();
    fs::copy(made.folder().join("audit/audit.key"), folder.join("audit/audit.key")).unwrap();
    ready
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Wait::from_secs(20), "{what}");
        sleep(Wait::from_millis(50));
    }
}

#[test]
fn a_database_that_was_put_back_issues_again_after_it_was_reconciled() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().canonicalize().unwrap();
    let file = |name: &str| folder.join(name);
    let ready = peopled(&folder);
    let port = choose_ports_in(&folder);
    let config = file("koshin.toml");
    let config = config.to_str().unwrap();
    let run = |words: &str| koshin(words.split(' ').chain(["--config", config]));
    let serve = || Running::start(&["serve", "--config", config]);
    let mut shell = shell(&folder, config, &ready);
    let listed = |serial: &str| {
        let list = shell_out(&folder, "openssl crl -inform DER -in lists/issuing.crl -noout -text");
        list.contains(serial.trim_start_matches('0'))
    };

    // After the backup somebody is revoked, and the list says so.
    let service = serve();
    fetch(port, "/issuing.crl");
    assert_eq!(problems(&run("doctor --json")), [""; 0]);
    let backup = file("backup.db");
    run(&format!("backup {} --json", backup.to_str().unwrap())).one();
    fs::copy(file("lists/issuing.crl"), file("older.crl")).unwrap();
    let serial = run("subject show U-0030 --json").one()["serial"].as_str().unwrap().to_owned();
    run("subject revoke U-0030 --reason keyCompromise --yes --json").one();
    eventually("the list names it", || listed(&serial));
    assert_eq!(service.end("TERM").0, Some(0));
    for beside in ["koshin.db-wal", "koshin.db-shm"] {
        let _ = fs::remove_file(file(beside));
    }
    fs::rename(backup, file("koshin.db")).unwrap();
    assert!(file("koshin.db.witness").exists());

    // It serves: people log in. It issues nothing.
    let service = serve();
    fetch(port, "/issuing.crl");
    let found = problems(&run("doctor --json"));
    assert!(found.len() == 1 && found[0].contains("`koshin doctor --after-restore`"), "{found:?}");
    let ticket: Value = serde_json::from_str(shell.run(TICKET).trim()).unwrap();
    shell.set("TICKET", ticket["ticket"].as_str().unwrap());
    assert_eq!(shell.run(RENEW), "503");
    assert_eq!(shell.run(RENEW), "503");

    // An older list knows less than was published; the newest names whom the registry still takes.
    let older = run(&format!("doctor --after-restore --crl {}", file("older.crl").to_str().unwrap()));
    assert!(older.refused(4).contains("list"), "{older:?}");
    let valid = run("doctor --after-restore --json");
    let said = valid.refused(4);
    assert!(said.contains(&format!("{serial} is revoked by the list (keyCompromise)")), "{said}");
    assert!(said.contains("koshin subject revoke"), "{said}");
    assert_eq!(problems(&run("doctor --json")).len(), 1);
    assert_eq!(shell.run(RENEW), "503");
    run("subject revoke U-0030 --reason keyCompromise --yes --json").one();
    let done = run("doctor --after-restore --operator 山田 --json").one();
    assert_eq!((&done["reconciled"], &done["adopted"]), (&json!(true), &json!(0)), "{done}");

    // Everything goes on, in the service that runs, too.
    assert_eq!(problems(&run("doctor --json")), [""; 0]);
    eventually("it issues again", || shell.run(RENEW) == "200");
    eventually("the next list names it too", || {
        fs::read(file("lists/issuing.crl")).unwrap() != fs::read(file("older.crl")).unwrap() && listed(&serial)
    });
    assert!(run("doctor --after-restore").refused(4).contains("nothing to reconcile"));
    assert_eq!(run("audit verify --json").one()["ok"], true);
    assert_eq!(service.end("TERM").0, Some(0));
    assert_eq!(problems(&run("doctor --json")), [""; 0]);
}

/// Logs in with certificate and password, and asks for a renewal ticket.
const TICKET: &str = r#"
curl -sS --cert old.pem --key old.key -c session --data-urlencode "id=$ID" --data-urlencode "password=$PASSWORD" "$PORTAL/login" >/dev/null
curl -sS --cert old.pem --key old.key -b session -H "Accept: application/json" -X POST "$PORTAL/ticket"
"#;

/// Renews by EST; the status of the answer.
const RENEW: &str = r#"
curl -sS --cert old.pem --key old.key -u "$ID:$TICKET" -H "Content-Type: application/pkcs10" --data-binary @new.b64 -o new.p7 -w '%{http_code}' "$PORTAL/.well-known/est/simplereenroll"
"#;

/// Somebody whose certificate has eight days left, with a request for a new key.
fn shell<'a>(folder: &'a Path, config: &str, ready: &Value) -> Shell<'a> {
    let mut shell = Shell { folder, variables: Vec::new() };
    let holder = person(ready, "U-0008");
    let text = fs::read_to_string(config).unwrap();
    let portal = text.lines().find_map(|line| line.strip_prefix("portal = \"https:")).unwrap();
    shell.set("CURL_CA_BUNDLE", folder.join("server-ca.pem").to_str().unwrap());
    shell.set("PORTAL", &format!("https:{}", portal.trim_end_matches('"')));
    shell.set("ID", "U-0008");
    for (name, key) in [("PASSWORD", "password"), ("FILE", "p12"), ("PASSPHRASE", "p12_passphrase")] {
        shell.set(name, holder[key].as_str().unwrap());
    }
    shell.run(
        "openssl pkcs12 -in \"$FILE\" -passin env:PASSPHRASE -nocerts -noenc -out old.key\n\
         openssl pkcs12 -in \"$FILE\" -passin env:PASSPHRASE -clcerts -nokeys -out old.pem\n\
         openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout new.key -subj / -outform DER -out new.der\n\
         openssl base64 -in new.der -out new.b64",
    );
    shell
}

fn shell_out(folder: &Path, line: &str) -> String {
    Shell { folder, variables: Vec::new() }.run(line)
}
