//! What comes back, true and made up.

use std::fmt::Write as _;

use koshin_notify::{
    Bounce, MailId, Mailbox, Mailer, MemoryOutbox, Tasks as _, Trouble, Verp, Whose,
    bounces::{BounceBox, Collected, NoReport, Report},
    compose,
};
use proptest::prelude::*;

use crate::fixture::{NOW, plain, sender};

fn verp() -> Verp {
    Verp::new("bounce", "midori.example", [7; 32]).unwrap()
}

fn token(id: MailId) -> String {
    verp().sender(id).unwrap().as_str().to_owned()
}

const FAILED: &str = "Final-Recipient: rfc822; taro@example.co.jp\r\nAction: failed\r\nStatus: 5.1.1\r\n\
                      Diagnostic-Code: smtp; 550 5.1.1 <taro@example.co.jp>:\r\n    user unknown\r\n";

/// A report as mail servers write it.
fn report(to: &str, groups: &str) -> String {
    format!(
        "Return-Path: <>\r\nDelivered-To: {to}\r\nFrom: MAILER-DAEMON@relay.example (Mail Delivery System)\r\n\
         To: {to}\r\nSubject: Undelivered Mail Returned to Sender\r\nMIME-Version: 1.0\r\n\
         Content-Type: multipart/report; report-type=delivery-status;\r\n boundary=\"b1\"\r\n\r\n\
         This is a MIME-encapsulated message.\r\n\r\n--b1\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n\
         I'm sorry to have to inform you that your message could not be delivered.\r\n\r\n\
         --b1\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example\r\n\
         Arrival-Date: Sun, 22 Nov 2026 09:00:00 +0900\r\n\r\n{groups}\r\n\
         --b1\r\nContent-Type: message/rfc822\r\n\r\nTo: taro@example.co.jp\r\nSubject: x\r\n\r\nbody\r\n\r\n--b1--\r\n"
    )
}

fn read(text: &str) -> Result<Report, NoReport> {
    Report::read(text.as_bytes(), &verp())
}

#[test]
fn the_envelope_sender_names_the_mail_and_the_visible_one_does_not() {
    let mail = plain("a");
    let composed = compose(&mail, &sender().with_verp(verp()), NOW).unwrap();
    assert_eq!(verp().mail(composed.envelope.from.as_str()), Some(mail.id));
    assert!(!std::str::from_utf8(&composed.mime).unwrap().contains("bounce+"));
    let plain_sender = compose(&mail, &sender(), NOW).unwrap();
    assert_eq!(composed.mime, plain_sender.mime);
    assert_eq!(plain_sender.envelope.from.as_str(), "noreply@midori.example");
}

#[test]
fn a_report_is_read_as_it_is_meant() {
    let mail = plain("a").id;
    let to = token(mail);
    let Report { mail: of, bounce } = read(&report(&to, FAILED)).unwrap();
    let Bounce::Failed { reply } = bounce else { panic!("{bounce:?}") };
    assert_eq!((of, reply.to_string().as_str()), (mail, "5.1.1 550 5.1.1 *** user unknown"));
    let group = |action: &str, status: &str| {
        format!("Final-Recipient: rfc822; a@b.jp\r\nAction: {action}\r\nStatus: {status}\r\n")
    };
    let given_up = group("failed", "4.4.7");
    assert!(matches!(read(&report(&to, &given_up)), Ok(Report { bounce: Bounce::Failed { .. }, .. })));
    let delayed = group("delayed", "4.4.1");
    assert!(matches!(read(&report(&to, &delayed)), Ok(Report { bounce: Bounce::Delayed { .. }, .. })));
    assert_eq!(read(&report(&to, &group("relayed", "2.0.0"))), Err(NoReport::AllIsWell));
    // An address that stands for two people: one of them has it.
    let half = format!("{FAILED}\r\n{}", group("delivered", "2.1.5"));
    assert!(matches!(read(&report(&to, &half)), Ok(Report { bounce: Bounce::Delayed { .. }, .. })));
    let both = format!("{FAILED}\r\n{}", group("failed", "5.2.2"));
    assert!(matches!(read(&report(&to, &both)), Ok(Report { bounce: Bounce::Failed { .. }, .. })));
    assert!(read(&report(&to.to_uppercase(), FAILED)).is_ok(), "servers on the way may change the case");
}

/// `OpenSMTPD` calls the whole a multipart/mixed; for addresses outside ASCII the status has another name (RFC 6533).
#[test]
fn a_report_under_another_name_is_read_as_well() {
    let mail = plain("a").id;
    let usual = report(&token(mail), FAILED);
    let expected = read(&usual).unwrap();
    let mixed = usual.replace("multipart/report; report-type=delivery-status;", "multipart/mixed;");
    let global = usual
        .replace("message/delivery-status", "message/global-delivery-status")
        .replace("rfc822; taro@example.co.jp", "utf-8; 太郎@example.co.jp");
    assert!(mixed != usual && global != usual);
    assert_eq!((read(&mixed).as_ref(), read(&global).as_ref()), (Ok(&expected), Ok(&expected)));
    assert_eq!(expected.mail, mail);
}

#[test]
fn what_is_no_report_of_ours_is_left_aside() {
    let to = token(plain("a").id);
    let other_key = Verp::new("bounce", "midori.example", [8; 32]).unwrap().sender(plain("a").id).unwrap();
    for forged in ["noreply@midori.example", "bounce@midori.example", other_key.as_str(), &format!("{to}0"), &to[1..]] {
        assert_eq!(read(&report(forged, FAILED)), Err(NoReport::NotOurs), "{forged}");
    }
    let two = report(&format!("{to}, {}", token(plain("b").id)), FAILED);
    assert_eq!(read(&two), Err(NoReport::NotOurs), "about two mails at once");
    // A token in the text or in what is returned is no address it came to.
    let inside = report("a@b.jp", FAILED).replace("Subject: x", &format!("To: {to}\r\nX-Original-To: {to}"));
    assert_eq!(read(&inside), Err(NoReport::NotOurs));
    for (text, expected) in [
        (String::new(), NoReport::NotAReport),
        (
            format!("To: {to}\r\nSubject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away."),
            NoReport::NotAReport,
        ),
        (report(&to, FAILED).replace("multipart/report", "multipart/related"), NoReport::NotAReport),
        (
            report(&to, FAILED)
                .replace("multipart/report", "multipart/mixed")
                .replace("message/delivery-status", "text/plain"),
            NoReport::NotAReport,
        ),
        (
            report(&to, FAILED).replace("report-type=delivery-status", "report-type=feedback-report"),
            NoReport::NotAReport,
        ),
        (report(&to, ""), NoReport::NoStatus),
        (report(&to, FAILED).replace("message/delivery-status", "text/plain"), NoReport::NoStatus),
    ] {
        assert_eq!(read(&text), Err(expected), "{text}");
    }
    for (action, status) in [
        ("failed", "2.0.0"),
        ("delayed", "5.0.0"),
        ("delivered", "5.1.1"),
        ("failed", "5"),
        ("failed", "5.1.1.1"),
        ("failed", ""),
        ("exploded", "5.1.1"),
        ("failed", "5.x.1"),
    ] {
        let group = format!("Final-Recipient: rfc822; a@b.jp\r\nAction: {action}\r\nStatus: {status}\r\n");
        assert!(matches!(read(&report(&to, &group)), Err(NoReport::Contradiction { .. })), "{action} {status}");
    }
}

/// Deep, wide and long: read in time, and not taken for more than it is.
#[test]
fn a_report_that_wants_to_hurt_does_not() {
    let to = token(plain("a").id);
    let long = report(&to, &format!("{FAILED}X-Fill: {}\r\n", "x".repeat(Report::MAX_OCTETS)));
    assert_eq!(read(&long), Err(NoReport::TooLong { octets: long.len() as u64 }));
    let wide: String = (0..5_000).fold(String::new(), |mut all, number| {
        write!(all, "{FAILED}X-Number: {number}\r\n\r\n").unwrap();
        all
    });
    assert!(matches!(read(&report(&to, &wide)), Ok(Report { bounce: Bounce::Failed { .. }, .. })));
    let mut deep = String::new();
    for level in 0..5_000 {
        write!(deep, "--b1\r\nContent-Type: multipart/mixed; boundary=\"c{level}\"\r\n\r\n--c{level}\r\n").unwrap();
        write!(deep, "Content-Type: message/rfc822\r\n\r\n").unwrap();
    }
    let nested = report(&to, FAILED).replacen("--b1\r\n", &format!("{deep}\r\n--b1\r\n"), 1);
    drop(read(&nested));
    let evil = FAILED.replace("user unknown", "\u{1b}[2Jgone\u{202e} <boss@midori.example> =?utf-8?q?x?=");
    let Ok(Report { bounce: Bounce::Failed { reply }, .. }) = read(&report(&to, &evil)) else { panic!("a report") };
    assert!(!reply.to_string().contains(['@', '\u{1b}', '\n', '\u{202e}']) && reply.to_string().len() < 400, "{reply}");
}

proptest! {
    /// Any octets, and any report with something in it changed: no panic, and no other mail than the token's.
    #[test]
    fn no_octets_break_the_reader(noise in prop::collection::vec(any::<u8>(), 0..300), at in 0_usize..1_400, cut in 0_usize..40) {
        let mail = plain("a").id;
        let text = report(&token(mail), FAILED).into_bytes();
        drop(Report::read(&noise, &verp()));
        let at = at.min(text.len() - 1);
        let mut changed = text[..at].to_vec();
        changed.extend_from_slice(&noise);
        changed.extend_from_slice(&text[(at + cut).min(text.len())..]);
        if let Ok(report) = Report::read(&changed, &verp()) {
            prop_assert_eq!(report.mail, mail);
        }
    }
}

#[tokio::test]
async fn reports_out_of_a_maildir_become_tasks() {
    let folder = tempfile::tempdir().unwrap();
    let (outbox, mailbox) = (std::sync::Arc::new(MemoryOutbox::default()), Mailbox::default());
    for key in ["fails", "late", "well", "stays"] {
        outbox.put(plain(key), NOW);
    }
    Mailer::new(std::sync::Arc::clone(&outbox), mailbox, sender().with_verp(verp())).run(NOW).await.unwrap();
    let bounces = BounceBox::open(folder.path()).unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join("new").join(name), text).unwrap();
    put("1.fails", &report(&token(plain("fails").id), FAILED));
    put("2.again", &report(&token(plain("fails").id), FAILED));
    put(
        "3.late",
        &report(&token(plain("late").id), "Final-Recipient: rfc822; a@b\r\nAction: delayed\r\nStatus: 4.4.1\r\n"),
    );
    put(
        "4.well",
        &report(&token(plain("well").id), "Final-Recipient: rfc822; a@b\r\nAction: relayed\r\nStatus: 2.0.0\r\n"),
    );
    put("5.never", &report(&token(plain("never sent").id), FAILED));
    put("6.spam", "Subject: buy\r\n\r\nnow\r\n");
    put("7.huge", &"x".repeat(10 * 1024 * 1024));
    std::fs::create_dir(folder.path().join("new/folder")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("new/link")).unwrap();
    let collected = bounces.collect(&verp(), &*outbox, NOW).await.unwrap();
    assert_eq!(collected, Collected { noted: 2, idle: 3, foreign: 2 });
    let tasks = outbox.open_tasks(Whose::All, None, 9).await.unwrap();
    assert_eq!(tasks.len(), 1);
    assert_eq!((tasks[0].mail, tasks[0].trouble), (plain("fails").id, Trouble::Bounced));
    assert_eq!(tasks[0].said, "5.1.1 550 5.1.1 *** user unknown");
    assert_eq!(std::fs::read_dir(folder.path().join("cur")).unwrap().count(), 7, "each is read once");
    assert_eq!(bounces.collect(&verp(), &*outbox, NOW).await.unwrap(), Collected::default());
    // What was read is kept for 30 days, and goes then.
    #[cfg(unix)]
    {
        let cur = folder.path().join("cur");
        let file = std::fs::read_dir(&cur).unwrap().next().unwrap().unwrap().path();
        let seconds = std::os::unix::fs::MetadataExt::ctime(&std::fs::metadata(file).unwrap());
        let read = time::UtcDateTime::from_unix_timestamp(seconds).unwrap();
        for (days, left) in [(30, 7), (31, 0)] {
            let now = read + time::Duration::days(days) - time::Duration::MINUTE;
            bounces.collect(&verp(), &*outbox, now).await.unwrap();
            assert_eq!(std::fs::read_dir(&cur).unwrap().count(), left, "{days}");
        }
    }
}
