//! The two sides of an exchange, whatever they speak: where bytes of a body come from, and
//! where they go. Nothing is collected: a side is asked for more only when the other has
//! taken what it got.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use crate::clock::Clock;
use crate::failure::Failure;
use crate::headers::Request;
use crate::pages::Page;
use crate::responses::Reply;

/// What came of asking for more of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pulled {
    /// So many bytes of it went into the sink.
    More(u64),
    /// It has ended, and the sink knows.
    End(u64),
}

/// Why there will be no more of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Broken {
    /// The other end is gone.
    Gone,
    /// What it sends is no body.
    Malformed,
}

/// Where a body comes from.
pub(crate) trait Source {
    /// Moves what is there into `sink`, by way of `scratch`, and ends it at the body's end.
    fn poll_pull<K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        sink: &mut K,
    ) -> Poll<Result<Pulled, Broken>>;
}

/// Where a body goes.
pub(crate) trait Sink {
    /// Sends or keeps `data`. To be asked only when nothing waits, so that little is kept.
    fn put(&mut self, cx: &mut Context<'_>, data: &[u8]);

    /// The body is whole. `trailers` are header lines, often none.
    fn end(&mut self, cx: &mut Context<'_>, trailers: &[u8]);

    /// Sends what waits.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Bytes that wait to be sent, as far as known.
    fn waiting(&self) -> usize;
}

/// Room for a response that is taken ahead of its client, of all that there is.
#[derive(Debug)]
pub(crate) struct Ahead(Arc<AtomicUsize>, usize);

impl Ahead {
    /// Nothing where `all` are `most` bytes already.
    pub(crate) fn new(all: &Arc<AtomicUsize>, bytes: usize, most: usize) -> Option<Ahead> {
        let room = Ahead(Arc::clone(all), bytes);
        (all.fetch_add(bytes, Ordering::Relaxed) + bytes <= most).then_some(room)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.0.fetch_sub(self.1, Ordering::Relaxed);
    }
}

/// The side that asks.
pub(crate) trait Client: Source + Sink + Tunnel {
    /// Whether a small response is taken from the dyno ahead of the client. Not where a
    /// client has many of them at once: its connection would hold that much for each.
    const TAKES_AHEAD: bool;

    /// Keeps this for as long as something of the response waits.
    fn keep(&mut self, room: Ahead);

    /// Ready when the client has gone away. What it sends meanwhile is kept, within bounds.
    fn poll_gone(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<()>;

    /// Whether this answer waits for others to the same client, and the client has taken some of
    /// them since this was last asked.
    fn comes_nearer(&mut self) -> bool;

    /// Tells a client that waits for it to send its body.
    fn proceed(&mut self);

    /// Puts a response's head; its body is put afterwards.
    fn begin(&mut self, reply: Reply, request: &Request, keep_alive: bool);

    /// Puts an answer of the router's own.
    fn answer(&mut self, page: &Page, request: Option<&Request>, keep_alive: bool);

    /// Breaks off, so that the client sees that the response is not whole.
    fn abort(&mut self, failure: Failure);
}

/// The side that answers.
pub(crate) trait Dyno: Source + Sink + Tunnel {
    /// Takes the request's head, to be sent with what is put afterwards. False when the dyno's
    /// protocol has no way to say it.
    #[must_use]
    fn ask(&mut self, request: &mut Request) -> bool;

    /// The response's head, when it is there.
    fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        request: &Request,
        clock: &Clock,
    ) -> Poll<Result<Reply, Silence>>;

    /// Gives the request's head back, if nothing stands in the way of sending it again:
    /// whether any of it was sent is the caller's affair.
    fn take_back(&mut self, request: &mut Request) -> bool;

    /// Whether a byte of the request was sent.
    fn has_sent(&self) -> bool;
}

/// Why a dyno gives no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Silence {
    /// The connection ended before the first byte.
    Closed,
    /// It ended in the middle of the head.
    Interrupted,
    /// What came is no response, or breaks a limit.
    Failed(Failure),
}

/// What becomes a tunnel when both sides have agreed to change protocols.
pub(crate) trait Tunnel {
    /// From now on all bytes are handed through as they come.
    fn go_raw(&mut self);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_and_never_more_than_there_is() {
        let all = Arc::new(AtomicUsize::new(0));
        let first = Ahead::new(&all, 60, 100);
        assert!(first.is_some() && Ahead::new(&all, 60, 100).is_none());
        assert!(Ahead::new(&all, 40, 100).is_some());
        drop(first);
        assert_eq!(all.load(Ordering::Relaxed), 0);
    }
}
