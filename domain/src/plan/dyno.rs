//! What is known of a dyno: the row that the store keeps of it and what the engine sees.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::words::words;

words! {
    /// Why a dyno exists; decides what its end means.
    pub enum DynoKind as "dyno kind" {
        /// Part of the formation (web.1): runs until told otherwise, any exit is a crash.
        Formation = "formation",
        /// Started by `run`: never restarted.
        Oneoff = "oneoff",
        /// The release phase's command: never restarted, its exit code decides the release.
        Release = "release",
    }
}

words! {
    /// How far the dyno is, as recorded in its row.
    pub enum Phase as "phase" {
        /// The row is there; the process isn't up yet (for web: `$PORT` isn't bound).
        Starting = "starting",
        /// Running, and for web bound to `$PORT` once.
        Up = "up",
        /// SIGTERM was sent; whatever the exit code, it won't be restarted.
        Stopping = "stopping",
        /// A formation dyno that ended by itself; its slot is filled again at `next_start_at`.
        Crashed = "crashed",
        /// Ended for good, its exit code recorded; container and row go next.
        Exited = "exited",
    }
}

words! {
    /// What somebody asked of one dyno, recorded in its row for the planner to carry out.
    pub enum Request as "request" {
        /// `ps:restart web.1`: make a new one for the slot, by the type's strategy.
        Restart = "restart",
        /// `ps:stop run.1234`: SIGTERM now. The slot of a formation dyno is filled again.
        Stop = "stop",
        /// It uses a multiple of its memory quota (R15): SIGKILL now; counts as a crash.
        MemoryVastly = "memory-vastly",
        /// The machine's disk is nearly full, and of all dynos it has written the most: SIGKILL
        /// now; counts as a crash. What it wrote goes with it.
        DiskFull = "disk-full",
    }
}

words! {
    /// Why a dyno got SIGTERM.
    pub enum StopReason as "stop reason" {
        /// A newer release (deploy, config change, add-on, rollback) took its place.
        Deploy = "deploy",
        /// Its slot is beyond the type's quantity.
        Scale = "scale",
        /// Nobody has asked for the app for long.
        Idle = "idle",
        /// The type's size changed.
        Resize = "resize",
        /// `ps:restart`.
        Restart = "restart",
        /// `ps:stop`.
        User = "user",
        /// Its time to live is over.
        TimeToLive = "time-to-live",
        /// The app is being destroyed.
        Destroy = "destroy",
    }
}

words! {
    /// Why a dyno got SIGKILL; Heroku's error code is what the user reads.
    pub enum KillReason as "kill reason" {
        /// R12: still there when the grace after SIGTERM was over.
        ExitTimeout = "exit-timeout",
        /// R10: a web dyno that didn't bind `$PORT` in time.
        BootTimeout = "boot-timeout",
        /// R15: memory quota vastly exceeded.
        MemoryVastly = "memory-vastly",
        /// It filled the machine's disk.
        DiskFull = "disk-full",
    }
}

/// A place in the formation (web.1) or the name of a one-off (run.1234, release.5).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// The Procfile's name for it; `run` and `release` for one-offs.
    pub process_type: String,
    /// Counted from 1.
    pub number: u32,
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}", self.process_type, self.number)
    }
}

/// A dyno's row. [`DynoRow::new`] and [`DynoRow::record`] say what each step does to it.
///
/// A dyno is one container's life: a restart is a new row with a new id in the same slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DynoRow {
    /// Its id; the container carries it as a label.
    pub id: Uuid,
    /// Why it exists.
    pub kind: DynoKind,
    /// With `number` its name. During a start-first rollout two rows have the same name.
    pub process_type: String,
    /// Counted from 1.
    pub number: u32,
    /// The release it runs (slug and config vars).
    pub release_version: i64,
    /// Dyno size by name.
    pub size: String,
    /// What bash runs in it.
    pub command: String,
    /// The type's restart epoch it was made under.
    pub epoch: i64,
    /// How far it is.
    pub phase: Phase,
    /// Since when it is in that phase.
    pub phase_at: DateTime<Utc>,
    /// When the row was inserted.
    pub created_at: DateTime<Utc>,
    /// When its process started, as the engine saw it; recorded with [`super::Step::MarkUp`].
    pub started_at: Option<DateTime<Utc>>,
    /// When SIGTERM was sent.
    pub stop_at: Option<DateTime<Utc>>,
    /// Why SIGTERM was sent.
    pub stop_reason: Option<StopReason>,
    /// When SIGKILL was sent (last).
    pub killed_at: Option<DateTime<Utc>>,
    /// Why SIGKILL was sent.
    pub kill_reason: Option<KillReason>,
    /// Crashes of the slot in a row: those before this dyno, and its own once it has crashed.
    pub crashes: u32,
    /// Crashed: when the slot is filled again.
    pub next_start_at: Option<DateTime<Utc>>,
    /// The exit code, once it has ended and one is known.
    pub exit_code: Option<i32>,
    /// Seconds it may run, counted from `started_at`; one-offs and release phases.
    pub time_to_live: Option<u32>,
    /// What somebody asked of it.
    pub request: Option<Request>,
    /// It is in the router's table.
    pub routed: bool,
    /// When it was taken out of the router's table.
    pub unrouted_at: Option<DateTime<Utc>>,
}

impl DynoRow {
    /// Its name, web.1.
    pub fn slot(&self) -> Slot {
        Slot { process_type: self.process_type.clone(), number: self.number }
    }
}

/// A container that the engine reports for the app, read from its labels.
///
/// The list must be complete: when the engine can't be asked, don't plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Observed {
    /// The dyno's id.
    pub id: Uuid,
    /// What the engine says of it.
    pub state: ObservedState,
}

/// What the engine says of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObservedState {
    /// Made but never started: somebody was interrupted.
    Created,
    /// Its process runs.
    Running {
        /// Since when.
        started_at: DateTime<Utc>,
        /// `$PORT` accepts connections; means something for web dynos only.
        listening: bool,
    },
    /// Its process has ended.
    Exited {
        /// The exit code, 128 + signal when killed by one.
        code: i32,
        /// The kernel killed a process of it because the container was out of memory.
        oom: bool,
        /// When it ended.
        finished_at: DateTime<Utc>,
    },
}
