//! Both directions of a stream's body, with its flow control: the other end may send more
//! when what it sent before has gone on.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use h2::{Reason, RecvStream, SendStream};

use super::of_lines;
use super::unsent::Gate;
use crate::flow::{Broken, Pulled, Sink};
use crate::http1::chunked::may_trail;
use crate::http1::write;

/// The body that comes.
pub(crate) struct Receiving {
    stream: RecvStream,
    /// Handed on, but not yet told of.
    held: usize,
    ended: bool,
}

impl Receiving {
    pub(crate) fn new(stream: RecvStream) -> Receiving {
        let ended = stream.is_end_stream();
        Receiving { stream, held: 0, ended }
    }

    /// Whether nothing more comes.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    pub(crate) fn poll_pull<K: Sink>(&mut self, cx: &mut Context<'_>, sink: &mut K) -> Poll<Result<Pulled, Broken>> {
        let held = std::mem::take(&mut self.held);
        if held > 0 && self.stream.flow_control().release_capacity(held).is_err() {
            return Poll::Ready(Err(Broken::Gone));
        }
        if self.ended {
            sink.end(cx, b"");
            return Poll::Ready(Ok(Pulled::End(0)));
        }
        match ready!(self.stream.poll_data(cx)) {
            Some(Ok(data)) => {
                self.held = data.len();
                sink.put(cx, &data);
                return Poll::Ready(Ok(Pulled::More(data.len() as u64)));
            }
            // A stream that the other end resets has ended; against the rules is what we had to reset.
            Some(Err(error)) if error.is_library() => return Poll::Ready(Err(Broken::Malformed)),
            Some(Err(_)) => return Poll::Ready(Err(Broken::Gone)),
            None => {}
        }
        let Ok(trailers) = ready!(self.stream.poll_trailers(cx)) else { return Poll::Ready(Err(Broken::Gone)) };
        self.ended = true;
        let mut lines = Vec::new();
        for (name, value) in trailers.iter().flatten() {
            if may_trail(name.as_str()) {
                write::header(&mut lines, name.as_str().as_bytes(), value.as_bytes());
            }
        }
        sink.end(cx, &lines);
        Poll::Ready(Ok(Pulled::End(0)))
    }
}

/// The body that goes.
pub(crate) struct Sending {
    stream: SendStream<Bytes>,
    /// Of a connection whose other end may not read.
    gate: Option<Gate>,
    waiting: BytesMut,
    /// The body is whole; trailers, often none.
    end: Option<Vec<u8>>,
    ended: bool,
}

impl Sending {
    /// `ended`: the head was all.
    pub(crate) fn new(stream: SendStream<Bytes>, gate: Option<Gate>, ended: bool) -> Sending {
        Sending { stream, gate, waiting: BytesMut::new(), end: None, ended }
    }

    pub(crate) fn put(&mut self, data: &[u8]) {
        if !self.ended {
            self.waiting.extend_from_slice(data);
        }
    }

    pub(crate) fn end(&mut self, trailers: &[u8]) {
        if !self.ended {
            self.end = Some(trailers.to_vec());
        }
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len() + usize::from(self.end.is_some())
    }

    pub(crate) fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.waiting.is_empty() {
            self.stream.reserve_capacity(self.waiting.len());
            let mut room = self.stream.capacity();
            if room == 0 {
                room = match ready!(self.stream.poll_capacity(cx)) {
                    Some(Ok(room)) => room,
                    Some(Err(_)) | None => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                };
            }
            let piece = match &mut self.gate {
                Some(gate) => match gate.poll(cx, &mut self.waiting, room) {
                    Poll::Ready(piece) => piece,
                    Poll::Pending if self.stream.poll_reset(cx).is_ready() => {
                        return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
                    }
                    Poll::Pending => return Poll::Pending,
                },
                None => self.waiting.split_to(room.min(self.waiting.len())).freeze(),
            };
            let last = self.waiting.is_empty() && self.end.as_ref().is_some_and(Vec::is_empty);
            if last {
                self.end = None;
                self.ended = true;
            }
            self.stream.send_data(piece, last).map_err(io::Error::other)?;
        }
        let Some(trailers) = self.end.take() else { return Poll::Ready(Ok(())) };
        self.ended = true;
        let sent = if trailers.is_empty() {
            self.stream.send_data(Bytes::new(), true)
        } else {
            self.stream.send_trailers(of_lines(&trailers))
        };
        Poll::Ready(sent.map_err(io::Error::other))
    }

    /// Whether others of the connection go first, and have gone on since this was last asked.
    pub(crate) fn comes_nearer(&mut self) -> bool {
        self.gate.as_mut().is_some_and(Gate::comes_nearer)
    }

    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.stream.poll_reset(cx).map(drop)
    }

    pub(crate) fn reset(&mut self, reason: Reason) {
        self.stream.send_reset(reason);
    }
}
