//! Add-on services: long-lived containers with a volume, on the networks of the apps that
//! they are attached to, and nowhere else.

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Names an app's network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct AppNetwork {
    /// The app.
    pub app_id: Uuid,
    /// Its name; a label only.
    pub app_name: String,
}

/// A service's place on an app's network.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ServiceNetwork {
    /// Whose network.
    pub app: AppNetwork,
    /// The host names by which that app's dynos reach it.
    pub aliases: Vec<String>,
}

/// Everything needed to run a service.
#[derive(Clone, PartialEq, Eq)]
pub struct ServiceSpec {
    /// The add-on's id: the key of idempotence.
    pub id: Uuid,
    /// The add-on's name (`redis-curved-1234`); a label and the host name.
    pub name: String,
    /// The image, name and tag.
    pub image: String,
    /// Program and arguments; empty: the image's own.
    pub command: Vec<String>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The absolute path at which the service keeps its data; the volume lives until
    /// `service_remove(…, true)`.
    pub volume_target: Option<String>,
    /// `uid:gid` to run as; `None`: the image's own.
    pub user: Option<String>,
    /// Which networks it is on.
    pub networks: Vec<ServiceNetwork>,
    /// Hard memory limit in bytes.
    pub memory_bytes: u64,
    /// Labels beside the usual ones.
    pub labels: Vec<(String, String)>,
}

impl std::fmt::Debug for ServiceSpec {
    /// Without environment and arguments: both may carry passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServiceSpec")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("image", &self.image)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

/// How far a service is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceState {
    /// It runs.
    Running {
        /// Since when.
        started_at: DateTime<Utc>,
    },
    /// The engine starts it again after a crash; why is in its output.
    Restarting {
        /// The last exit code.
        code: i64,
    },
    /// It does not run.
    Stopped {
        /// The last exit code.
        code: i64,
        /// Whether the kernel killed for memory.
        oom: bool,
    },
}

/// A service as the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedService {
    /// [`ServiceSpec::id`].
    pub id: Uuid,
    /// [`ServiceSpec::name`].
    pub name: String,
    /// How far it is.
    pub state: ServiceState,
    /// The apps whose networks it is on.
    pub apps: Vec<Uuid>,
}

/// A thing on the engine that carries this instance's label.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Owned {
    /// A dyno's container.
    Dyno(Uuid),
    /// A dyno's `/app` volume.
    DynoVolume(Uuid),
    /// A dyno's directory in the data dir.
    DynoDir(Uuid),
    /// An add-on's container.
    Service(Uuid),
    /// An add-on's data. Never discarded without `service_remove(…, true)`.
    ServiceVolume(Uuid),
    /// An app's network.
    Network {
        /// The app.
        app_id: Uuid,
    },
    /// A build's container.
    Build {
        /// Docker's name for it.
        container: String,
        /// Which, as far as its label says so.
        build: Option<Uuid>,
    },
}
