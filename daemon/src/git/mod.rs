//! Git over smart HTTP: authenticates, spawns git, and turns a push into a build.
//!
//! A push travels like this. [`http`] checks who comes and starts `git receive-pack`; git puts
//! the objects into quarantine and runs the hook, which is `paasd hook pre-receive` ([`hook`]).
//! The hook hands the ref updates over a unix socket to [`push`]; [`plan`] decides which of them
//! deploys. [`deploy`] looks whether git will take it ([`refs`]), writes the commit's tree into a
//! build's directory ([`tree`]), queues the build and sends its output back, and that of the
//! release phase ([`phase`]); git shows it as `remote:` lines. Only after the verdict does git
//! move the refs, so a build that fails rejects the push. A pusher who goes away changes nothing of that: git's pipes end in this
//! process, not in their connection.

mod deploy;
pub mod hook;
mod http;
mod phase;
mod plan;
mod push;
mod refs;
mod repository;
mod tree;

pub use http::routes;
pub use push::{Git, serve_hooks};
pub use repository::recover;
