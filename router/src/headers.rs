//! What changes in the head of a request on its way through. The head that the dyno gets is
//! written straight from the parsed one, as HTTP/1.1; a dyno or client of HTTP/2 gets it
//! from there.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Version;

use crate::access_log::Seen;
use crate::failure::Failure;
use crate::framing::{self, Length};
use crate::http1::head::MOST_HEADERS;
use crate::http1::write;
use crate::pages;
use crate::peer::Peer;
use crate::words::Words;

pub(crate) const LONGEST_LINE: usize = 8192;
const LONGEST_NAME: usize = 1000;
const LONGEST_METHOD: usize = 127;

/// The first line of a request, with the host that it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'l> {
    pub(crate) method: &'l str,
    /// Path and query, or `*`.
    pub(crate) target: &'l str,
    pub(crate) host: &'l str,
    pub(crate) version: Version,
}

/// A request as the dyno gets it, and what the router needs to know of it.
#[derive(Debug)]
pub(crate) struct Request {
    /// The whole head, as HTTP/1.1.
    pub(crate) head: Vec<u8>,
    pub(crate) words: Words,
    pub(crate) version: Version,
    pub(crate) length: Length,
    /// Why it must not go on, if so.
    pub(crate) refused: Option<Failure>,
    /// It asks for nothing but the head.
    pub(crate) is_head: bool,
    /// It may be asked twice (RFC 9110, 9.2.1).
    pub(crate) is_safe: bool,
    /// The client waits to be told to send the body.
    pub(crate) expects: bool,
    pub(crate) upgrades: bool,
    /// It came by HTTPS, as its client sees it.
    pub(crate) https: bool,
    /// Answers of our own are to be JSON.
    pub(crate) json: bool,
    /// Where the visitor comes back to, if its app has session affinity.
    pub(crate) sticky: Vec<String>,
    /// The client's connection may have another request after this.
    pub(crate) keep_alive: bool,
}

impl Request {
    /// What its access line is to tell.
    pub(crate) fn seen(&mut self, app: uuid::Uuid, tls: Option<&'static str>) -> Seen {
        Seen { app, words: std::mem::take(&mut self.words), version: self.version, tls }
    }
}

/// The headers that the router has something to do with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Name {
    Host,
    Connection,
    ContentLength,
    TransferEncoding,
    Expect,
    Te,
    Upgrade,
    Cookie,
    Accept,
    Via,
    XForwardedFor,
    XRequestId,
    /// Of one connection only, or written by us alone.
    Dropped,
    /// It describes the message, whatever `Connection` says of it.
    Trailer,
    Other,
}

const OURS: [&str; 7] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-port",
    "x-request-id",
    "x-request-start",
    "content-length",
    "transfer-encoding",
];

impl Name {
    fn of(name: &[u8]) -> Name {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => Name::Te,
            3 if is("via") => Name::Via,
            4 if is("host") => Name::Host,
            // Not one of HTTP's. To programs that get headers as variables of the environment (CGI) it
            // would be HTTP_PROXY, by which they send their own requests.
            5 if is("proxy") => Name::Dropped,
            6 if is("expect") => Name::Expect,
            6 if is("cookie") => Name::Cookie,
            6 if is("accept") => Name::Accept,
            7 if is("upgrade") => Name::Upgrade,
            7 if is("trailer") => Name::Trailer,
            10 if is("connection") => Name::Connection,
            10 if is("keep-alive") => Name::Dropped,
            14 if is("content-length") => Name::ContentLength,
            14 if is("http2-settings") => Name::Dropped,
            16 if is("proxy-connection") => Name::Dropped,
            17 if is("transfer-encoding") => Name::TransferEncoding,
            19 if is("proxy-authorization") => Name::Dropped,
            12 if is("x-request-id") => Name::XRequestId,
            15 if is("x-forwarded-for") => Name::XForwardedFor,
            15 if is("x-request-start") => Name::Dropped,
            16 if is("x-forwarded-port") => Name::Dropped,
            17 if is("x-forwarded-proto") => Name::Dropped,
            // Many servers read `-` and `_` alike: an app couldn't tell it from ours.
            12 | 14..=17 if name.contains(&b'_') && OURS.iter().any(|ours| is_double(name, ours)) => Name::Dropped,
            _ => Name::Other,
        }
    }
}

fn is_double(name: &[u8], ours: &str) -> bool {
    let plain = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    name.len() == ours.len() && name.iter().map(plain).eq(ours.bytes())
}

/// The host that a request of HTTP/1 asks for: from the target where it is there (a client
/// that thinks it talks to a proxy), else from `Host`. Nothing if there is no usable one.
pub(crate) fn host_and_target<'l>(
    target: &'l str,
    old: bool,
    mut hosts: impl Iterator<Item = &'l [u8]>,
) -> Option<(&'l str, &'l str)> {
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return None;
    }
    let (host, target) = match target.split_once("://") {
        Some((scheme, rest)) if !target.starts_with('/') => {
            if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
                return None;
            }
            let path = rest.find(['/', '?']).unwrap_or(rest.len());
            // No user name, no password.
            let host = rest[..path].rsplit('@').next()?;
            (host, &rest[path..])
        }
        Some(_) | None => match first {
            Some(host) => (std::str::from_utf8(host).ok()?.trim_matches([' ', '\t']), target),
            // HTTP/1.0 didn't know Host; no app can be found without it.
            None if old => ("", target),
            None => return None,
        },
    };
    is_host(host).then_some((host, target))
}

/// Whether this is a host name or an address, with or without a port.
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) if address.bytes().all(|byte| byte.is_ascii_hexdigit() || b".:".contains(&byte)) => {
            ("", if rest.is_empty() { Some("") } else { rest.strip_prefix(':') })
        }
        Some(_) => return false,
        None => host.split_once(':').map_or((host, Some("")), |(name, port)| (name, Some(port))),
    };
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte))
        && port.is_some_and(|port| port.len() <= 5 && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// What a first look at the headers finds.
#[derive(Default)]
struct Found<'l> {
    upgrade: Option<&'l [u8]>,
    upgrade_named: bool,
    h2c: bool,
    wants_trailers: bool,
    named: bool,
    close: bool,
    keep: bool,
    cookies: usize,
    accepts: pages::Accepts,
    request_id: Option<&'l [u8]>,
    expects: bool,
    refused: Option<Failure>,
    size: usize,
    framing: framing::Declared,
}

/// Words in the `Connection` headers of one message: each other header is compared with them.
pub(crate) const MOST_WORDS: usize = 64;

fn look<'l>(line: &Line<'l>, headers: impl Iterator<Item = (&'l [u8], &'l [u8])>) -> Found<'l> {
    let mut found = Found::default();
    let mut connections = 0;
    let mut count = 0;
    // The lines that several of a name will be one of.
    let (mut cookies, mut forwarded) = (0, 0);
    if line.method.len() > LONGEST_METHOD || line.target.len() > LONGEST_LINE {
        found.refused = Some(Failure::BadHeader);
    }
    for (name, value) in headers {
        found.size += name.len() + value.len() + 4;
        count += 1;
        if name.len() > LONGEST_NAME || name.len() + value.len() + 2 > LONGEST_LINE {
            found.refused = Some(Failure::BadHeader);
        }
        match Name::of(name) {
            Name::Connection => {
                for word in words(value) {
                    connections += 1;
                    let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
                    if is("close") {
                        found.close = true;
                    } else if is("keep-alive") {
                        found.keep = true;
                    } else if is("upgrade") {
                        found.upgrade_named = true;
                    } else {
                        found.named = true;
                    }
                }
            }
            Name::Upgrade => {
                found.upgrade = found.upgrade.or(Some(value));
                found.h2c |= words(value).any(|word| word.eq_ignore_ascii_case(b"h2c"));
            }
            Name::Te => found.wants_trailers |= words(value).any(|word| word.eq_ignore_ascii_case(b"trailers")),
            Name::Expect if value.eq_ignore_ascii_case(b"100-continue") => found.expects = true,
            Name::Expect => found.refused = found.refused.or(Some(Failure::BadExpect)),
            Name::ContentLength => found.framing.length(value),
            Name::TransferEncoding => found.framing.coding(value),
            Name::Cookie => {
                found.cookies += 1;
                cookies += value.len() + 2;
            }
            Name::Accept => found.accepts.add(value),
            Name::XRequestId => found.request_id = found.request_id.or(Some(value)),
            Name::XForwardedFor => forwarded += value.len() + 2,
            Name::Host | Name::Via | Name::Dropped | Name::Trailer | Name::Other => {}
        }
    }
    let joined = ("cookie".len() + cookies).max("x-forwarded-for".len() + forwarded);
    if count > MOST_HEADERS || joined > LONGEST_LINE {
        found.refused = Some(Failure::BadHeader);
    }
    if connections > MOST_WORDS {
        // Not even to be looked for.
        found.named = false;
        found.refused = Some(Failure::BadHeader);
    }
    found
}

/// Makes the client's request the one that the dyno gets. In HTTP/2 `streams` says that a
/// body follows; in HTTP/1 the headers do.
pub(crate) fn request<'l>(
    line: &Line<'l>,
    headers: impl Iterator<Item = (&'l [u8], &'l [u8])> + Clone,
    streams: bool,
    peer: &Peer,
) -> Request {
    let mut found = look(line, headers.clone());
    let multiplexed = line.version == Version::HTTP_2;
    let (length, certain) = if multiplexed {
        found.framing.of_stream(streams)
    } else {
        found.framing.of_request(line.version == Version::HTTP_10)
    }
    .unwrap_or_else(|_| {
        found.refused = Some(Failure::BadHeader);
        (Length::None, false)
    });
    // HTTP/2 without TLS would take every later request past the router: nobody has to agree to it.
    let upgrades = line.version == Version::HTTP_11 && found.upgrade_named && found.upgrade.is_some() && !found.h2c;

    let mut out = Vec::with_capacity(line.method.len() + line.target.len() + found.size + 384);
    for part in [line.method, " ", if line.target.starts_with('?') { "/" } else { "" }] {
        out.extend_from_slice(part.as_bytes());
    }
    let target = if line.target.is_empty() { "/" } else { line.target };
    out.extend_from_slice(target.as_bytes());
    out.extend_from_slice(b" HTTP/1.1\r\n");
    write::header(&mut out, b"host", line.host.as_bytes());
    let named = |name: &[u8]| found.named && is_named(headers.clone(), name);
    let mut forwarded = false;
    for (name, value) in headers.clone() {
        match Name::of(name) {
            Name::Other | Name::Accept | Name::Via if !named(name) => write::header(&mut out, name, value),
            Name::Trailer => write::header(&mut out, name, value),
            Name::Cookie if found.cookies == 1 && !named(name) => write::header(&mut out, name, value),
            Name::XForwardedFor => forwarded |= !value.is_empty() && !named(name),
            Name::Cookie
            | Name::Other
            | Name::Accept
            | Name::Via
            | Name::Host
            | Name::Connection
            | Name::ContentLength
            | Name::TransferEncoding
            | Name::Expect
            | Name::Te
            | Name::Upgrade
            | Name::XRequestId
            | Name::Dropped => {}
        }
    }
    let values = |wanted: Name| {
        let headers = headers.clone();
        headers.filter(move |(name, _)| Name::of(name) == wanted).map(|(_, value)| value)
    };
    if found.cookies > 1 && !named(b"cookie") {
        // HTTP/2 sends each cookie by itself; HTTP/1.1 wants one line.
        out.extend_from_slice(b"cookie: ");
        joined(&mut out, values(Name::Cookie), b"; ");
        out.extend_from_slice(b"\r\n");
    }
    if upgrades {
        out.extend_from_slice(b"connection: upgrade\r\n");
        write::header(&mut out, b"upgrade", found.upgrade.unwrap_or_default());
    }
    if found.wants_trailers {
        out.extend_from_slice(b"te: trailers\r\n");
    }
    out.extend_from_slice(b"x-forwarded-for: ");
    let forwarded_from = out.len();
    if forwarded {
        joined(&mut out, values(Name::XForwardedFor).filter(|value| !value.is_empty()), b", ");
        out.extend_from_slice(b", ");
    }
    write::address(&mut out, peer.address);
    let forwarded_for = forwarded_from..out.len();
    // What others say of it is looked for only where it is believed.
    let told = |name: &str| {
        let mut values =
            headers.clone().filter(|(given, _)| peer.trusted && given.eq_ignore_ascii_case(name.as_bytes()));
        values.by_ref().last().map(|(_, value)| value)
    };
    let outward = peer.outward(told("x-forwarded-proto"), told("x-forwarded-port"));
    out.extend_from_slice(if outward.https {
        b"\r\nx-forwarded-proto: https\r\nx-forwarded-port: "
    } else {
        b"\r\nx-forwarded-proto: http\r\nx-forwarded-port: ".as_slice()
    });
    write::decimal(&mut out, outward.port.into());
    out.extend_from_slice(b"\r\nx-request-id: ");
    let id_from = out.len();
    match found.request_id.filter(|id| is_request_id(id)) {
        Some(id) if !named(b"x-request-id") => out.extend_from_slice(id),
        Some(_) | None => new_request_id(&mut out),
    }
    let request_id = id_from..out.len();
    out.extend_from_slice(b"\r\nx-request-start: ");
    match peer.request_start(told("x-request-start")) {
        Some(start) => out.extend_from_slice(start),
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            write::decimal(&mut out, u64::try_from(now.as_millis()).unwrap_or_default());
        }
    }
    out.extend_from_slice(b"\r\nvia: ");
    out.extend_from_slice(via(line.version));
    out.extend_from_slice(b"\r\n");
    framing::write(&mut out, length);
    out.extend_from_slice(b"\r\n");

    let words = Words::new([
        line.method.as_bytes(),
        target.as_bytes(),
        line.host.as_bytes(),
        &out[request_id],
        &out[forwarded_for],
    ]);
    let keeps = if line.version == Version::HTTP_10 { found.keep && !found.close } else { !found.close };
    Request {
        head: out,
        words,
        version: line.version,
        length,
        refused: found.refused,
        is_head: line.method == "HEAD",
        is_safe: matches!(line.method, "GET" | "HEAD" | "OPTIONS" | "TRACE"),
        expects: found.expects && line.version != Version::HTTP_10 && length.has_body(),
        upgrades,
        https: outward.https,
        json: found.accepts.json(),
        sticky: Vec::new(),
        keep_alive: keeps && certain,
    }
}

/// Whether `Connection` names this header, so that it goes no further.
pub(crate) fn is_named<'l>(headers: impl Iterator<Item = (&'l [u8], &'l [u8])>, name: &[u8]) -> bool {
    headers
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"))
        .any(|(_, value)| words(value).any(|word| word.eq_ignore_ascii_case(name)))
}

/// The values of a header in a head that is written already. `name` is in lower case.
pub(crate) fn lines<'l>(head: &'l [u8], name: &'l [u8]) -> impl Iterator<Item = &'l [u8]> {
    head.split(|byte| *byte == b'\n').filter_map(move |line| {
        let value = line.get(name.len()..)?.strip_prefix(b":")?;
        line[..name.len()].eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// How this hop is told of.
pub(crate) fn via(version: Version) -> &'static [u8] {
    if version == Version::HTTP_10 {
        b"1.0 paas-router"
    } else if version == Version::HTTP_2 {
        b"2.0 paas-router"
    } else {
        b"1.1 paas-router"
    }
}

/// The comma-separated words of a header.
pub(crate) fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|word| !word.is_empty())
}

fn joined<'l>(out: &mut Vec<u8>, values: impl Iterator<Item = &'l [u8]>, between: &[u8]) {
    for (at, value) in values.enumerate() {
        if at > 0 {
            out.extend_from_slice(between);
        }
        out.extend_from_slice(value);
    }
}

/// Heroku keeps a client's id of 20 to 200 of these letters.
fn is_request_id(id: &[u8]) -> bool {
    (20..=200).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || b"+/=-".contains(byte))
}

/// An id in the form of a random UUID. It names a request and guards nothing.
fn new_request_id(out: &mut Vec<u8>) {
    let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid();
    let mut buffer = uuid::Uuid::encode_buffer();
    out.extend_from_slice(id.hyphenated().encode_lower(&mut buffer).as_bytes());
}
