//! Where connections come in: sockets handed over by systemd, or bound here, one for each
//! worker so that the kernel spreads connections without a lock.

use std::io;
use std::net::{SocketAddr, TcpListener};

use listenfd::ListenFd;
use socket2::{Domain, Protocol, Socket, Type};

use crate::handover::{Named, Predecessor, kept};
use crate::holder;

const BACKLOG: i32 = 4096;

/// Why a port can't be had.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody has it.
    #[error(
        "{addr} can't be listened on: {holder} has the port. Stop it, or give the router another address ({setting})"
    )]
    Taken {
        /// Which address.
        addr: SocketAddr,
        /// Who, as far as it can be known.
        holder: String,
        /// The setting that moves us.
        setting: &'static str,
    },
    /// Ports below 1024 want a right.
    #[error(
        "{addr} can't be listened on: this user may not use ports below 1024. Run the router as root, give it \
         CAP_NET_BIND_SERVICE, let systemd hand the socket over, or choose another address ({setting})"
    )]
    Forbidden {
        /// Which address.
        addr: SocketAddr,
        /// The setting that moves us.
        setting: &'static str,
    },
    /// Anything else.
    #[error("{addr} can't be listened on: {source}. Check the address ({setting})")]
    Other {
        /// Which address.
        addr: SocketAddr,
        /// Why.
        source: io::Error,
        /// The setting that moves us.
        setting: &'static str,
    },
    /// A socket that was handed over is no TCP listener.
    #[error("the inherited socket {0} can't be used: {1}. It has to be a TCP stream socket that listens")]
    Inherited(String, io::Error),
}

/// Sockets that were handed over: by systemd (`LISTEN_FDS`, with their names in
/// `LISTEN_FDNAMES`), by the router that this one takes over from, or by the daemon, which has kept them.
#[derive(Debug, Default)]
pub struct Inherited {
    /// Named `http`, or not named at all.
    pub http: Vec<TcpListener>,
    /// Named `https`.
    pub https: Vec<TcpListener>,
    /// Whether those for HTTP were bound by a router: nobody else takes what waits in them.
    pub http_own: bool,
    /// The same for HTTPS.
    pub https_own: bool,
    /// The router that has them still.
    pub predecessor: Option<Predecessor>,
}

impl Inherited {
    /// Takes what this process was started with. To be called once, before anything else
    /// opens files.
    pub fn take() -> Result<Inherited, ListenError> {
        let announced = Predecessor::meet();
        let announced = announced.map_err(|error| ListenError::Inherited("of the router before".to_owned(), error))?;
        let (predecessor, sockets) = match announced {
            Some((predecessor, sockets)) => (Some(predecessor), sockets),
            None => match kept().map_err(|error| ListenError::Inherited("that was kept".to_owned(), error))? {
                Some(sockets) => (None, sockets),
                None => return Inherited::of_systemd(),
            },
        };
        let mut inherited = Inherited { predecessor, ..Inherited::default() };
        for (Named { tls, own }, listener) in sockets {
            let (listeners, all_own) = if tls {
                (&mut inherited.https, &mut inherited.https_own)
            } else {
                (&mut inherited.http, &mut inherited.http_own)
            };
            listeners.push(listener);
            *all_own = own;
        }
        Ok(inherited)
    }

    fn of_systemd() -> Result<Inherited, ListenError> {
        #[allow(clippy::disallowed_methods, reason = "systemd's variable is no setting; it is read here only, once")]
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut handed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for at in 0..handed.len() {
            let name = names.next().filter(|name| !name.is_empty()).unwrap_or("http");
            let fail = |error| ListenError::Inherited(format!("number {at} ({name})"), error);
            let Some(listener) = handed.take_tcp_listener(at).map_err(fail)? else { continue };
            listener.set_nonblocking(true).map_err(fail)?;
            if name.starts_with("https") {
                inherited.https.push(listener);
            } else {
                inherited.http.push(listener);
            }
        }
        Ok(inherited)
    }
}

/// Binds `addr` once for each of `workers`. `setting` is named when it fails.
pub(crate) fn bind(addr: SocketAddr, workers: usize, setting: &'static str) -> Result<Vec<TcpListener>, ListenError> {
    let fail = |source: io::Error| {
        if source.kind() == io::ErrorKind::AddrInUse {
            let holder = holder::of_port(addr.port()).unwrap_or_else(|| "another program".to_owned());
            ListenError::Taken { addr, holder, setting }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            ListenError::Forbidden { addr, setting }
        } else {
            ListenError::Other { addr, source, setting }
        }
    };
    // With SO_REUSEPORT we would share the port with a router that is still there, and each
    // would get half of the requests. Without it the port has to be free.
    let alone = bound(addr, false).map_err(fail)?;
    let addr = alone.local_addr().map_err(fail)?.as_socket().unwrap_or(addr);
    drop(alone);
    (0..workers.max(1))
        .map(|_| {
            let socket = bound(addr, true)?;
            socket.listen(BACKLOG)?;
            Ok(socket.into())
        })
        .collect::<io::Result<_>>()
        .map_err(fail)
}

fn bound(addr: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&addr.into())?;
    if !shared {
        // Binding alone does not collide with another's listening; listening does.
        socket.listen(1)?;
    }
    Ok(socket)
}
