//! A mail server that takes its time, refuses a few recipients for now, and remembers who was sent what.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    time::Duration,
};

type Received = BTreeMap<String, Vec<String>>;

pub(super) struct Mta {
    pub(super) port: u16,
    received: Arc<Mutex<Received>>,
}

impl Mta {
    /// Its threads end with the process.
    pub(super) fn start(mut seed: u64) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Received::new()));
        let shared = Arc::clone(&received);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let (received, seed) = (Arc::clone(&shared), seed);
                // A client that dies in the middle is no fault of the server's.
                std::thread::spawn(move || drop(connection.map(|tcp| talk(&tcp, &received, seed))));
            }
        });
        Self { port, received }
    }

    /// The recipients of each Message-ID, once for each time it came.
    pub(super) fn received(&self) -> Received {
        self.received.lock().unwrap().clone()
    }
}

fn talk(tcp: &TcpStream, received: &Mutex<Received>, mut seed: u64) -> std::io::Result<()> {
    tcp.set_nodelay(true)?;
    let (mut reader, mut writer) = (BufReader::new(tcp), tcp);
    let mut to = Vec::new();
    writer.write_all(b"220 mta\r\n")?;
    for number in 0_u64.. {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number);
        std::thread::sleep(Duration::from_micros((seed >> 40) % 400));
        let answer = match line.get(..4).unwrap_or_default() {
            "EHLO" => "250-mta\r\n250 8BITMIME\r\n",
            "RCPT" if (seed >> 33).is_multiple_of(50) => "450 4.2.0 not now\r\n",
            "RCPT" => {
                to = line.split(['<', '>']).skip(1).step_by(2).map(str::to_owned).collect();
                "250 ok\r\n"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n")?;
                let id = message(&mut reader)?;
                received.lock().unwrap().entry(id).or_default().append(&mut to);
                std::thread::sleep(Duration::from_micros((seed >> 40) % 400));
                "250 taken\r\n"
            }
            "QUIT" => return Ok(()),
            _ => "250 ok\r\n",
        };
        writer.write_all(answer.as_bytes())?;
    }
    Ok(())
}

/// Reads a message to its end, and answers with its Message-ID.
fn message(reader: &mut impl std::io::BufRead) -> std::io::Result<String> {
    let (mut id, mut line) = (String::new(), String::new());
    while line != ".\r\n" {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if let Some(found) = line.strip_prefix("Message-ID: ") {
            found.trim_end().clone_into(&mut id);
        }
    }
    Ok(id)
}
