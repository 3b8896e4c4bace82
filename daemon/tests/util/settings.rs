//! What is set for whoever runs the tests is not set for the daemons of the tests.
#![allow(unreachable_pub, reason = "some test files take it in without the rest of util")]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads its settings where it needs them"
)]

use std::{ffi::OsStr, process::Command};

/// A command for one of our programs, without any `PAAS_*` from outside but what a machine
/// needs for its builds and its engine.
pub fn without_settings(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    let outside = std::env::vars().map(|(name, _)| name).filter(|name| name.starts_with("PAAS_"));
    for name in outside.filter(|name| name != "PAAS_BUILD_ENV" && name != "PAAS_DOCKER_HOST") {
        command.env_remove(name);
    }
    command
}
