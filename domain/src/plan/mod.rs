//! The planner: what should be and what is go in, what to do comes out.
//!
//! [`plan`] is a pure function of one app's desired state, the rows of its dynos, what the
//! engine sees of them and the time. The reconciler calls it, does the steps in their order
//! (recording each in the database as [`DynoRow::record`] says), and calls it again until no
//! steps are left; then it waits for a change or for [`Plan::wake_at`]. The reconciler may be
//! killed between any two steps, or between the two halves of one: the next pass goes on from
//! what it finds.
//!
//! [`Desired`], [`DynoRow`], [`Observed`] and [`Step`] are the vocabulary, [`Policy`] has the
//! figures, and `record` says what a step does to a row. The rules: `look` finds out what is,
//! `crash` when to start again, `rollout` fills the formation and replaces what is out of date,
//! `oneoff` is for what runs once, `routes` for who gets requests. `text` prints a plan.

mod crash;
mod desired;
mod dyno;
mod look;
mod oneoff;
mod pass;
mod policy;
mod record;
mod rollout;
mod routes;
mod step;
mod text;
mod words;

use chrono::{DateTime, Utc};

pub use desired::{Desired, DesiredRelease, DesiredType, RouteState, Strategy};
pub use dyno::{DynoKind, DynoRow, KillReason, Observed, ObservedState, Phase, Request, Slot, StopReason};
pub use policy::{CrashPolicy, Policy};
pub use step::{Create, ExitReason, Plan, Step};
pub use words::UnknownWord;

use look::{Dyno, Sightings, look};
use pass::Pass;
use routes::Routes;

/// What to do now for one app, and when to look again.
///
/// `rows` are all rows of the app, of every kind; `observed` is everything that the engine
/// lists for it. Nothing to do gives no steps. A step that fails (an engine that can't start a
/// dyno) comes again with the next plan: it is for the caller to wait before it tries again.
pub fn plan(desired: &Desired, rows: &[DynoRow], observed: &[Observed], policy: &Policy, now: DateTime<Utc>) -> Plan {
    let mut pass = Pass::new(desired, policy, now);
    let sightings = Sightings::new(observed);
    let mut sorted: Vec<&DynoRow> = rows.iter().collect();
    sorted.sort_unstable_by(|a, b| {
        let name = |row: &DynoRow| (row.kind, row.number, row.created_at, row.id);
        (a.kind.cmp(&b.kind)).then_with(|| a.process_type.cmp(&b.process_type)).then_with(|| name(a).cmp(&name(b)))
    });
    let (mut formation, others) = sorted.split_at(sorted.partition_point(|row| row.kind == DynoKind::Formation));
    let mut types: Vec<&DesiredType> = desired.types.iter().collect();
    types.sort_unstable_by(|a, b| a.process_type.cmp(&b.process_type));
    types.dedup_by(|a, b| a.process_type == b.process_type);

    let mut routes = Routes::default();
    for typ in types {
        let name = typ.process_type.as_str();
        let unknown = formation.partition_point(|row| row.process_type.as_str() < name);
        plan_type(&mut pass, None, &formation[..unknown], &sightings, &mut routes);
        formation = &formation[unknown..];
        let own = formation.partition_point(|row| row.process_type == name);
        plan_type(&mut pass, Some(typ), &formation[..own], &sightings, &mut routes);
        formation = &formation[own..];
    }
    plan_type(&mut pass, None, formation, &sightings, &mut routes);
    for row in others {
        let dyno = look(&mut pass, row, &sightings, false);
        oneoff::plan(&mut pass, &dyno);
    }
    routes.finish(&mut pass, rows);
    sightings.strays(rows, &mut pass);
    pass.finish()
}

/// Looks at the dynos of one type (None: of types that the release doesn't have), then plans it.
fn plan_type<'a>(
    pass: &mut Pass<'_>,
    typ: Option<&DesiredType>,
    rows: &[&'a DynoRow],
    sightings: &Sightings<'_>,
    routes: &mut Routes<'a>,
) {
    let dynos: Vec<Dyno<'_>> = rows
        .iter()
        .map(|row| {
            let is_web = typ.map_or(row.process_type == "web", |typ| typ.is_web);
            look(pass, row, sightings, is_web)
        })
        .collect();
    rollout::plan(pass, typ, &dynos, routes);
}
