//! From a source tree to a slug directory, by classic buildpacks (`bin/detect`,
//! `bin/compile`, `bin/release`). This crate knows what a buildpack is and what Heroku
//! promises to it; it knows no Docker: whatever can run a [`sandbox::Step`] will do.
//!
//! Start with [`build::build`]. In the order of a build:
//!
//! - [`source`]: what of the source tree the buildpacks see
//! - [`catalog`]: the packs that come with paas, and how others are named
//! - `detect`, `compile`: which packs, and running them; one sandbox per build, in which
//!   `runner/run.sh` does the work, so that a build costs one container start
//! - [`release`]: what the last pack says in `bin/release`; `process_types`: the Procfile over it
//! - [`cache`]: what packs keep between an app's builds
//! - [`output`]: how a build speaks to the person who pushed
//! - [`sandbox`]: the port to whatever runs the packs' programs
//! - [`tree`]: reading files that strangers' programs may have written
//!
//! Everything that a user names by address (packs, submodules) is fetched inside the sandbox,
//! never by the daemon.

pub mod build;
pub mod cache;
pub mod catalog;
mod compile;
mod detect;
pub mod output;
mod process_types;
pub mod release;
pub mod sandbox;
pub mod source;
pub mod tree;
