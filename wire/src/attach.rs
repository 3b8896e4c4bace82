//! The stream of an attached dyno, between our own command line and the API.
//!
//! The client sends `GET /streams/attach/SECRET` with `Connection: Upgrade` and
//! `Upgrade: paas-attach/1`; the secret is the last path segment of `attach_url`. After 101
//! both sides send frames: one byte of kind, four bytes of length (big-endian), the payload.
//! Unlike Heroku's rendezvous it carries the terminal's size, the end of the input, stderr
//! apart from stdout, and the exit code.

use std::fmt;

/// Value of the `Upgrade` header.
pub const PROTOCOL: &str = "paas-attach/1";
/// Header of the answer when the program has a terminal.
pub const TERMINAL: &str = "paas-terminal";
/// Path before the secret.
pub const PATH: &str = "/streams/attach/";
/// Bytes before the payload.
pub const HEADER_LEN: usize = 5;
/// Largest payload; a longer one ends the connection.
pub const MAX_PAYLOAD: usize = 1 << 20;

/// Client to server: input.
pub const STDIN: u8 = 0;
/// Client to server: the input has ended; no payload.
pub const STDIN_EOF: u8 = 1;
/// Client to server: the terminal's size, u16 columns and u16 rows.
pub const RESIZE: u8 = 2;
/// Server to client: output.
pub const STDOUT: u8 = 10;
/// Server to client: output on stderr (never with a terminal).
pub const STDERR: u8 = 11;
/// Server to client: the exit code as i32; nothing follows.
pub const EXIT: u8 = 12;
/// Server to client: why it can't go on, for people; nothing follows.
pub const ERROR: u8 = 13;

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// See [`STDIN`].
    Stdin(Vec<u8>),
    /// See [`STDIN_EOF`].
    StdinEof,
    /// See [`RESIZE`].
    Resize {
        /// Columns.
        cols: u16,
        /// Rows.
        rows: u16,
    },
    /// See [`STDOUT`].
    Stdout(Vec<u8>),
    /// See [`STDERR`].
    Stderr(Vec<u8>),
    /// See [`EXIT`].
    Exit(i32),
    /// See [`ERROR`].
    Error(String),
}

/// What is wrong with received bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// A kind that this version doesn't know.
    UnknownKind(u8),
    /// A payload of more than [`MAX_PAYLOAD`] bytes.
    TooLong(usize),
    /// A payload that doesn't fit its kind.
    Malformed(u8),
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKind(kind) => write!(f, "unknown attach frame of kind {kind}"),
            Self::TooLong(length) => {
                write!(f, "attach frame of {length} bytes, at most {MAX_PAYLOAD} are allowed")
            }
            Self::Malformed(kind) => write!(f, "malformed attach frame of kind {kind}"),
        }
    }
}

impl std::error::Error for FrameError {}

impl Frame {
    /// The frame as bytes. A payload over [`MAX_PAYLOAD`] is the caller's to split.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Stdin(data) => bytes(STDIN, data),
            Self::StdinEof => bytes(STDIN_EOF, &[]),
            Self::Resize { cols, rows } => {
                let [a, b] = cols.to_be_bytes();
                let [c, d] = rows.to_be_bytes();
                bytes(RESIZE, &[a, b, c, d])
            }
            Self::Stdout(data) => bytes(STDOUT, data),
            Self::Stderr(data) => bytes(STDERR, data),
            Self::Exit(code) => bytes(EXIT, &code.to_be_bytes()),
            Self::Error(text) => bytes(ERROR, text.as_bytes()),
        }
    }

    /// Reads one frame from the front of `received`: the frame and how many bytes it took,
    /// or `None` when more bytes are needed.
    ///
    /// # Errors
    /// When the bytes are no frame; the connection is of no more use then.
    pub fn decode(received: &[u8]) -> Result<Option<(Self, usize)>, FrameError> {
        let Some((header, rest)) = received.split_first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let [kind, length @ ..] = *header;
        let length = u32::from_be_bytes(length) as usize;
        if length > MAX_PAYLOAD {
            return Err(FrameError::TooLong(length));
        }
        let Some(payload) = rest.get(..length) else {
            return Ok(None);
        };
        Ok(Some((Self::from_parts(kind, payload)?, HEADER_LEN + length)))
    }

    fn from_parts(kind: u8, payload: &[u8]) -> Result<Self, FrameError> {
        let malformed = FrameError::Malformed(kind);
        Ok(match kind {
            STDIN => Self::Stdin(payload.to_vec()),
            STDIN_EOF if payload.is_empty() => Self::StdinEof,
            STDIN_EOF => return Err(malformed),
            RESIZE => {
                let [a, b, c, d] = payload.try_into().map_err(|_| malformed)?;
                Self::Resize { cols: u16::from_be_bytes([a, b]), rows: u16::from_be_bytes([c, d]) }
            }
            STDOUT => Self::Stdout(payload.to_vec()),
            STDERR => Self::Stderr(payload.to_vec()),
            EXIT => Self::Exit(i32::from_be_bytes(payload.try_into().map_err(|_| malformed)?)),
            ERROR => Self::Error(String::from_utf8_lossy(payload).into_owned()),
            unknown => return Err(FrameError::UnknownKind(unknown)),
        })
    }
}

fn bytes(kind: u8, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(HEADER_LEN + payload.len());
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    frame
}

/// The secret of an `attach_url`: its last path segment.
#[must_use]
pub fn secret(attach_url: &str) -> Option<&str> {
    attach_url.rsplit('/').next().filter(|secret| !secret.is_empty())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn every_kind_survives_the_wire_in_any_pieces() {
        let frames = [
            Frame::Stdin(b"ls\n".to_vec()),
            Frame::StdinEof,
            Frame::Resize { cols: 300, rows: 50 },
            Frame::Stdout(vec![0, 255]),
            Frame::Stderr(Vec::new()),
            Frame::Error("no such dyno".to_owned()),
            Frame::Exit(-1),
        ];
        let wire: Vec<u8> = frames.iter().flat_map(Frame::encode).collect();
        let (mut buffer, mut seen) = (Vec::new(), Vec::new());
        for byte in wire {
            buffer.push(byte);
            while let Some((frame, used)) = Frame::decode(&buffer).unwrap() {
                buffer.drain(..used);
                seen.push(frame);
            }
        }
        assert_eq!(seen, frames);
    }

    #[test]
    fn bad_bytes_are_errors() {
        assert_eq!(Frame::decode(&[99, 0, 0, 0, 0]), Err(FrameError::UnknownKind(99)));
        assert_eq!(Frame::decode(&[EXIT, 0, 0, 0, 1, 7]), Err(FrameError::Malformed(EXIT)));
        assert_eq!(Frame::decode(&[STDIN_EOF, 0, 0, 0, 1, 7]), Err(FrameError::Malformed(STDIN_EOF)));
        assert_eq!(Frame::decode(&[STDIN, 255, 255, 255, 255]), Err(FrameError::TooLong(u32::MAX as usize)));
    }

    #[test]
    fn secret_of_a_url() {
        assert_eq!(secret("rendezvous://host:5000/abc"), Some("abc"));
        assert_eq!(secret("rendezvous://host:5000/"), None);
    }
}
