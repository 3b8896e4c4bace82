//! The reconciler: for each app, observe → plan → act → record. Nothing else starts or
//! stops dynos, but for the stream that attaches to a one-off and starts it for its user.
//!
//! It is level-triggered: woken by changes, by the engine's hints, by probes and by a
//! period, it looks at the rows and at the engine, asks the pure planner
//! ([`paas_domain::plan`]) what to do, and does it. Two passes never work on one app at
//! once. Killed anywhere and started again, it converges.
//!
//! [`rounds`] says when which app is looked at, [`view`] turns rows and containers into the
//! planner's words, [`act`] does its steps ([`start`] the starts), [`attached`] cares for
//! one-offs with a user, [`probe`] watches ports, [`phase`] runs release phases.

pub mod act;
mod attached;
pub mod phase;
pub mod probe;
mod rounds;
mod start;
pub mod view;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, future::BoxFuture};
use tokio::sync::{Notify, mpsc, watch};
use uuid::Uuid;

use crate::ops::Platform;

use super::routes::Routes;
use rounds::{Done, Rounds};

/// How often it looks at everything without being woken.
const PERIOD: Duration = Duration::from_secs(15);

/// The longest that an app is put off; a timer takes no more than two years.
const LONGEST: Duration = Duration::from_secs(3600);

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
        let (done, mut ended) = mpsc::unbounded_channel();
        let mut rounds = Rounds::new(self.clone(), done);
        let mut timers: tokio_util::time::DelayQueue<Uuid> = tokio_util::time::DelayQueue::new();
        let mut due: HashMap<Uuid, tokio_util::time::delay_queue::Key> = HashMap::new();
        let mut period = tokio::time::interval(PERIOD);
        // After a machine that slept, one look is as good as those that were missed.
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.inner.wake.notified() => {}
                _ = period.tick() => self.look_at_all(),
                Some(done) = ended.recv() => match done {
                    Done::App(app_id, again) => {
                        rounds.ended(app_id);
                        if let Some(key) = due.remove(&app_id) {
                            timers.remove(&key);
                        }
                        if again == Some(Duration::ZERO) {
                            self.look_at(app_id);
                        } else if let Some(after) = again {
                            due.insert(app_id, timers.insert(app_id, after.min(LONGEST)));
                        }
                    }
                    Done::Sweep(seen) => rounds.swept(seen),
                },
                Some(expired) = timers.next(), if !timers.is_empty() => {
                    let app_id = expired.into_inner();
                    due.remove(&app_id);
                    self.look_at(app_id);
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
            rounds.begin_all();
        }
        listening.abort();
    }

    /// Whether all apps are to be looked at; asked once.
    fn wants_all(&self) -> bool {
        self.inner.all.swap(false, std::sync::atomic::Ordering::SeqCst)
    }

    /// The apps that are marked and nobody works on; they are marked no more.
    fn take_marked(&self, busy: &HashSet<Uuid>) -> Vec<Uuid> {
        let mut dirty = self.inner.dirty.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        dirty.extract_if(|id| !busy.contains(id)).collect()
    }

    /// Turns changes and the engine's hints into looks.
    async fn listen(self) {
        let mut wakes = self.inner.p.db.wakes();
        let mut hints = self.inner.p.engine.changes();
        let mut acknowledged = self.inner.routes.acknowledgements();
        let mut endings = self.inner.p.attachments.endings();
        loop {
            tokio::select! {
                wake = wakes.recv() => match wake {
                    Ok(wake) => if let Some(app_id) = wake.app_id { self.look_at(app_id) },
                    Err(tokio::sync::broadcast::error::RecvError::Lagged(_)) => self.look_at_all(),
                    Err(tokio::sync::broadcast::error::RecvError::Closed) => return,
                },
                Some(hint) = hints.next() => match hint {
                    Some(app_id) => self.look_at(app_id),
                    None => self.look_at_all(),
                },
                ended = endings.recv() => match ended {
                    Ok(app_id) => self.look_at(app_id),
                    Err(_) => self.look_at_all(),
                },
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
