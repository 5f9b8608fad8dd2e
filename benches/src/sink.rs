//! A mail server that takes everything and keeps nothing, as far away as one likes.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    time::Instant,
};

/// What a sink is like.
#[derive(Debug, Clone, Copy)]
pub struct Manner {
    /// How long after what it read it answers: a round trip of the network, in which more may be on its way.
    pub round_trip: Duration,
    /// Whether it offers PIPELINING (RFC 2920).
    pub pipelines: bool,
}

/// Serves connections for ever. `port` is told where, as soon as it listens.
///
/// # Errors
///
/// When there is no port, or no more connection can be taken.
pub async fn serve(manner: Manner, port: impl FnOnce(u16)) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await.context("no port")?;
    port(listener.local_addr()?.port());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(connection(stream, manner));
    }
}

/// One connection: what is to be answered waits in order, each for as long as its round trip takes.
async fn connection(stream: TcpStream, manner: Manner) {
    let (reader, mut writer) = stream.into_split();
    let (later, mut due) = mpsc::unbounded_channel::<(Instant, Arc<str>)>();
    let answers = async move {
        while let Some((at, answer)) = due.recv().await {
            if !manner.round_trip.is_zero() {
                tokio::time::sleep_until(at).await;
            }
            if writer.write_all(answer.as_bytes()).await.is_err() {
                return;
            }
        }
    };
    let commands = async move {
        // Whoever answers has gone, and whoever reads notices when it reads.
        let say = |answer: &str| drop(later.send((Instant::now() + manner.round_trip, answer.into())));
        let (mut lines, mut line, mut message) = (BufReader::new(reader), Vec::new(), false);
        say("220 sink\r\n");
        while lines.read_until(b'\n', &mut line).await.is_ok_and(|read| read > 0) {
            match (message, line.get(..4).unwrap_or(&line)) {
                (true, _) if line == b".\r\n" => {
                    message = false;
                    say("250 2.0.0 taken\r\n");
                }
                (true, _) => {}
                (false, b"EHLO") if manner.pipelines => say("250-sink\r\n250-PIPELINING\r\n250 8BITMIME\r\n"),
                (false, b"EHLO") => say("250-sink\r\n250 8BITMIME\r\n"),
                (false, b"DATA") => {
                    message = true;
                    say("354 go on\r\n");
                }
                (false, b"QUIT") => {
                    say("221 bye\r\n");
                    return;
                }
                (false, _) => say("250 ok\r\n"),
            }
            line.clear();
        }
    };
    tokio::join!(commands, answers);
}
