//! What changes in the head of a response on its way through, and the limits that it keeps.

use hyper::Version;

use crate::clock::Clock;
use crate::failure::Failure;
use crate::framing::{Declared, Length, Unclear};
use crate::headers::{MOST_WORDS, is_named, via, words};
use crate::http1::write;

/// Heroku's limit for one cookie, bytes.
const LONGEST_COOKIE: usize = 8192;

/// A dyno's response, but for its body.
#[derive(Debug)]
pub(crate) struct Reply {
    /// Status line and headers as HTTP/1.1, without those that frame the body, and without
    /// the line that ends them.
    pub(crate) head: Vec<u8>,
    pub(crate) status: u16,
    pub(crate) length: Length,
    /// `Content-Length` of a body that is left out (HEAD, 304).
    pub(crate) told: Option<u64>,
    /// The dyno's connection may have another request after this.
    pub(crate) keep_alive: bool,
}

/// The first line of a response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StatusLine<'l> {
    pub(crate) status: u16,
    pub(crate) reason: &'l str,
    pub(crate) version: Version,
    /// In HTTP/2, whether a body follows.
    pub(crate) streams: bool,
}

/// Makes the dyno's response the one that the client gets. `is_head`: it answers a HEAD;
/// `clock` is for dynos that don't tell it.
pub(crate) fn reply<'l>(
    line: &StatusLine<'l>,
    headers: impl Iterator<Item = (&'l [u8], &'l [u8])> + Clone,
    is_head: bool,
    clock: &Clock,
) -> Result<Reply, Failure> {
    let mut declared = Declared::default();
    let (mut named, mut close, mut keep, mut dated) = (false, false, false, false);
    let (mut size, mut connections) = (0, 0);
    for (name, value) in headers.clone() {
        size += name.len() + value.len() + 4;
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            4 if is("date") => dated = true,
            10 if is("connection") => {
                for word in words(value) {
                    connections += 1;
                    let is = |other: &str| word.eq_ignore_ascii_case(other.as_bytes());
                    if is("close") {
                        close = true;
                    } else if is("keep-alive") {
                        keep = true;
                    } else if !is("upgrade") {
                        named = true;
                    }
                }
            }
            10 if is("set-cookie") && value.len() > LONGEST_COOKIE => {
                return Err(Failure::Restriction("oversized cookie"));
            }
            14 if is("content-length") => declared.length(value),
            17 if is("transfer-encoding") => declared.coding(value),
            _ => {}
        }
    }
    if connections > MOST_WORDS {
        return Err(Failure::Restriction("oversized header"));
    }
    let old = line.version == Version::HTTP_10;
    let switches = line.status == 101;
    let bodiless = is_head || line.status < 200 || line.status == 204 || line.status == 304;
    // Some dynos send a body all the same where there must be none, which would be the next answer.
    let doubtful = bodiless && line.status >= 200 && declared.promises();
    let framed = if bodiless {
        Ok((Length::None, true))
    } else if line.version == Version::HTTP_2 {
        declared.of_answering_stream(line.streams)
    } else {
        declared.of_response(old)
    };
    let (length, certain) = framed.map_err(|unclear| match unclear {
        Unclear::Length => Failure::Restriction("invalid content length"),
        Unclear::Coding => Failure::BadResponse,
    })?;

    let mut head = Vec::with_capacity(size + 192);
    head.extend_from_slice(b"HTTP/1.1 ");
    write::decimal(&mut head, line.status.into());
    head.push(b' ');
    head.extend_from_slice(line.reason.as_bytes());
    head.extend_from_slice(b"\r\n");
    for (name, value) in headers.clone() {
        if is_kept(name) && !(named && is_named(headers.clone(), name) && !name.eq_ignore_ascii_case(b"trailer")) {
            write::header(&mut head, name, value);
        } else if switches && name.eq_ignore_ascii_case(b"upgrade") {
            head.extend_from_slice(b"connection: upgrade\r\n");
            write::header(&mut head, name, value);
        }
    }
    if !dated && !switches {
        write::header(&mut head, b"date", &clock.date());
    }
    head.extend_from_slice(b"via: ");
    head.extend_from_slice(via(line.version));
    head.extend_from_slice(b"\r\n");
    Ok(Reply {
        head,
        status: line.status,
        length,
        told: declared.told().filter(|_| bodiless && line.status != 204 && line.status >= 200),
        keep_alive: certain && !doubtful && !close && (!old || keep),
    })
}

/// Whether a header is for the client, and not for this connection alone.
fn is_kept(name: &[u8]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    !match name.len() {
        2 => is("te"),
        7 => is("upgrade"),
        10 => is("connection") || is("keep-alive"),
        14 => is("content-length"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        19 => is("proxy-authorization"),
        _ => false,
    }
}
