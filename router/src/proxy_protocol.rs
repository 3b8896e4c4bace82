//! The header of the PROXY protocol, versions 1 and 2 (haproxy.org's proxy-protocol.txt, 2020):
//! a load balancer in front of the router tells by it whose connection it passes on. Only
//! addresses that are listed in the settings may send one.
//!
//! The parser is strict: a header that isn't exactly as the text has it ends the connection,
//! since what follows could be anything.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// `PROXY UNKNOWN` and its end: no header is shorter.
const SHORTEST: usize = 15;
/// The longest line of version 1, with its end.
const LONGEST_V1: usize = 107;
/// What version 2 begins with.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family, length.
const FIXED_V2: usize = 16;
/// The most that may follow in version 2. Addresses take 216 bytes at most; the rest is for
/// extensions, of which those with a client's certificate are the longest.
const LONGEST_V2: usize = 4096;
const CHECKSUM: u8 = 0x03;

/// Whose connection it is, and where it was going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The client.
    pub(crate) source: SocketAddr,
    /// What the client connected to.
    pub(crate) destination: SocketAddr,
}

/// A header that was found at the beginning of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// How many bytes it takes; what follows is the client's.
    pub(crate) length: usize,
    /// None when the proxy speaks for itself (`LOCAL`, a health check) or doesn't know
    /// (`UNKNOWN`): the connection counts as the proxy's own.
    pub(crate) origin: Option<Origin>,
}

/// What some bytes are the beginning of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// A whole header.
    Whole(Header),
    /// A header that goes on: at least this many bytes more belong to it.
    Partial(usize),
}

/// Why bytes are no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    /// Neither version begins so.
    #[error("it doesn't begin with a header of the PROXY protocol")]
    NotProxy,
    /// Version 1 begun, but not gone on with.
    #[error("its PROXY line is malformed")]
    Line,
    /// A version, command or family that doesn't exist.
    #[error("its PROXY header has a version, command or family that doesn't exist")]
    Kind,
    /// Addresses or extensions that don't fit the length.
    #[error("its PROXY header is shorter or longer than what is in it")]
    Length,
    /// The checksum extension says otherwise.
    #[error("the checksum of its PROXY header is wrong")]
    Checksum,
}

/// Looks for a header at the beginning of `bytes`.
pub(crate) fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    if bytes.is_empty() {
        return Ok(Parsed::Partial(SHORTEST));
    }
    let begins = |with: &[u8]| {
        let both = bytes.len().min(with.len());
        bytes[..both] == with[..both]
    };
    if begins(SIGNATURE) {
        version2(bytes)
    } else if begins(b"PROXY ") {
        version1(bytes)
    } else {
        Err(Malformed::NotProxy)
    }
}

fn version1(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let within = &bytes[..bytes.len().min(LONGEST_V1)];
    let Some(end) = within.windows(2).position(|two| two == b"\r\n") else {
        // A line feed by itself, or what is no text, will not become a line.
        let text =
            |(at, byte): (usize, &u8)| (b' '..=b'~').contains(byte) || (*byte == b'\r' && at + 1 == within.len());
        if within.len() == LONGEST_V1 || !within.iter().enumerate().all(text) {
            return Err(Malformed::Line);
        }
        // Of the end at least the line feed is missing.
        return Ok(Parsed::Partial(SHORTEST.saturating_sub(bytes.len()).max(1)));
    };
    let line = std::str::from_utf8(&within[..end]).map_err(|_| Malformed::Line)?;
    let length = end + 2;
    let mut words = line.split(' ').skip(1);
    let family = words.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // The rest of the line says nothing then.
        let text = line.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        return if text { Ok(Parsed::Whole(Header { length, origin: None })) } else { Err(Malformed::Line) };
    }
    let mut word = || words.next().ok_or(Malformed::Line);
    let (source, destination) = (word()?, word()?);
    let (from, to) = (port(word()?)?, port(word()?)?);
    if words.next().is_some() {
        return Err(Malformed::Line);
    }
    let address = |text: &str| -> Result<IpAddr, Malformed> {
        match family {
            "TCP4" => text.parse::<Ipv4Addr>().map(IpAddr::V4).map_err(|_| Malformed::Line),
            "TCP6" => text.parse::<Ipv6Addr>().map(IpAddr::V6).map_err(|_| Malformed::Line),
            _ => Err(Malformed::Line),
        }
    };
    let origin = Origin {
        source: SocketAddr::new(address(source)?, from),
        destination: SocketAddr::new(address(destination)?, to),
    };
    Ok(Parsed::Whole(Header { length, origin: Some(origin) }))
}

/// Digits alone, without leading zeros.
fn port(text: &str) -> Result<u16, Malformed> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| digits).ok_or(Malformed::Line)
}

fn version2(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(([.., command, family, high, low], _)) = bytes.split_first_chunk::<FIXED_V2>() else {
        return Ok(Parsed::Partial(FIXED_V2 - bytes.len()));
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let local = command & 0xf == 0;
    if command >> 4 != 2 || command & 0xf > 1 || !local && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(Malformed::Kind);
    }
    if length > LONGEST_V2 {
        return Err(Malformed::Length);
    }
    let whole = FIXED_V2 + length;
    let Some(header) = bytes.get(..whole) else { return Ok(Parsed::Partial(whole - bytes.len())) };
    if local {
        // The proxy itself connects, and family, addresses and all else mean nothing (2.2).
        return Ok(Parsed::Whole(Header { length: whole, origin: None }));
    }
    let rest = &header[FIXED_V2..];
    let (origin, extensions) = match family {
        0x11 => {
            let (at, extensions) = rest.split_first_chunk::<12>().ok_or(Malformed::Length)?;
            let [a, b, c, d, e, f, g, h, ports @ ..] = *at;
            let (from, to) = two_ports(ports);
            let source = SocketAddr::from(([a, b, c, d], from));
            (Origin { source, destination: SocketAddr::from(([e, f, g, h], to)) }, extensions)
        }
        0x21 => {
            let (source, rest) = rest.split_first_chunk::<16>().ok_or(Malformed::Length)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(Malformed::Length)?;
            let (ports, extensions) = rest.split_first_chunk::<4>().ok_or(Malformed::Length)?;
            let (from, to) = two_ports(*ports);
            let source = SocketAddr::new(Ipv6Addr::from(*source).into(), from);
            (Origin { source, destination: SocketAddr::new(Ipv6Addr::from(*destination).into(), to) }, extensions)
        }
        // UDP and Unix sockets can't bring a connection here, and "unspecified" says nothing;
        // what follows is passed over, as the text asks for.
        _ => return Ok(Parsed::Whole(Header { length: whole, origin: None })),
    };
    check_extensions(header, extensions)?;
    Ok(Parsed::Whole(Header { length: whole, origin: Some(origin) }))
}

fn two_ports([a, b, c, d]: [u8; 4]) -> (u16, u16) {
    (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]))
}

/// Extensions (TLVs: one byte of type, two of length, the value) have to fill the header
/// exactly. None is used; a checksum is compared.
fn check_extensions(header: &[u8], mut extensions: &[u8]) -> Result<(), Malformed> {
    while let Some(([kind, high, low], rest)) = extensions.split_first_chunk::<3>() {
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        let (value, rest) = rest.split_at_checked(length).ok_or(Malformed::Length)?;
        if *kind == CHECKSUM {
            let said: [u8; 4] = value.try_into().map_err(|_| Malformed::Length)?;
            let at = header.len() - rest.len() - 4;
            if crc32c(&[&header[..at], &[0; 4], rest]) != u32::from_be_bytes(said) {
                return Err(Malformed::Checksum);
            }
        }
        extensions = rest;
    }
    if extensions.is_empty() { Ok(()) } else { Err(Malformed::Length) }
}

/// CRC-32C (RFC 3720, B.4), bit by bit: it is for some hundred bytes of a connection at most.
fn crc32c(parts: &[&[u8]]) -> u32 {
    let mut crc = u32::MAX;
    for byte in parts.iter().flat_map(|part| part.iter()) {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 };
        }
    }
    !crc
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn origin(bytes: &[u8]) -> Result<Option<Origin>, Malformed> {
        match parse(bytes)? {
            Parsed::Whole(header) => Ok(header.origin),
            Parsed::Partial(more) => panic!("{more} bytes more are wanted"),
        }
    }

    /// A header of version 2.
    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut bytes = SIGNATURE.to_vec();
        bytes.extend([command, family]);
        bytes.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
        bytes.extend(rest);
        bytes
    }

    const V4: &[u8] = &[192, 0, 2, 7, 198, 51, 100, 1, 0xdb, 0x1d, 0x01, 0xbb];

    #[test]
    fn both_versions_tell_the_client() {
        let four =
            Origin { source: "192.0.2.7:56093".parse().unwrap(), destination: "198.51.100.1:443".parse().unwrap() };
        let line = b"PROXY TCP4 192.0.2.7 198.51.100.1 56093 443\r\nGET / HTTP/1.1\r\n";
        assert_eq!(parse(line), Ok(Parsed::Whole(Header { length: line.len() - 16, origin: Some(four) })));
        let mut header = v2(0x21, 0x11, V4);
        header.extend(b"\x16\x03\x01");
        assert_eq!(parse(&header), Ok(Parsed::Whole(Header { length: 28, origin: Some(four) })));
        let six =
            Origin { source: "[2001:db8::7]:1".parse().unwrap(), destination: "[2001:db8::1]:65535".parse().unwrap() };
        assert_eq!(origin(b"PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n"), Ok(Some(six)));
        let mut rest = Vec::new();
        for address in ["2001:db8::7", "2001:db8::1"] {
            rest.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        }
        rest.extend([0, 1, 0xff, 0xff]);
        assert_eq!(origin(&v2(0x21, 0x21, &rest)), Ok(Some(six)));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        for header in [
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n".to_vec(),
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, V4),
            v2(0x20, 0x11, &[]),
            v2(0x20, 0x21, b"\x01"),
            v2(0x20, 0xff, b"anything"),
            v2(0x21, 0x00, b"anything"),
            v2(0x21, 0x12, V4),
            v2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(origin(&header), Ok(None), "{}", header.escape_ascii());
        }
    }

    #[test]
    fn extensions_have_to_fit_and_a_checksum_is_compared() {
        let with = |extensions: &[u8]| origin(&v2(0x21, 0x11, &[V4, extensions].concat()));
        assert!(with(b"\x01\0\x02h2\x04\0\0").is_ok());
        for bad in [&b"\x01"[..], b"\x01\0", b"\x01\0\x03h2", b"\x01\xff\xffh2", b"\x03\0\x02ab"] {
            assert_eq!(with(bad), Err(Malformed::Length), "{}", bad.escape_ascii());
        }
        assert_eq!(crc32c(&[b"1234", b"56789"]), 0xe306_9283, "the check value of CRC-32C");
        let blank = v2(0x21, 0x11, &[V4, b"\x03\0\x04\0\0\0\0\x04\0\x01x"].concat());
        let sum = crc32c(&[&blank]).to_be_bytes();
        let mut right = blank.clone();
        right[31..35].copy_from_slice(&sum);
        assert!(origin(&right).unwrap().is_some());
        right[38] ^= 1;
        assert_eq!(origin(&right), Err(Malformed::Checksum));
    }

    #[test]
    fn what_is_not_exactly_a_header_is_none() {
        for (bad, why) in [
            (&b"GET / HTTP/1.1\r\n\r\n"[..], Malformed::NotProxy),
            (b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n", Malformed::NotProxy),
            (b"\r\n\r\n\0\r\nQUIT\r", Malformed::NotProxy),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 +1 2\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY TCP4 ::1 ::1 1 2\r\n", Malformed::Line),
            (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\rx", Malformed::Line),
            (b"PROXY TCP4 1.2.3.4\0", Malformed::Line),
            (&v2(0x11, 0x11, V4), Malformed::Kind),
            (&v2(0x22, 0x11, V4), Malformed::Kind),
            (&v2(0x21, 0x41, V4), Malformed::Kind),
            (&v2(0x21, 0x13, V4), Malformed::Kind),
            (&v2(0x21, 0x11, &V4[..11]), Malformed::Length),
            (&v2(0x21, 0x21, V4), Malformed::Length),
            (b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", Malformed::Length),
        ] {
            assert_eq!(parse(bad), Err(why), "{}", bad.escape_ascii());
        }
        let endless = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 200]].concat();
        assert_eq!(parse(&endless), Err(Malformed::Line));
    }

    #[test]
    fn a_beginning_asks_for_no_more_than_belongs_to_the_header() {
        for whole in [
            b"PROXY TCP4 192.0.2.7 198.51.100.1 56093 443\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            v2(0x21, 0x11, &[V4, b"\x01\0\x02h2"].concat()),
        ] {
            for cut in 0..whole.len() {
                match parse(&whole[..cut]) {
                    Ok(Parsed::Partial(more)) => assert!((1..=whole.len() - cut).contains(&more), "{cut}: {more}"),
                    other => panic!("{cut} of {}: {other:?}", whole.escape_ascii()),
                }
            }
        }
    }
}
