//! A client's connection in HTTP/1, from its first byte to its end: one request after the
//! other, and between them nothing but the stream.

use std::future::poll_fn;
use std::pin::pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use super::{Http1, Stream, head};
use crate::alarm::Alarm;
use crate::flow::{Client, Sink};
use crate::pages;
use crate::proxy::{self, Conn, Received};
use crate::stopping::Ear;

/// The longest head of a request, bytes.
const LONGEST_HEAD: usize = 256 * 1024;

/// Empty lines before a request that are passed over.
const EMPTY_LINES: u8 = 4;

/// A connection that has never asked for anything gets this long to do so once the worker is
/// to end: its request may be on the way.
const LAST_CHANCE: Duration = Duration::from_secs(1);

/// What is left of a response when its dyno is done may take so many times the idle limit.
const LAST_BYTES: u32 = 10;

/// How long and for how many bytes a client is listened to that still sends after our last
/// word. Closing at once would take the answer away from it (RFC 9112, 9.6).
pub(crate) const LINGER: (Duration, usize) = (Duration::from_secs(2), 16 * 1024 * 1024);

/// Serves until one side has enough.
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
        match Box::pin(one(&conn, &mut side, &mut alarm)).await {
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
            Next::Linger => return Box::pin(linger(&conn, &mut side, &mut alarm)).await,
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
    let limits = &conn.worker.shared.limits;
    let mut deadline = Instant::now() + conn.worker.shared.guard.idle(limits.client_idle);
    let mut told = false;
    poll_fn(|cx| {
        if side.io.poll_readable(cx, !served).is_ready() {
            return Poll::Ready(true);
        }
        if ear.hears(cx) && !told {
            told = true;
            // Where another router has taken over there is no haste: a client that sends just
            // now is answered.
            if !conn.worker.shared.ending.handed_over() {
                if served {
                    return Poll::Ready(false);
                }
                deadline = deadline.min(Instant::now() + LAST_CHANCE);
            }
        }
        alarm.poll(cx, deadline).map(|()| false)
    })
    .await
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
}

/// Reads a request and answers it.
async fn one<S: Stream>(conn: &Conn, side: &mut Http1<S>, alarm: &mut Alarm) -> Next {
    let limits = &conn.worker.shared.limits;
    let mut first_byte = None;
    let mut nothing = false;
    let received = poll_fn(|cx| match poll_request(conn, side, cx) {
        Poll::Ready(received) => Poll::Ready(received),
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
    // Whether it is known where the request ends.
    let all_known;
    match received {
        None if nothing => return Next::Nothing,
        None => return Next::Close,
        Some(Received::Refused(page, request)) => {
            all_known = request.as_ref().is_some_and(|request| request.refused.is_none());
            let keep = all_known && request.as_ref().is_some_and(|request| !request.length.has_body());
            if let Some(request) = &request {
                side.takes(request);
            }
            side.answer(&page, request.as_deref(), keep && !conn.worker.stopping.is_set());
        }
        Some(Received::Accepted(mut request, destination)) => {
            side.takes(&request);
            all_known = request.refused.is_none();
            proxy::handle(conn, side, alarm, &mut request, destination).await;
        }
    }
    if side.dead || !flushed(conn, side, alarm).await {
        return Next::Close;
    }
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
fn poll_request<S: Stream>(conn: &Conn, side: &mut Http1<S>, cx: &mut Context<'_>) -> Poll<Option<Received>> {
    let mut scratch = conn.worker.scratch.borrow_mut();
    loop {
        let mut input = std::mem::take(&mut side.input);
        // Some clients send an empty line behind a body; it is passed over (RFC 9112, 2.2).
        while input.starts_with(b"\r\n") {
            if side.empty_lines >= EMPTY_LINES {
                return Poll::Ready(Some(Received::Refused(pages::bad_request(), None)));
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
                return Poll::Ready(Some(Received::Refused(pages::bad_request(), None)));
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
        side.empty_lines = 0;
        let received = proxy::receive(conn, &bytes[..end]);
        side.input = bytes[end..].to_vec();
        return Poll::Ready(Some(received));
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
    let deadline = Instant::now() + LINGER.0;
    let mut closing = pin!(side.io.shutdown());
    poll_fn(|cx| match closing.as_mut().poll(cx) {
        Poll::Ready(result) => Poll::Ready(result.is_ok()),
        Poll::Pending => alarm.poll(cx, deadline).map(|()| false),
    })
    .await
}

/// Says that it is over, and hears the client out for a while.
async fn linger<S: Stream>(conn: &Conn, side: &mut Http1<S>, alarm: &mut Alarm) {
    if !goodbye(side, alarm).await {
        return;
    }
    let deadline = Instant::now() + LINGER.0;
    let mut heard = 0;
    poll_fn(|cx| {
        let mut scratch = conn.worker.scratch.borrow_mut();
        while heard < LINGER.1 {
            match side.poll_read(cx, &mut scratch) {
                Poll::Ready(Ok(count)) if count > 0 => heard += count,
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return alarm.poll(cx, deadline),
            }
        }
        Poll::Ready(())
    })
    .await;
}
