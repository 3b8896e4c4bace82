//! Telemetry drains: an app's logs, metrics and traces in OpenTelemetry's form.
//! `tasks/drains` sends them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::types::Json;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, Permission},
};
use crate::{
    context::new_id,
    error::{Error, Result},
    outbound::{Guard, Target, target::Scheme},
    store::{
        apps::App,
        events::Event,
        telemetry_drains::{self, TelemetryDrain},
    },
};

/// Most drains of an app.
pub const MOST: usize = 25;

/// Most headers of a drain, and the longest names, values and addresses (Heroku's limits).
const MOST_HEADERS: usize = 20;
const LONGEST_NAME: usize = 100;
const LONGEST_VALUE: usize = 1_000;

/// The signals that there are.
pub const SIGNALS: [&str; 3] = ["traces", "metrics", "logs"];

/// Where a drain sends; a secret, for what its headers carry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exporter {
    /// The address, to whose end `/v1/logs` and the like is put.
    pub endpoint: String,
    /// Sent with every request.
    pub headers: BTreeMap<String, String>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

/// A drain with what is shown of it.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The drain.
    pub drain: TelemetryDrain,
    /// Where it sends.
    pub exporter: Exporter,
    /// Its app.
    pub app: App,
}

/// What may be changed; nothing stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    /// By name.
    pub signals: Option<Vec<String>>,
    /// Where to.
    pub endpoint: Option<String>,
    /// In the place of all that were.
    pub headers: Option<BTreeMap<String, String>>,
    /// Whether gRPC is asked for.
    pub grpc: bool,
}

fn place(id: Uuid) -> String {
    format!("telemetry-drain/{id}")
}

/// Where a drain sends.
pub fn exporter(p: &Platform, drain: &TelemetryDrain) -> Result<Exporter> {
    let text = p.cx.sealer().open(&place(drain.id), &drain.exporter);
    let text = text.map_err(|e| Error::internal("A telemetry drain's address can't be read.", e))?;
    serde_json::from_slice(&text).map_err(|e| Error::internal("A telemetry drain's address can't be read.", e))
}

fn seal(p: &Platform, id: Uuid, exporter: &Exporter) -> Result<Vec<u8>> {
    let text =
        serde_json::to_vec(exporter).map_err(|e| Error::internal("The drain's address could not be kept.", e))?;
    Ok(p.cx.sealer().seal(&place(id), &text))
}

/// The drains of an app, oldest first.
pub async fn list(p: &Platform, app: &App) -> Result<Vec<Shown>> {
    let rows = telemetry_drains::list(&mut p.db.read().await?, app.id).await?;
    rows.into_iter().map(|drain| Ok(Shown { exporter: exporter(p, &drain)?, drain, app: app.clone() })).collect()
}

/// One by its identity, for somebody who may operate its app; nobody else is told of it.
pub async fn find(p: &Platform, actor: &Actor, id: &str) -> Result<Shown> {
    let gone = || Error::not_found("telemetry_drain", id);
    let id: Uuid = id.parse().map_err(|_| gone())?;
    let drain = telemetry_drains::by_id(&mut p.db.read().await?, id).await?.ok_or_else(gone)?;
    let app = match apps::find_for(p, actor, &drain.app_id.to_string(), Permission::Operate).await {
        Err(Error::Forbidden(_)) => return Err(gone()),
        found => found?,
    };
    Ok(Shown { exporter: exporter(p, &drain)?, drain, app })
}

fn check(p: &Platform, exporter: &Exporter) -> Result<Target> {
    let wrong = |why: &str| Error::invalid(format!("exporter.endpoint: {why}"));
    if exporter.endpoint.len() > LONGEST_VALUE {
        return Err(wrong("it is longer than 1000 characters."));
    }
    let target = Target::parse(&exporter.endpoint)
        .ok()
        .filter(|target| matches!(target.scheme(), Scheme::Http | Scheme::Https))
        .ok_or_else(|| wrong("the https:// or http:// address of a receiver of OTLP is needed."))?;
    let ip = target.host().parse::<std::net::IpAddr>().ok();
    if let Some(why) = ip.and_then(|ip| Guard::new(p.cx.config()).refusal((ip, target.port()).into())) {
        return Err(wrong(&format!("{} {why}.", target.host())));
    }
    if exporter.headers.len() > MOST_HEADERS {
        return Err(Error::invalid(format!("exporter.headers: there may be {MOST_HEADERS} at most.")));
    }
    for (name, value) in &exporter.headers {
        let good = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
        if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(good) {
            return Err(Error::invalid(
                "exporter.headers: names are of letters, digits, - and _, 100 of them at most.",
            ));
        }
        let own = ["host", "content-length", "content-type", "transfer-encoding", "connection"];
        if own.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            return Err(Error::invalid(format!("exporter.headers: {name} is set by the exporter itself.")));
        }
        // No header carries anything else.
        if value.len() > LONGEST_VALUE || value.chars().any(|c| c.is_control() || !c.is_ascii()) {
            return Err(Error::invalid(format!(
                "exporter.headers: the value of {name} must be of at most 1000 plain ASCII characters."
            )));
        }
    }
    Ok(target)
}

fn check_signals(signals: &[String]) -> Result<()> {
    let mut sorted: Vec<&String> = signals.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    if sorted.is_empty() || sorted.len() != signals.len() {
        return Err(Error::invalid("signals: name one or more of traces, metrics and logs, each once."));
    }
    Ok(())
}

fn check_transport(grpc: bool) -> Result<()> {
    if grpc {
        return Err(Error::invalid(
            "exporter.type: otlp (gRPC) is not available on this server. Use otlphttp: receivers of one take the other, mostly at port 4318 in place of 4317.",
        ));
    }
    Ok(())
}

/// Adds one to an app: it gets what is said and measured from now on.
pub async fn add(
    p: &Platform,
    actor: &Actor,
    app: &App,
    signals: Vec<String>,
    exporter: Exporter,
    grpc: bool,
) -> Result<Shown> {
    check_transport(grpc)?;
    check_signals(&signals)?;
    let target = check(p, &exporter)?;
    let end = p.logs.store().end(app.id).await.map_err(|e| Error::Unavailable(e.to_string()))?;
    let (id, now) = (new_id(), p.cx.now());
    let drain = TelemetryDrain {
        id,
        app_id: app.id,
        signals: Json(signals),
        exporter: seal(p, id, &exporter)?,
        position: i64::try_from(end).unwrap_or(i64::MAX),
        created_at: now,
        updated_at: now,
    };
    let mut change = p.change(app.id).await?;
    if telemetry_drains::list(&mut change, app.id).await?.len() >= MOST {
        return Err(Error::invalid(format!("You've reached the limit of {MOST} telemetry drains for this app.")));
    }
    telemetry_drains::insert(&mut change, &drain).await?;
    let data = json!({"id": id, "signals": drain.signals.0, "to": target.shown()});
    p.commit(change, Event::new("telemetry-drain.create", actor.name(), data)).await?;
    p.tell(app.id, format!("Add telemetry drain to {} by user {}", target.shown(), actor.name()));
    Ok(Shown { drain, exporter, app: app.clone() })
}

fn gone(id: Uuid) -> Error {
    Error::not_found("telemetry_drain", id.to_string())
}

/// Changes one.
pub async fn update(p: &Platform, actor: &Actor, found: Shown, changes: Changes) -> Result<Shown> {
    check_transport(changes.grpc)?;
    let mut change = p.change(found.drain.app_id).await?;
    // As it is now: others may have changed it meanwhile.
    let row = telemetry_drains::by_id(&mut change, found.drain.id).await?.ok_or_else(|| gone(found.drain.id))?;
    let before = self::exporter(p, &row)?;
    let exporter = Exporter {
        endpoint: changes.endpoint.unwrap_or(before.endpoint),
        headers: changes.headers.unwrap_or(before.headers),
    };
    let signals = changes.signals.unwrap_or(row.signals.0);
    check_signals(&signals)?;
    let target = check(p, &exporter)?;
    let drain =
        TelemetryDrain { signals: Json(signals), exporter: seal(p, row.id, &exporter)?, updated_at: p.cx.now(), ..row };
    telemetry_drains::update(&mut change, &drain).await?;
    let data = json!({"id": drain.id, "signals": drain.signals.0, "to": target.shown()});
    p.commit(change, Event::new("telemetry-drain.update", actor.name(), data)).await?;
    Ok(Shown { drain, exporter, app: found.app })
}

/// Removes one.
pub async fn remove(p: &Platform, actor: &Actor, found: Shown) -> Result<Shown> {
    let mut change = p.change(found.drain.app_id).await?;
    if !telemetry_drains::delete(&mut change, found.drain.id).await? {
        return Err(gone(found.drain.id));
    }
    let data = json!({"id": found.drain.id});
    p.commit(change, Event::new("telemetry-drain.destroy", actor.name(), data)).await?;
    p.tell(found.app.id, format!("Remove telemetry drain {} by user {}", found.drain.id, actor.name()));
    Ok(found)
}
