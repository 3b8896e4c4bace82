//! Builds in containers: strangers' code with limits on everything, watched while it runs.
//!
//! Like a dyno, a build runs unprivileged on a read-only image below our init; it sees only
//! what the step mounts and the network `paas-build`. What a dyno has no limit for is watched
//! here: time, and the disk under the step's writable mounts.

use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HealthConfig, HostConfig};
use bollard::query_parameters::{AttachContainerOptions, CreateContainerOptions};
use futures_util::TryStreamExt;
use paas_buildpacks::output::Output;
use paas_buildpacks::sandbox::{Exit, Sandbox, SandboxError, Step};

use super::super::{EngineError, Limits, Result};
use super::client::failed;
use super::dyno::{bind, confined, ulimit};
use super::overlay::blocking;
use super::{DockerEngine, names};

/// How often the disk is looked at. A disk takes about a gigabyte in that time.
const LOOK: Duration = Duration::from_secs(1);
/// Half an ordinary share: dynos come first when the processor is contended.
const CPU_SHARES: u32 = 512;
/// Where init is inside.
const INIT: &str = "/paas-init";
/// Seconds for processes that the program leaves behind.
const GRACE: &str = "5";
/// 128 + SIGXFSZ: a single file was to become larger than the whole budget.
const FILE_TOO_LARGE: i64 = 128 + 25;
/// For `/tmp` when the step brings none; counted as memory.
const TMP_OPTIONS: &str = "rw,nosuid,nodev,exec,mode=1777";

/// Runs the steps of builds on a Docker engine.
#[derive(Clone)]
pub struct DockerSandbox {
    engine: DockerEngine,
}

impl DockerSandbox {
    /// A sandbox on this engine.
    pub fn new(engine: DockerEngine) -> Self {
        Self { engine }
    }
}

#[async_trait]
impl Sandbox for DockerSandbox {
    async fn run(&self, step: &Step, output: &mut dyn Output) -> std::result::Result<Exit, SandboxError> {
        self.engine.run_step(step, output).await.map_err(|error| match error {
            EngineError::NoSuchImage { image } => SandboxError::NoImage { image },
            EngineError::Unavailable { .. }
            | EngineError::OutOfResources { .. }
            | EngineError::NotFound { .. }
            | EngineError::AlreadyThere { .. }
            | EngineError::InUse { .. }
            | EngineError::Disk { .. }
            | EngineError::Setting(_)
            | EngineError::Other { .. } => SandboxError::Engine { message: error.to_string() },
        })
    }
}

/// Removes the container when the future is dropped half-way.
struct Guard {
    engine: DockerEngine,
    name: String,
    armed: bool,
}

impl Drop for Guard {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        let (engine, name) = (self.engine.clone(), std::mem::take(&mut self.name));
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move {
                if let Err(error) = engine.remove_container(&name).await {
                    tracing::warn!("A build's container ({name}) could not be removed: {error}");
                }
            });
        }
    }
}

impl DockerEngine {
    async fn run_step(&self, step: &Step, output: &mut dyn Output) -> Result<Exit> {
        if step.cancel.is_cancelled() {
            return Ok(Exit::Cancelled);
        }
        let docker = self.docker().await?;
        self.ensure_build_network().await?;
        let name = format!("paas-{}-{}", self.config().instance, step.name);
        // Left over from a daemon that was killed.
        self.remove_container(&name).await?;
        let body = self.step_body(step)?;
        let options = CreateContainerOptions { name: Some(name.clone()), ..Default::default() };
        let mut guard = Guard { engine: self.clone(), name: name.clone(), armed: true };
        docker
            .create_container(Some(options), body)
            .await
            .map_err(|error| failed("make the build's container", error))?;
        let attach = AttachContainerOptions { stream: true, stdout: true, stderr: true, ..Default::default() };
        let attached = docker
            .attach_container(&name, Some(attach))
            .await
            .map_err(|error| failed("read the build's output", error))?;
        docker.start_container(&name, None).await.map_err(|error| failed("start the build", error))?;
        let ended = tokio::select! {
            ended = self.until_step_ends(&name, attached.output, output) => ended?,
            () = step.cancel.cancelled() => Exit::Cancelled,
            () = tokio::time::sleep(step.limits.time) => Exit::TimedOut,
            () = self.until_disk_is_full(step) => Exit::DiskFull,
        };
        self.remove_container(&name).await?;
        guard.armed = false;
        Ok(ended)
    }

    async fn until_step_ends(
        &self,
        name: &str,
        mut records: impl futures_util::Stream<Item = std::result::Result<LogOutput, bollard::errors::Error>> + Unpin,
        output: &mut dyn Output,
    ) -> Result<Exit> {
        while let Some(record) = records.try_next().await.map_err(|error| failed("read the build's output", error))? {
            output.write(record.as_ref());
        }
        let code = self.wait(name).await?;
        let seen = self
            .docker()
            .await?
            .inspect_container(name, None)
            .await
            .map_err(|error| failed("look at the build", error))?;
        let oom = seen.state.and_then(|state| state.oom_killed).unwrap_or(false);
        Ok(match code {
            FILE_TOO_LARGE => Exit::DiskFull,
            code if oom && code != 0 => Exit::OutOfMemory,
            code => Exit::Code(i32::try_from(code).unwrap_or(i32::MAX)),
        })
    }

    /// Returns when the step's writable mounts hold more than its budget, or the host's disk
    /// has less free than the reserve.
    async fn until_disk_is_full(&self, step: &Step) {
        let writable: Vec<PathBuf> =
            step.mounts.iter().filter(|mount| !mount.read_only).map(|mount| mount.host.clone()).collect();
        let reserve = self.config().disk_reserve;
        let budget = step.limits.disk_bytes;
        let mut ticks = tokio::time::interval(LOOK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let writable = writable.clone();
            let full = blocking(move || {
                let free = writable.iter().filter_map(|path| free_bytes(path)).min().unwrap_or(u64::MAX);
                Ok(free < reserve || writable.iter().map(|path| used_bytes(path)).sum::<u64>() > budget)
            });
            if full.await.unwrap_or(false) {
                return;
            }
        }
    }

    fn step_body(&self, step: &Step) -> Result<ContainerCreateBody> {
        let mut mounts = vec![bind(&self.config().init_path, INIT, true)?];
        for mount in &step.mounts {
            mounts.push(bind(&mount.host, &mount.container, mount.read_only)?);
        }
        let mut env = step.env.clone();
        self.add_ca(&mut mounts, &mut env)?;
        let own = [(names::KIND, "build"), (names::INSTANCE, self.config().instance.as_str())];
        let labels =
            step.labels.iter().cloned().chain(own.map(|(key, value)| (key.to_owned(), value.to_owned()))).collect();
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count of thousandths of cores")]
        let cpu_millis = (step.limits.cpus > 0.0).then_some((step.limits.cpus * 1000.0) as u32);
        let limits = Limits {
            memory_bytes: step.limits.memory_bytes,
            cpu_shares: CPU_SHARES,
            cpu_millis,
            pids: u32::try_from(step.limits.pids).unwrap_or(u32::MAX),
        };
        let mut host = confined(&limits);
        if let Some(ulimits) = &mut host.ulimits {
            ulimits.push(ulimit("fsize", i64::try_from(step.limits.disk_bytes).unwrap_or(i64::MAX)));
        }
        if !step.mounts.iter().any(|mount| mount.container == "/tmp") {
            host.tmpfs = Some([("/tmp".to_owned(), TMP_OPTIONS.to_owned())].into());
        }
        let argv = [INIT, "--grace", GRACE, "--"].map(str::to_owned).into_iter().chain(step.argv.iter().cloned());
        Ok(ContainerCreateBody {
            image: Some(step.image.clone()),
            user: Some(names::DYNO_USER.to_owned()),
            working_dir: Some(step.cwd.clone()),
            entrypoint: Some(argv.collect()),
            cmd: Some(Vec::new()),
            env: Some(env.into_iter().map(|(key, value)| format!("{key}={value}")).collect()),
            labels: Some(labels),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
            host_config: Some(HostConfig {
                mounts: Some(mounts),
                network_mode: Some(names::BUILD_NETWORK.to_owned()),
                readonly_rootfs: Some(true),
                ..host
            }),
            ..Default::default()
        })
    }
}

/// Bytes on disk below a path, links not followed; each file's blocks, so that a sparse file
/// counts what it takes.
pub(super) fn used_bytes(path: &std::path::Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let mut bytes = 0;
    // No recursion: a build may nest directories deeper than a stack.
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        bytes += metadata.blocks() * 512;
        if metadata.is_dir() {
            waiting.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        }
    }
    bytes
}

/// Bytes that are free on the path's disk.
fn free_bytes(path: &std::path::Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(path).ok()?;
    Some(disk.f_bavail * disk.f_frsize)
}
