//! What holds for any bytes that come from outside, one function for each parser. `cargo test`
//! calls them with changed pieces of `router/fuzz/corpus`, cargo-fuzz with what it finds.

use std::net::SocketAddr;

use paas_domain::route::{AppRoute, HostIndex, RouteState, RouteTable, Rules, host_name};
use uuid::Uuid;

use crate::networks::Networks;
use crate::peer::Peer;
use crate::proxy_protocol::{Parsed, parse};
use crate::settings::Front;
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

/// The table's file: refused, or the same when it is written anew.
pub fn table_file(bytes: &[u8]) {
    // As it is, and as what a checksum stands before.
    for text in [bytes.to_vec(), encode(bytes).unwrap_or_default()] {
        if let Ok(table) = decode(&text) {
            let json = serde_json::to_vec(&table).unwrap_or_default();
            assert_eq!(encode(&json).ok().and_then(|text| decode(&text).ok()), Some(table));
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
