//! Who is at the other end of a client's connection, and what of it is believed: the one
//! place that tells whether a request counts as HTTPS, from which address and on which port.

use std::net::{IpAddr, SocketAddr};

use crate::proxy_protocol::Origin;
use crate::settings::Front;

/// The other end of a client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Peer {
    /// The client's, as a header of the PROXY protocol told it, else the connection's own.
    pub(crate) address: IpAddr,
    /// Where the client connected to.
    port: u16,
    tls: bool,
    /// Whether the connection's own address is one whose `X-Forwarded-*` are believed.
    pub(crate) trusted: bool,
}

/// How a request came, as its client sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Outward {
    /// For `X-Forwarded-Proto`, redirects to HTTPS and HSTS.
    pub(crate) https: bool,
    /// For `X-Forwarded-Port`.
    pub(crate) port: u16,
}

impl Peer {
    /// `connection` is the other end of the TCP connection, `port` the one that it came to,
    /// `origin` what a header of the PROXY protocol said.
    pub(crate) fn new(connection: SocketAddr, port: u16, origin: Option<Origin>, tls: bool, front: &Front) -> Peer {
        let (address, port) = match origin {
            Some(origin) => (origin.source.ip(), origin.destination.port()),
            None => (connection.ip(), port),
        };
        let trusted = front.trusted_proxies.contain(connection.ip());
        Peer { address: address.to_canonical(), port, tls, trusted }
    }

    /// How a request with these headers came (the last of each, where there are several). A
    /// proxy that is trusted and tells no port means the usual one of the protocol.
    pub(crate) fn outward(&self, forwarded_proto: Option<&[u8]>, forwarded_port: Option<&[u8]>) -> Outward {
        if !self.trusted {
            return Outward { https: self.tls, port: self.port };
        }
        let told = forwarded_proto.map(last).and_then(|proto| match proto {
            _ if proto.eq_ignore_ascii_case(b"https") => Some(true),
            _ if proto.eq_ignore_ascii_case(b"http") => Some(false),
            _ => None,
        });
        let port = forwarded_port.map(last).and_then(digits::<u16>).filter(|port| *port != 0);
        let usual = told.map(|https| if https { 443 } else { 80 });
        Outward { https: told.unwrap_or(self.tls), port: port.or(usual).unwrap_or(self.port) }
    }

    /// The request's `X-Request-Start`, milliseconds since 1970, where it is believed.
    pub(crate) fn request_start<'h>(&self, given: Option<&'h [u8]>) -> Option<&'h [u8]> {
        given.filter(|text| self.trusted && text.len() >= 10 && digits::<u64>(text).is_some())
    }
}

/// The last of a list: what the proxy next to us wrote.
fn last(list: &[u8]) -> &[u8] {
    list.rsplit(|byte| *byte == b',').next().unwrap_or_default().trim_ascii()
}

fn digits<N: std::str::FromStr>(text: &[u8]) -> Option<N> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?;
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn peer(connection: &str, origin: Option<Origin>) -> Peer {
        let front = Front { trusted_proxies: "10.0.0.0/8".parse().unwrap(), ..Front::default() };
        Peer::new(connection.parse().unwrap(), 8080, origin, false, &front)
    }

    #[test]
    fn a_stranger_tells_nothing_of_itself() {
        let stranger = peer("192.0.2.1:1000", None);
        let own = Outward { https: false, port: 8080 };
        assert_eq!(stranger.outward(Some(b"https"), Some(b"443")), own);
        assert_eq!(stranger.request_start(Some(b"1700000000000")), None);
        // Not even where a trusted address is what it says to come from.
        let origin = Origin { source: "10.0.0.1:1".parse().unwrap(), destination: "192.0.2.9:81".parse().unwrap() };
        let told = peer("192.0.2.1:1000", Some(origin));
        assert_eq!(told.address, origin.source.ip());
        assert_eq!(told.outward(Some(b"https"), Some(b"443")), Outward { https: false, port: 81 });
    }

    #[test]
    fn a_trusted_proxy_is_believed_what_makes_sense() {
        let proxy = peer("[::ffff:10.1.2.3]:1000", None);
        assert_eq!(proxy.address, "10.1.2.3".parse::<IpAddr>().unwrap());
        for (proto, port, https, on) in [
            (None, None, false, 8080),
            (Some("https"), None, true, 443),
            (Some("http"), None, false, 80),
            (Some("HTTPS"), Some("8443"), true, 8443),
            (Some("http, https"), Some("80, 443"), true, 443),
            (Some("gopher"), Some("0"), false, 8080),
            (Some("httpsx"), Some("+443"), false, 8080),
            (None, Some("65536"), false, 8080),
            (None, Some("81"), false, 81),
        ] {
            let outward = proxy.outward(proto.map(str::as_bytes), port.map(str::as_bytes));
            assert_eq!(outward, Outward { https, port: on }, "{proto:?} {port:?}");
        }
        assert_eq!(proxy.request_start(Some(b"1700000000000")), Some(&b"1700000000000"[..]));
        for odd in [&b"t=1700000000.000"[..], b"17", b"", b"1700000000000x", b"99999999999999999999999"] {
            assert_eq!(proxy.request_start(Some(odd)), None);
        }
    }
}
