//! What is decided about an app's request before any dyno: whether it is on the right
//! connection, whether it goes to HTTPS instead, and whether there is room for it.

use crate::certificates::Fit;
use crate::failure::Failure;
use crate::guard;
use crate::https_policy::{applies_to, redirect};
use crate::load::OnApp;
use crate::pages::Page;
use crate::proxy::Conn;
use crate::table::App;
use crate::words::Words;

/// Why a request doesn't get to a dyno.
pub(crate) enum Refusal {
    Failure(Failure),
    Redirect(Box<Page>),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failure(failure)
    }
}

/// Lets a request in, and counts it for as long as the result lives. `upgrade`: it wants to
/// become a tunnel; `https`: it came so.
pub(crate) fn admit(
    conn: &Conn,
    app: &App,
    words: Option<&Words>,
    upgrade: bool,
    https: bool,
) -> Result<OnApp, Refusal> {
    let shared = &conn.worker.shared;
    let text =
        |part: fn(&Words) -> &[u8]| words.and_then(|words| std::str::from_utf8(part(words)).ok()).unwrap_or_default();
    let host = text(Words::host);
    if let Some(asked) = &conn.server_name {
        right_connection(conn, asked, host)?;
    }
    let rules = &app.route.rules;
    if rules.https_only
        && !https
        && applies_to(text(Words::path))
        && let Some(port) = shared.https_port.get(&app.route.name)
    {
        return Err(Refusal::Redirect(Box::new(redirect(
            text(Words::method).as_bytes(),
            host,
            text(Words::path),
            port,
        ))));
    }
    if app.route.maintenance {
        return Err(Failure::Maintenance.into());
    }
    if upgrade && app.load.tunnels() >= shared.limits.tunnels {
        return Err(Failure::ConnectionLimit.into());
    }
    let peer = &conn.admitted.peer;
    // Those who pass on the requests of many, and this machine.
    let free = peer.trusted || peer.address.is_loopback();
    let client = (!free).then(|| guard::client(peer.address));
    app.load.enter(app.most_requests(), client).ok_or(Failure::Backlog.into())
}

/// A connection was made to one name and its certificate checked for that one; a request for a
/// name that the certificate isn't for belongs on another connection (RFC 9110, 7.4).
fn right_connection(conn: &Conn, asked: &str, host: &str) -> Result<(), Failure> {
    match conn.worker.shared.routes.load().certificates.fit(asked, host) {
        Fit::Right => Ok(()),
        Fit::Another => Err(Failure::Misdirected),
        Fit::None => Err(Failure::CertificateMismatch),
    }
}
