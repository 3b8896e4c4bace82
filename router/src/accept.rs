//! Who comes in: connections are taken, counted, and brought to where they can be served,
//! through the header of the PROXY protocol and the TLS handshake, where there are such.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ProtocolVersion;
use tokio_rustls::server::TlsStream;

use crate::challenge;
use crate::guard::{Open, Share};
use crate::peer::Peer;
use crate::proxy::Conn;
use crate::proxy_protocol::{self, Malformed, Origin, Parsed};
use crate::stats::count;
use crate::worker::{Listening, Worker};
use crate::{http1, http2};

/// A connection that may be served. It counts for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Admitted {
    pub(crate) peer: Peer,
    _share: Option<Share>,
    _open: Open,
}

/// The handshakes of a worker that go on, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    next: Cell<u64>,
    open: RefCell<BTreeMap<u64, oneshot::Sender<()>>>,
}

/// One of them. It is over when this is dropped.
struct Handshake<'w> {
    all: &'w Handshakes,
    number: u64,
    /// Ready when it is given up.
    given_up: oneshot::Receiver<()>,
}

impl Handshakes {
    /// Begins one. True where the oldest was given up for it, since there were `most` already.
    fn begin(&self, most: usize) -> (Handshake<'_>, bool) {
        let number = self.next.get();
        self.next.set(number + 1);
        let (give_up, given_up) = oneshot::channel();
        let mut open = self.open.borrow_mut();
        // Whoever means it is through in moments; what is old is likely to wait for nothing.
        let crowded = open.len() >= most && open.pop_first().is_some();
        open.insert(number, give_up);
        (Handshake { all: self, number, given_up }, crowded)
    }
}

impl Drop for Handshake<'_> {
    fn drop(&mut self) {
        self.all.open.borrow_mut().remove(&self.number);
    }
}

/// Takes connections until the end, and then those that the kernel has queued for us alone.
pub(crate) async fn run(worker: Rc<Worker>, listening: Listening) {
    let Listening { listener, tls, own } = listening;
    let _needed = worker.shared.ending.needs("Connections of a listener are not taken any more");
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!("A listener can't be used: {error}"),
    };
    let port = listener.local_addr().map_or(0, |addr| addr.port());
    let mut stop = worker.stop.clone();
    loop {
        let accepted = async {
            worker.shared.guard.room().await;
            listener.accept().await
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => break,
            () = worker.keep_room() => {}
            accepted = accepted => match accepted {
                Ok((stream, peer)) => begin(&worker, stream, peer, port, tls.clone()),
                Err(error) => not_taken(&error).await,
            },
        }
    }
    if own && !worker.shared.ending.handed_over() {
        // What the kernel has queued for us nobody else will take. All in one go: the runtime would
        // pause it as if nothing was there.
        let queued = async {
            for _ in 0..4096 {
                match std::future::poll_fn(|cx| Poll::Ready(listener.poll_accept(cx))).await {
                    Poll::Ready(Ok((stream, peer))) => begin(&worker, stream, peer, port, tls.clone()),
                    Poll::Ready(Err(_)) | Poll::Pending => break,
                }
            }
        };
        tokio::task::unconstrained(queued).await;
    }
}

/// Most errors belong to the connection that was not taken; being out of descriptors lasts.
async fn not_taken(error: &io::Error) {
    if ![io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset].contains(&error.kind()) {
        tracing::error!("A connection can't be taken: {error}. Is the limit of open files too low?");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn begin(worker: &Rc<Worker>, stream: TcpStream, from: SocketAddr, port: u16, tls: Option<TlsAcceptor>) {
    let (front, guard) = (&worker.shared.front, &worker.shared.guard);
    let introduced = front.proxy_protocol_from.contain(from.ip());
    // Those who pass on the connections of many, and this machine.
    let free = introduced || front.trusted_proxies.contain(from.ip()) || from.ip().to_canonical().is_loopback();
    let share = if free { None } else { guard.share(from.ip()) };
    count(&worker.shared.totals.accepted);
    if !free && share.is_none() {
        return;
    }
    let arrival = Arrival { stream, from, port, share, open: guard.open(), introduced };
    let alive = worker.alive();
    // Without it only latency suffers.
    let _ = arrival.stream.set_nodelay(true);
    let worker = Rc::clone(worker);
    // Each a task of its own kind, so that one doesn't take the room of the other.
    match tls {
        None => tokio::task::spawn_local(async move {
            // What waits for nothing needs no memory of its own: between the small pieces that a
            // connection keeps, it would be lost as soon as it is given back.
            let arrived = if arrival.introduced {
                Box::pin(arrival.introduced(worker)).await
            } else {
                Some(arrival.direct(worker, None))
            };
            if let Some((conn, stream)) = arrived {
                http1::serve::serve(conn, stream).await;
            }
            drop(alive);
        }),
        Some(acceptor) => tokio::task::spawn_local(async move {
            let arrived = Box::pin(arrival.tls(worker, acceptor)).await;
            if let Some((conn, stream, http2)) = arrived {
                if http2 {
                    let limits = &conn.worker.shared.limits;
                    let deadline = Instant::now() + limits.head.min(limits.client_idle);
                    Box::pin(http2::serve::serve(Rc::new(conn), stream, Vec::new(), deadline)).await;
                } else {
                    http1::serve::serve(conn, stream).await;
                }
            }
            drop(alive);
        }),
    };
}

/// A connection that was just taken.
struct Arrival {
    stream: TcpStream,
    from: SocketAddr,
    port: u16,
    share: Option<Share>,
    open: Open,
    /// Whether it begins with a header of the PROXY protocol.
    introduced: bool,
}

impl Arrival {
    /// Brings it to where it can be served. None when that comes to nothing.
    async fn tls(mut self, worker: Rc<Worker>, acceptor: TlsAcceptor) -> Option<(Conn, TlsStream<TcpStream>, bool)> {
        let limits = &worker.shared.limits;
        let end = Instant::now() + limits.handshake;
        let (mut handshake, crowded) = worker.handshakes.begin(limits.handshakes);
        if crowded {
            worker.shared.guard.crowded_out(limits.handshakes);
        }
        let made = async {
            let origin = self.introduction(&worker).await?;
            let (stream, admitted) = self.admitted(&worker, origin, true);
            // A handshake that fails is the client's affair.
            Some((acceptor.accept(stream).await.ok()?, admitted))
        };
        let made = tokio::select! {
            made = made => made,
            _ = &mut handshake.given_up => None,
            () = tokio::time::sleep_until(end) => None,
        };
        let totals = &worker.shared.totals;
        let Some((mut stream, admitted)) = made else {
            count(&totals.handshakes_failed);
            return None;
        };
        if stream.get_ref().1.alpn_protocol() == Some(challenge::ALPN) {
            // The handshake was all that is asked.
            let _ = tokio::time::timeout_at(end, stream.shutdown()).await;
            return None;
        }
        let session = stream.get_ref().1;
        let http2 = session.alpn_protocol() == Some(b"h2");
        let server_name = session.server_name().map(Into::into);
        let (version, counted) = match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => ("tls1.3", &totals.tls13),
            Some(_) | None => ("tls1.2", &totals.tls12),
        };
        count(counted);
        drop(handshake);
        Some((Conn { worker, admitted, tls: Some(version), server_name }, stream, http2))
    }

    /// The same for plain HTTP behind a header of the PROXY protocol.
    async fn introduced(mut self, worker: Rc<Worker>) -> Option<(Conn, TcpStream)> {
        let origin = {
            let limits = &worker.shared.limits;
            let (mut handshake, crowded) = worker.handshakes.begin(limits.handshakes);
            if crowded {
                worker.shared.guard.crowded_out(limits.handshakes);
            }
            tokio::select! {
                origin = self.introduction(&worker) => origin?,
                _ = &mut handshake.given_up => return None,
                () = tokio::time::sleep(limits.handshake) => return None,
            }
        };
        Some(self.direct(worker, origin))
    }

    /// The same for plain HTTP.
    fn direct(self, worker: Rc<Worker>, origin: Option<Origin>) -> (Conn, TcpStream) {
        let (stream, admitted) = self.admitted(&worker, origin, false);
        (Conn { worker, admitted, tls: None, server_name: None }, stream)
    }

    /// None when it is to be closed.
    async fn introduction(&mut self, worker: &Worker) -> Option<Option<Origin>> {
        if !self.introduced {
            return Some(None);
        }
        let origin = match header(&mut self.stream).await {
            Ok(origin) => origin,
            Err(Unintroduced::Malformed(why)) => {
                worker.shared.guard.bad_proxy_header(self.from.ip(), &why);
                return None;
            }
            // Whoever only looks whether somebody listens says nothing.
            Err(Unintroduced::Gone) => return None,
        };
        if let Some(origin) = origin {
            self.share = Some(worker.shared.guard.share(origin.source.ip())?);
        }
        Some(origin)
    }

    fn admitted(self, worker: &Worker, origin: Option<Origin>, tls: bool) -> (TcpStream, Admitted) {
        let peer = Peer::new(self.from, self.port, origin, tls, &worker.shared.front);
        (self.stream, Admitted { peer, _share: self.share, _open: self.open })
    }
}

enum Unintroduced {
    Malformed(Malformed),
    Gone,
}

/// Reads the header of the PROXY protocol, and no byte of what follows it.
async fn header(stream: &mut TcpStream) -> Result<Option<Origin>, Unintroduced> {
    let mut bytes = Vec::with_capacity(64);
    loop {
        match proxy_protocol::parse(&bytes).map_err(Unintroduced::Malformed)? {
            Parsed::Whole(header) => return Ok(header.origin),
            Parsed::Partial(more) => {
                let at = bytes.len();
                bytes.resize(at + more, 0);
                stream.read_exact(&mut bytes[at..]).await.map_err(|_| Unintroduced::Gone)?;
            }
        }
    }
}
