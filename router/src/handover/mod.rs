//! Putting a new router in the place of one that runs, without a connection lost.
//!
//! On SIGUSR2 the running router (`giver`) starts its program anew, with one end of a socket
//! pair as standard input, and sends it its listeners and the lock of the data directory. The
//! new one (`taker`) makes everything ready, says so, and waits for the word to go. Only then
//! does the old one stop: the listeners are the same sockets, so what the kernel has queued
//! goes to the new one. Until then any failure of the new one leaves the old one serving.
//!
//! The pair stays open while the old one brings its requests to their end. It tells on which
//! dynos they are, which the new one answers for it from its first answer on, and by which table
//! they go. The new one doesn't say that it has a table before the old one has it, too: the
//! daemon stops no dyno under them.

mod giver;
pub(crate) mod link;
mod older;
mod taker;

use serde::{Deserialize, Serialize};

pub(crate) use giver::{Estate, report};
pub use giver::{Handover, HandoverError};
pub(crate) use older::{Older, Still};
pub use taker::Predecessor;
pub(crate) use taker::{Before, kept, listen};

use crate::admin::BackendStatus;

/// Set for a router that is to take over, with the socket pair as its standard input.
const VARIABLE: &str = "PAAS_ROUTER_HANDOVER";

/// Set for a router that gets sockets which a router before it had, from who has kept copies of them (the
/// daemon), with a socket pair as its standard input. Nobody is there to take over from.
const KEPT: &str = "PAAS_ROUTER_SOCKETS";

/// What the two say to each other, each a line of JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Word {
    /// Old to new: these sockets come with this line, in this order, and then the lock. The daemon gets the
    /// same without the lock, and says it as it got it.
    Sockets(Vec<Named>),
    /// New to old: everything is ready.
    Ready,
    /// New to old: it can't be, for this reason.
    Failed(String),
    /// Old to new: the sockets are yours.
    Go,
    /// Old to new, right after that and until its end: its requests that go on.
    Still(Still),
    /// The same as routers say and hear it that are from before `Still`: by dyno, and by no table.
    Busy(Vec<BackendStatus>),
    /// New to old: this is the end for both; no more time than that of a plain end.
    Hurry,
}

/// One socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Named {
    /// Whether TLS is spoken on it.
    pub(crate) tls: bool,
    /// Whether a router has bound it, rather than systemd.
    pub(crate) own: bool,
}
