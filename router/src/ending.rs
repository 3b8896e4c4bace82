//! How a router ends: by itself, or handed over to one that has its sockets now.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use crate::settings::Limits;

/// What a worker has to know about the end beside that it has come.
#[derive(Debug)]
pub(crate) struct Ending {
    handed_over: AtomicBool,
    hurry: watch::Sender<bool>,
}

impl Default for Ending {
    fn default() -> Ending {
        Ending { handed_over: AtomicBool::new(false), hurry: watch::Sender::new(false) }
    }
}

impl Ending {
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
