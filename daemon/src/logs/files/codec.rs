//! How lines are written in a segment.
//!
//! A segment is [`MAGIC`] and then frames: `u32` length, `u32` CRC-32 of the payload (both
//! little-endian), payload. The first frame of a segment holds the positions of all origins
//! up to there, so that older segments are never needed to know them. A frame holds one
//! message whole, with its origin: either both are there after a crash, or neither.

use std::collections::HashMap;
use std::io::{self, Read};

use uuid::Uuid;

use crate::logs::line::{Origin, Position, Source};

/// The first bytes of a segment.
pub(crate) const MAGIC: &[u8; 8] = b"PAASLOG1";

/// No frame is longer; a length beyond it is damage.
const MAX_FRAME: usize = 1 << 20;

const KIND_POSITIONS: u8 = 0;
const KIND_MESSAGE: u8 = 1;

/// A message as it stands in a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Message<'a> {
    /// Number of its first line.
    pub(crate) seq: u64,
    /// When, in microseconds since 1970.
    pub(crate) at: i64,
    pub(crate) source: Source,
    pub(crate) process: &'a str,
    pub(crate) origin: Option<Origin>,
    pub(crate) text: &'a str,
}

/// What a frame holds.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    Positions(HashMap<Uuid, Position>),
    Message(Message<'a>),
}

/// Appends a frame with a message.
pub(crate) fn put_message(out: &mut Vec<u8>, message: &Message<'_>) {
    frame(out, |out| {
        out.push(KIND_MESSAGE);
        out.extend_from_slice(&message.seq.to_le_bytes());
        out.extend_from_slice(&message.at.to_le_bytes());
        out.push(match message.source {
            Source::App => 0,
            Source::Heroku => 1,
        });
        // Both are cut to fit when a line is taken in.
        out.push(u8::try_from(message.process.len()).unwrap_or(0));
        out.extend_from_slice(message.process.as_bytes());
        match &message.origin {
            None => out.push(0),
            Some(origin) => {
                out.push(1);
                put_position(out, origin.id, origin.position);
            }
        }
        out.extend_from_slice(message.text.as_bytes());
    });
}

/// Appends the first frame of a segment.
pub(crate) fn put_positions(out: &mut Vec<u8>, positions: &HashMap<Uuid, Position>) {
    frame(out, |out| {
        out.push(KIND_POSITIONS);
        for (id, position) in positions {
            put_position(out, *id, *position);
        }
    });
}

fn put_position(out: &mut Vec<u8>, id: Uuid, position: Position) {
    out.extend_from_slice(id.as_bytes());
    out.extend_from_slice(&position.major.to_le_bytes());
    out.extend_from_slice(&position.minor.to_le_bytes());
}

fn frame(out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    out.extend_from_slice(&[0; 8]);
    payload(out);
    let length = u32::try_from(out.len() - start - 8).unwrap_or(u32::MAX);
    let sum = checksum(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_le_bytes());
    out[start + 4..start + 8].copy_from_slice(&sum.to_le_bytes());
}

fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// Reads a payload; `None` is damage.
pub(crate) fn decode(payload: &[u8]) -> Option<Frame<'_>> {
    let mut at = Bytes(payload);
    match at.u8()? {
        KIND_POSITIONS => {
            let mut positions = HashMap::new();
            while !at.0.is_empty() {
                let origin = at.origin()?;
                positions.insert(origin.id, origin.position);
            }
            Some(Frame::Positions(positions))
        }
        KIND_MESSAGE => {
            let seq = at.u64()?;
            let micros = i64::from_le_bytes(at.array()?);
            let source = match at.u8()? {
                0 => Source::App,
                1 => Source::Heroku,
                _ => return None,
            };
            let length = usize::from(at.u8()?);
            let process = std::str::from_utf8(at.take(length)?).ok()?;
            let origin = match at.u8()? {
                0 => None,
                1 => Some(at.origin()?),
                _ => return None,
            };
            let text = std::str::from_utf8(at.0).ok()?;
            Some(Frame::Message(Message { seq, at: micros, source, process, origin, text }))
        }
        _ => None,
    }
}

struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, rest) = self.0.split_at_checked(n)?;
        self.0 = rest;
        Some(head)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn origin(&mut self) -> Option<Origin> {
        let id = Uuid::from_bytes(self.array()?);
        let major = self.u64()?;
        let minor = u32::from_le_bytes(self.array()?);
        Some(Origin { id, position: Position { major, minor } })
    }
}

/// Reads frames one after the other and stops at the first that is not whole.
pub(crate) struct Frames<R> {
    inner: R,
    payload: Vec<u8>,
    /// End of the last whole frame, in bytes from the segment's start.
    offset: u64,
}

impl<R: Read> Frames<R> {
    /// Reads a segment from its start; `None` when it does not begin as one.
    pub(crate) fn begin(mut inner: R) -> io::Result<Option<Self>> {
        let mut magic = [0u8; MAGIC.len()];
        if !fill(&mut inner, &mut magic)? || &magic != MAGIC {
            return Ok(None);
        }
        Ok(Some(Self::resume(inner, MAGIC.len() as u64)))
    }

    /// Goes on where `inner` stands, `offset` bytes into the segment.
    pub(crate) fn resume(inner: R, offset: u64) -> Self {
        Self { inner, payload: Vec::new(), offset }
    }

    /// End of the last whole frame.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next payload; `None` at the end, be it clean or torn.
    pub(crate) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let mut head = [0u8; 8];
        if !fill(&mut self.inner, &mut head)? {
            return Ok(None);
        }
        let [a, b, c, d, e, f, g, h] = head;
        let length = u32::from_le_bytes([a, b, c, d]) as usize;
        let sum = u32::from_le_bytes([e, f, g, h]);
        if length == 0 || length > MAX_FRAME {
            return Ok(None);
        }
        self.payload.resize(length, 0);
        if !fill(&mut self.inner, &mut self.payload)? || checksum(&self.payload) != sum {
            return Ok(None);
        }
        self.offset += 8 + length as u64;
        Ok(Some(&self.payload))
    }
}

/// Fills the buffer; `false` when the end comes first.
fn fill(from: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<bool> {
    while !buffer.is_empty() {
        match from.read(buffer) {
            Ok(0) => return Ok(false),
            Ok(n) => buffer = &mut buffer[n..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Message<'static> {
        let origin = Origin { id: Uuid::from_u128(7), position: Position { major: 1, minor: 2 } };
        Message { seq: 9, at: -5, source: Source::Heroku, process: "web.1", origin: Some(origin), text: "héllo" }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut out = MAGIC.to_vec();
        let positions = HashMap::from([(Uuid::from_u128(1), Position { major: u64::MAX, minor: u32::MAX })]);
        put_positions(&mut out, &positions);
        put_message(&mut out, &sample());
        let mut frames = Frames::begin(out.as_slice()).unwrap().unwrap();
        assert_eq!(decode(frames.next().unwrap().unwrap()), Some(Frame::Positions(positions)));
        assert_eq!(decode(frames.next().unwrap().unwrap()), Some(Frame::Message(sample())));
        assert_eq!(frames.next().unwrap(), None);
        assert_eq!(frames.offset(), out.len() as u64);
    }

    #[test]
    fn damage_anywhere_ends_the_reading_there() {
        let mut out = MAGIC.to_vec();
        put_positions(&mut out, &HashMap::new());
        let whole = out.len();
        put_message(&mut out, &sample());
        for i in whole..out.len() {
            for bit in 0..8 {
                let mut bad = out.clone();
                bad[i] ^= 1 << bit;
                let mut frames = Frames::begin(bad.as_slice()).unwrap().unwrap();
                assert!(frames.next().unwrap().is_some());
                assert_eq!(frames.next().unwrap(), None, "bit {bit} of byte {i}");
                assert_eq!(frames.offset(), whole as u64);
            }
        }
        assert!(Frames::begin(&b"PAASLOG"[..]).unwrap().is_none());
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = decode(&bytes);
            if let Some(mut frames) = Frames::begin([MAGIC.as_slice(), &bytes].concat().as_slice()).unwrap() {
                while let Some(payload) = frames.next().unwrap() {
                    let _ = decode(payload);
                }
            }
        }
    }
}
