//! A sandbox that starts plain processes, and what a build needs around it.
#![allow(clippy::unwrap_used, clippy::expect_used, dead_code, unreachable_pub, reason = "tests")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use paas_buildpacks::build::{BuildError, Outcome, Request, build};
use paas_buildpacks::catalog::Catalog;
use paas_buildpacks::output::Output;
use paas_buildpacks::sandbox::{CancellationToken, Exit, Limits, Sandbox, SandboxError, Step};
use tokio::io::AsyncReadExt;

/// Runs steps as processes of this user: paths inside the sandbox become the host's by
/// replacing the places of mounts. Good for the flow of a build; limits are not its thing,
/// except time and cancellation.
pub struct Processes;

#[async_trait]
impl Sandbox for Processes {
    async fn run(&self, step: &Step, output: &mut dyn Output) -> Result<Exit, SandboxError> {
        let mut mounts = step.mounts.clone();
        mounts.sort_by_key(|mount| std::cmp::Reverse(mount.container.len()));
        let place = |text: &str| {
            let hit = mounts.iter().find(|m| text == m.container || text.starts_with(&format!("{}/", m.container)));
            match hit {
                Some(mount) => format!("{}{}", mount.host.display(), &text[mount.container.len()..]),
                None => text.to_owned(),
            }
        };
        let mut command = tokio::process::Command::new(place(&step.argv[0]));
        command
            .args(step.argv[1..].iter().map(|arg| place(arg)))
            .env_clear()
            .envs(step.env.iter().map(|(key, value)| (key, place(value))))
            .current_dir(place(&step.cwd))
            .stdin(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer.try_clone().unwrap()).stderr(writer);
        let mut child = command.spawn().unwrap();
        drop(command);
        let group = child.id().unwrap();
        let mut reader = tokio::fs::File::from_std(std::fs::File::from(std::os::fd::OwnedFd::from(reader)));
        let mut exit = None;
        let mut buffer = [0; 4096];
        let time = tokio::time::sleep(step.limits.time);
        tokio::pin!(time);
        loop {
            tokio::select! {
                read = reader.read(&mut buffer) => match read {
                    Ok(0) | Err(_) => break,
                    Ok(n) => output.write(&buffer[..n]),
                },
                () = step.cancel.cancelled(), if exit.is_none() => exit = Some(Exit::Cancelled),
                () = &mut time, if exit.is_none() => exit = Some(Exit::TimedOut),
            }
            if exit.is_some() {
                let _ = std::process::Command::new("kill").args(["-KILL", "--", &format!("-{group}")]).status();
            }
        }
        let status = child.wait().await.unwrap();
        Ok(exit.unwrap_or(Exit::Code(status.code().unwrap_or(137))))
    }
}

/// A build's directory with a source tree, a cache, and packs of its own.
pub struct Bench {
    pub root: PathBuf,
    pub request: Request,
    pub catalog: Catalog,
    pub said: Vec<u8>,
}

impl Bench {
    pub fn new(name: &str) -> Self {
        let root = std::env::temp_dir().join(format!("paas-bench-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("build/source")).unwrap();
        let root = root.canonicalize().unwrap();
        let user = fs::metadata(&root).unwrap();
        use std::os::unix::fs::MetadataExt;
        Self {
            catalog: Catalog::open(&root.join("catalog")).unwrap(),
            request: Request {
                id: "0198-test".into(),
                directory: root.join("build"),
                cache: root.join("cache"),
                stack: "debian-12".into(),
                image: "paas/stack:debian-12".into(),
                labels: Vec::new(),
                buildpacks: Vec::new(),
                config_vars: BTreeMap::new(),
                source_version: "abc123".into(),
                env: Vec::new(),
                mounts: Vec::new(),
                submodules: Vec::new(),
                tests: None,
                owner: (user.uid(), user.gid()),
                limits: Limits {
                    memory_bytes: 1 << 30,
                    cpus: 1.0,
                    pids: 256,
                    time: Duration::from_secs(60),
                    disk_bytes: 1 << 30,
                },
                cancel: CancellationToken::new(),
            },
            said: Vec::new(),
            root,
        }
    }

    /// A file of the source.
    pub fn file(&self, path: &str, content: &str) -> &Self {
        write(&self.root.join("build/source").join(path), content);
        self
    }

    /// A pack in place of one of ours: a script each.
    pub fn pack(&self, dir: &str, scripts: &[(&str, &str)]) -> &Self {
        let pack = self.catalog.packs().join(dir);
        let _ = fs::remove_dir_all(&pack);
        for (name, script) in scripts {
            write(&pack.join("bin").join(name), &format!("#!/bin/bash\n{script}\n"));
        }
        self
    }

    /// Removes all of our packs.
    pub fn no_packs(&self) -> &Self {
        fs::remove_dir_all(self.catalog.packs()).unwrap();
        fs::create_dir_all(self.catalog.packs()).unwrap();
        self
    }

    pub async fn build(&mut self) -> Result<Outcome, BuildError> {
        build(&Processes, &self.catalog, &self.request, &mut self.said).await
    }

    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.said).replace(&self.root.display().to_string(), "ROOT")
    }

    pub fn slug(&self, path: &str) -> String {
        fs::read_to_string(self.root.join("build/source").join(path)).unwrap_or_default()
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn write(path: &Path, content: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}
