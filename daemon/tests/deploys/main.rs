//! From source to release with real git, real Docker and the real stack image: each test has a
//! `paasd` of its own, as a process, so that it can be killed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed step of a test is a failed test")]
#![allow(clippy::disallowed_methods, reason = "a test reads its settings where it needs them")]

mod absence;
mod apart;
mod builds;
#[path = "../util/database.rs"]
mod database;
mod engine;
mod full;
mod git;
mod hold;
mod idle;
mod independence;
mod killed_engine;
mod kills;
mod load;
mod misfortune;
#[path = "../util/settings.rs"]
mod settings;
mod util;
