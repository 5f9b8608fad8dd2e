//! The client, the mailer and the outbox against a server that does whatever a server can do wrong.

mod judge;
mod server;
mod tls;

use std::{sync::Arc, time::Duration};

use koshin_notify::{
    Disposition, Mail, Mailer, MemoryOutbox, Notice, Outcome, SmtpTransport, Transport, Wake, compose,
    smtp::{Login, Roots, SmtpConfig, Timeouts, Tls},
};
use koshin_types::Language;
use proptest::prelude::*;
use time::{Duration as Span, UtcDateTime};

use crate::fixture::{NOW, address, mail, notices, plain, sender};
use judge::{Watched, judge};
use server::{Does, Manner, Point, Said, Server, Trouble};
use tls::Identity;

const QUICK: Duration = Duration::from_millis(250);

fn config(server: &Server, roots: &Identity, tls: Tls) -> SmtpConfig {
    SmtpConfig {
        port: server.port,
        tls,
        roots: Roots::Pem(roots.pem.clone()),
        login: (tls != Tls::None).then(|| Login::new("koshin", "s3cret")),
        hello: Some("koshin.example".into()),
        timeouts: Timeouts { connect: QUICK, command: QUICK, before_data: 8 * QUICK, data: QUICK },
        ..SmtpConfig::new("localhost")
    }
}

fn manner(tls: Tls) -> Manner {
    let extensions = if tls == Tls::StartTls {
        vec!["PIPELINING", "8BITMIME", "STARTTLS", "AUTH PLAIN LOGIN"]
    } else {
        vec!["8BITMIME", "AUTH LOGIN PLAIN"]
    };
    Manner { extensions, implicit: tls == Tls::Implicit, greylists: false }
}

/// One attempt at one mail.
async fn attempt(tls: Tls, trouble: Trouble) -> (Outcome, Server) {
    let identity = Identity::of("localhost");
    let server = Server::start(manner(tls), &identity, vec![Some(trouble)]).await;
    let client = SmtpTransport::new(config(&server, &identity, tls)).unwrap();
    let composed = compose(&plain("a"), &sender(), NOW).unwrap();
    let sending = client.send(&composed.envelope, &composed.mime);
    let outcome = tokio::time::timeout(16 * QUICK, sending).await.expect("an attempt ends in time");
    (outcome, server)
}

const EVERYWHERE: [Point; 11] = [
    Point::Greeting,
    Point::Ehlo,
    Point::StartTls,
    Point::Handshake,
    Point::Auth,
    Point::Mail,
    Point::Rcpt,
    Point::Data,
    Point::Body,
    Point::Dot,
    Point::Between,
];

/// Of which the client hears before it has sent a message.
const BEFORE: &[Point] = EVERYWHERE.split_at(8).0;

/// Each attempt ends in exactly one of accepted, permanent, transient and unknown, and it is the right one.
#[tokio::test]
async fn invariant_62_whatever_a_server_says_at_any_command_has_one_outcome() {
    for at in BEFORE.iter().copied().filter(|at| *at != Point::Handshake).chain([Point::Dot]) {
        let about_the_mail = [Point::Mail, Point::Rcpt, Point::Data, Point::Dot].contains(&at);
        for code in [421, 450, 451, 452, 454, 500, 501, 503, 530, 535, 550, 552, 554] {
            let (outcome, server) = attempt(Tls::StartTls, Trouble::says(at, &format!("{code} 5.0.0 trouble"))).await;
            let session = matches!(code, 421 | 503 | 530 | 535) && at != Point::Dot;
            match &outcome {
                Outcome::Transient { reply } => {
                    assert!(code < 500 || session || !about_the_mail, "{at:?} {code}");
                    assert_eq!(reply.code(), Some(code), "{at:?}");
                }
                Outcome::Permanent { reply } => {
                    assert!(code >= 500 && about_the_mail && !session, "{at:?} {code}: no word about the mail");
                    assert_eq!(reply.code(), Some(code));
                }
                other => panic!("{at:?} {code}: {other:?}"),
            }
            server.notes(|notes| {
                assert!(notes.receipts.iter().all(|receipt| receipt.said == Said::Refused(code)));
                assert!(notes.offences.is_empty(), "{:?}", notes.offences);
            });
        }
    }
}

/// A server that says nothing is given up after the time of one command, at every command.
#[tokio::test]
async fn a_stall_at_any_command_ends_in_time() {
    for tls in [Tls::StartTls, Tls::Implicit] {
        for at in BEFORE.iter().copied().chain([Point::Body, Point::Dot]) {
            if at == Point::StartTls && tls == Tls::Implicit {
                continue;
            }
            let (outcome, server) = attempt(tls, Trouble::new(at, Does::Stalls)).await;
            if [Point::Body, Point::Dot].contains(&at) {
                assert_eq!(outcome, Outcome::Unknown, "{at:?}");
            } else {
                let Outcome::Transient { reply } = &outcome else { panic!("{at:?}: {outcome:?}") };
                assert_eq!(reply.code(), None, "{at:?}");
                assert!(server.notes(|notes| notes.receipts.is_empty()));
            }
        }
    }
}

/// Before the message a broken connection says that nothing was taken, after it that nobody knows.
#[tokio::test]
async fn a_connection_that_breaks_anywhere_is_judged_by_where() {
    for does in [
        Does::HangsUp,
        Does::Breaks("25".into()),
        Does::Breaks("250".into()),
        Does::Breaks("250-half\r\n".into()),
        Does::Breaks("\u{0}\u{7f}\r\n".into()),
    ] {
        for at in BEFORE {
            let (outcome, server) = attempt(Tls::StartTls, Trouble::new(*at, does.clone())).await;
            assert!(matches!(&outcome, Outcome::Transient { .. }), "{at:?} {does:?}: {outcome:?}");
            assert!(server.notes(|notes| notes.receipts.is_empty()), "{at:?} {does:?}");
        }
        let (outcome, server) = attempt(Tls::StartTls, Trouble::new(Point::Dot, does.clone())).await;
        assert_eq!((&outcome, server.notes(|n| n.receipts.len())), (&Outcome::Unknown, 1), "{does:?}");
        let (outcome, server) = attempt(Tls::StartTls, Trouble::new(Point::Body, does.clone())).await;
        assert!(!matches!(outcome, Outcome::Accepted | Outcome::Permanent { .. }), "{does:?}: {outcome:?}");
        assert!(server.notes(|notes| notes.receipts.is_empty()));
    }
}

const MORE: &str = "250-more and more and more and more and more and more and more and more and more and more\r\n";

/// An answer that never ends takes neither the memory nor, for long, the time of the mailer.
#[tokio::test]
async fn a_flood_is_cut_off() {
    for tls in [Tls::None, Tls::StartTls] {
        for wave in ["2", MORE] {
            for at in [Point::Greeting, Point::Ehlo, Point::Mail, Point::Data] {
                let (outcome, _server) = attempt(tls, Trouble::new(at, Does::Floods(wave))).await;
                let Outcome::Transient { reply } = &outcome else { panic!("{at:?}: {outcome:?}") };
                assert!(reply.to_string().contains("too long"), "{at:?}: {reply}");
            }
            assert_eq!(attempt(tls, Trouble::new(Point::Dot, Does::Floods(wave))).await.0, Outcome::Unknown);
        }
    }
    // Longer than RFC 5321, 4.5.3.1.5 has it: some servers are talkative.
    let long = Trouble::says(Point::Mail, &format!("250 {}", "x".repeat(900)));
    assert_eq!(attempt(Tls::StartTls, long).await.0, Outcome::Accepted);
    let long = Trouble::says(Point::Rcpt, &format!("550 5.1.1 {}", "x".repeat(900)));
    let Outcome::Permanent { reply } = attempt(Tls::StartTls, long).await.0 else { panic!("refused") };
    assert!(reply.to_string().chars().count() <= 4 + koshin_notify::Reply::MAX_CHARS);
}

/// Without TLS that is proven nothing leaves, neither the mail nor the password.
#[tokio::test]
async fn bad_tls_gets_no_mail_and_no_password() {
    let (good, other) = (Identity::of("localhost"), Identity::of("localhost"));
    let (stranger, expired) = (Identity::of("other.example"), Identity::until("localhost", 2021));
    for tls in [Tls::StartTls, Tls::Implicit] {
        for (name, shown, believed, trouble) in [
            ("another host's", &stranger, &stranger, None),
            ("nobody's", &other, &good, None),
            ("expired", &expired, &expired, None),
            ("cut", &good, &good, Some(Does::HangsUp)),
            ("no TLS at all", &good, &good, Some(Does::Breaks("220 welcome\r\n250 ok\r\n".into()))),
            ("half a record", &good, &good, Some(Does::Breaks("\u{16}\u{3}\u{3}".into()))),
        ] {
            let trouble = trouble.map(|does| Trouble::new(Point::Handshake, does));
            let server = Server::start(manner(tls), shown, vec![trouble]).await;
            let client = SmtpTransport::new(config(&server, believed, tls)).unwrap();
            let composed = compose(&plain("a"), &sender(), NOW).unwrap();
            let outcome = client.send(&composed.envelope, &composed.mime).await;
            assert!(matches!(&outcome, Outcome::Transient { .. }), "{name}: {outcome:?}");
            server.notes(|notes| {
                assert!(
                    notes.commands.iter().all(|c| c.starts_with("EHLO") || c == "STARTTLS"),
                    "{:?}",
                    notes.commands
                );
                assert!(notes.receipts.is_empty());
            });
        }
    }
}

/// Whatever a project hands to the transport as a message: it is one message, octet for octet, or refused.
#[tokio::test]
async fn octets_that_could_begin_another_mail_are_refused() {
    let identity = Identity::of("localhost");
    let server = Server::start(manner(Tls::None), &identity, Vec::new()).await;
    let client = SmtpTransport::new(config(&server, &identity, Tls::None)).unwrap();
    let envelope = compose(&plain("a"), &sender(), NOW).unwrap().envelope;
    let evil = "MAIL FROM:<x@evil.example>\r\nRCPT TO:<y@evil.example>\r\nDATA\r\nz\r\n.\r\n";
    for tail in [
        "a\n.\nQUIT\r\n",
        "a\n.\r\nb\r\n",
        "a\r\n.\nb\r\n",
        "a\r\n.\rb\r\n",
        "a\r.\r\nb\r\n",
        "a\0b\r\n",
        "a\r",
        &format!("{}\r\n", "x".repeat(999)),
    ] {
        let outcome = client.send(&envelope, format!("A: b\r\n\r\n{tail}{evil}").as_bytes()).await;
        assert!(matches!(&outcome, Outcome::Permanent { reply } if reply.code().is_none()), "{tail:?}: {outcome:?}");
    }
    let (mut sent, long) = (Vec::new(), format!("{}\r\n", "x".repeat(998)));
    for tail in ["", "a", ".", "..", ".\r\n", "\r\n.\r\n", "a\r\n.\r\n.\r\n", "\r\n..\r\n.a\r\n", &long] {
        let message = format!("A: b\r\n\r\n{tail}{evil}");
        assert_eq!(client.send(&envelope, message.as_bytes()).await, Outcome::Accepted, "{tail:?}");
        sent.push(message.into_bytes());
    }
    server.notes(|notes| {
        // The end of the last line is the transport's.
        let end = |octets: &[u8]| String::from_utf8_lossy(octets).trim_end().to_owned();
        let received: Vec<_> = notes.receipts.iter().map(|receipt| end(&receipt.message)).collect();
        assert_eq!(received, sent.iter().map(|sent| end(sent)).collect::<Vec<_>>());
        assert!(notes.offences.is_empty(), "{:?}", notes.offences);
        assert!(notes.receipts.iter().all(|receipt| receipt.to == ["taro@example.co.jp"]));
    });
}

/// A mailer, its outbox and a server, until nothing more happens.
struct House {
    outbox: Arc<MemoryOutbox>,
    mails: Vec<Mail>,
    client: Arc<Watched>,
    server: Server,
    tls: Tls,
}

impl House {
    async fn new(tls: Tls, manner: Manner, troubles: Vec<Option<Trouble>>, mails: Vec<Mail>) -> Self {
        let identity = Identity::of("localhost");
        let server = Server::start(manner, &identity, troubles).await;
        let client = Watched::new(SmtpTransport::new(config(&server, &identity, tls)).unwrap());
        let outbox = Arc::new(MemoryOutbox::default());
        for mail in &mails {
            assert!(outbox.put(mail.clone(), NOW));
        }
        Self { outbox, mails, client: Arc::new(client), server, tls }
    }

    /// Runs the mailer whenever it wants to run, and judges. Answers with the instant at which all was done.
    async fn live(&self) -> UtcDateTime {
        let mailer = Mailer::new(Arc::clone(&self.outbox), Arc::clone(&self.client), sender());
        let mut now = NOW;
        for _ in 0..400 {
            match mailer.run(now).await.unwrap() {
                Wake::Now => {}
                Wake::At(at) => now = at,
                Wake::Idle => {
                    judge(&self.server, &self.client, &self.outbox, &self.mails, self.tls != Tls::None);
                    return now;
                }
            }
        }
        panic!("the mailer comes to no end");
    }

    fn ends(&self) -> Vec<Disposition> {
        self.mails.iter().map(|mail| self.outbox.end(mail.id).unwrap()).collect()
    }
}

/// Mails of every kind, each to somebody else.
fn mails(count: usize) -> Vec<Mail> {
    let kinds = notices().into_iter().cycle().filter(|(_, notice)| !matches!(notice, Notice::EnrolmentCode { .. }));
    let one = |(number, (_, notice)): (usize, (&str, Notice))| {
        let mail = mail(notice, Language::ALL[number % 2]);
        let id = koshin_notify::MailId::derive(&mail.kind, &mail.subject_id, &number.to_string());
        Mail { id, to: address(&format!("holder{number}.of@example.co.jp")), ..mail }
    };
    kinds.enumerate().map(one).take(count).collect()
}

#[tokio::test]
async fn greylisting_delays_every_mail_and_loses_none() {
    let greylists = Manner { greylists: true, ..manner(Tls::StartTls) };
    let house = House::new(Tls::StartTls, greylists, Vec::new(), mails(12)).await;
    assert_eq!(house.live().await, NOW + Span::minutes(5), "tried again after five minutes");
    assert!(house.ends().iter().all(|end| *end == Disposition::Sent));
}

#[tokio::test]
async fn a_mail_that_was_taken_without_an_answer_is_repeated_once() {
    let lost = Trouble::new(Point::Dot, Does::HangsUp);
    let house = House::new(Tls::StartTls, manner(Tls::StartTls), vec![Some(lost.clone())], mails(3)).await;
    assert_eq!(house.live().await, NOW + Span::minutes(15));
    assert_eq!(house.server.notes(|notes| notes.receipts.len()), 4);
    let house = House::new(Tls::StartTls, manner(Tls::StartTls), vec![Some(lost.clone()); 9], mails(2)).await;
    house.live().await;
    assert_eq!(house.ends(), [Disposition::Unknown, Disposition::Unknown]);
    assert_eq!(house.server.notes(|notes| notes.receipts.len()), 4, "never a third");
}

#[tokio::test]
async fn one_connection_in_trouble_holds_back_no_other_mail() {
    let refused = Trouble { after: 1, ..Trouble::says(Point::Rcpt, "550 5.1.1 no such user") };
    let house = House::new(Tls::StartTls, manner(Tls::StartTls), vec![Some(refused)], mails(5)).await;
    assert_eq!(house.live().await, NOW);
    let ends = house.ends();
    let undeliverable = ends.iter().filter(|end| matches!(end, Disposition::Undeliverable { .. })).count();
    assert_eq!((undeliverable, ends.iter().filter(|end| **end == Disposition::Sent).count()), (1, 4));
}

/// What a server may say in a wrong place, right or wrong in itself.
const REPLIES: &[&str] = &[
    "250 ok\r\n",
    "354 go\r\n",
    "421 closing\r\n",
    "450 later\r\n",
    "451 later\r\n",
    "503 order\r\n",
    "530 log in\r\n",
    "550 never\r\n",
    "552 full\r\n",
    "554 no\r\n",
    "250-more\r\n250 ok\r\n",
    "250 a\r\n250 b\r\n",
    "what?\r\n",
    "999 no\r\n",
    "250 ok\n",
    "\r\n",
    "550-5.1.1 <holder1.of@example.co.jp>\r\n550 5.1.1 no\r\n",
];

fn does() -> impl Strategy<Value = Does> {
    prop_oneof![
        8 => prop::sample::select(REPLIES).prop_map(|text| Does::Says(text.into())),
        3 => prop::sample::select(&["2", "250", "250-", "421 bye\r\n", "\u{0}\r\n"][..]).prop_map(|text| Does::Breaks(text.into())),
        3 => Just(Does::HangsUp),
        1 => Just(Does::Stalls),
        1 => prop::sample::select(&["2", MORE][..]).prop_map(Does::Floods),
    ]
}

prop_compose! {
    fn trouble()(at in prop::sample::select(&EVERYWHERE[..]), does in does(), after in 0_usize..3) -> Trouble {
        Trouble { at, does, after }
    }
}

fn kinds_of_tls() -> impl Strategy<Value = Tls> {
    prop::sample::select(&[Tls::StartTls, Tls::StartTls, Tls::Implicit, Tls::None][..])
}

proptest! {
    // A case lasts as long as several others, because of its stalls.
    #![proptest_config(ProptestConfig { cases: ProptestConfig::default().cases / 5, ..ProptestConfig::default() })]

    /// No leak, no double, no loss, no injection (I-50, I-58, I-61, I-62).
    #[test]
    fn whatever_a_server_does_the_judge_is_content(
        tls in kinds_of_tls(), greylists in any::<bool>(), count in 1_usize..6,
        troubles in prop::collection::vec(prop::option::weighted(0.8, trouble()), 0..10)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let manner = Manner { greylists, ..manner(tls) };
            House::new(tls, manner, troubles, mails(count)).await.live().await;
        });
    }
}
