//! A client's connection in HTTP/2: every stream is a task of its own, and the connection
//! ends when it has had none for long, when the client answers no ping, or when the client
//! asks for more than a visitor would.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, Reason, RecvStream};
use hyper::header::HOST;
use hyper::http::Request as HttpRequest;
use hyper::{Method, Version};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::client::Http2Client;
use super::unsent::Unsent;
use super::watched::Watched;
use super::{CONNECTION_WINDOW, SEND_BUFFER, STREAM_WINDOW, pairs};
use crate::alarm::Alarm;
use crate::flow::{Client, Pulled, Sink, Source};
use crate::headers::{self, Line};
use crate::http1::serve::LINGER;
use crate::pages;
use crate::proxy::{self, Conn, Received};
use crate::stopping::Ear;

/// Streams at once on one connection.
const MOST_STREAMS: u32 = 250;

/// All header fields of one request together, bytes (RFC 9113, 6.5.2).
const HEADER_LIST: u32 = 64 * 1024;

/// Requests that a client may give up within `CALM_TIME` before it is sent away: a request
/// that is begun and given up at once costs the client nothing and the dynos much.
const MOST_RESETS: u32 = 200;
const CALM_TIME: Duration = Duration::from_secs(10);

/// What a connection knows of its streams.
struct Streams {
    open: Cell<usize>,
    /// When the last one ended.
    ended: Cell<Instant>,
    resets: Cell<u32>,
    unsent: Arc<Unsent>,
}

/// Counts a stream for as long as it lives.
struct Open(Rc<Streams>);

impl Open {
    fn new(streams: &Rc<Streams>) -> Open {
        streams.open.set(streams.open.get() + 1);
        Open(Rc::clone(streams))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.ended.set(Instant::now());
    }
}

/// Serves until one side has enough.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(conn: Rc<Conn>, io: S) {
    let time = conn.worker.shared.limits.client_idle;
    let moved = Rc::new(Cell::new(false));
    let io = Watched { io, moved: Rc::clone(&moved) };
    // The streams of a proxy are of many visitors: one whose upload nobody takes must not hold up the others.
    let window = if conn.admitted.peer.trusted { STREAM_WINDOW * MOST_STREAMS } else { CONNECTION_WINDOW };
    let handshake = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(window)
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(HEADER_LIST)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(20)
        .max_concurrent_reset_streams(50)
        .max_local_error_reset_streams(Some(100))
        .handshake::<_, Bytes>(io);
    let Ok(Ok(mut connection)) = tokio::time::timeout(time, handshake).await else { return };
    let streams = Rc::new(Streams {
        open: Cell::new(0),
        ended: Cell::new(Instant::now()),
        resets: Cell::new(0),
        unsent: Unsent::new(&conn.worker.shared.ahead),
    });
    let mut ear = Ear::new(&conn.worker.stopping);
    let mut watch = Watch::new(time, moved);
    let mut ping = connection.ping_pong();
    poll_fn(|cx| {
        loop {
            match connection.poll_accept(cx) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    begin(&conn, &streams, request, respond);
                    continue;
                }
                // How a connection ends is in its requests' lines; nobody else wants to know.
                Poll::Ready(Some(Err(_)) | None) => return Poll::Ready(()),
                Poll::Pending => {}
            }
            watch.forget_resets(&streams);
            if streams.resets.get() > MOST_RESETS {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                streams.resets.set(0);
                continue;
            }
            break;
        }
        // Streams that the client opens before it hears of this are served, too.
        if ear.hears(cx) && watch.leave() {
            connection.graceful_shutdown();
            cx.waker().wake_by_ref();
        }
        watch.patience = conn.worker.shared.guard.idle(time);
        watch.poll(cx, &streams, &mut connection, ping.as_mut())
    })
    .await;
}

/// The time limits of a connection.
struct Watch {
    time: Duration,
    /// How long it may be without streams.
    patience: Duration,
    /// Whether a byte went either way since this was last looked at.
    moved: Rc<Cell<bool>>,
    begun: Instant,
    alarm: Alarm,
    leaving: Option<Instant>,
    pinged: Option<Instant>,
    ponged: Instant,
    calm: Instant,
}

impl Watch {
    fn new(time: Duration, moved: Rc<Cell<bool>>) -> Watch {
        let now = Instant::now();
        Watch {
            time,
            patience: time,
            moved,
            begun: now,
            alarm: Alarm::default(),
            leaving: None,
            pinged: None,
            ponged: now,
            calm: now,
        }
    }

    /// What a client gave up long ago doesn't count any more.
    fn forget_resets(&mut self, streams: &Streams) {
        if streams.resets.get() > 0 && self.calm.elapsed() >= CALM_TIME {
            self.calm = Instant::now();
            streams.resets.set(0);
        }
    }

    /// Whether the client is to be told just now that this is the end.
    fn leave(&mut self) -> bool {
        let first = self.leaving.is_none();
        self.leaving.get_or_insert_with(Instant::now);
        first
    }

    /// Ready when the connection is to be dropped.
    fn poll<S: AsyncRead + AsyncWrite + Unpin>(
        &mut self,
        cx: &mut Context<'_>,
        streams: &Streams,
        connection: &mut Connection<S, Bytes>,
        ping: Option<&mut h2::PingPong>,
    ) -> Poll<()> {
        let half = self.time / 2;
        let mut ping = ping;
        if let Some(ping) = &mut ping
            && self.pinged.is_some()
            && ping.poll_pong(cx).is_ready()
        {
            self.pinged = None;
            self.ponged = Instant::now();
        }
        loop {
            let used = streams.ended.get().max(self.begun).max(self.leaving.unwrap_or(self.begun));
            let unused_at = (streams.open.get() == 0).then(|| used + self.patience);
            let ping_at = self.pinged.unwrap_or(self.ponged) + half;
            let deadline = unused_at.map_or(ping_at, |at| at.min(ping_at));
            if self.alarm.poll(cx, deadline).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            if unused_at.is_some_and(|at| at <= now) {
                if !self.leave() {
                    return Poll::Ready(());
                }
                connection.graceful_shutdown();
                cx.waker().wake_by_ref();
            } else if self.pinged.is_some() && self.moved.take() {
                // Its answer stands behind what a slow client still has to read.
                self.pinged = Some(now);
            } else if self.pinged.is_some() {
                return Poll::Ready(());
            } else if let Some(ping) = &mut ping
                && ping.send_ping(Ping::opaque()).is_ok()
            {
                self.pinged = Some(now);
                cx.waker().wake_by_ref();
            } else {
                self.ponged = now;
            }
        }
    }
}

fn begin(conn: &Rc<Conn>, streams: &Rc<Streams>, request: HttpRequest<RecvStream>, respond: SendResponse<Bytes>) {
    let conn = Rc::clone(conn);
    let open = Open::new(streams);
    tokio::task::spawn_local(async move {
        let (parts, body) = request.into_parts();
        let mut client = Http2Client::new(respond, body, Arc::clone(&open.0.unsent));
        let mut alarm = Alarm::default();
        match receive(&conn, &parts, client.streams()) {
            Received::Refused(page, request) => client.answer(&page, request.as_deref(), true),
            Received::Accepted(mut request, destination) => {
                drop(parts);
                proxy::handle(&conn, &mut client, &mut alarm, &mut request, destination).await;
            }
        }
        flush(&conn, &mut client, &mut alarm).await;
        // Who hangs up after the whole answer gives nothing up.
        let given_up = client.was_reset;
        if client.goes_on() {
            hear_out(&mut client, &mut alarm).await;
        }
        if given_up {
            open.0.resets.set(open.0.resets.get() + 1);
        }
        drop(open);
    });
}

fn receive(conn: &Conn, parts: &hyper::http::request::Parts, streams: bool) -> Received {
    if parts.method == Method::CONNECT {
        return Received::Refused(proxy::no_forward_proxy(), None);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let host = match (parts.uri.authority(), first.filter(|_| second.is_none())) {
        // No user name, no password.
        (Some(authority), _) => authority.as_str().rsplit('@').next(),
        (None, Some(host)) => host.to_str().ok(),
        (None, None) => None,
    };
    let Some(host) = host.filter(|host| headers::is_host(host)) else {
        return Received::Refused(proxy::no_host(), None);
    };
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let asterisk = target == "*" && parts.method == Method::OPTIONS;
    if !target.starts_with('/') && !target.starts_with('?') && !asterisk {
        return Received::Refused(pages::bad_request(), None);
    }
    let line = Line { method: parts.method.as_str(), target, host, version: Version::HTTP_2 };
    let fields = pairs(&parts.headers);
    proxy::route(conn, Box::new(headers::request(&line, fields.iter().copied(), streams, &conn.admitted.peer)), host)
}

/// Takes a body to its end for a while whose answer is given. A stream is reset where it ends before,
/// and some clients throw the answer away then (curl 7.88).
async fn hear_out(client: &mut Http2Client, alarm: &mut Alarm) {
    let deadline = Instant::now() + LINGER.0;
    let mut heard = Nowhere(0);
    poll_fn(|cx| {
        while heard.0 < LINGER.1 {
            match client.poll_pull(cx, &mut [], &mut heard) {
                Poll::Ready(Ok(Pulled::More(_))) => {}
                Poll::Ready(Ok(Pulled::End(_)) | Err(_)) => return Poll::Ready(()),
                Poll::Pending => return alarm.poll(cx, deadline),
            }
        }
        Poll::Ready(())
    })
    .await;
}

/// Counts what is put and keeps none of it.
struct Nowhere(usize);

impl Sink for Nowhere {
    fn put(&mut self, _: &mut Context<'_>, data: &[u8]) {
        self.0 += data.len();
    }

    fn end(&mut self, _: &mut Context<'_>, _: &[u8]) {}

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn waiting(&self) -> usize {
        0
    }
}

/// Sends what is left, unless the client takes it no more.
async fn flush(conn: &Conn, client: &mut Http2Client, alarm: &mut Alarm) {
    let idle = conn.worker.shared.limits.idle;
    let mut left = client.waiting();
    let mut deadline = Instant::now() + idle;
    let done = poll_fn(|cx| {
        if client.poll_flush(cx).is_ready() {
            return Poll::Ready(true);
        }
        if client.waiting() < left || client.comes_nearer() {
            left = client.waiting();
            deadline = Instant::now() + idle;
        }
        alarm.poll(cx, deadline).map(|()| false)
    });
    if !done.await {
        client.abort(crate::failure::Failure::ClientIdle);
    }
}
