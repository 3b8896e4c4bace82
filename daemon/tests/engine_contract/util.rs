//! A bench for one test: an engine with an instance and a data directory of its own, and a
//! clean-up that runs whatever becomes of the test.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use paas_daemon::engine::docker::DockerEngine;
use paas_daemon::engine::fake::FakeEngine;
use paas_daemon::engine::{
    DynoKind, DynoSpec, DynoState, Engine, EngineConfig, EngineError, Limits, ObservedDyno, Owned, shell,
};
use uuid::Uuid;

/// The image that everything here runs in.
pub const IMAGE: &str = "paas/stack:debian-12";

/// Which engine a test runs against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    Docker,
    Fake,
}

/// One test's engine.
pub struct Bench {
    pub engine: Arc<dyn Engine>,
    /// The same, where only Docker will do.
    pub docker: Option<DockerEngine>,
    pub data: PathBuf,
    pub app_id: Uuid,
}

impl Bench {
    fn new(which: Which, change: impl FnOnce(&mut EngineConfig)) -> Self {
        let instance = format!("engine-test-{}", Uuid::new_v4().simple());
        let data = std::env::temp_dir().join(&instance);
        std::fs::create_dir_all(&data).unwrap();
        let docker = (which == Which::Docker).then(|| {
            let mut config = EngineConfig::new(instance, &data);
            config.init_path = init();
            change(&mut config);
            DockerEngine::new(config)
        });
        let engine: Arc<dyn Engine> = match &docker {
            Some(docker) => Arc::new(docker.clone()),
            None => Arc::new(FakeEngine::new()),
        };
        Self { engine, docker, data, app_id: Uuid::new_v4() }
    }

    /// A dyno of the test's app that runs this command line.
    pub fn spec(&self, command: &str) -> DynoSpec {
        DynoSpec {
            id: Uuid::new_v4(),
            app_id: self.app_id,
            app_name: "contract".into(),
            name: "web.1".into(),
            kind: DynoKind::Formation,
            release_version: 7,
            image: IMAGE.into(),
            slug_dir: None,
            env: vec![("GREETING".into(), "hello".into())],
            command: shell(command),
            limits: Limits { memory_bytes: 64 << 20, cpu_shares: 1024, cpu_millis: None, pids: 64 },
            labels: vec![],
            tty: false,
            stdin: false,
            mounts: vec![],
        }
    }

    pub async fn start(&self, command: &str) -> DynoSpec {
        let spec = self.spec(command);
        self.engine.start(&spec).await.unwrap();
        spec
    }

    pub async fn find(&self, dyno: Uuid) -> Option<ObservedDyno> {
        self.engine.list(None).await.unwrap().into_iter().find(|seen| seen.id == dyno)
    }

    /// Waits for the end; exit code and whether memory was the reason.
    pub async fn end(&self, dyno: Uuid) -> (i64, bool) {
        self.until("the dyno ends", async || match self.find(dyno).await.unwrap().state {
            DynoState::Exited { code, oom, .. } => Some((code, oom)),
            DynoState::Created | DynoState::Running { .. } => None,
        })
        .await
    }

    /// All lines until the dyno ends.
    pub async fn lines(&self, dyno: Uuid) -> Vec<String> {
        let stream = self.engine.output(dyno, None).await.unwrap();
        stream.map(|line| String::from_utf8_lossy(&line.unwrap().bytes).into_owned()).collect().await
    }

    /// Runs a command line to its end: exit code and output, lines joined by `\n`.
    pub async fn run(&self, command: &str) -> (i64, String) {
        let spec = self.start(command).await;
        let lines = self.lines(spec.id).await.join("\n");
        (self.end(spec.id).await.0, lines)
    }

    /// Waits for the dyno to write this line.
    pub async fn line(&self, dyno: Uuid, wanted: &str) {
        let mut stream = self.engine.output(dyno, None).await.unwrap();
        let found = async { while stream.next().await.expect("output goes on").unwrap().bytes != wanted.as_bytes() {} };
        tokio::time::timeout(Duration::from_secs(30), found).await.expect(wanted);
    }

    /// Asks until there is an answer, for a minute.
    pub async fn until<T>(&self, what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
        let begun = Instant::now();
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain until {what}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn clean(&self) {
        for owned in self.engine.owned().await.unwrap_or_default() {
            match owned {
                Owned::Service(id) | Owned::ServiceVolume(id) => drop(self.engine.service_remove(id, true).await),
                Owned::Network { .. } => {}
                Owned::Dyno(_) | Owned::DynoVolume(_) | Owned::DynoDir(_) | Owned::Build { .. } => {
                    drop(self.engine.discard(&owned).await);
                }
            }
        }
        for owned in self.engine.owned().await.unwrap_or_default() {
            drop(self.engine.discard(&owned).await);
        }
        std::fs::remove_dir_all(&self.data).ok();
    }
}

/// Runs a test on a fresh bench and cleans up, also after a panic.
pub fn run<F: Future<Output = ()>>(which: Which, test: impl FnOnce(Arc<Bench>) -> F) {
    run_with(which, |_| {}, test);
}

/// The same with settings of its own.
pub fn run_with<F: Future<Output = ()>>(
    which: Which,
    change: impl FnOnce(&mut EngineConfig),
    test: impl FnOnce(Arc<Bench>) -> F,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let bench = Arc::new(Bench::new(which, change));
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runtime.block_on(async {
            match bench.engine.image_exists(IMAGE).await {
                Ok(true) => {}
                Ok(false) => panic!("the image {IMAGE} is missing: make it with buildpacks/stack/build"),
                Err(EngineError::Unavailable { why }) => panic!(
                    "these tests need a Docker engine at /var/run/docker.sock ({why}): install docker.io and start dockerd, or run deploy/test"
                ),
                Err(error) => panic!("{error}"),
            }
            test(bench.clone()).await;
        });
    }));
    runtime.block_on(bench.clean());
    if let Err(panic) = outcome {
        std::panic::resume_unwind(panic);
    }
}

/// The static init that deploy/test makes; else the one that cargo has made, which does where
/// the image's C library is as new as this machine's.
fn init() -> PathBuf {
    let exe = std::env::current_exe().unwrap();
    let [profile, target] = [2, 3].map(|up| exe.ancestors().nth(up).unwrap());
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    let places = [
        target.join("init").join(&triple).join("debug"),
        target.join("init").join(&triple).join("release"),
        target.join(&triple).join("release"),
        profile.to_owned(),
    ];
    let found = places.iter().map(|place| place.join("paas-init")).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "these tests need paas-init in {}: run deploy/test, or `cargo build -p paas-init` first",
            profile.display()
        )
    })
}
