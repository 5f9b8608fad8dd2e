//! `koshin mail` and `koshin task`, and what the service does with mails that come back.

use std::{
    fs,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};

use koshin_notify::{MailId, Verp};
use serde_json::{Value, json};

use crate::{
    config::server_certificate,
    program::{Ended, Site, koshin},
    serve::{Running, choose_ports, five_ports},
};

/// Writes into the configuration, below `[mail]`.
fn configure(site: &Site, lines: &str) {
    let file = site.folder().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.find("\n[policy]\n").unwrap();
    fs::write(&file, format!("{}{lines}{}", &text[..at], &text[at..])).unwrap();
}

fn write(site: &Site, name: &str, text: &str) {
    let file = site.folder().join(name);
    fs::create_dir_all(file.parent().unwrap()).unwrap();
    fs::write(file, text).unwrap();
}

fn complaints(ended: &Ended) -> Vec<(String, u64, String)> {
    let views = ended.out.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |view: &Value, key: &str| view[key].as_str().unwrap().to_owned();
    views.map(|view| (text(&view, "file"), view["line"].as_u64().unwrap(), text(&view, "reason"))).collect()
}

const OWN: &str = "Subject: Ends {{ end_date }}\n\nOur own words: {{ id }}, {{ not_after }}.\n";

#[test]
fn texts_are_checked_before_anything_is_taken_from_them() {
    let site = Site::new();
    server_certificate(&site);
    configure(&site, "\ntexts = \"texts\"\n");
    assert!(site.run("config check").refused(1).contains("mail.texts: "), "there is no such folder");
    write(&site, "texts/en/expiry.txt", OWN);
    let folder = site.folder().join("texts");
    let good = koshin(["mail", "lint", folder.to_str().unwrap(), "--json"]);
    assert_eq!((good.status, good.out.as_str()), (0, ""), "{good:?}");
    assert_eq!(site.run("mail lint").status, 0);
    assert_eq!(site.run("config check").status, 0);

    let wrong = "Subject: Ends\n\nhttps://bank.example\n{{ nobody }} {{ id }} {{ not_after }}\n";
    write(&site, "texts/en/expiry.txt", wrong);
    write(&site, "texts/ja/nothing.txt", OWN);
    let found = site.run("mail lint --json");
    assert_eq!(found.status, 1, "{found:?}");
    let found = complaints(&found);
    let has = |file: &str, line: u64, reason: &str| {
        found.iter().any(|one| one.0.ends_with(file) && one.1 == line && one.2.contains(reason))
    };
    assert!(has("en/expiry.txt", 3, "a link"), "{found:?}");
    assert!(has("en/expiry.txt", 4, "nobody has no value here"), "{found:?}");
    assert!(has("ja/nothing.txt", 0, "no text of this name"), "{found:?}");
    let checked = site.run("config check");
    let said = checked.refused(1);
    for (file, line, reason) in &found {
        let place = if *line == 0 { file.clone() } else { format!("{file}:{line}") };
        assert!(said.contains(&format!("mail.texts: {place}: {reason}")), "{place}: {said}");
    }
    assert!(site.run("serve").refused(1).contains("mail.texts: "));
    assert!(site.run("mail preview expiry").refused(1).contains("mail.texts: "));

    let without = Site::new();
    without.run("mail lint").refused(2);
}

#[test]
fn a_mail_is_shown_as_it_would_be_sent() {
    let site = Site::new();
    let at = "--date 2026-11-22T00:00:00Z";
    let shown = site.run(&format!("mail preview expiry --language en {at}"));
    assert!(shown.out.starts_with("Subject: ") && shown.out.contains("22 December 2026"), "{shown:?}");
    let japanese = site.run(&format!("mail preview expiry {at} --json")).one();
    assert_eq!((&japanese["language"], &japanese["name"]), (&json!("ja"), &json!("expiry")));
    assert!(japanese["text"].as_str().unwrap().contains("2026年12月22日"), "{japanese}");
    assert!(site.run("mail preview expires").refused(3).contains("issued-by-renewal"));
    site.run("mail preview expiry --subject U-9").refused(3);
    let done = site.run("organization add C-1 x");
    assert_eq!(done.status, 0, "{done:?}");
    assert_eq!(site.run("subject add U-1 --organization C-1").status, 0);
    assert!(site.run("mail preview expiry --subject U-1").refused(4).contains("U-1 has no certificate"));

    configure(&site, "\ntexts = \"texts\"\n");
    write(&site, "texts/en/expiry.txt", OWN);
    let own = site.run(&format!("mail preview expiry --language en {at}")).out;
    assert!(own.starts_with("Subject: Ends 22 December 2026\n\n") && own.contains("Our own words: U-***01,"), "{own}");
    assert!(!site.run(&format!("mail preview expiry {at}")).out.contains("Our own"));
}

#[test]
fn who_gets_what_is_known_the_day_before() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("demo");
    let data = data.to_str().unwrap();
    let base = five_ports().to_string();
    let mut demo = Running::start(&["demo", "--json", "--data", data, "--port-base", &base]);
    let ready: Value = serde_json::from_str(&demo.first_line()).unwrap();
    assert_eq!(demo.end("TERM").0, Some(0));

    // Nobody is told before that, and only once: ten days before the end of the last one everybody has been.
    let listed: Vec<Value> = koshin(["subject", "list", "--json", "--data", data]).json();
    let held: Vec<_> = listed.iter().filter(|view| view["state"] == "active").collect();
    assert!(!held.is_empty(), "{ready}");
    let mut told = 0;
    for view in &held {
        let end = view["not_after"].as_str().unwrap();
        let mails = koshin(["mail", "tomorrow", "--data", data, "--json", "--date", &last_moments(end)]).json();
        let of: Vec<_> =
            mails.iter().filter(|mail| mail["subject"] == view["id"] && mail["kind"] == "expiry").collect();
        for mail in &of {
            assert_eq!((&mail["not_after"], &mail["threshold_days"]), (&view["not_after"], &json!(10)));
            let (to, address) = (mail["to"].as_str().unwrap(), view["address"].as_str().unwrap());
            assert!(to.contains("***@") && !to.contains(address), "{to}");
            assert!(to.ends_with(address.split('@').next_back().unwrap()));
            told += 1;
        }
    }
    assert!(told > 0, "{listed:?}");
    let table =
        koshin(["mail", "tomorrow", "--data", data, "--date", &last_moments(held[0]["not_after"].as_str().unwrap())]);
    assert!(table.status == 0 && table.out.contains("***@") && table.out.contains("\t10 days\t"), "{table:?}");

    // The same people, in a bank's own words.
    let site = Site::new();
    let file = site.folder().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\"koshin.db\"", &format!("\"{data}/koshin.db\""))).unwrap();
    let (id, serial) = (held[0]["id"].as_str().unwrap(), held[0]["serial"].as_str().unwrap());
    let receipt = site.run(&format!("mail preview issued-by-renewal --subject {id} --json")).one();
    assert!(receipt["text"].as_str().unwrap().replace(' ', "").contains(serial), "{receipt} is not of {serial}");
    site.run(&format!("mail preview digest --subject {id}")).refused(2);
}

/// An hour before an instant of RFC 3339, as far as its hour allows; else its midnight.
fn last_moments(end: &str) -> String {
    let (date, hour) = (&end[..10], end[11..13].parse::<u8>().unwrap());
    format!("{date}T{:02}:00:00Z", hour.saturating_sub(1))
}

/// What a mail server says that gave a mail up (RFC 3464).
fn report(to: &str, said: &str) -> String {
    format!(
        "From: <MAILER-DAEMON@mx.example>\r\nTo: <{to}>\r\nSubject: Undelivered\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status; boundary=\"b\"\r\n\r\n\
         --b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n\
         --b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example\r\n\r\n\
         Final-Recipient: rfc822; taro@example.co.jp\r\nAction: failed\r\nStatus: 5.1.1\r\n\
         Diagnostic-Code: smtp; {said}\r\n\r\n--b--\r\n"
    )
}

fn until<T>(what: &str, mut ready: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(ready) = ready() {
            return ready;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        sleep(Duration::from_millis(50));
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    entries.into_iter().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn a_mail_that_comes_back_is_a_task_until_somebody_has_seen_to_it() {
    let site = Site::new();
    server_certificate(&site);
    choose_ports(&site);
    let key = site.folder().join("bounces.key");
    assert_eq!(koshin(["mail", "bounce-key", key.to_str().unwrap()]).status, 0);
    let again = koshin(["mail", "bounce-key", key.to_str().unwrap()]);
    assert!(again.status != 0 && again.err.contains("cannot be made"), "a key is never replaced: {again:?}");
    configure(
        &site,
        "\nper_address_per_day = 5\n\n[mail.bounces]\nprefix = \"bounce\"\ndomain = \"mail.example\"\n\
         key_file = \"bounces.key\"\nmaildir = \"returned\"\n",
    );
    assert_eq!(site.run("config check").status, 0, "{:?}", site.run("config check"));
    let done = |ended: Ended| assert_eq!(ended.status, 0, "{ended:?}");
    done(site.run("organization add C-1 x"));
    done(site.run("subject add U-1 --organization C-1 --address taro@example.co.jp"));
    done(site.run("subject permit U-1"));

    let service = Running::serve(&site);
    let sent = until("no mail is sent", || names(&site.folder().join("mail/new")).first().cloned());
    // The mail is written before it is recorded as sent.
    sleep(Duration::from_millis(300));
    assert_eq!(service.end("TERM").0, Some(0));
    assert!(site.run("task list --json").json().is_empty());

    let mail: MailId = sent.strip_prefix("koshin.").unwrap().parse().unwrap();
    let octets: Vec<u8> = fs::read_to_string(&key)
        .unwrap()
        .trim()
        .as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    let ours = Verp::new("bounce", "mail.example", octets.try_into().unwrap()).unwrap();
    let foreign = Verp::new("bounce", "mail.example", [1; 32]).unwrap();
    let to = |verp: &Verp| verp.sender(mail).unwrap().as_str().to_owned();
    write(&site, "returned/new/1.forged", &report(&to(&foreign), "550 5.1.1 made up"));
    write(&site, "returned/new/2.real", &report(&to(&ours), "550 5.1.1 no such user"));

    let service = Running::serve(&site);
    let tasks = until("nothing is noted", || {
        let tasks = site.run("task list --json").json();
        (!tasks.is_empty() && names(&site.folder().join("returned/new")).is_empty()).then_some(tasks)
    });
    assert_eq!(service.end("TERM").0, Some(0));
    let [task] = tasks.as_slice() else { panic!("{tasks:?}") };
    let expected = json!([mail.to_string(), "U-1", "enrolment_permitted", "bounced"]);
    assert_eq!(json!([task["mail"], task["subject"], task["kind"], task["trouble"]]), expected);
    let said = task["said"].as_str().unwrap();
    assert!(said.contains("no such user") && !said.contains("taro"), "{said}");
    assert_eq!(names(&site.folder().join("returned/cur")).len(), 2);

    assert_eq!(site.run("task list --subject U-1 --json").json().len(), 1);
    assert!(site.run("task list --subject U-2 --json").json().is_empty());
    let table = site.run("task list");
    assert!(table.out.starts_with(&format!("{mail}\tU-1\tenrolment_permitted\tbounced\t")), "{table:?}");
    let records = || site.run("audit verify --json").one()["records"].as_u64().unwrap();
    let before = records();
    assert_eq!(site.run(&format!("task settle {mail} --json")).one()["done"], "settled");
    assert!(site.run("task list --json").json().is_empty());
    site.run(&format!("task settle {mail}")).refused(3);
    assert_eq!(records(), before + 1, "who has seen to it is recorded, once");
    site.run("task settle nothing").refused(2);
}

#[test]
fn mails_are_left_to_another_program_where_the_file_says_so() {
    let site = Site::new();
    server_certificate(&site);
    choose_ports(&site);
    configure(&site, "\nsent_by = \"koshin-mailer\"\n");
    for command in [
        "organization add C-1 x",
        "subject add U-1 --organization C-1 --address taro@example.co.jp",
        "subject permit U-1",
    ] {
        assert_eq!(site.run(command).status, 0);
    }
    let service = Running::serve(&site);
    sleep(Duration::from_secs(5));
    assert_eq!(service.end("TERM").0, Some(0));
    assert!(names(&site.folder().join("mail/new")).is_empty(), "it was not to send");
    let file = site.folder().join("koshin.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("\nsent_by = \"koshin-mailer\"\n", "\nsent_by = \"koshin\"\n")).unwrap();
    let service = Running::serve(&site);
    until("no mail is sent", || names(&site.folder().join("mail/new")).first().cloned());
    assert_eq!(service.end("TERM").0, Some(0));
}

#[test]
fn what_could_not_hear_of_returned_mails_is_refused_with_its_key() {
    let site = Site::new();
    server_certificate(&site);
    let file = site.folder().join("koshin.toml");
    let before = fs::read_to_string(&file).unwrap();
    let bounces = |prefix: &str, maildir: &str| {
        fs::write(&file, &before).unwrap();
        let table = format!(
            "\n[mail.bounces]\nprefix = \"{prefix}\"\ndomain = \"mail.example\"\nkey_file = \"bounces.key\"\n\
             maildir = \"{maildir}\"\n"
        );
        configure(&site, &table);
        site.run("config check")
    };
    assert!(bounces("bounce", "returned").refused(3).contains("mail.bounces: "), "there is no key");
    let key = site.folder().join("bounces.key");
    assert_eq!(koshin(["mail", "bounce-key", key.to_str().unwrap()]).status, 0);
    assert_eq!(bounces("bounce", "returned").status, 0);
    assert!(bounces("much-longer-than-that", "returned").refused(1).contains("mail.bounces: much-longer"));
    assert!(bounces("bounce", "mail").refused(1).contains("mail.bounces.maildir: it is mail.maildir"));
    fs::write(&key, "short").unwrap();
    let short = bounces("bounce", "returned");
    let said = short.refused(1);
    assert!(said.contains("holds no key of 32 octets") && !said.contains("short"), "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(bounces("bounce", "returned").refused(5).contains("has mode 0644"));
    }
    fs::write(&file, &before).unwrap();
    configure(&site, "\nper_address_per_day = 0\n");
    assert!(site.run("config check").refused(1).contains("mail.per_address_per_day: "));
}

#[test]
fn the_help_of_each_command_has_an_example() {
    for command in ["mail lint", "mail preview", "mail tomorrow", "mail bounce-key", "task list", "task settle"] {
        let help = koshin(command.split(' ').chain(["--help"])).out;
        let example = help.split_once("Example:\n").unwrap().1;
        assert!(example.starts_with(&format!("koshin {command}")), "{help}");
    }
}
