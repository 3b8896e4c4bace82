//! Heroku Platform API v3, a file a resource: what each answers, to whom, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../util/mod.rs"]
mod util;

mod authority;
mod table;
mod transport;
