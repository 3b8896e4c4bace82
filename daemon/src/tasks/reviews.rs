//! Looks after review apps: ends those that are to go, and those that have grown stale, and
//! follows the branches of pipelines that have one for each.

use std::{collections::HashMap, time::Duration};

use tokio::{
    sync::watch,
    task::{self, JoinSet},
    time::Instant,
};
use uuid::Uuid;

use crate::{
    error::Result,
    ops::{Platform, reviews, test_runs},
    store::{
        Wake,
        review_apps::{self, Config},
    },
};

/// How often it looks without being woken.
const PERIOD: Duration = Duration::from_secs(10);

/// How often it looks while one goes.
const SOON: Duration = Duration::from_millis(500);

/// How often stale ones are looked for.
const STALE: Duration = Duration::from_secs(3600);

/// How often a repository is asked for its branches.
const BRANCHES: Duration = Duration::from_secs(60);

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    let (mut swept, mut following) = (None::<Instant>, Following::default());
    loop {
        let busy = match pass(&p, &mut following).await {
            Ok(busy) => busy,
            Err(error) => {
                tracing::warn!(%error, "review apps can't be looked after now; trying again");
                false
            }
        };
        if swept.is_none_or(|at| at.elapsed() >= STALE) {
            swept = Some(Instant::now());
            if let Err(error) = reviews::sweep(&p).await {
                tracing::warn!(%error, "stale review apps can't be looked for");
            }
            if let Err(error) = test_runs::sweep(&p).await {
                tracing::warn!(%error, "what old test runs have said can't be removed");
            }
        }
        tokio::select! {
            () = tokio::time::sleep(if busy { SOON } else { PERIOD }) => {}
            () = woken(&mut wakes) => {}
            Some(ended) = following.tasks.join_next_with_id() => following.forget(ended),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

async fn woken(wakes: &mut tokio::sync::broadcast::Receiver<Wake>) {
    use tokio::sync::broadcast::error::RecvError;
    loop {
        match wakes.recv().await {
            Ok(wake) if wake.kind.starts_with("review-app") || matches!(wake.kind, "app.destroy" | "git.push") => {
                return;
            }
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// The pipelines whose branches are being asked for, each by itself: a repository that does not
/// answer holds up no other.
#[derive(Default)]
struct Following {
    asked: HashMap<Uuid, Instant>,
    tasks: JoinSet<()>,
    pipelines: HashMap<task::Id, Uuid>,
}

impl Following {
    fn start(&mut self, p: &Platform, config: Config) {
        let id = config.pipeline_id;
        let is_new = self.asked.get(&id).is_none_or(|at| at.elapsed() >= BRANCHES);
        if !is_new || self.pipelines.values().any(|pipeline| *pipeline == id) {
            return;
        }
        self.asked.insert(id, Instant::now());
        let p = p.clone();
        let task = self.tasks.spawn(async move {
            if let Err(error) = reviews::follow(&p, &config).await {
                tracing::warn!(pipeline.id = %id, %error, "the branches of a pipeline can't be followed");
            }
        });
        self.pipelines.insert(task.id(), id);
    }

    fn forget(&mut self, ended: Result<(task::Id, ()), task::JoinError>) {
        let task = match ended {
            Ok((task, ())) => task,
            Err(error) => {
                tracing::error!(%error, "following the branches of a pipeline broke off");
                error.id()
            }
        };
        self.pipelines.remove(&task);
    }
}

async fn pass(p: &Platform, following: &mut Following) -> Result<bool> {
    let mut busy = false;
    for row in review_apps::live(&mut p.db.read().await?).await? {
        match reviews::advance(p, &row).await {
            Ok(more) => busy |= more,
            Err(error) => tracing::warn!(review_app.id = %row.id, %error, "a review app can't go on; trying again"),
        }
    }
    let configs = review_apps::configs(&mut p.db.read().await?).await?;
    configs.into_iter().filter(|config| config.automatic).for_each(|config| following.start(p, config));
    Ok(busy)
}
