//! A world whose passes are written down, to be read as a story.

use std::fmt::Write as _;

use chrono::{DateTime, TimeDelta, Utc};
use paas_domain::plan::{DynoRow, Request, Step};
use uuid::Uuid;

use super::{Behaviour, World};

/// A world whose passes are written down.
pub(crate) struct Story {
    pub(crate) world: World,
    pub(crate) text: String,
    began: DateTime<Utc>,
    /// How the dyno of a row behaves.
    pub(crate) behave: fn(&DynoRow) -> Behaviour,
}

impl Story {
    pub(crate) fn new() -> Self {
        let world = World::new();
        Self { began: world.now, world, text: String::new(), behave: |_| Behaviour::healthy() }
    }

    /// An app that runs release 2 with these dynos, all up.
    pub(crate) fn running(types: &[(&str, u32)]) -> Self {
        let mut story = Self::new();
        story.world.release(2);
        for (name, quantity) in types {
            story.world.typ(name).quantity = *quantity;
        }
        story.after(0, "deployed");
        story.after(2, "up");
        story.text.clear();
        story.began = story.world.now;
        story
    }

    /// Time goes by, then passes are made until nothing is left to do.
    pub(crate) fn after(&mut self, seconds: i64, what: &str) {
        self.world.now += TimeDelta::seconds(seconds);
        self.heading(what);
        for _ in 0..20 {
            let done = self.pass(usize::MAX);
            if done {
                return;
            }
        }
        panic!("no end of steps:\n{}", self.text);
    }

    pub(crate) fn heading(&mut self, what: &str) {
        let at = (self.world.now - self.began).num_seconds();
        writeln!(self.text, "\n[{:02}:{:02}] {what}", at / 60, at % 60).unwrap();
    }

    /// One pass, of which the daemon gets to do so many steps. Is nothing left to do?
    pub(crate) fn pass(&mut self, steps: usize) -> bool {
        let plan = self.world.plan();
        let text = plan.text(&self.world.rows, self.world.now);
        for line in text.lines() {
            writeln!(self.text, "  {line}").unwrap();
        }
        for step in plan.steps.iter().take(steps) {
            self.world.act(step);
            let created = self.world.record(step);
            if let Some(id) = created {
                self.start(id);
            }
            if let Step::Start { id } = step {
                self.start(*id);
            }
        }
        plan.steps.is_empty()
    }

    fn start(&mut self, id: Uuid) {
        let behaviour = (self.behave)(self.world.row(id));
        self.world.start(id, behaviour);
    }

    pub(crate) fn dyno(&self, name: &str) -> Uuid {
        let mut rows = self.world.rows.iter();
        rows.find(|row| row.slot().to_string() == name).unwrap().id
    }

    pub(crate) fn request(&mut self, name: &str, request: Request) {
        let id = self.dyno(name);
        let mut rows = self.world.rows.iter_mut();
        rows.find(|row| row.id == id).unwrap().request = Some(request);
    }
}
