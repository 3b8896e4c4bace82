//! Bodies on their way through, in both directions. Nothing is collected: a frame goes on
//! when the other side asks for it. What is kept is when something last moved, how much
//! went by, and what is to happen at the end, whatever end it is.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::access_log::Flight;
use crate::failure::Failure;
use crate::streams::Reading;
use crate::upstream::Lease;

/// Whose turn it is in an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// The client's: we wait for bytes.
    Client,
    /// The dyno's: it doesn't take what we have.
    Dyno,
    /// Nobody's: the whole request was sent.
    Nobody,
}

/// How an upload fares, as the waiting for the response sees it.
#[derive(Debug)]
pub(crate) struct Upload {
    turn: Cell<Turn>,
    last: Cell<Instant>,
    error: Cell<Option<Failure>>,
}

impl Upload {
    pub(crate) fn new(has_body: bool) -> Rc<Upload> {
        Rc::new(Upload {
            turn: Cell::new(if has_body { Turn::Dyno } else { Turn::Nobody }),
            last: Cell::new(Instant::now()),
            error: Cell::new(None),
        })
    }

    /// Whose turn it is, and since when.
    pub(crate) fn turn(&self) -> (Turn, Instant) {
        (self.turn.get(), self.last.get())
    }

    pub(crate) fn is_done(&self) -> bool {
        self.turn.get() == Turn::Nobody
    }

    /// What the client did to the upload.
    pub(crate) fn error(&self) -> Option<Failure> {
        self.error.get()
    }

    /// The clock of the response starts when the request leaves.
    pub(crate) fn restart(&self) {
        self.last.set(Instant::now());
    }

    fn set(&self, turn: Turn) {
        self.turn.set(turn);
        self.last.set(Instant::now());
    }
}

/// A request's body on its way to a dyno.
#[derive(Debug)]
pub(crate) enum UpBody {
    Empty,
    Stream(Incoming, Rc<Upload>),
}

impl Body for UpBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let UpBody::Stream(body, upload) = self.get_mut() else { return Poll::Ready(None) };
        let polled = Pin::new(&mut *body).poll_frame(cx);
        match &polled {
            Poll::Ready(None) => upload.set(Turn::Nobody),
            Poll::Ready(Some(Ok(_))) => upload.set(if body.is_end_stream() { Turn::Nobody } else { Turn::Dyno }),
            Poll::Ready(Some(Err(error))) => {
                let malformed = error.is_parse() || io_kind(error).is_some_and(is_malformed);
                upload.error.set(Some(if malformed {
                    Failure::BadChunk
                } else if breaks_http2(error) {
                    Failure::StreamBroken
                } else {
                    Failure::ClientInterrupted
                }));
            }
            // The waiting began with the last frame, however often we are asked.
            Poll::Pending => upload.turn.set(Turn::Client),
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match self {
            UpBody::Empty => true,
            UpBody::Stream(body, _) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            UpBody::Empty => SizeHint::with_exact(0),
            UpBody::Stream(body, _) => body.size_hint(),
        }
    }
}

fn is_malformed(kind: std::io::ErrorKind) -> bool {
    matches!(kind, std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput)
}

/// Whether it is we who found the stream against the rules (a body of another length than was said,
/// say): one that the client resets has ended, and breaks nothing.
fn breaks_http2(error: &hyper::Error) -> bool {
    std::error::Error::source(error).and_then(|source| source.downcast_ref()).is_some_and(h2::Error::is_library)
}

/// The kind of the I/O error behind an error of hyper's, if there is one.
pub(crate) fn io_kind(error: &hyper::Error) -> Option<std::io::ErrorKind> {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = error.source();
    }
    None
}

/// Why a response was cut off on purpose.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Cut {
    #[error("the dyno broke off: {0}")]
    Dyno(#[from] hyper::Error),
    #[error("neither side sent anything for {0:?}")]
    Idle(Duration),
}

/// A response's body on its way to the client.
#[derive(Debug)]
pub(crate) enum DownBody {
    Full(Option<Bytes>),
    Stream(Box<Download>),
}

impl DownBody {
    pub(crate) fn full(body: Bytes) -> DownBody {
        DownBody::Full(Some(body))
    }
}

/// A response that streams from a dyno or from the daemon.
#[derive(Debug)]
pub(crate) struct Download {
    body: Incoming,
    status: StatusCode,
    flight: Option<Flight>,
    lease: Option<Lease>,
    upload: Rc<Upload>,
    /// Set when the client's connection takes nothing any more.
    stalled: Arc<AtomicBool>,
    /// The same for its stream alone, in HTTP/2.
    reading: Option<Rc<Reading>>,
    /// None for the daemon's streams, which may be silent for as long as they like.
    idle: Option<Duration>,
    last: Instant,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl Download {
    /// The lease is given back at the end of the body, the flight's line is written then.
    pub(crate) fn start(
        body: Incoming,
        status: StatusCode,
        flight: Option<Flight>,
        lease: Lease,
        upload: Rc<Upload>,
        stalled: Arc<AtomicBool>,
        idle: Option<Duration>,
    ) -> DownBody {
        let mut download = Download {
            body,
            status,
            flight,
            lease: Some(lease),
            upload,
            stalled,
            reading: Reading::current(),
            idle,
            last: Instant::now(),
            sleep: None,
        };
        if download.body.is_end_stream() {
            download.finish();
        }
        DownBody::Stream(Box::new(download))
    }

    fn finish(&mut self) {
        if let Some(mut flight) = self.flight.take() {
            flight.done(self.status);
        }
        if let Some(lease) = self.lease.take()
            && self.upload.is_done()
        {
            lease.give_back();
        }
    }

    fn fail(&mut self, failure: Failure) {
        self.lease = None;
        if let Some(mut flight) = self.flight.take() {
            flight.fail(failure);
        }
    }

    /// Ready when neither side moved for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Duration> {
        let Some(idle) = self.idle else { return Poll::Pending };
        loop {
            let last = self.last.max(self.upload.turn().1);
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(last + idle)));
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if Instant::now() >= last + idle {
                return Poll::Ready(idle);
            }
            sleep.as_mut().reset(last + idle);
        }
    }

    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        match (&self.reading, &polled) {
            (Some(reading), Poll::Ready(Some(Ok(_)))) => reading.offer(),
            (Some(reading), _) => reading.taken(),
            (None, _) => {}
        }
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.last = Instant::now();
                if let (Some(flight), Some(data)) = (&mut self.flight, frame.data_ref()) {
                    flight.bytes += data.len() as u64;
                }
                if self.body.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.fail(self.upload.error().unwrap_or(Failure::ServerInterrupted));
                Poll::Ready(Some(Err(Cut::Dyno(error))))
            }
            Poll::Ready(None) => {
                self.finish();
                Poll::Ready(None)
            }
            Poll::Pending => self.poll_idle(cx).map(|idle| {
                let client = self.upload.turn().0 == Turn::Client;
                self.fail(if client { Failure::ClientIdle } else { Failure::IdleConnection });
                Some(Err(Cut::Idle(idle)))
            }),
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            self.finish();
        } else if let Some(flight) = &mut self.flight
            && (self.stalled.load(Ordering::Relaxed)
                || self.reading.as_ref().is_some_and(|reading| reading.has_stopped()))
        {
            flight.fail(Failure::ClientIdle);
        }
    }
}

impl Body for DownBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            DownBody::Full(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            DownBody::Stream(download) => download.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            DownBody::Full(body) => body.as_ref().is_none_or(Bytes::is_empty),
            DownBody::Stream(download) => download.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            DownBody::Full(body) => SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64)),
            DownBody::Stream(download) => download.body.size_hint(),
        }
    }
}
