//! The mailbox page of `koshin demo`.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::serve::{Running, five_ports};

/// The mails of a demonstration, newest first.
pub(crate) fn mails(mailbox: &str) -> Vec<Value> {
    let (host, path) = mailbox.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let question =
        format!("GET /{path} HTTP/1.0\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n\r\n");
    stream.write_all(question.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(" 200 "), "{head}");
    serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}"))
}

/// With 30 days left the mail of 30 days, with 8 days left the one of 10 days and no other, with 200 days left or an
/// expired certificate none: planned and sent by the code that does it for a bank.
#[test]
fn invariant_52_the_holders_find_their_notices_at_the_start() {
    for (language, subject, menu) in [
        ("ja", "電子証明書の有効期限のお知らせ", "「証明書更新」"),
        ("en", "Your certificate is valid until", "Certificate renewal"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (data, base) = (folder.path().to_str().unwrap(), five_ports().to_string());
        let start =
            || Running::start(&["demo", "--json", "--language", language, "--data", data, "--port-base", &base]);
        let mut demo = start();
        let ready: Value = serde_json::from_str(&demo.first_line()).unwrap();
        let mailbox = ready["mailbox"].as_str().unwrap();
        let begun = Instant::now();
        while mails(mailbox).len() < 3 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", mails(mailbox));
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut notices = mails(mailbox);
        notices.retain(|mail| mail["subject"].as_str().unwrap().contains(subject));
        notices.sort_by_key(|mail| mail["to"].to_string());
        let to: Vec<_> = notices.iter().map(|mail| mail["to"].as_str().unwrap()).collect();
        assert_eq!(to, ["u-0008@example.co.jp", "u-0030@example.co.jp"]);
        for (mail, masked) in notices.iter().zip(["U-***08", "U-***30"]) {
            let text = mail["text"].as_str().unwrap();
            assert!(text.contains(masked) && text.contains(menu) && text.contains(" JST"), "{text}");
            assert!(!text.contains("://"), "{text}");
        }
        assert_eq!(demo.end("TERM").0, Some(0));
        // Started again, it does not tell them again: its mailbox, which forgets, stays empty.
        let mut again = start();
        let ready: Value = serde_json::from_str(&again.first_line()).unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(mails(ready["mailbox"].as_str().unwrap()), [] as [Value; 0]);
        assert_eq!(again.end("TERM").0, Some(0));
    }
}
