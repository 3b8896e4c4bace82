//! What the router says of itself, over its own socket.

use std::{collections::HashMap, path::Path, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use paas_domain::traffic::AppTraffic;
use tokio::net::UnixStream;
use uuid::Uuid;

use super::{
    Actor, Platform,
    apps::{self, Permission},
};
use crate::{
    error::{Error, Result},
    store::apps::App,
};

/// Where it answers, in the data directory.
pub const SOCKET: &str = "run/router.sock";

/// How long it may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Asks the router for `path`; why there is no answer, if there is none.
pub async fn ask(socket: &Path, path: &str) -> Result<Bytes, String> {
    let ask = async {
        let stream = UnixStream::connect(socket).await.map_err(|e| e.to_string())?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|e| e.to_string())?;
        let request = hyper::Request::get(path).header("Host", "router").body(Empty::<Bytes>::new());
        let request = request.map_err(|e| e.to_string())?;
        let answer = async {
            let response = sender.send_request(request).await.map_err(|e| e.to_string())?;
            let status = response.status();
            let body = response.into_body().collect().await.map_err(|e| e.to_string())?.to_bytes();
            if status.is_success() { Ok(body) } else { Err(format!("it answers {status}")) }
        };
        tokio::pin!(answer);
        tokio::select! {
            answer = &mut answer => answer,
            // The connection's end may come with the last of the answer.
            _ = connection => answer.await,
        }
    };
    match tokio::time::timeout(PATIENCE, ask).await {
        Ok(answer) => answer,
        Err(_) => Err(format!("it does not answer within {} s", PATIENCE.as_secs())),
    }
}

/// The router as it says it is; a router of another version may leave something out.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(default)]
pub struct Said {
    /// Process.
    pub pid: u32,
    /// Of the program.
    pub version: String,
    /// Since its start.
    pub uptime_seconds: u64,
    /// Of the table in use.
    pub generation: u64,
    /// Apps in it.
    pub apps: u64,
    /// Whether it follows this daemon.
    pub daemon_connected: bool,
    /// Client connections and tunnels that are open.
    pub connections: u64,
    /// Requests that wait for a dyno.
    pub waiting: u64,
    /// Where it takes HTTP.
    pub http: Vec<String>,
    /// Where it takes HTTPS.
    pub https: Vec<String>,
    /// Access lines on their way.
    pub log_waiting: u64,
    /// Access lines that were lost.
    pub log_dropped: u64,
    /// Dynos.
    pub backends: Vec<Backend>,
}

/// A dyno as the router sees it.
#[derive(Debug, Clone, serde::Deserialize)]
pub struct Backend {
    /// Its app.
    pub app_id: Uuid,
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub dyno: String,
    /// Whether new requests go to it.
    pub current: bool,
    /// Whether it is left alone for a while.
    pub quarantined: bool,
    /// Requests and tunnels on it.
    pub in_flight: u64,
}

/// An app as the router sees it.
#[derive(Debug, Clone)]
pub struct AppShown {
    /// Which.
    pub app: App,
    /// Its dynos.
    pub dynos: Vec<Backend>,
    /// Its requests, if it had any.
    pub traffic: Option<AppTraffic>,
}

/// What somebody is told.
#[derive(Debug, Clone)]
pub struct Shown {
    /// The router; nothing where none answers.
    pub router: Option<Said>,
    /// When it started.
    pub started_at: Option<DateTime<Utc>>,
    /// Their apps.
    pub apps: Vec<AppShown>,
}

/// How the router is, and the apps that somebody may see, as far as there is something to tell
/// of them; of one app, if it is named.
pub async fn show(p: &Platform, actor: &Actor, only: Option<&str>) -> Result<Shown> {
    let apps = match only {
        Some(name) => vec![apps::find_for(p, actor, name, Permission::View).await?],
        None => apps::list(p, actor).await?.into_iter().map(|owned| owned.app).collect(),
    };
    let socket = p.cx.path(SOCKET);
    let (said, traffic) = tokio::join!(ask(&socket, "/status"), ask(&socket, "/apps"));
    let said = match said {
        Ok(said) => said,
        Err(why) => {
            tracing::warn!(%why, "somebody asks about the router, which does not answer");
            return Ok(Shown { router: None, started_at: None, apps: Vec::new() });
        }
    };
    let unreadable = |e| Error::internal("What the router says of itself can't be read.", e);
    let mut said: Said = serde_json::from_slice(&said).map_err(unreadable)?;
    // A router from before there were counts says nothing of them.
    let traffic: Vec<AppTraffic> = match traffic {
        Ok(traffic) => serde_json::from_slice(&traffic).map_err(unreadable)?,
        Err(_) => Vec::new(),
    };
    let mut traffic: HashMap<Uuid, AppTraffic> = traffic.into_iter().map(|of| (of.id, of)).collect();
    let mut dynos: HashMap<Uuid, Vec<Backend>> = HashMap::new();
    for backend in std::mem::take(&mut said.backends) {
        dynos.entry(backend.app_id).or_default().push(backend);
    }
    let shown = apps.into_iter().map(|app| {
        let mut dynos = dynos.remove(&app.id).unwrap_or_default();
        dynos.sort_by(|a, b| a.dyno.cmp(&b.dyno).then(a.id.cmp(&b.id)));
        AppShown { dynos, traffic: traffic.remove(&app.id), app }
    });
    let shown = shown.filter(|shown| only.is_some() || !shown.dynos.is_empty() || shown.traffic.is_some());
    let up = i64::try_from(said.uptime_seconds).ok().and_then(TimeDelta::try_seconds);
    let started_at = up.and_then(|up| p.cx.now().checked_sub_signed(up));
    Ok(Shown { apps: shown.collect(), router: Some(said), started_at })
}
