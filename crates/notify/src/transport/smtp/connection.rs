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
    commands::{Data, Mail, Quit, Rcpt, Rset},
    extension::{Extension, MailBodyParameter, MailParameter},
    response::{Response, Severity},
};
use tokio::{net::TcpStream, time::timeout};

use super::{
    config::{Prepared, Secure, Timeouts},
    line::{Line, Watch},
};
use crate::{Envelope, Outcome, Reply};

pub(super) struct Connection {
    smtp: AsyncSmtpConnection,
    watch: Arc<Watch>,
    timeouts: Timeouts,
    /// Mails begun.
    mails: u32,
    usable: bool,
}

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
        let mut connection = Self { smtp, watch, timeouts: prepared.timeouts, mails: 0, usable: true };
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
        connection.mails = prepared.mails;
        Ok(connection)
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
        self.command("MAIL", Mail::new(Some(from), parameters)).await?;
        self.command("RCPT", Rcpt::new(to, Vec::new())).await?;
        let go_ahead = self.command("DATA", Data).await?;
        if go_ahead.has_code(354) {
            return Ok(());
        }
        self.usable = false;
        Err(Refusal::Broken(Reply::new(None, "DATA was answered by something other than 354")))
    }

    /// The message itself, after which there is either an answer or doubt.
    pub(super) async fn message(&mut self, mime: &[u8]) -> Outcome {
        self.usable = false;
        match self.smtp.message(mime).await {
            Ok(response) if response.code().severity == Severity::PositiveCompletion => {
                self.usable = true;
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

    /// Makes the connection ready for another mail. `false` when it has had its share, or does not answer.
    pub(super) async fn reset(&mut self, prepared: &Prepared) -> bool {
        if self.usable && self.mails > 0 {
            // After a complete mail there is nothing to reset (RFC 5321, 4.1.1.4), but it costs little and proves that
            // the server is there.
            let answer = timeout(prepared.timeouts.command, self.smtp.command(Rset)).await;
            return matches!(answer, Ok(Ok(_)));
        }
        drop(timeout(prepared.timeouts.connect, self.smtp.command(Quit)).await);
        false
    }

    async fn command(&mut self, name: &str, command: impl Display) -> Result<Response, Refusal> {
        let answer = timeout(self.timeouts.command, self.smtp.command(command)).await;
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
