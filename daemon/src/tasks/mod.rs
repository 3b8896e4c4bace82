//! Background tasks: take no input, look at the state, act. Each is woken by changes and by
//! a period, and may be killed at any point.

pub mod acm;
pub mod addons;
pub mod build;
pub mod cleanup;
pub mod collect;
pub mod control;
pub mod drains;
pub mod idle;
pub mod metrics;
pub mod promotions;
pub mod reconcile;
pub mod reviews;
pub mod router;
pub mod routes;
pub mod scrape;
pub mod setups;
pub mod slugs;
pub mod webhooks;
