//! The pure heart of paas. No I/O, no async, no clock: time and randomness come in as
//! arguments.

pub mod exposition;
pub mod manifest;
pub mod name;
pub mod plan;
pub mod procfile;
pub mod route;
pub mod size;
pub mod stage;
pub mod tap;
pub mod traffic;
pub mod webhook;
