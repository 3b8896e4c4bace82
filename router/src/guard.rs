//! How many connections there may be: for each client, so that one can't take them all, and
//! all together, so that the process never runs out of files. Counted for each connection,
//! not for each request.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};

const SHARDS: usize = 32;
/// The same trouble is told at most this often.
const TELL: Duration = Duration::from_secs(60);

/// Counts connections and says when there are too many.
#[derive(Debug)]
pub(crate) struct Guard {
    /// From one client; 0 for any number.
    each: u32,
    /// From all of them.
    most: usize,
    open: AtomicUsize,
    clients: [Mutex<HashMap<IpAddr, u32>>; SHARDS],
    hasher: RandomState,
    started: Instant,
    /// Connections that were closed at once since their client had too many.
    pub(crate) refused: Told,
    /// Handshakes that were given up since too many newer ones began.
    pub(crate) crowded_out: Told,
    /// Connections that had to begin with a header of the PROXY protocol and didn't.
    pub(crate) bad_proxy_headers: Told,
    full: Told,
    no_places: Told,
    /// Connections to dynos that this machine could not open.
    unopened: Told,
}

/// Something that is counted, and told in the log only now and then.
#[derive(Debug, Default)]
pub(crate) struct Told {
    count: AtomicU64,
    /// How many there had been at the last telling.
    told: AtomicU64,
    /// Seconds after the start when it may be told again.
    next: AtomicU64,
}

impl Told {
    /// Since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Counts one more. How many are new since they were last told of, if it is time to.
    fn add(&self, since_start: Duration) -> Option<u64> {
        let count = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        let (now, next) = (since_start.as_secs(), self.next.load(Ordering::Relaxed));
        let due = now >= next
            && self.next.compare_exchange(next, now + TELL.as_secs(), Ordering::Relaxed, Ordering::Relaxed).is_ok();
        due.then(|| count.saturating_sub(self.told.swap(count, Ordering::Relaxed)))
    }
}

/// A client, for as long as it has a connection.
#[derive(Debug)]
pub(crate) struct Share(Arc<Guard>, IpAddr);

impl Drop for Share {
    fn drop(&mut self) {
        let mut clients = self.0.shard(self.1);
        if let Some(count) = clients.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                clients.remove(&self.1);
            }
        }
    }
}

/// An open connection among all.
#[derive(Debug)]
pub(crate) struct Open(Arc<Guard>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guard {
    /// `each` client may have that many connections, 0 for any number; all together `most`,
    /// by default what the limit of open files allows.
    pub(crate) fn new(each: u32, most: Option<usize>) -> Guard {
        Guard {
            each,
            most: most.unwrap_or_else(by_open_files),
            open: AtomicUsize::new(0),
            clients: Default::default(),
            hasher: RandomState::new(),
            started: Instant::now(),
            refused: Told::default(),
            crowded_out: Told::default(),
            bad_proxy_headers: Told::default(),
            full: Told::default(),
            no_places: Told::default(),
            unopened: Told::default(),
        }
    }

    fn shard(&self, client: IpAddr) -> std::sync::MutexGuard<'_, HashMap<IpAddr, u32>> {
        let shards = self.clients.len() as u64;
        let at = usize::try_from(self.hasher.hash_one(client) % shards).unwrap_or_default();
        self.clients[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the connection up among all.
    pub(crate) fn open(self: &Arc<Guard>) -> Open {
        self.open.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(self))
    }

    /// Takes the connection up among its client's. None when they are enough: it is to be closed.
    pub(crate) fn share(self: &Arc<Guard>, address: IpAddr) -> Option<Share> {
        if let Some(share) = self.share_if_there_is(address) {
            return Some(share);
        }
        let client = client(address);
        if let Some(new) = self.refused.add(self.started.elapsed()) {
            tracing::warn!(
                client.address = %client,
                connections.closed = new,
                "{} has {} connections, which is the most for one client: more are closed at once. \
                 PAAS_CLIENT_CONNECTIONS sets how many; a proxy belongs into PAAS_TRUSTED_PROXIES",
                shown(client),
                self.each,
            );
        }
        None
    }

    /// The same, told to nobody.
    pub(crate) fn share_if_there_is(self: &Arc<Guard>, address: IpAddr) -> Option<Share> {
        let client = client(address);
        let mut clients = self.shard(client);
        let count = clients.entry(client).or_default();
        let free = self.each == 0 || *count < self.each;
        if free {
            *count += 1;
        }
        drop(clients);
        free.then(|| Share(Arc::clone(self), client))
    }

    /// Waits until there is room for one more connection. Those that come meanwhile wait in
    /// the kernel.
    pub(crate) async fn room(&self) {
        while self.open.load(Ordering::Relaxed) >= self.most {
            if self.full.add(self.started.elapsed()).is_some() {
                tracing::warn!(
                    connections.most = self.most,
                    "There are {} connections, which is all that the limit of open files allows: new ones wait. \
                     Raise the limit (LimitNOFILE=) if this is no attack",
                    self.most,
                );
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// By how many it is crowded: there are that many more than three quarters of all connections
    /// that there may be.
    pub(crate) fn crowded_by(&self) -> usize {
        self.open.load(Ordering::Relaxed).saturating_sub(self.most - self.most / 4)
    }

    /// A dyno could not be connected to at once.
    pub(crate) fn no_place(&self, most: usize) {
        if let Some(new) = self.no_places.add(self.started.elapsed()) {
            tracing::warn!(
                connections.most = most,
                requests.waiting = new,
                "There are {most} connections to dynos, a quarter of the files that may be open: requests wait for one. \
                 Raise the limit (LimitNOFILE=) if this is no attack",
            );
        }
    }

    /// A connection to a dyno could not be opened, and that is not the dyno's fault.
    pub(crate) fn unopened(&self, addr: SocketAddr, error: &io::Error) {
        if let Some(new) = self.unopened.add(self.started.elapsed()) {
            tracing::error!(
                backend.addr = %addr,
                connections.failed = new,
                "This machine can't open a connection to a dyno: {error}. Is it short of open files, ports or memory?",
            );
        }
    }

    /// A handshake was given up for newer ones.
    pub(crate) fn crowded_out(&self, most: usize) {
        if let Some(new) = self.crowded_out.add(self.started.elapsed()) {
            tracing::warn!(
                handshakes.given_up = new,
                "{most} connections of one worker are in their handshakes, which is the most: the oldest are given up",
            );
        }
    }

    /// A connection had to begin with a header of the PROXY protocol and didn't.
    pub(crate) fn bad_proxy_header(&self, from: IpAddr, why: &dyn std::fmt::Display) {
        if let Some(new) = self.bad_proxy_headers.add(self.started.elapsed()) {
            tracing::warn!(
                client.address = %from,
                connections.closed = new,
                "A connection of {from} is closed: {why}. PAAS_PROXY_PROTOCOL_FROM lists it, so that each of its \
                 connections has to begin with one. Switch the PROXY protocol on there, or take it off the list",
            );
        }
    }
}

/// What counts as one client: an address, or a network of IPv6, of which each has at least
/// 2^64 addresses (RFC 6177).
fn client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

fn shown(client: IpAddr) -> String {
    if client.is_ipv4() { client.to_string() } else { format!("{client}/64") }
}

/// 70 % of the files that may be open: a request takes a second one for its dyno, most
/// connections wait for their next request, and some files are ours.
fn by_open_files() -> usize {
    (open_files() / 10).saturating_mul(7).max(1)
}

/// How many files may be open.
pub(crate) fn open_files() -> usize {
    let files = getrlimit(Resource::Nofile).current.and_then(|files| usize::try_from(files).ok());
    files.unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_client_has_so_many_and_no_more() {
        let guard = Arc::new(Guard::new(2, None));
        let first = guard.share(ip("192.0.2.1")).unwrap();
        let _second = guard.share(ip("::ffff:192.0.2.1")).unwrap();
        assert!(guard.share(ip("192.0.2.1")).is_none());
        let _other = guard.share(ip("192.0.2.2")).unwrap();
        drop(first);
        let again = guard.share(ip("192.0.2.1"));
        assert!(again.is_some() && guard.share(ip("192.0.2.1")).is_none());
        assert_eq!(guard.refused.count(), 2);

        // Of IPv6 a whole network is one client.
        let _six = (guard.share(ip("2001:db8::1")).unwrap(), guard.share(ip("2001:db8::ffff:2")).unwrap());
        assert!(guard.share(ip("2001:db8::3")).is_none());
        assert!(guard.share(ip("2001:db8:0:1::3")).is_some());
    }

    #[test]
    fn nothing_is_kept_of_clients_that_left() {
        let guard = Arc::new(Guard::new(0, None));
        let many: Vec<Share> =
            (0..3000_u32).map(|at| guard.share(std::net::Ipv4Addr::from_bits(at % 1000).into()).unwrap()).collect();
        let kept = || guard.clients.iter().map(|shard| shard.lock().unwrap().len()).sum::<usize>();
        assert_eq!(kept(), 1000);
        drop(many);
        assert_eq!(kept(), 0);
    }

    #[test]
    fn it_is_crowded_when_three_quarters_are_there() {
        let guard = Arc::new(Guard::new(0, Some(8)));
        let _six: Vec<Open> = (0..6).map(|_| guard.open()).collect();
        assert_eq!(guard.crowded_by(), 0);
        let more = [guard.open(), guard.open()];
        assert_eq!(guard.crowded_by(), 2);
        drop(more);
        assert_eq!(guard.crowded_by(), 0);
    }

    #[test]
    fn the_same_trouble_is_told_once_a_minute() {
        let told = Told::default();
        assert_eq!(told.add(Duration::from_secs(3)), Some(1));
        assert_eq!(told.add(Duration::from_secs(4)), None);
        assert_eq!(told.add(Duration::from_secs(62)), None);
        assert_eq!(told.add(Duration::from_secs(63)), Some(3));
        assert_eq!(told.count(), 4);
    }
}
