//! The lines of `docs/est.md`, typed into a shell against a demonstration.

use std::{path::Path, process::Command, thread::sleep, time::Duration};

use serde_json::Value;

use crate::{
    mailbox::mails,
    serve::{Running, five_ports},
};

const ENGLISH: &str = include_str!("../../../../docs/est.md");
const JAPANESE: &str = include_str!("../../../../docs/est.ja.md");

/// The blocks of a page that are for a shell.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

/// A shell in a folder, with these variables.
pub(crate) struct Shell<'a> {
    pub(crate) folder: &'a Path,
    pub(crate) variables: Vec<(&'static str, String)>,
}

impl Shell<'_> {
    pub(crate) fn set(&mut self, name: &'static str, value: &str) {
        self.variables.push((name, value.to_owned()));
    }

    /// What the lines write.
    pub(crate) fn run(&self, lines: &str) -> String {
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", lines]).current_dir(self.folder);
        let ended = command.envs(self.variables.iter().cloned()).output().unwrap();
        let (out, err) = (String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
        assert!(ended.status.success(), "{lines}\n{out}\n{err}");
        out.into_owned()
    }

    /// Whether the certificate in this file is in use, as the login page greets it.
    fn is_in_use(&self, name: &str) -> bool {
        let line = format!("curl -sS --cert {name}.pem --key {name}.key \"$PORTAL/doctor?lang=en\"");
        self.run(&line).contains("class=\"banner ok")
    }
}

pub(crate) fn person<'a>(ready: &'a Value, id: &str) -> &'a Value {
    ready["subjects"].as_array().unwrap().iter().find(|person| person["id"] == id).unwrap()
}

/// The newest one-time code in the mailbox.
fn code(mailbox: &str) -> String {
    for _ in 0..400 {
        for mail in mails(mailbox) {
            let text = mail["text"].as_str().unwrap();
            let digits = |word: &str| word.len() == 8 && word.bytes().all(|octet| octet.is_ascii_digit());
            if let Some(code) = text.split(|c: char| !c.is_ascii_alphanumeric()).find(|word| digits(word)) {
                return code.to_owned();
            }
        }
        sleep(Duration::from_millis(50));
    }
    panic!("no code came");
}

#[test]
fn the_lines_of_the_est_page_work() {
    let [first, renew, ticket, enrol] = blocks(ENGLISH).try_into().unwrap();
    assert_eq!(blocks(JAPANESE), [first, renew, ticket, enrol]);
    let data = tempfile::tempdir().unwrap();
    let base = five_ports().to_string();
    let arguments = ["demo", "--est", "--json", "--language", "en", "--port-base", &base, "--data"];
    let mut demo = Running::start(&[&arguments[..], &[data.path().to_str().unwrap()]].concat());
    let ready: Value = serde_json::from_str(&demo.first_line()).unwrap();

    // Somebody with eight days left renews.
    let holder = person(&ready, "U-0008");
    let text = |person: &Value, key: &str| person[key].as_str().unwrap().to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell { folder: folder.path(), variables: Vec::new() };
    shell.set("CURL_CA_BUNDLE", data.path().join("server-ca.pem").to_str().unwrap());
    shell.set("PORTAL", ready["portal"].as_str().unwrap());
    shell.set("ID", "U-0008");
    shell.set("PASSWORD", &text(holder, "password"));
    shell.set("FILE", &text(holder, "p12"));
    shell.set("PASSPHRASE", &text(holder, "p12_passphrase"));
    shell.run(
        "openssl pkcs12 -in \"$FILE\" -passin env:PASSPHRASE -nocerts -noenc -out old.key\n\
         openssl pkcs12 -in \"$FILE\" -passin env:PASSPHRASE -clcerts -nokeys -out old.pem",
    );
    shell.run(first);
    let made = shell.run(ticket);
    let made: Value = serde_json::from_str(made.trim()).unwrap();
    assert_eq!(made["user"], "U-0008");
    shell.set("TICKET", made["ticket"].as_str().unwrap());
    shell.run(renew);
    shell.run("openssl verify -CAfile ca.pem new.pem");
    assert!(shell.is_in_use("old") && !shell.is_in_use("new"));
    let login = ticket.lines().next().unwrap().replace("old.", "new.");
    shell.run(&login);
    assert!(shell.is_in_use("new") && !shell.is_in_use("old"));

    // Somebody whose certificate has expired enrols.
    let folder = tempfile::tempdir().unwrap();
    let mut shell = Shell { folder: folder.path(), variables: shell.variables };
    shell.set("ID", "U-0003");
    shell.set("PASSWORD", &text(person(&ready, "U-0003"), "password"));
    shell.run(first);
    let (begin, prove) = enrol.split_once('\n').unwrap();
    assert!(shell.run(begin).contains("est.code_sent"));
    shell.set("CODE", &code(ready["mailbox"].as_str().unwrap()));
    shell.run(prove);
    shell.run(renew.lines().nth(1).unwrap());
    shell.run("openssl verify -CAfile ca.pem new.pem");
    shell.run(&login);
    assert!(shell.is_in_use("new"));
    let (status, said) = demo.end("TERM");
    assert_eq!(status, Some(0), "{said}");
}
