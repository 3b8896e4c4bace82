//! Heads of HTTP/1 as they are read: where one ends, and its parts as slices of the buffer.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Status};

/// Headers in one head; more are refused.
pub(crate) const MOST_HEADERS: usize = 1000;

/// Room for the headers of one head, on the stack and not cleared.
pub(crate) type Slots<'b> = [MaybeUninit<Header<'b>>; MOST_HEADERS];

/// Room for a head's headers.
pub(crate) const fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MOST_HEADERS]
}

/// A head that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

/// A request's head.
#[derive(Debug)]
pub(crate) struct RequestHead<'h, 'b> {
    pub(crate) method: &'b str,
    pub(crate) target: &'b str,
    /// HTTP/1.0, not 1.1.
    pub(crate) old: bool,
    pub(crate) headers: &'h [Header<'b>],
}

/// A response's head.
#[derive(Debug)]
pub(crate) struct ResponseHead<'h, 'b> {
    pub(crate) status: u16,
    pub(crate) reason: &'b str,
    pub(crate) old: bool,
    pub(crate) headers: &'h [Header<'b>],
}

/// The length of the head that `bytes` begin with, when it is all there. `known` bytes were
/// looked at before.
pub(crate) fn end(bytes: &[u8], known: usize) -> Option<usize> {
    let from = known.saturating_sub(3);
    memchr::memmem::find(bytes.get(from..)?, b"\r\n\r\n").map(|at| from + at + 4)
}

/// Whether a line ends in a line feed alone: some parsers see an end there and others don't.
pub(crate) fn has_bare_line_end(bytes: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', bytes).any(|at| at == 0 || bytes[at - 1] != b'\r')
}

/// Parses a whole request head.
pub(crate) fn request<'h, 'b>(
    bytes: &'b [u8],
    slots: &'h mut [MaybeUninit<Header<'b>>],
) -> Result<RequestHead<'h, 'b>, Malformed> {
    if has_bare_line_end(bytes) {
        return Err(Malformed);
    }
    let mut request = httparse::Request::new(&mut []);
    match ParserConfig::default().parse_request_with_uninit_headers(&mut request, bytes, slots) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) | Err(_) => return Err(Malformed),
    }
    let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version) else {
        return Err(Malformed);
    };
    Ok(RequestHead { method, target, old: version == 0, headers: request.headers })
}

/// Parses a whole response head.
pub(crate) fn response<'h, 'b>(bytes: &'b [u8], slots: &'h mut Slots<'b>) -> Result<ResponseHead<'h, 'b>, Malformed> {
    if has_bare_line_end(bytes) {
        return Err(Malformed);
    }
    let mut response = httparse::Response::new(&mut []);
    match ParserConfig::default().parse_response_with_uninit_headers(&mut response, bytes, slots) {
        Ok(Status::Complete(length)) if length == bytes.len() => {}
        Ok(_) | Err(_) => return Err(Malformed),
    }
    let (Some(status), Some(version)) = (response.code, response.version) else { return Err(Malformed) };
    if !(100..1000).contains(&status) {
        return Err(Malformed);
    }
    Ok(ResponseHead {
        status,
        reason: response.reason.unwrap_or_default(),
        old: version == 0,
        headers: response.headers,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heads_end_is_found_in_pieces() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore";
        for known in 0..bytes.len() - 4 {
            assert_eq!(end(bytes, known), Some(bytes.len() - 4), "{known}");
        }
        assert_eq!(end(&bytes[..20], 0), None);
    }

    #[test]
    fn what_parsers_read_differently_is_refused() {
        for bad in [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            "GET / HTTP/1.1\r\n Host: a\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\rb\r\n\r\n",
            "GET / HTTP/1.1\r\nX: a\0b\r\n\r\n",
            "GET / HTTP/1.1\r\n: a\r\n\r\n",
            "GET /  HTTP/1.1\r\n\r\n",
            "GET / HTTP/2.0\r\n\r\n",
            "GET / HTTP/1.1 \r\n\r\n",
        ] {
            assert_eq!(request(bad.as_bytes(), &mut slots()).err(), Some(Malformed), "{bad:?}");
        }
        for bad in [
            "HTTP/1.1 200 OK\nX: a\r\n\r\n",
            "HTTP/1.1 200 OK\r\nX : a\r\n\r\n",
            "HTTP/1.1 99 OK\r\n\r\n",
            "HTTP/1.1 0200 OK\r\n\r\n",
        ] {
            assert_eq!(response(bad.as_bytes(), &mut slots()).err(), Some(Malformed), "{bad:?}");
        }
    }
}
