//! Where the figures can be read: a small HTTP server for programs on the same machine. It knows one path.

use std::{sync::Arc, time::Duration as Wait};

use koshin_expiry::Policy;
use koshin_sqlite::Store;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
};

use super::{Believed, Figures, Limits, Standing};
use crate::machine;

/// What the figures are read from.
pub(super) struct Source {
    pub(super) store: Arc<Store>,
    pub(super) policy: Policy,
    pub(super) limits: Limits,
    pub(super) clock: Believed,
    pub(super) figures: Arc<Figures>,
}

/// Requests that are answered at once; what comes beside them waits.
const AT_ONCE: usize = 4;
/// How long a request may take.
const PATIENCE: Wait = Wait::from_secs(5);
/// The longest request.
const LONGEST: usize = 8 * 1024;
/// How long it is rested when no connection can be taken.
const REST: Wait = Wait::from_millis(100);

impl Source {
    /// How the mails stand now; `None` when the database does not answer.
    pub(super) async fn standing(&self) -> Option<Standing> {
        let believed = (self.clock)();
        let now = believed.unwrap_or_else(machine::now);
        match Standing::look(&self.store, &self.policy, self.limits, now).await {
            Ok(standing) if believed.is_none() => Some(standing.with_doubted_clock()),
            Ok(standing) => Some(standing),
            Err(error) => {
                tracing::error!(error = ?error, "it cannot be read how the mails stand");
                None
            }
        }
    }
}

/// Answers `GET /metrics` until it is to stop.
pub(super) async fn serve(listener: TcpListener, source: Arc<Source>, mut stopping: watch::Receiver<bool>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let taken = tokio::select! {
            // A sender that is gone has stopped too.
            _ = stopping.wait_for(|stop| *stop) => return,
            taken = listener.accept() => taken,
        };
        let Ok((stream, _)) = taken else {
            tokio::time::sleep(REST).await;
            continue;
        };
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            // Whoever asked and went away has no use for the answer.
            let _ = tokio::time::timeout(PATIENCE, answer(stream, &source)).await;
            drop(permit);
        });
    }
}

async fn answer(mut stream: TcpStream, source: &Source) -> std::io::Result<()> {
    let mut request = Vec::new();
    while !request.windows(4).any(|end| end == b"\r\n\r\n") {
        if request.len() > LONGEST || stream.read_buf(&mut request).await? == 0 {
            return Ok(());
        }
    }
    let line = request.split(|octet| *octet == b'\r').next().unwrap_or_default();
    let mut words = line.split(|octet| *octet == b' ');
    let (status, text) = match (words.next(), words.next()) {
        (Some(b"GET"), Some(b"/metrics")) => ("200 OK", source.figures.text(source.standing().await.as_ref())),
        (Some(b"GET"), _) => ("404 Not Found", "there is /metrics\n".to_owned()),
        _ => ("405 Method Not Allowed", "there is GET /metrics\n".to_owned()),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\nContent-Length: {}\r\n\
         Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n",
        text.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
}
