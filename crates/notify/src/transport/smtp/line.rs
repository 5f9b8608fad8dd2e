//! The stream under an SMTP connection, watched.

use std::{
    fmt, io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};

use lettre::transport::smtp::client::AsyncTokioStream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What the owner of a connection wants to know about its stream.
#[derive(Debug, Default)]
pub(super) struct Watch {
    write_broke: AtomicBool,
}

impl Watch {
    /// Whether writing ever failed.
    pub(super) fn write_broke(&self) -> bool {
        self.write_broke.load(Ordering::Relaxed)
    }
}

/// The most octets that are read between two writes: an answer, or a server's half of a TLS handshake, is far shorter.
const LONGEST_ANSWER: usize = 24 * 1024;

/// A stream that notes failed writes, gives up an answer without an end, and refuses what a server (or somebody between) sends in clear behind its answer
/// to STARTTLS: it would be taken for answers that came under TLS.
pub(super) struct Line<S> {
    inner: S,
    peer: SocketAddr,
    watch: Arc<Watch>,
    /// What came since STARTTLS was asked for; `None` when it was not, or TLS has begun.
    since_starttls: Option<Vec<u8>>,
    /// Octets read since the last write.
    answered: usize,
}

impl<S> Line<S> {
    pub(super) const fn new(inner: S, peer: SocketAddr, watch: Arc<Watch>) -> Self {
        Self { inner, peer, watch, since_starttls: None, answered: 0 }
    }

    fn noted<T>(&self, result: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if let Poll::Ready(Err(_)) = &result {
            self.watch.write_broke.store(true, Ordering::Relaxed);
        }
        result
    }
}

/// Whether something follows the end of the first reply.
fn more_than_one_reply(octets: &[u8]) -> bool {
    let mut lines = octets.split_inclusive(|octet| *octet == b'\n');
    let last = lines.by_ref().find(|line| line.get(3) != Some(&b'-'));
    last.is_some() && lines.next().is_some()
}

impl<S: AsyncRead + Unpin> AsyncRead for Line<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        self.answered += buf.filled().len().saturating_sub(before);
        if self.answered > LONGEST_ANSWER {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "an answer that is too long")));
        }
        if let Some(seen) = &mut self.since_starttls {
            seen.extend_from_slice(buf.filled().get(before..).unwrap_or_default());
            if more_than_one_reply(seen) {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "clear text behind STARTTLS")));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Line<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.answered = 0;
        self.since_starttls = (buf == b"STARTTLS\r\n").then(Vec::new);
        let result = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.noted(result)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = Pin::new(&mut self.inner).poll_flush(cx);
        self.noted(result)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl<S: AsyncRead + AsyncWrite + Send + Sync + Unpin> AsyncTokioStream for Line<S> {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

impl<S> fmt::Debug for Line<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").field("peer", &self.peer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::more_than_one_reply;

    #[test]
    fn finds_what_stands_behind_a_reply() {
        for one in ["", "220", "220 go\r\n", "220-a\r\n220 b\r\n", "220-a\r\n220-b\r\n"] {
            assert!(!more_than_one_reply(one.as_bytes()), "{one:?}");
        }
        for more in ["220 go\r\n2", "220 go\r\n250 ok\r\n", "220-a\r\n220 b\r\n250 ok\r\n", "x\n2"] {
            assert!(more_than_one_reply(more.as_bytes()), "{more:?}");
        }
    }
}
