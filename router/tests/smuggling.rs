//! Requests made to be read in two ways. Whatever the router makes of one, three things hold:
//! what reaches the dyno is HTTP/1.1 (or HTTP/2) that can be read in one way only, it is as many
//! requests as the client got answers for, and the next client gets its own answer.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::time::Duration;

use paas_domain::route::{AppRoute, RouteState, Rules};
use paas_router::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use util::client::{connect, send, status_of};
use util::wire::{Message, Recorder, responses};
use util::{House, app, limits, table};

#[derive(Clone, Copy)]
enum Want {
    /// Answered with one of these; the dyno gets no whole request but the one behind it, if the
    /// router goes on reading.
    Refused(&'static [u16]),
    /// Answered by the dyno, and so is what comes after it on the connection.
    Passed,
    /// Answered by the dyno, and the connection is closed.
    PassedThenClosed,
    /// The RFC leaves it open: either is fine.
    Safe,
}

use Want::{Passed, PassedThenClosed, Refused, Safe};

struct Row {
    name: &'static str,
    bytes: Vec<u8>,
    want: Want,
    /// Of the first request that the dyno got.
    body: Option<&'static str>,
    target: Option<&'static str>,
    with: &'static [(&'static str, &'static str)],
    without: &'static [&'static str],
}

fn row(name: &'static str, bytes: impl Into<Vec<u8>>, want: Want) -> Row {
    Row { name, bytes: bytes.into(), want, body: None, target: None, with: &[], without: &[] }
}

/// A POST with these lines and this behind its head.
fn post(name: &'static str, lines: &str, body: &str, want: Want) -> Row {
    row(name, format!("POST /a HTTP/1.1\r\nHost: demo.localhost\r\n{lines}\r\n{body}"), want)
}

/// A GET with these lines.
fn lines(name: &'static str, lines: &str, want: Want) -> Row {
    row(name, format!("GET /a HTTP/1.1\r\nHost: demo.localhost\r\n{lines}\r\n"), want)
}

/// A chunked POST with this body.
fn chunked(name: &'static str, body: &str, want: Want) -> Row {
    post(name, "Transfer-Encoding: chunked\r\n", body, want)
}

/// A GET with this request line.
fn first(name: &'static str, line: &str, want: Want) -> Row {
    row(name, format!("{line}\r\nHost: demo.localhost\r\n\r\n"), want)
}

impl Row {
    fn body(self, body: &'static str) -> Row {
        Row { body: Some(body), ..self }
    }

    fn target(self, target: &'static str) -> Row {
        Row { target: Some(target), ..self }
    }

    fn with(self, with: &'static [(&'static str, &'static str)]) -> Row {
        Row { with, ..self }
    }

    fn without(self, without: &'static [&'static str]) -> Row {
        Row { without, ..self }
    }

    /// What is wrong with how the dyno got it.
    fn check(&self, request: &Message) -> Result<(), String> {
        if self.body.is_some_and(|body| body != request.body) {
            return Err(format!("the body is {:?}", request.body));
        }
        if self.target.is_some_and(|target| target != request.target()) {
            return Err(format!("the target is {:?}", request.target()));
        }
        for (name, value) in self.with {
            if request.header(name) != Some(value) {
                return Err(format!("{name} is {:?}", request.header(name)));
            }
        }
        match self.without.iter().find(|name| request.header(name).is_some()) {
            Some(name) => Err(format!("{name} came through")),
            None => Ok(()),
        }
    }
}

const BAD: Want = Refused(&[400]);
const BAD_CODING: Want = Refused(&[400, 501]);
const BAD_VERSION: Want = Refused(&[400, 505]);
const TOO_LONG: Want = Refused(&[400, 414, 431]);
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: demo.localhost\r\n\r\n";

/// Lengths, encodings, and both.
fn framing() -> Vec<Row> {
    let both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n";
    let other = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n";
    let hello = "5\r\nhello\r\n0\r\n\r\n";
    vec![
        // Heroku: chunked comes before a length. What follows it can't be trusted.
        post("CL.TE", both, "0\r\n\r\nG", PassedThenClosed).body("").without(&["content-length"]),
        post(
            "TE.CL",
            other,
            "5c\r\nGPOST / HTTP/1.1\r\nContent-Type: x\r\nContent-Length: 15\r\n\r\nx=1\r\n0\r\n\r\n",
            Safe,
        ),
        post(
            "TE.CL with a request",
            other,
            &format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len()),
            PassedThenClosed,
        )
        .without(&["content-length"]),
        row("CL and TE in HTTP/1.0", format!("POST /a HTTP/1.0\r\nHost: demo.localhost\r\n{both}\r\n0\r\n\r\nG"), BAD),
        row(
            "TE in HTTP/1.0",
            format!("POST /a HTTP/1.0\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n{hello}"),
            BAD,
        ),
        post("TE in odd letters", "Transfer-Encoding: cHuNkEd\r\n", hello, Passed).body("hello"),
        post("TE behind a tab", "Transfer-Encoding:\tchunked\r\n", hello, Passed).body("hello"),
        post("TE with spaces after it", "Transfer-Encoding: chunked \t \r\n", hello, Passed).body("hello"),
        post("TE xchunked", "Transfer-Encoding: xchunked\r\n", hello, BAD_CODING),
        post("TE xchunked and CL", "Transfer-Encoding: xchunked\r\nContent-Length: 15\r\n", hello, BAD_CODING),
        post("TE with a space before the colon", "Transfer-Encoding : chunked\r\n", hello, BAD),
        post("TE with a tab before the colon", "Transfer-Encoding\t: chunked\r\n", hello, BAD),
        post("TE identity", "Transfer-Encoding: identity\r\n", hello, BAD_CODING),
        post("TE identity and CL", "Transfer-Encoding: identity\r\nContent-Length: 15\r\n", hello, BAD_CODING),
        post("TE chunked, identity", "Transfer-Encoding: chunked, identity\r\n", hello, BAD_CODING),
        post("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n", hello, BAD_CODING),
        post("TE chunked, chunked", "Transfer-Encoding: chunked, chunked\r\n", hello, BAD_CODING),
        post("TE twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", hello, BAD_CODING),
        post("TE twice, one odd", "Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n", hello, BAD_CODING),
        post("TE twice, the other odd", "Transfer-Encoding: cow\r\nTransfer-Encoding: chunked\r\n", hello, BAD_CODING),
        post("TE in quotes", "Transfer-Encoding: \"chunked\"\r\n", hello, BAD_CODING),
        post("TE with a parameter", "Transfer-Encoding: chunked;foo=bar\r\n", hello, BAD_CODING),
        post("TE empty", "Transfer-Encoding:\r\n", hello, BAD_CODING),
        post("TE with a comma", "Transfer-Encoding: ,chunked\r\n", hello, Safe),
        post("TE behind a vertical tab", "Transfer-Encoding: \x0bchunked\r\n", hello, BAD_CODING),
        post("TE behind a null byte", "Transfer-Encoding: \0chunked\r\n", hello, BAD_CODING),
        post("TE behind a no-break space", "Transfer-Encoding: \u{a0}chunked\r\n", hello, BAD_CODING),
        post("TE on a folded line", "Transfer-Encoding:\r\n chunked\r\n", hello, BAD_CODING),
        post("TE in a folded line", "X: x\r\n Transfer-Encoding: chunked\r\n", hello, BAD),
        post("TE behind a bare LF", "X: x\nTransfer-Encoding: chunked\r\n", hello, Safe),
        post("TE behind a bare CR", "X: x\rTransfer-Encoding: chunked\r\n", hello, BAD),
        post("TE before a bare LF and a colon", "Transfer-Encoding\n: chunked\r\n", hello, BAD),
        post(
            "TE that the connection is said to own",
            "Transfer-Encoding: chunked\r\nConnection: transfer-encoding\r\n",
            hello,
            Passed,
        )
        .body("hello"),
        post("TE with _", "Transfer_Encoding: chunked\r\nContent-Length: 5\r\n", "hello", Passed)
            .body("hello")
            .without(&["transfer_encoding"]),
        post("CL with _", "Content_Length: 50\r\nContent-Length: 5\r\n", "hello", Passed)
            .body("hello")
            .without(&["content_length"]),
        post("CL", "Content-Length: 5\r\n", "hello", Passed).body("hello"),
        post("CL twice the same", "Content-Length: 5\r\nContent-Length: 5\r\n", "hello", Safe).body("hello"),
        post("CL twice", "Content-Length: 5\r\nContent-Length: 6\r\n", "hello!", BAD),
        post("CL twice, the second shorter", "Content-Length: 6\r\nContent-Length: 5\r\n", "hello!", BAD),
        post("CL as a list of the same", "Content-Length: 5, 5\r\n", "hello", Safe).body("hello"),
        post("CL as a list", "Content-Length: 5, 6\r\n", "hello!", BAD),
        post("CL with a plus", "Content-Length: +5\r\n", "hello", BAD),
        post("CL below zero", "Content-Length: -5\r\n", "hello", BAD),
        post("CL in hex", "Content-Length: 0x5\r\n", "hello", BAD),
        post("CL with a space in it", "Content-Length: 1 5\r\n", "hello", BAD),
        post("CL with letters", "Content-Length: 5a\r\n", "hello", BAD),
        post("CL with a semicolon", "Content-Length: 5;\r\n", "hello", BAD),
        post("CL with a fraction", "Content-Length: 5.0\r\n", "hello", BAD),
        post("CL with an exponent", "Content-Length: 1e1\r\n", "hello", BAD),
        post("CL with _ in it", "Content-Length: 1_0\r\n", "hello", BAD),
        post("CL in wide digits", "Content-Length: \u{ff15}\r\n", "hello", BAD),
        post("CL empty", "Content-Length:\r\n", "hello", BAD),
        post("CL of 2^64", "Content-Length: 18446744073709551616\r\n", "hello", BAD),
        post("CL of 2^64 + 5", "Content-Length: 18446744073709551621\r\n", "hello", BAD),
        post("CL with a zero in front", "Content-Length: 05\r\n", "hello", Safe).body("hello"),
        post("CL in spaces", "Content-Length: \t 5 \t\r\n", "hello", Passed).body("hello"),
        post("CL with a space before the colon", "Content-Length : 5\r\n", "hello", BAD),
        post("CL behind a bare CR", "Content-Length: \r5\r\n", "hello", BAD),
        post(
            "CL that the connection is said to own",
            "Content-Length: 5\r\nConnection: content-length\r\n",
            "hello",
            Passed,
        )
        .body("hello"),
        post("no CL and a body", "", "hello", Safe).body(""),
        row("GET with a body", "GET /a HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: 5\r\n\r\nhello", Passed)
            .body("hello"),
        row(
            "GET with a chunked body",
            format!("GET /a HTTP/1.1\r\nHost: demo.localhost\r\nTransfer-Encoding: chunked\r\n\r\n{hello}"),
            Passed,
        )
        .body("hello"),
        row(
            "a request in the body",
            format!("GET /a HTTP/1.1\r\nHost: demo.localhost\r\nContent-Length: {}\r\n\r\n{SMUGGLED}", SMUGGLED.len()),
            Safe,
        ),
        post("requests one after another", "Content-Length: 5\r\n", &format!("hello{SMUGGLED}{SMUGGLED}"), Passed)
            .body("hello"),
    ]
}

/// Chunks of a body.
fn chunks() -> Vec<Row> {
    let long = "x".repeat(100_000);
    vec![
        chunked("chunks", "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", Passed).body("hello world"),
        chunked("a chunk with an extension", "5;a=b\r\nhello\r\n0;c\r\n\r\n", Passed).body("hello"),
        chunked("a chunk with an extension in quotes", "5;a=\"b;c\"\r\nhello\r\n0\r\n\r\n", Passed).body("hello"),
        chunked("a chunk with an extension that holds a bare LF", "5;a\nb\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk with an extension that holds a bare CR", "5;a\rb\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk with an endless extension", &format!("5;{long}\r\nhello\r\n0\r\n\r\n"), BAD),
        chunked("a chunk size with a space after it", "5 \r\nhello\r\n0\r\n\r\n", Safe).body("hello"),
        chunked("a chunk size with a space in front", " 5\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size with 0x", "0x5\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size with a plus", "+5\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size below zero", "-5\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size with _", "0_5\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size of letters", "g\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk without size", "\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk whose extension has no size", ";a\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk of 2^64 + 5", "10000000000000005\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk of 2^64 - 1", "ffffffffffffffff\r\nhello\r\n0\r\n\r\n", Safe),
        chunked("a chunk size with many zeros", "000000000000000005\r\nhello\r\n0\r\n\r\n", Safe).body("hello"),
        chunked("an end with many zeros", "5\r\nhello\r\n000\r\n\r\n", Passed).body("hello"),
        chunked("a chunk size before a bare LF", "5\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size before a bare CR", "5\rhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk size before two CRs", "5\r\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("a chunk before a bare LF", "5\r\nhello\n0\r\n\r\n", BAD),
        chunked("a chunk before nothing", "5\r\nhello0\r\n\r\n", BAD),
        chunked("a chunk before two letters", "5\r\nhelloXX0\r\n\r\n", BAD),
        chunked("a chunk that is longer than its size", "4\r\nhello\r\n0\r\n\r\n", BAD),
        chunked("an end before a bare LF", "5\r\nhello\r\n0\n\r\n", BAD),
        chunked("an end of two bare LFs", "5\r\nhello\r\n0\r\n\n", Safe),
        chunked("a trailer", "5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n", Passed).body("hello"),
        chunked("a trailer of a length", "5\r\nhello\r\n0\r\nContent-Length: 3\r\n\r\n", Safe).body("hello"),
        chunked("a trailer of an encoding", "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", Safe)
            .body("hello"),
        chunked("a trailer of a host", "5\r\nhello\r\n0\r\nHost: evil.localhost\r\n\r\n", Safe).body("hello"),
        chunked("a trailer of a protocol", "5\r\nhello\r\n0\r\nX-Forwarded-Proto: https\r\n\r\n", Safe).body("hello"),
        chunked("a trailer with a bare CR", "5\r\nhello\r\n0\r\nX: a\rb\r\n\r\n", BAD),
        chunked("a trailer with a space before the colon", "5\r\nhello\r\n0\r\nX : a\r\n\r\n", BAD),
        chunked("a trailer without colon", "5\r\nhello\r\n0\r\nX\r\n\r\n", BAD),
        chunked("endless trailers", &format!("5\r\nhello\r\n0\r\n{}\r\n", "X: a\r\n".repeat(5000)), BAD),
        chunked("an endless trailer", &format!("5\r\nhello\r\n0\r\nX: {long}\r\n\r\n"), BAD),
    ]
}

/// Names and values, line ends, and bytes that belong nowhere.
fn heads() -> Vec<Row> {
    let many = "X: a\r\n".repeat(1001);
    // With `Host`, a thousand.
    let most = "X: a\r\n".repeat(999);
    vec![
        lines("a name of every letter that there is", "!#$%&'*+-.^_`|~: a\r\n", Passed)
            .with(&[("!#$%&'*+-.^_`|~", "a")]),
        lines("a value of UTF-8", "X: h\u{e9}llo\r\n", Safe),
        lines("a value with a tab", "X: a\tb\r\n", Passed).with(&[("x", "a\tb")]),
        lines("an empty value", "X:\r\n", Passed).with(&[("x", "")]),
        lines("a value with a bare CR", "X: a\rb\r\n", BAD),
        lines("a value that ends with two CRs", "X: a\r\r\n", BAD),
        lines("a value with a null byte", "X: a\0b\r\n", BAD),
        lines("a value with a delete", "X: a\x7fb\r\n", BAD),
        lines("a value with an escape", "X: a\x1bb\r\n", BAD),
        lines("a folded line", "X: a\r\n b\r\n", BAD),
        lines("a line folded by a tab", "X: a\r\n\tb\r\n", BAD),
        lines("a name with a null byte", "X\0: a\r\n", BAD),
        lines("a name with a space in front", " X: a\r\n", BAD),
        lines("a name with a space in it", "X Y: a\r\n", BAD),
        lines("a name with a space behind it", "X : a\r\n", BAD),
        lines("a name with a bare CR", "X\rY: a\r\n", BAD),
        lines("a name of UTF-8", "X\u{e9}: a\r\n", BAD),
        lines("a name in brackets", "(X): a\r\n", BAD),
        lines("no name", ": a\r\n", BAD),
        lines("no colon", "X\r\n", BAD),
        lines("a bare LF between two lines", "X: a\nX-Forwarded-Proto: https\r\n", Safe)
            .with(&[("x-forwarded-proto", "http")]),
        lines("a bare LF before a header of ours", "\nX-Forwarded-Proto: https\r\n", Safe),
        row("bare LFs everywhere", "GET /a HTTP/1.1\nHost: demo.localhost\n\n", Safe).target("/a"),
        row("a folded first header", "GET /a HTTP/1.1\r\n Host: demo.localhost\r\n\r\n", BAD),
        row("an empty line in front", "\r\nGET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", Passed).target("/a"),
        row("a bare CR in front", "\rGET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", BAD),
        row("a space in front", " GET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", BAD),
        row("a byte-order mark in front", "\u{feff}GET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r\n", BAD),
        row("a head that ends with CR alone", "GET /a HTTP/1.1\r\nHost: demo.localhost\r\n\r", BAD),
        lines("as many headers as there may be", &most, Passed),
        lines("one more header", &format!("{most}X: a\r\n"), TOO_LONG),
        lines("too many headers", &many, TOO_LONG),
        lines("a header as long as it may be", &format!("X: {}\r\n", "a".repeat(8192 - 3)), Passed),
        lines("a header of one byte more", &format!("X: {}\r\n", "a".repeat(8193 - 3)), TOO_LONG),
        lines("a long header", &format!("X: {}\r\n", "a".repeat(8200)), TOO_LONG),
        lines("a header of 2 MB", &format!("X: {}\r\n", "a".repeat(2 << 20)), TOO_LONG),
        lines("a name as long as it may be", &format!("{}: a\r\n", "X".repeat(1000)), Passed),
        lines("a name of one letter more", &format!("{}: a\r\n", "X".repeat(1001)), TOO_LONG),
    ]
}

/// Request lines and hosts.
fn targets() -> Vec<Row> {
    vec![
        first("a target as to a proxy", "GET http://demo.localhost/b?c HTTP/1.1", Passed).target("/b?c"),
        first("a target as to a proxy, with HTTPS", "GET https://demo.localhost/b HTTP/1.1", Safe).target("/b"),
        first("a target of nobody's", "GET http://evil.localhost/b HTTP/1.1", Refused(&[400, 404])),
        row(
            "a target and another host",
            "GET http://demo.localhost/b HTTP/1.1\r\nHost: evil.localhost\r\n\r\n",
            Passed,
        )
        .target("/b")
        .with(&[("host", "demo.localhost")]),
        first("a target with a user", "GET http://evil.localhost@demo.localhost/b HTTP/1.1", Safe)
            .with(&[("host", "demo.localhost")]),
        first("a target without path", "GET http://demo.localhost HTTP/1.1", Safe).target("/"),
        first("a target that looks like a host", "GET //evil.localhost/b HTTP/1.1", Passed)
            .target("//evil.localhost/b"),
        first("a star", "OPTIONS * HTTP/1.1", Passed).target("*"),
        first("a star of a GET", "GET * HTTP/1.1", Safe),
        first("a target without slash", "GET b/c HTTP/1.1", BAD),
        first("a target of a query", "GET ?b HTTP/1.1", BAD),
        first("a host as the target", "GET demo.localhost:80 HTTP/1.1", BAD),
        first("CONNECT", "CONNECT demo.localhost:80 HTTP/1.1", Refused(&[400, 405])),
        first("two spaces before the target", "GET  /b HTTP/1.1", BAD),
        first("two spaces behind the target", "GET /b  HTTP/1.1", BAD),
        first("a target with a space", "GET /b c HTTP/1.1", BAD),
        first("a target with a version", "GET /b HTTP/1.1 HTTP/1.1", BAD),
        first("a target with a tab", "GET /b\tc HTTP/1.1", BAD),
        first("a tab before the target", "GET\t/b HTTP/1.1", BAD),
        first("a target with a null byte", "GET /b\0c HTTP/1.1", BAD),
        first("a target with a bare CR", "GET /b\rc HTTP/1.1", BAD),
        first("a target with a delete", "GET /b\x7fc HTTP/1.1", BAD),
        first("a target of UTF-8", "GET /\u{e9} HTTP/1.1", Safe),
        first("a target with a fragment", "GET /b#c HTTP/1.1", Safe),
        first("HTTP/0.9", "GET /b", BAD),
        first("HTTP/1.2", "GET /b HTTP/1.2", BAD_VERSION),
        first("HTTP/2.0", "GET /b HTTP/2.0", BAD_VERSION),
        first("HTTP/1.10", "GET /b HTTP/1.10", BAD_VERSION),
        first("HTTP/01.1", "GET /b HTTP/01.1", BAD_VERSION),
        first("HTTP/1,1", "GET /b HTTP/1,1", BAD_VERSION),
        first("a version in small letters", "GET /b http/1.1", BAD_VERSION),
        first("a version and a space", "GET /b HTTP/1.1 ", BAD_VERSION),
        first("a method in small letters", "get /b HTTP/1.1", Passed).target("/b"),
        first("a method that is none", "G@T /b HTTP/1.1", BAD),
        first("a method with a null byte", "GE\0T /b HTTP/1.1", BAD),
        first("no method", " /b HTTP/1.1", BAD),
        first("a method of 127 letters", &format!("{} /b HTTP/1.1", "M".repeat(127)), Passed).target("/b"),
        first("a method of 128 letters", &format!("{} /b HTTP/1.1", "M".repeat(128)), BAD),
        first("a line of 8192 bytes", &format!("GET /{} HTTP/1.1", "b".repeat(8192 - 14)), Passed),
        first("a target of 8193 bytes", &format!("GET /{} HTTP/1.1", "b".repeat(8192)), TOO_LONG),
        first("a long target", &format!("GET /{} HTTP/1.1", "b".repeat(8200)), TOO_LONG),
        first("a target of 2 MB", &format!("GET /{} HTTP/1.1", "b".repeat(2 << 20)), TOO_LONG),
        row("no host", "GET /b HTTP/1.1\r\n\r\n", BAD),
        row("no host in HTTP/1.0", "GET /b HTTP/1.0\r\n\r\n", Refused(&[400, 404])),
        row("an empty host", "GET /b HTTP/1.1\r\nHost:\r\n\r\n", Refused(&[400, 404])),
        lines("two hosts", "Host: evil.localhost\r\n", BAD),
        lines("the same host twice", "Host: demo.localhost\r\n", BAD),
        lines("a host with _", "Ho_st: evil.localhost\r\n", Passed).with(&[("host", "demo.localhost")]),
        row("a host with a port", "GET /b HTTP/1.1\r\nHost: demo.localhost:8080\r\n\r\n", Passed)
            .with(&[("host", "demo.localhost:8080")]),
        row("a host with a path", "GET /b HTTP/1.1\r\nHost: demo.localhost/c\r\n\r\n", BAD),
        row("a host with a user", "GET /b HTTP/1.1\r\nHost: a@demo.localhost\r\n\r\n", BAD),
        row("a host with a space", "GET /b HTTP/1.1\r\nHost: demo.localhost evil\r\n\r\n", BAD),
        row("a host with a tab", "GET /b HTTP/1.1\r\nHost: demo.localhost\tevil\r\n\r\n", BAD),
        row("a host with a comma", "GET /b HTTP/1.1\r\nHost: demo.localhost, evil.localhost\r\n\r\n", BAD),
        row("a host with a null byte", "GET /b HTTP/1.1\r\nHost: demo.localhost\0\r\n\r\n", BAD),
        row("a host of UTF-8", "GET /b HTTP/1.1\r\nHost: d\u{e9}mo.localhost\r\n\r\n", BAD),
    ]
}

/// What is between the client and the router, and what is said in the router's name.
fn hops() -> Vec<Row> {
    vec![
        lines(
            "our headers, as if of the connection",
            "Connection: x-forwarded-proto, x-forwarded-for, x-request-id, via\r\n",
            Passed,
        )
        .with(&[("x-forwarded-proto", "http"), ("x-forwarded-for", "127.0.0.1"), ("via", "1.1 paas-router")])
        .without(&["connection"]),
        lines("the host, as if of the connection", "Connection: host\r\n", Passed).with(&[("host", "demo.localhost")]),
        lines("a header of the connection", "Connection: x-secret\r\nX-Secret: a\r\n", Passed)
            .without(&["x-secret", "connection"]),
        lines("a forged protocol", "X-Forwarded-Proto: https\r\nX-Forwarded-Port: 443\r\n", Passed)
            .with(&[("x-forwarded-proto", "http")]),
        lines("a forged protocol twice", "X-Forwarded-Proto: https\r\nX-Forwarded-Proto: https\r\n", Passed)
            .with(&[("x-forwarded-proto", "http")]),
        lines("a forged protocol with _", "X_Forwarded_Proto: https\r\nX-Forwarded_Proto: https\r\n", Passed)
            .with(&[("x-forwarded-proto", "http")])
            .without(&["x_forwarded_proto", "x-forwarded_proto"]),
        lines(
            "h2c",
            "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            Passed,
        )
        .without(&["upgrade", "http2-settings", "connection"]),
        lines(
            "h2c unnamed by the connection",
            "Connection: Upgrade\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            Passed,
        )
        .without(&["upgrade", "http2-settings", "connection"]),
        lines("h2c among others", "Connection: Upgrade\r\nUpgrade: websocket, h2c\r\n", Safe).without(&["upgrade"]),
        lines("h2c in odd letters", "Connection: upgrade\r\nUpgrade: H2C\r\n", Passed).without(&["upgrade"]),
        lines("an upgrade that is not the connection's", "Upgrade: websocket\r\n", Passed).without(&["upgrade"]),
        lines("an upgrade that the dyno doesn't want", "Connection: Upgrade\r\nUpgrade: websocket\r\n", Passed)
            .with(&[("upgrade", "websocket")]),
        post(
            "an upgrade with a body",
            "Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n",
            "hello",
            Safe,
        )
        .body("hello"),
        lines("keep-alive and proxy-connection", "Keep-Alive: timeout=5\r\nProxy-Connection: keep-alive\r\n", Passed)
            .without(&["keep-alive", "proxy-connection"]),
        lines("TE", "TE: trailers, deflate\r\n", Passed).without(&["connection"]),
        post("an expectation", "Expect: 100-continue\r\nContent-Length: 5\r\n", "hello", Passed)
            .body("hello")
            .without(&["expect"]),
        post("an expectation in odd letters", "Expect: 100-Continue\r\nContent-Length: 5\r\n", "hello", Passed)
            .body("hello"),
        post("another expectation", "Expect: 200-ok\r\nContent-Length: 5\r\n", "hello", Refused(&[417])),
        post("two expectations", "Expect: 100-continue, 200-ok\r\nContent-Length: 5\r\n", "hello", Refused(&[417])),
        post(
            "two lines of expectations",
            "Expect: 100-continue\r\nExpect: 200-ok\r\nContent-Length: 5\r\n",
            "hello",
            Refused(&[417]),
        ),
        lines("an expectation of nothing", "Expect: 100-continue\r\n", Safe),
    ]
}

/// Sends the row and another request behind it; what comes back until the router closes.
async fn exchange(house: &House, row: &Row) -> Result<Vec<Message>, String> {
    let last = b"GET /last HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n";
    let (mut reading, mut writing) = connect(house.addr).await.into_split();
    let bytes = [&row.bytes[..], last].concat();
    // A router that refuses closes without reading all.
    let written = tokio::spawn(async move {
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), reading.read_to_end(&mut answer)).await;
    written.abort();
    if read.is_err() {
        return Err(format!("the connection stays open after {}", answer.escape_ascii()));
    }
    match responses(&answer, &[], true) {
        Ok((all, false)) => Ok(all),
        Ok((_, true)) => Err(format!("the answer is cut off: {}", answer.escape_ascii())),
        Err(why) => Err(format!("the answer has {why}: {}", answer.escape_ascii())),
    }
}

async fn play(house: &House, dyno: &Recorder, row: &Row) -> Result<(), String> {
    let answers = exchange(house, row).await?;
    let statuses: Vec<u16> = answers.iter().map(Message::status).collect();
    let heard = dyno.heard().await?;
    for connection in &heard {
        if let Some(why) = &connection.wrong {
            return Err(format!("the dyno got {why}"));
        }
    }
    let requests: Vec<&Message> = heard.iter().flat_map(|connection| &connection.requests).collect();
    let answered = answers.iter().filter(|answer| answer.status() == 200);
    let mut seen: Vec<&str> = answered.map(|answer| answer.body.as_str()).collect();
    let mut got: Vec<String> = requests.iter().map(|request| format!("seen {}", request.target())).collect();
    seen.sort_unstable();
    got.sort_unstable();
    if seen != got {
        return Err(format!("the client was told {statuses:?} {seen:?} and the dyno has {got:?}"));
    }
    let last = answers.iter().any(|answer| answer.body == "seen /last");
    let fits = match row.want {
        Refused(with) => {
            statuses.first().is_some_and(|status| with.contains(status))
                && requests.iter().all(|request| request.target() == "/last")
        }
        Passed => statuses.len() >= 2 && statuses.iter().all(|status| *status == 200) && last,
        PassedThenClosed => statuses == [200],
        Safe => true,
    };
    if !fits {
        return Err(format!("the client was told {statuses:?}"));
    }
    if let Some(request) = requests.iter().find(|request| request.target() != "/last") {
        row.check(request)?;
    }
    // On a pooled connection, if there is one.
    let other = send(house.addr, "GET /other HTTP/1.1\r\nHost: demo.localhost\r\nConnection: close\r\n\r\n").await;
    if status_of(&other) != 200 || !other.ends_with("\r\n\r\nseen /other") {
        return Err(format!("another client got {other}"));
    }
    let heard = dyno.heard().await?;
    let requests: Vec<&Message> = heard.iter().flat_map(|connection| &connection.requests).collect();
    match &requests[..] {
        [one] if one.target() == "/other" && one.body.is_empty() => Ok(()),
        others => Err(format!("with another client's request the dyno got {others:?}")),
    }
}

/// By dynos of both protocols.
async fn all_hold(rows: impl Fn() -> Vec<Row>) {
    hold(rows(), Recorder::new().await, Rules::default()).await;
    let mut rows = rows();
    for row in &mut rows {
        // HTTP/2 has no upgrades.
        row.with = if row.with.iter().any(|(name, _)| *name == "upgrade") { &[] } else { row.with };
    }
    hold(rows, Recorder::http2().await, Rules { http2: true, ..Rules::default() }).await;
}

async fn hold(rows: Vec<Row>, dyno: Recorder, rules: Rules) {
    let limits = Limits {
        client_idle: Duration::from_millis(400),
        head: Duration::from_millis(400),
        upstream_fresh: Duration::from_secs(20),
        ..limits()
    };
    let app = AppRoute { rules, ..app(RouteState::Serving, &[dyno.dyno.addr]) };
    let house = House::with(table(1, vec![app]), limits).await;
    let mut wrong = Vec::new();
    for row in rows {
        match play(&house, &dyno, &row).await {
            Ok(()) => {}
            Err(why) => {
                wrong.push(format!("{}: {why}", row.name));
                let _ = dyno.heard().await;
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test]
async fn lengths_and_encodings() {
    all_hold(framing).await;
}

#[tokio::test]
async fn chunks_of_bodies() {
    all_hold(chunks).await;
}

#[tokio::test]
async fn lines_and_bytes_of_heads() {
    all_hold(heads).await;
}

#[tokio::test]
async fn request_lines_and_hosts() {
    all_hold(targets).await;
}

#[tokio::test]
async fn connections_and_what_is_said_in_the_routers_name() {
    all_hold(hops).await;
}
