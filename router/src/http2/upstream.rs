//! Connections to dynos that speak HTTP/2 by prior knowledge: one for each worker and dyno,
//! and another only when its streams are used up.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use tokio::sync::Mutex;
use tokio::task::AbortHandle;

use super::SEND_BUFFER;
use super::dyno::Http2Dyno;
use crate::failure::Failure;
use crate::linger::GOODBYE;
use crate::places::{Place, Places};
use crate::upstream::{Key, connect, place};
use crate::worker::Worker;

/// Streams at once on one connection, if the dyno allows as many.
const MOST_STREAMS: usize = 100;

/// What is kept of a response for a client that reads slowly, bytes for each stream.
const WINDOW: u32 = 64 * 1024;

/// What the streams of one connection know of each other.
pub(super) struct Shared {
    open: Cell<usize>,
    /// When the last one began or ended.
    used: Cell<Instant>,
    closed: Cell<bool>,
    place: Cell<Option<Place>>,
    places: Arc<Places>,
    task: OnceCell<AbortHandle>,
}

impl Shared {
    pub(super) fn begin(&self) {
        self.open.set(self.open.get() + 1);
        self.used.set(Instant::now());
    }

    pub(super) fn end(&self) {
        self.open.set(self.open.get() - 1);
        self.used.set(Instant::now());
        if self.open.get() == 0 && self.places.are_wanted() {
            self.places.call();
        }
    }

    /// The same as that of a connection of HTTP/1.
    fn gives_way(&self, places: &Places) -> bool {
        let Some(place) = self.place.take() else { return false };
        let place = places.pass_on(place);
        let given = place.is_none();
        self.place.set(place);
        if given && let Some(task) = self.task.get().cloned() {
            // From here on it is one too many: a dyno that reads nothing must not hold it open.
            tokio::task::spawn_local(async move {
                tokio::time::sleep(GOODBYE).await;
                task.abort();
            });
        }
        given
    }
}

struct Connection {
    sender: SendRequest<Bytes>,
    shared: Rc<Shared>,
}

/// A worker's connections of this kind.
#[derive(Default)]
pub(crate) struct Multiplexed {
    connections: RefCell<HashMap<Key, Vec<Connection>>>,
    /// One at a time connects to a dyno; the others find room on what came of that.
    connecting: RefCell<HashMap<Key, Rc<Mutex<()>>>>,
}

impl Multiplexed {
    /// A stream on a connection that has room for it.
    pub(super) fn stream(&self, key: Key) -> Option<Http2Dyno> {
        let mut connections = self.connections.borrow_mut();
        let connections = connections.get_mut(&key)?;
        connections.retain(|connection| !connection.shared.closed.get());
        let mut cx = Context::from_waker(Waker::noop());
        connections.iter_mut().find_map(|connection| {
            let most = connection.sender.current_max_send_streams().min(MOST_STREAMS);
            let ready = connection.shared.open.get() < most
                && matches!(connection.sender.poll_ready(&mut cx), Poll::Ready(Ok(())));
            ready.then(|| Http2Dyno::new(connection.sender.clone(), Rc::clone(&connection.shared)))
        })
    }

    /// A stream on a new connection, or on one that has come meanwhile.
    pub(super) async fn connect(&self, worker: &Worker, key: Key, limit: Duration) -> Result<Http2Dyno, Failure> {
        let turn = Rc::clone(self.connecting.borrow_mut().entry(key).or_default());
        let Ok(_turn) = tokio::time::timeout(limit, turn.lock()).await else { return Err(Failure::ConnectTimeout) };
        if let Some(stream) = self.stream(key) {
            return Ok(stream);
        }
        let place = place(worker, limit).await?;
        let stream = connect(worker, key.1, limit).await?;
        let handshake = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            // The streams are of many clients: one that takes nothing must not hold up the others.
            .initial_connection_window_size(WINDOW * u32::try_from(MOST_STREAMS).unwrap_or(u32::MAX))
            .initial_max_send_streams(MOST_STREAMS)
            .max_header_list_size(64 * 1024)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake::<_, Bytes>(stream);
        let (sender, connection) = match tokio::time::timeout(limit, handshake).await {
            Ok(Ok(made)) => made,
            Ok(Err(_)) => return Err(Failure::ConnectRefused),
            Err(_) => return Err(Failure::ConnectTimeout),
        };
        let shared = Rc::new(Shared {
            open: Cell::new(0),
            used: Cell::new(Instant::now()),
            closed: Cell::new(false),
            place: Cell::new(Some(place)),
            places: Arc::clone(&worker.shared.places),
            task: OnceCell::new(),
        });
        let of_task = Rc::clone(&shared);
        let task = tokio::task::spawn_local(async move {
            // What breaks here reaches the requests that are on the connection.
            let _ = connection.await;
            drop(of_task.place.take());
            of_task.closed.set(true);
        });
        let _ = shared.task.set(task.abort_handle());
        let dyno = Http2Dyno::new(sender.clone(), Rc::clone(&shared));
        self.connections.borrow_mut().entry(key).or_default().push(Connection { sender, shared });
        Ok(dyno)
    }

    /// Closes unused ones, as many as others wait for places.
    pub(crate) fn give_way(&self, places: &Places) {
        if !places.are_wanted() {
            return;
        }
        for connections in self.connections.borrow_mut().values_mut() {
            connections.retain(|Connection { shared, .. }| {
                let unused = shared.open.get() == 0 && places.are_wanted();
                !(unused && shared.gives_way(places))
            });
        }
    }

    /// Closes what has been unused for long, or leads to a dyno that `keep` doesn't know, once
    /// its streams have ended.
    pub(crate) fn sweep(&self, keep: impl Fn(&Key) -> bool, keepalive: Duration) {
        self.connecting.borrow_mut().retain(|_, turn| Rc::strong_count(turn) > 1);
        self.connections.borrow_mut().retain(|key, connections| {
            connections.retain(|Connection { shared, .. }| {
                let unused = shared.open.get() == 0 && shared.used.get().elapsed() >= keepalive;
                !shared.closed.get() && !unused
            });
            keep(key) && !connections.is_empty()
        });
    }
}
