//! What changes in the headers of a request and of its response on the way through.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, StatusCode, Uri, Version};

use crate::failure::Failure;
use crate::peer::Peer;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_REQUEST_START: HeaderName = HeaderName::from_static("x-request-start");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

const LONGEST_LINE: usize = 8192;
const LONGEST_NAME: usize = 1000;
const LONGEST_METHOD: usize = 127;

/// The front half of a request: what the router found out about the client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) address: HeaderValue,
    pub(crate) peer: Peer,
}

/// What was put into the request and what the log wants to know of it.
#[derive(Debug)]
pub(crate) struct Marks {
    pub(crate) request_id: HeaderValue,
    pub(crate) forwarded_for: HeaderValue,
    /// The protocol that the client wants to change to.
    pub(crate) upgrade: Option<HeaderValue>,
}

/// The host that a request asks for; from the target where it is there (HTTP/2, or a client
/// that thinks it talks to a proxy), else from `Host`. The error is a status to refuse with.
pub(crate) fn host(parts: &Parts) -> Result<HeaderValue, StatusCode> {
    let mut given = parts.headers.get_all(header::HOST).iter();
    let (first, second) = (given.next(), given.next());
    if second.is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    let host = match (parts.uri.authority(), first) {
        // Only CONNECT asks for a host and nothing at it.
        (Some(_), _) if parts.uri.scheme().is_none() => return Err(StatusCode::BAD_REQUEST),
        (Some(authority), _) => {
            // No user name, no password.
            let host = authority.as_str().rsplit('@').next().unwrap_or_default();
            HeaderValue::from_str(host).map_err(|_| StatusCode::BAD_REQUEST)?
        }
        (None, Some(host)) => host.clone(),
        // HTTP/1.0 didn't know Host; no app can be found without it.
        (None, None) if parts.version == Version::HTTP_10 => HeaderValue::from_static(""),
        (None, None) => return Err(StatusCode::BAD_REQUEST),
    };
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    if host.as_bytes().iter().all(fine) { Ok(host) } else { Err(StatusCode::BAD_REQUEST) }
}

/// Heroku's limits on a request's head, beyond those that hyper keeps.
pub(crate) fn check(parts: &Parts) -> Result<(), Failure> {
    let target = parts.uri.path_and_query().map_or(0, |target| target.as_str().len());
    if parts.method.as_str().len() > LONGEST_METHOD || target > LONGEST_LINE {
        return Err(Failure::BadHeader);
    }
    for (name, value) in &parts.headers {
        if name.as_str().len() > LONGEST_NAME || name.as_str().len() + value.len() + 2 > LONGEST_LINE {
            return Err(Failure::BadHeader);
        }
    }
    let mut lengths = parts.headers.get_all(header::CONTENT_LENGTH).iter();
    if lengths.next().is_some_and(|first| lengths.any(|other| other != first)) {
        return Err(Failure::BadHeader);
    }
    // hyper answers 100 when the dyno begins to read.
    let known = |expect: &HeaderValue| expect.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if parts.headers.get_all(header::EXPECT).iter().all(known) { Ok(()) } else { Err(Failure::BadExpect) }
}

/// Makes the client's request the one that the dyno gets.
pub(crate) fn request(parts: &mut Parts, host: &HeaderValue, client: &Client) -> Marks {
    let upgrade = wanted_upgrade(parts);
    let wants_trailers = list(&parts.headers, &header::TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    strip(&mut parts.headers);
    let headers = &mut parts.headers;
    headers.remove(header::EXPECT);
    if let Some(protocol) = &upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    if wants_trailers {
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.insert(header::HOST, host.clone());
    // One line of it, where HTTP/2 brought several.
    if let Some(length) = headers.get(header::CONTENT_LENGTH).cloned() {
        headers.insert(header::CONTENT_LENGTH, length);
    }
    drop_doubles(headers);
    if parts.version == Version::HTTP_2 {
        join_cookies(headers);
    }
    let forwarded_for = match join(headers, &X_FORWARDED_FOR) {
        Some(before) => {
            let mut all = before;
            all.extend_from_slice(b", ");
            all.extend_from_slice(client.address.as_bytes());
            HeaderValue::from_bytes(&all).unwrap_or_else(|_| client.address.clone())
        }
        None => client.address.clone(),
    };
    headers.insert(X_FORWARDED_FOR, forwarded_for.clone());
    let last = |name| headers.get_all(name).iter().next_back().map(HeaderValue::as_bytes);
    let outward = client.peer.outward(last(X_FORWARDED_PROTO), last(X_FORWARDED_PORT));
    let started = client.peer.request_start(last(X_REQUEST_START)).and_then(|told| HeaderValue::from_bytes(told).ok());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(if outward.https { "https" } else { "http" }));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(outward.port));
    let request_id = match headers.get(X_REQUEST_ID) {
        Some(id) if valid_request_id(id.as_bytes()) => id.clone(),
        Some(_) | None => new_request_id(),
    };
    // In the place of all that there were.
    headers.insert(X_REQUEST_ID, request_id.clone());
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    if let Some(start) = started.or_else(|| HeaderValue::from_str(&now().to_string()).ok()) {
        headers.insert(X_REQUEST_START, start);
    }
    headers.append(header::VIA, via(parts.version));
    parts.version = Version::HTTP_11;
    parts.uri = origin_form(&parts.uri);
    Marks { request_id, forwarded_for, upgrade }
}

/// Makes the dyno's response the one that the client gets. The error is a limit that it
/// breaks.
pub(crate) fn response(parts: &mut hyper::http::response::Parts) -> Result<(), Failure> {
    for cookie in parts.headers.get_all(header::SET_COOKIE) {
        if cookie.len() > LONGEST_LINE {
            return Err(Failure::Restriction("oversized cookie"));
        }
    }
    let upgrade = parts.headers.get(header::UPGRADE).cloned();
    let version = parts.version;
    strip(&mut parts.headers);
    if parts.status == StatusCode::SWITCHING_PROTOCOLS {
        parts.headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        if let Some(upgrade) = upgrade {
            parts.headers.insert(header::UPGRADE, upgrade);
        }
    }
    parts.headers.append(header::VIA, via(version));
    parts.version = Version::HTTP_11;
    Ok(())
}

fn via(version: Version) -> HeaderValue {
    if version == Version::HTTP_10 {
        HeaderValue::from_static("1.0 paas-router")
    } else if version == Version::HTTP_2 {
        HeaderValue::from_static("2.0 paas-router")
    } else {
        HeaderValue::from_static("1.1 paas-router")
    }
}

fn wanted_upgrade(parts: &Parts) -> Option<HeaderValue> {
    if parts.version != Version::HTTP_11 || parts.method == Method::CONNECT {
        return None;
    }
    let upgrade = parts.headers.get(header::UPGRADE)?;
    // HTTP/2 without TLS would take every later request past the router: nobody has to agree to it.
    let passes = list(&parts.headers, &header::CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
        && !list(&parts.headers, &header::UPGRADE).any(|protocol| protocol.eq_ignore_ascii_case("h2c"));
    passes.then(|| upgrade.clone())
}

/// Takes away what an app can't tell from a header of ours: many read `-` and `_` alike.
fn drop_doubles(headers: &mut HeaderMap) {
    let ours = [
        X_FORWARDED_FOR,
        X_FORWARDED_PROTO,
        X_FORWARDED_PORT,
        X_REQUEST_ID,
        X_REQUEST_START,
        header::CONTENT_LENGTH,
        header::TRANSFER_ENCODING,
    ];
    let doubles: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| ours.iter().any(|our| name.as_str().replace('_', "-") == our.as_str()))
        .cloned()
        .collect();
    for name in doubles {
        headers.remove(name);
    }
}

/// Takes away what is meant for one connection only. `Trailer` stays: what it names is on
/// its way.
fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let named: Vec<HeaderName> = list(headers, &header::CONNECTION)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            // These describe the message, whoever says otherwise.
            .filter(|name| *name != header::CONTENT_LENGTH && *name != header::HOST && *name != header::TRAILER)
            .collect();
        for name in named {
            headers.remove(name);
        }
        headers.remove(header::CONNECTION);
    }
    if headers.remove(header::TRANSFER_ENCODING).is_some() {
        headers.remove(header::CONTENT_LENGTH);
    }
    let hop = [KEEP_ALIVE, PROXY_CONNECTION, HTTP2_SETTINGS, header::PROXY_AUTHORIZATION, header::TE, header::UPGRADE];
    for name in hop {
        headers.remove(name);
    }
}

/// The comma-separated words of a header.
fn list<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|word| !word.is_empty())
}

fn join(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let mut all: Option<Vec<u8>> = None;
    for value in headers.get_all(name) {
        match &mut all {
            Some(all) => {
                all.extend_from_slice(b", ");
                all.extend_from_slice(value.as_bytes());
            }
            None => all = Some(value.as_bytes().to_vec()),
        }
    }
    all.filter(|all| !all.is_empty())
}

/// HTTP/2 sends each cookie by itself; HTTP/1.1 wants one line.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(header::COOKIE).iter();
    let (Some(first), Some(_)) = (cookies.next(), cookies.next()) else { return };
    let mut all = first.as_bytes().to_vec();
    for cookie in headers.get_all(header::COOKIE).iter().skip(1) {
        all.extend_from_slice(b"; ");
        all.extend_from_slice(cookie.as_bytes());
    }
    if let Ok(all) = HeaderValue::from_bytes(&all) {
        headers.insert(header::COOKIE, all);
    }
}

fn origin_form(uri: &Uri) -> Uri {
    if uri.authority().is_none() {
        return uri.clone();
    }
    uri.path_and_query().and_then(|target| Uri::try_from(target.as_str()).ok()).unwrap_or_default()
}

/// Heroku keeps a client's id of 20 to 200 of these letters.
fn valid_request_id(id: &[u8]) -> bool {
    (20..=200).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
}

/// An id in the form of a random UUID. It names a request and guards nothing.
fn new_request_id() -> HeaderValue {
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    HeaderValue::from_str(id.hyphenated().encode_lower(&mut buffer)).unwrap_or(HeaderValue::from_static("-"))
}
