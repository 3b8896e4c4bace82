//! One pass over one app: plan, and do the steps in their order. What a step does outside
//! (engine, router) comes before what is recorded of it, or is safe to repeat; a pass that
//! is cut off anywhere is made good by the next.

use std::{collections::HashMap, time::Duration};

use futures_util::future::join_all;
use paas_domain::plan::{self, DynoKind, DynoRow, ExitReason, KillReason, Phase, Step, StopReason};
use uuid::Uuid;

use super::{super::router, Reconciler, attached, phase, view};
use crate::{
    engine::{AppNetwork, DynoState, EngineError, ObservedDyno, Signal},
    error::Result,
    ops::{self, Platform, scripts, spec},
    store::{
        self,
        apps::App,
        dynos::{self, Dyno},
    },
};

/// How soon it looks again at dynos that wait for their last requests.
const WHILE_BUSY: Duration = Duration::from_millis(250);

/// How long after a start that failed for good (no image, say) it is tried again.
const AFTER_REFUSAL: Duration = Duration::from_secs(15);

/// Looks at an app once and does what is to be done. Returns when to look again, if time
/// alone decides.
///
/// `seen` is what the engine shows of the app; without, it is asked.
pub async fn pass(
    p: &Platform,
    r: &Reconciler,
    app_id: Uuid,
    seen: Option<Vec<ObservedDyno>>,
) -> Result<Option<Duration>> {
    let seen = match seen {
        Some(seen) => seen,
        None => p.engine.list(Some(app_id)).await?,
    };
    let Some(app) = store::apps::by_id(&mut p.db.read().await?, app_id).await? else {
        for dyno in &seen {
            p.engine.remove(dyno.id).await?;
        }
        return Ok(None);
    };
    let mut rows = dynos::list(&mut p.db.read().await?, app_id).await?;
    let mut seen: HashMap<Uuid, ObservedDyno> = seen.into_iter().map(|dyno| (dyno.id, dyno)).collect();
    let mut waits: Vec<Duration> = Vec::new();
    if !app.deleting {
        rows.extend(phase::ensure(p, &app, &rows).await?);
        rows = attached::look(p, rows, &mut seen, &mut waits).await?;
    }
    let now = p.cx.now();
    let mut words = Vec::with_capacity(rows.len());
    for row in &rows {
        words.push(view::row(row)?);
    }
    let mut observed = Vec::with_capacity(seen.len());
    for dyno in seen.values() {
        observed.push(view::observed(dyno, listening(r, &rows, dyno)));
    }
    let mut desired = view::desired(p, &app, r.routes().acknowledged(app_id)).await?;
    desired.busy = busy(p, &words).await;
    if !desired.busy.is_empty() {
        waits.push(WHILE_BUSY);
    }
    let plan = plan::plan(&desired, &words, &observed, &view::policy(p.cx.config()), now);
    if let Some(at) = plan.wake_at {
        waits.push((at - now).to_std().unwrap_or_default());
    }
    if !plan.steps.is_empty() {
        let mut at_work = AtWork { p, r, app: &app, rows: rows.into_iter().map(|row| (row.id, row)).collect(), seen };
        let refused = at_work.steps(plan.steps).await?;
        waits.push(if refused { AFTER_REFUSAL } else { Duration::ZERO });
    }
    Ok(waits.into_iter().min())
}

/// Of the dynos that have left the routes, those that the router still has requests on.
async fn busy(p: &Platform, rows: &[DynoRow]) -> Vec<Uuid> {
    let left: Vec<Uuid> = rows
        .iter()
        .filter(|row| !row.routed && row.unrouted_at.is_some() && matches!(row.phase, Phase::Starting | Phase::Up))
        .map(|row| row.id)
        .collect();
    if left.is_empty() {
        return left;
    }
    let with_requests = router::with_requests(&router::status_socket(&p.cx)).await;
    left.into_iter().filter(|id| with_requests.contains(id)).collect()
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

/// What a pass works on.
pub(super) struct AtWork<'a> {
    pub(super) p: &'a Platform,
    pub(super) r: &'a Reconciler,
    pub(super) app: &'a App,
    pub(super) rows: HashMap<Uuid, Dyno>,
    pub(super) seen: HashMap<Uuid, ObservedDyno>,
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
        // A start that fails is no reason to keep what has ended.
        let started = self.start_all(&mut starts).await;
        self.remove_all(&mut removals).await?;
        Ok(refused | started?)
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
                let before = self.came_to(*id, *exit);
                self.ended(*id, *exit);
                self.record(*id, step).await?;
                self.say(*id, &format!("State changed from {before} to crashed"));
                self.r.probes().forget(*id);
            }
            Step::MarkExited { id, exit } => {
                let formation = self.rows.get(id).is_some_and(|row| row.kind == DynoKind::Formation.as_str());
                let (before, after) = (self.came_to(*id, *exit), if formation { "down" } else { "complete" });
                self.ended(*id, *exit);
                // Before it is recorded: a release command must not run again because the
                // daemon was killed between the two.
                self.phase_ended(*id, *exit).await?;
                self.record(*id, step).await?;
                self.say(*id, &format!("State changed from {before} to {after}"));
                self.r.probes().forget(*id);
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
            KillReason::DiskFull => {
                "Error R99 (Platform error) -> The machine's disk is nearly full, and this dyno has written the most to it".to_owned()
            }
        }
    }

    /// How far a dyno came: SIGTERM changes no state that users see. What runs once is up as
    /// soon as it runs, and may have ended before anybody looked.
    fn came_to(&self, id: Uuid, exit: ExitReason) -> &'static str {
        let ran_once = |row: &Dyno| row.kind != DynoKind::Formation.as_str() && exit != ExitReason::Unstarted;
        let up = self.rows.get(&id).is_some_and(|row| row.started_at.is_some() || ran_once(row));
        if up { "up" } else { "starting" }
    }

    fn ended(&self, id: Uuid, exit: ExitReason) {
        match exit {
            ExitReason::Oom => {
                self.say(id, "Error R15 (Memory quota vastly exceeded)");
                self.say(id, "Stopping process with SIGKILL");
            }
            ExitReason::Lost => self.say(id, "The dyno's container is gone"),
            ExitReason::Unstarted => return,
            ExitReason::Code(_) | ExitReason::BootTimeout => {}
        }
        self.say(id, &format!("Process exited with status {}", exit.code()));
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
        let (Some(row), Some(mut change)) = (self.rows.get(&id), self.p.db.change(self.app.id).await?) else {
            return Ok(());
        };
        dynos::delete(&mut change, id).await?;
        self.p.commit(change, ops::dynos::event("dyno.destroy", "paas", row)).await
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
        let before = dyno.phase.clone();
        row.record(step, now);
        view::write_back(dyno, &row, now);
        if dyno.phase == before {
            let mut tx = self.p.db.begin().await?;
            dynos::update(&mut tx, dyno).await?;
            tx.commit(None).await?;
            return Ok(());
        }
        // Another state, which users see: told of with the change itself.
        let Some(mut change) = self.p.db.change(self.app.id).await? else { return Ok(()) };
        dynos::update(&mut change, dyno).await?;
        self.p.commit(change, ops::dynos::event("dyno.update", "paas", dyno)).await
    }

    async fn phase_ended(&self, id: Uuid, exit: ExitReason) -> Result<()> {
        match self.rows.get(&id) {
            Some(row) if row.kind == DynoKind::Release.as_str() => phase::ended(self.p, row, exit).await,
            Some(row) if row.kind == DynoKind::Oneoff.as_str() => scripts::ended(self.p, row.id, exit.code()).await,
            Some(_) | None => Ok(()),
        }
    }

    pub(super) fn say(&self, id: Uuid, text: &str) {
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
        ExitReason::Lost | ExitReason::Unstarted => "its container was lost".to_owned(),
    }
}

/// Removes what an app that is gone leaves on the engine: its network.
pub async fn remove_network(p: &Platform, app: &AppNetwork) -> Result<(), EngineError> {
    p.engine.remove_network(app.app_id).await
}
