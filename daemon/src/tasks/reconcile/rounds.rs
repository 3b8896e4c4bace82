//! Which app is looked at when: never two passes over one app at once, a few apps at a time,
//! and each pass with what the engine shows of its app. A look at one app asks the engine for
//! that app alone; a look at all of them asks once for all.

use std::{
    collections::{HashMap, HashSet},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::sync::{Semaphore, mpsc};
use uuid::Uuid;

use super::{Reconciler, act};
use crate::{
    engine::ObservedDyno,
    error::{Error, Result},
    store::apps,
};

/// How many apps are worked on at once.
const AT_ONCE: usize = 8;

/// How long it waits after a failure of the engine or the database.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// What the engine shows, by app.
type Seen = HashMap<Uuid, Vec<ObservedDyno>>;

/// Work that has ended.
pub(super) enum Done {
    /// A pass over an app, and when to look at it again.
    App(Uuid, Option<Duration>),
    /// A look at the engine for all apps; none when it failed.
    Sweep(Option<Seen>),
}

/// The work under way.
pub(super) struct Rounds {
    reconciler: Reconciler,
    done: mpsc::UnboundedSender<Done>,
    permits: Arc<Semaphore>,
    /// Apps with a pass under way or about to begin.
    busy: HashSet<Uuid>,
    /// The apps that were worked on since the sweep under way began: what it shows of them
    /// may be older than what their passes have seen and recorded.
    sweep: Option<HashSet<Uuid>>,
}

impl Rounds {
    pub(super) fn new(reconciler: Reconciler, done: mpsc::UnboundedSender<Done>) -> Self {
        Self { reconciler, done, permits: Arc::new(Semaphore::new(AT_ONCE)), busy: HashSet::new(), sweep: None }
    }

    /// Begins what was asked for and nobody is at.
    pub(super) fn begin_all(&mut self) {
        if self.sweep.is_none() && self.reconciler.wants_all() {
            self.sweep = Some(self.busy.clone());
            let (reconciler, done) = (self.reconciler.clone(), self.done.clone());
            tokio::spawn(async move {
                let seen = match caught(sweep(&reconciler)).await {
                    Ok(seen) => Some(seen),
                    Err(error) => {
                        tracing::warn!(%error, "the state could not be looked at; trying again");
                        tokio::time::sleep(AFTER_FAILURE).await;
                        None
                    }
                };
                let _ = done.send(Done::Sweep(seen));
            });
        }
        for app_id in self.reconciler.take_marked(&self.busy) {
            self.begin(app_id, None);
        }
    }

    /// A pass over an app has ended.
    pub(super) fn ended(&mut self, app_id: Uuid) {
        self.busy.remove(&app_id);
    }

    /// The look at the engine has ended: a pass over each app follows.
    pub(super) fn swept(&mut self, seen: Option<Seen>) {
        let worked_on = self.sweep.take().unwrap_or_default();
        let Some(seen) = seen else { return self.reconciler.look_at_all() };
        for (app_id, seen) in seen {
            if worked_on.contains(&app_id) || self.busy.contains(&app_id) {
                self.reconciler.look_at(app_id);
            } else {
                self.begin(app_id, Some(seen));
            }
        }
    }

    /// Begins a pass over an app; without `seen` it asks the engine itself.
    fn begin(&mut self, app_id: Uuid, seen: Option<Vec<ObservedDyno>>) {
        self.busy.insert(app_id);
        if let Some(worked_on) = &mut self.sweep {
            worked_on.insert(app_id);
        }
        let (reconciler, done, permits) = (self.reconciler.clone(), self.done.clone(), self.permits.clone());
        tokio::spawn(async move {
            // Nobody closes it.
            let _permit = permits.acquire_owned().await;
            let pass = act::pass(&reconciler.inner.p, &reconciler, app_id, seen);
            let passed = caught(pass).await;
            reconciler.inner.p.counts.passed(passed.is_ok());
            let again = passed.unwrap_or_else(|error| {
                tracing::warn!(app.id = %app_id, %error, "an app could not be brought to what is wanted; trying again");
                Some(AFTER_FAILURE)
            });
            let _ = done.send(Done::App(app_id, again));
        });
    }
}

/// Everything that the engine shows, with an entry for each app. Containers of apps that no
/// row knows are there too, to be removed.
async fn sweep(reconciler: &Reconciler) -> Result<Seen> {
    let p = &reconciler.inner.p;
    let ids = apps::ids(&mut p.db.read().await?).await?;
    let mut seen: Seen = ids.into_iter().map(|id| (id, Vec::new())).collect();
    for dyno in p.engine.list(None).await? {
        seen.entry(dyno.app_id).or_default().push(dyno);
    }
    Ok(seen)
}

/// A panic is a failure like others: the app is looked at again, and the others go on.
async fn caught<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    AssertUnwindSafe(work).catch_unwind().await.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(Error::Unavailable(format!("a fault in the daemon: {}", text.unwrap_or("no more is known"))))
    })
}
