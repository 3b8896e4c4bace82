//! What a dyno is made of, and what is seen of it.

use std::net::IpAddr;
use std::path::PathBuf;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// What a dyno is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DynoKind {
    /// One of the formation: kept running by the reconciler.
    Formation,
    /// `paas run`: runs once.
    OneOff,
    /// The release phase of a release.
    Release,
}

impl DynoKind {
    /// The label's text.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Formation => "formation",
            Self::OneOff => "one-off",
            Self::Release => "release",
        }
    }

    /// Back from the label's text.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Formation, Self::OneOff, Self::Release].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// What a dyno may take of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Limits {
    /// Hard memory limit in bytes, swap included: beyond it the kernel kills (R15).
    pub memory_bytes: u64,
    /// Share of the processor when it is contended; 1024 is one ordinary share.
    pub cpu_shares: u32,
    /// Upper bound in thousandths of a processor; `None`: as much as is free.
    pub cpu_millis: Option<u32>,
    /// Processes and threads.
    pub pids: u32,
}

/// A file or directory of the host seen inside.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Mount {
    /// Absolute path on the host; must exist.
    pub source: PathBuf,
    /// Absolute path inside.
    pub target: PathBuf,
    /// Whether the inside may not write.
    pub read_only: bool,
}

/// Everything needed to start a dyno.
#[derive(Clone, PartialEq, Eq)]
pub struct DynoSpec {
    /// The dyno's own id: the key of idempotence, and its host name.
    pub id: Uuid,
    /// The app it belongs to.
    pub app_id: Uuid,
    /// The app's name when it was started; labels only.
    pub app_name: String,
    /// `web.1`, `run.4711`.
    pub name: String,
    /// What it is for.
    pub kind: DynoKind,
    /// The release it runs.
    pub release_version: i64,
    /// The stack image, name and tag.
    pub image: String,
    /// The unpacked slug, seen copy-on-write at `/app`; `None`: an empty `/app`.
    pub slug_dir: Option<PathBuf>,
    /// The whole environment (`HOME=/app` is added when missing).
    pub env: Vec<(String, String)>,
    /// Program and arguments below init; see [`shell`].
    pub command: Vec<String>,
    /// What it may take.
    pub limits: Limits,
    /// Labels beside the usual ones.
    pub labels: Vec<(String, String)>,
    /// Whether it gets a terminal.
    pub tty: bool,
    /// Whether its standard input is open (attached dynos).
    pub stdin: bool,
    /// Mounts beside `/app`, `/tmp` and the CA bundle.
    pub mounts: Vec<Mount>,
}

impl std::fmt::Debug for DynoSpec {
    /// Without the values of the environment: they are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DynoSpec")
            .field("id", &self.id)
            .field("app", &self.app_name)
            .field("name", &self.name)
            .field("release_version", &self.release_version)
            .field("image", &self.image)
            .field("command", &self.command)
            .field("env", &self.env.iter().map(|(key, _)| key).collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

/// The start order of a dyno, fixed text: the command comes as an argument (`$0`, which no
/// sourced script can change) and is never pasted into it. Sorted `.profile.d` first, then
/// `$HOME/.profile`, then the command in bash's place, so that `FOO=1 puma` and `a && b` work
/// and a plain command ends up directly below init.
const START: &str = r#"for profile in /app/.profile.d/*.sh; do
  if [ -r "$profile" ]; then . "$profile"; fi
done
if [ -r "$HOME/.profile" ]; then . "$HOME/.profile"; fi
unset profile
exec bash -c "$0""#;

/// The argument vector that runs one line of a Procfile (or of `paas run`) the way Heroku
/// starts a dyno: config vars, bash, `.profile.d/*.sh`, `.profile`, command.
pub fn shell(command: &str) -> Vec<String> {
    ["bash", "-c", START, command].map(str::to_owned).to_vec()
}

/// How far a dyno is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DynoState {
    /// Made, not started (a start was cut off): start it again or remove it.
    Created,
    /// Its processes run.
    Running {
        /// When they began.
        started_at: DateTime<Utc>,
    },
    /// All its processes have ended.
    Exited {
        /// The main process's exit code; 128+n when a signal ended it.
        code: i64,
        /// Whether the kernel killed one of its processes for memory, the main one or another.
        oom: bool,
        /// When.
        finished_at: DateTime<Utc>,
    },
}

/// A dyno as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedDyno {
    /// [`DynoSpec::id`].
    pub id: Uuid,
    /// [`DynoSpec::app_id`].
    pub app_id: Uuid,
    /// [`DynoSpec::name`].
    pub name: String,
    /// [`DynoSpec::kind`].
    pub kind: DynoKind,
    /// [`DynoSpec::release_version`].
    pub release_version: i64,
    /// How far it is.
    pub state: DynoState,
    /// Where it is reached while it runs.
    pub address: Option<IpAddr>,
}

/// A signal to a dyno.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signal {
    /// Please end: goes to every process.
    Term,
    /// End now: the whole dyno.
    Kill,
    /// To the main process.
    Int,
    /// To the main process.
    Hup,
    /// To the main process.
    Usr1,
    /// To the main process.
    Usr2,
    /// To the main process.
    Winch,
}

impl Signal {
    /// `SIGTERM`, `SIGKILL`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Term => "SIGTERM",
            Self::Kill => "SIGKILL",
            Self::Int => "SIGINT",
            Self::Hup => "SIGHUP",
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
            Self::Winch => "SIGWINCH",
        }
    }
}

/// Where a piece of output came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutputStream {
    /// Standard output, and everything of a dyno with a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// The longest line handed on in one piece, in bytes (Heroku splits at 10,000).
pub const MAX_LINE: usize = 10_000;

/// One line of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutputLine {
    /// When the engine took it, to the nanosecond: the cursor for [`super::Engine::output`].
    /// The pieces of a line that was split share it.
    pub at: DateTime<Utc>,
    /// Where it came from.
    pub stream: OutputStream,
    /// At most [`MAX_LINE`] bytes, without the line's end; not necessarily UTF-8.
    pub bytes: Bytes,
}

/// What a dyno uses now. Bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// What counts for R14: resident, file cache in use, and swap.
    pub memory_total: u64,
    /// Anonymous memory.
    pub rss: u64,
    /// File cache.
    pub cache: u64,
    /// Swapped out.
    pub swap: u64,
    /// The hard limit, 0 when there is none.
    pub limit: u64,
    /// Processor time since the start, in microseconds.
    pub cpu_micros: u64,
    /// Processes and threads.
    pub pids: u64,
    /// Of these, how many want a processor now (for load averages); `None` where unknown.
    pub runnable: Option<u64>,
    /// How many of its processes the kernel has killed for memory; `None` where unknown.
    pub oom_kills: Option<u64>,
}
