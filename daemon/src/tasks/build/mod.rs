//! Builds what is in the queue: claims a build by lease, runs it, releases what it made.
//!
//! [`run`] waits and claims; `attempt` is one build from source to release; `source` brings a
//! tarball in; `log` keeps the output; `recover` ends what a daemon that was killed has left.
//! Nothing is handed over in memory: the queue, the wish to cancel and the end are rows, the
//! source and the output are files in the build's directory.

pub(super) mod attempt;
mod log;
mod recover;
pub(super) mod source;

use std::{collections::HashMap, sync::Arc, time::Duration};

use paas_buildpacks::{
    catalog::Catalog,
    output::Speak as _,
    sandbox::{CancellationToken, Sandbox},
};
use tokio::{
    sync::watch,
    task::{self, JoinError, JoinSet},
};
use uuid::Uuid;

use crate::{
    error::Result,
    ops::{self, Platform},
    store::builds::{self, Build},
};
use attempt::Failure;
use log::{BuildLog, Voice};

/// How long a builder may be silent before its build counts as lost.
const LEASE: Duration = Duration::from_secs(60);
/// How often it says that it lives, and looks whether a user wants the build ended.
const RENEW: Duration = Duration::from_millis(500);
/// How often the queue is looked at without being woken.
const PERIOD: Duration = Duration::from_secs(5);
/// How long builds have to end when the daemon stops.
const STOPPING: Duration = Duration::from_secs(15);
/// The longest wait between two tries to write how a build ended.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Everything that builds need. Cheap to clone.
#[derive(Clone)]
pub struct Builder {
    /// Settings, database, operations.
    pub platform: Platform,
    /// Where buildpacks run.
    pub sandbox: Arc<dyn Sandbox>,
    /// Our own buildpacks.
    pub packs: Catalog,
}

/// Runs until `stop` becomes true; running builds are then ended, and their pushes told.
pub async fn run(builder: Builder, mut stop: watch::Receiver<bool>) {
    let p = &builder.platform;
    let mut wakes = p.db.wakes();
    let ending = CancellationToken::new();
    let mut running = Running::default();
    if let Err(error) = recover::at_start(&builder).await {
        tracing::error!(%error, "what the last run left of its builds could not be cleared up");
    }
    let mut swept = p.cx.now();
    loop {
        if (p.cx.now() - swept).num_hours() >= 1 {
            swept = p.cx.now();
            recover::sources(p).await;
        }
        while let Some(ended) = running.tasks.try_join_next_with_id() {
            running.forget(ended);
        }
        if let Err(error) = recover::lost(p, |id| running.builds.values().any(|running| *running == id)).await {
            tracing::error!(%error, "builds that nobody runs can't be looked for");
        }
        while running.tasks.len() < p.cx.config().build_slots.max(1) {
            match claim(p).await {
                Ok(Some(build)) => running.start(&builder, build, &ending),
                Ok(None) => break,
                Err(error) => {
                    tracing::error!(%error, "the queue of builds can't be read");
                    break;
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            Some(ended) = running.tasks.join_next_with_id() => running.forget(ended),
            () = woken(&mut wakes) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    ending.cancel();
    let all = async { while running.tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(STOPPING, all).await.is_err() {
        tracing::warn!("builds did not end in time; the next run clears up");
    }
}

/// The builds of this run that have not ended.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    builds: HashMap<task::Id, Uuid>,
}

impl Running {
    fn start(&mut self, builder: &Builder, build: Build, ending: &CancellationToken) {
        let (builder, ending, id) = (builder.clone(), ending.clone(), build.id);
        let task = self.tasks.spawn(async move { one(&builder, build, &ending).await });
        self.builds.insert(task.id(), id);
    }

    /// One that broke off has not written its end; [`recover::lost`] does.
    fn forget(&mut self, ended: Result<(task::Id, ()), JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "a build broke off");
                error.id()
            }
        };
        self.builds.remove(&task);
    }
}

async fn woken(wakes: &mut tokio::sync::broadcast::Receiver<crate::store::Wake>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match wakes.recv().await {
            Ok(wake) if wake.kind.starts_with("build.") => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn claim(p: &Platform) -> Result<Option<Build>> {
    let now = p.cx.now();
    let mut tx = p.db.begin().await?;
    let build = builds::claim(&mut tx, p.cx.run(), now + LEASE, now).await?;
    tx.commit(None).await?;
    Ok(build)
}

/// One build, from its claim to its end.
async fn one(builder: &Builder, build: Build, ending: &CancellationToken) {
    let p = &builder.platform;
    let mut log = BuildLog::open(&ops::builds::output_path(p, build.id));
    let cancel = CancellationToken::new();
    let result = tokio::select! {
        result = attempt::attempt(builder, &build, &cancel, &mut log) => result,
        failure = watch(p, &build, &cancel, ending) => match failure {},
    };
    let (status, made, message) = match result {
        Ok(made) => ("succeeded", Some(made), None),
        Err(failure) => {
            let failure =
                if ending.is_cancelled() { Failure::said("the platform was stopped; push again") } else { failure };
            let status = if matches!(failure, Failure::Cancelled) { "cancelled" } else { "failed" };
            let text = failure.to_string();
            log.platform();
            if !failure.is_told() {
                Voice(&mut log).warning(&format!("Push rejected, {text}."));
            }
            tracing::info!(build.id = %build.id, reason = text, "a build {status}");
            (status, None, Some(text))
        }
    };
    drop(log);
    ops::builds::clear(p, build.id).await;
    // Until the row is written the push waits and the app can't be built: it is tried until it succeeds.
    let mut wait = Duration::from_secs(1);
    while let Err(error) = ops::builds::finish(p, &build, status, made, message.as_deref()).await {
        tracing::error!(build.id = %build.id, %error, "the end of a build can't be written; trying again");
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LONGEST_WAIT);
    }
}

/// Never returns.
enum Never {}

/// Renews the lease, and ends the build when a user wants it, the lease is lost or the daemon
/// stops.
async fn watch(p: &Platform, build: &Build, cancel: &CancellationToken, ending: &CancellationToken) -> Never {
    let mut renewed = p.cx.now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(RENEW) => {}
            () = ending.cancelled() => {
                cancel.cancel();
                std::future::pending::<()>().await;
            }
        }
        // Cheap looks often, the write only now and then.
        let now = p.cx.now();
        let due = (now - renewed).to_std().unwrap_or_default() > LEASE / 6;
        let state = if due { renew(p, build.id).await } else { wanted(p, build.id).await };
        match state {
            Ok(Some(false)) if due => renewed = now,
            Ok(Some(false)) => {}
            Ok(Some(true) | None) => cancel.cancel(),
            Err(error) => tracing::warn!(%error, "a build's lease can't be renewed"),
        }
    }
}

/// Whether a user wants the build ended; none: it is no longer ours.
async fn wanted(p: &Platform, id: Uuid) -> Result<Option<bool>> {
    let row = ops::builds::by_id(p, id).await?;
    Ok(row.filter(|row| row.status == "pending" && row.lease_owner == Some(p.cx.run())).map(|row| row.cancel_requested))
}

async fn renew(p: &Platform, id: Uuid) -> Result<Option<bool>> {
    let mut tx = p.db.begin().await?;
    let state = builds::renew(&mut tx, id, p.cx.run(), p.cx.now() + LEASE).await?;
    tx.commit(None).await?;
    Ok(state)
}
