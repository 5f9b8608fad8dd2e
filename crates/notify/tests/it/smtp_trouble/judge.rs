//! What may never happen, whatever the server does.

use std::{collections::BTreeMap, sync::Mutex};

use async_trait::async_trait;
use koshin_notify::{Disposition, Envelope, Mail, MailId, MemoryOutbox, Outcome, SmtpTransport, Transport};
use mail_parser::MessageParser;

use super::server::{Notes, Said, Server};

/// The real client, and what it said of each attempt.
pub(super) struct Watched {
    inner: SmtpTransport,
    outcomes: Mutex<Vec<(MailId, Outcome)>>,
}

impl Watched {
    pub(super) fn new(inner: SmtpTransport) -> Self {
        Self { inner, outcomes: Mutex::default() }
    }

    fn of(&self, id: MailId) -> Vec<Outcome> {
        let all = self.outcomes.lock().unwrap();
        all.iter().filter(|(other, _)| *other == id).map(|(_, outcome)| outcome.clone()).collect()
    }
}

fn mail_id(message_id: &str) -> MailId {
    message_id.trim_matches(['<', '>']).split('@').next().unwrap().parse().unwrap()
}

#[async_trait]
impl Transport for Watched {
    async fn send(&self, envelope: &Envelope, mime: &[u8]) -> Outcome {
        let outcome = self.inner.send(envelope, mime).await;
        self.outcomes.lock().unwrap().push((mail_id(&envelope.message_id), outcome.clone()));
        outcome
    }
}

/// Judges a history that has come to its end: no leak, no double, no loss, no injection.
pub(super) fn judge(server: &Server, client: &Watched, outbox: &MemoryOutbox, mails: &[Mail], tls: bool) {
    server.notes(|notes| {
        assert!(notes.offences.is_empty(), "{:?}", notes.offences);
        let allowed = ["EHLO", "STARTTLS", "QUIT"];
        let clear =
            |command: &&String| !command.starts_with("(tls)") && !allowed.iter().any(|a| command.starts_with(a));
        assert!(!tls || !notes.commands.iter().any(|c| clear(&c)), "in clear: {:?}", notes.commands);
        no_leak(notes, mails, tls);
        for mail in mails {
            no_double_no_loss(notes, &client.of(mail.id), outbox, mail);
        }
    });
}

/// One envelope, one recipient, and only what was meant for that one.
fn no_leak(notes: &Notes, mails: &[Mail], tls: bool) {
    let by_id: BTreeMap<_, _> = mails.iter().map(|mail| (mail.id, mail)).collect();
    for receipt in &notes.receipts {
        let message = MessageParser::new().parse(&receipt.message).expect("a message");
        let mail = by_id[&mail_id(message.message_id().expect("a Message-ID"))];
        assert_eq!(receipt.to, [mail.to.as_str()], "one envelope, one recipient");
        assert_eq!(receipt.from, "noreply@midori.example");
        assert!(receipt.tls || !tls, "a mail in clear");
        assert_eq!(message.to().unwrap().iter().count(), 1);
        assert_eq!(message.to().unwrap().first().unwrap().address(), Some(mail.to.as_str()));
        assert!(message.cc().is_none() && message.bcc().is_none());
        assert_eq!((message.headers().len(), message.parts.len(), message.attachment_count()), (10, 1, 0));
        let text = String::from_utf8_lossy(&receipt.message);
        let body = message.body_text(0).unwrap();
        for other in mails.iter().filter(|other| other.to != mail.to) {
            assert!(!text.contains(other.to.as_str()) && !body.contains(other.to.as_str()), "another's address");
        }
    }
}

fn no_double_no_loss(notes: &Notes, outcomes: &[Outcome], outbox: &MemoryOutbox, mail: &Mail) {
    let id = mail.id.to_string();
    let mine = || {
        notes.receipts.iter().filter(|receipt| String::from_utf8_lossy(&receipt.message).contains(&format!("<{id}@")))
    };
    let kept = mine().filter(|receipt| !matches!(receipt.said, Said::Refused(_))).count();
    let doubts = outcomes.iter().filter(|outcome| **outcome == Outcome::Unknown).count();
    assert!(doubts <= 2 && kept <= 2 && kept <= 1 + doubts, "{kept} copies of {id} after {outcomes:?}");
    let last = outcomes.len().saturating_sub(1);
    for (at, outcome) in outcomes.iter().enumerate() {
        let closes = matches!(outcome, Outcome::Accepted | Outcome::Permanent { .. });
        assert!(!closes || at == last, "tried again after {outcome:?}");
    }
    let end = outbox.end(mail.id);
    match &end {
        Some(Disposition::Sent) => {
            assert_eq!(outcomes.last(), Some(&Outcome::Accepted));
            assert!(mine().any(|receipt| receipt.said == Said::Taken), "{id} is said to be sent and was never taken");
        }
        Some(Disposition::Undeliverable { reply }) => {
            assert!(matches!(outcomes.last(), Some(Outcome::Permanent { .. })), "{reply}");
        }
        Some(Disposition::Unknown) => assert_eq!(doubts, 2, "{outcomes:?}"),
        Some(Disposition::Suppressed { .. }) => assert_eq!((kept, doubts), (0, 0), "given up: {outcomes:?}"),
        _ => panic!("{id} has come to no end: {end:?}, {outcomes:?}"),
    }
}
