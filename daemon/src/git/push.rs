//! What a push means: which refs are only kept, which one deploys, and the conversation with
//! the hook while the build runs.

use std::{
    collections::HashMap,
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::StreamExt as _;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    sync::watch,
};
use uuid::Uuid;

use super::{
    hook::{Pushed, TEXT, Update, VERDICT},
    repository, tree,
};
use crate::{
    context::new_id,
    ops::{Actor, Platform, builds, releases},
    store::apps::App,
};

/// What is pushed to one of these is deployed.
const DEPLOYED: [&str; 2] = ["refs/heads/main", "refs/heads/master"];

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
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Git {
    /// Notes a push until its entry is dropped.
    pub(super) fn enter(self: &Arc<Self>, push: Push) -> Entry {
        let id = Uuid::new_v4();
        locked(&self.pushes).insert(id, push);
        Entry { git: self.clone(), id }
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
}

impl Entry {
    /// What the hook calls it.
    pub(super) fn id(&self) -> Uuid {
        self.id
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
struct Pusher {
    line: OwnedWriteHalf,
    gone: bool,
}

impl Pusher {
    async fn record(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut record = vec![kind];
        record.extend(length.to_be_bytes());
        record.extend(body);
        if !self.gone && self.line.write_all(&record).await.is_err() {
            self.gone = true;
        }
    }

    async fn say(&mut self, text: &str) {
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
    let plan = match plan(&pushed.updates, &push.app.name) {
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
        pusher
            .say(&format!(
                "\n !     Another push to {} is being built; only one can be at a time.\n \
                 !     Wait until it has ended (paas builds) or end it (paas builds:cancel), then push again.\n\n",
                push.app.name
            ))
            .await;
        return false;
    }
    match deploy(p, push, pushed, update, pusher).await {
        Ok(true) => true,
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

/// What shall become of a push.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan<'a> {
    deploy: Option<&'a Update>,
    notes: Vec<String>,
}

fn is_zero(id: &str) -> bool {
    id.bytes().all(|b| b == b'0')
}

fn plan<'a>(updates: &'a [Update], app: &str) -> Result<Plan<'a>, String> {
    let mut plan = Plan::default();
    let mut branches = Vec::new();
    for update in updates {
        if DEPLOYED.contains(&update.name.as_str()) {
            let short = update.name.trim_start_matches("refs/heads/");
            if is_zero(&update.new) {
                return Err(format!(
                    "\n !     The branch {short} is what {app} was deployed from: it can't be deleted.\n \
                     !     To deploy something else, push it there: git push -f paas BRANCH:{short}\n \
                     !     To remove the app: paas apps:destroy -a {app}\n\n"
                ));
            }
            match plan.deploy {
                Some(other) if other.new != update.new => {
                    return Err("\n !     main and master were pushed at once, with different commits.\n \
                         !     Push the one that you want to deploy.\n\n"
                        .to_owned());
                }
                Some(_) | None => plan.deploy = Some(update),
            }
        } else if update.name.starts_with("refs/heads/") && !is_zero(&update.new) {
            branches.push(update.name.trim_start_matches("refs/heads/"));
        }
    }
    if plan.deploy.is_none()
        && let Some(branch) = branches.first()
    {
        plan.notes.push(format!(
            "\nPushed to branch other than [main, master], skipping build.\n\
             To deploy this branch: git push paas {branch}:main\n\n"
        ));
    }
    Ok(plan)
}

/// Builds and releases a commit, with its output going to the pusher; whether it was released.
/// `Err` is why there is no build, for the pusher.
async fn deploy(
    p: &Platform,
    push: &Push,
    pushed: &Pushed,
    update: &Update,
    pusher: &mut Pusher,
) -> Result<bool, String> {
    let broken = |what: &str, error: &dyn std::fmt::Display| {
        tracing::error!(app = push.app.name, %error, "{what}");
        format!("{what}; the platform's log says more")
    };
    let id = new_id();
    let directory = builds::directory(p, id);
    tokio::fs::create_dir_all(&directory).await.map_err(|e| broken("the build has no place on disk", &e))?;
    let (git_dir, quarantine) = (push.git_dir.clone(), pushed.quarantine.clone());
    let (commit, target) = (update.new.clone(), directory.join("source"));
    let head = update.name.clone();
    let extracted = tokio::task::spawn_blocking(move || {
        let repository = tree::open(&git_dir, quarantine.as_deref())?;
        let extracted = tree::extract(&repository, &commit, &target)?;
        // Whoever clones gets the branch that is deployed.
        if head == "refs/heads/master" && repository.find_reference("refs/heads/main").is_err() {
            repository.set_head(&head)?;
        }
        Ok::<_, tree::TreeError>(extracted)
    })
    .await
    .map_err(|e| broken("the source could not be read", &e))?;
    let extracted = match extracted {
        Ok(extracted) => extracted,
        Err(error) => {
            let _ = tokio::fs::remove_dir_all(&directory).await;
            return Err(match error {
                tree::TreeError::Refused(text) => text,
                tree::TreeError::Git(_) | tree::TreeError::Io(_) => broken("the source could not be read", &error),
            });
        }
    };
    if !extracted.submodules.is_empty() {
        let list = serde_json::to_vec(&stored(&extracted.submodules)).map_err(|e| e.to_string())?;
        let written = tokio::fs::write(directory.join(builds::SUBMODULES), list).await;
        written.map_err(|e| broken("the build has no place on disk", &e))?;
    }
    let new = builds::New {
        kind: "git",
        version: Some(update.new.clone()),
        description: Some(extracted.description),
        ..builds::New::default()
    };
    let build = builds::create(p, &push.actor, &push.app, id, new).await;
    let build = match build {
        Ok(build) => build,
        Err(error) => {
            let _ = tokio::fs::remove_dir_all(&directory).await;
            return Err(error.to_string().trim_end_matches('.').to_owned());
        }
    };
    pusher.say("Compressing source files... done.\nBuilding source:\n\n").await;
    if let Ok(ahead @ 1..) = builds::ahead(p, &build).await {
        pusher
            .say(&format!("-----> Waiting for {ahead} other build{} to end\n", if ahead == 1 { "" } else { "s" }))
            .await;
    }
    let mut output = std::pin::pin!(builds::output(p, build.id, 0));
    while let Some(piece) = output.next().await {
        match piece {
            Ok(piece) => pusher.record(TEXT, &piece).await,
            Err(error) => {
                tracing::warn!(%error, "a build's output can't be read");
                break;
            }
        }
    }
    let row = builds::ended(p, build.id).await.map_err(|e| broken("the build was lost", &e))?;
    if row.status != "succeeded" {
        return Ok(false);
    }
    pusher.say("Verifying deploy... done.\n").await;
    if let Some(release) = row.release_id {
        release_phase(p, release, pusher).await;
    }
    Ok(true)
}

/// Waits for the release phase, when there is one. Its failure doesn't reject the push: the slug
/// and the release are there, only the release doesn't count. As on Heroku.
async fn release_phase(p: &Platform, id: Uuid, pusher: &mut Pusher) {
    let mut told = false;
    loop {
        let mut wakes = p.db.wakes();
        let release = match releases::by_id(p, id).await {
            Ok(Some(release)) => release,
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, "a release can't be looked at");
                return;
            }
        };
        match release.status.as_str() {
            "pending" if !told => {
                told = true;
                pusher.say("Running release command...\n").await;
            }
            "pending" => {}
            "succeeded" if told => {
                pusher.say("Waiting for release.... done.\n").await;
                return;
            }
            "failed" | "expired" => {
                pusher
                    .say(&format!(
                        "\n !     Release command failed: {}.\n \
                         !     v{} is not deployed; what ran before goes on. Look at: paas logs --dyno release.{}\n\n",
                        release.message.as_deref().unwrap_or("it did not succeed").trim_end_matches('.'),
                        release.version,
                        release.version
                    ))
                    .await;
                return;
            }
            _ => return,
        }
        // A pusher who is gone needs no news, and git may then take the push.
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(1)) => {}
            _ = wakes.recv() => {}
        }
    }
}

fn stored(submodules: &[paas_buildpacks::build::Submodule]) -> Vec<builds::StoredSubmodule> {
    let store = |module: &paas_buildpacks::build::Submodule| builds::StoredSubmodule {
        path: module.path.clone(),
        url: module.url.clone(),
        commit: module.commit.clone(),
    };
    submodules.iter().map(store).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn update(name: &str, new: &str) -> Update {
        Update { old: "0".repeat(40), new: new.into(), name: name.into() }
    }

    #[test]
    fn only_main_and_master_deploy() {
        let zero = "0".repeat(40);
        let deploys = |list: &[Update]| plan(list, "a").map(|plan| plan.deploy.map(|u| u.name.clone()));
        assert_eq!(deploys(&[update("refs/heads/main", "1")]), Ok(Some("refs/heads/main".into())));
        assert_eq!(deploys(&[update("refs/heads/master", "1")]), Ok(Some("refs/heads/master".into())));
        assert_eq!(deploys(&[update("refs/tags/v1", "1")]), Ok(None));
        assert_eq!(deploys(&[update("refs/heads/feature", &zero)]), Ok(None));
        assert!(deploys(&[update("refs/heads/main", &zero)]).unwrap_err().contains("can't be deleted"));
        assert!(deploys(&[update("refs/heads/main", "1"), update("refs/heads/master", "2")]).is_err());
        assert!(deploys(&[update("refs/heads/main", "1"), update("refs/heads/master", "1")]).is_ok());
        let list = [update("refs/heads/main/x", "1")];
        let plan = plan(&list, "a").unwrap();
        assert!(plan.deploy.is_none() && plan.notes[0].contains("git push paas main/x:main"), "{plan:?}");
    }
}
