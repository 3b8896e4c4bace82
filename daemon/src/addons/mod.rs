//! Providers of add-ons; Redis first.
//!
//! A [`Provider`] knows one service: its plans, what config vars it gives, and how its
//! instances are brought up and taken down on the engine. Everything it does is idempotent
//! by the add-on's identity: the task that looks after add-ons calls it again after every
//! restart and now and then. Which app gets what is decided in `ops::addons`.

pub mod redis;

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::engine::{Engine, EngineError, ServiceNetwork};

/// A plan of a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// Short name: `mini`.
    pub name: &'static str,
    /// One line for people.
    pub description: &'static str,
    /// Memory for data, in MiB.
    pub memory_mib: u64,
    /// Most connections at once.
    pub connections: u32,
}

/// A service that can be added to apps.
#[derive(Debug, Clone, Copy)]
pub struct Service {
    /// Its name: `redis`.
    pub name: &'static str,
    /// Other names that mean it, each with the plan that it stands for when none is given.
    pub aliases: &'static [(&'static str, &'static str)],
    /// For people: `Redis`.
    pub human_name: &'static str,
    /// The attachment's name when none is chosen: `REDIS`.
    pub attachment: &'static str,
    /// The plan when none is chosen.
    pub default_plan: &'static str,
    /// Its plans, smallest first.
    pub plans: &'static [Plan],
    /// Plans' other names.
    pub plan_aliases: &'static [(&'static str, &'static str)],
}

impl Service {
    /// The host name of the add-on with this id: the same for ever, whatever the add-on is
    /// called, and a name that DNS allows. The end of the id, since ids that are made at one
    /// moment begin alike.
    pub fn host(&self, id: Uuid) -> String {
        let hex = id.simple().to_string();
        format!("{}-{}", self.name, &hex[hex.len() - 12..])
    }

    /// Its own name, and the others.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.aliases.iter().map(|(alias, _)| *alias))
    }

    /// The plan that one of its names stands for.
    pub fn default_plan_of(&self, name: &str) -> &'static str {
        self.aliases.iter().find(|(alias, _)| *alias == name).map_or(self.default_plan, |(_, plan)| *plan)
    }

    /// A plan by its name or alias.
    pub fn plan(&self, name: &str) -> Option<&'static Plan> {
        let name = self.plan_aliases.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, real)| *real);
        self.plans.iter().find(|plan| plan.name == name)
    }
}

/// What an add-on's row keeps sealed: the values that it gives to apps, and what is the
/// provider's own.
#[derive(Clone, Default, Serialize, Deserialize)]
pub struct Secrets {
    /// Suffix → value: attached as `CACHE`, `URL` becomes `CACHE_URL`.
    pub values: BTreeMap<String, String>,
    /// Full names that the attachment under the service's own name brings besides.
    pub extras: BTreeMap<String, String>,
    /// The provider's own: passwords, settings.
    pub private: serde_json::Value,
    /// The service's own attachment name: `REDIS`.
    pub default_name: String,
}

impl Secrets {
    /// The config vars that an attachment called `name` brings.
    pub fn vars(&self, name: &str) -> BTreeMap<String, String> {
        let mut vars: BTreeMap<String, String> =
            self.values.iter().map(|(suffix, value)| (format!("{name}_{suffix}"), value.clone())).collect();
        if name == self.default_name {
            vars.extend(self.extras.clone());
        }
        vars
    }
}

/// One add-on, as its provider sees it.
#[derive(Clone)]
pub struct Instance {
    /// Identity: the key of idempotence.
    pub id: Uuid,
    /// Its name, which may change.
    pub name: String,
    /// The host name by which the apps attached reach it, which stays.
    pub host: String,
    /// Its plan.
    pub plan: &'static Plan,
    /// What its row keeps.
    pub secrets: Secrets,
    /// The networks that it is to be on: those of the apps attached.
    pub networks: Vec<ServiceNetwork>,
}

/// How far an add-on is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It answers.
    Ready,
    /// It is being made, or starts again; why, if known.
    Starting(String),
}

/// Something that an add-on tells of itself: a label and a value.
pub type Info = Vec<(String, String)>;

/// Makes and keeps the add-ons of one service.
#[async_trait]
pub trait Provider: Send + Sync {
    /// What it offers.
    fn service(&self) -> &'static Service;

    /// Fresh secrets for a new add-on that is reached at `host`.
    fn secrets(&self, host: &str) -> Secrets;

    /// The same with another password.
    fn rotate(&self, host: &str, secrets: &Secrets) -> Secrets;

    /// An option that a user gives, as it is kept in [`Secrets::private`]; the error is a
    /// sentence that names the option and what is allowed.
    fn option(&self, name: &str, value: &str) -> Result<serde_json::Value, String>;

    /// The options as they stand, for users: name and value.
    fn options(&self, secrets: &Secrets) -> BTreeMap<String, String>;

    /// Brings the instance to what is wanted: made, running, on its networks. Idempotent.
    async fn provision(&self, engine: &dyn Engine, instance: &Instance) -> Result<(), EngineError>;

    /// Whether it answers.
    async fn status(&self, engine: &dyn Engine, instance: &Instance) -> Result<Status, EngineError>;

    /// Removes it and all its data. Gone is success.
    async fn deprovision(&self, engine: &dyn Engine, id: Uuid) -> Result<(), EngineError>;

    /// Figures for people: memory, clients, version. Never waits for one that does not answer.
    async fn info(&self, engine: &dyn Engine, instance: &Instance) -> Result<Info, EngineError>;

    /// How many bytes of data it holds; `None` when it does not tell.
    async fn held(&self, engine: &dyn Engine, instance: &Instance) -> Result<Option<u64>, EngineError>;
}

/// All providers.
#[derive(Clone)]
pub struct Catalog {
    providers: Vec<Arc<dyn Provider>>,
}

impl Default for Catalog {
    fn default() -> Self {
        Self { providers: vec![Arc::new(redis::Redis)] }
    }
}

impl Catalog {
    /// Every provider.
    pub fn all(&self) -> &[Arc<dyn Provider>] {
        &self.providers
    }

    /// The provider of a service, by the service's name or alias, and the plan that the
    /// alias stands for.
    pub fn find(&self, service: &str) -> Option<(&Arc<dyn Provider>, &'static str)> {
        self.providers.iter().find_map(|provider| {
            let offered = provider.service();
            if offered.name == service {
                return Some((provider, offered.default_plan));
            }
            offered.aliases.iter().find(|(alias, _)| *alias == service).map(|(_, plan)| (provider, *plan))
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn host_names_differ_for_ids_of_one_moment() {
        let service = redis::SERVICE;
        let id = |text: &str| text.parse::<Uuid>().unwrap();
        let one = service.host(id("01890a5d-ac96-774b-bcce-b302099a8057"));
        assert_eq!(one, "redis-b302099a8057");
        assert_ne!(one, service.host(id("01890a5d-ac96-774b-bcce-b302099a8058")));
    }
}
