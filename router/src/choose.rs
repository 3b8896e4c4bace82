//! Which dyno gets a request, and the waiting for one to come up.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use paas_domain::route::{Balancing, RouteState};
use tokio::time::Instant as TimerInstant;
use uuid::Uuid;

use crate::failure::Failure;
use crate::table::{App, Upstream};
use crate::worker::Worker;

/// The app by the table of now, which may have moved on meanwhile.
pub(crate) fn current(worker: &Worker, app: Arc<App>) -> Arc<App> {
    worker.shared.routes.load().app(app.route.id).unwrap_or(app)
}

/// A dyno for a request.
pub(crate) struct Choice {
    pub(crate) upstream: Arc<Upstream>,
    /// It is in quarantine, and so is every other: this is a last try.
    pub(crate) last_try: bool,
}

/// By the app's balancing among those that were not tried, but first the one that the visitor
/// comes back to. One in quarantine only if there is no other, and of these the one that has been
/// there for longest: it is the likeliest to be up again.
pub(crate) fn choose(app: &App, tried: &[Uuid], wanted: Option<Uuid>, clock: Instant) -> Option<Choice> {
    let backends = &app.backends;
    if backends.is_empty() {
        return None;
    }
    let good = |upstream: &Upstream| !tried.contains(&upstream.backend.id) && !upstream.quarantined(clock);
    let by_rule = || match app.route.rules.balancing {
        Balancing::Random => random(backends, good),
        Balancing::LeastConnections => least(backends.iter().filter(|upstream| good(upstream))),
    };
    let back = wanted.and_then(|id| backends.iter().find(|upstream| upstream.backend.id == id && good(upstream)));
    if let Some(upstream) = back.or_else(by_rule) {
        return Some(Choice { upstream: Arc::clone(upstream), last_try: false });
    }
    let longest = backends
        .iter()
        .filter(|upstream| !tried.contains(&upstream.backend.id))
        .min_by_key(|upstream| upstream.quarantined_until(clock));
    longest.map(|upstream| Choice { upstream: Arc::clone(upstream), last_try: true })
}

fn random(backends: &[Arc<Upstream>], good: impl Fn(&Upstream) -> bool) -> Option<&Arc<Upstream>> {
    // Nearly always the first throw will do.
    let first = &backends[fastrand::usize(..backends.len())];
    if good(first) {
        return Some(first);
    }
    fastrand::choice(backends.iter().filter(|upstream| good(upstream)).collect::<Vec<_>>())
}

/// The one with the fewest requests on it, by chance among equals. All are looked at: one machine
/// has too few dynos for a sample of two to be cheaper, and a sample misses the idle one.
fn least<'a>(backends: impl Iterator<Item = &'a Arc<Upstream>>) -> Option<&'a Arc<Upstream>> {
    let mut best: Option<(&Arc<Upstream>, u32)> = None;
    let mut equals = 0;
    for upstream in backends {
        let load = upstream.in_flight();
        match best {
            Some((_, least)) if load > least => {}
            Some((_, least)) if load == least => {
                equals += 1;
                // Each of the equals seen so far stays with the same chance.
                if fastrand::u32(..equals) == 0 {
                    best = Some((upstream, load));
                }
            }
            Some(_) | None => {
                best = Some((upstream, load));
                equals = 1;
            }
        }
    }
    best.map(|(upstream, _)| upstream)
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
    let stats = Arc::clone(&app.stats);
    let _counted = stats.waits();
    let activity = Arc::clone(&app.activity);
    let _noted = activity.wait();
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
