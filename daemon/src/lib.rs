//! The control plane of paas.
//!
//! Floors, highest first; a module names only lower floors, neighbours never
//! (held by `tests/floors.rs`):
//!
//! 4. [`api`], [`git`], [`streams`], [`web`], [`tasks`]: front doors and background tasks
//! 3. [`ops`]: one function per use case
//! 2. [`store`], [`engine`], [`logs`], [`slugs`], [`addons`], [`outbound`], [`repos`],
//!    [`acme`]: adapters
//! 1. [`context`], [`config`], [`secret`], [`error`]: the ground

pub mod acme;
pub mod addons;
pub mod api;
pub mod config;
pub mod context;
pub mod doctor;
pub mod engine;
pub mod error;
#[doc(hidden)]
pub mod fuzzing;
pub mod git;
pub mod logs;
pub mod ops;
pub mod outbound;
pub mod repos;
pub mod secret;
pub mod serve;
pub mod slugs;
pub mod store;
pub mod streams;
pub mod tasks;
pub mod web;
