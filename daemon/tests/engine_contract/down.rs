//! The engine goes away and comes back: a socket of our own before Docker's, so that nobody
//! else's Docker is stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use paas_daemon::engine::docker::DockerEngine;
use paas_daemon::engine::{DynoState, Engine, EngineConfig, EngineError, Signal};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{JoinHandle, JoinSet};

use super::util::{Bench, Which, run, run_with};

/// Hands connections on to Docker until it is dropped; then they break.
struct Door(JoinHandle<()>, PathBuf);

impl Door {
    fn open(path: &Path) -> Self {
        std::fs::remove_file(path).ok();
        let listener = UnixListener::bind(path).unwrap();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                connections.spawn(async move {
                    let mut far = UnixStream::connect("/var/run/docker.sock").await.unwrap();
                    tokio::io::copy_bidirectional(&mut near, &mut far).await.ok();
                });
            }
        });
        Self(task, path.to_owned())
    }

    async fn shut(self) {
        self.0.abort();
        self.0.await.ok();
        std::fs::remove_file(&self.1).unwrap();
    }
}

fn unavailable<T>(result: Result<T, EngineError>) {
    let error = result.err().expect("nobody is there to answer");
    assert!(matches!(error, EngineError::Unavailable { .. }) && error.is_transient(), "{error:?}");
    assert!(error.to_string().contains("systemctl start docker"), "{error}");
}

#[test]
fn an_engine_that_is_not_there_is_unavailable_and_says_what_to_do() {
    run(Which::Docker, async |bench| {
        let hosts = ["unix:///no/such/socket", "tcp://127.0.0.1:1", bench.data.to_str().unwrap()];
        for host in hosts {
            let config = EngineConfig { docker_host: Some(host.into()), ..EngineConfig::new("x", &bench.data) };
            let engine = DockerEngine::new(config);
            unavailable(engine.list(None).await);
            unavailable(engine.start(&bench.spec("true")).await);
            unavailable(engine.remove(bench.app_id).await);
            unavailable(engine.output(bench.app_id, None).await);
            unavailable(engine.prepare().await);
        }
        let config = EngineConfig { docker_host: Some("ssh://x".into()), ..EngineConfig::new("x", &bench.data) };
        let error = DockerEngine::new(config).list(None).await.unwrap_err();
        assert!(matches!(&error, EngineError::Setting(text) if text.contains("PAAS_DOCKER_HOST")), "{error}");
    });
}

#[test]
fn an_engine_that_comes_back_is_found_again() {
    let socket = std::env::temp_dir().join(format!("engine-door-{}.sock", uuid::Uuid::new_v4().simple()));
    let host = format!("unix://{}", socket.display());
    let path = socket.clone();
    let first = move |config: &mut EngineConfig| {
        config.docker_host = Some(host);
        // The bench asks for its image before the test begins.
        std::os::unix::fs::symlink("/var/run/docker.sock", &path).unwrap();
    };
    run_with(Which::Docker, first, async |bench: Arc<Bench>| {
        let door = Door::open(&socket);
        let spec = bench.start("echo one; trap 'echo two' USR1; while :; do sleep 0.1; done").await;
        bench.line(spec.id, "one").await;
        let mut changes = bench.engine.changes();
        changes.next().await.unwrap();
        let mut output = bench.engine.output(spec.id, None).await.unwrap();
        let one = output.next().await.unwrap().unwrap();

        door.shut().await;
        // The reader learns that it is not the end.
        let broken = tokio::time::timeout(Duration::from_secs(10), output.next()).await.unwrap().unwrap();
        unavailable(broken);
        assert!(output.next().await.is_none());
        unavailable(bench.engine.list(None).await);
        unavailable(bench.engine.signal(spec.id, Signal::Term).await);

        let door = Door::open(&socket);
        // A hint comes by itself: something may have happened in between.
        tokio::time::timeout(Duration::from_secs(20), changes.next()).await.unwrap().unwrap();
        assert!(matches!(bench.find(spec.id).await.unwrap().state, DynoState::Running { .. }));
        let mut output = bench.engine.output(spec.id, Some(one.at)).await.unwrap();
        bench.engine.signal(spec.id, Signal::Usr1).await.unwrap();
        assert_eq!(output.next().await.unwrap().unwrap().bytes.as_ref(), b"two");
        bench.engine.remove(spec.id).await.unwrap();
        door.shut().await;
        // For the clean-up.
        std::os::unix::fs::symlink("/var/run/docker.sock", &socket).unwrap();
    });
    std::fs::remove_file(&socket).ok();
}
