//! A stream of a client, as an exchange sees it.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use hyper::header::{CONTENT_LENGTH, HeaderMap, HeaderValue};
use hyper::http::Response;
use hyper::{StatusCode, header};

use super::of_lines;
use super::stream::{Receiving, Sending};
use super::unsent::{Gate, Unsent};
use crate::failure::Failure;
use crate::flow::{Ahead, Broken, Client, Pulled, Sink, Source, Tunnel};
use crate::framing::Length;
use crate::headers::Request;
use crate::pages::Page;
use crate::responses::Reply;

/// A request's stream.
pub(crate) struct Http2Client {
    respond: SendResponse<Bytes>,
    receiving: Receiving,
    sending: Option<Sending>,
    unsent: Arc<Unsent>,
    /// The client gave the request up.
    pub(super) was_reset: bool,
}

impl Http2Client {
    pub(super) fn new(respond: SendResponse<Bytes>, body: RecvStream, unsent: Arc<Unsent>) -> Http2Client {
        Http2Client { respond, receiving: Receiving::new(body), sending: None, unsent, was_reset: false }
    }

    /// Whether a body follows the head.
    pub(super) fn streams(&self) -> bool {
        !self.receiving.is_ended()
    }

    /// Whether it was answered while the rest of its body is still to come.
    pub(super) fn goes_on(&self) -> bool {
        self.sending.is_some() && !self.was_reset && self.streams()
    }

    fn respond(&mut self, status: u16, headers: HeaderMap, ended: bool) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
        *response.headers_mut() = headers;
        // Who can't be answered has gone, which the next look tells.
        if let Ok(stream) = self.respond.send_response(response, ended) {
            self.sending = Some(Sending::new(stream, Some(Gate::new(&self.unsent)), ended));
        }
    }
}

impl Source for Http2Client {
    fn poll_pull<K: Sink>(&mut self, cx: &mut Context<'_>, _: &mut [u8], sink: &mut K) -> Poll<Result<Pulled, Broken>> {
        let pulled = self.receiving.poll_pull(cx, sink);
        self.was_reset |= matches!(pulled, Poll::Ready(Err(Broken::Gone)));
        pulled
    }
}

impl Sink for Http2Client {
    fn put(&mut self, _: &mut Context<'_>, data: &[u8]) {
        if let Some(sending) = &mut self.sending {
            sending.put(data);
        }
    }

    fn end(&mut self, _: &mut Context<'_>, trailers: &[u8]) {
        if let Some(sending) = &mut self.sending {
            sending.end(trailers);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.sending {
            Some(sending) => {
                let flushed = sending.poll_flush(cx);
                self.was_reset |= matches!(flushed, Poll::Ready(Err(_)));
                flushed
            }
            None => Poll::Ready(Ok(())),
        }
    }

    fn waiting(&self) -> usize {
        self.sending.as_ref().map_or(0, Sending::waiting)
    }
}

impl Client for Http2Client {
    const TAKES_AHEAD: bool = false;

    fn keep(&mut self, _: Ahead) {}

    fn poll_gone(&mut self, cx: &mut Context<'_>, _: &mut [u8]) -> Poll<()> {
        let gone = match &mut self.sending {
            Some(sending) => sending.poll_reset(cx),
            None => self.respond.poll_reset(cx).map(drop),
        };
        self.was_reset |= gone.is_ready();
        gone
    }

    fn comes_nearer(&mut self) -> bool {
        self.sending.as_mut().is_some_and(Sending::comes_nearer)
    }

    fn proceed(&mut self) {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::CONTINUE;
        // Who doesn't hear of it sends its body a little later.
        let _ = self.respond.send_informational(response);
    }

    fn begin(&mut self, reply: Reply, _: &Request, _: bool) {
        let line = memchr::memchr(b'\n', &reply.head).map_or(0, |end| end + 1);
        let mut headers = of_lines(&reply.head[line..]);
        let length = match reply.length {
            Length::Exact(length) if length > 0 => Some(length),
            Length::Exact(_) | Length::None | Length::Chunked | Length::UntilEnd => reply.told,
        };
        if let Some(length) = length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
        }
        self.respond(reply.status, headers, !reply.length.has_body());
    }

    fn answer(&mut self, page: &Page, request: Option<&Request>, _: bool) {
        let mut headers = page.headers().clone();
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(page.body().len()));
        let ended = page.body().is_empty() || request.is_some_and(|request| request.is_head);
        self.respond(page.status().as_u16(), headers, ended);
        if let Some(sending) = &mut self.sending {
            sending.put(page.body());
            sending.end(b"");
        }
    }

    fn abort(&mut self, failure: Failure) {
        let clients_fault = [Failure::ClientInterrupted, Failure::ClientIdle].contains(&failure);
        let reason = if clients_fault { Reason::CANCEL } else { Reason::INTERNAL_ERROR };
        match &mut self.sending {
            Some(sending) => sending.reset(reason),
            None => self.respond.send_reset(reason),
        }
        self.sending = None;
    }
}

impl Tunnel for Http2Client {
    /// An `Upgrade` is of HTTP/1 alone: no request of HTTP/2 asks for one.
    fn go_raw(&mut self) {}
}
