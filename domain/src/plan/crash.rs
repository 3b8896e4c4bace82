//! Crashes and when to start again.
//!
//! Heroku's rule: any end of a formation dyno that wasn't asked for is a crash, also one with
//! status 0. The count grows from dyno to dyno of a slot and starts anew after a healthy run,
//! with a new release, a restart, and when the slot was scaled away.

use chrono::{DateTime, Utc};

use super::look::State;
use super::pass::Pass;
use super::{DynoRow, ExitReason, KillReason, Step};

/// A crash that is news.
pub(super) fn happened(pass: &mut Pass<'_>, row: &DynoRow, exit: ExitReason, at: DateTime<Utc>) -> State {
    let was_healthy = row.started_at.is_some_and(|started_at| at - started_at >= pass.policy.healthy_after);
    let crashes = if was_healthy { 1 } else { row.crashes.saturating_add(1) };
    let next_start_at = (at + pass.policy.crash_policy.delay(crashes)).max(pass.now);
    pass.facts.push(Step::MarkCrashed { id: row.id, exit, crashes, next_start_at });
    State::Waiting { at: next_start_at, crashes, exit }
}

/// A crash that its row already tells.
pub(super) fn recorded(row: &DynoRow) -> State {
    let exit = match (row.kill_reason, row.exit_code) {
        (Some(KillReason::BootTimeout), _) => ExitReason::BootTimeout,
        (_, Some(code)) => ExitReason::Code(code),
        (_, None) => ExitReason::Lost,
    };
    State::Waiting { at: row.next_start_at.unwrap_or(row.phase_at), crashes: row.crashes, exit }
}
