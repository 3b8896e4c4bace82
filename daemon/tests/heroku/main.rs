//! Heroku's own clients against a daemon: the command line from npm, run unmodified, and the
//! libraries that people have. `deploy/test heroku` installs them and runs this.
//!
//! [`client`] is a user's machine, [`results`] writes down what came of each command, and
//! [`page`] makes docs/compatibility.md of it. The others are commands by topic; [`story`]
//! and [`sdk`] go whole ways.
#![allow(unreachable_pub, reason = "the modules of a test program")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its settings where it needs them"
)]

#[path = "../util/mod.rs"]
mod util;

mod access;
mod account;
mod addons;
mod apps;
mod buildpacks;
mod ci;
mod client;
mod config;
mod domains;
mod drains;
mod features;
mod manifest;
mod page;
mod pipelines;
mod ps;
mod releases;
mod results;
mod sdk;
mod story;
mod teams;
mod webhooks;
mod wrapper;
