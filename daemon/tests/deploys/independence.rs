//! Visitors go on whatever dies: the daemon, the router, Docker's engine.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::Value;

use crate::{
    absence::Door,
    util::{Server, wait_for},
};

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Visitors without a pause, half of them on kept connections. Nobody asks twice: what fails
/// is kept as a failure.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    failures: Arc<Mutex<Vec<String>>>,
    clients: Vec<thread::JoinHandle<()>>,
}

impl Load {
    pub(crate) fn on(addr: SocketAddr, app: &str) -> Self {
        let (stop, answered, failures) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default(), Arc::default());
        let clients = (0..4)
            .map(|number| {
                let (stop, answered, failures) = (Arc::clone(&stop), Arc::clone(&answered), Arc::clone(&failures));
                let close = if number % 2 == 0 { "Connection: close\r\n" } else { "" };
                let ask = format!("GET /index.html HTTP/1.1\r\nHost: {app}.localhost\r\n{close}\r\n");
                thread::spawn(move || {
                    let failed = |error: std::io::Error| {
                        let failures: &Mutex<Vec<String>> = &failures;
                        failures.lock().unwrap().push(error.to_string());
                        // Nobody to connect to: not as fast as one can.
                        thread::sleep(Duration::from_millis(10));
                    };
                    let mut kept = None;
                    while !stop.load(Ordering::Relaxed) {
                        match visit(addr, kept.take(), &ask) {
                            Ok(connection) => {
                                kept = connection;
                                answered.fetch_add(1, Ordering::Relaxed);
                            }
                            Err(error) => failed(error),
                        }
                    }
                })
            })
            .collect();
        Self { stop, answered, failures, clients }
    }

    /// Waits until so many more were answered.
    pub(crate) fn goes_on(&self, more: usize) {
        let wanted = self.answered.load(Ordering::Relaxed) + more;
        wait_for("more answers", || (self.answered.load(Ordering::Relaxed) >= wanted).then_some(()));
    }

    /// What has failed since it was asked last.
    pub(crate) fn failures(&self) -> Vec<String> {
        std::mem::take(&mut *self.failures.lock().unwrap())
    }

    pub(crate) fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
    }
}

/// One request, on a kept connection if there is one; gives it back if it can be kept.
pub(crate) fn visit(
    addr: SocketAddr,
    kept: Option<BufReader<TcpStream>>,
    ask: &str,
) -> std::io::Result<Option<BufReader<TcpStream>>> {
    let mut stream = match kept {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect(addr)?;
            stream.set_read_timeout(Some(Duration::from_secs(60)))?;
            BufReader::new(stream)
        }
    };
    stream.get_mut().write_all(ask.as_bytes())?;
    let (mut head, mut length, mut close) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line)? == 0 {
            return Err(std::io::Error::other(format!("it ended after {head:?}")));
        }
        let lower = line.trim().to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length: ") {
            length = value.parse().map_err(std::io::Error::other)?;
        }
        close |= lower == "connection: close";
        head.push_str(&line);
        if lower.is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    if !head.starts_with("HTTP/1.1 200 ") || body != b"hello" {
        return Err(std::io::Error::other(format!("{head}{}", String::from_utf8_lossy(&body))));
    }
    Ok((!close).then_some(stream))
}

/// A daemon with a router of its own, and an app that answers.
pub(crate) fn stage(name: &str, more: &[(&str, &str)]) -> (Server, SocketAddr, String) {
    let addr = free_address();
    let listen = addr.to_string();
    let settings = [&[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", listen.as_str())], more].concat();
    let server = Server::start(name, &settings);
    let app = server.app(name);
    let copy = server.copy(&app);
    copy.write("Procfile", "web: python3 -m http.server $PORT\n");
    copy.write("index.html", "hello");
    copy.commit("Second");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    let ask = format!("GET /index.html HTTP/1.1\r\nHost: {app}.localhost\r\nConnection: close\r\n\r\n");
    wait_for("the app's answer", || visit(addr, None, &ask).ok());
    (server, addr, app)
}

/// What the router says of itself, if one answers.
fn router(server: &Server) -> Option<Value> {
    let socket = server.root.join("data/run/router.sock");
    let output = Command::new("curl").args(["-s", "--unix-socket"]).arg(socket).arg("http://router/status").output();
    serde_json::from_slice(&output.unwrap().stdout).ok()
}

fn router_pid(server: &Server) -> Option<u64> {
    router(server)?["pid"].as_u64()
}

fn signal(pid: u64, name: &str) {
    assert!(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap().success());
}

#[test]
fn the_daemon_and_the_router_die_and_are_replaced_under_load() {
    let (mut server, addr, app) = stage("independence", &[]);
    let load = Load::on(addr, &app);
    load.goes_on(100);
    let first = router_pid(&server).unwrap();

    server.kill();
    load.goes_on(100);
    server.up();
    load.goes_on(100);
    server.terminate();
    load.goes_on(100);
    server.up();
    load.goes_on(100);
    assert_eq!(router_pid(&server), Some(first), "it was adopted");
    assert_eq!(load.failures(), Vec::<String>::new());

    // An upgrade: another file at the router's path, and the daemon starts anew.
    let path = server.root.join("libexec/paas-router");
    let beside = path.with_extension("new");
    let program = fs::canonicalize(&path).unwrap();
    assert!(Command::new("cp").arg(program).arg(&beside).status().unwrap().success());
    fs::rename(&beside, &path).unwrap();
    server.terminate();
    server.up();
    let second = wait_for("the upgraded router", || router_pid(&server).filter(|pid| *pid != first));
    assert_eq!(fs::read_link(format!("/proc/{second}/exe")).unwrap(), path);
    wait_for("a word of it", || server.log().contains("the router has handed over to its new program").then_some(()));
    load.goes_on(100);
    assert_eq!(load.failures(), Vec::<String>::new());
    // Once more with the daemon only: the router is the right one now.
    server.terminate();
    server.up();
    wait_for("its adoption", || server.log().contains(&format!("a router answers router.pid={second}")).then_some(()));
    load.goes_on(100);
    assert_eq!(router_pid(&server), Some(second));
    assert_eq!(load.failures(), Vec::<String>::new());

    // Killed, it takes along what is in it; the daemon starts another one.
    signal(second, "KILL");
    let third = wait_for("another router", || router_pid(&server).filter(|pid| *pid != second));
    load.goes_on(1);
    let lost = load.failures();
    load.goes_on(100);
    assert_eq!(load.failures(), Vec::<String>::new(), "after {lost:?}");
    assert!(lost.iter().all(|why| !why.contains("HTTP/1.1 5")), "{lost:?}");
    assert_eq!(router_pid(&server), Some(third));
    load.end();
}

/// As in `absence`, it is a socket before Docker's that goes away: Docker itself is everybody's
/// here. `killed_engine` has one of its own.
#[test]
fn requests_go_on_without_the_engine() {
    let socket = std::env::temp_dir().join(format!("paas-independence-door-{}.sock", std::process::id()));
    let _ = fs::remove_file(&socket);
    let host = format!("unix://{}", socket.display());
    let door = Door::open(&socket);
    let (mut server, addr, app) = stage("engine", &[("PAAS_DOCKER_HOST", &host)]);
    let containers = server.containers("dyno");
    let load = Load::on(addr, &app);
    load.goes_on(100);
    door.shut();
    wait_for("a word of what is wrong", || server.log().contains("systemctl start docker").then_some(()));
    load.goes_on(100);
    // Not even a router or a daemon that starts needs it for what runs.
    let first = router_pid(&server).unwrap();
    signal(first, "USR2");
    wait_for("another router", || router_pid(&server).filter(|pid| *pid != first));
    load.goes_on(100);
    server.kill();
    load.goes_on(100);
    server.up();
    load.goes_on(100);
    let door = Door::open(&socket);
    load.goes_on(100);
    let (status, body) = server.request("GET", &format!("/apps/{app}/dynos"), &[]);
    assert!(status == 200 && body.contains("\"up\""), "{status} {body}");
    server.settled(&[(&app, &[("web", 1)])]);
    assert_eq!(server.containers("dyno"), containers, "nothing was started again");
    load.goes_on(100);
    assert_eq!(load.failures(), Vec::<String>::new());
    load.end();
    drop(server);
    door.shut();
}
