//! One connection to a relay, command by command, so that it is known at which point it broke.

use std::{
    fmt::{self, Display},
    future::Future,
    sync::Arc,
};

use lettre::transport::smtp::{
    Error,
    authentication::Mechanism,
    client::{AsyncSmtpConnection, AsyncTokioStream},
    commands::{Data, Ehlo, Mail, Quit, Rcpt, Rset},
    extension::{Extension, MailBodyParameter, MailParameter},
    response::{Response, Severity},
};
use tokio::{
    net::TcpStream,
    time::{error::Elapsed, timeout},
};

use super::{
    config::{Prepared, Secure, Timeouts},
    line::{Line, Watch},
};
use crate::{Envelope, Outcome, Reply};

pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    watch: Arc<Watch>,
    timeouts: Timeouts,
    /// Whether several commands may be on their way at once (RFC 2920).
    pipelines: bool,
    /// Mails that it may still begin.
    mails: u32,
    before: Before,
    usable: bool,
}

/// What went over a connection before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Nothing,
    /// A mail that the relay took.
    Taken,
    /// A mail that it refused, which may be half open.
    Refused,
}

type Answer = Result<Result<Response, Error>, Elapsed>;

/// Why a relay did not ask for the message.
pub(super) enum Refusal {
    /// It said something about this mail; the connection goes on.
    Mail(Outcome),
    /// The connection is of no more use, and nothing was said about this mail.
    Broken(Reply),
}

impl Connection {
    /// Connects, protects the connection and logs in.
    pub(super) async fn open(prepared: &Prepared) -> Result<Self, Reply> {
        let Timeouts { connect, command, .. } = prepared.timeouts;
        let tcp = within(connect, "connect", TcpStream::connect((prepared.host.as_str(), prepared.port))).await?;
        // Without this every mail waits for a delayed acknowledgement: 22 mails a second instead of hundreds.
        tcp.set_nodelay(true).map_err(|error| said("connect", &error))?;
        let peer = tcp.peer_addr().map_err(|error| said("connect", &error))?;
        let watch = Arc::new(Watch::default());
        let stream: Box<dyn AsyncTokioStream> = match &prepared.tls {
            Secure::Implicit(connector, name) => {
                let tls = within(connect, "TLS", connector.connect(name.clone(), tcp)).await?;
                Box::new(Line::new(tls, peer, Arc::clone(&watch)))
            }
            _ => Box::new(Line::new(tcp, peer, Arc::clone(&watch))),
        };
        let greeting = AsyncSmtpConnection::connect_with_transport(stream, &prepared.hello);
        let smtp =
            timeout(command, greeting).await.map_err(|_| late("greeting"))?.map_err(|e| reply("greeting", &e))?;
        let (before, timeouts) = (Before::Nothing, prepared.timeouts);
        let mut connection =
            Self { smtp, watch, timeouts, pipelines: false, mails: prepared.mails, before, usable: true };
        if let Secure::StartTls(parameters) = &prepared.tls {
            if !connection.smtp.can_starttls() {
                return Err(Reply::new(None, "the server offers no STARTTLS, which is required"));
            }
            let upgrade = connection.smtp.starttls(parameters.clone(), &prepared.hello);
            timeout(connect, upgrade).await.map_err(|_| late("STARTTLS"))?.map_err(|e| reply("STARTTLS", &e))?;
        }
        if let Some(credentials) = &prepared.credentials {
            let login = connection.smtp.auth(&[Mechanism::Plain, Mechanism::Login], credentials);
            timeout(command, login).await.map_err(|_| late("AUTH"))?.map_err(|error| reply("AUTH", &error))?;
        }
        connection.pipelines = connection.can_pipeline(prepared).await?;
        Ok(connection)
    }

    /// Asks for the extensions once more: of the answer before, the library keeps none that it does not use. The round
    /// trip is won back with the first mail.
    async fn can_pipeline(&mut self, prepared: &Prepared) -> Result<bool, Reply> {
        let asked = timeout(self.timeouts.command, self.smtp.command(Ehlo::new(prepared.hello.clone()))).await;
        match asked.map_err(|_| late("EHLO"))? {
            Ok(response) => Ok(response.message().any(|line| line.trim().eq_ignore_ascii_case("PIPELINING"))),
            // It does not like to be asked twice; what it said before goes on to hold.
            Err(error) if error.status().map(u16::from).is_some_and(|code| code != 421) => Ok(false),
            Err(error) => Err(reply("EHLO", &error)),
        }
    }

    /// MAIL, RCPT, DATA.
    pub(super) async fn offer(&mut self, envelope: &Envelope, mime: &[u8]) -> Result<(), Refusal> {
        self.mails = self.mails.saturating_sub(1);
        let path = |address: &crate::Address| {
            let unfit = |_| permanent("the address does not fit an SMTP command");
            address.as_str().parse::<lettre::Address>().map_err(unfit)
        };
        let (from, to) = (path(&envelope.from)?, path(&envelope.to)?);
        if let Some(what) = unfit(mime) {
            return Err(permanent(what));
        }
        let server = self.smtp.server_info();
        let mut parameters = Vec::new();
        if !envelope.from.as_str().is_ascii() || !envelope.to.as_str().is_ascii() {
            if !server.supports_feature(Extension::SmtpUtfEight) {
                return Err(permanent("the server takes no addresses outside ASCII"));
            }
            parameters.push(MailParameter::SmtpUtfEight);
        }
        if !mime.is_ascii() {
            if !server.supports_feature(Extension::EightBitMime) {
                return Err(permanent("the server takes no octets outside ASCII"));
            }
            parameters.push(MailParameter::Body(MailBodyParameter::EightBitMime));
        }
        let (mail, rcpt) = (Mail::new(Some(from), parameters), Rcpt::new(to, Vec::new()));
        let before = std::mem::replace(&mut self.before, Before::Refused);
        let go_ahead = if self.pipelines {
            self.at_once(before, mail, rcpt).await
        } else {
            self.in_turn(before, mail, rcpt).await
        }?;
        if go_ahead.has_code(354) {
            return Ok(());
        }
        self.usable = false;
        Err(Refusal::Broken(Reply::new(None, "DATA was answered by something other than 354")))
    }

    /// One command after the other's answer.
    async fn in_turn(&mut self, before: Before, mail: Mail, rcpt: Rcpt) -> Result<Response, Refusal> {
        if before == Before::Refused {
            self.reset().await?;
        }
        match self.command("MAIL", mail).await {
            // A mail that was taken leaves nothing to reset (RFC 5321, 4.1.1.4). But what comes first after a while may
            // have been said about the time between: asked again on a new connection, it is about this mail.
            Err(Refusal::Mail(_)) if before == Before::Taken => {
                self.usable = false;
                return Err(Refusal::Broken(Reply::new(None, "refused on a connection that was kept")));
            }
            other => other?,
        };
        self.command("RCPT", rcpt).await?;
        self.command("DATA", Data).await
    }

    async fn reset(&mut self) -> Result<(), Refusal> {
        match self.command("RSET", Rset).await {
            Ok(_) => Ok(()),
            Err(Refusal::Mail(_)) => {
                self.usable = false;
                Err(Refusal::Broken(Reply::new(None, "RSET was refused")))
            }
            Err(broken) => Err(broken),
        }
    }

    /// All commands at once (RFC 2920, 3.1): one round trip instead of three. RSET goes in front on a connection that was
    /// kept: it costs nothing here, and its answer proves that no stray one stands before those to come.
    async fn at_once(&mut self, before: Before, mail: Mail, rcpt: Rcpt) -> Result<Response, Refusal> {
        let mut written = Some(format!("{mail}{rcpt}{Data}"));
        if before != Before::Nothing {
            written = written.map(|commands| format!("{Rset}{commands}"));
            let answer = timeout(self.timeouts.command, self.smtp.command(written.take().unwrap_or_default())).await;
            if let Err(Refusal::Mail(_)) = self.judge("RSET", answer) {
                self.usable = false;
            }
            if !self.usable {
                return Err(Refusal::Broken(Reply::new(None, "RSET was refused")));
            }
        }
        let mut refused = None;
        for name in ["MAIL", "RCPT", "DATA"] {
            let answer = match written.take() {
                Some(commands) => timeout(self.timeouts.command, self.smtp.command(commands)).await,
                None => timeout(self.timeouts.command, self.smtp.read_response()).await,
            };
            if refused.is_some() {
                // What follows a refusal is refused with it. Whoever asks for the message all the same does not get as
                // much as a dot: the connection ends.
                self.usable &= answered(&answer).is_some_and(|code| code != 354 && code != 421);
                continue;
            }
            match self.judge(name, answer) {
                Ok(response) if name == "DATA" => return Ok(response),
                Ok(_) => {}
                Err(Refusal::Mail(outcome)) => refused = Some(Refusal::Mail(outcome)),
                Err(broken) => return Err(broken),
            }
        }
        Err(refused.unwrap_or_else(|| permanent("nothing was answered")))
    }

    /// The message itself, after which there is either an answer or doubt.
    pub(super) async fn message(&mut self, mime: &[u8]) -> Outcome {
        self.usable = false;
        match self.smtp.message(mime).await {
            Ok(response) if response.code().severity == Severity::PositiveCompletion => {
                (self.usable, self.before) = (true, Before::Taken);
                Outcome::Accepted
            }
            // 2xx is what was asked for; 3xx here is nonsense, and leaves everything open.
            Ok(_) => Outcome::Unknown,
            Err(error) => match error.status().map(u16::from) {
                Some(code) => {
                    self.usable = code != 421;
                    verdict(code, reply("message", &error))
                }
                // The message ends with its last octets: when writing broke, the server cannot have seen the end.
                None if self.watch.write_broke() => Outcome::Transient { reply: reply("message", &error) },
                None => Outcome::Unknown,
            },
        }
    }

    pub(super) const fn is_usable(&self) -> bool {
        self.usable
    }

    /// Whether the connection may carry another mail. One that has had its share ends politely.
    pub(super) async fn goes_on(&mut self) -> bool {
        if self.usable && self.mails == 0 {
            self.usable = false;
            drop(timeout(self.timeouts.connect, self.smtp.command(Quit)).await);
        }
        self.usable
    }

    async fn command(&mut self, name: &str, command: impl Display) -> Result<Response, Refusal> {
        let answer = timeout(self.timeouts.command, self.smtp.command(command)).await;
        self.judge(name, answer)
    }

    /// What an answer to a command of this name means.
    fn judge(&mut self, name: &str, answer: Answer) -> Result<Response, Refusal> {
        let error = match answer {
            Ok(Ok(response)) => return Ok(response),
            Ok(Err(error)) => error,
            Err(_) => {
                self.usable = false;
                return Err(Refusal::Broken(late(name)));
            }
        };
        match error.status().map(u16::from) {
            // The session, not the mail: 421 closing, 503 out of order, 530 to 538 log in first.
            Some(421 | 503 | 530..=538) | None => {
                self.usable = false;
                Err(Refusal::Broken(reply(name, &error)))
            }
            Some(code) => Err(Refusal::Mail(verdict(code, reply(name, &error)))),
        }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("mails", &self.mails).field("usable", &self.usable).finish_non_exhaustive()
    }
}

/// The code of an answer, if there was one.
fn answered(answer: &Answer) -> Option<u16> {
    match answer {
        Ok(Ok(response)) => Some(response.code().into()),
        Ok(Err(error)) => error.status().map(u16::from),
        Err(_) => None,
    }
}

fn verdict(code: u16, reply: Reply) -> Outcome {
    if code >= 500 { Outcome::Permanent { reply } } else { Outcome::Transient { reply } }
}

fn permanent(text: &str) -> Refusal {
    Refusal::Mail(Outcome::Permanent { reply: Reply::new(None, text) })
}

/// Why octets are no message for DATA (RFC 5321, 4.5.2 and 4.5.3.1.6). A bare CR or LF is where servers disagree about
/// the end of a message, and so where one message becomes two.
fn unfit(mime: &[u8]) -> Option<&'static str> {
    mime.split_inclusive(|octet| *octet == b'\n').find_map(|line| {
        let text = line.strip_suffix(b"\r\n").unwrap_or(line);
        if text.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)) {
            return Some("the message holds a bare CR, a bare LF or a NUL");
        }
        (text.len() > 998).then_some("the message holds a line of more than 998 octets")
    })
}

/// What the server said, or else what broke and where.
fn reply(at: &str, error: &Error) -> Reply {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    match error.status().map(u16::from) {
        Some(code) => Reply::new(Some(code), &cause),
        None => Reply::new(None, &format!("{at}: {cause}")),
    }
}

fn said(at: &str, error: &std::io::Error) -> Reply {
    Reply::new(None, &format!("{at}: {error}"))
}

fn late(at: &str) -> Reply {
    Reply::new(None, &format!("{at}: no answer in time"))
}

async fn within<T>(
    limit: std::time::Duration,
    at: &str,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Reply> {
    timeout(limit, work).await.map_err(|_| late(at))?.map_err(|error| said(at, &error))
}
