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

/// How failures begin that are none of a request's under way.
const REFUSED: &str = "not connected";

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
            let stream = TcpStream::connect(addr).map_err(|e| std::io::Error::other(format!("{REFUSED}: {e}")))?;
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

/// Waits until the daemon has said, behind `told` bytes of its log, that it could go on with this router's sockets.
fn keeps_sockets(server: &Server, told: usize, pid: u64) {
    let word = format!("kept for the next one router.pid={pid}");
    wait_for("the router's sockets to be kept", || server.log()[told..].contains(&word).then_some(()));
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
    let told = server.log().len();
    server.up();
    keeps_sockets(&server, told, second);
    load.goes_on(100);
    assert_eq!(router_pid(&server), Some(second));
    assert_eq!(load.failures(), Vec::<String>::new());

    // Killed, it takes along what is in it: one request of each visitor at most. Whoever comes meanwhile waits
    // for the next one, also where that one follows on another that has just begun.
    let mut last = second;
    for _ in 0..2 {
        let told = server.log().len();
        signal(last, "KILL");
        last = wait_for("another router", || router_pid(&server).filter(|pid| *pid != last));
        keeps_sockets(&server, told, last);
        load.goes_on(100);
        let lost = load.failures();
        let broken_off = |why: &String| !why.starts_with(REFUSED) && !why.contains("HTTP/1.1 5");
        assert!(lost.len() <= load.clients.len() && lost.iter().all(broken_off), "{lost:?}");
        load.goes_on(100);
        assert_eq!(load.failures(), Vec::<String>::new());
        assert_eq!(router_pid(&server), Some(last));
    }
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

/// Asks by curl; the status, 0 where nobody answers.
fn asked(arguments: &[&str]) -> u16 {
    let usual = ["-s", "-m", "20", "-o", "/dev/null", "-w", "%{http_code}"];
    let output = Command::new("curl").args(usual).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().parse().unwrap()
}

/// The sockets of a router that was killed are gone on with only where the settings still say so.
#[test]
fn a_killed_router_is_followed_by_one_at_the_address_that_is_set() {
    let addresses = [free_address(), free_address()].map(|address| address.to_string());
    let mut server = Server::start("moved", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", addresses[0].as_str())]);
    let listens = |address: &str| asked(&[&format!("http://{address}/")]) == 404;
    let first = wait_for("the router", || router_pid(&server));
    wait_for("its answer", || listens(&addresses[0]).then_some(()));
    server.terminate();
    server.setting("PAAS_HTTP_LISTEN", &addresses[1]);
    let told = server.log().len();
    server.up();
    keeps_sockets(&server, told, first);
    assert!(listens(&addresses[0]) && !listens(&addresses[1]), "it stays as it is");
    signal(first, "KILL");
    wait_for("another router", || router_pid(&server).filter(|pid| *pid != first));
    wait_for("its answer", || listens(&addresses[1]).then_some(()));
    assert_eq!(asked(&[&format!("http://{}/", addresses[0])]), 0, "nobody keeps the old port");
}

/// What is set for the router reaches the one that the daemon starts.
#[test]
fn the_routers_own_settings_are_its() {
    let address = free_address();
    let made = rcgen::generate_simple_self_signed(vec!["shop.example.org".to_owned()]).unwrap();
    let dir = std::env::temp_dir().join(format!("paas-independence-tls-{}", std::process::id()));
    fs::create_dir_all(&dir).unwrap();
    let [cert, key] = ["cert.pem", "key.pem"].map(|name| dir.join(name).display().to_string());
    fs::write(&cert, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let listen = address.to_string();
    let settings = [
        ("PAAS_ROUTER", "managed"),
        ("PAAS_HTTP_LISTEN", ""),
        ("PAAS_HTTPS_LISTEN", &listen),
        ("PAAS_TLS_CERT", &cert),
        ("PAAS_TLS_KEY", &key),
    ];
    let server = Server::start("settings", &settings);
    let to = format!("shop.example.org:{}:127.0.0.1", address.port());
    let url = format!("https://shop.example.org:{}/", address.port());
    wait_for("visitors to get the certificate", || {
        (asked(&["--cacert", &cert, "--resolve", &to, &url]) == 404).then_some(())
    });
    let said = router(&server).unwrap();
    assert_eq!((&said["http"], &said["https"]), (&serde_json::json!([]), &serde_json::json!([listen])));
    let app = server.app("settings");
    let shown = server.get(&format!("/apps/{app}"));
    assert_eq!(shown["web_url"], format!("https://{app}.localhost:{}/", address.port()));
    fs::remove_dir_all(&dir).unwrap();
}
