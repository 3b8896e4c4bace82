//! What is there: dynos read back from labels, everything owned, and hints about changes.

use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::time::Duration;

use bollard::models::{ContainerInspectResponse, ContainerState, ContainerStateStatusEnum};
use bollard::query_parameters::{EventsOptions, ListContainersOptions, ListNetworksOptions, ListVolumesOptions};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt, TryStreamExt};
use uuid::Uuid;

use super::super::{DynoKind, DynoState, EngineError, ObservedDyno, Owned, Result};
use super::client::{failed, status};
use super::names::id_label;
use super::{DockerEngine, names};

/// How many containers are looked at at the same time.
const LOOKS: usize = 16;
/// How many hints wait for whoever follows them.
const HINTS: usize = 1024;
/// Before the next try when the engine does not answer.
const RECONNECT: Duration = Duration::from_secs(1);

impl DockerEngine {
    pub(super) async fn list_dynos(&self, app: Option<Uuid>) -> Result<Vec<ObservedDyno>> {
        let docker = self.docker().await?;
        let containers = self.containers("dyno", app).await?;
        stream::iter(containers.into_iter().map(|(name, _)| {
            let docker = docker.clone();
            async move {
                match docker.inspect_container(&name, None).await {
                    Ok(seen) => Ok(observed(&seen).map(|dyno| self.with_note(dyno))),
                    // Removed since it was listed.
                    Err(error) if status(&error) == Some(404) => Ok(None),
                    Err(error) => Err(failed("look at a dyno", error)),
                }
            }
        }))
        .buffer_unordered(LOOKS)
        .try_filter_map(|dyno| std::future::ready(Ok(dyno)))
        .try_collect()
        .await
    }

    /// What init has noted beside what Docker tells.
    fn with_note(&self, mut dyno: ObservedDyno) -> ObservedDyno {
        if let DynoState::Exited { oom, .. } = &mut dyno.state {
            *oom = *oom || self.noted_out_of_memory(dyno.id);
        }
        dyno
    }

    /// Names and labels of this instance's containers of one kind, of all apps or of one.
    async fn containers(&self, kind: &str, app: Option<Uuid>) -> Result<Vec<(String, HashMap<String, String>)>> {
        let docker = self.docker().await?;
        let app = app.map(|id| id.to_string());
        let own = [(names::INSTANCE, self.config().instance.as_str()), (names::KIND, kind)];
        let filters = names::labelled(own.into_iter().chain(app.as_deref().map(|id| (names::APP_ID, id))));
        let options = ListContainersOptions { all: true, filters: Some(filters), ..Default::default() };
        let found = docker.list_containers(Some(options)).await.map_err(|error| failed("list containers", error))?;
        Ok(found
            .into_iter()
            .filter_map(|container| {
                let name = container.names?.into_iter().next()?.trim_start_matches('/').to_owned();
                Some((name, container.labels.unwrap_or_default()))
            })
            .collect())
    }

    pub(super) fn follow_changes(&self) -> BoxStream<'static, Option<Uuid>> {
        let engine = self.clone();
        let (hints, received) = tokio::sync::mpsc::channel(HINTS);
        tokio::spawn(async move {
            tokio::select! {
                () = hints.closed() => {}
                () = engine.send_changes(&hints) => {}
            }
        });
        tokio_stream::wrappers::ReceiverStream::new(received).boxed()
    }

    async fn send_changes(&self, hints: &tokio::sync::mpsc::Sender<Option<Uuid>>) {
        // An engine that is away is told of once, not with every try.
        let (mut away, mut broken) = (false, false);
        loop {
            match self.answering().await {
                Ok(docker) => {
                    if away || broken {
                        tracing::info!("the Docker engine answers again");
                    }
                    away = false;
                    let mut filters = names::labelled([(names::INSTANCE, self.config().instance.as_str())]);
                    filters.insert("type".to_owned(), vec!["container".to_owned()]);
                    let actions = ["start", "die", "destroy", "oom", "kill"].map(str::to_owned).to_vec();
                    filters.insert("event".to_owned(), actions);
                    let options = EventsOptions { filters: Some(filters), ..Default::default() };
                    let mut events = std::pin::pin!(docker.events(Some(options)));
                    // Something may have happened while nobody listened.
                    let _ = hints.try_send(None);
                    while let Some(Ok(event)) = events.next().await {
                        let labels = event.actor.and_then(|actor| actor.attributes).unwrap_or_default();
                        let hint = id_label(&labels, names::APP_ID);
                        if hints.try_send(hint).is_err() {
                            // In place of all that finds no room.
                            let _ = hints.send(None).await;
                        }
                    }
                    tracing::warn!("The Docker engine's events broke off; connecting again.");
                    broken = true;
                }
                Err(error) if away => tracing::debug!("{error}"),
                Err(error) => {
                    tracing::warn!("{error}");
                    away = true;
                }
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    pub(super) async fn list_owned(&self) -> Result<Vec<Owned>> {
        let docker = self.docker().await?;
        let filters = || Some(names::labelled([(names::INSTANCE, self.config().instance.as_str())]));
        let mut owned = Vec::new();
        for (_, labels) in self.containers("dyno", None).await? {
            owned.extend(id_label(&labels, names::DYNO_ID).map(Owned::Dyno));
        }
        for (_, labels) in self.containers("addon", None).await? {
            owned.extend(id_label(&labels, names::ADDON_ID).map(Owned::Service));
        }
        for (container, labels) in self.containers("build", None).await? {
            owned.push(Owned::Build { container, build: id_label(&labels, names::BUILD) });
        }
        let networks = docker
            .list_networks(Some(ListNetworksOptions { filters: filters() }))
            .await
            .map_err(|error| failed("list networks", error))?;
        for labels in networks.into_iter().filter_map(|network| network.labels) {
            owned.extend(id_label(&labels, names::APP_ID).map(|app_id| Owned::Network { app_id }));
        }
        let volumes = docker
            .list_volumes(Some(ListVolumesOptions { filters: filters() }))
            .await
            .map_err(|error| failed("list volumes", error))?;
        for labels in volumes.volumes.into_iter().flatten().map(|volume| volume.labels) {
            owned.extend(id_label(&labels, names::DYNO_ID).map(Owned::DynoVolume));
            owned.extend(id_label(&labels, names::ADDON_ID).map(Owned::ServiceVolume));
        }
        let directories = self.config().data_dir.join("dynos");
        match std::fs::read_dir(&directories) {
            Ok(entries) => owned.extend(
                entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).map(Owned::DynoDir),
            ),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(EngineError::disk("listing", &directories, &error)),
        }
        owned.sort();
        Ok(owned)
    }

    pub(super) async fn discard_owned(&self, owned: &Owned) -> Result<()> {
        match owned {
            Owned::Dyno(id) => self.remove_dyno(*id).await,
            Owned::DynoVolume(id) | Owned::DynoDir(id) => self.remove_overlay(*id).await,
            Owned::Service(id) => self.remove_service(*id, false).await,
            Owned::ServiceVolume(id) => Err(EngineError::InUse {
                what: format!("the data of add-on {id}"),
                by: "its owner: only destroying the add-on removes it".to_owned(),
            }),
            Owned::Network { app_id } => self.remove_app_network(*app_id).await,
            Owned::Build { container, .. } => self.remove_container(container).await,
        }
    }
}

fn observed(seen: &ContainerInspectResponse) -> Option<ObservedDyno> {
    let labels = seen.config.as_ref()?.labels.as_ref()?;
    let app_id = id_label(labels, names::APP_ID)?;
    let state = state(seen.state.as_ref()?);
    Some(ObservedDyno {
        id: id_label(labels, names::DYNO_ID)?,
        app_id,
        name: labels.get(names::DYNO)?.clone(),
        kind: DynoKind::parse(labels.get(names::DYNO_KIND)?)?,
        release_version: labels.get(names::RELEASE)?.parse().ok()?,
        state,
        address: address(seen, app_id),
    })
}

fn address(seen: &ContainerInspectResponse, app_id: Uuid) -> Option<IpAddr> {
    let networks = seen.network_settings.as_ref()?.networks.as_ref()?;
    networks.get(&names::network(app_id))?.ip_address.as_ref()?.parse().ok()
}

fn state(state: &ContainerState) -> DynoState {
    use ContainerStateStatusEnum as Status;
    match state.status {
        Some(Status::CREATED) => DynoState::Created,
        Some(Status::RUNNING | Status::PAUSED | Status::RESTARTING | Status::STOPPING) => {
            DynoState::Running { started_at: time(state.started_at.as_deref()) }
        }
        Some(Status::EXITED | Status::DEAD | Status::REMOVING | Status::EMPTY) | None => DynoState::Exited {
            code: state.exit_code.unwrap_or(-1),
            oom: state.oom_killed.unwrap_or(false),
            finished_at: time(state.finished_at.as_deref()),
        },
    }
}

/// Docker's time; the epoch when there is none.
pub(super) fn time(text: Option<&str>) -> DateTime<Utc> {
    text.and_then(|text| DateTime::parse_from_rfc3339(text).ok()).map(|time| time.to_utc()).unwrap_or_default()
}
