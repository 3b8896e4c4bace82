//! One function per use case; every change is decided here, with its event, in one
//! transaction.
//!
//! Handlers parse and show, background tasks wait and call; what may be done, by whom and
//! with what effect is told here. Start with [`releases`]: every change of what an app
//! runs is a release. [`Platform`] is what each function gets; [`Actor`] is who asks.

pub mod access;
pub mod accounts;
pub mod acm;
pub mod addons;
pub mod addresses;
pub mod apps;
pub mod attach;
pub mod browser_logins;
pub mod builds;
pub mod certificate;
pub mod collaborators;
pub mod config;
pub mod disk;
pub mod domains;
pub mod dynos;
pub mod features;
pub mod formation;
pub mod guesses;
pub mod idle;
pub mod inside;
pub mod log_drains;
pub mod logs;
pub mod members;
pub mod metrics;
pub mod oauth;
pub mod outward;
pub mod pipelines;
pub mod releases;
pub mod repos;
pub mod reviews;
pub mod router;
pub mod routing;
pub mod scopes;
pub mod scripts;
pub mod setups;
pub mod slugs;
pub mod sni_endpoints;
pub mod sources;
pub mod spec;
pub mod ssh_keys;
pub mod stacks;
pub mod status;
pub mod teams;
pub mod telemetry_drains;
pub mod test_runs;
pub mod tokens;
pub mod transfers;
pub mod webhooks;

use std::sync::Arc;

use uuid::Uuid;

use crate::{
    addons::Catalog,
    context::Context,
    engine::Engine,
    error::{Error, Result},
    logs::LogSink,
    slugs::{SlugCache, SlugStore},
    store::{Change, Db, events::Event, users::User},
};

/// Everything that operations work with; cheap to clone.
#[derive(Clone)]
pub struct Platform {
    /// Settings, sealer, clock.
    pub cx: Context,
    /// What is remembered.
    pub db: Db,
    /// Where dynos run.
    pub engine: Arc<dyn Engine>,
    /// Who makes add-ons.
    pub catalog: Catalog,
    /// Where lines go.
    pub logs: LogSink,
    /// What dynos run from: slugs, unpacked.
    pub slugs: Arc<SlugCache>,
    /// Where slugs are kept.
    pub slug_store: Arc<dyn SlugStore>,
    /// Programs that wait for their users.
    pub attachments: attach::Attachments,
    /// How the platform was when somebody asked last.
    pub board: status::Board,
    /// Wrong passwords of late.
    pub guesses: guesses::Guesses,
    /// What is counted while it runs.
    pub counts: metrics::Counts,
}

impl Platform {
    /// Begins a change of an app; an app that has gone meanwhile is told so.
    pub async fn change(&self, app_id: Uuid) -> Result<Change> {
        self.db.change(app_id).await?.ok_or_else(|| Error::not_found("app", app_id.to_string()))
    }

    /// Ends a change with its event.
    pub async fn commit(&self, change: Change, event: Event) -> Result<()> {
        Ok(change.commit(event, self.cx.now()).await?)
    }

    /// A line of `app[api]` in the app's log.
    pub fn tell(&self, app_id: Uuid, text: impl Into<String>) {
        self.logs.api(app_id, &text.into());
    }
}

/// That a text is not longer than what is kept of its kind.
pub fn check_length(field: &str, text: Option<&str>, most: usize) -> Result<()> {
    match text {
        Some(text) if text.chars().count() > most => {
            Err(Error::invalid(format!("{field}: may have at most {most} characters.")))
        }
        Some(_) | None => Ok(()),
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub struct Actor {
    /// Their account.
    pub user: User,
    /// The token they came with.
    pub authorization_id: Option<Uuid>,
}

impl Actor {
    /// How they are named in events and logs.
    pub fn name(&self) -> &str {
        &self.user.email
    }
}
