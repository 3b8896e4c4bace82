//! A small world for the planner: an app's rows, and an engine whose dynos behave as told.
//!
//! Time stands still until it is moved; what a container does by itself (listen, crash, exit
//! after SIGTERM) is fixed when it is started, so that a story reads the same each time.

pub(crate) mod story;

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use paas_domain::plan::{
    Create, Desired, DesiredRelease, DesiredType, DynoKind, DynoRow, Observed, ObservedState, Plan, Policy, Slot, Step,
    Strategy, plan,
};
use uuid::Uuid;

/// What a dyno's process does once it is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Behaviour {
    /// Binds `$PORT` after this time; None: never.
    pub(crate) listens_after: Option<TimeDelta>,
    /// Ends by itself after this time, with this code.
    pub(crate) ends_after: Option<(TimeDelta, i32)>,
    /// Exits after SIGTERM; None: ignores it.
    pub(crate) stops_after: Option<TimeDelta>,
}

impl Behaviour {
    /// Listens after 2 s, runs for ever, exits 1 s after SIGTERM.
    pub(crate) const fn healthy() -> Self {
        Self { listens_after: Some(TimeDelta::seconds(2)), ends_after: None, stops_after: Some(TimeDelta::seconds(1)) }
    }
}

/// A container of the fake engine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Container {
    pub(crate) started_at: Option<DateTime<Utc>>,
    pub(crate) behaviour: Behaviour,
    /// When and how it ends or has ended.
    pub(crate) end: Option<(DateTime<Utc>, i32)>,
    /// The kernel has killed one of its processes for memory.
    pub(crate) oom: bool,
}

impl Container {
    pub(crate) fn state(&self, now: DateTime<Utc>) -> ObservedState {
        let Some(started_at) = self.started_at else {
            return ObservedState::Created;
        };
        match self.end {
            Some((at, code)) if at <= now => ObservedState::Exited { code, oom: self.oom, finished_at: at },
            _ => ObservedState::Running {
                started_at,
                listening: self.behaviour.listens_after.is_some_and(|after| started_at + after <= now),
            },
        }
    }

    pub(crate) fn is_running(&self, now: DateTime<Utc>) -> bool {
        matches!(self.state(now), ObservedState::Running { .. })
    }

    pub(crate) fn end_by(&mut self, at: DateTime<Utc>, code: i32) {
        if self.end.is_none_or(|(end, _)| at < end) {
            self.end = Some((at, code));
        }
    }
}

/// One app and the engine beneath it.
pub(crate) struct World {
    pub(crate) now: DateTime<Utc>,
    pub(crate) policy: Policy,
    pub(crate) desired: Desired,
    pub(crate) rows: Vec<DynoRow>,
    pub(crate) containers: BTreeMap<Uuid, Container>,
    next_id: u128,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            now: DateTime::from_timestamp(1_800_000_000, 0).unwrap(),
            policy: Policy::default(),
            desired: Desired { routes_acknowledged: true, ..Desired::default() },
            rows: Vec::new(),
            containers: BTreeMap::new(),
            next_id: 1,
        }
    }

    pub(crate) fn observed(&self) -> Vec<Observed> {
        let seen = self.containers.iter().map(|(id, container)| Observed { id: *id, state: container.state(self.now) });
        seen.collect()
    }

    pub(crate) fn plan(&self) -> Plan {
        plan(&self.desired, &self.rows, &self.observed(), &self.policy, self.now)
    }

    pub(crate) fn row(&self, id: Uuid) -> &DynoRow {
        self.rows.iter().find(|row| row.id == id).unwrap()
    }

    pub(crate) fn new_id(&mut self) -> Uuid {
        let id = Uuid::from_u128(self.next_id);
        self.next_id += 1;
        id
    }

    /// The half of a step that the store does.
    pub(crate) fn record(&mut self, step: &Step) -> Option<Uuid> {
        let now = self.now;
        for row in &mut self.rows {
            row.record(step, now);
        }
        match step {
            Step::Create(create) => {
                let id = self.new_id();
                self.rows.push(DynoRow::new(id, create, now));
                return Some(id);
            }
            Step::Remove { id } => self.rows.retain(|row| row.id != *id),
            Step::Routes(_, state) => self.desired.route_state = Some(*state),
            Step::RolloutStalled { .. } => self.desired.release.as_mut().unwrap().stalled = true,
            Step::Start { .. }
            | Step::MarkUp { .. }
            | Step::MarkCrashed { .. }
            | Step::MarkExited { .. }
            | Step::Stop { .. }
            | Step::Kill { .. }
            | Step::RemoveStray { .. } => {}
        }
        None
    }

    /// The engine starts a dyno: the same one twice is one dyno.
    pub(crate) fn start(&mut self, id: Uuid, behaviour: Behaviour) {
        let now = self.now;
        let container =
            self.containers.entry(id).or_insert(Container { started_at: None, behaviour, end: None, oom: false });
        if container.started_at.is_none() {
            container.started_at = Some(now);
            container.end = behaviour.ends_after.map(|(after, code)| (now + after, code));
        }
    }

    /// The half of a step that the engine does, starts excepted.
    pub(crate) fn act(&mut self, step: &Step) {
        let now = self.now;
        match step {
            Step::Stop { id, .. } => {
                if let Some(container) = self.containers.get_mut(id)
                    && let Some(after) = container.behaviour.stops_after
                {
                    container.end_by(now + after, 143);
                }
            }
            Step::Kill { id, .. } => {
                if let Some(container) = self.containers.get_mut(id) {
                    container.end_by(now, 137);
                }
            }
            Step::Remove { id } | Step::RemoveStray { id } => {
                self.containers.remove(id);
            }
            Step::Create(_)
            | Step::Start { .. }
            | Step::MarkUp { .. }
            | Step::MarkCrashed { .. }
            | Step::MarkExited { .. }
            | Step::Routes(..)
            | Step::RolloutStalled { .. } => {}
        }
    }

    /// A new release, whatever made it.
    pub(crate) fn release(&mut self, version: i64) {
        self.desired.release = Some(DesiredRelease { version, compatible_from: version, stalled: false });
    }

    /// The type of that name, made with quantity 0 if it isn't there.
    pub(crate) fn typ(&mut self, name: &str) -> &mut DesiredType {
        let types = &mut self.desired.types;
        let index = types.iter().position(|typ| typ.process_type == name);
        let index = index.unwrap_or_else(|| {
            let is_web = name == "web";
            types.push(DesiredType {
                process_type: name.to_owned(),
                quantity: 0,
                size: "basic".to_owned(),
                command: format!("run-{name}"),
                strategy: if is_web { Strategy::StartFirst } else { Strategy::StopFirst },
                epoch: 0,
                is_web,
            });
            types.len() - 1
        });
        &mut types[index]
    }

    /// The types whose dynos are to be there.
    pub(crate) fn awake(&self) -> impl Iterator<Item = &DesiredType> {
        self.desired.types.iter().filter(|typ| !(self.desired.idle && typ.is_web))
    }

    /// Inserts the row of a one-off or a release phase, as its operation does.
    pub(crate) fn oneoff(&mut self, kind: DynoKind, number: u32) -> Uuid {
        let id = self.new_id();
        let create = Create {
            slot: Slot {
                process_type: match kind {
                    DynoKind::Release => "release".to_owned(),
                    DynoKind::Oneoff | DynoKind::Formation => "run".to_owned(),
                },
                number,
            },
            release_version: self.desired.release.map_or(1, |release| release.version),
            size: "basic".to_owned(),
            command: "rake something".to_owned(),
            epoch: 0,
            crashes: 0,
        };
        let mut row = DynoRow::new(id, &create, self.now);
        row.kind = kind;
        self.rows.push(row);
        id
    }
}

/// SplitMix64: small, seeded, and the same on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u32) -> u32 {
        u32::try_from(self.next() % u64::from(end)).unwrap()
    }

    /// True in so many of a hundred cases.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }
}
