//! What mail servers report of mails that came back.

use std::sync::LazyLock;

use koshin_notify::{
    Bounce, MailId, Reply, Verp,
    bounces::{NoReport, Report},
};

/// The key of the seeds, and one that is not theirs.
pub(crate) static VERP: LazyLock<Verp> = LazyLock::new(|| Verp::new("bounce", "midori.example", [7; 32]).unwrap());
static OTHER: LazyLock<Verp> = LazyLock::new(|| Verp::new("bounce", "midori.example", [8; 32]).unwrap());

/// The mail that a frame is about.
const MAIL: MailId = MailId::from_bytes([0x5a; 16]);
const BOUNDARY: &str = "=_0f1e2d3c4b5a69788796a5b4c3d2e1f0";
const FAILED: &str = "Final-Recipient: rfc822; taro@example.co.jp\r\nAction: failed\r\nStatus: 5.1.1\r\n";

/// Any octets are no report, or one about the mail that an address in them names, with a line of words that can be shown.
/// The same octets as the status of a report are about no other mail, and as what it returns they change nothing of it.
pub fn delivery_report(data: &[u8]) {
    if let Ok(report) = Report::read(data, &VERP) {
        let token = report.mail.to_string().into_bytes();
        assert!(data.to_ascii_lowercase().windows(token.len()).any(|octets| octets == token), "nobody named that mail");
        shown(&report.bounce);
        assert_eq!(Report::read(data, &OTHER), Err(NoReport::NotOurs), "a token that is somebody else's");
    }
    if let Ok(report) = Report::read(&framed(data, b"Subject: x\r\n\r\nbody\r\n"), &VERP) {
        assert_eq!(report.mail, MAIL);
        shown(&report.bounce);
    }
    let breaks_out = data.windows(BOUNDARY.len()).any(|octets| octets == BOUNDARY.as_bytes());
    if !breaks_out {
        let report = Report::read(&framed(FAILED.as_bytes(), data), &VERP);
        assert_eq!(report, Ok(Report { mail: MAIL, bounce: Bounce::Failed { reply: Reply::new(None, "5.1.1 ") } }));
    }
}

/// A report as servers write it, with these octets for its status and for what is returned.
fn framed(status: &[u8], returned: &[u8]) -> Vec<u8> {
    let to = VERP.sender(MAIL).unwrap();
    let head = format!(
        "Return-Path: <>\r\nTo: {to}\r\nMIME-Version: 1.0\r\nContent-Type: multipart/report;\r\n \
         report-type=delivery-status; boundary=\"{BOUNDARY}\"\r\n\r\n--{BOUNDARY}\r\n\
         Content-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\r\n",
        to = to.as_str(),
    );
    let between = format!("\r\n--{BOUNDARY}\r\nContent-Type: message/rfc822\r\n\r\n");
    let end = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), status, between.as_bytes(), returned, end.as_bytes()].concat()
}

/// What is said about it fits a screen and a log: one short line without addresses.
fn shown(bounce: &Bounce) {
    let (Bounce::Failed { reply } | Bounce::Delayed { reply }) = bounce;
    let said = reply.to_string();
    assert!(said.chars().count() <= Reply::MAX_CHARS, "{said}");
    assert!(!said.contains('@') && !said.contains(char::is_control), "{said:?}");
}
