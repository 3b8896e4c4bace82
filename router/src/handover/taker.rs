//! The router that takes over.

use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

use super::link::{Link, line};
use super::{KEPT, Named, Older, Still, VARIABLE, Word};
use crate::ending::Ending;

/// The old router has its sockets at hand; one that says nothing for so long says nothing.
const PATIENCE: Duration = Duration::from_secs(10);

/// It says what goes on there right after it lets go. New visitors wait meanwhile.
const STILL: Duration = Duration::from_secs(1);

/// The router that this one takes over from.
#[derive(Debug)]
pub struct Predecessor {
    link: Link,
    lock: Option<File>,
}

/// A predecessor with the sockets that it has sent.
pub(crate) type Announced = (Predecessor, Sockets);

/// Sockets with what is said of them.
pub(crate) type Sockets = Vec<(Named, TcpListener)>;

impl Predecessor {
    /// The one that has started this process, if one has.
    pub(crate) fn meet() -> io::Result<Option<Announced>> {
        let Some(mut link) = announced_by(VARIABLE)? else { return Ok(None) };
        let (sockets, mut more) = sockets(&mut link, 1)?;
        let lock = more.pop().map(File::from);
        Ok(Some((Predecessor { link, lock }, sockets)))
    }

    /// The lock of the data directory. It is the same one: there is no moment without it.
    pub(crate) fn lock(&mut self) -> Option<File> {
        self.lock.take()
    }

    /// Says that all is ready, and waits until the old one lets go. A predecessor that is gone
    /// meanwhile has let go, too.
    pub(crate) fn replace(mut self) -> io::Result<Before> {
        match self.link.say(&Word::Ready, &[]) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            Ok(()) | Err(_) => {}
        }
        // The old one says so, ends this process when it has waited long enough, or is gone.
        match self.link.hear(None) {
            Ok(Some(Word::Go) | None) => {}
            Ok(Some(other)) => return Err(io::Error::other(format!("the old router said {other:?}"))),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => return Err(error),
        }
        // There is no way back any more: whatever comes, or doesn't, is no reason to fail.
        let still = self.link.hear(Some(STILL)).ok().flatten().and_then(still);
        Ok(Before { link: self.link, still })
    }

    /// Says why it will not be.
    pub(crate) fn refuse(mut self, why: &str) {
        // Whoever is gone needs no word.
        let _ = self.link.say(&Word::Failed(why.to_owned()), &[]);
    }
}

/// The sockets that were kept for this process, if any were.
pub(crate) fn kept() -> io::Result<Option<Sockets>> {
    let Some(mut link) = announced_by(KEPT)? else { return Ok(None) };
    Ok(Some(sockets(&mut link, 0)?.0))
}

/// The pair that is standard input, if this variable says so.
fn announced_by(variable: &str) -> io::Result<Option<Link>> {
    #[allow(clippy::disallowed_methods, reason = "said by who starts us, no setting; each is read here only, once")]
    if std::env::var_os(variable).is_none() {
        return Ok(None);
    }
    let stdin = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    Ok(Some(Link::new(UnixStream::from(stdin))))
}

/// The sockets that are said next, and so many descriptors more.
fn sockets(link: &mut Link, more: usize) -> io::Result<(Sockets, Vec<OwnedFd>)> {
    let gone = || io::Error::new(io::ErrorKind::UnexpectedEof, "whoever has them is gone");
    let Word::Sockets(named) = link.hear(Some(PATIENCE))?.ok_or_else(gone)? else {
        return Err(io::Error::other("another word came than that of the sockets"));
    };
    let mut files = link.files();
    if files.len() != named.len() + more {
        return Err(io::Error::other(format!("{} sockets were announced, {} came", named.len(), files.len())));
    }
    let more = files.split_off(named.len());
    Ok((named.into_iter().zip(files.into_iter().map(TcpListener::from)).collect(), more))
}

/// A predecessor that has let go.
#[derive(Debug)]
pub(crate) struct Before {
    link: Link,
    /// What it had going on then.
    still: Option<Still>,
}

impl Before {
    pub(crate) fn still(&self) -> Option<Still> {
        self.still.clone()
    }
}

/// What a word tells of its requests, if it is of them.
fn still(word: Word) -> Option<Still> {
    match word {
        Word::Still(still) => Some(still),
        Word::Busy(busy) => Some(Still { table: None, busy }),
        Word::Sockets(_) | Word::Ready | Word::Failed(_) | Word::Go | Word::Hurry => None,
    }
}

/// Keeps what the predecessor says of its requests in `older`, until it is gone. Tells it to
/// hurry when this router is to end.
pub(crate) async fn listen(before: Before, older: Arc<Older>, ending: Arc<Ending>) {
    let (stream, unread) = before.link.into_parts();
    let stream = stream.set_nonblocking(true).and_then(|()| tokio::net::UnixStream::from_std(stream));
    if let Ok(stream) = stream {
        let (read, mut write) = stream.into_split();
        let mut lines = BufReader::new(io::Cursor::new(unread).chain(read)).lines();
        let mut told = false;
        loop {
            tokio::select! {
                heard = lines.next_line() => match heard {
                    // Words of a later one are none that are needed.
                    Ok(Some(text)) => if let Some(still) = serde_json::from_str(&text).ok().and_then(still) {
                        older.says(Some(still));
                    },
                    Ok(None) | Err(_) => break,
                },
                () = ending.hurried(), if !told => {
                    told = true;
                    if let Ok(text) = line(&Word::Hurry) {
                        let _ = write.write_all(&text).await;
                    }
                }
            }
        }
        tracing::info!("The router that was here before has brought its requests to their end");
    }
    older.says(None);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]
    use std::future::poll_fn;
    use std::io::Write as _;
    use std::task::Poll;

    use uuid::Uuid;

    use super::*;
    use crate::admin::BackendStatus;

    fn busy() -> Vec<BackendStatus> {
        vec![BackendStatus {
            app_id: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            dyno: "web.1".to_owned(),
            current: true,
            quarantined: false,
            in_flight: 3,
        }]
    }

    /// What is known of an old one that says these lines and is gone then, or is still there.
    fn replaced(lines: &[u8], gone: bool) -> (Before, UnixStream) {
        let (mut old, new) = UnixStream::pair().unwrap();
        old.write_all(lines).unwrap();
        if gone {
            old.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let before = Predecessor { link: Link::new(new), lock: None }.replace().unwrap();
        (before, old)
    }

    #[test]
    fn what_the_old_one_says_when_it_lets_go_is_known_from_then_on() {
        let still = Still { table: Some((Uuid::from_u128(3), 4)), busy: busy() };
        let lines = [line(&Word::Go).unwrap(), line(&Word::Still(still.clone())).unwrap()].concat();
        let (before, old) = replaced(&lines, false);
        assert_eq!(before.still(), Some(still));
        assert!(matches!(Link::new(old).hear(Some(PATIENCE)), Ok(Some(Word::Ready))));
    }

    #[test]
    fn after_the_word_to_go_nothing_is_an_error() {
        for (lines, gone) in [
            (&b""[..], true),
            (b"\"go\"\n", true),
            (b"\"go\"\n", false),
            (b"\"go\"\n{\"later\":1}\n", false),
            (b"\"go\"\nnonsense\n", false),
            (b"\"go\"\n{\"still\":", true),
        ] {
            assert_eq!(replaced(lines, gone).0.still(), None, "{}", String::from_utf8_lossy(lines));
        }
    }

    /// One from before `Still`: its requests are known, its table isn't.
    #[tokio::test]
    async fn an_older_one_tells_of_its_requests_too() {
        let go = [line(&Word::Go).unwrap(), line(&Word::Busy(busy())).unwrap()].concat();
        let (before, mut old) = replaced(&go, false);
        assert_eq!(before.still(), Some(Still { table: None, busy: busy() }));
        let older = Arc::new(Older::default());
        older.says(before.still());
        let (own, table) = ((Uuid::from_u128(3), 4), (Uuid::from_u128(3), 5));
        assert_eq!((older.busy(), older.table(own)), (busy(), None));
        let ending = Arc::new(Ending::new(&Arc::new(tokio::sync::watch::Sender::new(false))));
        let listening = tokio::spawn(listen(before, Arc::clone(&older), ending));
        old.write_all(&line(&Word::Busy(Vec::new())).unwrap()).unwrap();
        let mut said = older.0.subscribe();
        said.wait_for(|still| still.as_ref().is_some_and(|still| still.busy.is_empty())).await.unwrap();
        // That it goes by the newest isn't taken for granted as long as it is there.
        {
            let mut known = std::pin::pin!(older.goes_by(table));
            assert!(poll_fn(|cx| Poll::Ready(known.as_mut().poll(cx))).await.is_pending());
            drop(old);
            known.await;
        }
        listening.await.unwrap();
        assert_eq!(older.table(own), Some(own));
    }
}
