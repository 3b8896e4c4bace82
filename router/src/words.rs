//! What a request says of itself that its access line and its pages tell.

use crate::headers::LONGEST_LINE;

/// Method, path, host, request id and forwarded-for of a request, in one piece of memory.
#[derive(Debug, Default)]
pub(crate) struct Words {
    bytes: Box<[u8]>,
    ends: [u32; 4],
}

impl Words {
    pub(crate) fn new(parts: [&[u8]; 5]) -> Words {
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len()).sum());
        let mut ends = [0; 4];
        for (at, part) in parts.iter().enumerate() {
            // What is refused may be of any length; a line isn't.
            // Of the forwarded-for the end matters: that is what this router knows.
            let cut = if at == 4 {
                part.len().saturating_sub(LONGEST_LINE)..part.len()
            } else {
                0..part.len().min(LONGEST_LINE)
            };
            bytes.extend_from_slice(part.get(cut).unwrap_or_default());
            if let Some(end) = ends.get_mut(at) {
                *end = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
            }
        }
        Words { bytes: bytes.into(), ends }
    }

    /// All of them together, bytes.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    fn part(&self, at: usize) -> &[u8] {
        let edge = |at: usize| self.ends.get(at).map_or(self.bytes.len(), |&end| end as usize);
        let from = if at == 0 { 0 } else { edge(at - 1) };
        self.bytes.get(from..edge(at)).unwrap_or_default()
    }

    pub(crate) fn method(&self) -> &[u8] {
        self.part(0)
    }

    pub(crate) fn path(&self) -> &[u8] {
        self.part(1)
    }

    pub(crate) fn host(&self) -> &[u8] {
        self.part(2)
    }

    pub(crate) fn request_id(&self) -> &[u8] {
        self.part(3)
    }

    pub(crate) fn forwarded_for(&self) -> &[u8] {
        self.part(4)
    }
}
