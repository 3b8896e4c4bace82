//! `paas heroku`: the same command line by way of paas's own, and whom it tells what.

use std::{
    path::PathBuf,
    process::Stdio,
    sync::{Arc, Mutex},
};

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    process::Command,
};

use crate::{
    client::{Heroku, finish, until},
    util::programs,
};

/// Loaded by Node before the program: writes down each connection that it makes, by whatever
/// way, and refuses those that leave this machine.
const HOOK: &str = r"
const net = require('net'), fs = require('fs'), connect = net.Socket.prototype.connect;
net.Socket.prototype.connect = function (...given) {
  const first = Array.isArray(given[0]) ? given[0][0] : given[0];
  const { port, host } = typeof first === 'object' ? first : { port: given[0], host: given[1] };
  if (!port) return connect.apply(this, given);
  const local = /^(localhost|127\.[0-9.]+|::1)$/.test(host || 'localhost');
  fs.appendFileSync(process.env.HOOK_FILE, `${local ? 'here' : 'OUTSIDE'} ${host}:${port}\n`);
  return local ? connect.apply(this, given) : this.destroy(new Error('refused by the test'));
};
";

/// Has Node write down the connections of a command; the file with them.
fn watch(h: &Heroku, command: &mut Command) -> PathBuf {
    let (hook, file) = (h.home.join("hook.js"), h.home.join("connections"));
    std::fs::write(&hook, HOOK).unwrap();
    command.env("NODE_OPTIONS", format!("--require={}", hook.display())).env("HOOK_FILE", &file);
    file
}

/// `paas heroku -- ARGUMENTS` in an environment that would lead elsewhere.
fn paas(h: &Heroku, arguments: &[&str]) -> Command {
    let mut paas = Command::new(programs().join("paas"));
    paas.arg("heroku")
        .args(arguments)
        .env_clear()
        .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", h.home.join("bin").display()))
        .env("HOME", &h.home)
        .env("TERM", "dumb")
        .env("PAAS_HOST", h.host())
        .env("PAAS_API_KEY", &h.app.token)
        .env("HEROKU_HOST", "https://api.elsewhere.example.com")
        .env("HEROKU_API_KEY", "wrong")
        .env("HEROKU_CLOUD", "staging")
        .env("HEROKU_REDIS_ADDON_NAME", "redis")
        .current_dir(&h.place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    paas
}

#[tokio::test(flavor = "multi_thread")]
async fn it_works_and_tells_heroku_nothing() {
    let h = Heroku::fake("wrapper").await;
    h.app.create("shop").await;
    // A proxy that writes down what it is asked, and refuses it.
    let heard = Arc::new(Mutex::new(String::new()));
    let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = proxy.local_addr().unwrap();
    let hearing = heard.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = proxy.accept().await {
            let hearing = hearing.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 8192];
                let count = stream.read(&mut buffer).await.unwrap_or(0);
                hearing.lock().unwrap().push_str(&String::from_utf8_lossy(&buffer[..count]));
                let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").await;
            });
        }
    });
    let run = async |line: &str| {
        let mut command = paas(&h, &[]);
        command.arg("--").args(line.split(' '));
        for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"] {
            command.env(name, format!("http://{address}"));
        }
        watch(&h, &mut command);
        finish(command).await
    };
    let said = run("apps:info -a shop").await;
    assert!(said.status == 0 && said.all().contains("owner@example.com"), "{said:?}");
    assert!(!said.all().contains("Invalid HEROKU_HOST"), "{said:?}");
    let said = run("auth:whoami").await;
    assert!(said.status == 0 && said.all().contains("owner@example.com"), "{said:?}");
    assert_eq!(run("apps:info -a nope").await.status, h.raw("apps:info", "-a nope").await.status);
    // What asks hosts of Heroku's own, whatever is set.
    for line in
        ["notifications", "apps:favorites", "pipelines:setup a me/app -y", "ps:autoscale:disable -a shop", "dashboard"]
    {
        let said = run(line).await;
        assert!(line == "dashboard" || said.status != 0, "{line}: {said:?}");
    }
    // Past all proxies, and only where somebody looks on.
    h.app.post("/pipelines", json!({"name": "shops"})).await;
    let mut watching = Command::new("script");
    let surrounded = paas(&h, &[]);
    for (name, value) in surrounded.as_std().get_envs() {
        watching.env(name, value.unwrap_or_default());
    }
    let line = format!("exec '{}' heroku -- ci --watch -p shops", programs().join("paas").display());
    watching.args(["-q", "-e", "-f", "-c", &line, "/dev/null"]).env("SHELL", "/bin/sh").current_dir(&h.place);
    let file = watch(&h, &mut watching);
    let before = std::fs::read_to_string(&file).unwrap();
    let mut child =
        watching.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let connections = || std::fs::read_to_string(&file).unwrap();
    until("ci --watch asks for news", async || {
        let now = connections();
        let now = &now[before.len()..];
        now.contains("OUTSIDE") || now.contains("127.0.0.1:9\n")
    })
    .await;
    child.kill().await.unwrap();
    let connections = connections();
    assert!(connections.contains("here ") && !connections.contains("OUTSIDE"), "{connections}");
    let heard = heard.lock().unwrap().clone();
    assert!(!heard.contains("heroku") && !heard.contains("herokai") && !heard.contains(&h.app.token), "{heard}");
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_has_the_terminal_the_status_and_the_token() {
    let h = Heroku::fake("wrapper-program").await;
    std::fs::remove_file(h.home.join("bin/heroku")).unwrap();
    let said = finish(paas(&h, &["--", "apps"])).await;
    let elsewhere =
        Command::new("sh").args(["-c", "PATH=/usr/local/bin:/usr/bin:/bin command -v heroku"]).output().await.unwrap();
    if !elsewhere.status.success() {
        assert!(said.status == 1 && said.err.contains("npm install -g heroku"), "{said:?}");
    }
    h.place_program("heroku", "#!/bin/sh\nenv\necho \"said: $*\"\ntr '\\0' ' ' < /proc/$PPID/cmdline\ncat\nexit 7\n");
    let mut command = paas(&h, &["--", "run", "--", "a b"]);
    command.stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"typed\n").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(7), "{out}");
    assert!(out.contains("said: run -- a b") && out.contains("typed"), "{out}");
    let token = format!("HEROKU_API_KEY={}", h.app.token);
    assert!(out.contains(&token) && out.contains("DISABLE_TELEMETRY=true"), "{out}");
    assert_eq!(out.matches(&h.app.token).count(), 1 + out.matches("PAAS_API_KEY=").count(), "{out}");
    assert!(!out.contains("elsewhere.example.com") && !out.contains("HEROKU_CLOUD"), "{out}");
    assert!(out.contains("HEROKU_REDIS_ADDON_NAME=redis"), "{out}");

    h.place_program("heroku", "#!/bin/sh\ntrap 'exit 3' TERM\necho ready\nwhile :; do sleep 0.1; done\n");
    let mut child = paas(&h, &["--", "x"]).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));

    let mut command = paas(&h, &["--", "apps"]);
    command.env_remove("PAAS_API_KEY");
    let said = finish(command).await;
    assert!(said.status == 1 && said.err.contains("paas login"), "{said:?}");
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_it_serves_is_for_any_shell_until_it_is_ended() {
    let h = Heroku::fake("wrapper-serve").await;
    h.app.create("shop").await;
    for end in [rustix::process::Signal::TERM, rustix::process::Signal::HUP, rustix::process::Signal::INT] {
        let mut serve = paas(&h, &["--serve"]);
        serve.env("TMPDIR", &h.home).env("no_proxy", "localhost").env("http_proxy", "http://127.0.0.1:1");
        let mut child = serve.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        while let Some(line) = lines.next_line().await.unwrap() {
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("export HEROKU_GIT_HOST") {
                break;
            }
        }
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("{said}\nheroku apps; heroku notifications; heroku ps:autoscale:disable -a shop")])
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", h.home.join("bin").display()))
            .env("HOME", &h.home)
            .env("no_proxy", "localhost")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let file = watch(&h, &mut shell);
        let listed = finish(shell).await;
        assert!(listed.out.contains("shop") && listed.status != 0, "{listed:?}");
        let connections = std::fs::read_to_string(&file).unwrap();
        assert!(connections.contains("here ") && !connections.contains("OUTSIDE"), "{connections}");
        let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
        rustix::process::kill_process(pid, end).unwrap();
        assert_eq!(child.wait().await.unwrap().code(), Some(0));
        let kept = std::fs::read_dir(&h.home).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let kept: Vec<String> = kept.filter(|name| name.starts_with("paas-heroku-")).collect();
        assert!(kept.is_empty(), "{kept:?}");
    }
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shell_has_it_until_it_ends() {
    let h = Heroku::fake("wrapper-shell").await;
    h.app.create("shop").await;
    for shell in ["bash", "dash"] {
        let ours = programs().join("paas");
        let line = format!(
            "eval \"$('{}' heroku --print-env)\"; heroku apps; heroku notifications; heroku ps:autoscale:disable -a shop; \
             echo \"at $HEROKU_HOST\"; cat",
            ours.display()
        );
        let surrounded = paas(&h, &[]);
        let mut command = Command::new(shell);
        command.args(["-c", &line]).env_clear().kill_on_drop(true);
        for (name, value) in surrounded.as_std().get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env("TMPDIR", &h.home).env("no_proxy", "localhost");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let file = watch(&h, &mut command);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (mut said, mut at) = (String::new(), None);
        while at.is_none() {
            let line = lines.next_line().await.unwrap().unwrap_or_else(|| panic!("{shell} ended after {said}"));
            at = line.strip_prefix("at http://").map(str::to_owned);
            said.extend([line.as_str(), "\n"]);
        }
        assert!(said.contains("shop"), "{said}");
        let connections = std::fs::read_to_string(&file).unwrap();
        assert!(connections.contains("here ") && !connections.contains("OUTSIDE"), "{connections}");
        // It is there as long as the shell, and leaves nothing.
        let at = at.unwrap();
        assert!(TcpStream::connect(&at).await.is_ok(), "{at}");
        // What else the user does there in plain HTTP goes through, without a token only.
        let proxy = reqwest::Proxy::http(format!("http://{at}")).unwrap();
        let http = reqwest::Client::builder().proxy(proxy).build().unwrap();
        let health = format!("http://127.0.0.2:{}/health", h.app.config.api_listen.port());
        let (plain, secret) = (http.get(&health).send().await, http.get(&health).bearer_auth("x").send().await);
        assert_eq!((plain.unwrap().status().as_u16(), secret.unwrap().status().as_u16()), (502, 403));
        let heroku = http.get("http://api.metrics.heroku.com:25100/").send().await.unwrap();
        assert_eq!(heroku.status(), 403);
        drop(child.stdin.take());
        child.wait().await.unwrap();
        until("the forwarder ends", async || TcpStream::connect(&at).await.is_err()).await;
        until("its files are gone", async || {
            let mut left = std::fs::read_dir(&h.home).unwrap();
            !left.any(|entry| entry.unwrap().file_name().to_string_lossy().starts_with("paas-heroku-"))
        })
        .await;
    }
    let mut command = paas(&h, &["--print-env"]);
    command.env_remove("PAAS_API_KEY");
    let said = finish(command).await;
    assert!(said.status == 1 && said.out.is_empty() && said.err.contains("paas login"), "{said:?}");
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_logs_and_remotes_go_through_it() {
    let h = Heroku::docker("wrapper-docker").await;
    let run = async |arguments: &[&str]| finish(paas(&h, &[&["--"], arguments].concat())).await;
    h.tool("git", "init -q").await;
    let said = run(&["apps:create", "shop"]).await;
    assert!(said.status == 0, "{said:?}");
    h.app.deploy("shop", &[("hello.txt", "hello\n")], &[("worker", "sleep 1000")]).await;
    let said = run(&["run", "-a", "shop", "--no-tty", "-x", "--", "sh", "-c", "cat hello.txt; exit 7"]).await;
    assert!(said.status == 7 && said.out.contains("hello"), "{said:?}");
    let mut command = paas(&h, &["--", "run", "-a", "shop", "--no-tty", "--", "cat"]);
    command.stdin(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"from afar\n").await.unwrap();
    let output = child.wait_with_output().await.unwrap();
    assert!(String::from_utf8_lossy(&output.stdout).contains("from afar"), "{output:?}");
    let said = run(&["logs", "-a", "shop", "-n", "50"]).await;
    assert!(said.status == 0 && said.out.contains("heroku[run."), "{said:?}");
    // The remote that it made is git's from now on, without anybody in between.
    let config = std::fs::read_to_string(h.home.join(".gitconfig")).unwrap();
    assert!(config.contains("git:credentials") && !config.contains("heroku git:credentials"), "{config}");
    let mut fetch = Command::new("git");
    fetch
        .args(["ls-remote", "heroku"])
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("HOME", &h.home)
        .env("PAAS_HOST", h.host())
        .env("PAAS_API_KEY", &h.app.token)
        .env("GIT_TERMINAL_PROMPT", "0")
        .current_dir(&h.place)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let said = finish(fetch).await;
    assert!(said.status == 0, "{said:?}");
    h.app.destroy("shop").await;
    h.done().await;
}
