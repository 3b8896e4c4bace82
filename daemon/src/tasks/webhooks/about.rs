//! What an event is about, shown as the API shows it.

use paas_wire::UserRef;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::tell::Telling;
use crate::{
    api::shown::{self, Shown},
    error::Result,
    ops::Platform,
    store::{
        addons,
        apps::App,
        domains, dynos,
        events::EventRow,
        releases, sni_endpoints,
        webhooks::{Cursor, events as tellings},
    },
};

/// Where an event is looked into.
pub(super) struct About<'a> {
    pub(super) p: &'a Platform,
    /// The app, while there is one.
    pub(super) app: Option<&'a App>,
    pub(super) cursor: &'a Cursor,
}

/// A text, and what it says of an event.
struct Said<'a>(&'a EventRow);

impl Said<'_> {
    fn text(&self, key: &str) -> &str {
        self.0.data.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    fn id(&self, key: &str) -> Option<Uuid> {
        self.text(key).parse().ok()
    }

    /// A row as it was.
    fn was<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_value(self.0.data.get("was")?.clone()).ok()
    }
}

/// `create` of `domain.create`; what is neither that nor `destroy` changes something.
fn action(kind: &str) -> &'static str {
    match kind.rsplit_once('.').map(|(_, word)| word) {
        Some("create" | "attach") => "create",
        Some("destroy" | "detach") => "destroy",
        Some(_) | None => "update",
    }
}

impl About<'_> {
    /// What is to be told because of one event.
    pub(super) async fn event(&self, row: &EventRow) -> Result<Vec<Telling>> {
        let Some((noun, _)) = row.kind.split_once('.') else { return Ok(Vec::new()) };
        let said = Said(row);
        let action = action(&row.kind);
        let mut found: Vec<(&'static str, &'static str, Shown)> = Vec::new();
        match noun {
            "app" => found.extend(self.app_event(&said, action).await?.map(|shown| ("api:app", action, shown))),
            "build" => {
                if let Some(id) = said.id("id") {
                    found.extend(shown::build(self.p, id).await?.map(|shown| ("api:build", action, shown)));
                }
            }
            "collaborator" => {
                let shown = self.collaborator(&said, action).await?;
                found.extend(shown.map(|shown| ("api:collaborator", action, shown)));
            }
            "domain" => found.extend(self.domain(&said).await?.map(|shown| ("api:domain", action, shown))),
            "sni-endpoint" => {
                found.extend(self.sni_endpoint(&said).await?.map(|shown| ("api:sni-endpoint", action, shown)));
            }
            "dyno" => {
                if let (Some(app), Some(was)) = (self.app, said.was::<dynos::Dyno>()) {
                    found.push(("api:dyno", action, shown::dyno(app, &was)?));
                }
            }
            "formation" => {
                let shown = self.formation(&said).await?;
                found.extend(shown.into_iter().map(|shown| ("api:formation", "update", shown)));
            }
            "release" if row.kind == "release.update" => {
                let version = row.data.get("version").and_then(Value::as_i64).unwrap_or_default();
                for shown in self.releases_from(version).await? {
                    found.push(("api:release", "update", shown));
                }
            }
            "addon" => found.extend(self.addon(&said, action).await?),
            _ => {}
        }
        if found.is_empty() {
            return Ok(Vec::new());
        }
        let actor = shown::actor(self.p, &row.actor).await?;
        let telling = |(include, action, (resource_id, data)): (&'static str, &'static str, Shown)| Telling {
            include,
            action,
            actor: actor.clone(),
            at: row.created_at,
            generation: row.generation,
            resource_id,
            data,
        };
        Ok(found.into_iter().map(telling).collect())
    }

    /// Releases since the last time, whatever made them, with their versions.
    pub(super) async fn releases(&self, generation: i64) -> Result<Vec<(i64, Telling)>> {
        let Some(app) = self.app else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for version in self.cursor.release_version + 1..=app.last_version {
            let row = releases::by_version(&mut self.p.db.read().await?, app.id, version).await?;
            let Some(row) = row else { continue };
            let ((resource_id, data), user) = shown::release(self.p, app, &row).await?;
            let telling = Telling {
                include: "api:release",
                action: "create",
                actor: UserRef { id: user.id, email: user.email },
                at: row.created_at,
                generation,
                resource_id,
                data,
            };
            all.push((version, telling));
        }
        Ok(all)
    }

    /// Process types that came with new releases.
    pub(super) async fn new_formation(&self, told: &[Telling], generation: i64) -> Result<Vec<Telling>> {
        let release = told.iter().rev().find(|telling| telling.include == "api:release");
        let (Some(app), Some(release)) = (self.app, release) else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        for (process, (resource_id, data)) in shown::formation(self.p, app).await? {
            let new = process.formation.created_at > self.cursor.created_at
                && !told.iter().any(|telling| telling.resource_id == resource_id)
                && self.last("api:formation", resource_id).await?.is_none();
            if new {
                all.push(Telling {
                    include: "api:formation",
                    action: "create",
                    actor: release.actor.clone(),
                    at: process.formation.created_at,
                    generation,
                    resource_id,
                    data,
                });
            }
        }
        Ok(all)
    }

    /// A release whose state has changed, and those after it that waited for it.
    async fn releases_from(&self, version: i64) -> Result<Vec<Shown>> {
        let Some(app) = self.app else { return Ok(Vec::new()) };
        let mut all = Vec::new();
        // Newer ones than the last telling's are told of as new.
        for version in version..=self.cursor.release_version.max(version) {
            let row = releases::by_version(&mut self.p.db.read().await?, app.id, version).await?;
            let Some(row) = row else { continue };
            let (shown, _) = shown::release(self.p, app, &row).await?;
            let last = self.last("api:release", shown.0).await?;
            if last.is_none_or(|last| last["status"] != shown.1["status"]) {
                all.push(shown);
            }
        }
        Ok(all)
    }

    /// What was last told of a resource.
    async fn last(&self, include: &str, id: Uuid) -> Result<Option<Value>> {
        let last = tellings::last(&mut self.p.db.read().await?, self.cursor.app_id, include, id).await?;
        Ok(last.map(|event| event.payload.0["data"].clone()))
    }

    /// What is left to say of something that is gone.
    async fn gone(&self, include: &str, id: Uuid, name: &str) -> Result<Shown> {
        let last = self.last(include, id).await?;
        Ok((id, last.unwrap_or_else(|| json!({"id": id, "name": name}))))
    }

    async fn app_event(&self, said: &Said<'_>, action: &str) -> Result<Option<Shown>> {
        let name = said.text("name");
        match self.app {
            Some(app) if action == "destroy" => {
                // Its name is free again, so its row has another.
                let was = App { name: name.to_owned(), ..app.clone() };
                shown::app(self.p, &was).await.map(Some)
            }
            Some(app) => shown::app(self.p, app).await.map(Some),
            None if action == "destroy" => self.gone("api:app", self.cursor.app_id, name).await.map(Some),
            None => Ok(None),
        }
    }

    async fn collaborator(&self, said: &Said<'_>, action: &str) -> Result<Option<Shown>> {
        let email = said.text("email");
        if action != "destroy" {
            let Some(app) = self.app else { return Ok(None) };
            return shown::collaborator(self.p, app, email).await;
        }
        let Some(id) = said.id("id") else { return Ok(None) };
        let user = shown::actor(self.p, email).await?;
        let left = json!({
            "app": self.app.map(|app| json!({"id": app.id, "name": app.name})),
            "id": id,
            "user": {"email": user.email, "federated": false, "id": user.id},
        });
        Ok(Some((id, self.last("api:collaborator", id).await?.unwrap_or(left))))
    }

    async fn domain(&self, said: &Said<'_>) -> Result<Option<Shown>> {
        let (Some(app), Some(id)) = (self.app, said.id("id")) else { return Ok(None) };
        let row = match said.was() {
            Some(was) => Some(was),
            None => domains::by_id(&mut self.p.db.read().await?, id).await?,
        };
        match row {
            Some(row) => shown::domain(self.p, app, &row).await.map(Some),
            None => Ok(None),
        }
    }

    async fn sni_endpoint(&self, said: &Said<'_>) -> Result<Option<Shown>> {
        let (Some(app), Some(id)) = (self.app, said.id("id")) else { return Ok(None) };
        let row = match said.was() {
            Some(was) => Some(was),
            None => sni_endpoints::by_id(&mut self.p.db.read().await?, id).await?,
        };
        match row {
            Some(row) => shown::sni_endpoint(self.p, app, row).await.map(Some),
            None => Ok(None),
        }
    }

    /// The process types that the event names: `web@2:Standard-1X`.
    async fn formation(&self, said: &Said<'_>) -> Result<Vec<Shown>> {
        let Some(app) = self.app else { return Ok(Vec::new()) };
        let named = said.0.data.get("formation").and_then(Value::as_array).cloned().unwrap_or_default();
        let named: Vec<&str> = named.iter().filter_map(|entry| entry.as_str()?.split('@').next()).collect();
        let all = shown::formation(self.p, app).await?;
        let all = all.into_iter().filter(|(process, _)| named.contains(&process.formation.process_type.as_str()));
        Ok(all.map(|(_, shown)| shown).collect())
    }

    async fn addon(&self, said: &Said<'_>, action: &'static str) -> Result<Vec<(&'static str, &'static str, Shown)>> {
        let Some(id) = said.id("id") else { return Ok(Vec::new()) };
        let row = addons::by_id(&mut self.p.db.read().await?, id).await?;
        let mut found = Vec::new();
        let kind = said.0.kind.as_str();
        if !matches!(kind, "addon.attach" | "addon.detach") {
            let shown = match &row {
                Some(row) => Some(shown::addon(self.p, row.clone()).await?),
                None if action == "destroy" => Some(self.gone("api:addon", id, said.text("addon")).await?),
                None => None,
            };
            found.extend(shown.map(|shown| ("api:addon", action, shown)));
        }
        let attachments: Vec<addons::Attachment> = match kind {
            "addon.create" | "addon.attach" => match said.id("attachment") {
                Some(id) => addons::attachment(&mut self.p.db.read().await?, id).await?.into_iter().collect(),
                None => Vec::new(),
            },
            "addon.detach" => said.was().into_iter().collect(),
            "addon.destroy" => {
                let detached = said.0.data.get("detached").cloned().unwrap_or_default();
                serde_json::from_value(detached).unwrap_or_default()
            }
            _ => Vec::new(),
        };
        for attachment in attachments {
            let shown = match (self.app, &row) {
                (Some(app), Some(row)) => shown::attachment(self.p, app, row.clone(), &attachment).await?,
                (None, _) | (_, None) => self.gone("api:addon-attachment", attachment.id, &attachment.name).await?,
            };
            found.push(("api:addon-attachment", action, shown));
        }
        Ok(found)
    }
}
