//! The port to whatever runs the programs of buildpacks: strangers' code, so it runs with
//! limits, without the daemon's secrets, and can be stopped at any moment.
//!
//! The daemon's implementation is a Docker container per step; tests have one that starts
//! plain processes.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
pub use tokio_util::sync::CancellationToken;

use crate::output::Output;

/// Runs one program with limits, and says how it ended.
#[async_trait]
pub trait Sandbox: Send + Sync {
    /// Runs `step` to its end and hands its standard output and error, in the order they
    /// came, to `output`.
    ///
    /// When it returns, nothing of the step runs any more: every process is gone, whichever
    /// way it ended. A step that is cancelled, out of time or over a limit is an `Ok` with the
    /// matching [`Exit`]; `Err` is for a sandbox that can't do its work. A future that is dropped
    /// half-way leaves nothing behind for longer than the implementation's own clean-up takes.
    async fn run(&self, step: &Step, output: &mut dyn Output) -> Result<Exit, SandboxError>;
}

/// One program to run.
#[derive(Debug, Clone)]
pub struct Step {
    /// Unique among the running ones, of `[a-z0-9-]`: `build-<build id>`. A container's name is made of it.
    pub name: String,
    /// Marks for whoever looks at containers: `paas.app`, `paas.app-id`, `paas.build`. The
    /// implementation adds `paas.kind=build` and `paas.instance`.
    pub labels: Vec<(String, String)>,
    /// The build image of the app's stack, as the engine names it.
    pub image: String,
    /// Program (an absolute path inside the sandbox) and its arguments; never a shell string.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited from the daemon. What the image sets is
    /// overridden by it.
    pub env: Vec<(String, String)>,
    /// Directories and files of the host that the step sees. Everything else that it can
    /// write to is gone afterwards.
    pub mounts: Vec<Mount>,
    /// Working directory inside the sandbox.
    pub cwd: String,
    /// What the step may use.
    pub limits: Limits,
    /// Stops the step with [`Exit::Cancelled`].
    pub cancel: CancellationToken,
}

/// A directory or file of the host inside the sandbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path on the host; exists.
    pub host: PathBuf,
    /// Absolute path inside the sandbox.
    pub container: String,
    /// Whether the step can only read it.
    pub read_only: bool,
}

/// What a step may use before it is stopped.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes of memory, swap included.
    pub memory_bytes: u64,
    /// Cores: 1.5 is one core and a half.
    pub cpus: f64,
    /// Processes and threads at one time.
    pub pids: u64,
    /// Wall-clock time of the step.
    pub time: Duration,
    /// Bytes on disk in all its writable mounts together.
    pub disk_bytes: u64,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The program ended by itself (128 + signal when a signal ended it).
    Code(i32),
    /// It was killed for lack of memory.
    OutOfMemory,
    /// It was killed after [`Limits::time`].
    TimedOut,
    /// It was killed because it wrote more than [`Limits::disk_bytes`], or the disk is full.
    DiskFull,
    /// [`Step::cancel`] stopped it.
    Cancelled,
}

/// Why a sandbox couldn't do its work; nothing that the step itself did.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The image of the stack isn't there.
    #[error("the build image {image} is missing; make or pull it, `paasd doctor` says how")]
    NoImage {
        /// As the engine names it.
        image: String,
    },
    /// The engine (Docker) doesn't answer or refused.
    #[error("the container engine failed: {message}")]
    Engine {
        /// What it said.
        message: String,
    },
}
