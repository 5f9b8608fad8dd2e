//! What arrived, in the eyes of parsers that others wrote.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use koshin_notify::Composed;
use mail_parser::MessageParser;
use serde_json::{Value, json};

use crate::{fixture::NOW, relay::output};

/// What was meant: the snapshot of a mail's words.
pub(crate) fn snapshot(name: &str) -> (String, String) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/it/snapshots/it__words__{name}.snap"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let (_, words) = text.split_once("\nexpression: text\n---\n").expect("a snapshot's head");
    let (subject, body) = words.split_once("\n\n").expect("a subject and a text");
    (subject.strip_prefix("Subject: ").expect("a subject").to_owned(), body.trim_end().to_owned())
}

/// Python's strict reading of messages.
pub(crate) fn python(messages: &[PathBuf]) -> Vec<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mta/read.py");
    let said = output(Command::new("python3").arg("-I").arg(script).args(messages));
    let read: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(read.len(), messages.len());
    read
}

/// One message as Python read it, and its octets, against what was sent and what was meant.
pub(crate) fn judge(name: &str, read: &Value, octets: &[u8], sent: &Composed) {
    let (subject, body) = snapshot(name);
    let brand = if name.ends_with(".ja") { "みどり信用金庫" } else { "Midori Shinkin Bank" };
    let text = |field: &str| read[field].as_str().unwrap().to_owned();
    assert_eq!(text("message_id"), sent.envelope.message_id, "{name}");
    assert_eq!(text("subject"), subject, "{name}");
    assert_eq!(text("body").trim_end(), body, "{name}");
    assert_eq!(read["from"], json!([brand, "noreply@midori.example"]), "{name}");
    assert_eq!(read["to"], sent.envelope.to.as_str(), "{name}");
    assert_eq!(read["type"], json!(["text/plain", "utf-8"]), "{name}");
    assert_eq!((&read["date"], &read["auto"]), (&json!(NOW.unix_timestamp()), &json!("auto-generated")), "{name}");
    assert!(["7bit", "quoted-printable", "base64"].contains(&text("encoding").as_str()), "{name}");

    let message = MessageParser::new().parse(octets).unwrap();
    assert_eq!(message.subject(), Some(subject.as_str()), "{name}");
    assert_eq!(message.body_text(0).unwrap().replace("\r\n", "\n").trim_end(), body, "{name}");

    // A maildir ends lines by LF alone: a CR that is left stood alone on the way, and a bare LF would have cut a line.
    assert!(octets.is_ascii() && !octets.contains(&b'\r') && !octets.contains(&0), "{name}");
    let whole = std::str::from_utf8(octets).unwrap();
    assert!(whole.lines().all(|line| line.len() <= 998), "{name}");
    let meant = std::str::from_utf8(&sent.mime).unwrap().replace("\r\n", "\n");
    assert!(whole.trim_end().ends_with(meant.trim_end()), "{name}: not what was sent\n{whole}");
}
