//! What the reconciler is told to do, one step at a time.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{KillReason, RouteState, Slot, StopReason};

/// What came out of a look at an app: what to do now, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// To be done in this order. Each is safe to do again after an interruption. When they
    /// are done, or one of them failed, look and plan again; no steps: all is well.
    pub steps: Vec<Step>,
    /// When to look again if nothing else happens before; None: not because of time.
    pub wake_at: Option<DateTime<Utc>>,
}

/// One thing to do. What it does to the dyno's row is [`super::DynoRow::record`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Insert the row of a new formation dyno, then start it in the engine.
    Create(Create),
    /// The row is there but its container isn't, or was never started: start it.
    Start {
        /// The dyno.
        id: Uuid,
    },
    /// It is up (`State changed from starting to up`).
    MarkUp {
        /// The dyno.
        id: Uuid,
        /// Since when its process runs.
        started_at: DateTime<Utc>,
    },
    /// A formation dyno has ended by itself (`State changed from up to crashed`).
    MarkCrashed {
        /// The dyno.
        id: Uuid,
        /// How it ended.
        exit: ExitReason,
        /// Crashes of its slot in a row, this one included.
        crashes: u32,
        /// When the slot is filled again.
        next_start_at: DateTime<Utc>,
    },
    /// It has ended for good: a one-off, a release phase, or a dyno that was told to stop.
    MarkExited {
        /// The dyno.
        id: Uuid,
        /// How it ended.
        exit: ExitReason,
    },
    /// Send SIGTERM to all its processes (`Stopping all processes with SIGTERM`). Signal
    /// first and record then: a dyno that hears SIGTERM twice is better off than one that
    /// is killed without having heard it.
    Stop {
        /// The dyno.
        id: Uuid,
        /// Why.
        reason: StopReason,
    },
    /// Send SIGKILL (`Stopping process with SIGKILL`).
    Kill {
        /// The dyno.
        id: Uuid,
        /// Why: the error code to log.
        reason: KillReason,
    },
    /// Drain its output, remove its container if there is one, then its row.
    Remove {
        /// The dyno.
        id: Uuid,
    },
    /// Remove a container that no row knows.
    RemoveStray {
        /// The dyno id of its label.
        id: Uuid,
    },
    /// Exactly these dynos get the app's requests from now on.
    Routes(Vec<Uuid>, RouteState),
    /// The web dynos of a new release don't come up; the old ones go on serving. Record it
    /// with the release and tell the user; it is said once per release.
    RolloutStalled {
        /// The process type that doesn't come up.
        process_type: String,
        /// The version that is stuck.
        release: i64,
        /// What keeps it.
        why: ExitReason,
    },
}

/// A formation dyno to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Create {
    /// Its name.
    pub slot: Slot,
    /// The release it runs. Usually the desired one; an older one when a dyno that still
    /// serves for a stalled rollout has crashed.
    pub release_version: i64,
    /// Dyno size by name.
    pub size: String,
    /// What bash runs.
    pub command: String,
    /// The restart epoch it is made under.
    pub epoch: i64,
    /// Crashes of its slot in a row so far.
    pub crashes: u32,
}

/// How a dyno ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// By itself, with this code.
    Code(i32),
    /// Killed because it didn't bind `$PORT` in time (R10).
    BootTimeout,
    /// Killed by the kernel: out of memory.
    Oom,
    /// Its container is gone, nobody knows why.
    Lost,
    /// It was told to end, or its time was over, before it had been started.
    Unstarted,
}

impl ExitReason {
    /// The exit code to show and to record.
    pub const fn code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::BootTimeout | Self::Oom | Self::Lost => 137,
            // 128 + SIGTERM.
            Self::Unstarted => 143,
        }
    }
}
