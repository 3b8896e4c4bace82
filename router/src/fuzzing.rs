//! What holds for any bytes that come from outside, one function for each parser. `cargo test`
//! calls them with changed pieces of `router/fuzz/corpus`, cargo-fuzz with what it finds.

use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::net::UnixStream;

use hyper::http::{HeaderName, HeaderValue, Request as HttpRequest};
use hyper::{Method, Uri, Version};
use paas_domain::route::{AppRoute, HostIndex, RouteState, RouteTable, Rules, host_name};
use uuid::Uuid;

use crate::affinity;
use crate::clock::Clock;
use crate::framing::Length;
use crate::handover::link::{self, Link};
use crate::headers::{self, Line, Request};
use crate::http1::chunked::{Chunked, Decoded};
use crate::http1::head;
use crate::http2;
use crate::networks::Networks;
use crate::peer::Peer;
use crate::proxy_protocol::{Parsed, parse};
use crate::responses::{self, StatusLine};
use crate::settings::{Front, Limits};
use crate::table::Routes;
use crate::table_file::{decode, encode};

/// A name, as that of its folder in the corpus, and what holds for any bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: &[Target] = &[
    ("proxy_header", proxy_header),
    ("host", host),
    ("table_file", table_file),
    ("networks", networks),
    ("forwarded", forwarded),
    ("request_head", request_head),
    ("request_http2", request_http2),
    ("response_head", response_head),
    ("chunked", chunked),
    ("cookies", cookies),
    ("handover", handover),
];

/// A header of the PROXY protocol: found whole or not at all, however much of it has come and
/// whatever comes behind it; never more of it is asked for than there is.
pub fn proxy_header(bytes: &[u8]) {
    let parsed = parse(bytes);
    if let Ok(Parsed::Whole(header)) = parsed {
        let whole = &bytes[..header.length];
        for cut in 0..whole.len() {
            match parse(&whole[..cut]) {
                Ok(Parsed::Partial(more)) => assert!(more >= 1 && cut + more <= whole.len(), "{cut}: {more}"),
                other => panic!("{cut} of {}: {other:?}", whole.escape_ascii()),
            }
        }
        assert_eq!(parse(whole), parsed);
        assert_eq!(parse(&[whole, b"\r\nGET"].concat()), parsed);
    }
    if let Err(why) = parsed {
        assert_eq!(parse(&[bytes, b"\r\n\r\n"].concat()), Err(why), "what is wrong stays so");
    }
}

/// The value of a `Host` header, of the letters that one may have: letter case, a port and a final dot make no difference, and a
/// wildcard stands for one part.
pub fn host(bytes: &[u8]) {
    let fine = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let Some(text) = std::str::from_utf8(bytes).ok().filter(|_| bytes.iter().all(fine)) else { return };
    let app = |number, hosts: &[&str]| AppRoute {
        id: Uuid::from_u128(number),
        name: "demo".to_owned(),
        hosts: hosts.iter().map(|&host| host.to_owned()).collect(),
        state: RouteState::Serving,
        maintenance: false,
        error_page_url: None,
        maintenance_page_url: None,
        backends: vec![],
        rules: Rules::default(),
    };
    let apps = vec![app(1, &["demo.localhost", "example.com"]), app(2, &["*.example.com", "[::1]"])];
    let index = HostIndex::new(&RouteTable { apps, ..RouteTable::default() });
    let found = index.find(text);
    assert_eq!(index.find(&text.to_ascii_uppercase()), found);
    assert_eq!(index.find(host_name(text)), index.find(&format!("{}:443", host_name(text))), "{text:?}");
    if found.is_some() {
        let name = host_name(text).to_ascii_lowercase();
        let below = name.strip_suffix(".example.com").is_some_and(|first| !first.is_empty() && !first.contains('.'));
        assert!(below || ["demo.localhost", "example.com", "[::1]"].contains(&name.as_str()), "{text:?}");
    }
}

/// The table's file: refused, or the same when it is written anew, and it can be served, whatever is in it.
pub fn table_file(bytes: &[u8]) {
    // As it is, and as what a checksum stands before.
    for text in [bytes.to_vec(), encode(bytes).unwrap_or_default()] {
        if let Ok(table) = decode(&text) {
            let json = serde_json::to_vec(&table).unwrap_or_default();
            assert_eq!(encode(&json).ok().and_then(|text| decode(&text).ok()).as_ref(), Some(&table));
            let routes = Routes::new(Some(table.clone()), Limits::default());
            routes.publish(table.clone());
            for host in table.apps.iter().flat_map(|app| &app.hosts) {
                drop(routes.load().find(host));
            }
        }
    }
}

/// A list of addresses and networks in a setting.
pub fn networks(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<Networks>() {
        Ok(networks) => {
            for one in text.split(',').map(|one| one.split('/').next().unwrap_or_default().trim()) {
                if let Ok(address) = one.parse() {
                    assert!(networks.contain(address) || text.contains(':'), "{text:?} doesn't contain {one}");
                }
            }
        }
        Err(why) => assert!(why.contains("expected addresses")),
    }
}

/// What a trusted proxy says of a request: a line for the protocol, one for the port.
pub fn forwarded(bytes: &[u8]) {
    let front = Front { trusted_proxies: "10.0.0.1".parse().unwrap_or_default(), ..Front::default() };
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (proto, port, start) = (parts.next(), parts.next(), parts.next());
    for connection in [SocketAddr::from(([10, 0, 0, 1], 1)), SocketAddr::from(([10, 0, 0, 2], 1))] {
        let trusted = front.trusted_proxies.contain(connection.ip());
        let peer = Peer::new(connection, 8080, None, false, &front);
        let outward = peer.outward(proto, port);
        assert_ne!(outward.port, 0);
        assert!(trusted || (!outward.https && outward.port == 8080));
        let start = peer.request_start(start);
        assert!(start.is_none_or(|start| trusted && start.iter().all(u8::is_ascii_digit)));
    }
}

/// The head of a request by HTTP/1: what goes to the dyno can be read in one way only, and says of the
/// body what the router goes by.
pub fn request_head(bytes: &[u8]) {
    let mut slots = head::slots();
    let Ok(read) = head::request(bytes, &mut slots) else { return };
    let fields = read.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    let hosts = fields.clone().filter(|(name, _)| name.eq_ignore_ascii_case(b"host")).map(|(_, value)| value);
    let Some((host, target)) = headers::host_and_target(read.target, read.old, hosts) else { return };
    let version = if read.old { Version::HTTP_10 } else { Version::HTTP_11 };
    let line = Line { method: read.method, target, host, version };
    let peer = Peer::new(SocketAddr::from(([10, 0, 0, 2], 1)), 80, None, false, &Front::default());
    let request = headers::request(&line, fields, true, &peer);
    if request.refused.is_none() {
        goes_on(&request, &line);
    }
}

/// The same of a request by HTTP/2, whose words are `METHOD HOST TARGET` and a line for each header here.
pub fn request_http2(bytes: &[u8]) {
    let mut lines = bytes.split(|byte| *byte == b'\n');
    let mut words = lines.next().unwrap_or_default().splitn(3, |byte| *byte == b' ');
    let (method, host, target) = (words.next(), words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let uri = match host {
        [] => Uri::try_from(target).ok(),
        host => Uri::builder().scheme("https").authority(host).path_and_query(target).build().ok(),
    };
    let (Some(Ok(method)), Some(uri)) = (method.map(Method::from_bytes), uri) else { return };
    let mut asked = HttpRequest::new(());
    (*asked.method_mut(), *asked.uri_mut()) = (method, uri);
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = HeaderName::from_bytes(&line[..colon]);
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(line[colon + 1..].trim_ascii())) {
            asked.headers_mut().append(name, value);
        }
    }
    let (parts, ()) = asked.into_parts();
    let Ok(line) = http2::serve::line(&parts) else { return };
    let peer = Peer::new(SocketAddr::from(([10, 0, 0, 2], 1)), 443, None, true, &Front::default());
    for streams in [false, true] {
        let fields = http2::pairs(&parts.headers);
        let request = headers::request(&line, fields.iter().copied(), streams, &peer);
        assert!(!request.upgrades, "an Upgrade is of HTTP/1 alone");
        if request.refused.is_none() {
            assert_eq!(request.length.has_body(), streams && request.length != Length::Exact(0));
            goes_on(&request, &line);
        }
    }
}

/// What the dyno gets of a request that isn't refused.
fn goes_on(request: &Request, line: &Line<'_>) {
    let mut again = head::slots();
    let written = match head::request(&request.head, &mut again) {
        Ok(written) => written,
        Err(_) => panic!("no head: {}", request.head.escape_ascii()),
    };
    assert_eq!((written.method, written.old), (line.method, false));
    let all = |name: &str| {
        let same = written.headers.iter().filter(|header| header.name.eq_ignore_ascii_case(name));
        same.map(|header| header.value).collect::<Vec<_>>()
    };
    assert_eq!(all("host"), [line.host.as_bytes()]);
    let (lengths, codings) = (all("content-length"), all("transfer-encoding"));
    match request.length {
        Length::None => assert!(lengths.is_empty() && codings.is_empty()),
        Length::Exact(length) => {
            assert!(codings.is_empty() && lengths == [length.to_string().as_bytes()], "{lengths:?}");
        }
        Length::Chunked | Length::UntilEnd => assert!(lengths.is_empty() && codings == [b"chunked"]),
    }
    for name in ["x-request-id", "x-request-start", "x-forwarded-proto", "x-forwarded-port", "x-forwarded-for"] {
        assert_eq!(all(name).len(), 1, "{name} in {}", request.head.escape_ascii());
    }
    for name in ["keep-alive", "proxy-connection", "http2-settings", "expect"] {
        assert!(all(name).is_empty(), "{name} in {}", request.head.escape_ascii());
    }
    // The same where the dyno speaks HTTP/2.
    if let Some(asked) = http2::dyno::converted(request) {
        assert_eq!(asked.uri().authority().map(|host| host.as_str()), Some(line.host));
        for name in ["host", "connection", "upgrade", "transfer-encoding"] {
            assert!(!asked.headers().contains_key(name), "{name} in {:?}", asked.headers());
        }
    }
}

/// The head of a dyno's response: what goes on says nothing of a body or a connection, which is added later.
pub fn response_head(bytes: &[u8]) {
    let mut slots = head::slots();
    let Ok(read) = head::response(bytes, &mut slots) else { return };
    let version = if read.old { Version::HTTP_10 } else { Version::HTTP_11 };
    let fields = read.headers.iter().map(|header| (header.name.as_bytes(), header.value));
    let (old, http2) = (version, Version::HTTP_2);
    for (is_head, version, streams) in
        [(false, old, true), (true, old, true), (false, http2, true), (false, http2, false), (true, http2, false)]
    {
        let line = StatusLine { status: read.status, reason: read.reason, version, streams };
        let Ok(reply) = responses::reply(&line, fields.clone(), is_head, &Clock::new()) else { continue };
        let whole = [&reply.head[..], b"\r\n"].concat();
        let mut again = head::slots();
        let written = match head::response(&whole, &mut again) {
            Ok(written) => written,
            Err(_) => panic!("no head: {}", whole.escape_ascii()),
        };
        assert_eq!((written.status, written.old), (read.status, false));
        let framing = ["content-length", "transfer-encoding", "keep-alive", "connection"];
        let framed =
            written.headers.iter().any(|header| framing.iter().any(|name| header.name.eq_ignore_ascii_case(name)));
        assert!(!framed || read.status == 101, "{}", whole.escape_ascii());
        assert!(
            !reply.length.has_body() || !(is_head || read.status == 204 || read.status == 304 || read.status < 200)
        );
    }
}

/// A chunked body: the same, in whatever pieces it comes.
pub fn chunked(bytes: &[u8]) {
    let read = |piece: usize| {
        let (mut chunked, mut data, mut at) = (Chunked::new(), Vec::new(), 0);
        for piece in bytes.chunks(piece.max(1)) {
            match chunked.decode(piece, |some| data.extend_from_slice(some)) {
                Ok(Decoded::More) => at += piece.len(),
                Ok(Decoded::End(used)) => return Ok((data, Some(at + used), chunked.trailers())),
                Err(bad) => return Err(bad),
            }
        }
        Ok((data, None, Ok(Vec::new())))
    };
    let whole = read(bytes.len());
    for piece in [1, 2, 3, 7] {
        assert_eq!(read(piece), whole, "in pieces of {piece}");
    }
    if let Ok((data, ..)) = whole {
        assert!(data.len() <= bytes.len());
    }
}

/// The cookies of a head: what is taken for a token is of our own form, and is in the head.
pub fn cookies(bytes: &[u8]) {
    for cookie in affinity::cookies(bytes) {
        assert!(bytes.windows(cookie.len().max(1)).any(|part| part == cookie.as_bytes()) || cookie.is_empty());
    }
}

/// What two routers say to each other when one takes over: a word that is heard is the same when it is said again.
pub fn handover(bytes: &[u8]) {
    let Ok((mut one, other)) = UnixStream::pair() else { return };
    // More might wait for a reader.
    if one.write_all(&bytes[..bytes.len().min(32 << 10)]).is_err() {
        return;
    }
    drop(one);
    let mut link = Link::new(other);
    while let Ok(Some(word)) = link.hear(None) {
        let said = link::line(&word).unwrap_or_default();
        let again = serde_json::from_slice(&said).ok().and_then(|word| link::line(&word).ok());
        assert_eq!(again, Some(said));
    }
}
