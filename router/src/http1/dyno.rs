//! A connection to a dyno in HTTP/1.

use std::task::{Context, Poll};

use hyper::Version;

use super::{Http1, Stream, Writing, head};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::flow::{Dyno, Silence, Sink};
use crate::framing::Length;
use crate::headers::{LONGEST_LINE, Request};
use crate::responses::{Reply, StatusLine, reply};

/// The longest head of a response, bytes; Heroku's limit of one header line.
const LONGEST_HEAD: usize = 512 * 1024;

/// Answers of 1xx before the one that counts.
const MOST_INTERIM: u8 = 32;

impl<S: Stream> Http1<S> {
    /// Whether a connection that was unused is as it should be: open, and nothing came.
    pub(crate) fn is_quiet(&mut self) -> bool {
        let mut scratch = [0_u8; 1];
        let mut cx = Context::from_waker(std::task::Waker::noop());
        self.input.is_empty() && self.poll_read(&mut cx, &mut scratch).is_pending()
    }

    /// Whether another request may follow on it.
    pub(crate) fn is_clean(&self) -> bool {
        self.is_read() && self.input.is_empty() && self.waiting() == 0
    }

    /// To be put away unused.
    pub(crate) fn put_away(&mut self) {
        self.rest();
    }

    pub(crate) fn io(&self) -> &S {
        &self.io
    }
}

impl<S: Stream> Dyno for Http1<S> {
    fn ask(&mut self, request: &mut Request) -> bool {
        self.output = std::mem::take(&mut request.head);
        self.written = 0;
        self.keeps = true;
        self.known = 0;
        self.writing = match request.length {
            Length::Chunked => Writing::Chunked,
            Length::None | Length::Exact(_) | Length::UntilEnd => Writing::Plain,
        };
        true
    }

    fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
        scratch: &mut [u8],
        request: &Request,
        clock: &Clock,
    ) -> Poll<Result<Reply, Silence>> {
        loop {
            let mut input = std::mem::take(&mut self.input);
            let fresh = if input.is_empty() || head::end(&input, self.known).is_none() {
                self.known = input.len();
                match self.poll_read(cx, scratch) {
                    Poll::Ready(Ok(count)) if count > 0 => count,
                    Poll::Ready(_) if input.is_empty() => return Poll::Ready(Err(Silence::Closed)),
                    Poll::Ready(_) => return Poll::Ready(Err(interrupted(&input))),
                    Poll::Pending => {
                        self.input = input;
                        return Poll::Pending;
                    }
                }
            } else {
                0
            };
            let bytes = if input.is_empty() {
                &scratch[..fresh]
            } else {
                input.extend_from_slice(&scratch[..fresh]);
                input.as_slice()
            };
            let Some(end) = head::end(bytes, self.known) else {
                if let Some(failure) = too_long(bytes) {
                    return Poll::Ready(Err(Silence::Failed(failure)));
                }
                self.known = bytes.len();
                self.input = if input.is_empty() { bytes.to_vec() } else { input };
                continue;
            };
            self.known = 0;
            let parsed = parse(&bytes[..end], request, clock);
            let rest = bytes[end..].to_vec();
            self.input = rest;
            match parsed {
                // Others than 101 are between the dyno and the router.
                Ok(reply) if reply.status < 200 && reply.status != 101 => {
                    self.interim = self.interim.saturating_add(1);
                    if self.interim > MOST_INTERIM {
                        return Poll::Ready(Err(Silence::Failed(Failure::BadResponse)));
                    }
                }
                Ok(reply) => {
                    self.reads(reply.length);
                    return Poll::Ready(Ok(reply));
                }
                Err(failure) => return Poll::Ready(Err(Silence::Failed(failure))),
            }
        }
    }

    fn take_back(&mut self, request: &mut Request) -> bool {
        if self.keeps {
            request.head = std::mem::take(&mut self.output);
            self.written = 0;
        }
        self.keeps
    }

    fn has_sent(&self) -> bool {
        self.written > 0 || !self.keeps
    }
}

fn parse(bytes: &[u8], request: &Request, clock: &Clock) -> Result<Reply, Failure> {
    if let Some(failure) = too_long(bytes) {
        return Err(failure);
    }
    let mut slots = head::slots();
    let head = head::response(bytes, &mut slots).map_err(|_| Failure::BadResponse)?;
    let version = if head.old { Version::HTTP_10 } else { Version::HTTP_11 };
    let line = StatusLine { status: head.status, reason: head.reason, version, streams: true };
    let headers = head.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    reply(&line, headers, request.is_head, clock)
}

/// The limit that a head breaks, or that the beginning of one breaks whatever follows.
fn too_long(bytes: &[u8]) -> Option<Failure> {
    if !b"HTTP/".starts_with(&bytes[..bytes.len().min(5)]) {
        return Some(Failure::BadResponse);
    }
    let line = bytes.iter().take(LONGEST_LINE + 2).position(|byte| *byte == b'\n');
    if line.is_none() && bytes.len() > LONGEST_LINE + 1 {
        Some(Failure::Restriction("oversized status line"))
    } else if bytes.len() > LONGEST_HEAD {
        Some(Failure::Restriction("oversized header"))
    } else {
        None
    }
}

fn interrupted(input: &[u8]) -> Silence {
    too_long(input).map_or(Silence::Interrupted, Silence::Failed)
}
