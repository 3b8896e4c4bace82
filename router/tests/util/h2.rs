//! HTTP/2 frame by frame (RFC 9113), for clients that no library would be.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::client::connect;
use super::tls::{self, Trusted};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// An integer of HPACK (RFC 7541, 5.1).
fn integer(prefix: u8, bits: u32, value: usize) -> Vec<u8> {
    let most = (1_usize << bits) - 1;
    if value < most {
        return vec![prefix | u8::try_from(value).unwrap()];
    }
    let mut bytes = vec![prefix | u8::try_from(most).unwrap()];
    let mut rest = value - most;
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128).unwrap() | 128);
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).unwrap());
    bytes
}

fn string(text: &[u8]) -> Vec<u8> {
    [integer(0, 7, text.len()), text.to_vec()].concat()
}

/// A header that is spelled out, whatever is in it.
pub fn header(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![0], string(name.as_ref()), string(value.as_ref())].concat()
}

/// The same, and from now on it has the number 62 in the dynamic table.
pub fn remembered(name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Vec<u8> {
    [vec![0x40], string(name.as_ref()), string(value.as_ref())].concat()
}

/// Header number `index` of the tables.
pub fn indexed(index: usize) -> Vec<u8> {
    integer(0x80, 7, index)
}

/// A request's pseudo-headers.
pub fn pseudo(method: &str, path: &str) -> Vec<u8> {
    [
        header(":method", method),
        header(":scheme", "https"),
        header(":authority", "demo.localhost"),
        header(":path", path),
    ]
    .concat()
}

pub fn get(path: &str) -> Vec<u8> {
    pseudo("GET", path)
}

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }

    /// Why a stream or the connection ended, for RST_STREAM and GOAWAY.
    pub fn error(&self) -> u32 {
        self.number(if self.kind == GOAWAY { 4 } else { 0 })
    }

    /// The last stream that was looked at, for GOAWAY: those behind it may be sent again.
    pub fn last_stream(&self) -> u32 {
        self.number(0) & 0x7fff_ffff
    }

    /// `:status` of a response's head, where it is the first header, as it has to be.
    pub fn status(&self) -> u16 {
        match self.payload[0] & 0xe0 {
            // A change of the table's size comes before everything.
            0x20 => Frame { payload: self.payload[1..].to_vec(), ..self.clone() }.status(),
            _ if self.payload[0] & 0x80 != 0 => {
                [200, 204, 206, 304, 400, 404, 500][usize::from(self.payload[0] - 0x88)]
            }
            _ => {
                let length = usize::from(self.payload[1] & 0x7f);
                let value = &self.payload[2..2 + length];
                let text = if self.payload[1] & 0x80 == 0 {
                    String::from_utf8_lossy(value).into_owned()
                } else {
                    digits(value)
                };
                text.parse().unwrap_or_else(|_| panic!("no status in {self:?}"))
            }
        }
    }
}

/// Digits in Huffman's code (RFC 7541, appendix B).
fn digits(bytes: &[u8]) -> String {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let take =
        |at: usize, count: usize| bits.get(at..at + count).map(|bits| bits.iter().fold(0, |all, bit| all * 2 + bit));
    let mut text = String::new();
    let mut at = 0;
    while let Some(five) = take(at, 5) {
        if five < 3 {
            text.push(char::from(b'0' + five));
            at += 5;
        } else {
            match take(at, 6) {
                Some(six @ 0x19..=0x1f) => text.push(char::from(b'3' + six - 0x19)),
                _ => break,
            }
            at += 6;
        }
    }
    text
}

/// How a request ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Answered(u16, String),
    Reset(u32),
    /// The whole connection.
    Gone(u32),
    Closed,
}

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub struct Client<S = TlsStream<TcpStream>>(pub S);

impl Client {
    /// A connection that has said hello, with these settings (number and value).
    pub async fn new(addr: SocketAddr, trusted: &Trusted, settings: &[(u16, u32)]) -> Client {
        Client::over(tls::over(connect(addr).await, trusted, b"h2").await.unwrap(), settings).await
    }
}

impl Client<TcpStream> {
    /// The same without TLS, by prior knowledge.
    pub async fn plain(addr: SocketAddr) -> Client<TcpStream> {
        Client::over(connect(addr).await, &[]).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    async fn over(mut stream: S, settings: &[(u16, u32)]) -> Client<S> {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend(name.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        stream.write_all(PREFACE).await.unwrap();
        stream.write_all(&frame(SETTINGS, 0, 0, &payload)).await.unwrap();
        Client(stream)
    }

    /// False when the router has closed.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        let write = async {
            self.0.write_all(bytes).await?;
            // A test that writes much without a pause leaves it in the buffer of TLS otherwise.
            self.0.flush().await
        };
        tokio::time::timeout(Duration::from_secs(20), write).await.expect("the router doesn't read").is_ok()
    }

    /// None at the end, whichever way it ends.
    pub async fn read(&mut self) -> Option<Frame> {
        let read = async {
            let mut head = [0; 9];
            self.0.read_exact(&mut head).await.ok()?;
            let [a, b, c, kind, flags, d, e, f, g] = head;
            let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
            self.0.read_exact(&mut payload).await.ok()?;
            Some(Frame { kind, flags, stream: u32::from_be_bytes([d, e, f, g]), payload })
        };
        tokio::time::timeout(Duration::from_secs(20), read).await.expect("nothing comes, and no end")
    }

    /// Reads until `stream` has ended, or the connection.
    pub async fn end(&mut self, stream: u32) -> End {
        let (mut status, mut body) = (0, Vec::new());
        while let Some(frame) = self.read().await {
            match frame.kind {
                GOAWAY if frame.error() != 0 => return End::Gone(frame.error()),
                RST_STREAM if frame.stream == stream => return End::Reset(frame.error()),
                HEADERS if frame.stream == stream && status < 200 => status = frame.status(),
                DATA if frame.stream == stream => body.extend(&frame.payload),
                SETTINGS if frame.flags & ACK == 0 => {
                    self.write(&self::frame(SETTINGS, ACK, 0, &[])).await;
                    continue;
                }
                PING if frame.flags & ACK == 0 => {
                    self.write(&self::frame(PING, ACK, 0, &frame.payload)).await;
                    continue;
                }
                _ => continue,
            }
            if frame.flags & END_STREAM != 0 {
                return End::Answered(status, String::from_utf8_lossy(&body).into_owned());
            }
        }
        End::Closed
    }

    /// A request without a body.
    pub async fn ask(&mut self, stream: u32, path: &str) -> End {
        self.write(&frame(HEADERS, END_HEADERS | END_STREAM, stream, &get(path))).await;
        self.end(stream).await
    }

    /// How the connection ends: the error of its GOAWAY, or none.
    pub async fn gone(&mut self) -> Option<u32> {
        let mut error = None;
        while let Some(frame) = self.read().await {
            if frame.kind == GOAWAY {
                error = Some(frame.error());
            }
        }
        error
    }
}
