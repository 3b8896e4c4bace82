//! The engine that speaks to Docker, by its API alone (no `docker` program is called).
//!
//! A dyno is one container: the stack image read-only, `/app` a copy-on-write overlay of the
//! unpacked slug ([`overlay`]), `/tmp` a directory of its own, our init as PID 1, no
//! capabilities, no published port, one bridge network per app ([`network`]) and a firewall
//! between the bridges and the host ([`firewall`]). Containers are named after the dyno's id,
//! which makes starting idempotent, and labelled with everything that [`observe`] reads back.
//!
//! Start with [`dyno`] (start, signal, remove); [`service`] is the same for add-ons,
//! [`sandbox`] for builds; [`output`], [`attach`] and [`usage`] look into running ones.

mod attach;
mod client;
mod dyno;
mod firewall;
mod names;
mod network;
mod observe;
mod output;
mod overlay;
mod sandbox;
mod service;
mod usage;

use std::sync::Arc;

use async_trait::async_trait;
use bollard::Docker;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use tokio::sync::{Mutex, OnceCell};
use uuid::Uuid;

pub use sandbox::DockerSandbox;

use super::{
    AppNetwork, DynoSpec, Engine, EngineConfig, ExecSpec, Node, ObservedDyno, ObservedService, OutputLine, Owned,
    Result, ServiceNetwork, ServiceSpec, Session, Signal, Target, Usage,
};

/// Docker on one machine. Cheap to clone; all clones are one engine.
#[derive(Clone)]
pub struct DockerEngine {
    inner: Arc<Inner>,
}

struct Inner {
    config: EngineConfig,
    /// Connected and the API version agreed on, once somebody has answered.
    docker: OnceCell<Docker>,
    /// One network at a time is made, so that two don't choose the same subnet.
    subnets: Mutex<()>,
}

impl DockerEngine {
    /// An engine with these settings. Nothing is connected yet: the first call does that, and
    /// says [`super::EngineError::Unavailable`] when nobody answers.
    pub fn new(mut config: EngineConfig) -> Self {
        // Docker takes absolute paths only. A path that can't be made one is refused when it is used.
        for path in [&mut config.data_dir, &mut config.init_path].into_iter().chain(&mut config.ca_bundle) {
            *path = std::path::absolute(&path).unwrap_or_else(|_| path.clone());
        }
        Self { inner: Arc::new(Inner { config, docker: OnceCell::new(), subnets: Mutex::new(()) }) }
    }

    /// The settings.
    pub fn config(&self) -> &EngineConfig {
        &self.inner.config
    }
}

#[async_trait]
impl Engine for DockerEngine {
    async fn prepare(&self) -> Result<Vec<String>> {
        self.ensure_build_network().await?;
        let mut findings = firewall::ensure(self.config()).await;
        findings.extend(dyno::missing_init(&self.config().init_path).map(|problem| problem.to_string()));
        Ok(findings)
    }

    async fn start(&self, spec: &DynoSpec) -> Result<()> {
        self.start_dyno(spec).await
    }

    async fn start_attached(&self, spec: &DynoSpec) -> Result<Session> {
        self.start_dyno_attached(spec).await
    }

    async fn signal(&self, dyno: Uuid, signal: Signal) -> Result<()> {
        self.signal_dyno(dyno, signal).await
    }

    async fn remove(&self, dyno: Uuid) -> Result<()> {
        self.remove_dyno(dyno).await
    }

    async fn list(&self, app: Option<Uuid>) -> Result<Vec<ObservedDyno>> {
        self.list_dynos(app).await
    }

    fn changes(&self) -> BoxStream<'static, Option<Uuid>> {
        self.follow_changes()
    }

    async fn output(&self, dyno: Uuid, since: Option<DateTime<Utc>>) -> Result<BoxStream<'static, Result<OutputLine>>> {
        self.follow_output(names::dyno(dyno), since).await
    }

    async fn exec(&self, target: Target, spec: &ExecSpec) -> Result<Session> {
        self.exec_in(target, spec).await
    }

    async fn usage(&self, dyno: Uuid) -> Result<Option<Usage>> {
        self.dyno_usage(dyno).await
    }

    async fn written(&self, dyno: Uuid) -> Result<u64> {
        let directory = self.dyno_dir(dyno);
        overlay::blocking(move || Ok(paas_buildpacks::tree::usage(&directory, u64::MAX, u64::MAX).bytes)).await
    }

    async fn image_exists(&self, image: &str) -> Result<bool> {
        let docker = self.docker().await?;
        match docker.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(error) if client::status(&error) == Some(404) => Ok(false),
            Err(error) => Err(client::failed("look at an image", error)),
        }
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        let docker = self.docker().await?;
        let info = docker.info().await.map_err(|error| client::failed("describe itself", error))?;
        Ok(vec![Node {
            name: info.name.unwrap_or_default(),
            cpus: info.ncpu.and_then(|count| u32::try_from(count).ok()).unwrap_or(1),
            memory_bytes: info.mem_total.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0),
            version: info.server_version.unwrap_or_default(),
            outlived: info.live_restore_enabled.unwrap_or(false),
            ready: true,
        }])
    }

    async fn ensure_network(&self, app: &AppNetwork) -> Result<()> {
        self.ensure_app_network(app).await
    }

    async fn remove_network(&self, app_id: Uuid) -> Result<()> {
        self.remove_app_network(app_id).await
    }

    async fn service_start(&self, spec: &ServiceSpec) -> Result<()> {
        self.start_service(spec).await
    }

    async fn service_stop(&self, service: Uuid, grace_secs: u32) -> Result<()> {
        self.stop_service(service, grace_secs).await
    }

    async fn service_remove(&self, service: Uuid, with_volume: bool) -> Result<()> {
        self.remove_service(service, with_volume).await
    }

    async fn service_connect(&self, service: Uuid, network: &ServiceNetwork) -> Result<()> {
        self.connect_service(service, network).await
    }

    async fn service_disconnect(&self, service: Uuid, app_id: Uuid) -> Result<()> {
        self.disconnect_service(service, app_id).await
    }

    async fn service(&self, service: Uuid) -> Result<Option<ObservedService>> {
        self.observe_service(service).await
    }

    async fn owned(&self) -> Result<Vec<Owned>> {
        self.list_owned().await
    }

    async fn discard(&self, owned: &Owned) -> Result<()> {
        self.discard_owned(owned).await
    }
}
