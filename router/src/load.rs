//! How much an app has going on at once, on this router: so that one app's flood fails fast
//! (H11, H22) and takes nothing away from the others.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// What an app has going on now. All workers share it, and it stays the same object from
/// table to table.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests that are being answered or wait for a dyno.
    requests: AtomicU32,
    tunnels: AtomicU32,
}

impl Load {
    /// WebSockets, and what else changed protocols.
    pub(crate) fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Counts one request more, unless there are `most` already.
    pub(crate) fn enter(self: &Arc<Load>, most: u32) -> Option<OnApp> {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        let entered = OnApp { load: Arc::clone(self), tunnel: false };
        // What is dropped is not counted any more.
        (before < most).then_some(entered)
    }
}

/// Counts a request of an app for as long as it lives.
#[derive(Debug)]
pub(crate) struct OnApp {
    load: Arc<Load>,
    tunnel: bool,
}

impl OnApp {
    fn count(&self) -> &AtomicU32 {
        if self.tunnel { &self.load.tunnels } else { &self.load.requests }
    }

    /// The request became a tunnel, which may last for days and keeps nobody waiting: from now
    /// on it is counted as such.
    pub(crate) fn becomes_tunnel(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
        self.tunnel = true;
        self.count().fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for OnApp {
    fn drop(&mut self) {
        self.count().fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    #[test]
    fn what_ends_or_was_refused_is_not_counted_any_more() {
        let load = Arc::new(Load::default());
        let counts = || (load.requests.load(Ordering::Relaxed), load.tunnels());
        let first = load.enter(2).unwrap();
        let mut second = load.enter(2).unwrap();
        assert!(load.enter(2).is_none());
        assert_eq!(counts(), (2, 0));
        second.becomes_tunnel();
        assert_eq!(counts(), (1, 1));
        drop(first);
        drop(second);
        assert_eq!(counts(), (0, 0));
        assert!(load.enter(0).is_none());
    }
}
