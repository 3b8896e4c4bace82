//! HTTP/2 on a connection: `serve` is a client's, `upstream` has those to dynos that speak
//! it, and `client` and `dyno` are one stream of each as an exchange sees it. Heads go
//! through the form that they have in HTTP/1, so that each rule is written once.

pub(crate) mod client;
pub(crate) mod dyno;
pub(crate) mod serve;
mod stream;
pub(crate) mod upstream;
mod watched;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};

/// What a client begins with that knows by itself that HTTP/2 is spoken, as far as it looks like
/// the head of a request (RFC 9113, 3.4).
pub(crate) const PREFACE_HEAD: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// What one stream may have under way unread, bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What all streams of a connection may, bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What one stream may have written that its connection has not sent yet, bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Headers of HTTP/1 as those of HTTP/2, but for what only frames a message there.
fn fields(headers: &[httparse::Header<'_>], skipped: &[&str]) -> HeaderMap {
    let mut fields = HeaderMap::with_capacity(headers.len());
    for header in headers {
        if skipped.iter().any(|skipped| header.name.eq_ignore_ascii_case(skipped)) {
            continue;
        }
        let name = HeaderName::from_bytes(header.name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_bytes(header.value)) {
            fields.append(name, value);
        }
    }
    fields
}

/// Headers as the rules read them.
pub(crate) fn pairs(headers: &HeaderMap) -> Vec<(&[u8], &[u8])> {
    headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())).collect()
}
