//! What is left of a request's body when its answer is ready.
//!
//! Under HTTP/2 an answer to a request whose body has not come to its end is followed by a reset of the stream (RFC 9113,
//! 8.1). It means "send no more, here is the answer"; but a client that is still sending may see the reset alone. Under
//! HTTP/1.1 the connection is closed over what nobody read, and that may overtake the answer too (RFC 9112, 9.6). So the rest
//! is let in and thrown away first, if it is little and comes soon.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::{sync::oneshot, time::timeout};

/// Most octets of a rest: 1 MiB. A longer one is cut off.
const MOST: u64 = 1 << 20;
/// For how long a rest is waited for.
const PATIENCE: Duration = Duration::from_secs(2);

/// A body that comes back when whoever reads it lets go of it before its end.
pub(crate) struct Lent {
    body: Option<Incoming>,
    back: Option<oneshot::Sender<Incoming>>,
}

/// Where a lent body comes back.
pub(crate) struct Lender(Option<oneshot::Receiver<Incoming>>);

/// Lends a body; one that is at its end, or that nobody waits for, for good.
pub(crate) fn lend(body: Incoming, for_good: bool) -> (Lent, Lender) {
    if for_good || body.is_end_stream() {
        return (Lent { body: Some(body), back: None }, Lender(None));
    }
    let (back, receiver) = oneshot::channel();
    (Lent { body: Some(body), back: Some(back) }, Lender(Some(receiver)))
}

impl Lender {
    /// Lets in what is left of the body, if it came back.
    pub(crate) async fn settle(mut self) {
        let Some(mut rest) = self.0.as_mut().and_then(|back| back.try_recv().ok()) else { return };
        if rest.size_hint().lower() > MOST {
            return;
        }
        let mut octets = 0_u64;
        let drain = async {
            while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx)).await {
                let more = frame.data_ref().map_or(0, Bytes::len);
                octets = octets.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
                if octets > MOST {
                    return;
                }
            }
        };
        let _ = timeout(PATIENCE, drain).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), self.back.take())
            && !body.is_end_stream()
        {
            // Nobody waits any more when the connection has ended.
            let _: Result<(), Incoming> = back.send(body);
        }
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}
