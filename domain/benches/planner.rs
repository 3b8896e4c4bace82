//! How long a pass of the planner takes over a whole house of apps.
//!
//! `cargo bench -p paas-domain --bench planner` plans 1,000 apps of 10 dynos each, many times
//! over, and prints what a pass over all of them costs. The goal is 10 ms.
#![allow(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints its result, and panics when its world is wrong"
)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use paas_domain::plan::{
    Create, Desired, DesiredRelease, DesiredType, DynoRow, Observed, ObservedState, Phase, Policy, RouteState, Slot,
    Strategy, plan,
};
use uuid::Uuid;

const APPS: u128 = 1_000;
const PASSES: usize = 200;
const GOAL: Duration = Duration::from_millis(10);

struct App {
    desired: Desired,
    rows: Vec<DynoRow>,
    observed: Vec<Observed>,
}

fn main() {
    let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let mut apps: Vec<App> = (0..APPS).map(|number| app(number, now)).collect();
    let dynos: usize = apps.iter().map(|app| app.rows.len()).sum();
    println!("{APPS} apps, {dynos} dynos; {PASSES} passes, goal {GOAL:?} a pass");
    measure("nothing to do", &apps, now, 0);
    for app in &mut apps {
        app.desired.release.as_mut().unwrap().version = 3;
        app.desired.release.as_mut().unwrap().compatible_from = 3;
    }
    measure("every app deploys", &apps, now, 10 * APPS as usize);
    for app in &mut apps {
        app.observed.clear();
    }
    measure("every dyno is lost", &apps, now, 35 * APPS as usize);
}

/// web=4 worker=4 clock=2, all up at release 2; ids as random as version 4's.
fn app(number: u128, now: DateTime<Utc>) -> App {
    let mut rows = Vec::new();
    let mut types = Vec::new();
    for (name, quantity) in [("web", 4), ("worker", 4), ("clock", 2)] {
        let command = format!("bundle exec {name} --environment production");
        let is_web = name == "web";
        for number_in_type in 1..=quantity {
            let seed = number * 16 + rows.len() as u128 + 1;
            let id = Uuid::from_u128(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835));
            let create = Create {
                slot: Slot { process_type: name.to_owned(), number: number_in_type },
                release_version: 2,
                size: "basic".to_owned(),
                command: command.clone(),
                epoch: 0,
                crashes: 0,
            };
            let mut row = DynoRow::new(id, &create, now - TimeDelta::hours(1));
            row.phase = Phase::Up;
            row.started_at = Some(now - TimeDelta::hours(1));
            row.routed = is_web;
            rows.push(row);
        }
        types.push(DesiredType {
            process_type: name.to_owned(),
            quantity,
            size: "basic".to_owned(),
            command,
            strategy: if is_web { Strategy::StartFirst } else { Strategy::StopFirst },
            epoch: 0,
            is_web,
        });
    }
    let observed = rows.iter().map(|row| Observed {
        id: row.id,
        state: ObservedState::Running { started_at: now - TimeDelta::hours(1), listening: true },
    });
    App {
        observed: observed.collect(),
        desired: Desired {
            release: Some(DesiredRelease { version: 2, compatible_from: 2, stalled: false }),
            types,
            idle: false,
            destroyed: false,
            route_state: Some(RouteState::Serving),
            routes_acknowledged: true,
            busy: Vec::new(),
        },
        rows,
    }
}

/// Plans all apps again and again; `steps` is how many a pass must come to.
fn measure(what: &str, apps: &[App], now: DateTime<Utc>, steps: usize) {
    let policy = Policy::default();
    let mut times: Vec<Duration> = (0..PASSES)
        .map(|_| {
            let began = Instant::now();
            let mut planned = 0;
            for app in apps {
                let plan = plan(&app.desired, &app.rows, &app.observed, &policy, now);
                planned += black_box(plan).steps.len();
            }
            let took = began.elapsed();
            assert_eq!(planned, steps, "{what}");
            took
        })
        .collect();
    times.sort_unstable();
    let (fastest, median, slowest) = (times[0], times[PASSES / 2], times[PASSES - 1]);
    let verdict = if median < GOAL { "ok" } else { "TOO SLOW" };
    println!("{what:20} median {median:?}, fastest {fastest:?}, slowest {slowest:?}: {verdict}");
}
