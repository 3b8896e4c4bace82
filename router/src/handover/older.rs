//! What a router that has handed over still does, as its successor knows it.

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use uuid::Uuid;

use crate::admin::BackendStatus;

/// What it says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Still {
    /// The table that its requests go by: its database, and its generation. Unknown of a router that is from
    /// before this was said.
    pub(crate) table: Option<(Uuid, u64)>,
    /// The dynos that it has requests on, all of those that earlier tables brought there.
    pub(crate) busy: Vec<BackendStatus>,
}

/// The last that it has said; nothing where there is none, or none any more.
#[derive(Debug, Default)]
pub(crate) struct Older(pub(super) watch::Sender<Option<Still>>);

impl Older {
    pub(crate) fn says(&self, still: Option<Still>) {
        self.0.send_replace(still);
    }

    pub(crate) fn busy(&self) -> Vec<BackendStatus> {
        self.0.borrow().as_ref().map_or_else(Vec::new, |still| still.busy.clone())
    }

    /// The table that all routers go by who have requests, if it is known; this one goes by `own`.
    pub(crate) fn table(&self, own: (Uuid, u64)) -> Option<(Uuid, u64)> {
        self.0.borrow().as_ref().map_or(Some(own), |still| still.table)
    }

    /// Waits until it is known that no request is begun by another table.
    pub(crate) async fn goes_by(&self, table: (Uuid, u64)) {
        let known = |still: &Option<Still>| still.as_ref().is_none_or(|still| still.table == Some(table));
        // The sender is ours: it can't be gone.
        let _ = self.0.subscribe().wait_for(known).await;
    }
}
