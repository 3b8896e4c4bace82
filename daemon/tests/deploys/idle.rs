//! Idle and wake with the real engine and the real router.

use std::{
    io::{BufRead as _, Read as _, Write as _},
    net::SocketAddr,
    thread,
};

use paas_daemon::store;
use serde_json::json;

use crate::{
    load::{Connection, connect, free, head, request},
    util::{Server, wait_for},
};

/// Answers, and takes connections of its own protocol that last until their client goes.
const APP: &str = "
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    def answer(self):
        if self.headers.get('upgrade'):
            self.send_response(101)
            self.send_header('Connection', 'upgrade')
            self.send_header('Upgrade', 'echo')
            self.end_headers()
            self.close_connection = True
            while True:
                byte = self.rfile.read(1)
                if not byte: return
                self.wfile.write(byte)
        body = self.rfile.read(int(self.headers.get('content-length') or 0)) + b' to ' + os.environ['DYNO'].encode()
        self.send_response(200)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    do_GET = do_POST = answer
    def log_message(self, *rest): pass
http.server.ThreadingHTTPServer(('', int(os.environ['PORT'])), Handler).serve_forever()
";

/// An app that idles after a second without a request.
fn sleeper(server: &mut Server, name: &str) -> String {
    let app = server.app(name);
    let copy = server.copy(&app);
    copy.write("Procfile", "web: exec python3 app.py\n");
    copy.write("app.py", APP);
    copy.commit("One");
    let (taken, said) = copy.push(&["main"]);
    assert!(taken, "{said}");
    server.settled(&[(&app, &[("web", 1)])]);
    // Less than can be asked for, so that a test is over soon.
    server.terminate();
    server.with_database(async |db| {
        let mut tx = db.begin().await.unwrap();
        let row = store::apps::by_name(&mut tx, &app).await.unwrap().unwrap();
        store::apps::set_idle_after(&mut tx, row.id, Some(1), row.updated_at).await.unwrap();
        tx.commit(None).await.unwrap();
    });
    server.up();
    app
}

impl Server {
    fn may_idle(&self, app: &str) {
        let (status, said) = self.send("PATCH", &format!("/apps/{app}/features/web-idling"), &json!({"enabled": true}));
        assert_eq!(status, 200, "{said}");
    }

    fn sleeps(&self, app: &str) {
        wait_for("sleep", || {
            let dynos = self.dynos(app);
            let idle = dynos.len() == 1 && dynos[0]["state"] == "idle";
            (idle && self.containers("dyno").iter().all(|dyno| dyno.app != *app)).then_some(())
        });
    }

    /// How the only dyno is; nothing while there is none yet.
    fn state(&self, app: &str) -> Option<String> {
        Some(self.dynos(app).first()?["state"].as_str()?.to_owned())
    }

    /// Requests that wait in the router, as it says itself.
    fn waiting(&self) -> u64 {
        let socket = self.root.join("data/run/router.sock");
        let (_, text) = self.request("GET", "http://router/status", &["--unix-socket", socket.to_str().unwrap()]);
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["waiting"].as_u64().unwrap()
    }
}

fn ask(to: SocketAddr, app: &str, kind: usize) -> thread::JoinHandle<std::io::Result<(u16, String)>> {
    let head = head(&format!("{app}.localhost"), kind, false);
    thread::spawn(move || connect(to).and_then(|mut connection| request(&mut connection, &head)))
}

#[test]
fn the_first_requests_wake_an_app_and_are_answered() {
    let to = free();
    let mut server = Server::start("idle", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", &to.to_string())]);
    let app = sleeper(&mut server, "idle");
    server.may_idle(&app);
    server.sleeps(&app);

    let first: Vec<_> = (0..10).map(|number| ask(to, &app, number)).collect();
    for (number, answer) in first.into_iter().enumerate() {
        let (status, body) = answer.join().unwrap().unwrap();
        let said = if number % 4 == 1 { "hello" } else { "" };
        assert_eq!((status, body), (200, format!("{said} to web.1")), "{number}");
    }
    let log = server.log_of(&app);
    assert_eq!(log.matches("heroku[web.1]: Unidling").count(), 1, "{log}");
    for text in ["Idling", "State changed from up to down", "State changed from down to starting"] {
        assert_eq!(log.matches(&format!("heroku[web.1]: {text}")).count(), 1, "{text} in {log}");
    }
    assert!(!log.contains("code="), "{log}");

    // The daemon is away when the first request comes.
    server.sleeps(&app);
    server.kill();
    let first = ask(to, &app, 2);
    wait_for("the router to hold it", || (server.waiting() == 1).then_some(()));
    server.up();
    assert_eq!(first.join().unwrap().unwrap().0, 200);

    // It is killed between the wake and the boot.
    server.sleeps(&app);
    let first = ask(to, &app, 2);
    wait_for("the wake", || (server.state(&app).as_deref() != Some("idle")).then_some(()));
    server.kill();
    server.up();
    assert_eq!(first.join().unwrap().unwrap().0, 200);

    // In maintenance visitors get its page, and the app sleeps on: it is awake until the router knows.
    let (status, said) = server.send("PATCH", &format!("/apps/{app}"), &json!({"maintenance": true}));
    assert_eq!(status, 200, "{said}");
    wait_for("the page", || (ask(to, &app, 2).join().unwrap().unwrap().0 == 503).then_some(()));
    server.sleeps(&app);
    assert_eq!(ask(to, &app, 2).join().unwrap().unwrap().0, 503);
    assert_eq!(server.state(&app).as_deref(), Some("idle"));
    server.settled(&[]);
    let log = server.log_of(&app);
    for line in log.lines().filter(|line| line.contains("code=")) {
        assert!(line.contains("code=H80 "), "{line}");
    }
}

#[test]
fn a_connection_that_is_open_keeps_an_app_awake() {
    let to = free();
    let mut server = Server::start("awake", &[("PAAS_ROUTER", "managed"), ("PAAS_HTTP_LISTEN", &to.to_string())]);
    let (open, other) = (sleeper(&mut server, "open"), sleeper(&mut server, "other"));
    let mut tunnel = connect(to).unwrap();
    let head = format!("GET / HTTP/1.1\r\nHost: {open}.localhost\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    tunnel.get_mut().write_all(head.as_bytes()).unwrap();
    let mut line = String::new();
    tunnel.read_line(&mut line).unwrap();
    assert!(line.contains(" 101 "), "{line}");
    while line != "\r\n" {
        line.clear();
        tunnel.read_line(&mut line).unwrap();
    }
    echo(&mut tunnel);
    assert_eq!(ask(to, &other, 2).join().unwrap().unwrap().0, 200);
    server.may_idle(&open);
    server.may_idle(&other);
    // The other was asked for later, and sleeps first.
    server.sleeps(&other);
    assert_eq!(server.state(&open).as_deref(), Some("up"));
    echo(&mut tunnel);
    drop(tunnel);
    server.sleeps(&open);
}

fn echo(tunnel: &mut Connection) {
    tunnel.get_mut().write_all(b"x").unwrap();
    let mut byte = [0];
    tunnel.read_exact(&mut byte).unwrap();
    assert_eq!(byte, *b"x");
}
