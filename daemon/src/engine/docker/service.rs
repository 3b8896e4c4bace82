//! Add-on containers. Unlike dynos they keep a volume, come back by Docker's own restart
//! policy (an add-on survives the daemon's absence and the machine's reboot) and move between
//! networks while they run.
//!
//! Each has its home on the network `paas-addons`, which leads nowhere and on which nobody sees
//! anybody: a container needs one network that never changes, so that apps' networks can come
//! and go.

use std::collections::{BTreeSet, HashMap};

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, ContainerStateStatusEnum, EndpointSettings, HostConfig,
    Mount as DockerMount, MountType, NetworkConnectRequest, NetworkDisconnectRequest, RestartPolicy,
    RestartPolicyNameEnum, VolumeCreateRequest,
};
use bollard::query_parameters::{CreateContainerOptions, ListNetworksOptions, StopContainerOptions};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::super::{EngineError, Limits, ObservedService, Result, ServiceNetwork, ServiceSpec, ServiceState};
use super::client::{failed, status};
use super::dyno::confined;
use super::names::{id_label, labelled};
use super::observe::time;
use super::{DockerEngine, names};

/// For the stop before a container is made anew: Redis writes its file within it.
const REMAKE_GRACE: u32 = 30;
/// Processes and threads of a service.
const PIDS: u32 = 512;
/// Under memory pressure of the whole machine services go after dynos.
const OOM_SCORE: i64 = 200;

impl DockerEngine {
    pub(super) async fn start_service(&self, spec: &ServiceSpec) -> Result<()> {
        let docker = self.docker().await?;
        let name = names::service(spec.id);
        let mut seen = self.inspect_service(spec.id).await?;
        if let Some(container) = &seen
            && label(container, names::SPEC) != Some(digest(spec).as_str())
        {
            self.stop_service(spec.id, REMAKE_GRACE).await?;
            self.remove_container(&name).await?;
            seen = None;
        }
        if seen.is_none() {
            self.create_service(spec).await?;
        }
        self.settle_networks(spec).await?;
        // A started one answers 304, which is success.
        docker.start_container(&name, None).await.map_err(|error| failed("start the service", error))
    }

    async fn create_service(&self, spec: &ServiceSpec) -> Result<()> {
        let docker = self.docker().await?;
        self.ensure_addon_network().await?;
        let labels: HashMap<String, String> = spec
            .labels
            .iter()
            .cloned()
            .chain(
                [
                    (names::INSTANCE, self.config().instance.clone()),
                    (names::KIND, "addon".to_owned()),
                    (names::ADDON_ID, spec.id.to_string()),
                    (names::ADDON, spec.name.clone()),
                ]
                .map(|(key, value)| (key.to_owned(), value)),
            )
            .collect();
        let mut mounts = Vec::new();
        if let Some(target) = &spec.volume_target {
            let volume = VolumeCreateRequest {
                name: Some(names::service_volume(spec.id)),
                labels: Some(labels.clone()),
                ..Default::default()
            };
            docker.create_volume(volume).await.map_err(|error| failed("make the service's volume", error))?;
            mounts.push(DockerMount {
                typ: Some(MountType::VOLUME),
                source: Some(names::service_volume(spec.id)),
                target: Some(target.clone()),
                ..Default::default()
            });
        }
        let limits = Limits { memory_bytes: spec.memory_bytes, cpu_shares: 1024, cpu_millis: None, pids: PIDS };
        let body = ContainerCreateBody {
            image: Some(spec.image.clone()),
            hostname: Some(host_name(&spec.name)),
            user: spec.user.clone(),
            cmd: (!spec.command.is_empty()).then(|| spec.command.clone()),
            env: Some(spec.env.iter().map(|(key, value)| format!("{key}={value}")).collect()),
            labels: Some(labels.into_iter().chain([(names::SPEC.to_owned(), digest(spec))]).collect()),
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some(names::ADDON_NETWORK.to_owned()),
                restart_policy: Some(RestartPolicy {
                    name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                    maximum_retry_count: None,
                }),
                oom_score_adj: Some(OOM_SCORE),
                ..confined(&limits)
            }),
            ..Default::default()
        };
        let options = CreateContainerOptions { name: Some(names::service(spec.id)), ..Default::default() };
        docker.create_container(Some(options), body).await.map_err(|error| failed("make the service", error))?;
        Ok(())
    }

    /// Puts the service on exactly the networks of its spec.
    async fn settle_networks(&self, spec: &ServiceSpec) -> Result<()> {
        for network in &spec.networks {
            self.connect_service(spec.id, network).await?;
        }
        let wanted: BTreeSet<Uuid> = spec.networks.iter().map(|network| network.app.app_id).collect();
        let Some(seen) = self.inspect_service(spec.id).await? else { return Ok(()) };
        for app_id in self.apps_of(&seen).await? {
            if !wanted.contains(&app_id) {
                self.disconnect_service(spec.id, app_id).await?;
            }
        }
        Ok(())
    }

    pub(super) async fn connect_service(&self, service: Uuid, network: &ServiceNetwork) -> Result<()> {
        let docker = self.docker().await?;
        self.ensure_app_network(&network.app).await?;
        let Some(seen) = self.inspect_service(service).await? else {
            return Err(EngineError::NotFound { what: format!("service {service}") });
        };
        let name = names::network(network.app.app_id);
        if let Some(endpoint) = endpoints(&seen).get(&name) {
            let known = endpoint.aliases.clone().unwrap_or_default();
            if network.aliases.iter().all(|alias| known.contains(alias)) {
                return Ok(());
            }
            self.disconnect_service(service, network.app.app_id).await?;
        }
        let request = NetworkConnectRequest {
            container: names::service(service),
            endpoint_config: Some(EndpointSettings { aliases: Some(network.aliases.clone()), ..Default::default() }),
        };
        docker
            .connect_network(&name, request)
            .await
            .map_err(|error| failed("put the service on the app's network", error))
    }

    pub(super) async fn disconnect_service(&self, service: Uuid, app_id: Uuid) -> Result<()> {
        let docker = self.docker().await?;
        let name = names::network(app_id);
        let Some(seen) = self.inspect_service(service).await? else { return Ok(()) };
        if !endpoints(&seen).contains_key(&name) {
            return Ok(());
        }
        let request = NetworkDisconnectRequest { container: names::service(service), force: Some(true) };
        match docker.disconnect_network(&name, request).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(failed("take the service off the app's network", error)),
        }
    }

    pub(super) async fn stop_service(&self, service: Uuid, grace_secs: u32) -> Result<()> {
        let docker = self.docker().await?;
        let options = StopContainerOptions { t: i32::try_from(grace_secs).ok(), ..Default::default() };
        match docker.stop_container(&names::service(service), Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if status(&error) == Some(404) => Ok(()),
            Err(error) => Err(failed("stop the service", error)),
        }
    }

    pub(super) async fn remove_service(&self, service: Uuid, with_volume: bool) -> Result<()> {
        self.remove_container(&names::service(service)).await?;
        if with_volume {
            self.remove_volume(&names::service_volume(service)).await?;
        }
        Ok(())
    }

    pub(super) async fn observe_service(&self, service: Uuid) -> Result<Option<ObservedService>> {
        let Some(seen) = self.inspect_service(service).await? else { return Ok(None) };
        let apps = self.apps_of(&seen).await?;
        let name = label(&seen, names::ADDON).unwrap_or_default().to_owned();
        let state = seen.state.unwrap_or_default();
        let code = state.exit_code.unwrap_or(-1);
        use ContainerStateStatusEnum as Status;
        let state = match state.status {
            Some(Status::RUNNING | Status::PAUSED | Status::STOPPING) => {
                ServiceState::Running { started_at: time(state.started_at.as_deref()) }
            }
            Some(Status::RESTARTING) => ServiceState::Restarting { code },
            Some(Status::CREATED | Status::EXITED | Status::DEAD | Status::REMOVING | Status::EMPTY) | None => {
                ServiceState::Stopped { code, oom: state.oom_killed.unwrap_or(false) }
            }
        };
        Ok(Some(ObservedService { id: service, name, state, apps }))
    }

    async fn inspect_service(&self, service: Uuid) -> Result<Option<ContainerInspectResponse>> {
        match self.docker().await?.inspect_container(&names::service(service), None).await {
            Ok(seen) => Ok(Some(seen)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(failed("look at the service", error)),
        }
    }

    /// The apps whose networks a container is on.
    async fn apps_of(&self, seen: &ContainerInspectResponse) -> Result<Vec<Uuid>> {
        let filters = labelled([(names::INSTANCE, self.config().instance.as_str())]);
        let networks = self
            .docker()
            .await?
            .list_networks(Some(ListNetworksOptions { filters: Some(filters) }))
            .await
            .map_err(|error| failed("list networks", error))?;
        let on = endpoints(seen);
        let mut apps: Vec<Uuid> = networks
            .into_iter()
            .filter(|network| network.name.as_ref().is_some_and(|name| on.contains_key(name)))
            .filter_map(|network| id_label(&network.labels?, names::APP_ID))
            .collect();
        apps.sort();
        Ok(apps)
    }
}

fn endpoints(seen: &ContainerInspectResponse) -> HashMap<String, EndpointSettings> {
    seen.network_settings.as_ref().and_then(|settings| settings.networks.clone()).unwrap_or_default()
}

fn label<'a>(seen: &'a ContainerInspectResponse, key: &str) -> Option<&'a str> {
    seen.config.as_ref()?.labels.as_ref()?.get(key).map(String::as_str)
}

/// A host name has at most 63 bytes.
fn host_name(name: &str) -> String {
    name.chars().take(63).collect()
}

/// Of everything that only a new container can change; networks come and go without.
fn digest(spec: &ServiceSpec) -> String {
    let told = serde_json::json!([
        spec.name,
        spec.image,
        spec.command,
        spec.env,
        spec.volume_target,
        spec.user,
        spec.memory_bytes,
        spec.labels,
    ]);
    hex::encode(Sha256::digest(told.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_follows_the_container_and_not_the_networks() {
        let mut spec = ServiceSpec {
            id: Uuid::nil(),
            name: "redis".into(),
            image: "paas/redis:7".into(),
            command: vec![],
            env: vec![],
            volume_target: None,
            user: None,
            networks: vec![],
            memory_bytes: 1,
            labels: vec![],
        };
        let before = digest(&spec);
        spec.networks.push(ServiceNetwork {
            app: super::super::super::AppNetwork { app_id: Uuid::nil(), app_name: "a".into() },
            aliases: vec![],
        });
        assert_eq!(digest(&spec), before);
        spec.memory_bytes = 2;
        assert_ne!(digest(&spec), before);
    }
}
