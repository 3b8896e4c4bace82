//! What is: each dyno's row, set right by what the engine sees of it.
//!
//! Here the facts are found: a dyno that came up, ended, or has to be killed because its time
//! is over. What follows from them is for the other rules.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::crash;
use super::pass::Pass;
use super::{DynoKind, DynoRow, ExitReason, KillReason, Observed, ObservedState, Phase, Request, Step};

/// A dyno as it is now, after this pass's facts.
pub(super) struct Dyno<'a> {
    pub(super) row: &'a DynoRow,
    pub(super) state: State,
    /// When its process started.
    pub(super) started_at: Option<DateTime<Utc>>,
    /// It must bind `$PORT` and gets requests.
    pub(super) is_web: bool,
}

/// What a dyno is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// Its process was never started.
    Unstarted,
    /// Running but not up: still booting, or SIGKILL is on its way.
    Booting,
    /// Running and fit for work.
    Up,
    /// Running, with SIGTERM sent.
    Stopping,
    /// A formation dyno that crashed; its slot is filled again at that time.
    Waiting { at: DateTime<Utc>, crashes: u32, exit: ExitReason },
    /// Ended for good; nothing is left to decide.
    Ended,
}

impl State {
    /// Its process runs.
    pub(super) const fn is_running(self) -> bool {
        matches!(self, Self::Booting | Self::Up | Self::Stopping)
    }
}

/// What the engine sees, ready to be asked by id.
pub(super) struct Sightings<'a>(Vec<&'a Observed>);

impl<'a> Sightings<'a> {
    pub(super) fn new(observed: &'a [Observed]) -> Self {
        let mut sorted: Vec<_> = observed.iter().collect();
        sorted.sort_unstable_by_key(|seen| seen.id);
        Self(sorted)
    }

    fn of(&self, id: Uuid) -> Option<ObservedState> {
        let at = self.0.binary_search_by_key(&id, |seen| seen.id).ok()?;
        self.0.get(at).map(|seen| seen.state)
    }

    /// Containers that no row knows, to be removed.
    pub(super) fn strays(&self, rows: &[DynoRow], pass: &mut Pass<'_>) {
        if self.0.is_empty() {
            return;
        }
        let mut known: Vec<_> = rows.iter().map(|row| row.id).collect();
        known.sort_unstable();
        for seen in &self.0 {
            if known.binary_search(&seen.id).is_err() {
                pass.removals.push(Step::RemoveStray { id: seen.id });
            }
        }
    }
}

/// Looks at one dyno and notes what happened to it.
pub(super) fn look<'a>(pass: &mut Pass<'_>, row: &'a DynoRow, sightings: &Sightings<'_>, is_web: bool) -> Dyno<'a> {
    let mut dyno = Dyno { row, state: State::Ended, started_at: row.started_at, is_web };
    let seen = sightings.of(row.id);
    dyno.state = match (row.phase, seen) {
        (Phase::Stopping, Some(ObservedState::Running { .. })) => stopping(pass, row),
        (Phase::Stopping, Some(ObservedState::Exited { code, .. })) => exited(pass, row, ExitReason::Code(code)),
        (Phase::Stopping, None | Some(ObservedState::Created)) => exited(pass, row, ExitReason::Lost),

        // A process that runs although its end was recorded: the engine had lost sight of it.
        (Phase::Exited, Some(ObservedState::Running { .. })) if row.stop_at.is_some() => stopping(pass, row),
        (
            Phase::Starting | Phase::Up | Phase::Crashed | Phase::Exited,
            Some(ObservedState::Running { started_at, listening }),
        ) => {
            dyno.started_at = Some(started_at);
            running(pass, &dyno, started_at, listening)
        }

        (Phase::Starting, None | Some(ObservedState::Created)) => State::Unstarted,
        (Phase::Up, None | Some(ObservedState::Created)) => {
            let now = pass.now;
            ended(pass, row, ExitReason::Lost, now)
        }
        (Phase::Starting | Phase::Up, Some(ObservedState::Exited { code, oom, finished_at })) => {
            let exit = match row.kill_reason {
                Some(KillReason::BootTimeout) => ExitReason::BootTimeout,
                // Why it was killed has been told already.
                Some(KillReason::MemoryVastly | KillReason::DiskFull) => ExitReason::Code(code),
                // A program that does without the process that the kernel took ends well.
                Some(KillReason::ExitTimeout) | None if oom && code != 0 => ExitReason::Oom,
                Some(KillReason::ExitTimeout) | None => ExitReason::Code(code),
            };
            ended(pass, row, exit, finished_at.min(pass.now))
        }

        (Phase::Crashed, None | Some(ObservedState::Created | ObservedState::Exited { .. })) => match row.kind {
            DynoKind::Formation => crash::recorded(row),
            // Nothing but a hand in the database makes such a row.
            DynoKind::Oneoff | DynoKind::Release => exited(pass, row, ExitReason::Code(row.exit_code.unwrap_or(1))),
        },
        (Phase::Exited, None | Some(ObservedState::Created | ObservedState::Exited { .. })) => {
            pass.removals.push(Step::Remove { id: row.id });
            State::Ended
        }
    };
    dyno
}

fn running(pass: &mut Pass<'_>, dyno: &Dyno<'_>, started_at: DateTime<Utc>, listening: bool) -> State {
    let row = dyno.row;
    if let (Some(killed_at), Some(reason)) = (row.killed_at, row.kill_reason) {
        if pass.due(killed_at + pass.policy.kill_again) {
            pass.ends.push(Step::Kill { id: row.id, reason });
        }
        return State::Booting;
    }
    let kill = match row.request {
        Some(Request::MemoryVastly) => Some(KillReason::MemoryVastly),
        Some(Request::DiskFull) => Some(KillReason::DiskFull),
        Some(Request::Restart | Request::Stop) | None => None,
    };
    if let Some(reason) = kill {
        pass.ends.push(Step::Kill { id: row.id, reason });
        return State::Booting;
    }
    if row.phase == Phase::Up {
        return State::Up;
    }
    if listening || !dyno.is_web {
        pass.facts.push(Step::MarkUp { id: row.id, started_at });
        return State::Up;
    }
    if pass.due(started_at + pass.policy.boot_timeout) {
        pass.ends.push(Step::Kill { id: row.id, reason: KillReason::BootTimeout });
    }
    State::Booting
}

/// Runs after its SIGTERM: SIGKILL when the grace is over.
fn stopping(pass: &mut Pass<'_>, row: &DynoRow) -> State {
    let grace_over = row.stop_at.unwrap_or(row.phase_at) + pass.policy.grace;
    let at = row.killed_at.map_or(grace_over, |killed_at| killed_at + pass.policy.kill_again);
    if pass.due(at) {
        pass.ends.push(Step::Kill { id: row.id, reason: row.kill_reason.unwrap_or(KillReason::ExitTimeout) });
    }
    State::Stopping
}

/// Ended without having been told to.
fn ended(pass: &mut Pass<'_>, row: &DynoRow, exit: ExitReason, at: DateTime<Utc>) -> State {
    match row.kind {
        DynoKind::Formation => crash::happened(pass, row, exit, at),
        DynoKind::Oneoff | DynoKind::Release => exited(pass, row, exit),
    }
}

fn exited(pass: &mut Pass<'_>, row: &DynoRow, exit: ExitReason) -> State {
    pass.facts.push(Step::MarkExited { id: row.id, exit });
    State::Ended
}
