//! How much an app has going on at once, on this router: so that one app's flood fails fast
//! (H11, H22) and takes nothing away from the others.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What an app has going on now. All workers share it, and it stays the same object from
/// table to table.
#[derive(Debug, Default)]
pub(crate) struct Load {
    /// Requests that are being answered or wait for a dyno.
    requests: AtomicU32,
    tunnels: AtomicU32,
    /// Of the requests that came when half of all were there, how many are of which client.
    late: Mutex<BTreeMap<IpAddr, u32>>,
}

impl Load {
    /// WebSockets, and what else changed protocols.
    pub(crate) fn tunnels(&self) -> u32 {
        self.tunnels.load(Ordering::Relaxed)
    }

    /// Counts one request more, unless there are `most` already. Once half of them are there, one
    /// `client` gets no more than half of the others: alone it can't keep everybody else out.
    pub(crate) fn enter(self: &Arc<Load>, most: u32, client: Option<IpAddr>) -> Option<OnApp> {
        let before = self.requests.fetch_add(1, Ordering::Relaxed);
        // What is dropped is not counted any more.
        let mut entered = OnApp { load: Arc::clone(self), tunnel: false, late: None };
        if before >= most {
            return None;
        }
        if let Some(client) = client.filter(|_| before >= most / 2) {
            let mut late = self.late();
            let count = late.get(&client).copied().unwrap_or_default();
            if count >= most - most / 2 - most / 4 {
                drop(late);
                return None;
            }
            late.insert(client, count + 1);
            entered.late = Some(client);
        }
        Some(entered)
    }

    fn late(&self) -> MutexGuard<'_, BTreeMap<IpAddr, u32>> {
        self.late.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a request of an app for as long as it lives.
#[derive(Debug)]
pub(crate) struct OnApp {
    load: Arc<Load>,
    tunnel: bool,
    /// Its client, where that counts.
    late: Option<IpAddr>,
}

impl OnApp {
    fn count(&self) -> &AtomicU32 {
        if self.tunnel { &self.load.tunnels } else { &self.load.requests }
    }

    /// The request became a tunnel, which may last for days and keeps nobody waiting: from now
    /// on it is counted as such.
    pub(crate) fn becomes_tunnel(&mut self) {
        self.is_late_no_more();
        self.count().fetch_sub(1, Ordering::Relaxed);
        self.tunnel = true;
        self.count().fetch_add(1, Ordering::Relaxed);
    }

    fn is_late_no_more(&mut self) {
        let Some(client) = self.late.take() else { return };
        let mut late = self.load.late();
        if let Some(count) = late.get_mut(&client) {
            *count -= 1;
            if *count == 0 {
                late.remove(&client);
            }
        }
    }
}

impl Drop for OnApp {
    fn drop(&mut self) {
        self.is_late_no_more();
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
        let first = load.enter(2, None).unwrap();
        let mut second = load.enter(2, None).unwrap();
        assert!(load.enter(2, None).is_none());
        assert_eq!(counts(), (2, 0));
        second.becomes_tunnel();
        assert_eq!(counts(), (1, 1));
        drop(first);
        drop(second);
        assert_eq!(counts(), (0, 0));
        assert!(load.enter(0, None).is_none());
    }

    #[test]
    fn one_client_gets_three_quarters_at_most() {
        let load = Arc::new(Load::default());
        let ip = |last: u8| Some(IpAddr::from([192, 0, 2, last]));
        let mut greedy: Vec<OnApp> = std::iter::from_fn(|| load.enter(8, ip(1))).collect();
        assert_eq!(greedy.len(), 6);
        let other = load.enter(8, ip(2)).unwrap();
        greedy.pop().unwrap().becomes_tunnel();
        greedy.push(load.enter(8, ip(1)).unwrap());
        assert!(load.enter(8, ip(1)).is_none());
        let _others = [other, load.enter(8, ip(2)).unwrap()];
        assert!(load.enter(8, ip(3)).is_none());
        greedy.clear();
        // Nothing is kept of who has left; where there are few, one client may have all.
        assert_eq!(load.late().len(), 1);
        for most in 1..4 {
            let few = Arc::new(Load::default());
            assert_eq!(std::iter::from_fn(|| few.enter(most, ip(1))).collect::<Vec<_>>().len(), most as usize);
        }
        // Those who bring many visitors may have all of it.
        let all = Arc::new(Load::default());
        assert_eq!(std::iter::from_fn(|| all.enter(8, None)).collect::<Vec<_>>().len(), 8);
    }
}
