//! A test apart from the machine: in namespaces of its own, with a Docker engine of its own that
//! may be killed, since the machine's is everybody's. Two engines of one network collide on
//! bridges and firewall rules; in here nothing of the other one is seen.
//!
//! The test runs twice: outside, where it makes the namespaces and starts itself once more, and
//! inside. When the first process in there ends, all others do, and their mounts go with them:
//! what stays is a directory and the containers' cgroups, which the one outside removes.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde_json::json;

use crate::util::wait_for;

/// What its apps run in; taken over from the machine's engine.
const IMAGE: &str = "paas/stack:debian-12";
/// Set inside: the directory for everything.
const HOME: &str = "PAAS_TEST_APART";
/// The first process inside, which also reaps: Docker's engine with its usual paths, and with
/// nothing of the machine's services, which are met through `/run`.
const FIRST: &str = r#"mount -t tmpfs -o mode=755 tmpfs /run
ip link set lo up
"$@"
exit $?"#;

/// Runs `work` with an engine of its own. `test` is the whole name of the test that calls this.
pub(crate) fn apart(test: &str, work: impl FnOnce(&mut Engine)) {
    if let Some(home) = std::env::var_os(HOME).map(PathBuf::from) {
        let mut engine = Engine::start(&home);
        work(&mut engine);
        return fs::write(home.join("passed"), []).unwrap();
    }
    let home = Home::new();
    let docker = Path::new("/run/docker.sock");
    let host = format!("unix://{}", docker.display());
    let mut image = Command::new("docker").args(["save", IMAGE]).stdout(Stdio::piped()).spawn().unwrap();
    let inside = Command::new("setpriv")
        .args(["--pdeathsig", "KILL"])
        .args(["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"])
        .args(["bash", "-ec", FIRST, "bash"])
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(HOME, &home.0)
        .env("TMPDIR", &home.0)
        .envs([("DOCKER_HOST", &host), ("PAAS_DOCKER_HOST", &host)])
        // Of the network outside.
        .env_remove("PAAS_TEST_DATABASE_URL")
        .stdin(image.stdout.take().unwrap())
        .status()
        .unwrap();
    image.wait().unwrap();
    assert!(
        inside.success(),
        "{inside}: what failed inside is above. It needs root, unshare and setpriv (util-linux), ip (iproute2), and dockerd as a program"
    );
    assert!(home.0.join("passed").exists(), "{test} is not the name of the test");
}

/// The directory of a test and the cgroup of its containers.
struct Home(PathBuf);

impl Home {
    fn new() -> Self {
        let home = Self(std::env::temp_dir().join(format!("paas-apart-{}", std::process::id())));
        let _ = fs::remove_dir_all(&home.0);
        fs::create_dir_all(&home.0).unwrap();
        home
    }

    fn cgroup(home: &Path) -> &str {
        home.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
        let list = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
        // One tree for each resource, or one for all.
        let root = Path::new("/sys/fs/cgroup");
        for group in list(root).chain([root.to_owned()]).map(|tree| tree.join(Self::cgroup(&self.0))) {
            for container in list(&group).filter(|path| path.is_dir()) {
                let _ = fs::remove_dir(container);
            }
            let _ = fs::remove_dir(group);
        }
    }
}

/// Docker's engine, with `live-restore`.
pub(crate) struct Engine {
    home: PathBuf,
    child: Child,
}

impl Engine {
    /// Starts one, with the image.
    fn start(home: &Path) -> Self {
        let settings = json!({
            "live-restore": true,
            "data-root": home.join("docker"),
            "cgroup-parent": format!("/{}", Home::cgroup(home)),
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "bridge": "none",
        });
        fs::write(home.join("daemon.json"), settings.to_string()).unwrap();
        let engine = Self { home: home.to_owned(), child: Self::spawn(home) };
        engine.answers();
        let loaded = Command::new("docker").arg("load").stdin(Stdio::inherit()).output().unwrap();
        assert!(loaded.status.success(), "the image {IMAGE} of the machine's engine: {loaded:?}");
        engine
    }

    fn spawn(home: &Path) -> Child {
        let log = fs::File::options().create(true).append(true).open(home.join("dockerd.log")).unwrap();
        Command::new("dockerd")
            .arg("--config-file")
            .arg(home.join("daemon.json"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("dockerd, which this test starts one of its own of")
    }

    fn answers(&self) {
        wait_for("the engine's answer", || {
            Command::new("docker").arg("version").output().unwrap().status.success().then_some(())
        });
    }

    /// Starts it again, and waits until it answers.
    pub(crate) fn up(&mut self) {
        self.child = Self::spawn(&self.home);
        self.answers();
    }

    /// As by the kernel for memory. It takes its containerd along, not the containers.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As by `systemctl stop`: it is asked to end.
    pub(crate) fn terminate(&mut self) {
        Command::new("kill").arg(self.child.id().to_string()).status().unwrap();
        let ended = self.child.wait().unwrap();
        assert!(ended.success(), "{ended}");
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.home.join("dockerd.log")).unwrap_or_default());
        }
    }
}
