//! Tells Heroku's rendezvous, and Redis, from HTTP by the first bytes after the TLS handshake.
//!
//! A rendezvous begins with its secret, mostly with a line end behind it: hexadecimal digits
//! and no blank. An HTTP request has a blank after a method that is shorter than any secret.
//! A client of Redis says `AUTH` and its secret first, on a line or as its protocol's array.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// Digits of a secret.
const SECRET: usize = 64;

/// How a client of Redis begins that writes a line.
const AUTH: &[u8] = b"AUTH ";

/// How HTTP/2 begins.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The most that `AUTH`, a user's name and a secret take as an array.
const ARRAY: usize = 512;

/// What a connection begins with.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Hello {
    /// HTTP, or nothing that we know: HTTP will say so.
    Http,
    /// A rendezvous with this secret.
    Rendezvous(String),
    /// A client of Redis, with this secret.
    Redis(String),
}

/// A connection whose first bytes have been looked at; they are read again.
#[derive(Debug)]
pub struct Rewound<S> {
    first: BytesMut,
    stream: S,
    /// What of a line end may still come before the bytes that count.
    line_end: &'static [u8],
}

/// Reads as much as is needed to tell. Nothing of HTTP is taken away; of a rendezvous, its
/// secret and the line end.
pub(super) async fn hello<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<(Hello, Rewound<S>)> {
    let mut first = BytesMut::new();
    loop {
        match tell(&first) {
            Some(Hello::Rendezvous(secret)) => {
                first.advance(secret.len());
                return Ok((Hello::Rendezvous(secret), Rewound { first, stream, line_end: b"\r\n" }));
            }
            Some(Hello::Redis(secret)) if first.starts_with(b"*") => {
                let used = array(&first).flatten().map_or(0, |(_, used)| used);
                first.advance(used);
                return Ok((Hello::Redis(secret), Rewound { first, stream, line_end: b"" }));
            }
            Some(Hello::Redis(secret)) => {
                first.advance(AUTH.len() + secret.len());
                return Ok((Hello::Redis(secret), Rewound { first, stream, line_end: b"\r\n" }));
            }
            Some(Hello::Http) => return Ok((Hello::Http, Rewound { first, stream, line_end: b"" })),
            None => {
                if stream.read_buf(&mut first).await? == 0 {
                    return Ok((Hello::Http, Rewound { first, stream, line_end: b"" }));
                }
            }
        }
    }
}

/// Reads until it is plain whether HTTP/2 begins here: the server behind it would wait for that
/// without end.
pub(super) async fn http<S: AsyncRead + Unpin>(mut stream: S) -> io::Result<Rewound<S>> {
    let mut first = BytesMut::new();
    while is_part_of_http2(&first) && stream.read_buf(&mut first).await? > 0 {}
    Ok(Rewound { first, stream, line_end: b"" })
}

fn is_part_of_http2(first: &[u8]) -> bool {
    first.len() < HTTP2.len() && HTTP2.starts_with(first)
}

/// What a connection begins with; `None` when more bytes are needed to tell.
pub(crate) fn tell(first: &[u8]) -> Option<Hello> {
    if is_part_of_http2(first) {
        return None;
    }
    if first.starts_with(b"*") {
        return array(first).map(|found| found.map_or(Hello::Http, |(secret, _)| Hello::Redis(secret)));
    }
    if let Some(rest) = first.strip_prefix(AUTH) {
        return tell_secret(rest).map(|secret| secret.map_or(Hello::Http, Hello::Redis));
    }
    if AUTH.starts_with(first) {
        return None;
    }
    tell_secret(first).map(|secret| secret.map_or(Hello::Http, Hello::Rendezvous))
}

/// The secret of `AUTH SECRET` or `AUTH USER SECRET` as an array of Redis's protocol, and how
/// many bytes that is; `Some(None)` when they are none, `None` when more are needed.
fn array(first: &[u8]) -> Option<Option<(String, usize)>> {
    let lines: Vec<&[u8]> = first.split_inclusive(|byte| *byte == b'\n').collect();
    let words = match lines.first() {
        Some(&b"*2\r\n") => 2,
        Some(&b"*3\r\n") => 3,
        Some(line) if line.ends_with(b"\n") || line.len() > 3 => return Some(None),
        Some(_) | None => return None,
    };
    // A line of its own has each word's length.
    let Some(lines) = lines.get(..=2 * words).filter(|lines| lines[2 * words].ends_with(b"\n")) else {
        return (first.len() > ARRAY).then_some(None);
    };
    let used = lines.iter().map(|line| line.len()).sum();
    if used > ARRAY {
        return Some(None);
    }
    let secret = lines[2 * words].strip_suffix(b"\r\n").filter(|_| lines[2].eq_ignore_ascii_case(b"AUTH\r\n"));
    let secret = secret.filter(|secret| secret.len() == SECRET).and_then(|secret| tell_secret(secret).flatten());
    Some(secret.map(|secret| (secret, used)))
}

/// The secret that the bytes are; `Some(None)` when they are none, `None` when more are needed.
fn tell_secret(first: &[u8]) -> Option<Option<String>> {
    let digits = first.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits < first.len() && digits < SECRET || digits > SECRET {
        return Some(None);
    }
    let secret = first.get(..SECRET).and_then(|secret| std::str::from_utf8(secret).ok())?;
    match first.get(SECRET) {
        None | Some(b'\r' | b'\n') => Some(Some(secret.to_owned())),
        Some(_) => Some(None),
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while let Some((expected, after)) = self.line_end.split_first() {
            if self.first.is_empty() {
                let mut byte = [0];
                let mut one = ReadBuf::new(&mut byte);
                std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, &mut one))?;
                if one.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                self.first.extend_from_slice(&byte);
            }
            if self.first.first() == Some(expected) {
                self.first.advance(1);
            }
            self.line_end = after;
        }
        if !self.first.is_empty() {
            let n = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..n]);
            self.first.advance(n);
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    #[test]
    fn http_and_rendezvous_are_told_apart_in_any_pieces() {
        let secret = "0123456789abcdef".repeat(4);
        for text in ["GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "DELETE /apps/x HTTP/1.1\r\n", "\0\0"] {
            let told: Vec<_> = (0..=text.len()).filter_map(|n| tell(&text.as_bytes()[..n])).collect();
            assert!(!told.is_empty() && told.iter().all(|hello| *hello == Hello::Http), "{text}: {told:?}");
        }
        for text in [secret.clone(), format!("{secret}\r\n"), format!("{secret}\nls\n")] {
            let told: Vec<_> = (0..=text.len()).filter_map(|n| tell(&text.as_bytes()[..n])).collect();
            assert!(told.iter().all(|hello| *hello == Hello::Rendezvous(secret.clone())), "{text}: {told:?}");
            assert!(!told.is_empty());
        }
        for text in [format!("AUTH {secret}"), format!("AUTH {secret}\nPING\n")] {
            let told: Vec<_> = (0..=text.len()).filter_map(|n| tell(&text.as_bytes()[..n])).collect();
            assert!(told.iter().all(|hello| *hello == Hello::Redis(secret.clone())), "{text}: {told:?}");
            assert!(!told.is_empty());
        }
        let arrays = ["*2\r\n$4\r\nAUTH\r\n", "*3\r\n$4\r\nauth\r\n$1\r\nh\r\n"];
        for text in arrays.map(|begin| format!("{begin}$64\r\n{secret}\r\n*1\r\n$4\r\nPING\r\n")) {
            let told: Vec<_> = (0..=text.len()).filter_map(|n| tell(&text.as_bytes()[..n])).collect();
            assert!(told.iter().all(|hello| *hello == Hello::Redis(secret.clone())), "{text}: {told:?}");
            assert!(!told.is_empty());
        }
        for text in [
            "*1\r\n$4\r\nPING\r\n",
            "*2\r\n$4\r\nAUTH\r\n$5\r\nguess\r\n",
            "*2\r\n$3\r\nGET\r\n$1\r\nx\r\n",
            "* / HTTP",
        ] {
            assert_eq!(tell(text.as_bytes()), Some(Hello::Http), "{text}");
        }
        assert_eq!(tell(format!("*2\r\n{}", "x".repeat(ARRAY)).as_bytes()), Some(Hello::Http));
        // Too long before its end has come, and after.
        let long = format!("*3\r\n$4\r\nAUTH\r\n$600\r\n{}\r\n$64\r\n{secret}\r\n", "h".repeat(600));
        assert_eq!(tell(&long.as_bytes()[..600]), Some(Hello::Http));
        assert_eq!(tell(long.as_bytes()), Some(Hello::Http));
        assert_eq!(tell(b"AUTH guess\n"), Some(Hello::Http));
        assert_eq!(tell(format!("{secret}0").as_bytes()), Some(Hello::Http));
        assert_eq!(tell(format!("{secret} ").as_bytes()), Some(Hello::Http));
    }

    #[tokio::test]
    async fn what_follows_is_not_lost() {
        let secret = "f".repeat(64);
        let text = format!("{secret}\r\nls -l\n");
        let (hello, mut rest) = hello(text.as_bytes()).await.unwrap();
        assert_eq!(hello, Hello::Rendezvous(secret));
        let mut left = String::new();
        rest.read_to_string(&mut left).await.unwrap();
        assert_eq!(left, "ls -l\n");
        let text = format!("*2\r\n$4\r\nAUTH\r\n$64\r\n{}\r\nPING\r\n", "f".repeat(64));
        let (hello, mut rest) = super::hello(text.as_bytes()).await.unwrap();
        assert_eq!(hello, Hello::Redis("f".repeat(64)));
        let mut left = String::new();
        rest.read_to_string(&mut left).await.unwrap();
        assert_eq!(left, "PING\r\n");
        let (hello, mut rest) = super::hello(&b"GET / HTTP/1.1\r\n"[..]).await.unwrap();
        assert_eq!(hello, Hello::Http);
        let mut left = String::new();
        rest.read_to_string(&mut left).await.unwrap();
        assert_eq!(left, "GET / HTTP/1.1\r\n");
    }

    #[tokio::test]
    async fn half_a_beginning_of_http2_is_waited_for_here() {
        let (mut client, server) = tokio::io::duplex(64);
        let reading = tokio::spawn(http(server));
        tokio::io::AsyncWriteExt::write_all(&mut client, &HTTP2[..5]).await.unwrap();
        tokio::task::yield_now().await;
        assert!(!reading.is_finished());
        tokio::io::AsyncWriteExt::write_all(&mut client, b"OST").await.unwrap();
        let mut rest = reading.await.unwrap().unwrap();
        let mut read = [0; 8];
        rest.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"PRI *OST");
    }
}
