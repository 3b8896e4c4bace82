//! Connections to dynos: each worker has its own, used last in, first out, so that few are
//! warm and the rest grow old and close.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::mem::MaybeUninit;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use socket2::SockRef;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::failure::Failure;
use crate::flow::Dyno;
use crate::headers::Request;
use crate::http1::Http1;
use crate::http2::upstream::Multiplexed;
use crate::places::{Place, Places};
use crate::worker::Worker;

/// A dyno at an address; the daemon is the nil id.
pub(crate) type Key = (Uuid, SocketAddr);

/// How connections to dynos come and go, by the protocol that they speak.
pub(crate) trait Reach: Dyno + Sized {
    /// One that is there and will do for `request`.
    fn unused(worker: &Worker, key: Key, request: &Request) -> Option<Self>;

    /// A new one, within `limit`.
    async fn connect(worker: &Worker, key: Key, limit: Duration) -> Result<Self, Failure>;

    /// Its response has ended, and the request, too.
    fn give_back(self, worker: &Worker, key: Key);
}

impl Reach for Http1<TcpStream> {
    fn unused(worker: &Worker, key: Key, request: &Request) -> Option<Self> {
        worker.pool.take(key, request.is_safe, worker.shared.limits.upstream_fresh)
    }

    async fn connect(worker: &Worker, key: Key, limit: Duration) -> Result<Self, Failure> {
        let begun = Instant::now();
        // The daemon is reached whatever else goes on.
        let place = if key.0.is_nil() { None } else { Some(place(worker, limit).await?) };
        // It had to wait: what is left may be too little, which is not the dyno's fault.
        let left = limit.saturating_sub(begun.elapsed()).max(LEAST.min(limit));
        let connection = Http1::new(connect(worker, key.1, left).await?);
        Ok(match place {
            Some(place) => connection.counted(place),
            None => connection,
        })
    }

    fn give_back(mut self, worker: &Worker, key: Key) {
        if self.is_clean() {
            self.put_away();
            worker.pool.put(key, self);
            worker.pool.give_way(&worker.shared.places);
        }
    }
}

struct Idle {
    connection: Http1<TcpStream>,
    since: Instant,
}

/// A worker's unused connections.
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
    pub(crate) multiplexed: Multiplexed,
    /// How many there are.
    count: Cell<usize>,
    keepalive: Duration,
    /// To one dyno.
    most: usize,
    /// To all of them.
    most_in_all: usize,
}

impl Pool {
    pub(crate) fn new(keepalive: Duration, most: usize, most_in_all: usize) -> Pool {
        Pool {
            idle: RefCell::default(),
            multiplexed: Multiplexed::default(),
            count: Cell::new(0),
            keepalive,
            most,
            most_in_all,
        }
    }

    /// An unused connection that is still good, as far as one can know. What would do harm
    /// when asked twice gets only one that was in use `fresh` ago at most: the dyno may close
    /// an older one at the very moment when the request is on its way.
    fn take(&self, key: Key, safe: bool, fresh: Duration) -> Option<Http1<TcpStream>> {
        let mut idle = self.idle.borrow_mut();
        let idle = idle.get_mut(&key)?;
        loop {
            // The last is the youngest.
            let unused = idle.last()?.since.elapsed();
            if !safe && unused >= fresh {
                return None;
            }
            let mut connection = idle.pop()?.connection;
            self.count.set(self.count.get() - 1);
            // The kernel is asked, too: bytes behind the last answer would be taken for the next one's.
            if unused < self.keepalive && connection.is_quiet() && is_open(connection.io()) {
                return Some(connection);
            }
        }
    }

    fn put(&self, key: Key, connection: Http1<TcpStream>) {
        if self.count.get() >= self.most_in_all {
            self.close_older_half();
        }
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(key).or_default();
        if idle.len() < self.most {
            idle.push(Idle { connection, since: Instant::now() });
            self.count.set(self.count.get() + 1);
        }
    }

    /// Many apps that are asked in turn would use up all files otherwise.
    fn close_older_half(&self) {
        let mut times: Vec<Instant> = self.idle.borrow().values().flatten().map(|idle| idle.since).collect();
        if times.is_empty() {
            return;
        }
        let middle = times.len() / 2;
        let (_, &mut middle, _) = times.select_nth_unstable(middle);
        self.retain(|_, idle| idle.since > middle);
    }

    /// Closes as many connections as others wait for places, the oldest first.
    pub(crate) fn give_way(&self, places: &Places) {
        while places.are_wanted() && self.oldest_gives_way(places) {}
        self.multiplexed.give_way(places);
    }

    fn oldest_gives_way(&self, places: &Places) -> bool {
        let mut idle = self.idle.borrow_mut();
        // The daemon's have no places.
        let of_dynos = idle.iter_mut().filter(|(key, idle)| !key.0.is_nil() && !idle.is_empty());
        let Some((_, idle)) = of_dynos.min_by_key(|(_, idle)| idle.first().map(|idle| idle.since)) else {
            return false;
        };
        let gone = idle.first_mut().is_some_and(|idle| idle.connection.gives_way(places));
        if gone {
            idle.remove(0);
            self.count.set(self.count.get() - 1);
        }
        gone
    }

    fn retain(&self, keep: impl Fn(&Key, &mut Idle) -> bool) {
        let mut count = 0;
        self.idle.borrow_mut().retain(|key, idle| {
            idle.retain_mut(|idle| keep(key, idle));
            count += idle.len();
            !idle.is_empty()
        });
        self.count.set(count);
    }

    /// Closes what is too old, broken, or leads to a dyno that `keep` doesn't know.
    pub(crate) fn sweep(&self, keep: impl Fn(&Key) -> bool) {
        self.multiplexed.sweep(&keep, self.keepalive);
        self.retain(|key, idle| keep(key) && idle.since.elapsed() < self.keepalive && idle.connection.is_quiet());
    }
}

/// Asks the kernel, which may know of an end that we have not been told of yet.
fn is_open(stream: &TcpStream) -> bool {
    let peeked = SockRef::from(stream).peek(&mut [MaybeUninit::uninit()]);
    peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// A place among the connections to dynos. Where there is none, unused ones go, of this worker
/// first, and what doesn't help is waited for.
pub(crate) async fn place(worker: &Worker, limit: Duration) -> Result<Place, Failure> {
    let places = &worker.shared.places;
    let turn = match places.take() {
        Ok(place) => return Ok(place),
        Err(turn) => turn,
    };
    worker.pool.give_way(places);
    if places.are_wanted() {
        places.call();
        worker.shared.guard.no_place(places.most);
    }
    tokio::time::timeout(limit, turn.place()).await.ok().flatten().ok_or(Failure::Platform)
}

/// What a connection gets that had to wait for its place.
const LEAST: Duration = Duration::from_secs(1);

/// Opens a connection within `limit`.
pub(crate) async fn connect(worker: &Worker, addr: SocketAddr, limit: Duration) -> Result<TcpStream, Failure> {
    let stream = match tokio::time::timeout(limit, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(connect_failure(worker, addr, &error)),
        Err(_) => return Err(Failure::ConnectTimeout),
    };
    // Without it only latency suffers.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Whose fault it is that there is no connection: the dyno's or this machine's.
fn connect_failure(worker: &Worker, addr: SocketAddr, error: &io::Error) -> Failure {
    let refused = [
        io::ErrorKind::ConnectionRefused,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::ConnectionAborted,
        io::ErrorKind::HostUnreachable,
        io::ErrorKind::NetworkUnreachable,
    ];
    if refused.contains(&error.kind()) {
        Failure::ConnectRefused
    } else if error.kind() == io::ErrorKind::TimedOut {
        Failure::ConnectTimeout
    } else {
        worker.shared.guard.unopened(addr, error);
        Failure::Platform
    }
}
