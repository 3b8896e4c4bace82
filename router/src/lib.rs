//! The front door of paas: takes the world's requests and sends them to web dynos.
//!
//! A process of its own, so that requests go on whatever the daemon does. A request touches
//! `accept` (who may come in), `worker` (its connection), `proxy` (whose it is), `dispatch` (which dyno), `upstream`
//! (the connection there), `body` or `upgrade` (its bytes), and leaves an entry in
//! `access_log`. Beside the workers one control thread follows the daemon's table (`sync`,
//! `table_file`), takes access lines to the daemon (`ship`), watches the certificate (`tls`)
//! and answers about the router (`admin`).

mod accept;
mod access_log;
mod admin;
mod body;
mod certificates;
mod choose;
mod client_io;
mod daemon_client;
mod dispatch;
mod failure;
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod headers;
mod holder;
mod listen;
mod networks;
mod pages;
mod peer;
mod proxy;
mod proxy_protocol;
mod run;
mod settings;
mod ship;
mod streams;
mod sync;
mod table;
mod table_file;
mod tls;
mod upgrade;
mod upstream;
mod worker;

pub use admin::{BackendStatus, Status};
pub use listen::{Inherited, ListenError};
pub use networks::Networks;
pub use run::{Running, StartError, start};
pub use settings::{Front, Limits, Listen, Settings};
