//! A stand-in for the API that answers from a list, and `paas` run against it.
//!
//! It is there for the texts of the command line only; that client and server fit together is
//! tested with the real daemon.
#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod things;

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use serde::Serialize;

/// A request that arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    /// What to say after 101, and whether the client's frames are collected.
    upgrade: Option<Vec<u8>>,
    /// Whether to say nothing at all.
    silent: bool,
}

impl Answer {
    fn new(status: u16, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, upgrade: None, silent: false }
    }
}

#[derive(Default)]
struct State {
    answers: HashMap<String, Vec<Answer>>,
    requests: Vec<Request>,
    upgraded: Vec<u8>,
}

/// The stand-in. Answers of one route are used in their order, the last one again and again.
pub(crate) struct Stub {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

impl Stub {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { url, state }
    }

    fn push(&self, route: &str, answer: Answer) {
        self.state.lock().unwrap().answers.entry(route.to_owned()).or_default().push(answer);
    }

    /// `route` is `METHOD /path?query`.
    pub(crate) fn json(&self, route: &str, body: &impl Serialize) -> &Self {
        self.status(route, 200, body)
    }

    pub(crate) fn status(&self, route: &str, status: u16, body: &impl Serialize) -> &Self {
        let body = serde_json::to_vec(body).unwrap();
        self.push(route, Answer::new(status, body));
        self
    }

    pub(crate) fn page(&self, route: &str, next: &str, body: &impl Serialize) -> &Self {
        let headers = vec![("Next-Range".to_owned(), next.to_owned())];
        let body = serde_json::to_vec(body).unwrap();
        self.push(route, Answer { headers, ..Answer::new(206, body) });
        self
    }

    pub(crate) fn with_header(&self, route: &str, (name, value): (&str, &str), body: &impl Serialize) -> &Self {
        let headers = vec![(name.to_owned(), value.to_owned())];
        let body = serde_json::to_vec(body).unwrap();
        self.push(route, Answer { headers, ..Answer::new(201, body) });
        self
    }

    /// An answer that sends the client to another place.
    pub(crate) fn leads(&self, route: &str, (name, value): (&str, &str)) -> &Self {
        let headers = vec![(name.to_owned(), value.to_owned())];
        self.push(route, Answer { headers, ..Answer::new(301, Vec::new()) });
        self
    }

    pub(crate) fn text(&self, route: &str, body: &str) -> &Self {
        self.push(route, Answer::new(200, body.into()));
        self
    }

    pub(crate) fn error(&self, route: &str, status: u16, id: &str, message: &str) -> &Self {
        self.status(route, status, &serde_json::json!({"id": id, "message": message}))
    }

    pub(crate) fn upgrade(&self, route: &str, frames: Vec<u8>) -> &Self {
        self.push(route, Answer { upgrade: Some(frames), ..Answer::new(101, Vec::new()) });
        self
    }

    /// A refusal in plain words, as streams have it.
    pub(crate) fn refuse(&self, route: &str, status: u16, text: &str) -> &Self {
        let headers = vec![("Content-Type".to_owned(), "text/plain; charset=utf-8".to_owned())];
        self.push(route, Answer { headers, ..Answer::new(status, text.into()) });
        self
    }

    /// The request is taken and never answered.
    pub(crate) fn silence(&self, route: &str) -> &Self {
        self.push(route, Answer { silent: true, ..Answer::new(0, Vec::new()) });
        self
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state.lock().unwrap().requests.clone()
    }

    /// All requests as `METHOD /path body`.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.requests().into_iter();
        calls.map(|r| format!("{} {} {}", r.method, r.path, r.body).trim_end().to_owned()).collect()
    }

    pub(crate) fn last_call(&self) -> String {
        self.calls().pop().unwrap_or_default()
    }

    /// What the client sent after its last upgrade.
    pub(crate) fn upgraded(&self) -> Vec<u8> {
        self.state.lock().unwrap().upgraded.clone()
    }
}

fn serve(stream: TcpStream, state: &Mutex<State>) {
    let mut writer = stream.try_clone().unwrap();
    let mut reader = BufReader::new(stream);
    while let Some(request) = read_request(&mut reader) {
        let route = format!("{} {}", request.method, request.path);
        let answer = {
            let mut state = state.lock().unwrap();
            state.requests.push(request);
            match state.answers.get_mut(&route) {
                Some(answers) if answers.len() > 1 => answers.remove(0),
                Some(answers) => answers[0].clone(),
                None => {
                    Answer::new(404, format!(r#"{{"id":"not_found","message":"The stub has no {route}."}}"#).into())
                }
            }
        };
        if answer.silent {
            let _ = reader.read(&mut [0]);
            return;
        }
        if let Some(frames) = answer.upgrade {
            let head = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: paas-attach/1\r\n\r\n";
            writer.write_all(head.as_bytes()).unwrap();
            // Input first, so that it is known before the client ends.
            let mut seen = Vec::new();
            let mut byte = [0; 1];
            let eof = paas_wire::attach::Frame::StdinEof.encode();
            while !seen.ends_with(&eof) && reader.read(&mut byte).is_ok_and(|count| count == 1) {
                seen.push(byte[0]);
            }
            state.lock().unwrap().upgraded = seen;
            writer.write_all(&frames).unwrap();
            return;
        }
        let mut head =
            format!("HTTP/1.1 {} X\r\ncontent-length: {}\r\nrequest-id: r-1\r\n", answer.status, answer.body.len());
        for (name, value) in answer.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        if writer.write_all(head.as_bytes()).and_then(|()| writer.write_all(&answer.body)).is_err() {
            return;
        }
    }
}

fn read_request(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|count| *count > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path, headers, body: String::from_utf8_lossy(&body).into_owned() })
}

/// A home folder, a working folder and a server for `paas`.
pub(crate) struct World {
    pub(crate) stub: Stub,
    pub(crate) home: tempfile::TempDir,
    env: Vec<(String, Option<String>)>,
    stdin: String,
}

/// How a run ended.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    /// Someone who is logged in by `PAAS_API_KEY` and works on `myapp`.
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("work")).unwrap();
        let mut world = Self { stub: Stub::start(), home, env: Vec::new(), stdin: String::new() };
        world.env("PAAS_API_KEY", Some("secret")).env("PAAS_APP", Some("myapp"));
        world
    }

    pub(crate) fn env(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        self.env.push((name.to_owned(), value.map(str::to_owned)));
        self
    }

    pub(crate) fn stdin(&mut self, text: &str) -> &mut Self {
        text.clone_into(&mut self.stdin);
        self
    }

    pub(crate) fn work(&self) -> std::path::PathBuf {
        self.home.path().join("work")
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = assert_cmd::Command::from_std(self.command(arguments)).write_stdin(self.stdin.clone()).output();
        let output = output.unwrap();
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("paas"));
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    /// Gives a command the surroundings that `paas` is to see, and no others.
    pub(crate) fn surround(&self, command: &mut Command) {
        command
            .current_dir(self.work())
            .env_clear()
            .env("PATH", path())
            .env("HOME", self.home.path())
            .env("TZ", "UTC")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("PAAS_HOST", &self.stub.url);
        for (name, value) in &self.env {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
    }

    /// A run as a snapshot shows it.
    pub(crate) fn show(&self, line: &str) -> String {
        let run = self.run(&line.split_whitespace().collect::<Vec<_>>());
        let mut text = format!("$ paas {line}\n");
        for (mark, output) in [("! ", &run.stderr), ("  ", &run.stdout)] {
            for line in output.lines() {
                text.push_str(format!("{mark}{line}").trim_end());
                text.push('\n');
            }
        }
        if run.code != 0 {
            text.push_str(&format!("= {}\n", run.code));
        }
        text.replace(&self.stub.url, "http://SERVER")
            .replace(self.stub.url.trim_start_matches("http://"), "SERVER")
            .replace(&self.home.path().display().to_string(), "HOME")
    }

    /// Several runs, one below the other.
    pub(crate) fn shows(&self, lines: &[&str]) -> String {
        let runs: Vec<String> = lines.iter().map(|line| self.show(line)).collect();
        without_ages(&runs.join("\n"))
    }

    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        git(&self.work(), self.home.path(), arguments)
    }
}

#[allow(clippy::disallowed_methods, reason = "git and bash are found by it")]
fn path() -> std::ffi::OsString {
    std::env::var_os("PATH").unwrap_or_default()
}

pub(crate) fn git(folder: &Path, home: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("HOME", home)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    assert!(output.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Waits until something is so.
pub(crate) fn wait_for(mut is_so: impl FnMut() -> bool) {
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while !is_so() {
        assert!(std::time::Instant::now() < end, "it did not come about");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

/// `(~ 5m ago)` depends on today.
fn without_ages(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("(~ ") {
        out.push_str(before);
        out.push_str("(AGO)");
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    out + rest
}
