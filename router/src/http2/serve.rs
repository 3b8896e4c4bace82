//! A client's connection in HTTP/2: every stream is a task of its own, and the connection
//! ends when it has had none for long, when the client answers no ping, or when the client
//! asks for more than a visitor would.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
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
use crate::linger::{self, GOODBYE};
use crate::pages::{self, Page};
use crate::proxy::{self, Conn, Received};
use crate::stopping::{Ear, Word};

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
    /// The connection's own task.
    task: RefCell<Option<Waker>>,
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
        let left = self.0.open.get() - 1;
        self.0.open.set(left);
        self.0.ended.set(Instant::now());
        if left == 0
            && let Some(task) = &*self.0.task.borrow()
        {
            task.wake_by_ref();
        }
    }
}

/// Serves until one side has enough. Of what the client sent, `before` was read; its preface is
/// there by `deadline`, or nobody waits for more.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    conn: Rc<Conn>,
    io: S,
    before: Vec<u8>,
    deadline: Instant,
) {
    let shared = &conn.worker.shared;
    let time = shared.limits.client_idle;
    let moved = Rc::new(Cell::new(false));
    let io = Watched { io, before, moved: Rc::clone(&moved) };
    // The streams of a proxy are of many visitors: one whose upload nobody takes must not hold up the others,
    // nor one who gives up much end their requests.
    let of_many = conn.admitted.peer.trusted;
    let window = if of_many { STREAM_WINDOW * MOST_STREAMS } else { CONNECTION_WINDOW };
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
    let mut ear = Ear::new(&conn.worker.stopping);
    let mut alarm = Alarm::default();
    let made = {
        let mut handshake = pin!(handshake);
        let made = |cx: &mut Context<'_>| handshake.as_mut().poll(cx);
        ear.unless_it_goes(&shared.ending, &mut alarm, Instant::now(), deadline, false, made).await
    };
    let Some(Ok(mut connection)) = made else { return };
    let streams = Rc::new(Streams {
        open: Cell::new(0),
        ended: Cell::new(Instant::now()),
        resets: Cell::new(0),
        task: RefCell::new(None),
        unsent: Unsent::new(&conn.worker.shared.ahead),
    });
    let mut watch = Watch::new(time, moved, alarm);
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
            if streams.resets.get() > MOST_RESETS && !of_many {
                connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
                streams.resets.set(0);
                continue;
            }
            break;
        }
        streams.task.borrow_mut().get_or_insert_with(|| cx.waker().clone());
        let leaves = match ear.hears(cx, watch.unused(&streams)) {
            Word::GoOn => false,
            Word::MakeRoom => {
                watch.patience = GOODBYE.min(time);
                watch.leave()
            }
            Word::End => watch.leave(),
        };
        // Streams that the client opens before it hears of this are served, too.
        if leaves {
            connection.graceful_shutdown();
            cx.waker().wake_by_ref();
        }
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
    fn new(time: Duration, moved: Rc<Cell<bool>>, alarm: Alarm) -> Watch {
        let now = Instant::now();
        Watch { time, patience: time, moved, begun: now, alarm, leaving: None, pinged: None, ponged: now, calm: now }
    }

    /// What a client gave up long ago doesn't count any more.
    fn forget_resets(&mut self, streams: &Streams) {
        if streams.resets.get() > 0 && self.calm.elapsed() >= CALM_TIME {
            self.calm = Instant::now();
            streams.resets.set(0);
        }
    }

    /// Since when the connection has had no streams, if it has none.
    fn unused(&self, streams: &Streams) -> Option<Instant> {
        (streams.open.get() == 0).then(|| streams.ended.get().max(self.begun))
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
            // Who was told to leave has time from then on.
            let unused_at = self.unused(streams).map(|since| since.max(self.leaving.unwrap_or(since)) + self.patience);
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
            hear_out(&conn, &mut client, &mut alarm).await;
        }
        if given_up {
            open.0.resets.set(open.0.resets.get() + 1);
        }
        drop(open);
    });
}

fn receive(conn: &Conn, parts: &hyper::http::request::Parts, streams: bool) -> Received {
    match line(parts) {
        Ok(line) => {
            let fields = pairs(&parts.headers);
            let request = headers::request(&line, fields.iter().copied(), streams, &conn.admitted.peer);
            proxy::route(conn, Box::new(request), line.host)
        }
        Err(page) => Received::Refused(page(), None),
    }
}

/// A request's first line as HTTP/1 has it, and its host; else what it is answered with.
pub(crate) fn line(parts: &hyper::http::request::Parts) -> Result<Line<'_>, fn() -> Page> {
    if parts.method == Method::CONNECT {
        return Err(proxy::no_forward_proxy);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let host = match (parts.uri.authority(), first.filter(|_| second.is_none())) {
        // No user name, no password.
        (Some(authority), _) => authority.as_str().rsplit('@').next(),
        (None, Some(host)) => host.to_str().ok(),
        (None, None) => None,
    };
    let host = host.filter(|host| headers::is_host(host)).ok_or(proxy::no_host as fn() -> Page)?;
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let asterisk = target == "*" && parts.method == Method::OPTIONS;
    if !target.starts_with('/') && !target.starts_with('?') && !asterisk {
        return Err(pages::bad_request);
    }
    Ok(Line { method: parts.method.as_str(), target, host, version: Version::HTTP_2 })
}

/// Takes a body to its end for a while whose answer is given. A stream is reset where it ends before,
/// and some clients throw the answer away then (curl 7.88).
async fn hear_out(conn: &Conn, client: &mut Http2Client, alarm: &mut Alarm) {
    let mut ear = Ear::new(&conn.worker.stopping);
    let heard = |cx: &mut Context<'_>| {
        client.poll_pull(cx, &mut [], &mut Nowhere).map(|pulled| match pulled {
            Ok(Pulled::More(count)) => Some(usize::try_from(count).unwrap_or(usize::MAX)),
            Ok(Pulled::End(_)) | Err(_) => None,
        })
    };
    // The place is its connection's.
    linger::hear_out(conn, &mut ear, alarm, None, heard).await;
}

/// Keeps nothing of what is put.
struct Nowhere;

impl Sink for Nowhere {
    fn put(&mut self, _: &mut Context<'_>, _: &[u8]) {}

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
