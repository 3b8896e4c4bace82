//! Which dynos get requests, and what the router says when none does.

use uuid::Uuid;

use super::look::{Dyno, State};
use super::pass::Pass;
use super::{DynoRow, RouteState, Step};

/// Gathers, over the web process types, who is to be routed and how the rest are.
#[derive(Default)]
pub(super) struct Routes<'a> {
    chosen: Vec<&'a DynoRow>,
    /// A web type with a quantity above 0 is there.
    wanted: bool,
    /// A web type sleeps that would have dynos.
    asleep: bool,
    /// Some web dyno is on its way up.
    booting: bool,
    /// Some slot of a web type has crashed and waits.
    crashed: bool,
}

impl<'a> Routes<'a> {
    /// A web type with dynos to have.
    pub(super) const fn want(&mut self) {
        self.wanted = true;
    }

    /// A web type whose dynos sleep.
    pub(super) const fn sleep(&mut self) {
        self.asleep = true;
    }

    /// A dyno is about to be made, or its slot is about to be free for it.
    pub(super) const fn expect(&mut self) {
        self.booting = true;
    }

    /// Notes how a dyno is that belongs to the formation now.
    pub(super) const fn note(&mut self, dyno: &Dyno<'a>) {
        match dyno.state {
            State::Unstarted | State::Booting => self.booting = true,
            State::Waiting { .. } => self.crashed = true,
            State::Up | State::Stopping | State::Ended => {}
        }
    }

    /// This dyno gets requests.
    pub(super) fn choose(&mut self, dyno: &Dyno<'a>) {
        self.chosen.push(dyno.row);
    }

    fn state(&self, pass: &Pass<'_>) -> RouteState {
        if pass.desired.destroyed || pass.desired.release.is_none() {
            RouteState::Blank
        } else if !self.wanted {
            if self.asleep { RouteState::Idle } else { RouteState::NoWeb }
        } else if !self.chosen.is_empty() {
            RouteState::Serving
        } else if self.crashed && !self.booting {
            RouteState::Crashed
        } else {
            RouteState::Booting
        }
    }

    /// Says so when it isn't what the rows say already.
    pub(super) fn finish(self, pass: &mut Pass<'_>, rows: &[DynoRow]) {
        let state = self.state(pass);
        let routed = rows.iter().filter(|row| row.routed).count();
        let same = routed == self.chosen.len()
            && self.chosen.iter().all(|row| row.routed)
            && pass.desired.route_state == Some(state);
        if !same {
            let ids: Vec<Uuid> = self.chosen.iter().map(|row| row.id).collect();
            pass.notices.push(Step::Routes(ids, state));
        }
    }
}
