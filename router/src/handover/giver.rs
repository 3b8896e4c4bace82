//! The router that is replaced.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{oneshot, watch};

use super::link::{Link, line};
use super::{KEPT, Named, VARIABLE, Word};
use crate::admin::Admin;
use crate::ending::Ending;
use crate::notify;
use crate::table_file::TableFile;

/// How often the old router tells what it still does.
const REPORTS: Duration = Duration::from_millis(100);

/// Why a hand-over was not one. The old router serves on.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// This one ends, or has handed over before.
    #[error("this router doesn't serve any more")]
    Over,
    /// The program is gone, or can't be run.
    #[error("{program} can't be started: {source}")]
    Program {
        /// Which.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// No descriptors, no memory.
    #[error("the sockets can't be handed over: {0}")]
    Sockets(#[source] io::Error),
    /// The new one would begin with an older table than that in use.
    #[error("the newest routing table can't be kept on disk: {0}. Is the disk full?")]
    Table(#[source] io::Error),
    /// The new one says so itself.
    #[error("the new router can't start: {0}")]
    Refused(String),
    /// The new one is gone.
    #[error("the new router ended before it was ready ({0}); what it said last is above")]
    Ended(String),
    /// The new one takes too long.
    #[error("the new router was not ready within {0:?}; it was ended")]
    Late(Duration),
}

/// What is passed on: the sockets, and the lock that tells whose the data directory is.
#[derive(Debug)]
pub(crate) struct Estate {
    held: Mutex<Option<Held>>,
}

#[derive(Debug)]
struct Held {
    sockets: Vec<(Named, TcpListener)>,
    lock: File,
}

impl Estate {
    pub(crate) fn new(lock: File) -> Estate {
        Estate { held: Mutex::new(Some(Held { sockets: Vec::new(), lock })) }
    }

    pub(crate) fn add(&self, named: Named, listeners: &[TcpListener]) -> io::Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Held { sockets, .. }) = held.as_mut() {
            for listener in listeners {
                sockets.push((named, listener.try_clone()?));
            }
        }
        Ok(())
    }

    /// From here on the ports are free, unless somebody has taken over. The data directory is when
    /// the lock is dropped.
    pub(crate) fn give_up(&self) -> Option<File> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).take().map(|held| held.lock)
    }

    fn send(&self, link: &mut Link) -> Result<(), HandoverError> {
        self.say(link, true)
    }

    /// Copies of the sockets, for who keeps them: they outlive this process there. Waits for the reader, as long
    /// as the link does.
    pub(crate) fn copy_to(&self, stream: UnixStream) -> Result<(), HandoverError> {
        stream.set_nonblocking(false).map_err(HandoverError::Sockets)?;
        self.say(&mut Link::new(stream), false)
    }

    fn say(&self, link: &mut Link, with_lock: bool) -> Result<(), HandoverError> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let Held { sockets, lock } = held.as_ref().ok_or(HandoverError::Over)?;
        let named = sockets.iter().map(|(named, _)| *named).collect();
        let files = sockets.iter().map(|(_, listener)| listener.as_fd());
        let files: Vec<_> = files.chain(with_lock.then(|| lock.as_fd())).collect();
        link.say(&Word::Sockets(named), &files).map_err(HandoverError::Sockets)
    }
}

/// Lets a new router take the place of this one.
#[derive(Debug, Clone)]
pub struct Handover {
    pub(crate) estate: Arc<Estate>,
    pub(crate) file: TableFile,
    pub(crate) ending: Arc<Ending>,
    pub(crate) stop: Arc<watch::Sender<bool>>,
    pub(crate) patience: Duration,
    pub(crate) admin: Arc<Admin>,
    /// Where the link goes on after the hand-over.
    pub(crate) link: Arc<Mutex<Option<oneshot::Sender<UnixStream>>>>,
}

impl Handover {
    /// Takes no more connections and lets what was begun come to its end. After a hand-over,
    /// when that has begun already: in no more time than at an end without one.
    pub fn stop(&self) {
        self.ending.hurry();
        self.stop.send_replace(true);
    }

    /// Whether the router ended by itself, since something that it needs was gone; the log says what.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.ending.failed()
    }

    /// Starts `program` and hands everything over to it; its process id. This router has
    /// stopped taking connections then. It takes as long as the new router needs to start.
    pub fn run(&self, program: &Path, arguments: &[OsString]) -> Result<u32, HandoverError> {
        if *self.stop.borrow() {
            return Err(HandoverError::Over);
        }
        let (ours, theirs) = UnixStream::pair().map_err(HandoverError::Sockets)?;
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env(VARIABLE, "stdin")
            // Ours, and for our process id.
            .env_remove(KEPT)
            .env_remove("LISTEN_FDS")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("LISTEN_PID")
            .stdin(Stdio::from(OwnedFd::from(theirs)));
        let spawned = command.spawn();
        // Its end of the pair is its alone now, so that its death is heard.
        drop(command);
        let mut child =
            spawned.map_err(|source| HandoverError::Program { program: program.display().to_string(), source })?;
        let mut link = Link::new(ours);
        let agreed = self.agree(&mut link, &mut child);
        if let Err(why) = agreed {
            self.file.take_up();
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
            return Err(why);
        }
        let pid = child.id();
        notify::successor(pid);
        let first = self.stop.send_if_modified(|stop| {
            let first = !*stop;
            if first {
                self.ending.hand_over();
            }
            *stop = true;
            first
        });
        if !first {
            // Asked to end between the words: that was meant for whoever serves.
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::TERM);
            }
            return Err(HandoverError::Over);
        }
        if let Some(control) = self.link.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = control.send(link.into_parts().0);
        }
        Ok(pid)
    }

    fn agree(&self, link: &mut Link, child: &mut Child) -> Result<(), HandoverError> {
        match self.estate.send(link) {
            Ok(()) => {}
            Err(HandoverError::Sockets(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
                return Err(ended(child));
            }
            Err(error) => return Err(error),
        }
        let begun = Instant::now();
        loop {
            if *self.stop.borrow() {
                return Err(HandoverError::Over);
            }
            if begun.elapsed() > self.patience {
                return Err(HandoverError::Late(self.patience));
            }
            match link.hear(Some(Duration::from_millis(50))) {
                Ok(Some(Word::Ready)) => break,
                Ok(Some(Word::Failed(why))) => return Err(HandoverError::Refused(why)),
                Ok(Some(other)) => return Err(HandoverError::Refused(format!("it said {other:?}"))),
                Ok(None) => return Err(ended(child)),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Err(ended(child)),
                Err(error) => return Err(HandoverError::Refused(error.to_string())),
            }
        }
        // Two writers of one file would spoil it.
        self.file.lay_down().map_err(HandoverError::Table)?;
        let still = self.admin.still();
        // An older one hears nothing but this to go by; another waits for what goes on here, which its first
        // answer has.
        let said = link.say(&Word::Go, &[]).and_then(|()| link.say(&Word::Still(still), &[]));
        said.map_err(|_| ended(child))
    }
}

/// Of a child that has closed its end: how it ended, or that it hasn't.
fn ended(child: &mut Child) -> HandoverError {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(1) {
        match child.try_wait() {
            Ok(Some(status)) => return HandoverError::Ended(status.to_string()),
            Ok(None) => std::thread::sleep(Duration::from_millis(5)),
            Err(error) => return HandoverError::Ended(error.to_string()),
        }
    }
    HandoverError::Ended("it has closed its standard input".to_owned())
}

/// Tells the new router what requests of this one go on, until this one ends.
pub(crate) async fn report(stream: UnixStream, ending: Arc<Ending>, admin: Arc<Admin>) {
    let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
    let Ok(stream) = stream else { return };
    let (read, mut write) = stream.into_split();
    let mut heard = BufReader::new(read).lines();
    let mut last = None;
    let mut new_is_there = true;
    let mut changes = admin.shared.routes.changes();
    loop {
        let still = admin.still();
        if new_is_there && last.as_ref() != Some(&still) {
            // In this order: what is said last counts, for who hears both.
            let said = [line(&Word::Busy(still.busy.clone())), line(&Word::Still(still.clone()))];
            let [Ok(busy), Ok(text)] = said else { return };
            new_is_there = write.write_all(&[busy, text].concat()).await.is_ok();
            last = Some(still);
        }
        tokio::select! {
            line = heard.next_line(), if new_is_there => match line {
                Ok(Some(line)) => if matches!(serde_json::from_str(&line), Ok(Word::Hurry)) {
                    tracing::info!("This router has been told to hurry: the new one ends, too");
                    ending.hurry();
                }
                Ok(None) | Err(_) => new_is_there = false,
            },
            // The new one waits for that.
            Ok(()) = changes.changed() => {}
            () = tokio::time::sleep(REPORTS) => {}
        }
    }
}
