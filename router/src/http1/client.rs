//! A client's connection in HTTP/1, as an exchange sees it.

use std::task::{Context, Poll};

use hyper::Version;

use super::{Http1, Stream, Writing, write};
use crate::failure::Failure;
use crate::flow::{Ahead, Client};
use crate::framing::{self, Length};
use crate::headers::Request;
use crate::pages::Page;
use crate::responses::Reply;

/// What a client may send ahead of its turn, bytes; more is left to the kernel.
const MOST_AHEAD: usize = 16 * 1024;

impl<S: Stream> Http1<S> {
    /// Takes up a request: its body is what is read next.
    pub(super) fn takes(&mut self, request: &Request) {
        self.reads(request.length);
        self.lasts = request.keep_alive;
    }

    fn head_ends(&mut self, version: Version, keep_alive: bool) {
        if !keep_alive {
            self.output.extend_from_slice(b"connection: close\r\n");
        } else if version == Version::HTTP_10 {
            self.output.extend_from_slice(b"connection: keep-alive\r\n");
        }
        self.output.extend_from_slice(b"\r\n");
        self.lasts = keep_alive;
    }
}

impl<S: Stream> Client for Http1<S> {
    const TAKES_AHEAD: bool = true;

    fn keep(&mut self, room: Ahead) {
        self.ahead = Some(room);
    }

    fn poll_gone(&mut self, cx: &mut Context<'_>, scratch: &mut [u8]) -> Poll<()> {
        while self.input.len() < MOST_AHEAD {
            match self.poll_read(cx, &mut scratch[..MOST_AHEAD]) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(()),
                Poll::Ready(Ok(count)) => self.input.extend_from_slice(&scratch[..count]),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    fn comes_nearer(&mut self) -> bool {
        false
    }

    fn proceed(&mut self) {
        // Who has begun doesn't wait.
        if self.input.is_empty() {
            self.output.extend_from_slice(b"HTTP/1.1 100 Continue\r\n\r\n");
        }
    }

    fn begin(&mut self, reply: Reply, request: &Request, keep_alive: bool) {
        let mut keep_alive = keep_alive && request.keep_alive;
        if self.output.is_empty() {
            self.output = reply.head;
        } else {
            self.output.extend_from_slice(&reply.head);
        }
        self.writing = Writing::Plain;
        match reply.length {
            Length::None => {
                if let Some(told) = reply.told {
                    framing::write(&mut self.output, Length::Exact(told));
                }
            }
            Length::Exact(_) => framing::write(&mut self.output, reply.length),
            Length::Chunked | Length::UntilEnd if request.version == Version::HTTP_11 => {
                framing::write(&mut self.output, Length::Chunked);
                self.writing = Writing::Chunked;
            }
            Length::Chunked | Length::UntilEnd => keep_alive = false,
        }
        if reply.status == 101 {
            self.output.extend_from_slice(b"\r\n");
            self.lasts = false;
        } else {
            self.head_ends(request.version, keep_alive);
        }
    }

    fn answer(&mut self, page: &Page, request: Option<&Request>, keep_alive: bool) {
        let out = &mut self.output;
        out.extend_from_slice(b"HTTP/1.1 ");
        write::decimal(out, page.status().as_u16().into());
        out.push(b' ');
        out.extend_from_slice(page.status().canonical_reason().unwrap_or("Unknown").as_bytes());
        out.extend_from_slice(b"\r\n");
        for (name, value) in page.headers() {
            write::header(out, name.as_str().as_bytes(), value.as_bytes());
        }
        framing::write(out, Length::Exact(page.body().len() as u64));
        let version = request.map_or(Version::HTTP_11, |request| request.version);
        self.head_ends(version, keep_alive && request.is_some_and(|request| request.keep_alive));
        self.writing = Writing::Plain;
        if !request.is_some_and(|request| request.is_head) {
            self.output.extend_from_slice(page.body());
        }
    }

    fn abort(&mut self, _: Failure) {
        self.dead = true;
    }
}
