//! A stream to a dyno that speaks HTTP/2, as an exchange sees it.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::client::{ResponseFuture, SendRequest};
use hyper::http::{Request as HttpRequest, Uri};
use hyper::{Method, Version};

use super::stream::{Receiving, Sending};
use super::upstream::Shared;
use super::{fields, pairs};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::flow::{Broken, Dyno, Pulled, Silence, Sink, Source, Tunnel};
use crate::framing::Length;
use crate::headers::Request;
use crate::http1::head::{self, MOST_HEADERS};
use crate::responses::{Reply, StatusLine, reply};
use crate::upstream::{Key, Reach};
use crate::worker::Worker;

/// A request's stream on a connection that it shares with others.
pub(crate) struct Http2Dyno {
    sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
    response: Option<ResponseFuture>,
    sending: Option<Sending>,
    receiving: Option<Receiving>,
    /// The body was begun: what is gone can't be sent again.
    put: bool,
    refused: bool,
}

impl Http2Dyno {
    pub(super) fn new(sender: SendRequest<Bytes>, shared: Rc<Shared>) -> Http2Dyno {
        shared.begin();
        Http2Dyno { sender, shared, response: None, sending: None, receiving: None, put: false, refused: false }
    }

    fn silence(&mut self, error: &h2::Error) -> Silence {
        if error.reason() == Some(Reason::REFUSED_STREAM) || (error.is_go_away() && error.is_remote()) {
            self.refused = true;
            Silence::Closed
        } else if error.is_io() || (error.is_reset() && error.is_remote()) || error.is_go_away() && error.is_remote() {
            Silence::Closed
        } else {
            // What came is no HTTP/2.
            Silence::Failed(Failure::BadResponse)
        }
    }
}

impl Drop for Http2Dyno {
    fn drop(&mut self) {
        self.shared.end();
    }
}

impl Source for Http2Dyno {
    fn poll_pull<K: Sink>(&mut self, cx: &mut Context<'_>, _: &mut [u8], sink: &mut K) -> Poll<Result<Pulled, Broken>> {
        match &mut self.receiving {
            Some(receiving) => receiving.poll_pull(cx, sink),
            None => Poll::Ready(Err(Broken::Gone)),
        }
    }
}

impl Sink for Http2Dyno {
    fn put(&mut self, _: &mut Context<'_>, data: &[u8]) {
        self.put = true;
        if let Some(sending) = &mut self.sending {
            sending.put(data);
        }
    }

    fn end(&mut self, _: &mut Context<'_>, trailers: &[u8]) {
        self.put = true;
        if let Some(sending) = &mut self.sending {
            sending.end(trailers);
        }
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.sending {
            Some(sending) => sending.poll_flush(cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    fn waiting(&self) -> usize {
        self.sending.as_ref().map_or(0, Sending::waiting)
    }
}

impl Tunnel for Http2Dyno {
    /// An `Upgrade` is of HTTP/1 alone: no dyno is asked for one here.
    fn go_raw(&mut self) {}
}

impl Dyno for Http2Dyno {
    fn ask(&mut self, request: &mut Request) -> bool {
        let ended = !request.length.has_body();
        let Some(asked) = converted(request) else { return false };
        if let Ok((response, stream)) = self.sender.send_request(asked, ended) {
            self.response = Some(response);
            self.sending = Some(Sending::new(stream, ended));
        }
        true
    }

    fn poll_reply(
        &mut self,
        cx: &mut Context<'_>,
        _: &mut [u8],
        request: &Request,
        clock: &Clock,
    ) -> Poll<Result<Reply, Silence>> {
        let Some(response) = &mut self.response else { return Poll::Ready(Err(Silence::Closed)) };
        let response = match ready!(Pin::new(response).poll(cx)) {
            Ok(response) => response,
            Err(error) => return Poll::Ready(Err(self.silence(&error))),
        };
        let (parts, body) = response.into_parts();
        let receiving = Receiving::new(body);
        let line = StatusLine {
            status: parts.status.as_u16(),
            reason: parts.status.canonical_reason().unwrap_or_default(),
            version: Version::HTTP_2,
            streams: !receiving.is_ended(),
        };
        self.receiving = Some(receiving);
        let headers = pairs(&parts.headers);
        Poll::Ready(if line.status == 101 {
            Err(Silence::Failed(Failure::BadResponse))
        } else {
            reply(&line, headers.iter().copied(), request.is_head, clock).map_err(Silence::Failed)
        })
    }

    fn take_back(&mut self, _: &mut Request) -> bool {
        !self.put
    }

    fn has_sent(&self) -> bool {
        self.response.is_some() && !self.refused
    }
}

/// Headers that a request has got here; fewer than so many.
const OURS: usize = 16;

/// The request's head as HTTP/2 has it; nothing if it can't be put so.
pub(crate) fn converted(request: &Request) -> Option<HttpRequest<()>> {
    let mut slots = [const { MaybeUninit::uninit() }; MOST_HEADERS + OURS];
    let head = head::request(&request.head, &mut slots).ok()?;
    let host = head.headers.iter().find(|header| header.name == "host")?;
    let uri = Uri::builder().scheme("http").authority(host.value).path_and_query(head.target).build().ok()?;
    let mut asked = HttpRequest::new(());
    *asked.method_mut() = Method::from_bytes(head.method.as_bytes()).ok()?;
    *asked.uri_mut() = uri;
    *asked.version_mut() = Version::HTTP_2;
    *asked.headers_mut() = fields(head.headers, &["host", "connection", "upgrade", "transfer-encoding"]);
    if request.length == Length::Exact(0) {
        asked.headers_mut().remove(hyper::header::CONTENT_LENGTH);
    }
    Some(asked)
}

impl Reach for Http2Dyno {
    fn unused(worker: &Worker, key: Key, _: &Request) -> Option<Self> {
        worker.pool.multiplexed.stream(key)
    }

    async fn connect(worker: &Worker, key: Key, limit: Duration) -> Result<Self, Failure> {
        worker.pool.multiplexed.connect(worker, key, limit).await
    }

    /// The connection stays where it is; this was but one of its streams.
    fn give_back(self, _: &Worker, _: Key) {}
}
