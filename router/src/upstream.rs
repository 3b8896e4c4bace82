//! Connections to dynos: each worker has its own, used last in, first out, so that few are
//! warm and the rest grow old and close.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use hyper::Method;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::body::UpBody;
use crate::failure::Failure;

/// A dyno at an address; the daemon is the nil id.
pub(crate) type Key = (Uuid, SocketAddr);

/// The read buffer of a connection to a dyno grows to this and no further, and a response's
/// head must fit into it.
const BUFFER: usize = 64 * 1024;

/// How long a connection may take to be ready again after its last request.
const READY: Duration = Duration::from_millis(5);

struct Idle {
    sender: SendRequest<UpBody>,
    since: Instant,
}

/// A worker's unused connections.
pub(crate) struct Pool {
    idle: RefCell<HashMap<Key, Vec<Idle>>>,
    keepalive: Duration,
    most: usize,
}

impl Pool {
    pub(crate) fn new(keepalive: Duration, most: usize) -> Pool {
        Pool { idle: RefCell::default(), keepalive, most }
    }

    /// An unused connection that is still good, as far as one can know. What would do harm
    /// when asked twice gets only one that was in use `fresh` ago at most: the dyno may close
    /// an older one at the very moment when the request is on its way.
    pub(crate) async fn take(&self, key: Key, method: &Method, fresh: Duration) -> Option<SendRequest<UpBody>> {
        loop {
            let Idle { mut sender, since } = {
                let mut idle = self.idle.borrow_mut();
                let idle = idle.get_mut(&key)?;
                // The last is the youngest.
                if !method.is_safe() && idle.last()?.since.elapsed() >= fresh {
                    return None;
                }
                idle.pop()?
            };
            if sender.is_closed() || since.elapsed() >= self.keepalive {
                continue;
            }
            // One whose dyno answered early and leaves the rest of the request unread may never be.
            if sender.is_ready() || matches!(tokio::time::timeout(READY, sender.ready()).await, Ok(Ok(()))) {
                return Some(sender);
            }
        }
    }

    fn put(&self, key: Key, sender: SendRequest<UpBody>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.idle.borrow_mut();
        let idle = idle.entry(key).or_default();
        if idle.len() < self.most {
            idle.push(Idle { sender, since: Instant::now() });
        }
    }

    /// Closes what is too old, broken, or leads to a dyno that `keep` doesn't know.
    pub(crate) fn sweep(&self, keep: impl Fn(&Key) -> bool) {
        self.idle.borrow_mut().retain(|key, idle| {
            if !keep(key) {
                return false;
            }
            idle.retain(|idle| !idle.sender.is_closed() && idle.since.elapsed() < self.keepalive);
            !idle.is_empty()
        });
    }
}

/// A connection in use, to be given back when its response has ended.
pub(crate) struct Lease {
    pub(crate) pool: Rc<Pool>,
    pub(crate) key: Key,
    pub(crate) sender: SendRequest<UpBody>,
    /// Asked at the end: a dyno that left the table gets no unused connection.
    pub(crate) still_wanted: Box<dyn Fn() -> bool>,
}

impl Lease {
    pub(crate) fn give_back(self) {
        if (self.still_wanted)() {
            self.pool.put(self.key, self.sender);
        }
    }
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Opens a connection within `limit`.
pub(crate) async fn connect(addr: SocketAddr, limit: Duration) -> Result<SendRequest<UpBody>, Failure> {
    let stream = match tokio::time::timeout(limit, TcpStream::connect(addr)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(connect_failure(addr, &error)),
        Err(_) => return Err(Failure::ConnectTimeout),
    };
    // Without it only latency suffers.
    let _ = stream.set_nodelay(true);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(BUFFER)
        .max_headers(1000)
        .max_header_size(BUFFER)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| Failure::ConnectRefused)?;
    tokio::task::spawn_local(async move {
        // What breaks here reaches the request that is on the connection.
        let _ = connection.with_upgrades().await;
    });
    Ok(sender)
}

/// Whose fault it is that there is no connection: the dyno's or this machine's.
fn connect_failure(addr: SocketAddr, error: &io::Error) -> Failure {
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
        tracing::error!(backend.addr = %addr, "This machine can't open a connection to a dyno: {error}");
        Failure::Platform
    }
}
