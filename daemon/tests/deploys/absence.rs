//! The engine stops in the middle of a deploy and comes back. It is a socket of our own before
//! Docker's that goes away, so that nobody else's Docker is stopped.

use std::{
    fs, io,
    net::Shutdown,
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{
    engine::{Delays, new_container},
    util::{Server, wait_for},
};

/// Hands connections on to Docker until it is shut; then they break.
pub(crate) struct Door {
    path: PathBuf,
    open: Arc<AtomicBool>,
    connections: Arc<Mutex<Vec<UnixStream>>>,
    task: thread::JoinHandle<()>,
}

impl Door {
    pub(crate) fn open(path: &Path) -> Self {
        let listener = UnixListener::bind(path).unwrap();
        let open = Arc::new(AtomicBool::new(true));
        let connections: Arc<Mutex<Vec<UnixStream>>> = Arc::default();
        let (still, all) = (open.clone(), connections.clone());
        let task = thread::spawn(move || {
            while let Ok((near, _)) = listener.accept() {
                if !still.load(Ordering::SeqCst) {
                    return;
                }
                let far = UnixStream::connect("/var/run/docker.sock").unwrap();
                for (from, to) in [(&near, &far), (&far, &near)] {
                    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    thread::spawn(move || {
                        let _ = io::copy(&mut from, &mut to);
                        let _ = to.shutdown(Shutdown::Write);
                    });
                }
                all.lock().unwrap().extend([near, far]);
            }
        });
        Self { path: path.to_owned(), open, connections, task }
    }

    pub(crate) fn shut(self) {
        self.open.store(false, Ordering::SeqCst);
        // For the one that waits for somebody to come.
        drop(UnixStream::connect(&self.path));
        self.task.join().unwrap();
        fs::remove_file(&self.path).unwrap();
        for connection in self.connections.lock().unwrap().iter() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }
}

#[test]
fn an_engine_that_stops_while_it_deploys() {
    let socket = std::env::temp_dir().join(format!("paas-deploys-door-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let host = format!("unix://{}", socket.display());
    let mut door = Door::open(&socket);
    let server = Server::start("absence", &[("PAAS_DOCKER_HOST", &host), ("PAAS_STOP_GRACE", "5")]);
    let watch = server.watch();
    let mut delays = Delays::new();
    let app = server.app("absence");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: python3 -m http.server $PORT\nworker: bash serve.sh\n");
    copy.write("serve.sh", "trap 'exit 0' TERM; while :; do sleep 0.1; done\n");
    copy.commit("Second");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    server.scale(&app, &[("web", 2), ("worker", 1)]);
    server.settled(&[(&app, &[("web", 2), ("worker", 1)])]);
    for round in 0..2 {
        let before = server.containers("dyno");
        server.set(&app, "ROUND", &format!("{round} begun"));
        new_container(&server, &before);
        thread::sleep(delays.up_to(1200));
        let told = server.log().len();
        door.shut();
        // The rest goes on, without delay, and takes what is asked.
        let asked = Instant::now();
        assert!(!server.dynos(&app).is_empty());
        server.set(&app, "ROUND", &format!("{round} done"));
        server.scale(&app, &[("web", 1 + round), ("worker", 2)]);
        assert!(asked.elapsed() < Duration::from_secs(5), "the API took {:?}", asked.elapsed());
        wait_for("a word of what is wrong", || {
            let log = server.log();
            let new = log.get(told..)?;
            (new.contains("Docker") && new.contains("systemctl start docker")).then_some(())
        });
        copy.commit("While it is gone");
        let (taken, said) = copy.push(&["main"]);
        assert!(!taken && said.contains(" !     Push rejected, the build could not be run: "), "{said}");
        assert!(said.contains("Docker"), "{said}");
        door = Door::open(&socket);
        server.settled(&[(&app, &[("web", 1 + round), ("worker", 2)])]);
        assert_eq!(server.get(&format!("/apps/{app}/config-vars"))["ROUND"], format!("{round} done"));
    }
    watch.no_worker_twice();
    door.shut();
}

#[test]
fn an_engine_that_stops_in_the_middle_of_a_build() {
    let socket = std::env::temp_dir().join(format!("paas-deploys-build-door-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let host = format!("unix://{}", socket.display());
    let door = Door::open(&socket);
    let server = Server::start("absent-build", &[("PAAS_DOCKER_HOST", &host)]);
    let app = server.app("absent-build");
    let copy = server.copy(&app);
    copy.gemfile("sleep 600");
    let push = copy.command(&["push", &copy.remote, "main"]).stderr(std::process::Stdio::piped()).spawn().unwrap();
    wait_for("a build", || (!server.build_containers().is_empty()).then_some(()));
    door.shut();
    let output = push.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains(" !     Push rejected, the build could not be run: "), "{said}");
    assert!(!server.build_containers().is_empty(), "nobody could remove it");
    let door = Door::open(&socket);
    wait_for("the end of its container", || server.build_containers().is_empty().then_some(()));
    copy.git(&["rm", "-q", "Gemfile", "Gemfile.lock"]);
    copy.commit("Good");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    door.shut();
}
