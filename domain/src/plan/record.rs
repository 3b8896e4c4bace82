//! What each step does to a dyno's row, in one place for the store, the tests and the reader.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Create, DynoKind, DynoRow, Phase, Step};

impl DynoRow {
    /// The row of a new formation dyno.
    pub fn new(id: Uuid, create: &Create, now: DateTime<Utc>) -> Self {
        Self {
            id,
            kind: DynoKind::Formation,
            process_type: create.slot.process_type.clone(),
            number: create.slot.number,
            release_version: create.release_version,
            size: create.size.clone(),
            command: create.command.clone(),
            epoch: create.epoch,
            phase: Phase::Starting,
            phase_at: now,
            created_at: now,
            started_at: None,
            stop_at: None,
            stop_reason: None,
            killed_at: None,
            kill_reason: None,
            crashes: create.crashes,
            next_start_at: None,
            exit_code: None,
            time_to_live: None,
            request: None,
            routed: false,
            unrouted_at: None,
        }
    }

    /// Records a step that was done. A step about another dyno changes nothing, except
    /// [`Step::Routes`], which is about every row of the app.
    pub fn record(&mut self, step: &Step, now: DateTime<Utc>) {
        match step {
            Step::MarkUp { id, started_at } if *id == self.id => {
                self.enter(Phase::Up, now);
                self.started_at = Some(*started_at);
                self.next_start_at = None;
                self.exit_code = None;
            }
            Step::MarkCrashed { id, exit, crashes, next_start_at } if *id == self.id => {
                self.enter(Phase::Crashed, now);
                self.exit_code = Some(exit.code());
                self.crashes = *crashes;
                self.next_start_at = Some(*next_start_at);
            }
            Step::MarkExited { id, exit } if *id == self.id => {
                self.enter(Phase::Exited, now);
                self.exit_code = Some(exit.code());
            }
            Step::Stop { id, reason } if *id == self.id => {
                self.enter(Phase::Stopping, now);
                self.stop_at = Some(now);
                self.stop_reason = Some(*reason);
            }
            Step::Kill { id, reason } if *id == self.id => {
                self.killed_at = Some(now);
                self.kill_reason = Some(*reason);
            }
            Step::Routes(dynos, _) => {
                let routed = dynos.contains(&self.id);
                if self.routed && !routed {
                    self.unrouted_at = Some(now);
                } else if routed {
                    self.unrouted_at = None;
                }
                self.routed = routed;
            }
            Step::MarkUp { .. }
            | Step::MarkCrashed { .. }
            | Step::MarkExited { .. }
            | Step::Stop { .. }
            | Step::Kill { .. }
            | Step::Create(_)
            | Step::Start { .. }
            | Step::Remove { .. }
            | Step::RemoveStray { .. }
            | Step::RolloutStalled { .. } => {}
        }
    }

    fn enter(&mut self, phase: Phase, now: DateTime<Utc>) {
        self.phase = phase;
        self.phase_at = now;
    }
}
