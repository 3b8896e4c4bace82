//! Watches the ports of web dynos that boot: a dyno is up when its port takes a connection.

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{net::TcpStream, task::AbortHandle};
use uuid::Uuid;

/// How long one attempt may take.
const ATTEMPT: Duration = Duration::from_secs(1);

/// The wait between two attempts at first, and at most.
const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(200);

/// The ports under watch, and those that have answered.
#[derive(Clone, Default)]
pub struct Probes {
    watched: Arc<Mutex<HashMap<Uuid, Watched>>>,
}

struct Watched {
    address: SocketAddr,
    listening: bool,
    task: AbortHandle,
}

impl Probes {
    /// Whether the dyno's port has taken a connection; begins to watch it when nobody does.
    /// `found` is called once, when it does.
    pub fn listening(&self, dyno: Uuid, address: SocketAddr, found: impl FnOnce() + Send + 'static) -> bool {
        let mut watched = self.watched.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = watched.get(&dyno) {
            if known.address == address {
                return known.listening;
            }
            known.task.abort();
        }
        let this = self.clone();
        let task = tokio::spawn(async move {
            let mut wait = FIRST_WAIT;
            loop {
                if let Ok(Ok(_)) = tokio::time::timeout(ATTEMPT, TcpStream::connect(address)).await {
                    break;
                }
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(LONGEST_WAIT);
            }
            if let Some(known) = this.watched.lock().unwrap_or_else(PoisonError::into_inner).get_mut(&dyno) {
                known.listening = true;
            }
            found();
        })
        .abort_handle();
        watched.insert(dyno, Watched { address, listening: false, task });
        false
    }

    /// The dyno is gone: nothing more to watch.
    pub fn forget(&self, dyno: Uuid) {
        if let Some(known) = self.watched.lock().unwrap_or_else(PoisonError::into_inner).remove(&dyno) {
            known.task.abort();
        }
    }
}
