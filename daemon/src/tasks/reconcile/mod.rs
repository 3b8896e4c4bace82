//! The reconciler: for each app, observe → plan → act → record. Nothing else starts or
//! stops dynos, but for the stream that attaches to a one-off and starts it for its user.
//!
//! It is level-triggered: woken by changes, by the engine's hints, by probes and by a
//! period, it looks at the rows and at the engine, asks the pure planner
//! ([`paas_domain::plan`]) what to do, and does it. Two passes never work on one app at
//! once. Killed anywhere and started again, it converges.
//!
//! [`view`] turns rows and containers into the planner's words, [`act`] does its steps,
//! [`probe`] watches ports, [`phase`] runs release phases.

pub mod act;
pub mod phase;
pub mod probe;
pub mod view;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture};
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use crate::{engine::ObservedDyno, error::Result, ops::Platform, store::apps};

use super::routes::Routes;

/// How often it looks at everything without being woken.
const PERIOD: Duration = Duration::from_secs(15);

/// How many apps are worked on at once.
const AT_ONCE: usize = 8;

/// How long it waits after a failure of the engine or the database.
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Waits, within bounds, until the output of a dyno has been stored: the log
/// collector's part.
pub type Drained = Arc<dyn Fn(Uuid) -> BoxFuture<'static, ()> + Send + Sync>;

/// The reconciler; cheap to clone.
#[derive(Clone)]
pub struct Reconciler {
    inner: Arc<Inner>,
}

struct Inner {
    p: Platform,
    routes: Routes,
    drained: Drained,
    probes: probe::Probes,
    dirty: std::sync::Mutex<HashSet<Uuid>>,
    all: std::sync::atomic::AtomicBool,
    wake: Notify,
}

impl Reconciler {
    /// A reconciler that publishes to `routes` and waits by `drained` before it removes
    /// what has output left.
    pub fn new(p: Platform, routes: Routes, drained: Drained) -> Self {
        Self {
            inner: Arc::new(Inner {
                p,
                routes,
                drained,
                probes: probe::Probes::default(),
                dirty: std::sync::Mutex::default(),
                all: std::sync::atomic::AtomicBool::new(true),
                wake: Notify::new(),
            }),
        }
    }

    /// Marks one app for a look soon.
    pub fn look_at(&self, app_id: Uuid) {
        self.inner.dirty.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(app_id);
        self.inner.wake.notify_one();
    }

    /// Marks all apps for a look soon.
    pub fn look_at_all(&self) {
        self.inner.all.store(true, std::sync::atomic::Ordering::SeqCst);
        self.inner.wake.notify_one();
    }

    /// Runs until `stop` becomes true. What is under way then is left to the next start.
    pub async fn run(self, mut stop: watch::Receiver<bool>) {
        let listening = tokio::spawn(self.clone().listen());
        let (done_tx, mut done_rx) = mpsc::unbounded_channel::<(Uuid, Option<Duration>)>();
        let mut busy: HashSet<Uuid> = HashSet::new();
        let mut timers: tokio_util::time::DelayQueue<Uuid> = tokio_util::time::DelayQueue::new();
        let mut due: HashMap<Uuid, tokio_util::time::delay_queue::Key> = HashMap::new();
        let mut period = tokio::time::interval(PERIOD);
        loop {
            tokio::select! {
                () = self.inner.wake.notified() => {}
                _ = period.tick() => self.look_at_all(),
                Some((app_id, again)) = done_rx.recv() => {
                    busy.remove(&app_id);
                    self.inner.wake.notify_one();
                    if let Some(key) = due.remove(&app_id) {
                        timers.remove(&key);
                    }
                    if again == Some(Duration::ZERO) {
                        self.look_at(app_id);
                    } else if let Some(after) = again {
                        due.insert(app_id, timers.insert(app_id, after));
                    }
                }
                Some(expired) = timers.next(), if !timers.is_empty() => {
                    let app_id = expired.into_inner();
                    due.remove(&app_id);
                    self.look_at(app_id);
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
            let ready = match self.ready(&busy).await {
                Ok(ready) => ready,
                Err(error) => {
                    tracing::warn!(%error, "the state could not be looked at; trying again");
                    tokio::time::sleep(AFTER_FAILURE).await;
                    self.look_at_all();
                    continue;
                }
            };
            let Some((apps, mut observed)) = ready else { continue };
            for app_id in apps {
                busy.insert(app_id);
                let (this, done) = (self.clone(), done_tx.clone());
                let seen = observed.remove(&app_id).unwrap_or_default();
                tokio::spawn(async move {
                    let again = match act::pass(&this.inner.p, &this, app_id, seen).await {
                        Ok(again) => again,
                        Err(error) => {
                            tracing::warn!(app.id = %app_id, %error, "an app could not be brought to what is wanted; trying again");
                            Some(AFTER_FAILURE)
                        }
                    };
                    let _ = done.send((app_id, again));
                });
            }
        }
        listening.abort();
    }

    /// The apps to be looked at now, with what the engine shows of each.
    #[allow(clippy::type_complexity, reason = "a pair that is taken apart at once")]
    async fn ready(&self, busy: &HashSet<Uuid>) -> Result<Option<(Vec<Uuid>, HashMap<Uuid, Vec<ObservedDyno>>)>> {
        if busy.len() >= AT_ONCE {
            return Ok(None);
        }
        let p = &self.inner.p;
        let mut wanted: Vec<Uuid> = Vec::new();
        let everything = self.inner.all.swap(false, std::sync::atomic::Ordering::SeqCst);
        if everything {
            let ids = apps::ids(&mut p.db.read().await?).await?;
            self.inner.dirty.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(ids);
        }
        {
            let mut dirty = self.inner.dirty.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let take: Vec<Uuid> =
                dirty.iter().filter(|id| !busy.contains(id)).take(AT_ONCE - busy.len()).copied().collect();
            for id in take {
                dirty.remove(&id);
                wanted.push(id);
            }
        }
        if wanted.is_empty() && !everything {
            return Ok(None);
        }
        let observed = match p.engine.list().await {
            Ok(observed) => observed,
            Err(error) => {
                self.inner.dirty.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(wanted);
                return Err(error.into());
            }
        };
        let mut by_app: HashMap<Uuid, Vec<ObservedDyno>> = HashMap::new();
        for dyno in observed {
            by_app.entry(dyno.app_id).or_default().push(dyno);
        }
        if everything {
            // Containers of apps that no row knows are looked at too, to be removed.
            let known: HashSet<Uuid> = apps::ids(&mut p.db.read().await?).await?.into_iter().collect();
            wanted.extend(by_app.keys().filter(|id| !known.contains(id) && !busy.contains(id)).copied());
        }
        Ok(Some((wanted, by_app)))
    }

    /// Turns changes and the engine's hints into looks.
    async fn listen(self) {
        let mut wakes = self.inner.p.db.wakes();
        let mut hints = self.inner.p.engine.changes();
        let mut acknowledged = self.inner.routes.acknowledgements();
        loop {
            tokio::select! {
                wake = wakes.recv() => match wake {
                    Ok(wake) => if let Some(app_id) = wake.app_id { self.look_at(app_id) },
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => self.look_at_all(),
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
                Some(()) = hints.next() => self.look_at_all(),
                Ok(()) = acknowledged.changed() => {
                    for app_id in self.inner.routes.newly_acknowledged() {
                        self.look_at(app_id);
                    }
                }
            }
        }
    }

    pub(super) fn routes(&self) -> &Routes {
        &self.inner.routes
    }

    /// Waits until a dyno's output has been stored.
    pub(super) async fn drained(&self, dyno_id: Uuid) {
        (self.inner.drained)(dyno_id).await;
    }

    pub(super) fn probes(&self) -> &probe::Probes {
        &self.inner.probes
    }
}
