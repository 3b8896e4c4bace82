//! Heroku Platform API v3, a file a resource: what each answers, to whom, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../util/mod.rs"]
mod util;

mod access;
mod accounts;
mod addons;
mod authority;
mod certificates;
mod changes;
mod drains;
mod dynos;
mod features;
mod idle;
mod log_streams;
mod oauth;
mod people;
mod pipelines;
mod places;
mod promotions;
mod reviews;
mod router;
mod routing;
mod setups;
mod table;
mod teams;
mod test_runs;
mod transfers;
mod transport;
mod webhooks;
