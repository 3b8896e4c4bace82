//! Rows and containers in the planner's words, and what it decided back in rows.

use std::net::SocketAddr;

use chrono::TimeDelta;
use paas_domain::plan::{
    CrashPolicy, Desired, DesiredRelease, DesiredType, DynoRow, Observed, ObservedState, Policy, Strategy, UnknownWord,
};

use crate::{
    config,
    engine::{DynoState, ObservedDyno},
    error::{Error, Result},
    ops::{Platform, features, idle, releases, spec},
    store::{self, apps::App, dynos::Dyno},
};

/// What an app is to run.
pub async fn desired(p: &Platform, app: &App, acknowledged: bool) -> Result<Desired> {
    let route_state = app.route_state.as_deref().and_then(|state| state.parse().ok());
    if app.deleting {
        return Ok(Desired { destroyed: true, route_state, routes_acknowledged: true, ..Desired::default() });
    }
    let mut c = p.db.read().await?;
    let current = store::releases::current(&mut c, app.id).await?;
    let slug = match &current {
        Some(release) => releases::slug_of(&mut c, release).await?,
        None => None,
    };
    let (Some(current), Some(slug)) = (current, slug) else {
        return Ok(Desired { route_state, routes_acknowledged: acknowledged, ..Desired::default() });
    };
    let moved = store::releases::running(&mut c, app.id).await?;
    let preboot = features::is_on(&mut c, app.id, features::PREBOOT).await?;
    let types = store::formations::list(&mut c, app.id)
        .await?
        .into_iter()
        .filter_map(|row| {
            let command = slug.process_types.get(&row.process_type)?.clone();
            let is_web = row.process_type == "web";
            let usual = if is_web && preboot { Strategy::StartFirst } else { Strategy::StopFirst };
            Some(DesiredType {
                quantity: u32::try_from(row.quantity).unwrap_or_default(),
                size: row.size,
                command,
                strategy: row.strategy.as_deref().and_then(|word| word.parse().ok()).unwrap_or(usual),
                epoch: row.epoch,
                is_web,
                process_type: row.process_type,
            })
        })
        .collect();
    Ok(Desired {
        release: Some(DesiredRelease {
            version: current.version,
            compatible_from: moved.map_or(current.version, |release| release.version),
            stalled: current.stalled,
        }),
        types,
        idle: idle::since(&mut c, app).await?.is_some(),
        destroyed: false,
        route_state,
        routes_acknowledged: acknowledged,
        busy: Vec::new(),
    })
}

/// The planner's figures.
pub fn policy(config: &config::Config) -> Policy {
    let seconds = |s: u64| TimeDelta::seconds(i64::try_from(s).unwrap_or(3600));
    Policy {
        boot_timeout: seconds(config.boot_timeout_s),
        grace: seconds(config.stop_grace_s),
        crash_policy: match config.crash_policy {
            config::CrashPolicy::Quick => CrashPolicy::Quick,
            config::CrashPolicy::Heroku => CrashPolicy::Heroku,
        },
        ..Policy::default()
    }
}

/// A dyno's row as the planner reads it.
pub fn row(dyno: &Dyno) -> Result<DynoRow> {
    let bad = |e: UnknownWord| Error::internal("A dyno's row can't be understood.", e);
    let word = |text: &Option<String>| text.as_deref().map(str::parse).transpose();
    Ok(DynoRow {
        id: dyno.id,
        kind: dyno.kind.parse().map_err(bad)?,
        process_type: dyno.process_type.clone(),
        number: u32::try_from(dyno.number).unwrap_or_default(),
        release_version: dyno.release_version,
        size: dyno.size.clone(),
        command: dyno.command.clone(),
        epoch: dyno.epoch,
        phase: dyno.phase.parse().map_err(bad)?,
        phase_at: dyno.phase_at,
        created_at: dyno.created_at,
        started_at: dyno.started_at,
        stop_at: dyno.stop_at,
        stop_reason: word(&dyno.stop_reason).map_err(bad)?,
        killed_at: dyno.killed_at,
        kill_reason: dyno.kill_reason.as_deref().map(str::parse).transpose().map_err(bad)?,
        crashes: u32::try_from(dyno.crashes).unwrap_or_default(),
        next_start_at: dyno.next_start_at,
        exit_code: dyno.exit_code.and_then(|code| i32::try_from(code).ok()),
        time_to_live: dyno.time_to_live.and_then(|s| u32::try_from(s).ok()),
        request: dyno.request.as_deref().map(str::parse).transpose().map_err(bad)?,
        routed: dyno.routed,
        unrouted_at: dyno.unrouted_at,
    })
}

/// Takes over what a step has changed.
pub fn write_back(dyno: &mut Dyno, row: &DynoRow, now: chrono::DateTime<chrono::Utc>) {
    dyno.phase = row.phase.to_string();
    dyno.phase_at = row.phase_at;
    dyno.started_at = row.started_at;
    dyno.stop_at = row.stop_at;
    dyno.stop_reason = row.stop_reason.map(|word| word.to_string());
    dyno.killed_at = row.killed_at;
    dyno.kill_reason = row.kill_reason.map(|word| word.to_string());
    dyno.crashes = i64::from(row.crashes);
    dyno.next_start_at = row.next_start_at;
    dyno.exit_code = row.exit_code.map(i64::from);
    dyno.routed = row.routed;
    dyno.unrouted_at = row.unrouted_at;
    dyno.updated_at = now;
}

/// Where a web dyno listens.
pub fn address(dyno: &Dyno, seen: &ObservedDyno) -> Option<SocketAddr> {
    seen.address.map(|ip| SocketAddr::new(ip, spec::port(dyno.id)))
}

/// A container as the planner reads it.
pub fn observed(seen: &ObservedDyno, listening: bool) -> Observed {
    Observed {
        id: seen.id,
        state: match &seen.state {
            DynoState::Created => ObservedState::Created,
            DynoState::Running { started_at } => ObservedState::Running { started_at: *started_at, listening },
            DynoState::Exited { code, oom, finished_at } => ObservedState::Exited {
                code: i32::try_from(*code).unwrap_or(255),
                oom: *oom,
                finished_at: *finished_at,
            },
        },
    }
}
