//! `paas heroku`: the same command line by way of paas's own, and whom it tells what.

use std::{
    process::Stdio,
    sync::{Arc, Mutex},
};

use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, net::TcpListener, process::Command};

use crate::{
    client::{Heroku, finish},
    util::programs,
};

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

    h.place_program("heroku", "#!/bin/sh\ntrap 'exit 3' TERM\necho ready\nwhile :; do sleep 0.1; done\n");
    let mut child = paas(&h, &["--", "x"]).spawn().unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).await.unwrap();
    let pid = rustix::process::Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().await.unwrap().code(), Some(3));

    let said = finish(paas(&h, &["--print-env"])).await;
    assert!(said.out.contains(&format!("export HEROKU_HOST='{}'\n", h.host())), "{said:?}");
    assert!(said.out.contains("unset HEROKU_CLOUD\n"), "{said:?}");
    let ca = said.out.split("NODE_EXTRA_CA_CERTS='").nth(1).and_then(|rest| rest.split('\'').next()).unwrap();
    let kept = std::fs::read_to_string(ca).unwrap();
    let theirs = std::fs::read_to_string(h.app.dir.join("tls/ca.pem")).unwrap();
    let bare = |text: &str| text.split_whitespace().collect::<String>();
    assert_eq!(bare(&kept), bare(&theirs));
    let mut command = paas(&h, &["--print-env"]);
    command.env("PAAS_HOST", "https://api.example.com");
    let said = finish(command).await;
    assert!(said.status == 1 && said.err.contains("--serve"), "{said:?}");
    let mut command = paas(&h, &["--", "apps"]);
    command.env_remove("PAAS_API_KEY");
    let said = finish(command).await;
    assert!(said.status == 1 && said.err.contains("paas login"), "{said:?}");
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
