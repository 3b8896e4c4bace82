//! Copies of the listening sockets of the router that runs. What visitors begin while none runs waits in
//! them, and the next router goes on with the same ones: nobody is refused meanwhile.
//!
//! They are always those of the router that answered last, whoever has bound them, and are given up when no
//! router can be started with them: visitors had better be refused then than wait for nobody.

use std::{
    io::{self, IoSlice, IoSliceMut, Write as _},
    mem::MaybeUninit,
    net::{SocketAddr, TcpListener},
    os::{
        fd::{AsFd as _, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

/// Descriptors in one message, as the router sends them.
const CHUNK: usize = 64;

/// How long the router may be silent while it tells them.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest answer, in bytes.
const LONGEST: usize = 64 * 1024;

const QUESTION: &[u8] =
    b"GET /sockets HTTP/1.1\r\nHost: router\r\nConnection: upgrade\r\nUpgrade: paas-sockets\r\n\r\n";

/// Tells a router that its sockets come over its standard input.
const VARIABLE: &str = "PAAS_ROUTER_SOCKETS";

/// The sockets, and the line by which routers name them to each other.
#[derive(Debug)]
pub(super) struct Sockets {
    names: Vec<u8>,
    listeners: Vec<TcpListener>,
}

impl Sockets {
    /// Those of the router that answers there; an older one has none to give.
    pub(super) async fn of(socket: &Path) -> Option<Self> {
        let socket = socket.to_owned();
        let asked = tokio::task::spawn_blocking(move || {
            let stream = UnixStream::connect(socket)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            (&stream).write_all(QUESTION)?;
            heard(&stream)
        });
        match asked.await {
            Ok(Ok(sockets)) => sockets,
            Ok(Err(error)) => {
                tracing::debug!(%error, "the router gives no copies of its sockets");
                None
            }
            Err(_) => None,
        }
    }

    /// Whether they listen where the settings say: one that listens elsewhere is not gone on with.
    pub(super) fn are_at(&self, set: &[SocketAddr]) -> bool {
        // 0 is any port.
        let is = |set: &SocketAddr, one: SocketAddr| set.ip() == one.ip() && [0, one.port()].contains(&set.port());
        self.listeners.iter().all(|one| one.local_addr().is_ok_and(|one| set.iter().any(|set| is(set, one))))
    }

    /// Makes ready that a router which is about to be started gets them.
    pub(super) fn give_to(&self, router: &mut Command) -> io::Result<()> {
        let (mut ours, theirs) = UnixStream::pair()?;
        // There is room for all of it: nobody reads yet.
        ours.set_nonblocking(true)?;
        let files: Vec<_> = self.listeners.iter().map(|listener| listener.as_fd()).collect();
        for chunk in files.chunks(CHUNK) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(chunk)) {
                return Err(io::Error::other("too many descriptors for one message"));
            }
            // They need a byte to travel with; JSON may begin with a space.
            sendmsg(&ours, &[IoSlice::new(b" ")], &mut control, SendFlags::NOSIGNAL)?;
        }
        ours.write_all(&self.names)?;
        router.env(VARIABLE, "stdin").stdin(Stdio::from(OwnedFd::from(theirs)));
        Ok(())
    }
}

/// The answer: a head that says 101, then a line with the descriptors beside it.
fn heard(stream: &UnixStream) -> io::Result<Option<Sockets>> {
    let (mut said, mut files) = (Vec::new(), Vec::<OwnedFd>::new());
    loop {
        if let Some(end) = said.windows(4).position(|four| four == b"\r\n\r\n") {
            if !said.starts_with(b"HTTP/1.1 101 ") {
                return Ok(None);
            }
            if let (Some(names), true) = (said.get(end + 4..), said.ends_with(b"\n"))
                && !names.is_empty()
            {
                let listeners = files.into_iter().map(TcpListener::from).collect();
                return Ok(Some(Sockets { names: names.to_vec(), listeners }));
            }
        }
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let got = recvmsg(stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(more) = message {
                files.extend(more);
            }
        }
        if got.bytes == 0 || said.len() > LONGEST {
            return Err(io::Error::other("its answer has no end"));
        }
        said.extend_from_slice(bytes.get(..got.bytes).unwrap_or_default());
    }
}
