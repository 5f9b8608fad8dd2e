//! A mail server that remembers what it took, takes its time, and refuses whom it is told to.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

/// A message that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Taken {
    pub(crate) id: String,
    pub(crate) to: String,
    pub(crate) text: String,
}

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manners {
    /// How long it thinks about a message before it says that it took it.
    pub(crate) pause: Duration,
    /// Who is refused for ever.
    pub(crate) unknown: &'static str,
    /// Who is refused for now.
    pub(crate) busy: &'static str,
}

pub(crate) struct Relay {
    pub(crate) port: u16,
    taken: Arc<Mutex<Vec<Taken>>>,
}

impl Relay {
    /// Its threads end with the process.
    pub(crate) fn start(manners: Manners) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let shared = Arc::clone(&taken);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let (taken, manners) = (Arc::clone(&shared), manners.clone());
                // A client that dies in the middle is no fault of the server's.
                std::thread::spawn(move || drop(connection.map(|tcp| talk(&tcp, &taken, &manners))));
            }
        });
        Self { port, taken }
    }

    pub(crate) fn taken(&self) -> Vec<Taken> {
        self.taken.lock().unwrap().clone()
    }

    /// Message-IDs, sorted, as often as they came.
    pub(crate) fn ids(&self) -> Vec<String> {
        let mut ids: Vec<_> = self.taken().into_iter().map(|taken| taken.id).collect();
        ids.sort();
        ids
    }
}

fn talk(tcp: &TcpStream, taken: &Mutex<Vec<Taken>>, manners: &Manners) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(tcp), tcp);
    let mut to = String::new();
    writer.write_all(b"220 relay\r\n")?;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let named = |whom: &str| !whom.is_empty() && line.contains(whom);
        let answer = match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-relay\r\n250 8BITMIME\r\n",
            "RCPT" if named(manners.unknown) => "550 5.1.1 nobody of that name\r\n",
            "RCPT" if named(manners.busy) => "450 4.2.0 not now\r\n",
            "RCPT" => {
                line.split(['<', '>']).nth(1).unwrap_or_default().clone_into(&mut to);
                "250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                let (id, text) = message(&mut reader)?;
                taken.lock().unwrap().push(Taken { id, to: to.clone(), text });
                std::thread::sleep(manners.pause);
                "250 taken\r\n"
            }
            "QUIT" => return Ok(()),
            _ => "250 ok\r\n",
        };
        writer.write_all(answer.as_bytes())?;
    }
}

/// A message up to its end, with its Message-ID.
fn message(reader: &mut impl std::io::BufRead) -> std::io::Result<(String, String)> {
    let (mut id, mut text) = (String::new(), String::new());
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line == ".\r\n" {
            return Ok((id, text));
        }
        if let Some(found) = line.strip_prefix("Message-ID: ") {
            found.trim().clone_into(&mut id);
        }
        text.push_str(&line);
    }
}
