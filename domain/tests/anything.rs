//! Whatever the rows and the engine say, however little it makes sense, the planner doesn't
//! panic, and its steps lead to what was asked for: a database written by an older paas, or
//! mended by hand, is no reason to be stuck.
#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

#[allow(dead_code, reason = "each test file uses its own part of the world")]
mod world;

use chrono::TimeDelta;
use paas_domain::plan::{
    Create, DynoKind, DynoRow, KillReason, Phase, Plan, Request, RouteState, Slot, Step, Strategy,
};
use uuid::Uuid;
use world::{Behaviour, Container, Random, World};

#[test]
fn comes_to_what_was_asked_for_from_anything() {
    for seed in 0..1000 {
        let mut random = Random(seed);
        let mut world = nonsense(&mut random);
        let before = format!("seed {seed}: {:#?}\n{:#?}", world.rows, world.containers);
        come_to_rest(&mut world, &before);
        let expected: u32 = world.awake().map(|typ| typ.quantity).sum();
        let left: Vec<_> = world.rows.iter().map(|row| (row.slot().to_string(), row.id)).collect();
        assert_eq!(left.len(), expected as usize, "{before}\nbecame {left:?}");
        assert_eq!(world.containers.len(), expected as usize, "{before}");
        assert!(world.rows.iter().all(|row| row.phase == Phase::Up), "{before}");
    }
}

/// Rows and containers that fit together by chance only.
fn nonsense(random: &mut Random) -> World {
    let mut world = World::new();
    world.release(4);
    world.desired.route_state = maybe(random, RouteState::ALL);
    world.desired.routes_acknowledged = random.chance(50);
    world.desired.idle = random.chance(20);
    for name in ["web", "worker", "clock"] {
        let strategy = pick(random, &[Strategy::StartFirst, Strategy::StopFirst]);
        let typ = world.typ(name);
        typ.quantity = random.below(4);
        typ.strategy = strategy;
        typ.epoch = i64::from(random.below(3));
    }
    for _ in 0..random.below(12) {
        let row = row(random, &mut world);
        world.rows.push(row);
    }
    for _ in 0..random.below(3) {
        let id = world.new_id();
        let container = container(random, &world);
        world.containers.insert(id, container);
    }
    world
}

fn row(random: &mut Random, world: &mut World) -> DynoRow {
    let id = world.new_id();
    let now = world.now;
    let create = Create {
        slot: Slot {
            process_type: pick(random, &["web", "worker", "clock", "gone", ""]).to_owned(),
            number: pick(random, &[0, 1, 1, 2, 2, 3, 4, u32::MAX]),
        },
        release_version: pick(random, &[-1, 0, 2, 3, 4, 4, 4, 9]),
        size: pick(random, &["basic", "standard-2x", ""]).to_owned(),
        command: "anything".to_owned(),
        epoch: i64::from(random.below(3)),
        crashes: pick(random, &[0, 0, 1, 7, u32::MAX]),
    };
    let mut row = DynoRow::new(id, &create, now);
    row.kind = pick(random, &[DynoKind::Formation, DynoKind::Formation, DynoKind::Oneoff]);
    row.phase = pick(random, Phase::ALL);
    let mut some_time = || {
        let seconds = i64::from(random.below(2_000)) - 1_000;
        random.chance(50).then(|| now + TimeDelta::seconds(seconds))
    };
    row.started_at = some_time();
    row.stop_at = some_time();
    row.killed_at = some_time();
    row.next_start_at = some_time();
    row.unrouted_at = some_time();
    row.created_at = some_time().unwrap_or(now);
    row.kill_reason = maybe(random, KillReason::ALL);
    row.request = maybe(random, Request::ALL);
    row.routed = random.chance(50);
    row.time_to_live = maybe(random, &[0, 60]);
    if row.kind == DynoKind::Oneoff {
        row.time_to_live = Some(60);
    }
    if random.chance(70) {
        let container = container(random, world);
        world.containers.insert(id, container);
    }
    row
}

fn container(random: &mut Random, world: &World) -> Container {
    let ago = TimeDelta::seconds(i64::from(random.below(1_000)));
    let started_at = random.chance(80).then(|| world.now - ago);
    Container {
        started_at,
        behaviour: Behaviour::healthy(),
        end: random.chance(40).then_some((world.now - ago, 1)),
        oom: false,
    }
}

fn come_to_rest(world: &mut World, before: &str) {
    for _ in 0..1_000 {
        let plan = world.plan();
        for step in &plan.steps {
            world.act(step);
            let created = world.record(step);
            let started = match step {
                Step::Start { id } => Some(*id),
                Step::Create(_)
                | Step::MarkUp { .. }
                | Step::MarkCrashed { .. }
                | Step::MarkExited { .. }
                | Step::Stop { .. }
                | Step::Kill { .. }
                | Step::Remove { .. }
                | Step::RemoveStray { .. }
                | Step::Routes(..)
                | Step::RolloutStalled { .. } => created,
            };
            if let Some(id) = started {
                world.start(id, Behaviour::healthy());
            }
        }
        if plan.steps.is_empty() && !wait(world, &plan) {
            return;
        }
    }
    panic!("no rest: {before}");
}

/// Moves the time to the next event; false when there is none.
fn wait(world: &mut World, plan: &Plan) -> bool {
    let events = world.containers.values().flat_map(|container| {
        let listens = container.started_at.zip(container.behaviour.listens_after);
        let listens = listens.map(|(started_at, after)| started_at + after);
        [listens, container.end.map(|(at, _)| at)]
    });
    let next = events.chain([plan.wake_at]).flatten().filter(|at| *at > world.now).min();
    if let Some(at) = next {
        world.now = at;
    }
    next.is_some()
}

fn pick<T: Copy>(random: &mut Random, from: &[T]) -> T {
    from[random.below(u32::try_from(from.len()).unwrap()) as usize]
}

fn maybe<T: Copy>(random: &mut Random, from: &[T]) -> Option<T> {
    random.chance(50).then(|| pick(random, from))
}

#[test]
fn two_rows_of_one_id_are_survived() {
    let mut world = World::new();
    world.release(2);
    world.typ("web").quantity = 1;
    let mut random = Random(1);
    let mut row = row(&mut random, &mut world);
    row.id = Uuid::nil();
    world.rows = vec![row.clone(), row];
    assert!(!world.plan().steps.is_empty());
}
