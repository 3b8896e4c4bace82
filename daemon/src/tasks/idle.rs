//! Puts the web dynos of apps to sleep that nobody has asked for. Who was asked for when, the
//! router knows; without a router nothing sleeps. Waking is the router's affair, too: it tells the
//! control socket.

use std::time::Duration;

use paas_domain::route::AppActivity;
use tokio::sync::{
    broadcast::{Receiver, error::RecvError},
    watch,
};

use super::router;
use crate::{
    error::{Error, Result},
    ops::{Platform, features, idle},
    store::{Wake, apps},
};

/// How often it looks at least.
const PERIOD: Duration = Duration::from_secs(15);

/// And at most.
const SHORTEST: Duration = Duration::from_millis(200);

/// Apps in one question to the router: their ids have to fit into its line.
const AT_ONCE: usize = 100;

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut wakes = p.db.wakes();
    loop {
        let wait = look(&p).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "whether apps may sleep can't be looked at; trying again");
            PERIOD
        });
        tokio::select! {
            () = tokio::time::sleep(wait.clamp(SHORTEST, PERIOD)) => {}
            () = woken(&mut wakes) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

/// Waits for a switch of some app.
async fn woken(wakes: &mut Receiver<Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) if matches!(wake.kind, "feature.update" | "routing.update") => return,
            Ok(_) => {}
            Err(RecvError::Lagged(_)) => return,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look; gives when the next app may be due.
pub async fn look(p: &Platform) -> Result<Duration> {
    let wanted = apps::with_feature(&mut p.db.read().await?, features::WEB_IDLING).await?;
    let could = |app: &apps::App| matches!(app.route_state.as_deref(), Some("serving" | "booting" | "crashed"));
    let awake: Vec<apps::App> = wanted.into_iter().filter(could).collect();
    let socket = router::status_socket(&p.cx);
    let mut next = PERIOD;
    for some in awake.chunks(AT_ONCE) {
        let ids: Vec<String> = some.iter().map(|app| app.id.to_string()).collect();
        let path = format!("/activity?apps={}", ids.join(","));
        let Some(known) = router::ask::<Vec<AppActivity>>(&socket, &path).await else { return Ok(PERIOD) };
        for activity in known.into_iter().filter(|activity| activity.open == 0) {
            let Some(app) = some.iter().find(|app| app.id == activity.app_id) else { continue };
            let left = idle::after(app).saturating_sub(Duration::from_millis(activity.quiet_ms));
            let wait = if left.is_zero() { sleep(p, app).await } else { Some(left) };
            next = next.min(wait.unwrap_or(PERIOD));
        }
    }
    Ok(next)
}

/// Puts one to sleep; when to try again, if it was too early. One that can't is in no other's way.
async fn sleep(p: &Platform, app: &apps::App) -> Option<Duration> {
    match idle::sleep(p, app.id).await {
        Ok(wait) => wait,
        Err(Error::NotFound(_)) => None,
        Err(error) => {
            tracing::warn!(app = app.name, %error, "an app could not be put to sleep; trying again");
            None
        }
    }
}
