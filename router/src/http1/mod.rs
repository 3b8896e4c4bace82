//! HTTP/1 on a connection: `head` and `chunked` read, `write` writes, `serve` is a client's
//! connection, and [`Http1`] here is what both sides of an exchange have in common.
//!
//! A connection holds no buffer while nothing waits: bytes are read into the worker's
//! scratch, and only what can't be used or sent at once is kept.

pub(crate) mod chunked;
mod client;
mod dyno;
pub(crate) mod head;
pub(crate) mod serve;
pub(crate) mod write;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use crate::flow::{Ahead, Broken, Pulled, Sink, Source, Tunnel};
use crate::framing::Length;
use crate::places::{Place, Places};
use chunked::{Chunked, Decoded};

/// A stream of bytes that can tell that some have come without a buffer to take them.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + 'static {
    /// Ready when reading would give bytes, the end or an error. `fresh`: nothing was read so far.
    fn poll_readable(&mut self, cx: &mut Context<'_>, fresh: bool) -> Poll<()>;

    /// Whether its end is told by more than that of the connection.
    const SAYS_GOODBYE: bool;
}

impl Stream for TcpStream {
    const SAYS_GOODBYE: bool = false;

    fn poll_readable(&mut self, cx: &mut Context<'_>, fresh: bool) -> Poll<()> {
        // A socket that nobody has read from yet counts as ready until the kernel says otherwise.
        if fresh {
            return self.poll_peek(cx, &mut ReadBuf::new(&mut [0])).map(drop);
        }
        self.poll_read_ready(cx).map(drop)
    }
}

impl Stream for TlsStream<TcpStream> {
    const SAYS_GOODBYE: bool = true;

    fn poll_readable(&mut self, cx: &mut Context<'_>, _: bool) -> Poll<()> {
        Pin::new(self).poll_fill_buf(cx).map(drop)
    }
}

/// Where the body that is being read ends.
#[derive(Debug)]
enum Reading {
    /// It has ended, or there is none.
    Nothing,
    Exact(u64),
    Chunked(Box<Chunked>),
    UntilEnd,
}

/// How the body that is being written is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Writing {
    Plain,
    Chunked,
    /// The end is told by closing this direction.
    Raw,
}

/// A connection that speaks HTTP/1.
pub(crate) struct Http1<S> {
    io: S,
    /// Read and not used yet.
    input: Vec<u8>,
    reading: Reading,
    writing: Writing,
    /// To be written; so much of it was.
    output: Vec<u8>,
    written: usize,
    /// What was written is kept until it is known that it need not be written again.
    keeps: bool,
    flushed: bool,
    closes: bool,
    broken: Option<io::ErrorKind>,
    /// A client's connection may have another request.
    lasts: bool,
    /// Nothing that is still to be written matters.
    dead: bool,
    /// Of the head that is being read, so many bytes were looked at.
    known: usize,
    /// Lines without anything in front of a request.
    empty_lines: u8,
    /// Answers of a dyno that only tell of another one to come.
    interim: u8,
    /// Room for what waits to be written.
    ahead: Option<Ahead>,
    /// Among the connections to dynos.
    place: Option<Place>,
}

impl<S: Stream> Http1<S> {
    pub(crate) fn new(io: S) -> Http1<S> {
        Http1 {
            io,
            input: Vec::new(),
            reading: Reading::Nothing,
            writing: Writing::Plain,
            output: Vec::new(),
            written: 0,
            keeps: false,
            flushed: true,
            closes: false,
            broken: None,
            lasts: true,
            dead: false,
            known: 0,
            empty_lines: 0,
            interim: 0,
            ahead: None,
            place: None,
        }
    }

    /// It counts among the connections to dynos.
    pub(crate) fn counted(self, place: Place) -> Http1<S> {
        Http1 { place: Some(place), ..self }
    }

    /// Gives its place to the first that waits for one. Where it has done so, it is to be closed.
    pub(crate) fn gives_way(&mut self, places: &Places) -> bool {
        let Some(place) = self.place.take() else { return false };
        self.place = places.pass_on(place);
        self.place.is_none()
    }

    /// Reads into `scratch`; `Ok(0)` is the end.
    fn poll_read(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<io::Result<usize>> {
        let mut buffer = ReadBuf::new(scratch);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(buffer.filled().len()))
    }

    /// A body of this length comes next.
    fn reads(&mut self, length: Length) {
        self.reading = match length {
            Length::None | Length::Exact(0) => Reading::Nothing,
            Length::Exact(length) => Reading::Exact(length),
            Length::Chunked => Reading::Chunked(Box::new(Chunked::new())),
            Length::UntilEnd => Reading::UntilEnd,
        };
    }

    fn is_read(&self) -> bool {
        matches!(self.reading, Reading::Nothing)
    }

    /// Hands on what `data` has of the body; the rest is kept.
    fn decode<K: Sink>(&mut self, cx: &mut Context<'_>, data: &[u8], sink: &mut K) -> Result<Pulled, Broken> {
        let mut count = 0;
        let used = match &mut self.reading {
            Reading::Nothing => Some(0),
            Reading::UntilEnd => {
                sink.put(cx, data);
                count = data.len() as u64;
                None
            }
            Reading::Exact(left) => {
                let length = usize::try_from(*left).unwrap_or(usize::MAX).min(data.len());
                sink.put(cx, &data[..length]);
                count = length as u64;
                *left -= count;
                (*left == 0).then_some(length)
            }
            Reading::Chunked(chunked) => {
                let decoded = chunked.decode(data, |data| {
                    count += data.len() as u64;
                    sink.put(cx, data);
                });
                match decoded.map_err(|_| Broken::Malformed)? {
                    Decoded::More => None,
                    Decoded::End(used) => Some(used),
                }
            }
        };
        let Some(used) = used else { return Ok(Pulled::More(count)) };
        if let Reading::Chunked(chunked) = &self.reading {
            sink.end(cx, &chunked.trailers().map_err(|_| Broken::Malformed)?);
        } else {
            sink.end(cx, b"");
        }
        self.reading = Reading::Nothing;
        self.input.extend_from_slice(&data[used..]);
        Ok(Pulled::End(count))
    }

    fn write_some(&mut self, cx: &mut Context<'_>, data: &[u8]) -> usize {
        let mut done = 0;
        while done < data.len() && self.broken.is_none() {
            match Pin::new(&mut self.io).poll_write(cx, &data[done..]) {
                Poll::Ready(Ok(0)) => self.broken = Some(io::ErrorKind::WriteZero),
                Poll::Ready(Ok(count)) => {
                    self.flushed = false;
                    done += count;
                }
                Poll::Ready(Err(error)) => self.broken = Some(error.kind()),
                Poll::Pending => break,
            }
        }
        done
    }

    fn clear(&mut self) {
        self.output = Vec::new();
        self.written = 0;
        self.keeps = false;
    }

    /// Forgets what an exchange has left behind.
    fn rest(&mut self) {
        self.clear();
        self.writing = Writing::Plain;
        self.known = 0;
        self.interim = 0;
        self.ahead = None;
        if self.input.is_empty() {
            self.input = Vec::new();
        }
    }
}

impl<S: Stream> Source for Http1<S> {
    fn poll_pull<K: Sink>(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        sink: &mut K,
    ) -> Poll<Result<Pulled, Broken>> {
        if self.is_read() {
            sink.end(cx, b"");
            return Poll::Ready(Ok(Pulled::End(0)));
        }
        if !self.input.is_empty() {
            let input = std::mem::take(&mut self.input);
            return Poll::Ready(self.decode(cx, &input, sink));
        }
        let Ok(count) = ready!(self.poll_read(cx, scratch)) else { return Poll::Ready(Err(Broken::Gone)) };
        if count > 0 {
            return Poll::Ready(self.decode(cx, &scratch[..count], sink));
        }
        if matches!(self.reading, Reading::UntilEnd) {
            self.reading = Reading::Nothing;
            sink.end(cx, b"");
            return Poll::Ready(Ok(Pulled::End(0)));
        }
        Poll::Ready(Err(Broken::Gone))
    }
}

impl<S: Stream> Sink for Http1<S> {
    fn put(&mut self, cx: &mut Context<'_>, data: &[u8]) {
        if data.is_empty() || self.broken.is_some() {
            return;
        }
        if self.keeps && self.written == self.output.len() {
            self.clear();
        }
        if self.writing == Writing::Chunked {
            write::chunk_size(&mut self.output, data.len());
            self.output.extend_from_slice(data);
            self.output.extend_from_slice(b"\r\n");
        } else if self.output.is_empty() {
            let done = self.write_some(cx, data);
            self.output.extend_from_slice(&data[done..]);
        } else {
            self.output.extend_from_slice(data);
        }
    }

    fn end(&mut self, _: &mut Context<'_>, trailers: &[u8]) {
        match self.writing {
            Writing::Chunked => {
                if self.keeps && self.written == self.output.len() {
                    self.clear();
                }
                self.output.extend_from_slice(b"0\r\n");
                self.output.extend_from_slice(trailers);
                self.output.extend_from_slice(b"\r\n");
                self.writing = Writing::Plain;
            }
            Writing::Raw => self.closes = true,
            Writing::Plain => {}
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.written < self.output.len() {
            let output = std::mem::take(&mut self.output);
            self.written += self.write_some(cx, &output[self.written..]);
            self.output = output;
        }
        if let Some(kind) = self.broken {
            return Poll::Ready(Err(kind.into()));
        }
        if self.written < self.output.len() {
            return Poll::Pending;
        }
        if !self.keeps && !self.output.is_empty() {
            self.clear();
        }
        if !self.flushed {
            ready!(Pin::new(&mut self.io).poll_flush(cx))?;
            self.flushed = true;
        }
        if self.closes {
            ready!(Pin::new(&mut self.io).poll_shutdown(cx))?;
            self.closes = false;
        }
        Poll::Ready(Ok(()))
    }

    fn waiting(&self) -> usize {
        (self.output.len() - self.written).max(usize::from(!self.flushed || self.closes || self.broken.is_some()))
    }
}

impl<S: Stream> Tunnel for Http1<S> {
    fn go_raw(&mut self) {
        self.reading = Reading::UntilEnd;
        self.writing = Writing::Raw;
    }
}
