//! An SMTP server that misbehaves as told, reads strictly, and remembers everything.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
};

use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::TlsAcceptor;

use super::tls::Identity;

/// Where in a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    Greeting,
    Ehlo,
    StartTls,
    /// Instead of the TLS handshake.
    Handshake,
    Auth,
    Mail,
    Rcpt,
    Data,
    /// After the first line of the message.
    Body,
    /// After the dot.
    Dot,
    /// RSET, between two mails.
    Between,
}

/// What is done there.
#[derive(Debug, Clone)]
pub(super) enum Does {
    Says(String),
    /// Says this and hangs up.
    Breaks(String),
    Stalls,
    HangsUp,
    /// An answer that never ends, out of this.
    Floods(&'static str),
}

#[derive(Debug, Clone)]
pub(super) struct Trouble {
    pub(super) at: Point,
    pub(super) does: Does,
    /// Mails of the connection that go well before.
    pub(super) after: usize,
}

impl Trouble {
    pub(super) const fn new(at: Point, does: Does) -> Self {
        Self { at, does, after: 0 }
    }

    pub(super) fn says(at: Point, what: &str) -> Self {
        Self::new(at, Does::Says(format!("{what}\r\n")))
    }
}

/// What a server is, beside its troubles.
#[derive(Debug, Clone, Default)]
pub(super) struct Manner {
    /// Extensions in the answer to EHLO.
    pub(super) extensions: Vec<&'static str>,
    /// TLS from the first octet.
    pub(super) implicit: bool,
    /// Refuses every recipient once.
    pub(super) greylists: bool,
}

/// What was answered to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Said {
    Taken,
    Refused(u16),
    /// Nothing that anybody could understand.
    Nothing,
}

/// A message whose dot arrived.
#[derive(Debug, Clone)]
pub(super) struct Receipt {
    pub(super) tls: bool,
    pub(super) from: String,
    pub(super) to: Vec<String>,
    /// Without the dots that were stuffed.
    pub(super) message: Vec<u8>,
    pub(super) said: Said,
}

#[derive(Debug, Default)]
pub(super) struct Notes {
    pub(super) receipts: Vec<Receipt>,
    /// Commands, with `(tls)` before those that came under TLS.
    pub(super) commands: Vec<String>,
    /// What no client may do.
    pub(super) offences: Vec<String>,
    pub(super) connections: usize,
}

struct State {
    manner: Manner,
    /// The troubles of the connections to come, the next one last.
    troubles: Mutex<Vec<Option<Trouble>>>,
    greylisted: Mutex<HashSet<String>>,
    notes: Mutex<Notes>,
    acceptor: TlsAcceptor,
}

pub(super) struct Server {
    pub(super) port: u16,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    /// Connection by connection the next trouble; afterwards there is none.
    pub(super) async fn start(manner: Manner, identity: &Identity, mut troubles: Vec<Option<Trouble>>) -> Self {
        troubles.reverse();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            manner,
            troubles: Mutex::new(troubles),
            greylisted: Mutex::default(),
            notes: Mutex::default(),
            acceptor: identity.acceptor(),
        });
        let shared = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (tcp, _) = listener.accept().await.unwrap();
                shared.notes.lock().unwrap().connections += 1;
                let trouble = shared.troubles.lock().unwrap().pop().flatten();
                tokio::spawn(serve(tcp, trouble, Arc::clone(&shared)));
            }
        });
        Self { port, state, task }
    }

    pub(super) fn notes<T>(&self, read: impl FnOnce(&Notes) -> T) -> T {
        read(&self.state.notes.lock().unwrap())
    }
}

async fn serve(tcp: TcpStream, trouble: Option<Trouble>, state: Arc<State>) {
    let talk = Talk { trouble, state: &state, tls: false, mails: 0, last: String::new() };
    if state.manner.implicit {
        talk.under_tls(tcp, true).await;
    } else {
        let mut clear = talk;
        if let Some(tcp) = clear.talk(BufReader::new(tcp), true).await {
            clear.under_tls(tcp, false).await;
        }
    }
}

/// One connection.
struct Talk<'a> {
    trouble: Option<Trouble>,
    state: &'a State,
    tls: bool,
    mails: usize,
    /// What was said with the last breath.
    last: String,
}

/// The envelope so far.
#[derive(Default)]
struct Open {
    from: Option<String>,
    to: Vec<String>,
}

impl Talk<'_> {
    fn offend(&self, what: String) {
        self.state.notes.lock().unwrap().offences.push(what);
    }

    /// What is to be done here instead of answering well.
    fn trouble(&mut self, at: Point) -> Option<Does> {
        let strikes = |trouble: &mut Trouble| trouble.at == at && self.mails >= trouble.after;
        self.trouble.take_if(strikes).map(|trouble| trouble.does)
    }

    /// Answers, well or not. `None` when the connection is to end; otherwise what the client could read.
    async fn answer<S: AsyncWrite + Unpin>(&mut self, stream: &mut S, at: Point, well: &str) -> Option<String> {
        let said = match self.trouble(at) {
            None => well.to_owned(),
            Some(Does::Says(text)) => text,
            Some(Does::Breaks(text)) => {
                stream.write_all(text.as_bytes()).await.ok()?;
                stream.flush().await.ok()?;
                self.last = text;
                return None;
            }
            Some(Does::Stalls) => std::future::pending().await,
            Some(Does::HangsUp) => return None,
            Some(Does::Floods(wave)) => {
                let wave = wave.repeat(1000);
                loop {
                    stream.write_all(wave.as_bytes()).await.ok()?;
                }
            }
        };
        stream.write_all(said.as_bytes()).await.ok()?;
        stream.flush().await.ok()?;
        Some(said)
    }

    async fn under_tls(mut self, mut tcp: TcpStream, greet: bool) {
        match self.trouble(Point::Handshake) {
            None => {
                let Ok(tls) = self.state.acceptor.accept(tcp).await else { return };
                self.tls = true;
                drop(Box::pin(self.talk(BufReader::new(tls), greet)).await);
            }
            Some(Does::Says(text) | Does::Breaks(text)) => drop(tcp.write_all(text.as_bytes()).await),
            Some(Does::Stalls) => std::future::pending().await,
            Some(Does::HangsUp | Does::Floods(_)) => {}
        }
    }

    /// Talks until somebody hangs up, or gives the stream back for TLS.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&mut self, mut stream: BufReader<S>, greet: bool) -> Option<S> {
        if greet {
            self.answer(&mut stream, Point::Greeting, "220 trouble\r\n").await?;
        }
        let mut open = Open::default();
        loop {
            let line = self.line(&mut stream, 512).await?;
            let mark = if self.tls { "(tls) " } else { "" };
            self.state.notes.lock().unwrap().commands.push(format!("{mark}{}", line.trim_end()));
            let (at, well) = match line.split([' ', '\r', ':']).next().unwrap_or_default() {
                "EHLO" => (Point::Ehlo, self.ehlo()),
                "STARTTLS" => (Point::StartTls, "220 go ahead\r\n".to_owned()),
                "AUTH" => (Point::Auth, "235 welcome\r\n".to_owned()),
                "MAIL" => (Point::Mail, self.mail(&line, &mut open)),
                "RCPT" => (Point::Rcpt, self.rcpt(&line, &mut open)),
                "DATA" if open.from.is_none() || open.to.is_empty() => (Point::Between, "503 whose?\r\n".to_owned()),
                "DATA" => (Point::Data, "354 go on\r\n".to_owned()),
                "RSET" => {
                    open = Open::default();
                    (Point::Between, "250 ok\r\n".to_owned())
                }
                "QUIT" => return None,
                other => {
                    self.offend(format!("the command {other:?}"));
                    (Point::Between, "500 what?\r\n".to_owned())
                }
            };
            let said = self.answer(&mut stream, at, &well).await?;
            match (at, said.get(..3)) {
                (Point::StartTls, Some("220")) => return Some(stream.into_inner()),
                // A client may take this for a yes too, and what comes then is no command.
                (Point::StartTls, Some(code)) if !code.starts_with(['4', '5']) => return None,
                _ => {}
            }
            if at == Point::Data && said.starts_with("354") {
                self.message(&mut stream, std::mem::take(&mut open)).await?;
            }
            // A refused sender or recipient stands in no envelope.
            match at {
                Point::Mail if !said.starts_with("250") => open.from = None,
                Point::Rcpt if !said.starts_with("250") => drop(open.to.pop()),
                _ => {}
            }
        }
    }

    async fn message<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        stream: &mut BufReader<S>,
        open: Open,
    ) -> Option<()> {
        let mut message = Vec::new();
        let mut first = true;
        loop {
            let line = self.octets(stream, 1000).await?;
            if std::mem::take(&mut first) {
                match self.trouble(Point::Body) {
                    None => {}
                    Some(Does::Stalls) => std::future::pending().await,
                    // Who says yes before the end has taken it, as far as anybody can tell.
                    Some(Does::Says(text) | Does::Breaks(text)) if understood(&text) != Said::Taken => {
                        stream.write_all(text.as_bytes()).await.ok()?;
                        return None;
                    }
                    Some(_) => return None,
                }
            }
            if line == b".\r\n" {
                break;
            }
            message.extend_from_slice(line.strip_prefix(b".").unwrap_or(&line));
        }
        let receipt =
            Receipt { tls: self.tls, from: open.from.unwrap_or_default(), to: open.to, message, said: Said::Nothing };
        let number = {
            let notes = &mut *self.state.notes.lock().unwrap();
            notes.receipts.push(receipt);
            notes.receipts.len() - 1
        };
        let said = self.answer(stream, Point::Dot, "250 2.0.0 taken\r\n").await;
        self.mails += 1;
        self.state.notes.lock().unwrap().receipts[number].said = understood(said.as_ref().unwrap_or(&self.last));
        said.map(drop)
    }

    fn ehlo(&self) -> String {
        let all: Vec<_> = std::iter::once("trouble").chain(self.state.manner.extensions.iter().copied()).collect();
        let last = all.len() - 1;
        let line = |(at, word): (usize, &&str)| format!("250{}{word}\r\n", if at == last { ' ' } else { '-' });
        all.iter().enumerate().map(line).collect()
    }

    fn mail(&self, line: &str, open: &mut Open) -> String {
        if open.from.is_some() {
            self.offend("MAIL inside of a mail".to_owned());
        }
        open.from = path(line, "MAIL FROM:");
        open.from.as_ref().map_or("501 no path\r\n", |_| "250 ok\r\n").to_owned()
    }

    fn rcpt(&self, line: &str, open: &mut Open) -> String {
        let Some(to) = path(line, "RCPT TO:") else { return "501 no path\r\n".to_owned() };
        open.to.push(to.clone());
        if self.state.manner.greylists && self.state.greylisted.lock().unwrap().insert(to) {
            return "450 4.2.0 greylisted\r\n".to_owned();
        }
        "250 ok\r\n".to_owned()
    }

    async fn line<S: AsyncRead + AsyncWrite + Unpin>(&self, stream: &mut BufReader<S>, most: usize) -> Option<String> {
        Some(String::from_utf8_lossy(&self.octets(stream, most).await?).into_owned())
    }

    /// A line with its end, which has to be CR LF, and nothing but that may hold either.
    async fn octets<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: &mut BufReader<S>,
        most: usize,
    ) -> Option<Vec<u8>> {
        let mut line = Vec::new();
        let read = stream.read_until(b'\n', &mut line).await.ok()?;
        if read == 0 || !line.ends_with(b"\n") {
            return None;
        }
        if line.len() > most {
            self.offend(format!("a line of {} octets", line.len()));
        }
        let bare = line.strip_suffix(b"\r\n").is_none_or(|text| text.contains(&b'\r'));
        if bare || line.contains(&0) {
            self.offend(format!("a bare CR, a bare LF or a NUL in {:?}", String::from_utf8_lossy(&line)));
        }
        Some(line)
    }
}

fn path(line: &str, command: &str) -> Option<String> {
    line.strip_prefix(command)?.strip_prefix('<')?.split_once('>').map(|(path, _)| path.to_owned())
}

fn understood(said: &str) -> Said {
    let code = said.get(..3).and_then(|code| code.parse::<u16>().ok()).filter(|_| said.ends_with("\r\n"));
    match code {
        Some(200..=299) => Said::Taken,
        Some(code @ 400..=599) => Said::Refused(code),
        _ => Said::Nothing,
    }
}
