//! Which dyno gets a request, and the waiting for one to come up.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use paas_domain::route::RouteState;
use tokio::time::Instant as TimerInstant;
use uuid::Uuid;

use crate::failure::Failure;
use crate::table::{App, Upstream};
use crate::worker::Worker;

/// The app by the table of now, which may have moved on meanwhile.
pub(crate) fn current(worker: &Worker, app: Arc<App>) -> Arc<App> {
    worker.shared.routes.load().app(app.route.id).unwrap_or(app)
}

/// By chance among those that were not tried; one in quarantine only if there is no other.
pub(crate) fn choose(app: &App, tried: &[Uuid], clock: Instant) -> Option<Arc<Upstream>> {
    let backends = &app.backends;
    if backends.is_empty() {
        return None;
    }
    let first = &backends[fastrand::usize(..backends.len())];
    if !first.quarantined(clock) && !tried.contains(&first.backend.id) {
        return Some(Arc::clone(first));
    }
    let pick = |quarantined: bool| {
        let fitting = |upstream: &&Arc<Upstream>| {
            !tried.contains(&upstream.backend.id) && upstream.quarantined(clock) == quarantined
        };
        fastrand::choice(backends.iter().filter(fitting).collect::<Vec<_>>())
    };
    pick(false).or_else(|| pick(true)).cloned()
}

/// Counts a request that waits.
struct Waiting<'w>(&'w AtomicUsize);

impl<'w> Waiting<'w> {
    fn new(count: &'w AtomicUsize) -> Waiting<'w> {
        count.fetch_add(1, Ordering::Relaxed);
        Waiting(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The app as it is once it has a dyno.
pub(crate) async fn wait_for_dyno(
    worker: &Rc<Worker>,
    mut app: Arc<App>,
    started: Instant,
) -> Result<Arc<App>, Failure> {
    let routes = &worker.shared.routes;
    let _waiting = Waiting::new(&worker.shared.waiting);
    let activity = Arc::clone(&app.activity);
    let _counted = activity.wait();
    let mut asleep = None;
    let mut changes = routes.changes();
    let deadline = TimerInstant::from_std(started + app.limits.queue);
    loop {
        app = match routes.load().app(app.route.id) {
            Some(app) => app,
            // Destroyed while its visitors waited.
            None => return Err(Failure::NoWeb),
        };
        if app.route.maintenance {
            return Err(Failure::Maintenance);
        }
        if !app.backends.is_empty() {
            return Ok(app);
        }
        match app.route.state {
            RouteState::Blank => return Err(Failure::Blank),
            RouteState::NoWeb => return Err(Failure::NoWeb),
            RouteState::Crashed => return Err(Failure::Crashed),
            RouteState::Booting | RouteState::Serving => asleep = None,
            RouteState::Idle if asleep.is_some() => {}
            RouteState::Idle => asleep = Some(worker.shared.sleepers.want(app.route.id)),
        }
        match tokio::time::timeout_at(deadline, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Failure::Platform),
            Err(_) => return Err(Failure::BootTimeout),
        }
    }
}
