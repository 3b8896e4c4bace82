//! When an app was last asked for: by it the daemon knows which apps may idle.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What is nearer than this is one moment: requests that come thick and fast don't write it
/// each.
const MOMENT: u64 = 100;

/// An app's last request. It stays the same object from table to table; a router that has
/// just started counts from its start.
#[derive(Debug)]
pub(crate) struct Activity {
    since: Instant,
    /// Milliseconds after `since`.
    last: AtomicU64,
    waiting: AtomicU32,
}

impl Activity {
    pub(crate) fn new() -> Activity {
        Activity { since: Instant::now(), last: AtomicU64::new(0), waiting: AtomicU32::new(0) }
    }

    /// A request has come, or has ended.
    pub(crate) fn touch(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        if now >= self.last.load(Ordering::Relaxed) + MOMENT {
            self.last.store(now, Ordering::Relaxed);
        }
    }

    /// How long ago that was.
    pub(crate) fn quiet(&self) -> Duration {
        self.since.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }

    /// Requests that wait for a dyno now.
    pub(crate) fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Counts a request that waits for a dyno, for as long as the result lives.
    pub(crate) fn wait(&self) -> Waits<'_> {
        self.touch();
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waits(self)
    }
}

pub(crate) struct Waits<'a>(&'a Activity);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.touch();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_is_there_and_has_been_there() {
        let Some(since) = Instant::now().checked_sub(Duration::from_secs(60)) else { return };
        let activity = Activity { since, ..Activity::new() };
        assert!(activity.quiet() >= Duration::from_secs(60));
        let waits = activity.wait();
        assert_eq!(activity.waiting(), 1);
        assert!(activity.quiet() < Duration::from_secs(30));
        drop(waits);
        assert_eq!(activity.waiting(), 0);
    }
}
