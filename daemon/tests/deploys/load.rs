//! While the daemon restarts, is killed, deploys, sets config, restarts and scales an app of one
//! dyno, requests go on through the real router: none is dropped, and none answered but by 200.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::util::{Server, wait_for};

/// A web process that ends as a good one does: no new connections, the requests under way first.
pub(crate) const APP: &str = "
import http.server, os, signal, threading, time
lock, count = threading.Lock(), [0]
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    wbufsize = -1
    def answer(self):
        with lock: count[0] += 1
        try:
            self.rfile.read(int(self.headers.get('content-length') or 0))
            if self.path == '/slow': time.sleep(0.3)
            body = f\"{open('version').read().strip()} {os.environ.get('ROUND')} {os.environ['DYNO']}\\n\".encode()
            self.send_response(200)
            self.send_header('Content-Length', str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            self.wfile.flush()
        finally:
            with lock: count[0] -= 1
    do_GET = do_POST = answer
    def log_message(self, *rest): pass
class Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True
server = Server(('', int(os.environ['PORT'])), Handler)
def end(*rest): threading.Thread(target=server.shutdown).start()
signal.signal(signal.SIGTERM, end)
server.serve_forever()
while count[0]: time.sleep(0.01)
os._exit(0)
";

/// Requests without a pause between them worth the name, until it is stopped.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<AtomicUsize>,
    wrong: Arc<Mutex<Vec<Wrong>>>,
    threads: Vec<JoinHandle<()>>,
    slowest: Arc<Mutex<Duration>>,
    begin: Instant,
}

/// A request that was not answered by 200.
struct Wrong {
    sent: Instant,
    /// By 503, and not by the end of the connection.
    answered: bool,
    text: String,
}

pub(crate) type Connection = BufReader<TcpStream>;

pub(crate) fn connect(to: SocketAddr) -> std::io::Result<Connection> {
    let stream = TcpStream::connect_timeout(&to, Duration::from_secs(10))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

/// Status and body of one request.
pub(crate) fn request(on: &mut Connection, head: &str) -> std::io::Result<(u16, String)> {
    on.get_mut().write_all(head.as_bytes())?;
    let mut line = String::new();
    on.read_line(&mut line)?;
    let gone = || std::io::Error::new(std::io::ErrorKind::UnexpectedEof, "the connection ended without an answer");
    let status = line.split_whitespace().nth(1).and_then(|word| word.parse().ok()).ok_or_else(gone)?;
    let mut length = 0;
    loop {
        let mut line = String::new();
        on.read_line(&mut line)?;
        let Some((name, value)) = line.split_once(':') else { break };
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    on.read_exact(&mut body)?;
    Ok((status, String::from_utf8_lossy(&body).into_owned()))
}

pub(crate) fn head(host: &str, kind: usize, kept: bool) -> String {
    let (line, more, body) = match kind % 4 {
        0 => ("GET /slow", "", ""),
        1 => ("POST /", "Content-Length: 5\r\n", "hello"),
        _ => ("GET /", "", ""),
    };
    let connection = if kept { "keep-alive" } else { "close" };
    format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: {connection}\r\n{more}\r\n{body}")
}

impl Load {
    pub(crate) fn start(to: SocketAddr, host: &str) -> Self {
        let mut load = Self {
            stop: Arc::default(),
            count: Arc::default(),
            wrong: Arc::default(),
            threads: Vec::new(),
            slowest: Arc::default(),
            begin: Instant::now(),
        };
        for number in 0..8 {
            let (kept, head) = (number < 4, head(host, number, number < 4));
            let (stop, count, wrong, slowest) =
                (load.stop.clone(), load.count.clone(), load.wrong.clone(), load.slowest.clone());
            let begin = load.begin;
            load.threads.push(std::thread::spawn(move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    let sent = Instant::now();
                    let answer = (|| {
                        if connection.is_none() {
                            connection = Some(connect(to)?);
                        }
                        request(connection.as_mut().unwrap(), &head)
                    })();
                    // The router ends a connection whose request it could not read to its end.
                    if !kept || !matches!(answer, Ok((200, _))) {
                        connection = None;
                    }
                    let took = sent.elapsed();
                    let mut most = slowest.lock().unwrap();
                    *most = took.max(*most);
                    drop(most);
                    count.fetch_add(1, Ordering::Relaxed);
                    if !matches!(answer, Ok((200, _))) {
                        let first = head.lines().next().unwrap_or_default();
                        let text = format!(
                            "{first}, kept {kept}, {:?} from the start, took {took:?}: {answer:?}",
                            begin.elapsed()
                        );
                        let answered = matches!(answer, Ok((503, _)));
                        wrong.lock().unwrap().push(Wrong { sent, answered, text });
                    }
                    // The machine has other things to do too.
                    std::thread::sleep(Duration::from_millis(4));
                }
            }));
        }
        load
    }

    pub(crate) fn end(self, what: &str) {
        self.end_but(what, None);
    }

    /// What was sent before `crash` may have been lost in it, and is answered then.
    pub(crate) fn end_but(self, what: &str, crash: Option<Instant>) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads {
            thread.join().unwrap();
        }
        let (count, mut wrong) = (self.count.load(Ordering::Relaxed), self.wrong.lock().unwrap());
        let slowest = self.slowest.lock().unwrap();
        eprintln!(
            "{what}: {count} requests in {:?}, {} wrong, the slowest {slowest:?}",
            self.begin.elapsed(),
            wrong.len()
        );
        assert!(count > 20, "{what}: that was no load");
        wrong.retain(|wrong| !wrong.answered || crash.is_none_or(|crash| wrong.sent > crash));
        let texts: Vec<&str> = wrong.iter().take(10).map(|wrong| wrong.text.as_str()).collect();
        assert!(texts.is_empty(), "{what}: {} of {count} were dropped: {texts:#?}", wrong.len());
    }
}

pub(crate) fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn nothing_that_changes_drops_a_request() {
    let to = free();
    let mut server = Server::start("load", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", &to.to_string())]);
    let app = server.app("load");
    let mut copy = server.copy(&app);
    copy.write("Procfile", "web: python3 app.py\n");
    copy.write("app.py", APP);
    copy.write("version", "one\n");
    copy.commit("One");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    let host = format!("{app}.localhost");
    let body = || connect(to).and_then(|mut c| request(&mut c, &head(&host, 2, false))).unwrap_or_default().1;
    wait_for("the first answer", || body().starts_with("one None").then_some(()));
    let router = fs::read_to_string(server.root.join("data/run/router.pid")).unwrap();

    let load = Load::start(to, &host);
    server.terminate();
    server.up();
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("a restart of the daemon");

    let load = Load::start(to, &host);
    server.kill();
    server.up();
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("kill -9 of the daemon");

    let load = Load::start(to, &host);
    server.set(&app, "ROUND", "1");
    wait_for("the new release", || body().starts_with("one 1").then_some(()));
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("config:set");

    let load = Load::start(to, &host);
    copy.remote = format!("{}/{app}.git", server.url).replace("://", &format!("://x:{}@", server.token));
    copy.write("version", "two\n");
    copy.commit("Two");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    wait_for("the new version", || body().starts_with("two 1").then_some(()));
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("a deploy");

    let load = Load::start(to, &host);
    let before = server.dynos(&app)[0]["id"].clone();
    let (status, said) = server.send("DELETE", &format!("/apps/{app}/dynos"), &json!({}));
    assert!(status < 300, "{said}");
    wait_for("another dyno alone", || {
        let now = server.dynos(&app);
        (now.len() == 1 && now[0]["id"] != before).then_some(())
    });
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("ps:restart");

    let load = Load::start(to, &host);
    for count in [3, 1] {
        server.scale(&app, &[("web", count)]);
        server.settled(&[(&app, &[("web", count)])]);
    }
    load.end("ps:scale up and down");

    let load = Load::start(to, &host);
    let before = server.containers("dyno");
    server.set(&app, "ROUND", "2");
    crate::engine::new_container(&server, &before);
    server.kill();
    server.up();
    wait_for("the new release", || body().starts_with("two 2").then_some(()));
    server.settled(&[(&app, &[("web", 1)])]);
    load.end("kill -9 in a rollout");
    assert_eq!(fs::read_to_string(server.root.join("data/run/router.pid")).unwrap(), router, "another router runs");
}

/// A web process that ends at once by SIGTERM, whatever it is at; `/` says how many requests are.
const ABRUPT: &str = "
import http.server, os, threading, time
lock, count = threading.Lock(), [0]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == '/long':
            with lock: count[0] += 1
            time.sleep(10)
            with lock: count[0] -= 1
        body = f\"{os.environ.get('ROUND')} {count[0]}\\n\".encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *rest): pass
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";

#[test]
fn a_long_request_outlives_a_deploy() {
    let to = free();
    let server = Server::start("long", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", &to.to_string())]);
    let app = server.app("long");
    let copy = server.copy(&app);
    copy.write("Procfile", "web: exec python3 app.py\n");
    copy.write("app.py", ABRUPT);
    copy.commit("One");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    let host = format!("{app}.localhost");
    let ask = move |path: &str| {
        let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        connect(to).and_then(|mut connection| request(&mut connection, &head))
    };
    wait_for("the first answer", || ask("/").is_ok_and(|(_, body)| body == "None 0\n").then_some(()));
    let long = {
        let ask = ask.clone();
        std::thread::spawn(move || ask("/long"))
    };
    wait_for("the long request", || ask("/").is_ok_and(|(_, body)| body == "None 1\n").then_some(()));
    server.set(&app, "ROUND", "1");
    wait_for("the new release", || ask("/").is_ok_and(|(_, body)| body == "1 0\n").then_some(()));
    assert_eq!(long.join().unwrap().unwrap(), (200, "None 0\n".to_owned()));
    server.settled(&[(&app, &[("web", 1)])]);
}
