//! The planner in a world full of faults: hundreds of seeds, each a random life of one app.
//!
//! Deploys good and bad, scaling, restarts and one-offs come at random; dynos crash, boot
//! slowly, ignore SIGTERM or vanish; starts fail; and the daemon is killed between any two
//! steps and between the two halves of one. After every half-step the rules that must always
//! hold are checked, and when the faults stop the app must come to what was asked for.
//!
//! A failure names its seed: `PAAS_SEED=17 cargo test -p paas-domain --test simulation` runs
//! that one alone and prints every plan.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "one seed can be chosen and watched")]

#[allow(dead_code, reason = "each test file uses its own part of the world")]
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use chrono::{DateTime, TimeDelta, Utc};
use paas_domain::plan::{
    Create, DynoKind, DynoRow, KillReason, ObservedState, Phase, Plan, Request, RouteState, Step, StopReason, Strategy,
    plan,
};
use uuid::Uuid;
use world::{Behaviour, Random, World};

const SEEDS: u64 = 400;

/// The app is healthy and so is the engine; only the daemon is killed now and then. Nothing of
/// that may be seen from outside.
#[test]
fn healthy_app_never_stops_serving() {
    every_seed(Mode::Healthy);
}

/// Everything goes wrong at random, then nothing does: the app comes to what was asked for.
#[test]
fn converges_when_the_faults_stop() {
    every_seed(Mode::Faulty);
}

fn every_seed(mode: Mode) {
    let chosen = std::env::var("PAAS_SEED").ok();
    let chosen: Option<u64> = chosen.map(|seed| seed.parse().unwrap());
    let seeds = chosen.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let run = || Simulation::new(mode, seed, chosen.is_some()).run();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(run)) {
            println!("{mode:?}: failed with PAAS_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Healthy,
    Faulty,
}

/// The daemon was killed, or the engine refused: the pass ends here.
struct Interrupted;

struct Simulation {
    mode: Mode,
    random: Random,
    world: World,
    /// Faults happen.
    faults: bool,
    /// Releases that don't work.
    bad: Vec<i64>,
    served: bool,
    oneoffs: u32,
    verbose: bool,
}

impl Simulation {
    fn new(mode: Mode, seed: u64, verbose: bool) -> Self {
        Self {
            mode,
            random: Random(seed),
            world: World::new(),
            faults: true,
            bad: Vec::new(),
            served: false,
            oneoffs: 0,
            verbose,
        }
    }

    fn run(mut self) {
        for name in ["web", "worker", "clock"] {
            self.world.typ(name).quantity = 1;
        }
        for _ in 0..60 {
            self.something_happens();
            self.passes();
        }
        self.faults = false;
        if self.world.desired.release.is_none_or(|release| self.bad.contains(&release.version)) {
            self.deploy(true);
        }
        self.comes_to_rest();
        self.is_as_asked();
        if self.world.desired.idle {
            self.world.desired.idle = false;
            self.comes_to_rest();
            self.is_as_asked();
        }
        if self.random.chance(50) {
            self.world.desired.destroyed = true;
            self.comes_to_rest();
            assert!(self.world.rows.is_empty(), "rows of a destroyed app are left");
            assert!(self.world.containers.is_empty(), "containers are left");
        }
    }

    // What happens to an app.

    fn something_happens(&mut self) {
        let healthy = self.mode == Mode::Healthy;
        let wait = match self.random.below(4) {
            0 => 0,
            1 => self.random.below(3_000),
            2 => self.random.below(30_000),
            _ => self.random.below(120_000),
        };
        self.wait(TimeDelta::milliseconds(i64::from(wait)));
        match self.random.below(13) {
            0 | 1 => {
                let good = healthy || self.random.chance(50);
                self.deploy(good);
            }
            2 => self.scale(),
            3 => {
                let name = self.any_type();
                self.world.typ(name).epoch += 1;
            }
            4 => {
                let size = ["basic", "standard-2x"][self.random.below(2) as usize];
                let name = self.any_type();
                self.world.typ(name).size = size.to_owned();
            }
            5 => {
                let request = match self.random.below(3) {
                    1 if !healthy => Request::Stop,
                    2 if !healthy => Request::MemoryVastly,
                    _ => Request::Restart,
                };
                if let Some(row) = self.any_row() {
                    row.request = Some(request);
                }
            }
            6 => {
                self.oneoffs += 1;
                let id = self.world.oneoff(DynoKind::Oneoff, self.oneoffs);
                let ttl = self.random.chance(50).then_some(60);
                let mut rows = self.world.rows.iter_mut();
                rows.find(|row| row.id == id).unwrap().time_to_live = ttl;
            }
            7 => {
                self.world.desired.routes_acknowledged ^= true;
                let ids: Vec<Uuid> = self.world.rows.iter().map(|row| row.id).collect();
                self.world.desired.busy = ids.into_iter().filter(|_| self.random.chance(30)).collect();
            }
            8 if !healthy => {
                // Not the worker's: it must never run twice.
                let name = ["web", "clock"][self.random.below(2) as usize];
                let strategies = [Strategy::StartFirst, Strategy::StopFirst];
                self.world.typ(name).strategy = strategies[self.random.below(2) as usize];
            }
            9 | 10 if !healthy => self.containers_fall(),
            // Nobody asks for it any more, or somebody does.
            11 => self.world.desired.idle ^= true,
            _ => {}
        }
    }

    fn deploy(&mut self, good: bool) {
        let version = self.world.desired.release.map_or(2, |release| release.version + 1);
        let compatible = self.world.desired.release.map(|release| release.compatible_from);
        self.world.release(version);
        if !good {
            self.bad.push(version);
        } else if let Some(from) = compatible
            && self.random.chance(20)
            && !self.bad.contains(&(version - 1))
        {
            self.world.desired.release.as_mut().unwrap().compatible_from = from;
        }
    }

    fn scale(&mut self) {
        let name = self.any_type();
        let least = u32::from(self.mode == Mode::Healthy && name == "web");
        self.world.typ(name).quantity = least + self.random.below(4);
    }

    fn containers_fall(&mut self) {
        let all = self.random.chance(20);
        let now = self.world.now;
        let ids: Vec<Uuid> = self.world.containers.keys().copied().collect();
        for id in ids {
            if !all && !self.random.chance(20) {
                continue;
            }
            if self.random.chance(30) {
                self.world.containers.remove(&id);
            } else if let Some(container) = self.world.containers.get_mut(&id)
                && container.is_running(now)
            {
                container.end = Some((now, 139));
            }
        }
    }

    fn any_type(&mut self) -> &'static str {
        ["web", "worker", "clock"][self.random.below(3) as usize]
    }

    fn any_row(&mut self) -> Option<&mut DynoRow> {
        let count = u32::try_from(self.world.rows.len()).unwrap();
        let index = self.random.below(count.max(1)) as usize;
        self.world.rows.get_mut(index)
    }

    fn behaviour(&mut self, row: &DynoRow) -> Behaviour {
        let ms = |ms: u32| TimeDelta::milliseconds(i64::from(ms));
        let mut behaviour = Behaviour {
            listens_after: Some(ms(self.random.below(20_000))),
            ends_after: None,
            stops_after: (!self.random.chance(15)).then(|| ms(self.random.below(5_000))),
        };
        if row.kind != DynoKind::Formation {
            behaviour.ends_after = Some((ms(self.random.below(90_000)), 0));
        } else if self.bad.contains(&row.release_version) {
            let soon = (ms(self.random.below(25_000)), 1);
            match self.random.below(3) {
                0 => behaviour.ends_after = Some((ms(0), 1)),
                1 => behaviour.ends_after = Some(soon),
                _ => behaviour.listens_after = None,
            }
        }
        behaviour
    }

    // The daemon.

    /// Passes until nothing is left to do or the daemon is killed.
    fn passes(&mut self) {
        for _ in 0..100 {
            match self.pass() {
                Ok(true) => {
                    self.is_consistent();
                    return;
                }
                Ok(false) => {}
                Err(Interrupted) => return,
            }
        }
        panic!("no end of steps");
    }

    /// One pass. Was nothing left to do?
    fn pass(&mut self) -> Result<bool, Interrupted> {
        let plan = self.world.plan();
        self.order_does_not_matter(&plan);
        if self.verbose {
            let text = plan.text(&self.world.rows, self.world.now);
            println!("--- {}\n{text}", self.world.now);
        }
        for step in &plan.steps {
            self.is_allowed(step);
            self.take(step)?;
            self.always_holds();
        }
        Ok(plan.steps.is_empty())
    }

    fn take(&mut self, step: &Step) -> Result<(), Interrupted> {
        self.maybe_killed()?;
        match step {
            Step::Create(_) => {
                let id = self.world.record(step).unwrap();
                self.maybe_killed()?;
                self.start(id)?;
            }
            Step::Start { id } => self.start(*id)?,
            Step::Stop { .. } | Step::Kill { .. } | Step::Remove { .. } => {
                self.world.act(step);
                self.always_holds();
                self.maybe_killed()?;
                self.world.record(step);
            }
            Step::RemoveStray { .. } => self.world.act(step),
            Step::MarkUp { .. }
            | Step::MarkCrashed { .. }
            | Step::MarkExited { .. }
            | Step::Routes(..)
            | Step::RolloutStalled { .. } => {
                self.world.record(step);
            }
        }
        Ok(())
    }

    fn start(&mut self, id: Uuid) -> Result<(), Interrupted> {
        if self.faults && self.mode == Mode::Faulty && self.random.chance(5) {
            return Err(Interrupted);
        }
        let row = self.world.row(id).clone();
        assert!(row.kind == DynoKind::Formation || row.phase == Phase::Starting, "{} is run a second time", row.slot());
        let behaviour = self.behaviour(&row);
        self.world.start(id, behaviour);
        Ok(())
    }

    fn maybe_killed(&mut self) -> Result<(), Interrupted> {
        if self.faults && self.random.chance(3) {
            return Err(Interrupted);
        }
        Ok(())
    }

    fn wait(&mut self, time: TimeDelta) {
        self.world.now += time;
    }

    /// Passes and waits until nothing happens any more.
    fn comes_to_rest(&mut self) {
        for _ in 0..1000 {
            self.passes();
            let now = self.world.now;
            let wake_at = self.world.plan().wake_at;
            let events = self.world.containers.values().flat_map(|container| {
                let listens = container.started_at.zip(container.behaviour.listens_after);
                let listens = listens.map(|(started_at, after)| started_at + after);
                [listens, container.end.map(|(at, _)| at)]
            });
            let next = events.chain([wake_at]).flatten().filter(|at| *at > now).min();
            match next {
                Some(at) => self.world.now = at,
                None => return,
            }
        }
        panic!("no rest");
    }

    // The rules.

    /// A step by itself.
    fn is_allowed(&self, step: &Step) {
        let world = &self.world;
        let now = world.now;
        match step {
            Step::Stop { id, reason } => {
                let row = world.row(*id);
                assert!(row.stop_at.is_none(), "{} gets SIGTERM twice", row.slot());
                let busy = world.desired.busy.contains(id);
                let drain = if busy { world.policy.drain_busy } else { world.policy.drain };
                let drained = row.unrouted_at.is_none_or(|at| at + drain <= now);
                let is_web = row.process_type == "web" && *reason != StopReason::Destroy;
                assert!(!is_web || (!row.routed && drained), "{} gets SIGTERM with requests on their way", row.slot());
            }
            Step::Kill { id, reason } => {
                let row = world.row(*id);
                let again = row.killed_at.is_none_or(|at| at + world.policy.kill_again <= now);
                assert!(again, "{} gets SIGKILL twice", row.slot());
                let over = row.stop_at.is_some_and(|at| at + world.policy.grace <= now);
                assert!(*reason != KillReason::ExitTimeout || over, "SIGKILL too soon");
            }
            Step::Remove { id } => assert!(
                !world.containers.get(id).is_some_and(|container| container.is_running(now)),
                "a running dyno is removed"
            ),
            Step::Create(create) => self.is_slow_enough(create),
            Step::Routes(ids, state) => {
                assert_eq!(!ids.is_empty(), *state == RouteState::Serving);
                assert!(*state != RouteState::Idle || world.desired.idle, "visitors would wake what doesn't sleep");
                let up = |id: &Uuid| world.containers.get(id).unwrap().is_running(now);
                assert!(ids.iter().all(up), "requests go to a dyno that doesn't run");
            }
            Step::Start { .. }
            | Step::MarkUp { .. }
            | Step::MarkCrashed { .. }
            | Step::MarkExited { .. }
            | Step::RemoveStray { .. }
            | Step::RolloutStalled { .. } => {}
        }
    }

    /// A slot that crashed is filled when the policy says so, and its crashes are counted on.
    fn is_slow_enough(&self, create: &Create) {
        let same = |row: &&DynoRow| {
            row.kind == DynoKind::Formation
                && row.slot() == create.slot
                && row.release_version == create.release_version
                && row.epoch == create.epoch
                && row.size == create.size
        };
        // The rows are in the order of their making: only the last may still have a say.
        let last = self.world.rows.iter().rfind(same);
        let crashed = |row: &&DynoRow| row.phase == Phase::Crashed && row.request.is_none();
        if let Some(row) = last.filter(crashed) {
            assert!(create.crashes >= row.crashes, "crashes of {} are forgotten", create.slot);
            let delay = self.world.policy.crash_policy.delay(row.crashes);
            let ended = self.world.containers.get(&row.id).and_then(|container| container.end);
            let early = ended.is_some_and(|(at, _)| self.world.now < at + delay);
            assert!(!early, "{} is restarted too soon", create.slot);
        }
    }

    /// The world between any two half-steps.
    fn always_holds(&mut self) {
        let world = &self.world;
        let now = world.now;
        let running = |row: &&DynoRow| world.containers.get(&row.id).is_some_and(|container| container.is_running(now));
        let mut workers: Vec<_> = world.rows.iter().filter(running).collect();
        workers.retain(|row| row.process_type == "worker");
        workers.sort_by_key(|row| row.number);
        for pair in workers.windows(2) {
            assert_ne!(pair[0].number, pair[1].number, "two workers at once in a slot");
        }
        if self.mode == Mode::Healthy {
            let serving = world.rows.iter().any(|row| row.routed && self.listens(row.id, now));
            let owed = self.served && !world.desired.destroyed && !world.desired.idle;
            assert!(serving || !owed, "nobody serves");
            // A web.3 that is up before web.1, after a wake, may be scaled away: visitors wait then.
            let stays = |row: &DynoRow| row.routed && row.process_type == "web" && row.number == 1;
            // SIGTERM was sent for idling and not recorded: woken at that moment, it serves and ends.
            let told = |row: &DynoRow| world.containers.get(&row.id).is_some_and(|container| container.end.is_some());
            let dying = world.rows.iter().any(|row| row.routed && told(row));
            self.served = serving && !dying && (self.served || world.rows.iter().any(stays));
        }
    }

    fn listens(&self, id: Uuid, now: DateTime<Utc>) -> bool {
        let container = self.world.containers.get(&id);
        container
            .is_some_and(|container| matches!(container.state(now), ObservedState::Running { listening: true, .. }))
    }

    /// When nothing is left to do for now.
    fn is_consistent(&self) {
        let now = self.world.now;
        for row in self.world.rows.iter().filter(|row| row.routed) {
            assert!(self.listens(row.id, now), "{} is routed and down", row.slot());
        }
        for id in self.world.containers.keys() {
            assert!(self.world.rows.iter().any(|row| row.id == *id), "orphan {id}");
        }
        for row in self.world.rows.iter().filter(|row| row.phase == Phase::Up) {
            assert!(self.world.containers.contains_key(&row.id), "{} is lost", row.slot());
        }
    }

    /// The same rows in another order give the same plan.
    fn order_does_not_matter(&self, plan_of_rows: &Plan) {
        let world = &self.world;
        let (mut rows, mut observed) = (world.rows.clone(), world.observed());
        rows.reverse();
        observed.reverse();
        let other = plan(&world.desired, &rows, &observed, &world.policy, world.now);
        assert_eq!(&other, plan_of_rows);
    }

    /// At rest the formation is exactly the desired one.
    fn is_as_asked(&mut self) {
        let world = &mut self.world;
        let release = world.desired.release.unwrap();
        let quantity = world.awake().map(|typ| typ.quantity).sum::<u32>();
        assert_eq!(world.rows.len(), quantity as usize, "{:#?}", world.rows);
        assert_eq!(world.containers.len(), quantity as usize);
        let sleeps = world.desired.idle && world.desired.types.iter().any(|typ| typ.is_web && typ.quantity > 0);
        assert_eq!(world.desired.route_state == Some(RouteState::Idle), sleeps);
        for typ in world.awake() {
            for number in 1..=typ.quantity {
                let mut rows = world.rows.iter();
                let row = rows.find(|row| row.process_type == typ.process_type && row.number == number).unwrap();
                assert_eq!(row.phase, Phase::Up);
                assert!((release.compatible_from..=release.version).contains(&row.release_version));
                assert_eq!((&row.size, row.epoch), (&typ.size, typ.epoch));
                assert_eq!(row.routed, typ.is_web);
            }
        }
        world.now += TimeDelta::days(3);
        assert_eq!(world.plan(), Plan::default(), "rest isn't rest");
    }
}
