//! The time of day as heads tell it.

use std::cell::Cell;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::http1::write::{DATE, date};

/// A worker's clock, which remembers how the present second is written.
#[derive(Debug)]
pub(crate) struct Clock {
    second: Cell<u64>,
    text: Cell<[u8; DATE]>,
}

impl Clock {
    pub(crate) fn new() -> Clock {
        Clock { second: Cell::new(0), text: Cell::new(date(0)) }
    }

    /// As in the header `Date`.
    pub(crate) fn date(&self) -> [u8; DATE] {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.second.replace(now) != now {
            self.text.set(date(now));
        }
        self.text.get()
    }
}
