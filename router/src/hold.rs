//! Holding a request while the dyno that it was for is on its way out: the table may name a
//! dyno for a moment that has just ended.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::Instant as TimerInstant;
use uuid::Uuid;

use crate::failure::Failure;
use crate::table::{App, Upstream};
use crate::worker::Worker;

/// `attempt`, unless its dyno leaves the table meanwhile: an address whose container is gone
/// keeps quiet for seconds.
pub(crate) async fn unless_it_leaves<T>(
    worker: &Worker,
    upstream: &Upstream,
    attempt: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let routes = &worker.shared.routes;
    let mut changes = routes.changes();
    tokio::pin!(attempt);
    loop {
        tokio::select! {
            biased;
            result = &mut attempt => return result,
            Ok(()) = changes.changed() => if !routes.load().has(upstream) {
                return Err(Failure::ConnectRefused);
            },
        }
    }
}

/// Every dyno of `app` was `tried` and has refused. The daemon is about to learn that they have
/// ended: the app as it is then, or nothing when that doesn't come in time.
pub(crate) async fn after_refusal(
    worker: &Rc<Worker>,
    app: &App,
    tried: &[Uuid],
    started: Instant,
) -> Option<Arc<App>> {
    let routes = &worker.shared.routes;
    let _waiting = app.activity.wait();
    let mut changes = routes.changes();
    let end = (Instant::now() + worker.shared.limits.hold).min(started + app.limits.queue);
    loop {
        // Destroyed: whoever asks next is told so.
        let now = routes.load().app(app.route.id)?;
        if now.backends.is_empty() || now.backends.iter().any(|upstream| !tried.contains(&upstream.backend.id)) {
            return Some(now);
        }
        tokio::time::timeout_at(TimerInstant::from_std(end), changes.changed()).await.ok()?.ok()?;
    }
}
