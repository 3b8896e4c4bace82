//! Which dyno gets a request, and how it is reached: Heroku's queue, attempts, quarantine
//! and time limits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use uuid::Uuid;

use crate::access_log::Flight;
use crate::affinity;
use crate::alarm::Alarm;
use crate::choose::{Choice, choose, current, wait_for_dyno};
use crate::exchange::{self, Unanswered, Upload, unless_gone};
use crate::failure::Failure;
use crate::flow::{Client, Dyno as _};
use crate::headers::Request;
use crate::hold;
use crate::http1::Http1;
use crate::proxy::Conn;
use crate::responses::Reply;
use crate::settings::{AppLimits, Limits};
use crate::table::{App, OnDyno, Upstream};
use crate::upstream::{Key, Reach};

/// Unused connections that turn out to be closed before a new one is made.
const MOST_STALE: u32 = 8;

/// The head of a response, with the connection that brings its body.
pub(crate) struct Answer<D> {
    pub(crate) reply: Reply,
    pub(crate) dyno: D,
    pub(crate) upload: Upload,
    key: Key,
    /// Nothing for the daemon.
    upstream: Option<Arc<Upstream>>,
}

impl<D: Reach> Answer<D> {
    /// The response has ended: the connection is kept for others, if it may be.
    pub(crate) fn finish(self, conn: &Conn) {
        let wanted = self.upstream.is_none_or(|upstream| conn.worker.shared.routes.load().has(&upstream));
        if wanted && self.reply.keep_alive && self.upload.is_done() {
            self.dyno.give_back(&conn.worker, self.key);
        }
    }
}

/// Finds a dyno of `app` that answers `request`, waiting for one to come up if need be.
pub(crate) async fn to_app<C: Client, D: Reach>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    mut app: Arc<App>,
    request: &mut Request,
    started: Instant,
    flight: &mut Flight,
) -> Result<Answer<D>, Failure> {
    let worker = &conn.worker;
    let shared = &worker.shared;
    let limits = &shared.limits;
    let mut tried: Vec<Uuid> = Vec::new();
    let mut last_failure = None;
    // Whether a dyno was tried that was not in quarantine.
    let mut any_good = false;
    let mut connecting = Duration::ZERO;
    let mut repeated = false;
    let mut held = false;
    let mut stale = 0;
    let mut upload = Upload::new(request);
    loop {
        let wanted = affinity::wanted(&app, &request.sticky);
        let Some(Choice { upstream, last_try }) = choose(&app, &tried, wanted, shared.started) else {
            if let Some(failure) = last_failure.filter(|_| !app.backends.is_empty()) {
                if !matches!(failure, Failure::ConnectRefused | Failure::Quarantined) || held {
                    return Err(failure);
                }
                held = true;
                let waiting = Box::pin(hold::after_refusal(worker, &app, &tried, started));
                app = unless_gone(conn, client, waiting).await?.ok_or(failure)?;
                continue;
            }
            flight.dyno = None;
            app = unless_gone(conn, client, Box::pin(wait_for_dyno(worker, app, started))).await??;
            continue;
        };
        any_good |= !last_try;
        // From here on the dyno is busy with this request, whatever comes of it: the daemon stops a
        // dyno that left the table when nothing is on it.
        flight.dyno = Some(OnDyno::new(Arc::clone(&upstream)));
        let key: Key = (upstream.backend.id, upstream.backend.addr);
        let unused = if repeated || stale >= MOST_STALE { None } else { D::unused(worker, key, request) };
        let reused = unused.is_some();
        let mut dyno = match unused {
            Some(dyno) => dyno,
            None => {
                let from = Instant::now();
                let left = app.limits.queue.saturating_sub(started.elapsed());
                let connect = D::connect(worker, key, app.limits.connect.min(left));
                let connect = Box::pin(hold::unless_it_leaves(worker, &upstream, connect));
                let connected = unless_gone(conn, client, connect).await?;
                connecting += from.elapsed();
                match connected {
                    Ok(dyno) => dyno,
                    Err(failure) => {
                        let failure = not_connected(failure, any_good);
                        // What is this machine's fault is no reason to leave the dyno alone.
                        if failure != Failure::Platform {
                            upstream.quarantine(shared.started, limits.quarantine);
                        }
                        tried.push(upstream.backend.id);
                        last_failure = Some(failure);
                        flight.connect = Some(connecting);
                        // One that hangs is no reason to wait for the others that did.
                        let hangs = last_try && from.elapsed() >= app.limits.connect;
                        if hangs || tried.len() >= limits.attempts || started.elapsed() >= app.limits.queue {
                            return Err(failure);
                        }
                        app = current(worker, app);
                        continue;
                    }
                }
            }
        };
        flight.connect = Some(connecting);
        let sent = Instant::now();
        flight.service = Some(sent);
        // What is repeated has had a part of its time.
        if !repeated {
            upload.restart();
        }
        if !dyno.ask(request) {
            return Err(Failure::BadHeader);
        }
        let asked = exchange::ask(conn, client, alarm, &mut dyno, request, &mut upload, &app.limits).await;
        let Unanswered { failure, closed } = match asked {
            Ok(reply) => return Ok(Answer { reply, dyno, upload, key, upstream: Some(upstream) }),
            Err(unanswered) => unanswered,
        };
        let untouched = closed && !dyno.has_sent();
        if untouched && !reused {
            return Err(Failure::ClosedWithoutResponse);
        }
        // The dyno had closed an unused connection: nothing was sent, so nothing is done twice. Or it
        // closed it while the request was on its way: asking again does no harm where asking is all that
        // the request does. But only once, and not what was worked on: that may be what the dyno dies of.
        let harmless = closed && reused && request.is_safe && !request.length.has_body() && !repeated;
        let again = untouched || (harmless && sent.elapsed() < limits.repeat);
        if !again || !dyno.take_back(request) {
            return Err(failure);
        }
        repeated |= !untouched;
        stale += u32::from(untouched);
        upload.again();
        flight.service = None;
        app = current(worker, app);
    }
}

/// What it means that no dyno could be connected to.
fn not_connected(failure: Failure, any_good: bool) -> Failure {
    let dynos_fault = matches!(failure, Failure::ConnectTimeout | Failure::ConnectRefused);
    if dynos_fault && !any_good { Failure::Quarantined } else { failure }
}

/// Requests to the daemon that one client may have going on.
pub(crate) const MOST_TO_CONTROL: u32 = 200;

/// A client that is silent amid its request to the daemon: git packs what it sends in between.
const CONTROL_IDLE: Duration = Duration::from_secs(600);

/// The daemon takes its time: a build goes on while its push waits.
const CONTROL_ANSWER: Duration = Duration::from_secs(24 * 3600);

/// Reaches the daemon, for a while also one that is only being restarted.
pub(crate) async fn to_control<C: Client>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    addr: SocketAddr,
    request: &mut Request,
) -> Result<Answer<Http1<TcpStream>>, Failure> {
    let limits = &conn.worker.shared.limits;
    let started = Instant::now();
    let key: Key = (Uuid::nil(), addr);
    let patience = AppLimits {
        connect: limits.connect,
        queue: limits.control_connect,
        first_byte: CONTROL_ANSWER,
        idle: CONTROL_IDLE,
        concurrency: MOST_TO_CONTROL,
    };
    let mut upload = Upload::new(request);
    loop {
        let unused = Http1::unused(&conn.worker, key, request);
        let reused = unused.is_some();
        let mut dyno = match unused {
            Some(dyno) => dyno,
            None => {
                let connect = Box::pin(connect_to_control(conn, key, started, limits));
                unless_gone(conn, client, connect).await??
            }
        };
        if !dyno.ask(request) {
            return Err(Failure::BadHeader);
        }
        match exchange::ask(conn, client, alarm, &mut dyno, request, &mut upload, &patience).await {
            Ok(reply) => return Ok(Answer { reply, dyno, upload, key, upstream: None }),
            Err(unanswered) => {
                let again = unanswered.closed && reused && (request.is_safe || !dyno.has_sent());
                if !again || !dyno.take_back(request) {
                    return Err(unanswered.failure);
                }
                upload.again();
            }
        }
    }
}

async fn connect_to_control(
    conn: &Conn,
    key: Key,
    started: Instant,
    limits: &Limits,
) -> Result<Http1<TcpStream>, Failure> {
    let mut pause = Duration::from_millis(20);
    loop {
        match Http1::connect(&conn.worker, key, limits.connect).await {
            Ok(dyno) => return Ok(dyno),
            Err(failure) if started.elapsed() + pause >= limits.control_connect => return Err(failure),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
