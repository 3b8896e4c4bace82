//! A request's way: whose host it asks for, what it gets before a dyno is asked, and what
//! becomes of the dyno's response. Choosing and reaching the dyno is `dispatch`'s work.

use std::rc::Rc;
use std::sync::Arc;

use hyper::header::STRICT_TRANSPORT_SECURITY;
use hyper::{StatusCode, Version};
use paas_domain::route::ControlRoute;
use tokio::net::TcpStream;

use crate::accept::Admitted;
use crate::access_log::Flight;
use crate::admission::{self, Refusal};
use crate::affinity;
use crate::alarm::Alarm;
use crate::dispatch::{self, Answer};
use crate::exchange::{self, Way};
use crate::failure::Failure;
use crate::flow::Client as ClientSide;
use crate::headers::{self, Line, Request};
use crate::http1::{Http1, head};
use crate::http2::dyno::Http2Dyno;
use crate::https_policy;
use crate::load::OnApp;
use crate::pages::{self, Ask, Page};
use crate::responses::Reply;
use crate::stats::count;
use crate::table::{App, Destination};
use crate::upgrade;
use crate::upstream::Reach;
use crate::worker::Worker;

/// A client's connection, as its requests see it.
pub(crate) struct Conn {
    pub(crate) worker: Rc<Worker>,
    pub(crate) admitted: Admitted,
    /// `tls1.3`, or nothing for plain HTTP.
    pub(crate) tls: Option<&'static str>,
    /// The name that the client gave when it began TLS (SNI).
    pub(crate) server_name: Option<Box<str>>,
}

/// A request whose head was read.
pub(crate) enum Received {
    /// It gets this answer. The request is there if it was one.
    Refused(Page, Option<Box<Request>>),
    /// It is for somebody.
    Accepted(Box<Request>, Destination),
}

/// Takes the head of a request of HTTP/1.
pub(crate) fn receive(conn: &Conn, bytes: &[u8]) -> Received {
    let mut slots = head::slots();
    let Ok(head) = head::request(bytes, &mut slots) else { return Received::Refused(pages::bad_request(), None) };
    if head.method == "CONNECT" {
        return Received::Refused(no_forward_proxy(), None);
    }
    let asterisk = head.target == "*" && head.method == "OPTIONS";
    let is_target = head.target.starts_with('/') || asterisk || head.target.contains("://");
    if !is_target || head.target.contains('#') {
        return Received::Refused(pages::bad_request(), None);
    }
    let headers = head.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    let hosts = headers.clone().filter(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, value)| value);
    let Some((host, target)) = headers::host_and_target(head.target, head.old, hosts) else {
        return Received::Refused(no_host(), None);
    };
    let version = if head.old { Version::HTTP_10 } else { Version::HTTP_11 };
    let line = Line { method: head.method, target, host, version };
    let request = headers::request(&line, headers, true, &conn.admitted.peer);
    route(conn, Box::new(request), host)
}

/// Finds out whom a request is for.
pub(crate) fn route(conn: &Conn, request: Box<Request>, host: &str) -> Received {
    let table = conn.worker.shared.routes.load();
    if let Some(answer) = table.challenges.answer(&request.head, host) {
        return Received::Refused(pages::challenge(answer), Some(request));
    }
    match table.find(host) {
        Some(destination) => Received::Accepted(request, destination),
        None if table.known => {
            count(&conn.worker.shared.totals.unknown_hosts);
            Received::Refused(pages::no_such_app(request.json), Some(request))
        }
        None => Received::Refused(pages::no_table(request.json), Some(request)),
    }
}

pub(crate) fn no_forward_proxy() -> Page {
    pages::text(StatusCode::METHOD_NOT_ALLOWED, "CONNECT is not done here: this is no forward proxy.\n")
}

pub(crate) fn no_host() -> Page {
    pages::text(StatusCode::BAD_REQUEST, "The request needs one Host header with the name of a host.\n")
}

/// Answers one request, whatever happens.
pub(crate) async fn handle<C: ClientSide>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    request: &mut Request,
    destination: Destination,
) {
    match destination {
        Destination::App(app) => {
            let seen = request.seen(app.route.id, conn.tls);
            let flight = Flight::new(seen, conn.worker.log.clone(), Arc::clone(&app.stats));
            if app.route.rules.http2 {
                request.upgrades = false;
                to_app::<C, Http2Dyno>(conn, client, alarm, request, app, flight).await;
            } else {
                to_app::<C, Http1<TcpStream>>(conn, client, alarm, request, app, flight).await;
            }
        }
        Destination::Control(route) => to_control(conn, client, alarm, request, &route).await,
    }
}

/// What a request gets before a dyno is chosen for it.
fn before(conn: &Conn, app: &App, request: &mut Request, flight: &Flight) -> Result<OnApp, Refusal> {
    if let Some(failure) = request.refused {
        return Err(failure.into());
    }
    if app.route.rules.affinity {
        request.sticky = affinity::cookies(&request.head);
    }
    admission::admit(conn, app, flight.words(), request.upgrades, request.https)
}

/// What is added to a response before the client gets its head.
fn finish_head(app: &App, request: &Request, flight: &Flight, reply: &mut Reply) {
    let https = request.https;
    if let Some(on) = &flight.dyno {
        affinity::set_cookie(app, &on.0, &request.sticky, https, &mut reply.head);
    }
    if let Some(hsts) = app.hsts.as_ref().filter(|_| https) {
        https_policy::remember(hsts, &mut reply.head);
    }
}

async fn to_app<C: ClientSide, D: Reach>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    request: &mut Request,
    app: Arc<App>,
    mut flight: Flight,
) {
    let started = flight.started;
    let answered = match before(conn, &app, request, &flight) {
        Ok(on_app) => {
            flight.app = Some(on_app);
            dispatch::to_app::<C, D>(conn, client, alarm, Arc::clone(&app), request, started, &mut flight).await
        }
        Err(Refusal::Failure(failure)) => Err(failure),
        Err(Refusal::Redirect(page)) => {
            flight.done(page.status());
            drop(flight);
            return client.answer(&page, Some(request), keeps(conn, request));
        }
    };
    let failure = match answered {
        Ok(mut answer) => {
            if answer.reply.status != 101 || request.upgrades {
                finish_head(&app, request, &flight, &mut answer.reply);
                return deliver(conn, client, alarm, request, answer, Some(flight), Some(app.limits.idle)).await;
            }
            // It changes a protocol that nobody asked to change.
            Failure::BadResponse
        }
        Err(failure) => failure,
    };
    let ask = Ask::new(request.json, flight.words());
    flight.fail(failure);
    drop(flight);
    if failure == Failure::ClientInterrupted {
        return client.abort(failure);
    }
    let mut page = pages::failed(failure, Some(&app.route), &ask);
    if let Some(hsts) = app.hsts.as_ref().filter(|_| request.https && page.status() != StatusCode::MISDIRECTED_REQUEST)
    {
        page.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    client.answer(&page, Some(request), keeps(conn, request));
}

/// Whether the client's connection may have another request after an answer of ours.
fn keeps(conn: &Conn, request: &Request) -> bool {
    !request.length.has_body() && request.refused.is_none() && !conn.worker.stopping.is_set()
}

/// Hands the response to the client, or joins the two when both change protocols.
async fn deliver<C: ClientSide, D: Reach>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    request: &Request,
    mut answer: Answer<D>,
    mut flight: Option<Flight>,
    idle: Option<std::time::Duration>,
) {
    let (status, length) = (answer.reply.status, answer.reply.length);
    let head = std::mem::take(&mut answer.reply.head);
    let reply = Reply { head, ..answer.reply };
    // Who is answered before it has said all is heard out, and then it is over: it has to know that.
    let keep_alive = !conn.worker.stopping.is_set() && answer.upload.is_done();
    client.begin(reply, request, keep_alive);
    let ended = if status == 101 {
        let joined = Box::pin(upgrade::join(conn, client, &mut answer.dyno, alarm, idle, &mut flight)).await;
        answer.reply.keep_alive = false;
        joined
    } else {
        let Answer { dyno, upload, .. } = &mut answer;
        exchange::relay(conn, client, alarm, Way { dyno, upload, length, idle }, &mut flight).await
    };
    match ended {
        Ok(()) => {
            if let Some(flight) = &mut flight {
                flight.done(StatusCode::from_u16(status).unwrap_or(StatusCode::OK));
            }
            answer.finish(conn);
            if status == 101 {
                client.abort(Failure::ClientInterrupted);
            }
        }
        Err(failure) => {
            if let Some(flight) = &mut flight {
                flight.fail(failure);
            }
            client.abort(failure);
        }
    }
}

/// The daemon's own API and git: no time limits, no access line, any size.
async fn to_control<C: ClientSide>(
    conn: &Conn,
    client: &mut C,
    alarm: &mut Alarm,
    request: &mut Request,
    route: &ControlRoute,
) {
    let refused = request.refused;
    // Proxies and this machine ask for many.
    let peer = &conn.admitted.peer;
    let free = peer.trusted || peer.address.is_loopback();
    let share = conn.worker.shared.to_control.share_if_there_is(peer.address);
    if share.is_none() && !free {
        return client.answer(&pages::too_many(), Some(request), false);
    }
    let answered = match refused {
        None => dispatch::to_control(conn, client, alarm, route.addr, request).await,
        Some(failure) => Err(failure),
    };
    let failure = match answered {
        Ok(answer) if answer.reply.status != 101 || request.upgrades => {
            return deliver(conn, client, alarm, request, answer, None, None).await;
        }
        Ok(_) => Failure::BadResponse,
        Err(failure) => failure,
    };
    if failure == Failure::ClientInterrupted {
        return client.abort(failure);
    }
    let keep = !request.length.has_body() && refused.is_none();
    let clients_fault = refused.is_some() || [Failure::BadChunk, Failure::StreamBroken].contains(&failure);
    let ask = Ask::new(request.json, Some(&request.words));
    let page = if clients_fault { pages::failed(failure, None, &ask) } else { pages::control_away() };
    client.answer(&page, Some(request), keep);
}
