//! What every engine promises. The module `both` runs on Docker and on the fake; the others
//! are about processes, files and networks, which only Docker has.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a failed step of a test is a failed test; nobody outside reads this"
)]

mod both;
mod down;
mod isolation;
mod output;
mod processes;
mod sandbox;
mod services;
mod sessions;
mod util;
