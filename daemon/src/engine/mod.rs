//! Runs dynos and add-on services; knows no releases, rollouts or retries.
//!
//! [`Engine`] is the port: the reconciler, the log collector, the add-on providers and
//! one-off `run` speak to it and to nothing else. Its rules:
//!
//! - **Idempotent.** The same spec twice is one dyno; what is gone already is success.
//! - **No memory.** [`Engine::list`] reads labels back from the engine, so that a daemon
//!   that was killed anywhere sees the truth after its restart.
//! - **Hints, not events.** [`Engine::changes`] may drop and may repeat; whoever acts on it
//!   lists again.
//! - **Never in a transaction or a handler**: a call takes as long as Docker takes.
//!
//! Where to start: [`dyno`] (what a dyno is made of and what is seen of it), [`service`]
//! (add-on containers), [`session`] (attached input and output); [`docker`] is the true
//! engine, [`fake`] the one of the fast tests. `tests/engine_contract.rs` holds both to the
//! same promises.

pub mod config;
pub mod docker;
pub mod dyno;
pub mod error;
pub mod fake;
mod into_error;
pub mod service;
pub mod session;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures_util::stream::BoxStream;
use uuid::Uuid;

pub use config::EngineConfig;
pub use dyno::{
    DynoKind, DynoSpec, DynoState, Limits, Mount, ObservedDyno, OutputLine, OutputStream, Signal, Usage, shell,
};
pub use error::EngineError;
pub use service::{AppNetwork, ObservedService, Owned, ServiceNetwork, ServiceSpec, ServiceState};
pub use session::{ExecSpec, Session, SessionControl, Target};

/// What every call gives.
pub type Result<T, E = EngineError> = std::result::Result<T, E>;

/// A machine that can carry dynos.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The name by which the engine knows it.
    pub name: String,
    /// Logical processors.
    pub cpus: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
    /// The engine's version, for `paasd doctor`.
    pub version: String,
    /// Whether containers outlive the engine's own end, for `paasd doctor`.
    pub outlived: bool,
    /// Whether it takes dynos now.
    pub ready: bool,
}

/// Runs dynos and services on one or more machines.
#[async_trait]
pub trait Engine: Send + Sync {
    /// Readies the machine (firewall, build network) and says what is less safe than it
    /// should be, one sentence per finding with what to do. Safe to repeat; the daemon calls
    /// it when it starts and now and then after.
    async fn prepare(&self) -> Result<Vec<String>>;

    /// Starts a dyno. Idempotent by `spec.id`: a dyno that exists already, running or
    /// finished, is left as it is; one that was made but never started is started. Makes the
    /// app's network when it is missing.
    async fn start(&self, spec: &DynoSpec) -> Result<()>;

    /// Starts a new dyno with the caller attached to it from its first byte on. Fails with
    /// [`EngineError::AlreadyThere`] when the dyno exists.
    async fn start_attached(&self, spec: &DynoSpec) -> Result<Session>;

    /// Sends a signal to the dyno's init, which hands SIGTERM to every process of the dyno
    /// and other signals to the main one. A dyno that is gone or finished is success.
    async fn signal(&self, dyno: Uuid, signal: Signal) -> Result<()>;

    /// Removes the dyno, killing it first if it still runs: container, volume and directory.
    /// What is gone already is success.
    async fn remove(&self, dyno: Uuid) -> Result<()>;

    /// The dynos of one app, or of all apps of this instance, in no order, finished ones
    /// included until removed.
    async fn list(&self, app: Option<Uuid>) -> Result<Vec<ObservedDyno>>;

    /// Yields the app in which something may have changed; `None` when it may be any of them.
    /// Never ends; reconnects by itself, and yields `None` after each reconnect, since changes
    /// may have been missed.
    fn changes(&self) -> BoxStream<'static, Option<Uuid>>;

    /// The dyno's output after `since` (exclusive, nanoseconds count), oldest first, following
    /// until the dyno ends. An `Err` is the last item: the engine went away; ask again with
    /// the `at` of the last line.
    async fn output(&self, dyno: Uuid, since: Option<DateTime<Utc>>) -> Result<BoxStream<'static, Result<OutputLine>>>;

    /// Runs one more program in a running dyno or service.
    async fn exec(&self, target: Target, spec: &ExecSpec) -> Result<Session>;

    /// What a running dyno uses now; `None` when it does not run.
    async fn usage(&self, dyno: Uuid) -> Result<Option<Usage>>;

    /// Bytes on this machine's disk that the dyno has written to `/app` and `/tmp`. It reads
    /// the whole of them, so ask seldom. Nothing of one that is gone.
    async fn written(&self, dyno: Uuid) -> Result<u64>;

    /// Whether the image is on the engine.
    async fn image_exists(&self, image: &str) -> Result<bool>;

    /// The machines.
    async fn nodes(&self) -> Result<Vec<Node>>;

    /// Makes the app's network unless it is there.
    async fn ensure_network(&self, app: &AppNetwork) -> Result<()>;

    /// Removes the app's network. Gone is success; when containers are still on it the error
    /// is [`EngineError::InUse`] and names them.
    async fn remove_network(&self, app_id: Uuid) -> Result<()>;

    /// Brings an add-on's container to the spec: made when missing, remade when its spec has
    /// changed (the volume stays), started when stopped, its networks set to those named.
    async fn service_start(&self, spec: &ServiceSpec) -> Result<()>;

    /// Stops the service, giving it `grace_secs` after SIGTERM. Gone or stopped is success.
    async fn service_stop(&self, service: Uuid, grace_secs: u32) -> Result<()>;

    /// Removes the service's container, and its volume and thereby all its data when
    /// `with_volume`. Gone is success.
    async fn service_remove(&self, service: Uuid, with_volume: bool) -> Result<()>;

    /// Joins the service to an app's network under a name. Idempotent; makes the network when
    /// it is missing.
    async fn service_connect(&self, service: Uuid, network: &ServiceNetwork) -> Result<()>;

    /// Takes the service off an app's network. Not on it is success.
    async fn service_disconnect(&self, service: Uuid, app_id: Uuid) -> Result<()>;

    /// What is seen of the service; `None` when there is no container.
    async fn service(&self, service: Uuid) -> Result<Option<ObservedService>>;

    /// Every container, network and volume that carries this instance's label: what the
    /// orphan check compares with the database.
    async fn owned(&self) -> Result<Vec<Owned>>;

    /// Removes one thing that [`Engine::owned`] listed. Gone is success.
    async fn discard(&self, owned: &Owned) -> Result<()>;
}
