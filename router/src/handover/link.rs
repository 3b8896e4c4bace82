//! The socket pair between two routers: lines of JSON, and descriptors beside them.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
    recvmsg, sendmsg,
};

use super::Word;

/// Descriptors in one message; the kernel takes 253.
const CHUNK: usize = 64;

/// How long the other side may take nothing of what it is told.
const PATIENCE: Duration = Duration::from_secs(10);

const LONGEST: usize = 16 * 1024 * 1024;

/// One end, read and written by a thread that may wait.
#[derive(Debug)]
pub(crate) struct Link {
    stream: UnixStream,
    unread: Vec<u8>,
    files: Vec<OwnedFd>,
}

impl Link {
    pub(crate) fn new(stream: UnixStream) -> Link {
        Link { stream, unread: Vec::new(), files: Vec::new() }
    }

    /// Its socket, and what was read from it and not heard yet.
    pub(super) fn into_parts(self) -> (UnixStream, Vec<u8>) {
        (self.stream, self.unread)
    }

    /// Says `word`, and hands these descriptors over with it.
    pub(super) fn say(&mut self, word: &Word, files: &[BorrowedFd<'_>]) -> io::Result<()> {
        self.stream.set_write_timeout(Some(PATIENCE))?;
        for chunk in files.chunks(CHUNK) {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !control.push(SendAncillaryMessage::ScmRights(chunk)) {
                return Err(io::Error::other("too many descriptors for one message"));
            }
            // They need a byte to travel with; JSON may begin with a space.
            sendmsg(&self.stream, &[IoSlice::new(b" ")], &mut control, SendFlags::NOSIGNAL)?;
        }
        self.stream.write_all(&line(word)?)
    }

    /// The next word; nothing when the other side is gone.
    pub(crate) fn hear(&mut self, patience: Option<Duration>) -> io::Result<Option<Word>> {
        self.stream.set_read_timeout(patience)?;
        loop {
            if let Some(end) = self.unread.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return serde_json::from_slice(&line).map(Some).map_err(io::Error::from);
            }
            if self.unread.len() > LONGEST {
                return Err(io::Error::other("a line without an end"));
            }
            let mut bytes = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(CHUNK))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let got = recvmsg(&self.stream, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(files) = message {
                    self.files.extend(files);
                }
            }
            if got.bytes == 0 {
                return Ok(None);
            }
            self.unread.extend_from_slice(bytes.get(..got.bytes).unwrap_or_default());
        }
    }

    /// The descriptors that came so far.
    pub(super) fn files(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.files)
    }
}

pub(crate) fn line(word: &Word) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(word)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use std::net::TcpListener;
    use std::os::fd::AsFd as _;

    use super::*;
    use crate::handover::Named;

    #[test]
    fn more_sockets_than_one_message_takes_arrive_in_order() {
        let (one, other) = UnixStream::pair().unwrap();
        let listeners: Vec<TcpListener> = (0..150).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let named = vec![Named { tls: true, own: false }; 150];
        let files: Vec<_> = listeners.iter().map(|listener| listener.as_fd()).collect();
        Link::new(one).say(&Word::Sockets(named.clone()), &files).unwrap();
        let mut other = Link::new(other);
        let Some(Word::Sockets(told)) = other.hear(Some(PATIENCE)).unwrap() else { panic!("another word") };
        assert_eq!(told, named);
        let came: Vec<u16> =
            other.files().into_iter().map(|file| TcpListener::from(file).local_addr().unwrap().port()).collect();
        let sent: Vec<u16> = listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
        assert_eq!(came, sent);
        assert!(other.hear(Some(PATIENCE)).unwrap().is_none(), "the one is gone");
    }

    #[test]
    fn nonsense_is_an_error() {
        let (mut one, other) = UnixStream::pair().unwrap();
        one.write_all(b"hello\n").unwrap();
        Link::new(other).hear(Some(PATIENCE)).unwrap_err();
    }
}
