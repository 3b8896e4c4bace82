//! How a router ends: by itself, or handed over to one that has its sockets now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::watch;

use crate::settings::Limits;

/// What a worker has to know about the end beside that it has come.
#[derive(Debug)]
pub(crate) struct Ending {
    handed_over: AtomicBool,
    hurry: watch::Sender<bool>,
    stop: Weak<watch::Sender<bool>>,
    failed: AtomicBool,
}

/// Something that the router can't do without, as long as it doesn't end: without a worker, or one
/// that takes connections, a share of all visitors would wait for nothing.
#[derive(Debug)]
pub(crate) struct Needed {
    ending: Arc<Ending>,
    /// What is to be said when it is gone.
    gone: &'static str,
}

impl Drop for Needed {
    fn drop(&mut self) {
        self.ending.fail(self.gone);
    }
}

impl Ending {
    pub(crate) fn new(stop: &Arc<watch::Sender<bool>>) -> Ending {
        Ending {
            handed_over: AtomicBool::new(false),
            hurry: watch::Sender::new(false),
            stop: Arc::downgrade(stop),
            failed: AtomicBool::new(false),
        }
    }

    /// From here on, the end of what this is kept for is that of the router.
    pub(crate) fn needs(self: &Arc<Ending>, gone: &'static str) -> Needed {
        Needed { ending: Arc::clone(self), gone }
    }

    fn fail(&self, what: &str) {
        let Some(stop) = self.stop.upgrade() else { return };
        if stop.send_if_modified(|stop| !std::mem::replace(stop, true)) {
            self.failed.store(true, Ordering::Release);
            tracing::error!("{what}: this router ends, so that another one can take its place");
        }
    }

    /// Whether it ended since something that it needs was gone.
    pub(crate) fn failed(&self) -> bool {
        self.failed.load(Ordering::Acquire)
    }

    /// To be said before the end.
    pub(crate) fn hand_over(&self) {
        self.handed_over.store(true, Ordering::Release);
    }

    /// Whether another router takes the connections from here on. Then a connection is not
    /// closed for being unused: its client may be sending just now.
    pub(crate) fn handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// What goes on gets no more time than at a plain end.
    pub(crate) fn hurry(&self) {
        self.hurry.send_replace(true);
    }

    pub(crate) async fn hurried(&self) {
        // The sender is ours: it can't be gone.
        let _ = self.hurry.subscribe().wait_for(|hurry| *hurry).await;
    }

    /// Waits for as long as what was begun may go on; gives how long that was.
    pub(crate) async fn over(&self, limits: &Limits) -> Duration {
        if self.handed_over() {
            tokio::select! {
                () = tokio::time::sleep(limits.handover_drain) => return limits.handover_drain,
                () = self.hurried() => {}
            }
        }
        tokio::time::sleep(limits.drain).await;
        limits.drain
    }
}
