//! Sends apps' lines to their drains, and what is measured to telemetry drains.
//!
//! Each drain is a task of its own ([`drain`]): it follows the log store from where its
//! receiver is, makes frames of what it reads ([`frame`], [`otlp`]) and sends one after the
//! other ([`send`]), again and again until it is taken. Nobody waits for a drain, and a drain
//! holds nothing but the frame on its way: what waits for its receiver waits in the store.
//! [`metrics`] measures for those who want that.
//!
//! How far each receiver is, is written down every few seconds and at the daemon's end. So an
//! orderly restart repeats nothing and loses nothing, and one after `kill -9` repeats the lines
//! of a few seconds.

mod drain;
mod frame;
mod metrics;
pub(crate) mod otlp;
mod send;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use tokio::{
    sync::{broadcast, watch},
    task::JoinHandle,
};
use uuid::Uuid;

use self::{
    drain::{Drain, Trouble},
    frame::Form,
    otlp::{Counts, Telemetry},
    send::Sender,
};
use crate::{
    error::Result,
    ops::{self, Platform, telemetry_drains::Exporter},
    outbound::{Outbound, Target},
    store::{Wake, apps, log_drains, telemetry_drains},
};

/// How often it looks without being woken, and how often it writes down how far receivers are.
const PERIOD: Duration = Duration::from_secs(5);

/// How long drains may take to end with the daemon.
const FAREWELL: Duration = Duration::from_secs(4);

/// Which table a drain is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Table {
    Log,
    Telemetry,
}

/// A drain as the rows have it.
struct Wanted {
    id: Uuid,
    table: Table,
    app_id: Uuid,
    position: u64,
    version: (DateTime<Utc>, String),
    what: What,
}

enum What {
    Log { token: String, url: String },
    Telemetry { app_name: String, signals: Vec<String>, exporter: Exporter },
}

/// A drain that is served.
struct Running {
    table: Table,
    version: (DateTime<Utc>, String),
    position: Arc<AtomicU64>,
    saved: u64,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let outbound = loop {
        match Outbound::new(p.cx.config()) {
            Ok(outbound) => break outbound,
            Err(error) => tracing::warn!(%error, "drains can't be served; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(PERIOD * 6) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
    };
    let mut wakes = p.db.wakes();
    let mut running = HashMap::new();
    loop {
        if let Err(error) = pass(&p, &outbound, &mut running, &stop).await {
            tracing::warn!(%error, "the drains could not be looked after; trying again");
        }
        if let Err(error) = save(&p, &mut running).await {
            tracing::warn!(%error, "how far drains are could not be written down; trying again");
        }
        tokio::select! {
            () = relevant(&mut wakes) => {}
            () = tokio::time::sleep(PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    let ends = running.values_mut().flat_map(|drain| std::mem::take(&mut drain.tasks));
    let _ = tokio::time::timeout(FAREWELL, futures_util::future::join_all(ends)).await;
    if let Err(error) = save(&p, &mut running).await {
        tracing::warn!(%error, "how far drains are could not be written down: some lines may be sent again");
    }
}

/// Waits for a change that may concern a drain.
async fn relevant(wakes: &mut broadcast::Receiver<Wake>) {
    loop {
        match wakes.recv().await {
            Ok(wake) => {
                let kinds = ["log-drain.", "telemetry-drain.", "app.", "addon."];
                if kinds.iter().any(|kind| wake.kind.starts_with(kind)) {
                    return;
                }
            }
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// One look: a task for each drain that has none, none for those that are gone.
async fn pass(
    p: &Platform,
    outbound: &Outbound,
    running: &mut HashMap<Uuid, Running>,
    stop: &watch::Receiver<bool>,
) -> Result<()> {
    let wanted = wanted(p).await?;
    running.retain(|id, _| wanted.iter().any(|drain| drain.id == *id));
    for drain in wanted {
        let before = running.get(&drain.id);
        if before.is_some_and(|before| before.version == drain.version) {
            continue;
        }
        // One that has changed goes on where its receiver is now.
        let position = before.map_or(drain.position, |before| before.position.load(Ordering::Relaxed));
        running.remove(&drain.id);
        let id = drain.id;
        match start(p, outbound, drain, position, stop) {
            Ok(started) => {
                running.insert(id, started);
            }
            Err(why) => tracing::warn!(drain.id = %id, why, "a drain can't be served"),
        }
    }
    Ok(())
}

/// Where a drain sends; one that can't be read is left out, and holds up no other.
fn readable<T>(id: Uuid, read: Result<T>) -> Option<T> {
    read.inspect_err(|error| tracing::warn!(drain.id = %id, %error, "a drain is left out")).ok()
}

async fn wanted(p: &Platform) -> Result<Vec<Wanted>> {
    let mut c = p.db.read().await?;
    let logs = log_drains::all(&mut c).await?;
    let telemetry = telemetry_drains::all(&mut c).await?;
    let names: HashMap<Uuid, String> = match telemetry.is_empty() {
        true => HashMap::new(),
        false => apps::list(&mut c).await?.into_iter().map(|app| (app.id, app.name)).collect(),
    };
    drop(c);
    let at = |position: i64| u64::try_from(position).unwrap_or_default();
    let mut wanted = Vec::with_capacity(logs.len() + telemetry.len());
    for row in logs {
        let Some(url) = readable(row.id, ops::log_drains::url(p, &row)) else { continue };
        wanted.push(Wanted {
            id: row.id,
            table: Table::Log,
            app_id: row.app_id,
            position: at(row.position),
            version: (row.updated_at, String::new()),
            what: What::Log { token: row.token, url },
        });
    }
    for row in telemetry {
        let Some(exporter) = readable(row.id, ops::telemetry_drains::exporter(p, &row)) else { continue };
        let app_name = names.get(&row.app_id).cloned().unwrap_or_default();
        wanted.push(Wanted {
            id: row.id,
            table: Table::Telemetry,
            app_id: row.app_id,
            position: at(row.position),
            version: (row.updated_at, app_name.clone()),
            what: What::Telemetry { app_name, signals: row.signals.0, exporter },
        });
    }
    Ok(wanted)
}

fn start(
    p: &Platform,
    outbound: &Outbound,
    wanted: Wanted,
    position: u64,
    stop: &watch::Receiver<bool>,
) -> Result<Running, String> {
    let place = Arc::new(AtomicU64::new(position));
    let mut tasks = Vec::new();
    let (name, form, sender) = match wanted.what {
        What::Log { token, url } => {
            let target = Target::parse(&url)?;
            let syslog = target.scheme().is_syslog();
            let form = if syslog { Form::Syslog(token.clone()) } else { Form::Logplex(token.clone()) };
            (token, form, Sender::new(outbound.clone(), target, &[]))
        }
        What::Telemetry { app_name, signals, exporter } => {
            let target = Target::parse(&exporter.endpoint)?;
            let headers: Vec<(&str, &str)> =
                exporter.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let wants = |signal: &str| signals.iter().any(|wanted| wanted == signal);
            let counts = Arc::new(Counts::new(p.cx.now()));
            let telemetry = Telemetry {
                app_id: wanted.app_id,
                app_name,
                logs: wants("logs"),
                traces: wants("traces"),
                counts: counts.clone(),
            };
            if wants("metrics") {
                let sender = Sender::new(outbound.clone(), target.clone(), &headers);
                let resource = telemetry.clone();
                let trouble = Trouble::new(p, wanted.app_id, wanted.id.to_string());
                tasks.push(tokio::spawn(metrics::run(p.clone(), resource, sender, trouble, stop.clone())));
            }
            (wanted.id.to_string(), Form::Otlp(telemetry), Sender::new(outbound.clone(), target, &headers))
        }
    };
    let drain = Drain { p: p.clone(), app_id: wanted.app_id, name, form, sender, position: place.clone() };
    tasks.push(tokio::spawn(drain.run(stop.clone())));
    Ok(Running { table: wanted.table, version: wanted.version, position: place, saved: wanted.position, tasks })
}

/// Writes down how far receivers are, where that has changed.
async fn save(p: &Platform, running: &mut HashMap<Uuid, Running>) -> Result<()> {
    let moved: Vec<(Uuid, Table, u64)> = running
        .iter()
        .map(|(id, drain)| (*id, drain.table, drain.position.load(Ordering::Relaxed), drain.saved))
        .filter(|(_, _, now, saved)| now != saved)
        .map(|(id, table, now, _)| (id, table, now))
        .collect();
    if moved.is_empty() {
        return Ok(());
    }
    let mut tx = p.db.begin().await?;
    for (id, table, now) in &moved {
        let position = i64::try_from(*now).unwrap_or(i64::MAX);
        match table {
            Table::Log => log_drains::set_position(&mut tx, *id, position).await?,
            Table::Telemetry => telemetry_drains::set_position(&mut tx, *id, position).await?,
        }
    }
    tx.commit(None).await?;
    for (id, _, now) in moved {
        if let Some(drain) = running.get_mut(&id) {
            drain.saved = now;
        }
    }
    Ok(())
}
