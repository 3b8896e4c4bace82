//! Heroku Platform API v3, a file a resource: what each answers, to whom, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../util/mod.rs"]
mod util;

mod access;
mod authority;
mod drains;
mod log_streams;
mod people;
mod pipelines;
mod promotions;
mod table;
mod teams;
mod transfers;
mod transport;
