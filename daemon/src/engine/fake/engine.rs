//! The port's calls, answered from memory.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use uuid::Uuid;

use super::super::{
    AppNetwork, DynoSpec, Engine, EngineError, ExecSpec, Node, ObservedDyno, ObservedService, OutputLine, Owned,
    Result, ServiceNetwork, ServiceSpec, ServiceState, Session, SessionControl, Signal, Target, Usage,
};
use super::{Call, FakeEngine, State};

/// What waiting followers learn of a dyno.
enum Progress {
    Line(OutputLine),
    Over,
}

#[async_trait]
impl Engine for FakeEngine {
    async fn prepare(&self) -> Result<Vec<String>> {
        self.look(|_| Vec::new())
    }

    async fn start(&self, spec: &DynoSpec) -> Result<()> {
        self.call(Some(Call::Start), |state| state.start(spec).map(drop))
    }

    async fn start_attached(&self, spec: &DynoSpec) -> Result<Session> {
        let new = self.call(Some(Call::Start), |state| state.start(spec))?;
        if !new {
            return Err(EngineError::AlreadyThere { what: format!("The dyno {} ({})", spec.name, spec.id) });
        }
        let output = self
            .output(spec.id, None)
            .await?
            .map(|line| line.map(|line| (line.stream, Bytes::from([line.bytes.as_ref(), b"\n"].concat()))));
        Ok(Session {
            input: Box::pin(tokio::io::sink()),
            output: output.boxed(),
            control: Arc::new(FakeControl { engine: self.clone(), dyno: Some(spec.id) }),
        })
    }

    async fn signal(&self, dyno: Uuid, signal: Signal) -> Result<()> {
        self.call(Some(Call::Signal), |state| {
            let ignores_term = state.dynos.get(&dyno).is_some_and(|dyno| dyno.ignores_term);
            match signal {
                Signal::Kill => state.end(dyno, 137, false),
                Signal::Term if !ignores_term => state.end(dyno, 143, false),
                Signal::Term | Signal::Int | Signal::Hup | Signal::Usr1 | Signal::Usr2 | Signal::Winch => {}
            }
            Ok(())
        })
    }

    async fn remove(&self, dyno: Uuid) -> Result<()> {
        self.call(Some(Call::Remove), |state| {
            if let Some(dyno) = state.dynos.remove(&dyno) {
                state.hint(Some(dyno.spec.app_id));
            }
            Ok(())
        })
    }

    async fn list(&self, app: Option<Uuid>) -> Result<Vec<ObservedDyno>> {
        self.call(Some(Call::List), |state| {
            Ok(state
                .dynos
                .values()
                .filter(|dyno| app.is_none_or(|app| dyno.spec.app_id == app))
                .map(|dyno| ObservedDyno {
                    id: dyno.spec.id,
                    app_id: dyno.spec.app_id,
                    name: dyno.spec.name.clone(),
                    kind: dyno.spec.kind,
                    release_version: dyno.spec.release_version,
                    state: dyno.state.clone(),
                    address: dyno.ended().is_none().then_some(dyno.address),
                })
                .collect())
        })
    }

    fn changes(&self) -> BoxStream<'static, Option<Uuid>> {
        let hints = self.lock().hints.subscribe();
        stream::unfold((hints, true), |(mut hints, first)| async move {
            let hint = if first { None } else { hints.recv().await.unwrap_or_default() };
            Some((hint, (hints, false)))
        })
        .boxed()
    }

    async fn output(&self, dyno: Uuid, since: Option<DateTime<Utc>>) -> Result<BoxStream<'static, Result<OutputLine>>> {
        if !self.look(|state| state.dynos.contains_key(&dyno))? {
            return Err(EngineError::NotFound { what: format!("dyno {dyno}") });
        }
        let engine = self.clone();
        let lines = stream::unfold(since, move |since| {
            let engine = engine.clone();
            async move {
                let progress = engine.wait_for(|state| {
                    let Some(dyno) = state.dynos.get(&dyno) else { return Some(Progress::Over) };
                    let next = dyno.output.iter().find(|line| since.is_none_or(|since| line.at > since));
                    match next {
                        Some(line) => Some(Progress::Line(line.clone())),
                        None => dyno.ended().map(|_| Progress::Over),
                    }
                });
                match progress.await {
                    Progress::Line(line) => Some((Ok(line.clone()), Some(line.at))),
                    Progress::Over => None,
                }
            }
        });
        Ok(lines.boxed())
    }

    async fn exec(&self, target: Target, spec: &ExecSpec) -> Result<Session> {
        let there = self.look(|state| match target {
            Target::Dyno(id) => state.dynos.get(&id).is_some_and(|dyno| dyno.ended().is_none()),
            Target::Service(id) => state.services.get(&id).is_some_and(|(_, runs)| *runs),
        })?;
        if !there {
            return Err(EngineError::NotFound { what: format!("running container for {target:?}") });
        }
        let silent = self.look(|state| matches!(target, Target::Service(id) if state.silent.contains(&id)))?;
        let last = spec.argv.last().map(String::as_str).unwrap_or_default();
        let said = match last {
            "ping" => "PONG",
            "resetstat" => "OK",
            line => line.strip_prefix("echo ").unwrap_or_default(),
        };
        let output = match (silent, said.is_empty()) {
            (true, _) => stream::pending().boxed(),
            (false, false) => {
                let line = Bytes::from(format!("{said}\n"));
                stream::iter([Ok((super::super::OutputStream::Stdout, line))]).boxed()
            }
            (false, true) => stream::empty().boxed(),
        };
        Ok(Session {
            input: Box::pin(tokio::io::sink()),
            output,
            control: Arc::new(FakeControl { engine: self.clone(), dyno: None }),
        })
    }

    async fn usage(&self, dyno: Uuid) -> Result<Option<Usage>> {
        self.look(|state| {
            let dyno = state.dynos.get(&dyno).filter(|dyno| dyno.ended().is_none())?;
            Some(Usage {
                limit: dyno.spec.limits.memory_bytes,
                pids: 1,
                oom_kills: Some(dyno.oom_kills),
                ..Usage::default()
            })
        })
    }

    async fn written(&self, _: Uuid) -> Result<u64> {
        self.look(|_| 0)
    }

    async fn image_exists(&self, image: &str) -> Result<bool> {
        self.look(|state| !state.missing_images.contains(image))
    }

    async fn nodes(&self) -> Result<Vec<Node>> {
        self.look(|_| {
            let (name, version) = ("fake".to_owned(), "0".to_owned());
            vec![Node { name, cpus: 2, memory_bytes: 8 << 30, version, outlived: true, ready: true }]
        })
    }

    async fn ensure_network(&self, app: &AppNetwork) -> Result<()> {
        self.call(None, |state| {
            state.networks.insert(app.app_id);
            Ok(())
        })
    }

    async fn remove_network(&self, app_id: Uuid) -> Result<()> {
        self.call(None, |state| {
            let by = state.networks_in_use(app_id).join(", ");
            if !by.is_empty() {
                return Err(EngineError::InUse { what: format!("the network of app {app_id}"), by });
            }
            state.networks.remove(&app_id);
            Ok(())
        })
    }

    async fn service_start(&self, spec: &ServiceSpec) -> Result<()> {
        self.call(Some(Call::ServiceStart), |state| {
            if state.missing_images.contains(&spec.image) {
                return Err(EngineError::NoSuchImage { image: spec.image.clone() });
            }
            if spec.volume_target.is_some() {
                state.volumes.insert(spec.id);
            }
            state.networks.extend(spec.networks.iter().map(|network| network.app.app_id));
            state.services.insert(spec.id, (spec.clone(), true));
            Ok(())
        })
    }

    async fn service_stop(&self, service: Uuid, _: u32) -> Result<()> {
        self.call(None, |state| {
            if let Some((_, runs)) = state.services.get_mut(&service) {
                *runs = false;
            }
            Ok(())
        })
    }

    async fn service_remove(&self, service: Uuid, with_volume: bool) -> Result<()> {
        self.call(Some(Call::ServiceRemove), |state| {
            state.services.remove(&service);
            if with_volume {
                state.volumes.remove(&service);
            }
            Ok(())
        })
    }

    async fn service_connect(&self, service: Uuid, network: &ServiceNetwork) -> Result<()> {
        self.call(None, |state| {
            state.networks.insert(network.app.app_id);
            let Some((spec, _)) = state.services.get_mut(&service) else {
                return Err(EngineError::NotFound { what: format!("service {service}") });
            };
            spec.networks.retain(|other| other.app.app_id != network.app.app_id);
            spec.networks.push(network.clone());
            Ok(())
        })
    }

    async fn service_disconnect(&self, service: Uuid, app_id: Uuid) -> Result<()> {
        self.call(None, |state| {
            if let Some((spec, _)) = state.services.get_mut(&service) {
                spec.networks.retain(|network| network.app.app_id != app_id);
            }
            Ok(())
        })
    }

    async fn service(&self, service: Uuid) -> Result<Option<ObservedService>> {
        self.look(|state| {
            let (spec, runs) = state.services.get(&service)?;
            let mut apps: Vec<Uuid> = spec.networks.iter().map(|network| network.app.app_id).collect();
            apps.sort();
            let state = match runs {
                true => ServiceState::Running { started_at: DateTime::<Utc>::UNIX_EPOCH },
                false => ServiceState::Stopped { code: 0, oom: false },
            };
            Some(ObservedService { id: service, name: spec.name.clone(), state, apps })
        })
    }

    async fn owned(&self) -> Result<Vec<Owned>> {
        self.look(|state| {
            let dynos =
                state.dynos.keys().flat_map(|id| [Owned::Dyno(*id), Owned::DynoVolume(*id), Owned::DynoDir(*id)]);
            let services = state.services.keys().copied().map(Owned::Service);
            let volumes = state.volumes.iter().copied().map(Owned::ServiceVolume);
            let networks = state.networks.iter().map(|app_id| Owned::Network { app_id: *app_id });
            let mut owned: Vec<Owned> = dynos.chain(services).chain(volumes).chain(networks).collect();
            owned.sort();
            owned
        })
    }

    async fn discard(&self, owned: &Owned) -> Result<()> {
        match owned {
            Owned::Dyno(id) | Owned::DynoVolume(id) | Owned::DynoDir(id) => self.remove(*id).await,
            Owned::Service(id) => self.service_remove(*id, false).await,
            Owned::Network { app_id } => self.remove_network(*app_id).await,
            Owned::Build { .. } => Ok(()),
            Owned::ServiceVolume(id) => {
                Err(EngineError::InUse { what: format!("the data of add-on {id}"), by: "its owner".to_owned() })
            }
        }
    }
}

/// Waits for a dyno; a program beside it has ended well at once.
struct FakeControl {
    engine: FakeEngine,
    dyno: Option<Uuid>,
}

#[async_trait]
impl SessionControl for FakeControl {
    async fn resize(&self, _: u16, _: u16) -> Result<()> {
        Ok(())
    }

    async fn exit_code(&self) -> Result<i64> {
        let Some(id) = self.dyno else { return Ok(0) };
        let seen = |state: &State| match state.dynos.get(&id) {
            Some(dyno) => dyno.ended(),
            None => Some(137),
        };
        Ok(self.engine.wait_for(seen).await)
    }

    async fn hang_up(&self) -> Result<()> {
        Ok(())
    }
}
