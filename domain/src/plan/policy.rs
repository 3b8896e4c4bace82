//! The figures that the planner goes by: Heroku's, where Heroku has one.

use chrono::TimeDelta;

use super::words::words;

words! {
    /// How long a crashed dyno's slot stays empty.
    pub enum CrashPolicy as "crash policy" {
        /// Five restarts at once, then one after 10 s, then one every 30 s.
        Quick = "quick",
        /// Heroku's: one restart at once, then after 20, 40, 60, 180 and 320 minutes, then
        /// every 320.
        Heroku = "heroku",
    }
}

impl CrashPolicy {
    /// The wait before the next start after `crashes` crashes in a row (1: the first).
    pub fn delay(self, crashes: u32) -> TimeDelta {
        match self {
            Self::Quick => TimeDelta::seconds(match crashes {
                0..=5 => 0,
                6 => 10,
                7.. => 30,
            }),
            Self::Heroku => TimeDelta::minutes(match crashes {
                0..=1 => 0,
                2 => 20,
                3 => 40,
                4 => 60,
                5 => 180,
                6.. => 320,
            }),
        }
    }
}

/// The planner's figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// A web dyno must bind `$PORT` within this time of its start (R10).
    pub boot_timeout: TimeDelta,
    /// Between SIGTERM and SIGKILL (R12).
    pub grace: TimeDelta,
    /// How long to wait before SIGKILL is sent again to what is still there.
    pub kill_again: TimeDelta,
    /// When crashed dynos are started again.
    pub crash_policy: CrashPolicy,
    /// A dyno that ran this long before it crashed starts a new count of crashes.
    pub healthy_after: TimeDelta,
    /// Between a dyno's leaving the routes and its SIGTERM, so that its last requests end.
    pub drain: TimeDelta,
    /// The same, as long as it still has requests.
    pub drain_busy: TimeDelta,
    /// The same, as long as the routers haven't acknowledged that it left.
    pub drain_unacknowledged: TimeDelta,
    /// A rollout is reported as stalled after this many crashes of a new dyno in a row, and
    /// an old dyno that crashes as often isn't kept for it any more.
    pub stalled_after: u32,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            boot_timeout: TimeDelta::seconds(60),
            grace: TimeDelta::seconds(30),
            kill_again: TimeDelta::seconds(10),
            crash_policy: CrashPolicy::Quick,
            healthy_after: TimeDelta::minutes(10),
            drain: TimeDelta::seconds(2),
            drain_busy: TimeDelta::seconds(30),
            drain_unacknowledged: TimeDelta::seconds(30),
            stalled_after: 3,
        }
    }
}
