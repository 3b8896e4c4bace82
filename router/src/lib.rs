//! The front door of paas: takes the world's requests and sends them to web dynos.
//!
//! A process of its own, so that requests go on whatever the daemon does. A request touches
//! `worker` (its connection), `http1` or `http2` (its head), `proxy` (whose it is), `dispatch`
//! (which dyno), `upstream` (the connection there), `exchange` or `upgrade` (its bytes), and
//! leaves an entry in `access_log`. Beside the workers one control thread follows the daemon's table (`sync`,
//! `table_file`), takes access lines to the daemon (`ship`), wakes apps that sleep (`wake`), watches the certificate (`tls`)
//! and answers about the router (`admin`). `run` puts all of it together, `doors` opens the
//! ports, and `handover` lets a new router take over from one that runs.

mod accept;
mod access_log;
mod activity;
mod admin;
mod admission;
mod affinity;
mod alarm;
mod certificates;
mod challenge;
mod choose;
mod clock;
mod control;
mod daemon_client;
mod dispatch;
mod doors;
mod ending;
mod exchange;
mod failure;
mod flow;
mod framing;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod handover;
mod headers;
mod hold;
mod holder;
mod http1;
mod http2;
mod https_policy;
mod linger;
mod listen;
mod load;
mod metrics;
mod networks;
pub mod notify;
mod pages;
mod peer;
mod places;
mod proxy;
mod proxy_protocol;
mod responses;
mod run;
mod settings;
mod ship;
mod stats;
mod stopping;
mod sync;
mod table;
mod table_file;
mod tls;
mod upgrade;
mod upstream;
mod wake;
mod words;
mod worker;

pub use admin::{BackendStatus, Status};
pub use handover::{Handover, HandoverError, Predecessor};
pub use listen::{Inherited, ListenError};
pub use networks::Networks;
pub use run::{Running, StartError, start};
pub use settings::{Front, Limits, Listen, Settings};
