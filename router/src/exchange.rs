//! One request on a dyno's connection: its head and body go there while the response is
//! awaited, then both bodies go their ways. Every poll looks at both sides; whose turn it is
//! decides which time limit runs, and whose fault it is when it is over.

use std::future::poll_fn;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::Version;
use tokio::time::Instant;

use crate::access_log::Flight;
use crate::alarm::Alarm;
use crate::failure::Failure;
use crate::flow::{Ahead, Broken, Client, Dyno, Pulled, Silence};
use crate::framing::Length;
use crate::headers::Request;
use crate::proxy::Conn;
use crate::responses::Reply;
use crate::settings::{AppLimits, Limits};
use crate::worker::SCRATCH;

/// What is kept of a response for a client that reads slowly, bytes: as on Heroku, a dyno is
/// free for others when it has said so much.
pub(crate) const RESPONSE_BUFFER: usize = 1024 * 1024;

/// The same of all clients together: beyond it dynos are held up instead.
pub(crate) const ALL_RESPONSES: usize = 128 * 1024 * 1024;

/// Whose turn it is in an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// The client's: we wait for bytes.
    Client,
    /// The dyno's: it doesn't take what we have.
    Dyno,
    /// The dyno's, for what it doesn't take of the end: the client has said all.
    Last,
    /// Nobody's: the whole request was handed on.
    Nobody,
}

/// How the request's way to the dyno fares.
#[derive(Debug)]
pub(crate) struct Upload {
    turn: Turn,
    last: Instant,
    error: Option<Failure>,
    /// What a body is that breaks the rules.
    malformed: Failure,
    /// The dyno's connection takes nothing any more.
    stuck: bool,
    proceeded: bool,
}

impl Upload {
    pub(crate) fn new(request: &Request) -> Upload {
        Upload {
            turn: if request.length.has_body() { Turn::Dyno } else { Turn::Last },
            last: Instant::now(),
            error: None,
            malformed: if request.version == Version::HTTP_2 { Failure::StreamBroken } else { Failure::BadChunk },
            stuck: false,
            proceeded: !request.expects,
        }
    }

    /// The request's clock begins when it leaves.
    pub(crate) fn restart(&mut self) {
        self.last = Instant::now();
    }

    /// To be sent once more, of which nothing was taken from the client but its head.
    pub(crate) fn again(&mut self) {
        self.stuck = false;
        if self.is_done() {
            self.turn = Turn::Last;
        }
    }

    /// Whether the client has said all.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.turn, Turn::Last | Turn::Nobody)
    }

    /// Whether the dyno's connection has taken all.
    pub(crate) fn is_done(&self) -> bool {
        self.turn == Turn::Nobody
    }

    /// Whether the dyno has still to take what the client was done with.
    fn is_owed(&self) -> bool {
        self.turn == Turn::Last && !self.stuck
    }

    fn poll<C: Client, D: Dyno>(&mut self, cx: &mut Context<'_>, scratch: &mut [u8], client: &mut C, dyno: &mut D) {
        while !self.stuck && self.error.is_none() {
            match dyno.poll_flush(cx) {
                Poll::Ready(Ok(())) if self.is_read() => {
                    self.turn = Turn::Nobody;
                    return;
                }
                Poll::Ready(Ok(())) => {}
                // What it has to say is read all the same.
                Poll::Ready(Err(_)) => {
                    self.stuck = true;
                    return;
                }
                Poll::Pending => {
                    if self.turn == Turn::Client {
                        self.turn = Turn::Dyno;
                    }
                    return;
                }
            }
            if !self.proceeded {
                self.proceeded = true;
                client.proceed();
            }
            match client.poll_pull(cx, scratch, dyno) {
                Poll::Ready(Ok(Pulled::More(_))) => self.set(Turn::Dyno),
                Poll::Ready(Ok(Pulled::End(_))) => self.set(Turn::Last),
                Poll::Ready(Err(Broken::Gone)) => self.error = Some(Failure::ClientInterrupted),
                Poll::Ready(Err(Broken::Malformed)) => self.error = Some(self.malformed),
                Poll::Pending => {
                    self.turn = Turn::Client;
                    return;
                }
            }
        }
    }

    fn set(&mut self, turn: Turn) {
        self.turn = turn;
        self.last = Instant::now();
    }
}

/// A request without a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Unanswered {
    pub(crate) failure: Failure,
    /// The connection ended without a word.
    pub(crate) closed: bool,
}

impl From<Failure> for Unanswered {
    fn from(failure: Failure) -> Unanswered {
        Unanswered { failure, closed: false }
    }
}

/// Sends what `dyno` was asked, and waits for the head of its response.
pub(crate) async fn ask<C: Client, D: Dyno>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    dyno: &mut D,
    request: &Request,
    upload: &mut Upload,
    limits: &AppLimits,
) -> Result<Reply, Unanswered> {
    poll_fn(|cx| {
        let mut scratch = conn.worker.scratch.borrow_mut();
        upload.poll(cx, &mut scratch, client, dyno);
        // A word to go on; who can't be told it is gone, which is noticed below.
        if client.waiting() > 0 {
            let _ = client.poll_flush(cx);
        }
        let replied = dyno.poll_reply(cx, &mut scratch, request, &conn.worker.clock);
        if let Some(failure) = upload.error {
            return Poll::Ready(Err(failure.into()));
        }
        if let Poll::Ready(replied) = replied {
            return Poll::Ready(replied.map_err(|silence| unanswered(silence, upload)));
        }
        if upload.is_read() && client.poll_gone(cx, &mut scratch).is_ready() {
            return Poll::Ready(Err(Failure::ClientInterrupted.into()));
        }
        let (limit, failure) = match upload.turn {
            Turn::Client => (limits.idle, Failure::ClientIdle),
            Turn::Dyno | Turn::Last | Turn::Nobody => (limits.first_byte, Failure::RequestTimeout),
        };
        alarm.poll(cx, upload.last + limit).map(|()| Err(failure.into()))
    })
    .await
}

fn unanswered(silence: Silence, upload: &Upload) -> Unanswered {
    match silence {
        Silence::Closed if upload.is_read() => Unanswered { failure: Failure::ClosedWithoutResponse, closed: true },
        Silence::Closed => Unanswered { failure: Failure::ServerInterrupted, closed: true },
        Silence::Interrupted => Failure::ServerInterrupted.into(),
        Silence::Failed(failure) => failure.into(),
    }
}

/// What is under way once a dyno has answered.
pub(crate) struct Way<'w, D> {
    pub(crate) dyno: &'w mut D,
    pub(crate) upload: &'w mut Upload,
    pub(crate) length: Length,
    /// How long both sides may be silent.
    pub(crate) idle: Option<Duration>,
}

/// Hands the response's body on, and what is left of the request's, until the response has
/// ended, and the dyno has what the client was done with. What of the response the client has
/// not taken by then is at most what is kept for it; where it isn't taken ahead, nothing.
pub(crate) async fn relay<C: Client, D: Dyno>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    way: Way<'_, D>,
    flight: &mut Option<Flight>,
) -> Result<(), Failure> {
    let Way { dyno, upload, length, idle } = way;
    let small = C::TAKES_AHEAD && takes_ahead(conn, client, length);
    let client_idle = idle.unwrap_or(conn.worker.shared.limits.idle);
    let mut last: Option<Instant> = None;
    let mut blocked: Option<Instant> = None;
    let mut ended = false;
    let mut owed: Option<Owed> = None;
    poll_fn(|cx| {
        let mut scratch = conn.worker.scratch.borrow_mut();
        if !upload.is_done() {
            upload.poll(cx, &mut scratch, client, dyno);
            if let Some(failure) = upload.error {
                return Poll::Ready(Err(failure));
            }
        }
        loop {
            let mut starved = false;
            if !ended && (blocked.is_none() || small) {
                let (count, end) = match dyno.poll_pull(cx, &mut scratch, client) {
                    Poll::Ready(Ok(Pulled::More(count))) => (count, false),
                    Poll::Ready(Ok(Pulled::End(count))) => (count, true),
                    Poll::Ready(Err(broken)) => {
                        // What did arrive is the client's.
                        let _ = client.poll_flush(cx);
                        return Poll::Ready(Err(match broken {
                            Broken::Gone => Failure::ServerInterrupted,
                            Broken::Malformed => Failure::BadResponse,
                        }));
                    }
                    Poll::Pending => {
                        starved = true;
                        (0, false)
                    }
                };
                ended = end;
                if let Some(flight) = flight.as_mut() {
                    flight.bytes += count;
                }
                if !starved && !ended {
                    last = Some(Instant::now());
                }
            }
            let waiting = client.waiting();
            match client.poll_flush(cx) {
                Poll::Ready(Ok(())) => blocked = None,
                Poll::Ready(Err(_)) => return Poll::Ready(Err(Failure::ClientInterrupted)),
                Poll::Pending if blocked.is_none() || client.waiting() < waiting => blocked = Some(Instant::now()),
                Poll::Pending => {}
            }
            if ended || starved || (blocked.is_some() && !small) {
                break;
            }
        }
        if let Some(since) = blocked.as_mut().filter(|_| !ended || !C::TAKES_AHEAD) {
            ready!(alarm.poll(cx, *since + client_idle));
            if !client.comes_nearer() {
                return Poll::Ready(Err(Failure::ClientIdle));
            }
            *since = Instant::now();
            return alarm.poll(cx, *since + client_idle).map(|()| Err(Failure::ClientIdle));
        }
        if ended {
            // A dyno that says its word early may still want all of the request.
            if !upload.is_owed() {
                return Poll::Ready(Ok(()));
            }
            let left = dyno.waiting();
            let owed = owed.get_or_insert_with(|| Owed::new(left));
            return alarm.poll(cx, owed.ends(left, &conn.worker.shared.limits)).map(Ok);
        }
        if upload.is_read() && client.poll_gone(cx, &mut scratch).is_ready() {
            return Poll::Ready(Err(Failure::ClientInterrupted));
        }
        let Some(idle) = idle else { return Poll::Pending };
        let moved = last.get_or_insert_with(Instant::now);
        let failure = if upload.turn == Turn::Client { Failure::ClientIdle } else { Failure::IdleConnection };
        alarm.poll(cx, upload.last.max(*moved) + idle).map(|()| Err(failure))
    })
    .await
}

/// What a dyno has still to take of a request whose response has ended. The client may be gone meanwhile: many
/// close when they have their answer.
struct Owed {
    since: Instant,
    left: usize,
    /// When it last took some.
    took: Instant,
}

impl Owed {
    fn new(left: usize) -> Owed {
        let now = Instant::now();
        Owed { since: now, left, took: now }
    }

    /// Until when it is waited, as long for the dyno as for a client that is heard out.
    fn ends(&mut self, left: usize, limits: &Limits) -> Instant {
        if left < self.left {
            self.left = left;
            self.took = Instant::now();
        }
        (self.since + limits.linger).min(self.took + limits.linger_idle)
    }
}

/// Whether the response is so small that it may be kept for the client, and there is room.
fn takes_ahead<C: Client>(conn: &Conn, client: &mut C, length: Length) -> bool {
    let Length::Exact(length) = length else { return false };
    let Some(length) = usize::try_from(length).ok().filter(|length| *length <= RESPONSE_BUFFER) else { return false };
    // What is no more than is read at once is kept anyway.
    if length <= SCRATCH {
        return true;
    }
    let room = Ahead::new(&conn.worker.shared.ahead, length, ALL_RESPONSES);
    let is_room = room.is_some();
    room.into_iter().for_each(|room| client.keep(room));
    is_room
}

/// Awaits `work`, or the client's going away.
pub(crate) async fn unless_gone<C: Client, T>(
    conn: &Conn,
    client: &mut C,
    work: impl Future<Output = T>,
) -> Result<T, Failure> {
    let mut work = std::pin::pin!(work);
    poll_fn(|cx| {
        if let Poll::Ready(done) = work.as_mut().poll(cx) {
            return Poll::Ready(Ok(done));
        }
        let mut scratch = conn.worker.scratch.borrow_mut();
        client.poll_gone(cx, &mut scratch).map(|()| Err(Failure::ClientInterrupted))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_owed_is_waited_for_while_it_is_taken() {
        let limits = Limits::default();
        let mut owed = Owed::new(10);
        let first = owed.ends(10, &limits);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(owed.ends(10, &limits), first);
        assert!(owed.ends(9, &limits) > first);
        owed.since -= limits.linger;
        assert_eq!(owed.ends(8, &limits), owed.since + limits.linger);
    }
}
