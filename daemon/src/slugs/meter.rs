//! How much an archive may be read for one header.
//!
//! What reads archives keeps an entry's long names, attributes and map of holes in memory, as
//! long as the archive says that they are: gigabytes of them fit into a few bytes of zstd. So
//! its input is counted here between one entry and the next.

use std::{
    cell::Cell,
    io::{self, Read},
    rc::Rc,
};

/// What is left of a header's share; `None`: contents are being read, which are counted by
/// whoever takes them.
#[derive(Debug, Clone, Default)]
pub(super) struct Meter {
    left: Rc<Cell<Option<u64>>>,
}

impl Meter {
    /// From here on a header is read, of so many bytes at most.
    pub(super) fn header(&self, most: u64) {
        self.left.set(Some(most));
    }

    /// From here on contents are read.
    pub(super) fn contents(&self) {
        self.left.set(None);
    }

    /// Whether a header took all that it might.
    pub(super) fn is_used_up(&self) -> bool {
        self.left.get() == Some(0)
    }
}

/// The archive's bytes under a meter.
pub(super) struct Metered<R> {
    bytes: R,
    meter: Meter,
}

impl<R> Metered<R> {
    pub(super) fn new(bytes: R, meter: Meter) -> Self {
        Self { bytes, meter }
    }
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(left) = self.meter.left.get() else { return self.bytes.read(buffer) };
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a header is too long"));
        }
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.bytes.read(buffer.get_mut(..most).unwrap_or_default())?;
        self.meter.left.set(Some(left - count as u64));
        Ok(count)
    }
}
