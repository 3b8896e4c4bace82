//! Wakes apps that sleep: the daemon is told of those that are asked for, again and again for
//! as long as somebody waits for them and their state has not changed.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use paas_domain::route::Wake;
use tokio::sync::Notify;
use uuid::Uuid;

use crate::daemon_client::ask;
use crate::settings::Limits;

/// After it was told, the daemon has so long to act before it is told again.
const AGAIN: Duration = Duration::from_secs(1);

/// Apps that sleep, with how many requests wait for each to wake.
#[derive(Debug, Default)]
pub(crate) struct Sleepers {
    wanted: Mutex<HashMap<Uuid, usize>>,
    more: Notify,
}

impl Sleepers {
    /// Wants an app awake for as long as the result lives.
    pub(crate) fn want(self: &Arc<Self>, app: Uuid) -> Wanted {
        let mut wanted = self.lock();
        let count = wanted.entry(app).or_default();
        *count += 1;
        if *count == 1 {
            self.more.notify_one();
        }
        Wanted { sleepers: Arc::clone(self), app }
    }

    fn apps(&self) -> Vec<Uuid> {
        self.lock().keys().copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits for an app to wake.
#[derive(Debug)]
pub(crate) struct Wanted {
    sleepers: Arc<Sleepers>,
    app: Uuid,
}

impl Drop for Wanted {
    fn drop(&mut self) {
        let mut wanted = self.sleepers.lock();
        if let Some(count) = wanted.get_mut(&self.app) {
            *count -= 1;
            if *count == 0 {
                wanted.remove(&self.app);
            }
        }
    }
}

/// Tells the daemon.
pub(crate) struct Waker {
    pub(crate) socket: PathBuf,
    pub(crate) sleepers: Arc<Sleepers>,
    pub(crate) limits: Limits,
}

impl Waker {
    /// Never ends.
    pub(crate) async fn run(self) {
        let mut pause = Duration::ZERO;
        let mut told = false;
        loop {
            let apps = self.sleepers.apps();
            if apps.is_empty() {
                self.sleepers.more.notified().await;
                continue;
            }
            match self.tell(apps).await {
                Ok(()) => (pause, told) = (AGAIN, false),
                Err(why) => {
                    if !told {
                        tracing::warn!("Apps that sleep can't be woken, their visitors wait: {why}");
                        told = true;
                    }
                    pause = (pause * 2).clamp(Duration::from_millis(50), self.limits.backoff);
                }
            }
            // A newcomer doesn't wait for the pause of others.
            let _ = tokio::time::timeout(pause, self.sleepers.more.notified()).await;
        }
    }

    async fn tell(&self, apps: Vec<Uuid>) -> Result<(), String> {
        let body = serde_json::to_vec(&Wake { apps }).map_err(|error| error.to_string())?;
        let (status, _) = ask(&self.socket, Method::POST, "/router/wake", Bytes::from(body), Duration::from_secs(5))
            .await
            .map_err(|error| error.to_string())?;
        if status.is_success() { Ok(()) } else { Err(format!("the daemon answered {status}")) }
    }
}
