//! A client's connection in HTTP/1, from its first byte to its end: one request after the
//! other, and between them nothing but the stream.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{Http1, Stream, head};
use crate::alarm::Alarm;
use crate::flow::{Client, Sink};
use crate::http2;
use crate::linger::{self, GOODBYE};
use crate::pages;
use crate::proxy::{self, Conn, Received};
use crate::stopping::Ear;

/// The longest head of a request, bytes.
const LONGEST_HEAD: usize = 256 * 1024;

/// Empty lines before a request that are passed over.
const EMPTY_LINES: u8 = 4;

/// What is left of a response when its dyno is done may take so many times the idle limit.
const LAST_BYTES: u32 = 10;

/// Serves until one side has enough. Who begins with HTTP/2 is served by that.
pub(crate) async fn serve<S: Stream>(conn: Conn, io: S) {
    let mut side = Http1::new(io);
    let mut alarm = Alarm::default();
    let mut ear = Ear::new(&conn.worker.stopping);
    let mut served = false;
    loop {
        if side.input.is_empty() && !comes(&conn, &mut side, &mut alarm, &mut ear, served).await {
            return;
        }
        // What a request needs is there only while there is one.
        match Box::pin(one(&conn, &mut side, &mut alarm, !served)).await {
            Next::Request => {
                served = true;
                side.rest();
            }
            Next::Nothing => {}
            Next::Close => return,
            Next::Goodbye => {
                Box::pin(goodbye(&mut side, &mut alarm)).await;
                return;
            }
            Next::Linger => return Box::pin(linger(&conn, &mut side, &mut alarm, &mut ear)).await,
            Next::Http2(deadline) => {
                drop(ear);
                let Http1 { io, input, .. } = side;
                return Box::pin(http2::serve::serve(Rc::new(conn), io, input, deadline)).await;
            }
        }
    }
}

/// Whether something comes before the connection has been silent for too long.
async fn comes<S: Stream>(
    conn: &Conn,
    side: &mut Http1<S>,
    alarm: &mut Alarm,
    ear: &mut Ear<'_>,
    served: bool,
) -> bool {
    let shared = &conn.worker.shared;
    let now = Instant::now();
    let deadline = now + shared.limits.client_idle;
    let readable = |cx: &mut Context<'_>| side.io.poll_readable(cx, !served);
    ear.unless_it_goes(&shared.ending, alarm, now, deadline, served, readable).await.is_some()
}

/// What a client begins with.
enum Begun {
    Request(Received),
    /// The preface of HTTP/2, or as much of it as looks like a request.
    Http2,
}

enum Next {
    Request,
    /// Nothing of a request has come, after all.
    Nothing,
    Close,
    /// As above, and TLS says so first: else it might be somebody else who cut it off.
    Goodbye,
    /// The last answer was given while the client may still send.
    Linger,
    /// It speaks HTTP/2, whose preface has to be whole by then.
    Http2(Instant),
}

/// Reads a request and answers it. `first`: nothing came before.
async fn one<S: Stream>(conn: &Conn, side: &mut Http1<S>, alarm: &mut Alarm, first: bool) -> Next {
    let limits = &conn.worker.shared.limits;
    let mut first_byte = None;
    let mut nothing = false;
    let begun_with = poll_fn(|cx| match poll_request(conn, side, first, cx) {
        Poll::Ready(begun_with) => Poll::Ready(begun_with),
        // An empty line, or a socket that only seemed to have something.
        Poll::Pending if side.input.is_empty() => {
            nothing = true;
            Poll::Ready(None)
        }
        Poll::Pending => {
            let deadline = *first_byte.get_or_insert_with(Instant::now) + limits.head;
            alarm.poll(cx, deadline).map(|()| None)
        }
    })
    .await;
    let all_known;
    match begun_with {
        None if nothing => return Next::Nothing,
        None => return Next::Close,
        Some(Begun::Http2) => return Next::Http2(first_byte.unwrap_or_else(Instant::now) + limits.head),
        Some(Begun::Request(Received::Refused(page, request))) => {
            all_known = request.as_ref().is_some_and(|request| request.refused.is_none());
            let keep = all_known && request.as_ref().is_some_and(|request| !request.length.has_body());
            if let Some(request) = &request {
                side.takes(request);
            }
            side.answer(&page, request.as_deref(), keep && !conn.worker.stopping.is_set());
        }
        Some(Begun::Request(Received::Accepted(mut request, destination))) => {
            side.takes(&request);
            all_known = request.refused.is_none();
            proxy::handle(conn, side, alarm, &mut request, destination).await;
        }
    }
    if side.dead || !flushed(conn, side, alarm).await {
        return Next::Close;
    }
    // Where a head was none, or says in two ways how long its body is, nobody knows what follows.
    match (side.lasts, side.is_read() && all_known) {
        (true, true) => Next::Request,
        (false, true) if side.input.is_empty() => {
            if S::SAYS_GOODBYE {
                Next::Goodbye
            } else {
                Next::Close
            }
        }
        (_, _) => Next::Linger,
    }
}

/// A whole request, or nothing if the connection ends before.
fn poll_request<S: Stream>(conn: &Conn, side: &mut Http1<S>, first: bool, cx: &mut Context<'_>) -> Poll<Option<Begun>> {
    let refused = || Poll::Ready(Some(Begun::Request(Received::Refused(pages::bad_request(), None))));
    let mut scratch = conn.worker.scratch.borrow_mut();
    loop {
        let mut input = std::mem::take(&mut side.input);
        // Some clients send an empty line behind a body; it is passed over (RFC 9112, 2.2).
        while input.starts_with(b"\r\n") {
            if side.empty_lines >= EMPTY_LINES {
                return refused();
            }
            side.empty_lines += 1;
            input.drain(..2);
            side.known = 0;
        }
        let mut fresh = 0;
        if input.is_empty() || head::end(&input, side.known).is_none() {
            side.known = input.len();
            match side.poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(count)) if count > 0 => fresh = count,
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    side.input = input;
                    return Poll::Pending;
                }
            }
        }
        let bytes = if input.is_empty() {
            &scratch[..fresh]
        } else {
            input.extend_from_slice(&scratch[..fresh]);
            input.as_slice()
        };
        let Some(end) = head::end(bytes, side.known) else {
            let token = |byte: &u8| byte.is_ascii_graphic() || *byte == b'\r';
            if bytes.len() > LONGEST_HEAD || !bytes.first().is_some_and(token) {
                return refused();
            }
            side.known = bytes.len();
            side.input = if input.is_empty() { bytes.to_vec() } else { input };
            continue;
        };
        if bytes.starts_with(b"\r\n") {
            side.known = 0;
            side.input = if input.is_empty() { bytes.to_vec() } else { input };
            continue;
        }
        side.known = 0;
        let first = first & (std::mem::take(&mut side.empty_lines) == 0);
        let received = proxy::receive(conn, &bytes[..end]);
        // With TLS it has to be agreed on by ALPN (RFC 9113, 3.2).
        let prior_knowledge = || first && conn.tls.is_none() && &bytes[..end] == http2::PREFACE_HEAD;
        if matches!(received, Received::Refused(_, None)) && prior_knowledge() {
            side.input = if input.is_empty() { bytes.to_vec() } else { input };
            return Poll::Ready(Some(Begun::Http2));
        }
        side.input = bytes[end..].to_vec();
        return Poll::Ready(Some(Begun::Request(received)));
    }
}

/// Whether all that was put could be sent.
async fn flushed<S: Stream>(conn: &Conn, side: &mut Http1<S>, alarm: &mut Alarm) -> bool {
    let idle = conn.worker.shared.limits.idle;
    // A byte now and then doesn't keep it for ever.
    let end = Instant::now() + idle * LAST_BYTES;
    let mut left = side.waiting();
    let mut deadline = None;
    poll_fn(|cx| match side.poll_flush(cx) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => {
            let now = side.waiting();
            let deadline = deadline.get_or_insert_with(|| Instant::now() + idle);
            if now < left {
                left = now;
                *deadline = Instant::now() + idle;
            }
            alarm.poll(cx, (*deadline).min(end)).map(|()| false)
        }
    })
    .await
}

/// Closes our direction; whether that went well in time.
async fn goodbye<S: Stream>(side: &mut Http1<S>, alarm: &mut Alarm) -> bool {
    let deadline = Instant::now() + GOODBYE;
    let mut closing = pin!(side.io.shutdown());
    poll_fn(|cx| match closing.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => alarm.poll(cx, deadline).map(|()| false),
    })
    .await
}

/// Says that it is over, and hears the client out for a while.
async fn linger<S: Stream>(conn: &Conn, side: &mut Http1<S>, alarm: &mut Alarm, ear: &mut Ear<'_>) {
    if !goodbye(side, alarm).await {
        return;
    }
    let heard = |cx: &mut Context<'_>| {
        let read = side.poll_read(cx, &mut conn.worker.scratch.borrow_mut());
        read.map(|read| read.ok().filter(|count| *count > 0))
    };
    linger::hear_out(conn, ear, alarm, Some(Instant::now()), heard).await;
}
