//! What a configuration file may say, and what is said about it.

use std::path::Path;

use super::Checked;

const GOOD: &str = r#"
[ca]
certificate = "ca/issuing.pem"
key = "credential:ca-key"

[hosts]
portal = "https://portal.example"
public = "https://portal.example:8444"
activate = "https://activate.portal.example"
publication = "http://ca.example"

[tls]
certificate = "tls/server.pem"
key = "tls/server.key"

[brand]
operator = { ja = "みどり信用金庫", en = "Midori Bank" }
portal = { ja = "みどりビジネスWeb", en = "Midori Business Web" }

[contact]
name = { ja = "サポート", en = "Support" }

[mail]
from = "noreply@midori.example"

[mail.smtp]
host = "mail.midori.example"
user = "koshin"
password_file = "smtp.password"
"#;

fn problems(text: &str) -> String {
    match Checked::parse(Path::new("koshin.toml"), text) {
        Ok(_) => "none".to_owned(),
        Err(problems) => problems.to_string(),
    }
}

/// The good file with one line replaced by others.
fn with(line: &str, others: &str) -> String {
    assert!(GOOD.contains(line), "{line}");
    problems(&GOOD.replace(line, others))
}

#[test]
fn a_good_file_and_its_defaults() {
    let Ok(checked) = Checked::parse(Path::new("/etc/koshin/koshin.toml"), GOOD) else { panic!("{}", problems(GOOD)) };
    assert_eq!(checked.database(), Path::new("/etc/koshin/koshin.db"));
    assert_eq!(checked.settings, koshin_ra::Settings::default());
    assert_eq!(format!("{:?}", checked.policy.mail_days()), "[10, 30]");
    insta::assert_snapshot!(checked.effective().unwrap());
    // The effective file is a file, and says the same.
    let again = Checked::parse(Path::new("x"), &checked.effective().unwrap()).ok().unwrap();
    assert_eq!(again.effective().unwrap(), checked.effective().unwrap());
}

#[test]
fn an_unknown_key_is_named_with_its_table_and_line() {
    let said = with("[mail.smtp]", "[mail.smtp]\npasswort_file = \"x\"");
    assert!(said.starts_with("koshin.toml: mail.smtp.passwort_file: unknown field"), "{said}");
    assert!(said.ends_with("(line 27)"), "{said}");
    let said = problems(&format!("{GOOD}\n[polizy]\n"));
    assert!(said.starts_with("koshin.toml: polizy: unknown field"), "{said}");
    let said = problems(&format!("{GOOD}\n[policy]\nnotice_days = \"many\"\n"));
    assert!(said.starts_with("koshin.toml: policy.notice_days: invalid type"), "{said}");
    let said = problems(&format!("{GOOD}\n[policy]\nreacquire_days = \"never\"\n"));
    assert_eq!(said, "koshin.toml: policy.reacquire_days: a number of days or \"unlimited\" (line 32)");
    assert!(with("portal = \"https://portal.example\"", "").starts_with("koshin.toml: hosts: missing field `portal`"));
    assert!(problems("[storage\n").contains("(line 1)"), "{}", problems("[storage\n"));
}

#[test]
fn a_policy_that_contradicts_itself_is_refused_with_key_and_reason() {
    let policy = |table: &str| problems(&format!("{GOOD}\n[policy]\n{table}\n"));
    for (table, said) in [
        ("mail_days = [30, 10, 30]", "policy.mail_days: the threshold of 30 days is named twice"),
        ("mail_days = [400]", "policy.mail_days: a threshold of 400 days is longer than the validity of 365 days"),
        ("validity = \"days:20\"", "policy.notice_days: a window of 30 days is longer than the validity of 20 days"),
        ("mode = \"lunar\"", "policy.mode: \"lunar\" is none of calendar, instant"),
        ("validity = \"p2y\"", "policy.validity: \"p2y\" is none of p1y, p1y-eod, days:N"),
    ] {
        assert_eq!(policy(table), format!("koshin.toml: {said}"));
    }
    let said = policy("tz = \"Asia/Nowhere\"");
    assert!(said.starts_with("koshin.toml: policy.tz: \"Asia/Nowhere\" is no zone of the IANA database"), "{said}");
    assert_eq!(policy("reacquire_days = \"unlimited\""), "none");
}

#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let text = GOOD
        .replace("https://portal.example:8444", "http://portal.example:8444")
        .replace("http://ca.example", "http://ca.example/crl")
        .replace("noreply@midori.example", "noreply")
        .replace("user = \"koshin\"\n", "")
        .replace("[hosts]", "country = \"Japan\"\n\n[hosts]");
    let said = problems(&format!("{text}\n[rules]\ncode_tries = 0\n"));
    let keys: Vec<_> = said.lines().filter_map(|line| line.trim().split(": ").nth(1)).collect();
    assert_eq!(
        keys,
        ["hosts.public", "hosts.publication", "rules.code_tries", "mail.smtp", "ca", "mail.from"],
        "{said}"
    );
    assert!(with("[mail.smtp]", "maildir = \"mail\"\n\n[mail.smtp]").contains("mail: smtp and maildir exclude"));
    let clear = with("host = \"mail.midori.example\"", "host = \"mail.midori.example\"\ntls = \"none\"");
    assert_eq!(clear, "koshin.toml: mail.smtp.tls: a password needs TLS");
}
