//! One-off dynos and release phases: they run once, are never restarted, and end when their
//! process does, when somebody says so, or when their time to live is over. A release phase's
//! time counts from its row on: one that can't be started must not hold up its release for ever.

use chrono::TimeDelta;

use super::look::{Dyno, State};
use super::pass::Pass;
use super::{DynoKind, ExitReason, Request, Step, StopReason};

pub(super) fn plan(pass: &mut Pass<'_>, dyno: &Dyno<'_>) {
    let id = dyno.row.id;
    let asked = if pass.desired.destroyed {
        Some(StopReason::Destroy)
    } else if dyno.row.request == Some(Request::Stop) {
        Some(StopReason::User)
    } else {
        None
    };
    match (dyno.state, asked) {
        (State::Unstarted, None) => {
            let limit = dyno.row.time_to_live.filter(|_| dyno.row.kind == DynoKind::Release);
            if limit.is_some_and(|seconds| pass.due(dyno.row.created_at + TimeDelta::seconds(i64::from(seconds)))) {
                pass.facts.push(Step::MarkExited { id, exit: ExitReason::Unstarted });
            } else {
                pass.begins.push(Step::Start { id });
            }
        }
        (State::Unstarted, Some(_)) => pass.facts.push(Step::MarkExited { id, exit: ExitReason::Unstarted }),
        (State::Booting | State::Up, Some(reason)) => pass.ends.push(Step::Stop { id, reason }),
        (State::Booting | State::Up, None) => {
            let end = dyno.row.time_to_live.zip(dyno.started_at);
            if let Some((seconds, started_at)) = end
                && pass.due(started_at + TimeDelta::seconds(i64::from(seconds)))
            {
                let reason = StopReason::TimeToLive;
                pass.ends.push(Step::Stop { id, reason });
            }
        }
        (State::Stopping | State::Ended | State::Waiting { .. }, _) => {}
    }
}
