//! Dynos as containers: start, signal, remove.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use bollard::models::{
    ContainerCreateBody, ContainerStateStatusEnum, HealthConfig, HostConfig, HostConfigLogConfig, Mount as DockerMount,
    MountType, MountVolumeOptions, ResourcesUlimits,
};
use bollard::query_parameters::{CreateContainerOptions, KillContainerOptions, RemoveContainerOptions};
use uuid::Uuid;

use super::super::{AppNetwork, DynoSpec, EngineError, Limits, Mount, Result, Signal};
use super::client::{failed, status};
use super::overlay::DynoFiles;
use super::{DockerEngine, names};

/// Where init is inside.
const INIT: &str = "/paas-init";
/// Where init notes, at the end, what Docker may not know of it.
const NOTE: &str = "/paas-end";
/// Open files; Heroku's figure.
const OPEN_FILES: u64 = 10_000;
/// `/dev/shm`, counted against the memory limit: headless browsers and Postgres clients want some.
const SHM_BYTES: i64 = 64 << 20;
/// Microseconds over which processor time is counted out: the kernel's usual figure.
const CPU_PERIOD: i64 = 100_000;
/// Under memory pressure of the whole machine the kernel takes dynos before the daemon.
const OOM_SCORE: i64 = 500;
/// Where the CA bundle is inside: where Debian's and Ubuntu's programs look.
const CA_TARGET: &str = "/etc/ssl/certs/ca-certificates.crt";
/// Variables by which programs with certificates of their own are told to use it.
const CA_VARIABLES: [&str; 7] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "PIP_CERT",
    "REQUESTS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
];

impl DockerEngine {
    pub(super) async fn start_dyno(&self, spec: &DynoSpec) -> Result<()> {
        if !self.create_dyno(spec).await? && !self.is_only_created(spec.id).await? {
            return Ok(());
        }
        self.start_created(spec.id).await
    }

    /// Starts a container that was made and has not run.
    pub(super) async fn start_created(&self, dyno: Uuid) -> Result<()> {
        let docker = self.docker().await?;
        let name = names::dyno(dyno);
        docker.start_container(&name, None).await.map_err(|error| failed("start the dyno", error))
    }

    /// Makes the dyno's container and all it needs; false when there is one already.
    pub(super) async fn create_dyno(&self, spec: &DynoSpec) -> Result<bool> {
        let docker = self.docker().await?;
        self.ensure_app_network(&AppNetwork { app_id: spec.app_id, app_name: spec.app_name.clone() }).await?;
        let files = self.ensure_overlay(spec).await?;
        let body = self.body(spec, &files)?;
        let options = CreateContainerOptions { name: Some(names::dyno(spec.id)), ..Default::default() };
        match docker.create_container(Some(options), body).await {
            Ok(_) => Ok(true),
            Err(error) if status(&error) == Some(409) => Ok(false),
            Err(error) => {
                // Nothing may stay of a dyno that could not be made.
                let problem = failed("make the dyno's container", error);
                self.remove_overlay(spec.id).await?;
                Err(problem)
            }
        }
    }

    async fn is_only_created(&self, dyno: Uuid) -> Result<bool> {
        let docker = self.docker().await?;
        let seen = docker
            .inspect_container(&names::dyno(dyno), None)
            .await
            .map_err(|error| failed("look at the dyno", error))?;
        Ok(seen.state.and_then(|state| state.status) == Some(ContainerStateStatusEnum::CREATED))
    }

    pub(super) async fn signal_dyno(&self, dyno: Uuid, signal: Signal) -> Result<()> {
        let docker = self.docker().await?;
        let options = KillContainerOptions { signal: signal.as_str().to_owned() };
        match docker.kill_container(&names::dyno(dyno), Some(options)).await {
            Ok(()) => Ok(()),
            // Not there; there but not running.
            Err(error) if matches!(status(&error), Some(404 | 409)) => Ok(()),
            Err(error) => Err(failed("signal the dyno", error)),
        }
    }

    pub(super) async fn remove_dyno(&self, dyno: Uuid) -> Result<()> {
        self.remove_container(&names::dyno(dyno)).await?;
        self.remove_overlay(dyno).await
    }

    /// Kills and removes a container, with the anonymous volumes that its image declares, and
    /// returns when it is gone. Gone is success.
    pub(super) async fn remove_container(&self, name: &str) -> Result<()> {
        let docker = self.docker().await?;
        let options = RemoveContainerOptions { force: true, v: true, ..Default::default() };
        match docker.remove_container(name, Some(options)).await {
            Ok(()) => return Ok(()),
            Err(error) if status(&error) == Some(404) => return Ok(()),
            // Somebody else is removing it.
            Err(error) if status(&error) == Some(409) => {}
            Err(error) => return Err(failed("remove the container", error)),
        }
        for _ in 0..300 {
            match docker.inspect_container(name, None).await {
                Err(error) if status(&error) == Some(404) => return Ok(()),
                Err(error) => return Err(failed("look at the container", error)),
                Ok(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        Err(EngineError::InUse { what: format!("the container {name}"), by: "a removal that does not end".to_owned() })
    }

    /// What [`super::observe`] reads back, and what people see in `docker ps`.
    pub(super) fn dyno_labels(&self, spec: &DynoSpec) -> HashMap<String, String> {
        let own = [
            (names::INSTANCE, self.config().instance.clone()),
            (names::KIND, "dyno".to_owned()),
            (names::APP, spec.app_name.clone()),
            (names::APP_ID, spec.app_id.to_string()),
            (names::DYNO, spec.name.clone()),
            (names::DYNO_ID, spec.id.to_string()),
            (names::DYNO_KIND, spec.kind.as_str().to_owned()),
            (names::RELEASE, spec.release_version.to_string()),
        ];
        spec.labels.iter().cloned().chain(own.map(|(key, value)| (key.to_owned(), value))).collect()
    }

    fn body(&self, spec: &DynoSpec, files: &DynoFiles) -> Result<ContainerCreateBody> {
        if let Some(problem) = missing_init(&self.config().init_path) {
            return Err(problem);
        }
        let mut mounts = vec![
            DockerMount {
                typ: Some(MountType::VOLUME),
                source: Some(names::dyno_volume(spec.id)),
                target: Some("/app".to_owned()),
                // Nothing of the image's own /app is to be copied into it.
                volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..Default::default() }),
                ..Default::default()
            },
            bind(&files.tmp, "/tmp", false)?,
            bind(&files.note, NOTE, false)?,
            bind(&self.config().init_path, INIT, true)?,
        ];
        for Mount { source, target, read_only } in &spec.mounts {
            mounts.push(bind(source, &target.to_string_lossy(), *read_only)?);
        }
        let mut env = spec.env.clone();
        if !env.iter().any(|(key, _)| key == "HOME") {
            env.push(("HOME".to_owned(), "/app".to_owned()));
        }
        self.add_ca(&mut mounts, &mut env)?;
        let mut host = confined(&spec.limits);
        host.mounts = Some(mounts);
        host.network_mode = Some(names::network(spec.app_id));
        host.readonly_rootfs = Some(true);
        Ok(ContainerCreateBody {
            image: Some(spec.image.clone()),
            hostname: Some(spec.id.to_string()),
            user: Some(names::DYNO_USER.to_owned()),
            working_dir: Some("/app".to_owned()),
            entrypoint: Some(vec![INIT.to_owned(), "--".to_owned()]),
            cmd: Some(spec.command.clone()),
            env: Some(env.into_iter().map(|(key, value)| format!("{key}={value}")).collect()),
            labels: Some(self.dyno_labels(spec)),
            tty: Some(spec.tty),
            open_stdin: Some(spec.stdin),
            // Whoever is attached and leaves closes standard input.
            stdin_once: Some(spec.stdin),
            attach_stdin: Some(spec.stdin),
            attach_stdout: Some(spec.stdin),
            attach_stderr: Some(spec.stdin),
            healthcheck: Some(HealthConfig { test: Some(vec!["NONE".to_owned()]), ..Default::default() }),
            host_config: Some(host),
            ..Default::default()
        })
    }

    /// Adds the CA bundle, if one is set, and the variables that point at it unless the app
    /// sets them itself.
    pub(super) fn add_ca(&self, mounts: &mut Vec<DockerMount>, env: &mut Vec<(String, String)>) -> Result<()> {
        let Some(bundle) = &self.config().ca_bundle else { return Ok(()) };
        mounts.push(bind(bundle, CA_TARGET, true)?);
        for variable in CA_VARIABLES {
            if !env.iter().any(|(key, _)| key == variable) {
                env.push((variable.to_owned(), CA_TARGET.to_owned()));
            }
        }
        Ok(())
    }
}

/// What to do when init is not where it should be.
pub(super) fn missing_init(path: &Path) -> Option<EngineError> {
    (!path.is_file()).then(|| {
        EngineError::Setting(format!(
            "paas-init, the first process of every dyno, is not at {}. Put it there (deploy/quickstart builds it) or name its directory in PAAS_LIBEXEC_DIR.",
            path.display()
        ))
    })
}

/// The part of a container's settings that keeps strangers' code in: dynos and builds alike.
/// Docker's default seccomp profile is on as long as nothing turns it off.
pub(super) fn confined(limits: &Limits) -> HostConfig {
    let memory = i64::try_from(limits.memory_bytes).unwrap_or(i64::MAX);
    let files = i64::try_from(open_files()).unwrap_or(1024);
    HostConfig {
        memory: Some(memory),
        // The same figure: no swap beyond it.
        memory_swap: Some(memory),
        cpu_shares: Some(i64::from(limits.cpu_shares)),
        // Not as `nano_cpus`, which Docker refuses above the number of cores.
        cpu_period: limits.cpu_millis.map(|_| CPU_PERIOD),
        cpu_quota: limits.cpu_millis.map(|millis| i64::from(millis) * CPU_PERIOD / 1000),
        pids_limit: Some(i64::from(limits.pids)),
        ulimits: Some(vec![ulimit("nofile", files), ulimit("core", 0)]),
        shm_size: Some(SHM_BYTES),
        oom_score_adj: Some(OOM_SCORE),
        cap_drop: Some(vec!["ALL".to_owned()]),
        security_opt: Some(vec!["no-new-privileges:true".to_owned()]),
        ipc_mode: Some("private".to_owned()),
        privileged: Some(false),
        log_config: Some(log_config()),
        ..Default::default()
    }
}

/// Docker's own copy of the output only bridges the time in which our daemon is down.
/// `json-file`, because it keeps nanoseconds and can be read from a point in time; blocking, so
/// that no line is dropped; 3 × 10 MB per dyno, because an unbounded file fills the disk
/// (Docker's default) and a smaller one loses a busy app's lines over a daemon's upgrade.
pub(super) fn log_config() -> HostConfigLogConfig {
    let options = [("max-size", "10m"), ("max-file", "3")];
    HostConfigLogConfig {
        typ: Some("json-file".to_owned()),
        config: Some(options.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
    }
}

/// One limit of the shell's `ulimit`, soft and hard.
pub(super) fn ulimit(name: &str, value: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(value), hard: Some(value) }
}

/// At most what this process may open itself: without CAP_SYS_RESOURCE a higher limit makes
/// the start fail.
fn open_files() -> u64 {
    rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum.map_or(OPEN_FILES, |own| own.min(OPEN_FILES))
}

/// A file or directory of the host seen inside.
pub(super) fn bind(source: &Path, target: &str, read_only: bool) -> Result<DockerMount> {
    let source = source.to_str().filter(|_| source.is_absolute()).ok_or_else(|| {
        EngineError::Setting(format!("{} can't be mounted: Docker wants an absolute path in UTF-8.", source.display()))
    })?;
    Ok(DockerMount {
        typ: Some(MountType::BIND),
        source: Some(source.to_owned()),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        ..Default::default()
    })
}
