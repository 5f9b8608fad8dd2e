use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use koshin_notify::{
    Composed, Mail, Notice, Outcome, Sender, SmtpTransport, Texts, Transport, compose,
    smtp::{Login, Roots, SmtpConfig, SmtpError, Timeouts, Tls},
};
use koshin_types::Language;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, rustls};

use crate::fixture::{NOW, address, mail, plain, sender};

/// What the server says at each point. An empty text hangs up, `"stall"` says nothing for ever.
#[derive(Clone)]
struct Script {
    greeting: &'static str,
    ehlo: &'static str,
    starttls: &'static str,
    auth: &'static str,
    mail: &'static str,
    rcpt: &'static str,
    data: &'static str,
    message: &'static str,
    /// Mails after which the server hangs up on its own.
    hang_up_after: usize,
    /// Says nothing before DATA has come, and then all of it.
    hoards: bool,
}

const HONEST: Script = Script {
    greeting: "220 sink\r\n",
    ehlo: "250-sink\r\n250 8BITMIME\r\n",
    starttls: "220 go ahead\r\n",
    auth: "235 welcome\r\n",
    mail: "250 ok\r\n",
    rcpt: "250 ok\r\n",
    data: "354 go on\r\n",
    message: "250 taken\r\n",
    hang_up_after: usize::MAX,
    hoards: false,
};

/// Whoever waits for an answer before the next command waits for ever.
const HOARDING: Script = Script { ehlo: "250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n", hoards: true, ..HONEST };

#[derive(Default)]
struct Seen {
    /// Commands, with `(tls)` before those that came under TLS.
    commands: Mutex<Vec<String>>,
    messages: Mutex<Vec<String>>,
    connections: AtomicUsize,
}

struct Server {
    port: u16,
    seen: Arc<Seen>,
    pem: Vec<u8>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    async fn start(script: Script, implicit: bool) -> Self {
        Self::named(script, implicit, "localhost").await
    }

    async fn named(script: Script, implicit: bool, host: &str) -> Self {
        let issued = rcgen::generate_simple_self_signed(vec![host.to_owned()]).unwrap();
        let pem = issued.cert.pem().into_bytes();
        let key = rustls::pki_types::PrivateKeyDer::try_from(issued.signing_key.serialize_der()).unwrap();
        let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![issued.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Seen::default());
        let noted = Arc::clone(&seen);
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                noted.connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(tcp, script.clone(), acceptor.clone(), implicit, Arc::clone(&noted)));
            }
        });
        Self { port, seen, pem, task }
    }

    fn config(&self, tls: Tls) -> SmtpConfig {
        let quick = Duration::from_secs(5);
        SmtpConfig {
            port: self.port,
            tls,
            roots: Roots::Pem(self.pem.clone()),
            hello: Some("koshin.example".into()),
            timeouts: Timeouts { connect: quick, command: quick, before_data: quick, data: quick },
            ..SmtpConfig::new("localhost")
        }
    }

    fn client(&self, tls: Tls) -> SmtpTransport {
        SmtpTransport::new(self.config(tls)).unwrap()
    }

    fn commands(&self) -> Vec<String> {
        self.seen.commands.lock().unwrap().clone()
    }

    fn messages(&self) -> Vec<String> {
        self.seen.messages.lock().unwrap().clone()
    }

    fn connections(&self) -> usize {
        self.seen.connections.load(Ordering::SeqCst)
    }
}

async fn serve(tcp: TcpStream, script: Script, acceptor: TlsAcceptor, implicit: bool, seen: Arc<Seen>) {
    if implicit {
        let Ok(tls) = acceptor.accept(tcp).await else { return };
        talk(tls, &script, &seen, "(tls) ", true).await;
    } else if let Some(tcp) = talk(tcp, &script, &seen, "", true).await {
        let Ok(tls) = acceptor.accept(tcp).await else { return };
        talk(tls, &script, &seen, "(tls) ", false).await;
    }
}

/// Talks until somebody hangs up, or gives the stream back for TLS.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    script: &Script,
    seen: &Seen,
    mark: &str,
    greet: bool,
) -> Option<S> {
    let mut stream = BufReader::new(stream);
    let (mut mails, mut held) = (0, String::new());
    if greet && script.greeting.is_empty() {
        return None;
    }
    if greet {
        stream.write_all(script.greeting.as_bytes()).await.ok()?;
    }
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        seen.commands.lock().unwrap().push(format!("{mark}{}", line.trim_end()));
        let word = line.split([' ', '\r', ':']).next().unwrap_or_default().to_owned();
        let answer = match word.as_str() {
            "EHLO" => script.ehlo,
            "STARTTLS" => script.starttls,
            "AUTH" => script.auth,
            "MAIL" => script.mail,
            "RCPT" => script.rcpt,
            "DATA" => script.data,
            "QUIT" => "",
            _ => "250 ok\r\n",
        };
        match answer {
            "" => return None,
            "stall" => std::future::pending::<()>().await,
            answer if script.hoards && ["RSET", "MAIL", "RCPT"].contains(&word.as_str()) => held.push_str(answer),
            answer => stream.write_all((std::mem::take(&mut held) + answer).as_bytes()).await.ok()?,
        }
        stream.flush().await.ok()?;
        if word == "STARTTLS" {
            return Some(stream.into_inner());
        }
        if word == "DATA" && answer.starts_with("354") {
            let mut message = String::new();
            while !message.ends_with("\r\n.\r\n") {
                if stream.read_line(&mut message).await.ok()? == 0 {
                    return None;
                }
            }
            seen.messages.lock().unwrap().push(message);
            mails += 1;
            match script.message {
                "" => return None,
                "stall" => std::future::pending::<()>().await,
                answer => stream.write_all(answer.as_bytes()).await.ok()?,
            }
            stream.flush().await.ok()?;
            if mails == script.hang_up_after {
                return None;
            }
        }
    }
}

async fn send(client: &SmtpTransport, mail: &Mail) -> Outcome {
    let Composed { envelope, mime } = compose(mail, &sender(), NOW).unwrap();
    client.send(&envelope, &mime).await
}

async fn outcome(script: Script) -> (Outcome, Server) {
    let server = Server::start(script, false).await;
    (send(&server.client(Tls::None), &plain("a")).await, server)
}

fn code(outcome: &Outcome) -> Option<u16> {
    match outcome {
        Outcome::Permanent { reply } | Outcome::Transient { reply } => reply.code(),
        _ => None,
    }
}

#[tokio::test]
async fn several_mails_take_one_connection() {
    let server = Server::start(HONEST, false).await;
    let client = server.client(Tls::None);
    for key in ["a", "b", "c"] {
        assert_eq!(send(&client, &plain(key)).await, Outcome::Accepted);
    }
    assert_eq!(server.connections(), 1);
    let messages = server.messages();
    assert_eq!(messages.len(), 3);
    let mime = compose(&plain("b"), &sender(), NOW).unwrap().mime;
    assert_eq!(messages[1], format!("{}\r\n.\r\n", std::str::from_utf8(&mime).unwrap()), "octet for octet");
    let mail = ["MAIL FROM:<noreply@midori.example>", "RCPT TO:<taro@example.co.jp>", "DATA"];
    let hello = ["EHLO koshin.example"; 2];
    assert_eq!(server.commands(), [&hello[..], &mail, &mail, &mail].concat(), "nothing between them to wait for");
}

#[tokio::test]
async fn a_mail_to_a_server_that_pipelines_takes_two_round_trips() {
    let server = Server::start(HOARDING, false).await;
    let client = server.client(Tls::None);
    for key in ["a", "b", "c"] {
        assert_eq!(send(&client, &plain(key)).await, Outcome::Accepted);
    }
    assert_eq!((server.connections(), server.messages().len()), (1, 3));
    let words: Vec<_> = server.commands().iter().map(|command| command[..4].to_owned()).collect();
    let kept = ["RSET", "MAIL", "RCPT", "DATA"];
    assert_eq!(words, [&["EHLO"; 2][..], &kept[1..], &kept, &kept].concat());
}

/// Of several answers the first refusal is the one about the mail, whatever is said after it.
#[tokio::test]
async fn a_refusal_among_several_answers_is_found() {
    let (no, order) = ("550 5.1.1 no\r\n", "503 5.5.1 order\r\n");
    for (script, expected) in [
        (Script { mail: no, rcpt: order, data: order, ..HOARDING }, 550),
        (Script { rcpt: no, data: order, ..HOARDING }, 550),
        (Script { rcpt: "450 4.2.0 later\r\n", data: "554 5.5.1 nobody\r\n", ..HOARDING }, 450),
        (Script { data: "452 4.3.1 full\r\n", ..HOARDING }, 452),
    ] {
        let server = Server::start(script, false).await;
        let client = server.client(Tls::None);
        for key in ["a", "b"] {
            assert_eq!(code(&send(&client, &plain(key)).await), Some(expected));
        }
        assert_eq!((server.connections(), server.messages().len()), (1, 0), "the connection goes on");
        assert!(server.commands().contains(&"RSET".to_owned()));
    }
}

/// A server that refuses the recipient and asks for the message all the same gets no octet of one.
#[tokio::test]
async fn nothing_is_handed_over_after_a_refusal() {
    let server = Server::start(Script { rcpt: "550 5.1.1 no\r\n", ..HOARDING }, false).await;
    let client = server.client(Tls::None);
    for key in ["a", "b"] {
        assert_eq!(code(&send(&client, &plain(key)).await), Some(550));
    }
    assert_eq!((server.connections(), server.messages().len()), (2, 0));
    assert!(!server.commands().contains(&"QUIT".to_owned()), "it would be the message");
}

/// What a server says about the time between two mails is not taken for a word about the second.
#[tokio::test]
async fn a_stray_answer_is_no_word_about_the_next_mail() {
    let stray = "250 taken\r\n550 5.4.0 you were silent for too long\r\n";
    for script in [Script { message: stray, ..HONEST }, Script { message: stray, ..HOARDING }] {
        let server = Server::start(script, false).await;
        let client = server.client(Tls::None);
        for key in ["a", "b"] {
            assert_eq!(send(&client, &plain(key)).await, Outcome::Accepted);
        }
        assert_eq!((server.connections(), server.messages().len()), (2, 2));
    }
}

#[tokio::test]
async fn a_connection_has_its_share_and_then_ends_politely() {
    let server = Server::start(HONEST, false).await;
    let client = SmtpTransport::new(SmtpConfig { mails_per_connection: 2, ..server.config(Tls::None) }).unwrap();
    for key in ["a", "b", "c"] {
        assert_eq!(send(&client, &plain(key)).await, Outcome::Accepted);
    }
    assert_eq!(server.connections(), 2);
    assert!(server.commands().contains(&"QUIT".to_owned()));
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced() {
    let server = Server::start(Script { hang_up_after: 1, ..HONEST }, false).await;
    let client = server.client(Tls::None);
    for key in ["a", "b"] {
        assert_eq!(send(&client, &plain(key)).await, Outcome::Accepted);
    }
    assert_eq!((server.connections(), server.messages().len()), (2, 2));
}

#[tokio::test]
async fn refusals_are_for_now_or_for_ever() {
    let later = "451 4.3.0 later\r\n";
    let never = "550 5.1.1 <taro@example.co.jp> never\r\n";
    for (name, now, ever) in [
        ("MAIL", Script { mail: later, ..HONEST }, Script { mail: never, ..HONEST }),
        ("RCPT", Script { rcpt: later, ..HONEST }, Script { rcpt: never, ..HONEST }),
        ("DATA", Script { data: later, ..HONEST }, Script { data: never, ..HONEST }),
        ("message", Script { message: later, ..HONEST }, Script { message: never, ..HONEST }),
    ] {
        let (outcome_now, _server) = outcome(now).await;
        assert!(matches!(&outcome_now, Outcome::Transient { .. }), "{name}: {outcome_now:?}");
        assert_eq!(code(&outcome_now), Some(451), "{name}");
        let (outcome_ever, _server) = outcome(ever).await;
        let Outcome::Permanent { reply } = &outcome_ever else { panic!("{name}: {outcome_ever:?}") };
        assert_eq!(reply.to_string(), "550 5.1.1 *** never", "{name}");
    }
}

#[tokio::test]
async fn what_is_said_about_the_session_is_no_word_about_the_mail() {
    for script in [
        Script { greeting: "554 not you\r\n", ..HONEST },
        Script { greeting: "421 busy\r\n", ..HONEST },
        Script { ehlo: "550 no\r\n", ..HONEST },
        Script { mail: "530 5.7.0 log in first\r\n", ..HONEST },
        Script { rcpt: "421 closing\r\n", ..HONEST },
        Script { data: "250 what?\r\n", ..HONEST },
        Script { greeting: "", ..HONEST },
        Script { ehlo: "", ..HONEST },
        Script { mail: "", ..HONEST },
        Script { rcpt: "", ..HONEST },
        Script { data: "", ..HONEST },
    ] {
        let (outcome, server) = outcome(script).await;
        assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
        assert!(server.messages().is_empty());
    }
}

#[tokio::test]
async fn one_refused_recipient_hurts_no_other_mail() {
    let server = Server::start(Script { rcpt: "550 no\r\n", ..HONEST }, false).await;
    let client = server.client(Tls::None);
    for key in ["a", "b"] {
        assert_eq!(code(&send(&client, &plain(key)).await), Some(550));
    }
    assert_eq!(server.connections(), 1, "the connection goes on");
}

#[tokio::test]
async fn an_answer_lost_after_the_dot_is_unknown() {
    let (outcome, server) = outcome(Script { message: "", ..HONEST }).await;
    assert_eq!((outcome, server.messages().len()), (Outcome::Unknown, 1));
    let (outcome, _server) = self::outcome(Script { message: "what?\r\n", ..HONEST }).await;
    assert_eq!(outcome, Outcome::Unknown);
    let (outcome, _server) = self::outcome(Script { message: "354 more?\r\n", ..HONEST }).await;
    assert_eq!(outcome, Outcome::Unknown);
}

#[tokio::test]
async fn a_stall_ends_in_time() {
    let quick = Duration::from_millis(300);
    for (stalled, expected) in [
        (Script { mail: "stall", ..HONEST }, None),
        (Script { data: "stall", ..HONEST }, None),
        (Script { message: "stall", ..HONEST }, Some(Outcome::Unknown)),
    ] {
        let server = Server::start(stalled, false).await;
        let timeouts = Timeouts { command: quick, data: quick, ..server.config(Tls::None).timeouts };
        let client = SmtpTransport::new(SmtpConfig { timeouts, ..server.config(Tls::None) }).unwrap();
        let outcome = tokio::time::timeout(Duration::from_secs(4), send(&client, &plain("a"))).await.unwrap();
        match expected {
            Some(expected) => assert_eq!(outcome, expected),
            None => assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}"),
        }
    }
}

#[tokio::test]
async fn nobody_there_is_transient() {
    let server = Server::start(HONEST, false).await;
    let client = server.client(Tls::None);
    server.task.abort();
    tokio::task::yield_now().await;
    let outcome = send(&client, &plain("a")).await;
    assert!(matches!(&outcome, Outcome::Transient { reply } if reply.code().is_none()), "{outcome:?}");
}

const TLS_OFFERED: Script = Script { ehlo: "250-sink\r\n250-AUTH PLAIN LOGIN\r\n250 STARTTLS\r\n", ..HONEST };

#[tokio::test]
async fn starttls_protects_login_and_mail() {
    let server = Server::start(TLS_OFFERED, false).await;
    let login = Some(Login::new("koshin", "s3cret"));
    let client = SmtpTransport::new(SmtpConfig { login, ..server.config(Tls::StartTls) }).unwrap();
    assert_eq!(send(&client, &plain("a")).await, Outcome::Accepted);
    let commands = server.commands();
    assert_eq!(commands[..3], ["EHLO koshin.example", "STARTTLS", "(tls) EHLO koshin.example"]);
    assert!(commands[3].starts_with("(tls) AUTH PLAIN ") && commands[4..].iter().all(|c| c.starts_with("(tls)")));
    assert!(!format!("{client:?}").contains("s3cret"));
}

#[tokio::test]
async fn implicit_tls_protects_everything() {
    let server = Server::start(HONEST, true).await;
    assert_eq!(send(&server.client(Tls::Implicit), &plain("a")).await, Outcome::Accepted);
    assert!(server.commands().iter().all(|command| command.starts_with("(tls)")));
}

#[tokio::test]
async fn without_the_required_tls_nothing_is_sent_in_clear() {
    let clear_text = "220 go ahead\r\n250 injected\r\n";
    let offered_and_refused = Script { starttls: "454 not now\r\n", ..TLS_OFFERED };
    for script in [HONEST, offered_and_refused, Script { starttls: clear_text, ..TLS_OFFERED }] {
        let server = Server::start(script, false).await;
        let login = Some(Login::new("koshin", "s3cret"));
        let client = SmtpTransport::new(SmtpConfig { login, ..server.config(Tls::StartTls) }).unwrap();
        let outcome = send(&client, &plain("a")).await;
        assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
        assert!(server.messages().is_empty());
        let commands = server.commands();
        assert!(
            commands.iter().all(|c| ["EHLO koshin.example", "STARTTLS", "QUIT"].contains(&c.as_str())),
            "{commands:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_of_another_host_or_of_nobody_is_not_believed() {
    for (tls, implicit) in [(Tls::StartTls, false), (Tls::Implicit, true)] {
        let other = Server::named(TLS_OFFERED, implicit, "other.example").await;
        let stranger = Server::start(TLS_OFFERED, implicit).await;
        let roots = Roots::Pem(other.pem.clone());
        let unbelieved = SmtpTransport::new(SmtpConfig { roots, ..stranger.config(tls) }).unwrap();
        for (client, server) in [(other.client(tls), &other), (unbelieved, &stranger)] {
            let outcome = send(&client, &plain("a")).await;
            assert!(matches!(outcome, Outcome::Transient { .. }), "{outcome:?}");
            assert!(server.commands().iter().all(|command| !command.contains("MAIL")));
        }
    }
}

#[tokio::test]
async fn a_refused_login_is_no_refused_mail() {
    let server = Server::start(Script { auth: "535 5.7.8 wrong\r\n", ..TLS_OFFERED }, false).await;
    let login = Some(Login::new("koshin", "s3cret"));
    let client = SmtpTransport::new(SmtpConfig { login, ..server.config(Tls::StartTls) }).unwrap();
    let outcome = send(&client, &plain("a")).await;
    assert!(matches!(outcome, Outcome::Transient { .. }));
    assert_eq!(code(&outcome), Some(535));
}

#[tokio::test]
async fn dots_at_the_beginning_of_a_line_end_nothing() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("en")).unwrap();
    let text = "Subject: Dots\n\n.\n..\n.\nMAIL FROM:<x@y.jp>\n{{ id }} {{ at }}";
    std::fs::write(folder.path().join("en/address-changed.txt"), text).unwrap();
    let sender: Sender = sender().with_texts(Texts::load(folder.path()).unwrap());
    let mail = mail(Notice::AddressChanged { at: NOW }, Language::En);
    let Composed { envelope, mime } = compose(&mail, &sender, NOW).unwrap();
    assert!(std::str::from_utf8(&mime).unwrap().contains("\r\n.\r\n"), "the text is not encoded away");
    let server = Server::start(HONEST, false).await;
    assert_eq!(server.client(Tls::None).send(&envelope, &mime).await, Outcome::Accepted);
    let messages = server.messages();
    assert!(messages.len() == 1 && messages[0].contains("\r\n..\r\n...\r\n..\r\nMAIL FROM"), "{messages:?}");
}

#[tokio::test]
async fn an_address_outside_ascii_needs_a_server_that_takes_it() {
    let mail = Mail { to: address("山田@例え.jp"), ..plain("a") };
    let server = Server::start(HONEST, false).await;
    assert!(matches!(send(&server.client(Tls::None), &mail).await, Outcome::Permanent { .. }));
    let server = Server::start(Script { ehlo: "250-sink\r\n250-8BITMIME\r\n250 SMTPUTF8\r\n", ..HONEST }, false).await;
    assert_eq!(send(&server.client(Tls::None), &mail).await, Outcome::Accepted);
    assert!(server.commands().iter().any(|command| command.starts_with("MAIL") && command.contains("SMTPUTF8")));
}

#[test]
fn a_password_is_never_in_clear_nor_readable() {
    let login = Some(Login::new("koshin", "s3cret"));
    let config = SmtpConfig { tls: Tls::None, login, ..SmtpConfig::new("localhost") };
    assert!(matches!(SmtpTransport::new(config), Err(SmtpError::PasswordInClear)));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "s3cret\n").unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let set = |mode| std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o640);
        assert!(matches!(Login::read("koshin", &file), Err(SmtpError::PasswordReadable { mode: 0o640, .. })));
        set(0o600);
    }
    assert!(!format!("{:?}", Login::read("koshin", &file).unwrap()).contains("s3cret"));
    std::fs::write(&file, "").unwrap();
    assert!(matches!(Login::read("koshin", &file), Err(SmtpError::Password { .. })));
}
