//! Which dyno gets a request, and how it is reached: Heroku's queue, attempts, quarantine
//! and time limits.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use tokio::time::Instant as TimerInstant;
use uuid::Uuid;

use crate::access_log::Flight;
use crate::body::{Turn, UpBody, Upload, io_kind};
use crate::choose::{choose, current, wait_for_dyno};
use crate::failure::Failure;
use crate::hold;
use crate::settings::{AppLimits, Limits};
use crate::table::{App, OnDyno};
use crate::upstream::{Key, Lease, connect};
use crate::worker::Worker;

/// The head of a response, with the connection that brings its body.
pub(crate) struct Answer {
    pub(crate) response: Response<Incoming>,
    pub(crate) lease: Lease,
}

/// Finds a dyno of `app` that answers `request`, waiting for one to come up if need be.
pub(crate) async fn to_app(
    worker: &Rc<Worker>,
    mut app: Arc<App>,
    mut request: Request<UpBody>,
    upload: &Rc<Upload>,
    started: Instant,
    flight: &mut Flight,
) -> Result<Answer, Failure> {
    let shared = &worker.shared;
    let limits = &shared.limits;
    let mut tried: Vec<Uuid> = Vec::new();
    let mut last_failure = None;
    let mut connecting = Duration::ZERO;
    let mut repeated = false;
    let mut held = false;
    loop {
        let Some(upstream) = choose(&app, &tried, shared.started) else {
            if let Some(failure) = last_failure.filter(|_| !app.backends.is_empty()) {
                if failure != Failure::ConnectRefused || held {
                    return Err(failure);
                }
                held = true;
                app = hold::after_refusal(worker, &app, &tried, started).await.ok_or(failure)?;
                continue;
            }
            flight.dyno = None;
            app = wait_for_dyno(worker, app, started).await?;
            continue;
        };
        // From here on the dyno is busy with this request, whatever comes of it: the daemon stops a
        // dyno that left the table when nothing is on it.
        flight.dyno = Some(OnDyno::new(Arc::clone(&upstream)));
        let key: Key = (upstream.backend.id, upstream.backend.addr);
        let unused = if repeated { None } else { worker.pool.take(key, request.method(), limits.upstream_fresh).await };
        let (mut sender, reused) = match unused {
            Some(sender) => (sender, true),
            None => {
                let from = Instant::now();
                let left = app.limits.queue.saturating_sub(started.elapsed());
                let connecting_now = connect(key.1, app.limits.connect.min(left));
                let connected = hold::unless_it_leaves(worker, &upstream, connecting_now).await;
                connecting += from.elapsed();
                match connected {
                    Ok(sender) => (sender, false),
                    Err(failure) => {
                        upstream.quarantine(shared.started, limits.quarantine);
                        tried.push(upstream.backend.id);
                        last_failure = Some(failure);
                        flight.connect = Some(connecting);
                        if tried.len() >= limits.attempts || started.elapsed() >= app.limits.queue {
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
        let (head, body) = request.into_parts();
        let copy = (reused && matches!(body, UpBody::Empty) && head.method.is_safe()).then(|| copy(&head));
        request = match send(&mut sender, Request::from_parts(head, body), upload, &app.limits).await {
            Ok(response) => {
                let routes = Arc::clone(&shared.routes);
                let still_wanted = Box::new(move || routes.load().has(&upstream));
                let lease = Lease { pool: Rc::clone(&worker.pool), key, sender, still_wanted };
                return Ok(Answer { response, lease });
            }
            // The dyno had closed an unused connection: nothing was sent, so nothing is done twice.
            Err(Unsent::Untouched(request)) if reused => *request,
            Err(Unsent::Untouched(_)) => return Err(Failure::ClosedWithoutResponse),
            // It closed it while the request was on its way. Asking again does no harm where
            // asking is all that the request does. But only once, and not what was worked on: that
            // may be what the dyno dies of.
            Err(Unsent::Lost(failure)) => match copy {
                Some(head) if failure == Failure::ClosedWithoutResponse && sent.elapsed() < limits.repeat => {
                    repeated = true;
                    Request::from_parts(head, UpBody::Empty)
                }
                Some(_) | None => return Err(failure),
            },
        };
        flight.service = None;
        app = current(worker, app);
    }
}

fn copy(head: &Parts) -> Parts {
    let (mut copy, ()) = Request::new(()).into_parts();
    copy.method = head.method.clone();
    copy.uri = head.uri.clone();
    copy.version = head.version;
    copy.headers = head.headers.clone();
    copy
}

/// A request without a response.
enum Unsent {
    /// Not a byte of it was sent.
    Untouched(Box<Request<UpBody>>),
    /// It was sent, or part of it.
    Lost(Failure),
}

async fn send(
    sender: &mut SendRequest<UpBody>,
    request: Request<UpBody>,
    upload: &Rc<Upload>,
    limits: &AppLimits,
) -> Result<Response<Incoming>, Unsent> {
    let response = sender.try_send_request(request);
    tokio::pin!(response);
    let sleep = tokio::time::sleep_until(deadline(upload, limits).0);
    tokio::pin!(sleep);
    loop {
        tokio::select! {
            biased;
            result = &mut response => return match (result, upload.error()) {
                // Whatever the dyno makes of a request that was cut off.
                (Ok(_), Some(failure)) => Err(Unsent::Lost(failure)),
                (Ok(response), None) => Ok(response),
                (Err(mut error), _) => Err(match error.take_message() {
                    Some(request) => Unsent::Untouched(Box::new(request)),
                    None => Unsent::Lost(lost(error.error(), upload)),
                }),
            },
            () = &mut sleep => {
                let (at, failure) = deadline(upload, limits);
                if at <= TimerInstant::now() {
                    return Err(Unsent::Lost(failure));
                }
                sleep.as_mut().reset(at);
            }
        }
    }
}

/// When a response is late, and whose fault that would be.
fn deadline(upload: &Upload, limits: &AppLimits) -> (TimerInstant, Failure) {
    let (turn, since) = upload.turn();
    match turn {
        Turn::Client => (since + limits.idle, Failure::ClientIdle),
        Turn::Dyno | Turn::Nobody => (since + limits.first_byte, Failure::RequestTimeout),
    }
}

/// What it means that a connection broke before there was a response.
fn lost(error: &hyper::Error, upload: &Upload) -> Failure {
    if let Some(failure) = upload.error() {
        failure
    } else if error.is_parse_too_large() {
        Failure::Restriction("oversized header")
    } else if error.is_parse() {
        Failure::BadResponse
    } else if error.is_incomplete_message() || error.is_canceled() || error.is_closed() || io_kind(error).is_some() {
        if upload.is_done() { Failure::ClosedWithoutResponse } else { Failure::ServerInterrupted }
    } else {
        tracing::error!("A request failed in a way that has no name: {error:?}");
        Failure::Platform
    }
}

/// Reaches the daemon, for a while also one that is only being restarted.
pub(crate) async fn to_control(
    worker: &Rc<Worker>,
    addr: SocketAddr,
    mut request: Request<UpBody>,
) -> Result<Answer, Failure> {
    let limits = &worker.shared.limits;
    let started = Instant::now();
    let key: Key = (Uuid::nil(), addr);
    loop {
        let (mut sender, reused) = match worker.pool.take(key, request.method(), limits.upstream_fresh).await {
            Some(sender) => (sender, true),
            None => (connect_to_control(addr, started, limits).await?, false),
        };
        match sender.try_send_request(request).await {
            Ok(response) => {
                let lease = Lease { pool: Rc::clone(&worker.pool), key, sender, still_wanted: Box::new(|| true) };
                return Ok(Answer { response, lease });
            }
            Err(mut error) => match error.take_message() {
                Some(again) if reused => request = again,
                Some(_) | None => return Err(Failure::Platform),
            },
        }
    }
}

async fn connect_to_control(
    addr: SocketAddr,
    started: Instant,
    limits: &Limits,
) -> Result<SendRequest<UpBody>, Failure> {
    let mut pause = Duration::from_millis(20);
    loop {
        match connect(addr, limits.connect).await {
            Ok(sender) => return Ok(sender),
            Err(failure) if started.elapsed() + pause >= limits.control_connect => return Err(failure),
            Err(_) => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(Duration::from_millis(250));
    }
}
