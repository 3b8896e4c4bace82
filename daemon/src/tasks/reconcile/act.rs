//! One pass over one app: plan, and do the steps in their order. What a step does outside
//! (engine, router) comes before what is recorded of it, or is safe to repeat; a pass that
//! is cut off anywhere is made good by the next.

use std::{collections::HashMap, time::Duration};

use chrono::TimeDelta;
use futures_util::future::join_all;
use paas_domain::plan::{self, Create, DynoKind, ExitReason, KillReason, Phase, Step, StopReason};
use serde_json::json;
use uuid::Uuid;

use super::{Reconciler, phase, view};
use crate::{
    context::new_id,
    engine::{AppNetwork, DynoState, EngineError, ObservedDyno, Signal},
    error::{Error, Result},
    ops::{Platform, spec},
    store::{
        self,
        apps::App,
        dynos::{self, Dyno},
    },
};

/// How long an attached one-off waits for its user (R13).
const ATTACH_WAIT: TimeDelta = TimeDelta::seconds(30);

/// How long after a start that failed for good (no image, say) it is tried again.
const AFTER_REFUSAL: Duration = Duration::from_secs(15);

/// Looks at an app once and does what is to be done. Returns when to look again, if time
/// alone decides.
pub async fn pass(p: &Platform, r: &Reconciler, app_id: Uuid, seen: Vec<ObservedDyno>) -> Result<Option<Duration>> {
    let Some(app) = store::apps::by_id(&mut p.db.read().await?, app_id).await? else {
        for dyno in &seen {
            p.engine.remove(dyno.id).await?;
        }
        return Ok(None);
    };
    let mut rows = dynos::list(&mut p.db.read().await?, app_id).await?;
    if !app.deleting {
        rows.extend(phase::ensure(p, &app, &rows).await?);
    }
    let now = p.cx.now();
    let mut waits: Vec<Duration> = Vec::new();
    let seen: HashMap<Uuid, ObservedDyno> = seen.into_iter().map(|dyno| (dyno.id, dyno)).collect();
    // An attached one-off is started by the stream of whoever attaches.
    let (waiting, rows): (Vec<Dyno>, Vec<Dyno>) = rows.into_iter().partition(|row| {
        row.attach && row.phase == "starting" && row.request.is_none() && !app.deleting && !seen.contains_key(&row.id)
    });
    for dyno in waiting {
        let left = ATTACH_WAIT - (now - dyno.created_at);
        match left.to_std() {
            Ok(left) if !left.is_zero() => waits.push(left),
            Ok(_) | Err(_) => nobody_came(p, &app, dyno).await?,
        }
    }
    let mut words = Vec::with_capacity(rows.len());
    for row in &rows {
        words.push(view::row(row)?);
    }
    let mut observed = Vec::with_capacity(seen.len());
    for dyno in seen.values() {
        observed.push(view::observed(dyno, listening(r, &rows, dyno)));
    }
    let desired = view::desired(p, &app, r.routes().acknowledged(app_id)).await?;
    let plan = plan::plan(&desired, &words, &observed, &view::policy(p.cx.config()), now);
    if plan.steps.is_empty() {
        if let Some(at) = plan.wake_at {
            waits.push((at - now).to_std().unwrap_or_default());
        }
        return Ok(waits.into_iter().min());
    }
    let mut at_work = AtWork { p, r, app: &app, rows: rows.into_iter().map(|row| (row.id, row)).collect(), seen };
    let refused = at_work.steps(plan.steps).await?;
    Ok(Some(if refused { AFTER_REFUSAL } else { Duration::ZERO }))
}

fn listening(r: &Reconciler, rows: &[Dyno], seen: &ObservedDyno) -> bool {
    let Some(row) = rows.iter().find(|row| row.id == seen.id) else { return false };
    if !spec::listens(row) || row.phase == "up" {
        return true;
    }
    let (DynoState::Running { .. }, Some(address)) = (&seen.state, view::address(row, seen)) else { return false };
    let (reconciler, app_id) = (r.clone(), row.app_id);
    r.probes().listening(row.id, address, move || reconciler.look_at(app_id))
}

async fn nobody_came(p: &Platform, app: &App, mut dyno: Dyno) -> Result<()> {
    let now = p.cx.now();
    dyno.phase = Phase::Exited.to_string();
    dyno.phase_at = now;
    dyno.updated_at = now;
    let mut tx = p.db.begin().await?;
    dynos::update(&mut tx, &dyno).await?;
    tx.commit(None).await?;
    p.logs.platform(app.id, &dyno.name(), "Error R13 (Attach error) -> Failed to attach to process");
    Ok(())
}

struct AtWork<'a> {
    p: &'a Platform,
    r: &'a Reconciler,
    app: &'a App,
    rows: HashMap<Uuid, Dyno>,
    seen: HashMap<Uuid, ObservedDyno>,
}

impl AtWork<'_> {
    /// Does the steps; starts and removals that stand side by side are done at once.
    /// Whether a start was refused for a reason that time alone does not mend.
    async fn steps(&mut self, steps: Vec<Step>) -> Result<bool> {
        let mut refused = false;
        let mut starts: Vec<Uuid> = Vec::new();
        let mut removals: Vec<Uuid> = Vec::new();
        for step in steps {
            match &step {
                Step::Create(create) => starts.push(self.create(create).await?),
                Step::Start { id } => starts.push(*id),
                Step::Remove { id } => removals.push(*id),
                Step::MarkUp { .. }
                | Step::MarkCrashed { .. }
                | Step::MarkExited { .. }
                | Step::Stop { .. }
                | Step::Kill { .. }
                | Step::RemoveStray { .. }
                | Step::Routes(..)
                | Step::RolloutStalled { .. } => {
                    refused |= self.start_all(&mut starts).await?;
                    self.remove_all(&mut removals).await?;
                    self.one(&step).await?;
                }
            }
        }
        refused |= self.start_all(&mut starts).await?;
        self.remove_all(&mut removals).await?;
        Ok(refused)
    }

    async fn one(&mut self, step: &Step) -> Result<()> {
        match step {
            Step::MarkUp { id, .. } => {
                let address = self.seen.get(id).and_then(|seen| seen.address);
                if let Some(row) = self.rows.get_mut(id) {
                    row.address = address.map(|ip| ip.to_string());
                }
                self.record(*id, step).await?;
                self.say(*id, "State changed from starting to up");
            }
            Step::MarkCrashed { id, exit, .. } => {
                let before = self.rows.get(id).map(|row| row.phase.clone()).unwrap_or_default();
                self.ended(*id, *exit);
                self.record(*id, step).await?;
                self.say(*id, &format!("State changed from {before} to crashed"));
                self.r.probes().forget(*id);
            }
            Step::MarkExited { id, code } => {
                let formation = self.rows.get(id).is_some_and(|row| row.kind == DynoKind::Formation.as_str());
                self.say(*id, &format!("Process exited with status {code}"));
                self.record(*id, step).await?;
                self.say(
                    *id,
                    if formation { "State changed from up to down" } else { "State changed from up to complete" },
                );
                self.r.probes().forget(*id);
                self.phase_ended(*id, i64::from(*code)).await?;
            }
            Step::Stop { id, reason } => {
                if matches!(reason, StopReason::Restart | StopReason::Deploy | StopReason::Resize) {
                    self.say(*id, "Restarting");
                }
                self.say(*id, "Stopping all processes with SIGTERM");
                self.p.engine.signal(*id, Signal::Term).await?;
                self.record(*id, step).await?;
            }
            Step::Kill { id, reason } => {
                self.say(*id, &self.kill_text(*reason));
                self.say(*id, "Stopping process with SIGKILL");
                self.p.engine.signal(*id, Signal::Kill).await?;
                self.record(*id, step).await?;
            }
            Step::RemoveStray { id } => self.p.engine.remove(*id).await?,
            Step::Routes(dynos, state) => self.route(dynos, *state, step).await?,
            Step::RolloutStalled { process_type, release, why } => {
                let mut tx = self.p.db.begin().await?;
                store::releases::set_stalled(&mut tx, self.app.id, *release).await?;
                tx.commit(None).await?;
                let text = format!(
                    "Release v{release} does not come up ({}). The dynos of the release before go on serving. Mend it and deploy again, or: paas rollback",
                    reason_text(*why)
                );
                self.p.logs.platform(self.app.id, process_type, &text);
            }
            Step::Create(_) | Step::Start { .. } | Step::Remove { .. } => {}
        }
        Ok(())
    }

    fn kill_text(&self, reason: KillReason) -> String {
        let config = self.p.cx.config();
        match reason {
            KillReason::ExitTimeout => format!(
                "Error R12 (Exit timeout) -> At least one process failed to exit within {} seconds of SIGTERM",
                config.stop_grace_s
            ),
            KillReason::BootTimeout => format!(
                "Error R10 (Boot timeout) -> Web process failed to bind to $PORT within {} seconds of launch",
                config.boot_timeout_s
            ),
            KillReason::MemoryVastly => "Error R15 (Memory quota vastly exceeded)".to_owned(),
        }
    }

    fn ended(&self, id: Uuid, exit: ExitReason) {
        match exit {
            ExitReason::Oom => {
                self.say(id, "Error R15 (Memory quota vastly exceeded)");
                self.say(id, "Stopping process with SIGKILL");
            }
            ExitReason::Lost => self.say(id, "The dyno's container is gone; it is started anew"),
            ExitReason::Code(_) | ExitReason::BootTimeout => {}
        }
        self.say(id, &format!("Process exited with status {}", exit.code()));
    }

    /// The row of a new dyno. A release that is not there is an error, so that the app is
    /// tried again after a while and not at once and for ever.
    async fn create(&mut self, create: &Create) -> Result<Uuid> {
        let now = self.p.cx.now();
        let mut tx = self.p.db.begin().await?;
        let release = store::releases::by_version(&mut tx, self.app.id, create.release_version).await?;
        let release = release.ok_or_else(|| {
            Error::Unavailable(format!("Release v{} of {} is not there.", create.release_version, self.app.name))
        })?;
        let row = plan::DynoRow::new(new_id(), create, now);
        let mut dyno = Dyno {
            id: row.id,
            app_id: self.app.id,
            kind: row.kind.to_string(),
            process_type: row.process_type.clone(),
            number: i64::from(row.number),
            release_id: release.id,
            release_version: row.release_version,
            size: row.size.clone(),
            command: row.command.clone(),
            epoch: row.epoch,
            phase: row.phase.to_string(),
            phase_at: now,
            created_at: now,
            updated_at: now,
            started_at: None,
            stop_at: None,
            stop_reason: None,
            killed_at: None,
            kill_reason: None,
            request: None,
            crashes: 0,
            next_start_at: None,
            exit_code: None,
            time_to_live: None,
            attach: false,
            tty: false,
            env: None,
            user_id: None,
            address: None,
            routed: false,
            unrouted_at: None,
            attributes: sqlx::types::Json(json!({})),
        };
        view::write_back(&mut dyno, &row, now);
        dynos::insert(&mut tx, &dyno).await?;
        tx.commit(None).await?;
        let id = dyno.id;
        self.rows.insert(id, dyno);
        Ok(id)
    }

    async fn start_all(&mut self, ids: &mut Vec<Uuid>) -> Result<bool> {
        let ids = std::mem::take(ids);
        let results = join_all(ids.iter().filter_map(|id| self.rows.get(id)).map(|row| self.start(row))).await;
        let mut refused = false;
        let mut failure = None;
        for result in results {
            match result {
                Ok(None) => {}
                Ok(Some(dyno)) => {
                    refused |= dyno.attributes.get("refused").is_some();
                    self.rows.insert(dyno.id, dyno);
                }
                Err(error) => failure = Some(error),
            }
        }
        match failure {
            Some(error) => Err(error),
            None => Ok(refused),
        }
    }

    /// Starts one. A refusal that time alone does not mend is told to its user once, and
    /// remembered with the row, which is returned.
    async fn start(&self, row: &Dyno) -> Result<Option<Dyno>> {
        let announced = row.attributes.get("announced").is_some();
        if !announced {
            self.say(row.id, &format!("Starting process with command `{}`", row.command));
        }
        let spec = match spec::build(self.p, self.app, row).await {
            Ok(spec) => Ok(spec),
            Err(error @ (Error::Unavailable(_) | Error::Internal { .. })) => Err(error),
            Err(error) => return Ok(Some(self.refuse(row, &error.to_string()).await?)),
        };
        let error = match spec {
            Ok(spec) => match self.p.engine.start(&spec).await {
                Ok(()) if announced => return Ok(None),
                Ok(()) => return Ok(Some(self.attribute(row, "announced", json!(true)).await?)),
                Err(
                    error @ (EngineError::NoSuchImage { .. } | EngineError::Setting(_) | EngineError::Other { .. }),
                ) => {
                    tracing::warn!(app = self.app.name, dyno = row.name(), %error, "a dyno could not be started");
                    return Ok(Some(self.refuse(row, &error.to_string()).await?));
                }
                Err(error) => error.into(),
            },
            Err(error) => error,
        };
        if !announced {
            self.attribute(row, "announced", json!(true)).await?;
        }
        Err(error)
    }

    async fn refuse(&self, row: &Dyno, why: &str) -> Result<Dyno> {
        if row.attributes.get("refused").and_then(|v| v.as_str()) != Some(why) {
            self.say(row.id, &format!("Error R99 (Platform error) -> The dyno could not be started: {why}"));
        }
        let row = self.attribute(row, "announced", json!(true)).await?;
        self.attribute(&row, "refused", json!(why)).await
    }

    async fn attribute(&self, row: &Dyno, key: &str, value: serde_json::Value) -> Result<Dyno> {
        let mut row = row.clone();
        if let Some(map) = row.attributes.0.as_object_mut() {
            map.insert(key.to_owned(), value);
        }
        let mut tx = self.p.db.begin().await?;
        dynos::update(&mut tx, &row).await?;
        tx.commit(None).await?;
        Ok(row)
    }

    async fn remove_all(&mut self, ids: &mut Vec<Uuid>) -> Result<()> {
        let ids = std::mem::take(ids);
        for result in join_all(ids.iter().map(|id| self.remove(*id))).await {
            result?;
        }
        for id in ids {
            self.rows.remove(&id);
        }
        Ok(())
    }

    /// Its output first, then its container, then its row.
    async fn remove(&self, id: Uuid) -> Result<()> {
        // What was only made has said nothing, and nobody reads it.
        if self.seen.get(&id).is_some_and(|seen| seen.state != DynoState::Created) {
            self.r.drained(id).await;
        }
        self.p.engine.remove(id).await?;
        self.r.probes().forget(id);
        let mut tx = self.p.db.begin().await?;
        dynos::delete(&mut tx, id).await?;
        tx.commit(None).await?;
        Ok(())
    }

    async fn route(&mut self, routed: &[Uuid], state: plan::RouteState, step: &Step) -> Result<()> {
        let now = self.p.cx.now();
        for id in routed {
            let address = self.seen.get(id).and_then(|seen| seen.address);
            if let (Some(row), Some(ip)) = (self.rows.get_mut(id), address) {
                row.address = Some(ip.to_string());
            }
        }
        let mut tx = self.p.db.begin().await?;
        for dyno in self.rows.values_mut() {
            let mut row = view::row(dyno)?;
            let (routed, unrouted_at, address) = (row.routed, row.unrouted_at, dyno.address.clone());
            row.record(step, now);
            view::write_back(dyno, &row, now);
            if (routed, unrouted_at) != (row.routed, row.unrouted_at) || address.is_some() && row.routed {
                dynos::update(&mut tx, dyno).await?;
            }
        }
        store::apps::set_route_state(&mut tx, self.app.id, state.as_str()).await?;
        tx.commit(None).await?;
        self.r.routes().changed(self.app.id).await
    }

    async fn record(&mut self, id: Uuid, step: &Step) -> Result<()> {
        let now = self.p.cx.now();
        let Some(dyno) = self.rows.get_mut(&id) else { return Ok(()) };
        let mut row = view::row(dyno)?;
        row.record(step, now);
        view::write_back(dyno, &row, now);
        let mut tx = self.p.db.begin().await?;
        dynos::update(&mut tx, dyno).await?;
        tx.commit(None).await?;
        Ok(())
    }

    async fn phase_ended(&self, id: Uuid, code: i64) -> Result<()> {
        match self.rows.get(&id) {
            Some(row) if row.kind == DynoKind::Release.as_str() => phase::ended(self.p, row, code).await,
            Some(_) | None => Ok(()),
        }
    }

    fn say(&self, id: Uuid, text: &str) {
        if let Some(row) = self.rows.get(&id) {
            self.p.logs.platform(self.app.id, &row.name(), text);
        }
    }
}

fn reason_text(why: ExitReason) -> String {
    match why {
        ExitReason::Code(code) => format!("its web process exits with status {code}"),
        ExitReason::BootTimeout => "its web process does not bind to $PORT in time".to_owned(),
        ExitReason::Oom => "its web process runs out of memory".to_owned(),
        ExitReason::Lost => "its container was lost".to_owned(),
    }
}

/// Removes what an app that is gone leaves on the engine: its network.
pub async fn remove_network(p: &Platform, app: &AppNetwork) -> Result<(), EngineError> {
    p.engine.remove_network(app.app_id).await
}
