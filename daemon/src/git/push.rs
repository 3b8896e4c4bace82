//! The pushes under way, and the conversation with the hook of each while its build runs.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    deploy::deploy,
    hook::{Pushed, TEXT, VERDICT},
    phase,
    plan::{is_zero, plan},
    refs, repository,
};
use crate::{
    ops::{Actor, Platform},
    store::apps::App,
};

/// A hook may send this many bytes: some ten thousand refs.
const LONGEST: u64 = 8 * 1024 * 1024;

/// The pushes under way. One per daemon.
#[derive(Debug, Default)]
pub struct Git {
    pushes: Mutex<HashMap<Uuid, Push>>,
    /// App → the push that deploys to it.
    deploying: Mutex<HashMap<Uuid, Uuid>>,
}

/// Who pushes where.
#[derive(Debug, Clone)]
pub(super) struct Push {
    pub(super) actor: Actor,
    pub(super) app: App,
    pub(super) git_dir: PathBuf,
    /// Whoever pushes hears nothing any more.
    pub(super) gone: CancellationToken,
    /// The branch and the commit that were deployed by it.
    deployed: Arc<OnceLock<(String, String)>>,
}

impl Push {
    pub(super) fn new(actor: Actor, app: App, git_dir: PathBuf) -> Self {
        Self { actor, app, git_dir, gone: CancellationToken::new(), deployed: Arc::default() }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Git {
    /// Notes a push until its entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, push: Push) -> Entry {
        let id = Uuid::new_v4();
        locked(&self.pushes).insert(id, push.clone());
        Entry { git: self.clone(), id, push }
    }

    /// Takes the turn to deploy to an app; false while another push has it. It is given back with
    /// the end of the push, when git has moved the refs: two at once could both be released and
    /// only one of them be taken by git.
    fn take_turn(&self, app: Uuid, push: Uuid) -> bool {
        *locked(&self.deploying).entry(app).or_insert(push) == push
    }
}

/// A push under way.
#[derive(Debug)]
pub(super) struct Entry {
    git: Arc<Git>,
    id: Uuid,
    push: Push,
}

impl Entry {
    /// What the hook calls it.
    pub(super) fn id(&self) -> Uuid {
        self.id
    }

    /// Notes that git has ended, and then gives back the app's turn.
    pub(super) async fn end(self) {
        let Some((branch, commit)) = self.push.deployed.get().cloned() else { return };
        let git_dir = self.push.git_dir.clone();
        let followed = tokio::task::spawn_blocking(move || refs::follow(&git_dir, &branch, &commit)).await;
        if let Err(error) = followed.map_err(|error| error.to_string()).and_then(|done| done.map_err(|e| e.to_string()))
        {
            tracing::warn!(app = self.push.app.name, error, "the branch that clones get could not be set");
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        locked(&self.git.pushes).remove(&self.id);
        locked(&self.git.deploying).retain(|_, push| *push != self.id);
    }
}

/// Waits for hooks until `stop` becomes true. `program` is what hooks are to call: paasd.
///
/// # Errors
/// When the socket or the hook can't be made.
pub async fn serve_hooks(
    p: Platform,
    git: Arc<Git>,
    program: &Path,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let socket = repository::hook_socket(&p.cx);
    if let Some(parent) = socket.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    repository::write_hook(&p.cx, program)?;
    let _ = tokio::fs::remove_file(&socket).await;
    let listener = UnixListener::bind(&socket)?;
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => Some(accepted),
            _ = stop.wait_for(|stop| *stop) => None,
        };
        let stream = match accepted {
            Some(Ok((stream, _))) => stream,
            Some(Err(error)) => {
                tracing::warn!(%error, "a hook could not be heard");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                continue;
            }
            None => return Ok(()),
        };
        let (p, git) = (p.clone(), git.clone());
        // A push that has begun is brought to its end, whatever becomes of its hook.
        tokio::spawn(async move {
            if let Err(error) = converse(&p, &git, stream).await {
                tracing::warn!(%error, "a push's hook could not be answered");
            }
        });
    }
}

/// The pusher's end of the line. Once it is broken, text is dropped and the push goes on.
pub(super) struct Pusher {
    line: OwnedWriteHalf,
    gone: bool,
}

impl Pusher {
    pub(super) async fn record(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut record = vec![kind];
        record.extend(length.to_be_bytes());
        record.extend(body);
        if !self.gone && self.line.write_all(&record).await.is_err() {
            self.gone = true;
        }
    }

    pub(super) fn is_gone(&self) -> bool {
        self.gone
    }

    pub(super) async fn say(&mut self, text: &str) {
        self.record(TEXT, text.as_bytes()).await;
    }
}

async fn converse(p: &Platform, git: &Arc<Git>, stream: UnixStream) -> io::Result<()> {
    let (read, write) = stream.into_split();
    let mut line = String::new();
    BufReader::new(read.take(LONGEST)).read_line(&mut line).await?;
    let pushed: Pushed = serde_json::from_str(&line)?;
    let push = locked(&git.pushes).get(&pushed.push).cloned();
    let Some(push) = push else {
        return Err(io::Error::other("a hook spoke of a push that nobody makes"));
    };
    let mut pusher = Pusher { line: write, gone: false };
    let accepted = receive(p, git, &push, &pushed, &mut pusher).await;
    pusher.record(VERDICT, &[u8::from(!accepted)]).await;
    if accepted && pusher.gone {
        tracing::warn!(app = push.app.name, "git went away before it could take a push that was deployed");
    }
    Ok(())
}

/// Decides about a push and builds what is to be deployed; whether git may take it.
async fn receive(p: &Platform, git: &Arc<Git>, push: &Push, pushed: &Pushed, pusher: &mut Pusher) -> bool {
    let head = match head(push, pushed).await {
        Ok(head) => head,
        Err(error) => {
            tracing::error!(app = push.app.name, %error, "a repository's HEAD can't be read");
            pusher.say("\n !     The repository can't be read; the platform's log says more.\n\n").await;
            return false;
        }
    };
    let plan = match plan(&pushed.updates, &push.app.name, &head) {
        Ok(plan) => plan,
        Err(refusal) => {
            pusher.say(&refusal).await;
            return false;
        }
    };
    for text in &plan.notes {
        pusher.say(text).await;
    }
    let Some(update) = plan.deploy else { return true };
    if !git.take_turn(push.app.id, pushed.push) {
        let (what, look, end) = match phase::running(p, push.app.id).await {
            Ok(Some(dyno)) => ("is running its release command", "paas ps", format!("paas ps:stop {}", dyno.name())),
            Ok(None) | Err(_) => ("is being built", "paas builds", "paas builds:cancel".to_owned()),
        };
        pusher
            .say(&format!(
                "\n !     Another push to {} {what}; only one can be at a time.\n \
                 !     Wait until it has ended ({look}) or end it ({end}), then push again.\n\n",
                push.app.name
            ))
            .await;
        return false;
    }
    match deploy(p, push, pushed, update, pusher).await {
        Ok(true) => {
            let _ = push.deployed.set((update.name.clone(), update.new.clone()));
            true
        }
        Ok(false) => {
            pusher
                .say(&format!(
                    "\n !     Push failed\nVerifying deploy...\n\n !     Push rejected to {}.\n\n",
                    push.app.name
                ))
                .await;
            false
        }
        Err(text) => {
            pusher.say(&format!("\n !     Push rejected: {text}.\n\n")).await;
            false
        }
    }
}

/// The branch that was deployed last, which only a deletion needs to know.
async fn head(push: &Push, pushed: &Pushed) -> Result<String, git2::Error> {
    if !pushed.updates.iter().any(|update| is_zero(&update.new)) {
        return Ok(String::new());
    }
    let git_dir = push.git_dir.clone();
    let head = tokio::task::spawn_blocking(move || refs::head(&git_dir)).await;
    head.unwrap_or_else(|error| Err(git2::Error::from_str(&error.to_string())))
}
