//! A request's way: whose host it asks for, what the dyno gets to see, and what the client
//! gets back. Choosing and reaching the dyno is `dispatch`'s work.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use hyper::body::{Body, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Request, Response, StatusCode, Version};
use paas_domain::route::ControlRoute;

use crate::accept::Admitted;
use crate::access_log::{Flight, Seen};
use crate::body::{DownBody, Download, UpBody, Upload};
use crate::dispatch::{self, Answer};
use crate::failure::Failure;
use crate::headers::{self, Client, Marks};
use crate::pages;
use crate::table::{App, Destination};
use crate::upgrade;
use crate::worker::Worker;

/// A client's connection, as its requests see it.
pub(crate) struct Conn {
    pub(crate) worker: Rc<Worker>,
    pub(crate) client: Client,
    /// `tls1.3`, or nothing for plain HTTP.
    pub(crate) tls: Option<&'static str>,
    /// Set when the client takes nothing any more.
    pub(crate) stalled: Arc<AtomicBool>,
    /// Counts among its client's connections for as long as it is there.
    pub(crate) _admitted: Admitted,
}

/// Answers one request, whatever happens.
pub(crate) async fn handle(conn: Rc<Conn>, request: Request<Incoming>) -> Response<DownBody> {
    let (parts, body) = request.into_parts();
    if parts.method == Method::CONNECT {
        let refusal = "CONNECT is not done here: this is no forward proxy.\n";
        let mut response = pages::text(StatusCode::METHOD_NOT_ALLOWED, refusal);
        if parts.version != Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        return response;
    }
    let host = match headers::host(&parts) {
        Ok(host) => host,
        Err(status) => return pages::text(status, "The request needs one Host header with the name of a host.\n"),
    };
    let destination = {
        let table = conn.worker.shared.routes.load();
        match table.find(host.to_str().unwrap_or_default()) {
            Some(destination) => destination,
            None if table.known => return pages::no_such_app(),
            None => return pages::no_table(),
        }
    };
    match destination {
        Destination::App(app) => to_app(&conn, app, host, parts, body).await,
        Destination::Control(route) => to_control(&conn, &route, host, parts, body).await,
    }
}

async fn to_app(
    conn: &Rc<Conn>,
    app: Arc<App>,
    host: HeaderValue,
    mut parts: Parts,
    body: Incoming,
) -> Response<DownBody> {
    let started = Instant::now();
    let checked = headers::check(&parts);
    let (method, uri, version) = (parts.method.clone(), parts.uri.clone(), parts.version);
    let client_upgrade = parts.extensions.remove::<OnUpgrade>();
    let Marks { request_id, forwarded_for, upgrade } = headers::request(&mut parts, &host, &conn.client);
    let seen = Seen { app: app.route.id, method, uri, host, request_id, forwarded_for, version, tls: conn.tls };
    let mut flight = Flight::new(seen, conn.worker.log.clone());
    if let Err(failure) = checked {
        return failed(&mut flight, failure, &app);
    }
    if app.route.maintenance {
        return failed(&mut flight, Failure::Maintenance, &app);
    }
    let (request, upload) = outgoing(parts, body);
    match dispatch::to_app(&conn.worker, Arc::clone(&app), request, &upload, started, &mut flight).await {
        Ok(answer) => {
            let client_upgrade = client_upgrade.filter(|_| upgrade.is_some());
            deliver(conn, &app, answer, upload, client_upgrade, flight)
                .unwrap_or_else(|(mut flight, failure)| failed(&mut flight, failure, &app))
        }
        Err(failure) => failed(&mut flight, failure, &app),
    }
}

fn failed(flight: &mut Flight, failure: Failure, app: &App) -> Response<DownBody> {
    flight.fail(failure);
    pages::failed(failure, Some(&app.route))
}

fn outgoing(mut parts: Parts, body: Incoming) -> (Request<UpBody>, Rc<Upload>) {
    parts.extensions = hyper::http::Extensions::new();
    let has_body = !body.is_end_stream();
    if has_body && !parts.headers.contains_key(header::CONTENT_LENGTH) {
        // Without it hyper leaves out the body of a GET, and of other methods that seldom have one.
        parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    let upload = Upload::new(has_body);
    let body = if has_body { UpBody::Stream(body, Rc::clone(&upload)) } else { UpBody::Empty };
    (Request::from_parts(parts, body), upload)
}

/// Hands the dyno's response to the client, or joins the two when both change protocols.
#[allow(clippy::result_large_err, reason = "the record goes back to its owner, who writes the failure into it")]
fn deliver(
    conn: &Rc<Conn>,
    app: &App,
    answer: Answer,
    upload: Rc<Upload>,
    client_upgrade: Option<OnUpgrade>,
    flight: Flight,
) -> Result<Response<DownBody>, (Flight, Failure)> {
    let Answer { mut response, lease } = answer;
    let dyno_upgrade =
        (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
    let (mut parts, body) = response.into_parts();
    if let Err(failure) = headers::response(&mut parts) {
        return Err((flight, failure));
    }
    let limits = &app.limits;
    match (dyno_upgrade, client_upgrade) {
        (None, _) => {
            let status = parts.status;
            let stalled = Arc::clone(&conn.stalled);
            let body = Download::start(body, status, Some(flight), lease, upload, stalled, Some(limits.idle));
            Ok(Response::from_parts(parts, body))
        }
        (Some(dyno), Some(client)) => {
            upgrade::join(conn, client, dyno, Some(flight), Some(limits.idle));
            Ok(Response::from_parts(parts, DownBody::Full(None)))
        }
        // It changes a protocol that nobody asked to change.
        (Some(_), None) => Err((flight, Failure::BadResponse)),
    }
}

/// The daemon's own API and git: no time limits, no access line, any size.
async fn to_control(
    conn: &Rc<Conn>,
    route: &ControlRoute,
    host: HeaderValue,
    mut parts: Parts,
    body: Incoming,
) -> Response<DownBody> {
    let client_upgrade = parts.extensions.remove::<OnUpgrade>();
    headers::request(&mut parts, &host, &conn.client);
    let (request, upload) = outgoing(parts, body);
    let addr: SocketAddr = route.addr;
    let Ok(Answer { mut response, lease }) = dispatch::to_control(&conn.worker, addr, request).await else {
        return pages::control_away();
    };
    let daemon_upgrade =
        (response.status() == StatusCode::SWITCHING_PROTOCOLS).then(|| hyper::upgrade::on(&mut response));
    let (mut parts, body) = response.into_parts();
    if headers::response(&mut parts).is_err() {
        return pages::control_away();
    }
    match (daemon_upgrade, client_upgrade) {
        (Some(daemon), Some(client)) => {
            upgrade::join(conn, client, daemon, None, None);
            Response::from_parts(parts, DownBody::Full(None))
        }
        (Some(_), None) => pages::control_away(),
        (None, _) => {
            let status = parts.status;
            let body = Download::start(body, status, None, lease, upload, Arc::clone(&conn.stalled), None);
            Response::from_parts(parts, body)
        }
    }
}
