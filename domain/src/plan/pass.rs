//! One pass of the planner: what it goes by, and the steps that it has gathered so far.

use chrono::{DateTime, Utc};

use super::{Desired, Plan, Policy, Step};

/// The steps are gathered by sort, so that they come out in an order that is safe whatever
/// rule asked for them first.
pub(super) struct Pass<'a> {
    pub(super) desired: &'a Desired,
    pub(super) policy: &'a Policy,
    pub(super) now: DateTime<Utc>,
    /// What has happened: it is recorded before anything is done about it.
    pub(super) facts: Vec<Step>,
    /// Routes and what users are told.
    pub(super) notices: Vec<Step>,
    /// SIGTERMs and SIGKILLs.
    pub(super) ends: Vec<Step>,
    /// New dynos. They come before the removals, because a crashed dyno's row holds the
    /// slot's count of crashes until its successor has it.
    pub(super) begins: Vec<Step>,
    /// What has ended and isn't needed any more.
    pub(super) removals: Vec<Step>,
    wake_at: Option<DateTime<Utc>>,
}

impl<'a> Pass<'a> {
    pub(super) fn new(desired: &'a Desired, policy: &'a Policy, now: DateTime<Utc>) -> Self {
        Self {
            desired,
            policy,
            now,
            facts: Vec::new(),
            notices: Vec::new(),
            ends: Vec::new(),
            begins: Vec::new(),
            removals: Vec::new(),
            wake_at: None,
        }
    }

    /// Has this time come? If not, the plan asks to be made again then.
    pub(super) fn due(&mut self, at: DateTime<Utc>) -> bool {
        if at <= self.now {
            return true;
        }
        if self.wake_at.is_none_or(|wake_at| at < wake_at) {
            self.wake_at = Some(at);
        }
        false
    }

    pub(super) fn finish(mut self) -> Plan {
        let mut steps = self.facts;
        steps.append(&mut self.notices);
        steps.append(&mut self.ends);
        steps.append(&mut self.begins);
        steps.append(&mut self.removals);
        Plan { steps, wake_at: self.wake_at }
    }
}
