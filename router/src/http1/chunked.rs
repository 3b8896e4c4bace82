//! Chunked bodies as they are read (RFC 9112, 7.1). Strict, since what two parsers read
//! differently is how requests are smuggled. Nothing of the framing is passed on: what goes
//! out is framed anew.

use super::head::{self, MOST_HEADERS};
use super::write;

/// The longest chunk extension, bytes. They are dropped in any case.
const LONGEST_EXTENSION: usize = 256;

/// All trailers together, bytes.
const MOST_TRAILERS: usize = 16 * 1024;

/// What was read is no chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadChunk;

/// How far a piece of input went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Decoded {
    /// All of it belongs to the body, which goes on.
    More,
    /// The body ended after so many bytes of it.
    End(usize),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// In the size, of which so many digits were read.
    Size(u8),
    /// In an extension, of which so many bytes were read.
    Extension(usize),
    SizeEnd,
    Data,
    DataReturn,
    DataEnd,
    Trailers,
}

/// A body that is being read, in pieces of any size.
#[derive(Debug)]
pub(crate) struct Chunked {
    state: State,
    /// The chunk's size as far as it is known, then what is still to come of it.
    left: u64,
    trailers: Vec<u8>,
}

impl Chunked {
    pub(crate) fn new() -> Chunked {
        Chunked { state: State::Size(0), left: 0, trailers: Vec::new() }
    }

    /// Hands what `input` has of the body to `data`, in order.
    pub(crate) fn decode(&mut self, input: &[u8], mut data: impl FnMut(&[u8])) -> Result<Decoded, BadChunk> {
        let mut at = 0;
        while let Some(&byte) = input.get(at) {
            if self.state == State::Data {
                let rest = &input[at..];
                let length = usize::try_from(self.left).unwrap_or(usize::MAX).min(rest.len());
                data(&rest[..length]);
                at += length;
                self.left -= length as u64;
                if self.left == 0 {
                    self.state = State::DataReturn;
                }
                continue;
            }
            at += 1;
            self.state = match (self.state, byte) {
                (State::Size(digits), byte) if byte.is_ascii_hexdigit() && digits < 16 => {
                    self.left = self.left << 4 | u64::from(char::from(byte).to_digit(16).unwrap_or_default());
                    State::Size(digits + 1)
                }
                (State::Size(1..) | State::Extension(_), b'\r') => State::SizeEnd,
                (State::Size(1..), b';') => State::Extension(0),
                (State::Extension(length), b'\t' | b' '..=b'~' | 0x80..) if length < LONGEST_EXTENSION => {
                    State::Extension(length + 1)
                }
                (State::SizeEnd, b'\n') if self.left == 0 => State::Trailers,
                (State::SizeEnd, b'\n') => State::Data,
                (State::DataReturn, b'\r') => State::DataEnd,
                (State::DataEnd, b'\n') => State::Size(0),
                (State::Trailers, byte) if self.trailers.len() < MOST_TRAILERS => {
                    self.trailers.push(byte);
                    if self.trailers == b"\r\n" || self.trailers.ends_with(b"\r\n\r\n") {
                        return Ok(Decoded::End(at));
                    }
                    State::Trailers
                }
                (
                    State::Size(_)
                    | State::Extension(_)
                    | State::SizeEnd
                    | State::Data
                    | State::DataReturn
                    | State::DataEnd
                    | State::Trailers,
                    _,
                ) => return Err(BadChunk),
            };
        }
        Ok(Decoded::More)
    }

    /// The trailers of a body that has ended, as lines, but those that a head alone may have.
    pub(crate) fn trailers(&self) -> Result<Vec<u8>, BadChunk> {
        let mut kept = Vec::new();
        if self.trailers.len() <= 2 {
            return Ok(kept);
        }
        if head::has_bare_line_end(&self.trailers) {
            return Err(BadChunk);
        }
        let mut slots = [httparse::EMPTY_HEADER; 64];
        const { assert!(MOST_HEADERS >= 64) };
        let Ok(httparse::Status::Complete((_, headers))) = httparse::parse_headers(&self.trailers, &mut slots) else {
            return Err(BadChunk);
        };
        for header in headers {
            if may_trail(header.name) {
                write::header(&mut kept, header.name.as_bytes(), header.value);
            }
        }
        Ok(kept)
    }
}

/// Whether a header may come after the body: not what frames or routes the message, says who
/// asks, or is the router's to say (RFC 9110, 6.5.1).
pub(crate) fn may_trail(name: &str) -> bool {
    const NEVER: [&str; 26] = [
        "authorization",
        "cache-control",
        "connection",
        "content-encoding",
        "content-length",
        "content-range",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "max-forwards",
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "range",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-real-ip",
        "x-request-id",
        "x-request-start",
    ];
    let name = name.replace('_', "-").to_ascii_lowercase();
    !name.starts_with("x-forwarded-") && !NEVER.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    /// Decodes in pieces of `step` bytes: the body, and what comes after it.
    fn decode(input: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, usize), BadChunk> {
        let (mut chunked, mut body) = (Chunked::new(), Vec::new());
        for (number, piece) in input.chunks(step).enumerate() {
            if let Decoded::End(used) = chunked.decode(piece, |data| body.extend_from_slice(data))? {
                return Ok((body, chunked.trailers()?, number * step + used));
            }
        }
        Ok((body, Vec::new(), usize::MAX))
    }

    #[test]
    fn bodies_in_pieces_of_any_size() {
        let input =
            b"5\r\nhello\r\n0000A;name=\"a b\"\r\n, world..!\r\n0\r\nGrpc-Status: 0\r\nContent-Length: 9\r\n\r\nGET /";
        for step in 1..=input.len() {
            let (body, trailers, used) = decode(input, step).unwrap();
            assert_eq!(body, b"hello, world..!", "{step}");
            assert_eq!(trailers, b"grpc-status: 0\r\n", "{step}");
            assert_eq!(used, input.len() - 5, "{step}");
        }
        let said = ["Forwarded", "Proxy", "X-Forwarded-For", "X-Real-IP", "X-Request-Id", "X_Request_Start"];
        let said: Vec<String> = said.iter().map(|name| format!("{name}: no\r\n")).collect();
        let input = format!("0\r\n{}X-Sum: yes\r\n\r\n", said.concat());
        assert_eq!(decode(input.as_bytes(), input.len()).unwrap().1, b"x-sum: yes\r\n");
        assert_eq!(decode(b"0\r\n\r\n", 2).unwrap(), (vec![], vec![], 5));
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        let long = format!("1;{}\r\nx\r\n", "e".repeat(257));
        for bad in [
            "\r\n",
            "x\r\n",
            " 5\r\nhello\r\n",
            "5 \r\nhello\r\n",
            "+5\r\nhello\r\n",
            "0x5\r\nhello\r\n",
            "-1\r\n",
            "5\nhello\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "5\r\nhelloo\r\n",
            "5;a\nhello\r\n",
            "5;\0\r\nhello\r\n",
            "5;a\rb\r\nhello\r\n",
            "11111111111111111\r\n",
            ";\r\n",
            "0\r\nno colon\r\n\r\n",
            "0\r\na: b\nc: d\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            long.as_str(),
        ] {
            assert_eq!(decode(bad.as_bytes(), 1024), Err(BadChunk), "{bad:?}");
            assert_eq!(decode(bad.as_bytes(), 1), Err(BadChunk), "{bad:?}");
        }
    }
}
