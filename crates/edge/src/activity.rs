//! What a connection is doing, and until when it may.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::Notify,
    time::Instant,
};

use crate::Limits;

/// The doings of one connection, seen by the task that drives it.
pub(crate) struct Activity {
    phase: Mutex<Phase>,
    changed: Notify,
}

/// The clock in here is the runtime's: these are pauses, not instants that anything is decided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing came in since the handshake.
    Fresh { since: Instant },
    /// The head of a request is coming in.
    Head { since: Instant },
    /// Requests are under way; `since` is when the last of them began or ended.
    Busy { requests: usize, since: Instant },
    /// Nothing since the last request was answered.
    Idle { since: Instant },
}

/// Why a connection has used up its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// No request is under way: it may be closed politely.
    Waiting,
    /// A head or an exchange takes too long: it is cut.
    Stuck,
}

impl Activity {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { phase: Mutex::new(Phase::Fresh { since: Instant::now() }), changed: Notify::new() })
    }

    /// Until when the present phase may last, and what it means if it lasts longer.
    pub(crate) fn deadline(&self, limits: &Limits) -> (Instant, Overdue) {
        match *self.lock() {
            Phase::Fresh { since } => (since + limits.first_request_timeout, Overdue::Waiting),
            Phase::Head { since } => (since + limits.header_read_timeout, Overdue::Stuck),
            Phase::Busy { since, .. } => (since + limits.exchange_timeout, Overdue::Stuck),
            Phase::Idle { since } => (since + limits.idle_timeout, Overdue::Waiting),
        }
    }

    /// Waits until the phase may have changed since the last call.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A request's head is complete; the request is under way for as long as the returned value lives.
    pub(crate) fn begin(self: &Arc<Self>) -> UnderWay {
        self.set(|phase, since| match phase {
            Phase::Busy { requests, .. } => Phase::Busy { requests: requests + 1, since },
            _ => Phase::Busy { requests: 1, since },
        });
        UnderWay(Arc::clone(self))
    }

    fn end(&self) {
        self.set(|phase, since| match phase {
            Phase::Busy { requests, .. } if requests > 1 => Phase::Busy { requests: requests - 1, since },
            _ => Phase::Idle { since },
        });
    }

    fn octets_came_in(&self) {
        let waiting = matches!(*self.lock(), Phase::Fresh { .. } | Phase::Idle { .. });
        if waiting {
            self.set(|phase, since| match phase {
                Phase::Fresh { .. } | Phase::Idle { .. } => Phase::Head { since },
                other => other,
            });
        }
    }

    fn set(&self, change: impl FnOnce(Phase, Instant) -> Phase) {
        let mut phase = self.lock();
        *phase = change(*phase, Instant::now());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Phase> {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request under way, from its head to the last octet of its answer.
pub(crate) struct UnderWay(Arc<Activity>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// An answer's body that keeps its request under way until it is sent or dropped.
pub(crate) struct Answer {
    pub(crate) body: Body,
    pub(crate) _under_way: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A stream that reports the first octets of an HTTP/1.1 head.
///
/// hyper's own header timeout also runs while a kept-alive connection waits for its next request, so it cannot tell a
/// slow head from a resting browser.
pub(crate) struct Observed<S> {
    stream: S,
    activity: Option<Arc<Activity>>,
}

impl<S> Observed<S> {
    /// `activity` is `None` under HTTP/2, where octets between two requests are no sign of a head.
    pub(crate) const fn new(stream: S, activity: Option<Arc<Activity>>) -> Self {
        Self { stream, activity }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Observed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(cx, buf);
        if let Some(activity) = &self.activity
            && buf.filled().len() > before
        {
            activity.octets_came_in();
        }
        outcome
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Observed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn phase(activity: &Activity) -> &'static str {
        match *activity.lock() {
            Phase::Fresh { .. } => "fresh",
            Phase::Head { .. } => "head",
            Phase::Busy { requests: 1, .. } => "one",
            Phase::Busy { .. } => "more",
            Phase::Idle { .. } => "idle",
        }
    }

    #[test]
    fn phases_follow_the_requests() {
        let activity = Activity::new();
        assert_eq!(phase(&activity), "fresh");
        activity.octets_came_in();
        assert_eq!(phase(&activity), "head");
        let first = activity.begin();
        assert_eq!(phase(&activity), "one");
        activity.octets_came_in();
        assert_eq!(phase(&activity), "one", "octets of a body are no head");
        let second = activity.begin();
        assert_eq!(phase(&activity), "more");
        drop(first);
        assert_eq!(phase(&activity), "one");
        drop(second);
        assert_eq!(phase(&activity), "idle");
        activity.octets_came_in();
        assert_eq!(phase(&activity), "head");
    }

    #[test]
    fn each_phase_has_its_own_time() {
        let limits = Limits {
            first_request_timeout: Duration::from_secs(1),
            header_read_timeout: Duration::from_secs(2),
            exchange_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(4),
            ..Limits::default()
        };
        let activity = Activity::new();
        let start = Instant::now();
        let seconds = |activity: &Activity| {
            let (until, overdue) = activity.deadline(&limits);
            ((until - start).as_secs_f32().round(), overdue)
        };
        assert_eq!(seconds(&activity), (1.0, Overdue::Waiting));
        activity.octets_came_in();
        assert_eq!(seconds(&activity), (2.0, Overdue::Stuck));
        let request = activity.begin();
        assert_eq!(seconds(&activity), (3.0, Overdue::Stuck));
        drop(request);
        assert_eq!(seconds(&activity), (4.0, Overdue::Waiting));
    }
}
