//! An engine in memory, with faults on demand: for the fast tests of everything above.
//!
//! Dynos run without processes. Commands are read as far as tests need it: the last argument,
//! cut at `;` and line feeds, may say `echo TEXT`, `exit CODE`, `sleep …` (stays) and
//! `trap '' TERM` (stays through SIGTERM); anything else stays, as a server would. Tests move
//! dynos by hand too ([`FakeEngine::exit`], [`FakeEngine::write`]) and break the engine
//! ([`FakeEngine::set_down`], [`FakeEngine::fail_next`]).

mod engine;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

use super::{DynoSpec, DynoState, EngineError, OutputLine, OutputStream, Result, ServiceSpec};

/// The calls that [`FakeEngine::fail_next`] can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Call {
    /// [`super::Engine::start`] and [`super::Engine::start_attached`].
    Start,
    /// [`super::Engine::signal`].
    Signal,
    /// [`super::Engine::remove`].
    Remove,
    /// [`super::Engine::list`].
    List,
    /// [`super::Engine::service_start`].
    ServiceStart,
    /// [`super::Engine::service_remove`].
    ServiceRemove,
}

/// An engine in memory. Clones are the same engine.
#[derive(Clone)]
pub struct FakeEngine {
    state: Arc<Mutex<State>>,
    /// Counts what happened; followers wait for it to move.
    version: Arc<watch::Sender<u64>>,
}

struct State {
    dynos: BTreeMap<Uuid, FakeDyno>,
    services: BTreeMap<Uuid, (ServiceSpec, bool)>,
    volumes: BTreeSet<Uuid>,
    networks: BTreeSet<Uuid>,
    /// Services that say nothing.
    silent: BTreeSet<Uuid>,
    missing_images: BTreeSet<String>,
    faults: BTreeMap<Call, Vec<EngineError>>,
    down: bool,
    /// Calls that panic.
    panics: BTreeSet<Call>,
    /// Moves by a millisecond with every reading. It begins with the engine, so that what counts
    /// from a dyno's start, such as its time to live, is not over at once.
    clock: DateTime<Utc>,
    /// What [`super::Engine::changes`] yields.
    hints: broadcast::Sender<Option<Uuid>>,
}

struct FakeDyno {
    spec: DynoSpec,
    state: DynoState,
    ignores_term: bool,
    address: IpAddr,
    output: Vec<OutputLine>,
    oom_kills: u64,
}

impl Default for FakeEngine {
    fn default() -> Self {
        let state = State {
            dynos: BTreeMap::new(),
            services: BTreeMap::new(),
            volumes: BTreeSet::new(),
            networks: BTreeSet::new(),
            missing_images: BTreeSet::new(),
            faults: BTreeMap::new(),
            down: false,
            panics: BTreeSet::new(),
            silent: BTreeSet::new(),
            clock: begun(),
            hints: broadcast::Sender::new(1024),
        };
        Self { state: Arc::new(Mutex::new(state)), version: Arc::new(watch::Sender::new(0)) }
    }
}

#[allow(clippy::disallowed_methods, reason = "an engine has a clock of its own")]
fn begun() -> DateTime<Utc> {
    Utc::now()
}

impl FakeEngine {
    /// An engine with nothing on it.
    pub fn new() -> Self {
        Self::default()
    }

    /// While down, every call gives [`EngineError::Unavailable`].
    pub fn set_down(&self, down: bool) {
        self.change(|state| {
            state.down = down;
            state.hint(None);
        });
    }

    /// The next call of this kind fails with `error`; said twice, the next two do.
    pub fn fail_next(&self, call: Call, error: EngineError) {
        self.change(|state| state.faults.entry(call).or_default().push(error));
    }

    /// The next call of this kind panics: what happens when a part of the daemon has a fault.
    pub fn panic_next(&self, call: Call) {
        self.change(|state| state.panics.insert(call));
    }

    /// Dynos of this image can't be started.
    pub fn lose_image(&self, image: &str) {
        self.change(|state| state.missing_images.insert(image.to_owned()));
    }

    /// From now on the service runs and says nothing to whoever asks it, without end.
    pub fn silence(&self, service: Uuid) {
        self.change(|state| state.silent.insert(service));
    }

    /// The apps on whose networks a service is.
    pub fn networks_of(&self, service: Uuid) -> Vec<Uuid> {
        let state = self.lock();
        let spec = state.services.get(&service).map(|(spec, _)| spec);
        spec.map(|spec| spec.networks.iter().map(|network| network.app.app_id).collect()).unwrap_or_default()
    }

    /// The dyno's main process ends by itself.
    pub fn exit(&self, dyno: Uuid, code: i64, oom: bool) {
        self.change(|state| state.end(dyno, code, oom));
    }

    /// The kernel kills a process of the dyno that is not its main one.
    pub fn kill_child(&self, dyno: Uuid) {
        self.change(|state| {
            if let Some(dyno) = state.dynos.get_mut(&dyno) {
                dyno.oom_kills += 1;
            }
        });
    }

    /// The dyno writes a line.
    pub fn write(&self, dyno: Uuid, stream: OutputStream, line: &str) {
        self.change(|state| state.write(dyno, stream, line));
    }

    /// Gives the dyno another address: tests let a server of theirs answer for it.
    pub fn set_address(&self, dyno: Uuid, address: IpAddr) {
        self.change(|state| {
            if let Some(dyno) = state.dynos.get_mut(&dyno) {
                dyno.address = address;
                let app_id = dyno.spec.app_id;
                state.hint(Some(app_id));
            }
        });
    }

    /// What the dyno was started with.
    pub fn spec(&self, dyno: Uuid) -> Option<DynoSpec> {
        self.lock().dynos.get(&dyno).map(|dyno| dyno.spec.clone())
    }

    /// What a service was started with.
    pub fn service_spec(&self, service: Uuid) -> Option<ServiceSpec> {
        self.lock().services.get(&service).map(|(spec, _)| spec.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        let result = work(&mut self.lock());
        self.version.send_modify(|version| *version += 1);
        result
    }

    /// Runs a call unless the engine is down or the call is to fail.
    fn call<T>(&self, call: Option<Call>, work: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        self.change(|state| {
            if state.down {
                return Err(EngineError::Unavailable { why: "the fake engine is down".to_owned() });
            }
            if let Some(call) = call.filter(|call| state.panics.remove(call)) {
                panic!("{call:?} was told to panic");
            }
            let fault = call.and_then(|call| state.faults.get_mut(&call)).filter(|faults| !faults.is_empty());
            match fault {
                Some(faults) => Err(faults.remove(0)),
                None => work(state),
            }
        })
    }

    fn look<T>(&self, work: impl FnOnce(&State) -> T) -> Result<T> {
        let state = self.lock();
        match state.down {
            true => Err(EngineError::Unavailable { why: "the fake engine is down".to_owned() }),
            false => Ok(work(&state)),
        }
    }

    async fn wait_for<T>(&self, mut look: impl FnMut(&State) -> Option<T>) -> T {
        let mut versions = self.version.subscribe();
        loop {
            versions.mark_unchanged();
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            // The sender lives as long as `self`.
            let _ = versions.changed().await;
        }
    }
}

impl State {
    fn now(&mut self) -> DateTime<Utc> {
        self.clock += TimeDelta::milliseconds(1);
        self.clock
    }

    fn start(&mut self, spec: &DynoSpec) -> Result<bool> {
        if self.dynos.contains_key(&spec.id) {
            return Ok(false);
        }
        if self.missing_images.contains(&spec.image) {
            return Err(EngineError::NoSuchImage { image: spec.image.clone() });
        }
        self.networks.insert(spec.app_id);
        let started_at = self.now();
        let octet = u8::try_from(self.dynos.len() % 250).unwrap_or(0) + 2;
        let dyno = FakeDyno {
            spec: spec.clone(),
            state: DynoState::Running { started_at },
            ignores_term: false,
            address: IpAddr::V4(Ipv4Addr::new(127, 1, 0, octet)),
            output: Vec::new(),
            oom_kills: 0,
        };
        self.dynos.insert(spec.id, dyno);
        self.hint(Some(spec.app_id));
        let script = spec.command.last().cloned().unwrap_or_default();
        for word in script.split([';', '\n']).map(str::trim) {
            if let Some(text) = word.strip_prefix("echo ") {
                self.write(spec.id, OutputStream::Stdout, text);
            } else if let Some(code) = word.strip_prefix("exit ").and_then(|code| code.parse().ok()) {
                self.end(spec.id, code, false);
                break;
            } else if word == "trap '' TERM" {
                if let Some(dyno) = self.dynos.get_mut(&spec.id) {
                    dyno.ignores_term = true;
                }
            } else {
                break;
            }
        }
        Ok(true)
    }

    fn end(&mut self, dyno: Uuid, code: i64, oom: bool) {
        let finished_at = self.now();
        if let Some(dyno) = self.dynos.get_mut(&dyno)
            && matches!(dyno.state, DynoState::Running { .. })
        {
            dyno.state = DynoState::Exited { code, oom, finished_at };
            let app_id = dyno.spec.app_id;
            self.hint(Some(app_id));
        }
    }

    fn write(&mut self, dyno: Uuid, stream: OutputStream, line: &str) {
        let at = self.now();
        if let Some(dyno) = self.dynos.get_mut(&dyno) {
            dyno.output.push(OutputLine { at, stream, bytes: Bytes::copy_from_slice(line.as_bytes()) });
        }
    }

    /// Something may have changed in this app, or in any.
    fn hint(&self, app: Option<Uuid>) {
        // Nobody need be listening.
        let _ = self.hints.send(app);
    }

    fn networks_in_use(&self, app_id: Uuid) -> Vec<String> {
        let dynos = self
            .dynos
            .values()
            .filter(|dyno| dyno.spec.app_id == app_id && matches!(dyno.state, DynoState::Running { .. }));
        let services =
            self.services.values().filter(|(spec, _)| spec.networks.iter().any(|network| network.app.app_id == app_id));
        dynos.map(|dyno| dyno.spec.name.clone()).chain(services.map(|(spec, _)| spec.name.clone())).collect()
    }
}

impl FakeDyno {
    fn ended(&self) -> Option<i64> {
        match self.state {
            DynoState::Exited { code, .. } => Some(code),
            DynoState::Created | DynoState::Running { .. } => None,
        }
    }
}
