//! A connection of which something has been read already.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf};

/// What bytes come and go by.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Any of them.
pub(super) type Boxed = Box<dyn Stream>;

/// A stream that begins with bytes that were read off it.
pub(super) struct Rewound {
    read: Vec<u8>,
    stream: Boxed,
}

impl Rewound {
    /// Reads what comes first.
    pub(super) async fn new(mut stream: Boxed) -> io::Result<Self> {
        let mut read = vec![0; 4096];
        let count = stream.read(&mut read).await?;
        read.truncate(count);
        Ok(Self { read, stream })
    }

    /// What came first.
    pub(super) fn first(&self) -> &[u8] {
        &self.read
    }

    /// Reads on until what came first has `end` in it: what is before it and it. `None` where
    /// it does not come in 16 KiB.
    pub(super) async fn take_until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|part| part == end) {
                let rest = self.read.split_off(at + end.len());
                return Ok(Some(std::mem::replace(&mut self.read, rest)));
            }
            let mut more = vec![0; 4096];
            let count = self.stream.read(&mut more).await?;
            if count == 0 || self.read.len() > 16 << 10 {
                return Ok(None);
            }
            self.read.extend(more.into_iter().take(count));
        }
    }

    /// All that came first, taken off.
    pub(super) fn take_first(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.read)
    }
}

impl AsyncRead for Rewound {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.stream).poll_read(cx, buf);
        }
        let count = self.read.len().min(buf.remaining());
        let rest = self.read.split_off(count);
        buf.put_slice(&self.read);
        self.read = rest;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Rewound {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, data)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn nothing_is_lost() {
        let (mut far, near) = tokio::io::duplex(64);
        far.write_all(b"CONNECT a:1 HTTP/1.1\r\n").await.unwrap();
        let mut rewound = Rewound::new(Box::new(near)).await.unwrap();
        assert!(rewound.first().starts_with(b"CONNECT "));
        far.write_all(b"Host: a\r\n\r\nrest").await.unwrap();
        let head = rewound.take_until(b"\r\n\r\n").await.unwrap().unwrap();
        assert_eq!(head, b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n");
        far.write_all(b" of it").await.unwrap();
        drop(far);
        let mut rest = String::new();
        rewound.read_to_string(&mut rest).await.unwrap();
        assert_eq!(rest, "rest of it");
    }
}
