//! The ground that every floor stands on: settings, sealer, clock, identity.

use std::{path::PathBuf, sync::Arc};

use chrono::{DateTime, SubsecRound as _, Utc};
use uuid::Uuid;

use crate::{config::Config, secret::Sealer};

/// Settings, sealer, clock and the identity of this installation.
#[derive(Debug, Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: Config,
    sealer: Sealer,
    instance: Uuid,
    /// This run of the daemon: the owner of its leases.
    run: Uuid,
}

impl Context {
    /// `instance` is the identity of the data directory, kept in it.
    pub fn new(config: Config, sealer: Sealer, instance: Uuid) -> Self {
        Self { inner: Arc::new(Inner { config, sealer, instance, run: Uuid::new_v4() }) }
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Seals and opens secrets.
    pub fn sealer(&self) -> &Sealer {
        &self.inner.sealer
    }

    /// The identity of this installation: containers carry it as label `paas.instance`.
    pub fn instance(&self) -> Uuid {
        self.inner.instance
    }

    /// The identity of this run of the daemon: the owner of its leases.
    pub fn run(&self) -> Uuid {
        self.inner.run
    }

    /// Now, in whole microseconds: what both databases keep.
    #[allow(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn now(&self) -> DateTime<Utc> {
        Utc::now().trunc_subsecs(6)
    }

    /// A path in the data directory.
    pub fn path(&self, relative: impl AsRef<std::path::Path>) -> PathBuf {
        self.inner.config.data_dir.join(relative)
    }
}

/// A new identifier, rising with time so that rows made later sort later.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
