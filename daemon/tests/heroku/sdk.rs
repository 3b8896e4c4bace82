//! Libraries for Heroku's API, each going the same way: an app, its config, its processes,
//! releases, collaborators, domains, and away with it.

use std::{path::Path, process::Stdio};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    process::Command,
};

use crate::client::{Heroku, Said, installed};

/// Runs a program that says `created`, `configured`, and, once its app is deployed, `done`.
async fn story(h: &Heroku, library: &str, app: &str, mut program: Command) {
    h.app.other("friend@example.com").await;
    program.arg(h.host()).arg(&h.app.token).stdin(Stdio::piped());
    let mut child = program.spawn().unwrap();
    let (mut to, from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut lines = BufReader::new(from).lines();
    let mut out = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        out += &format!("{line}\n");
        if line == "configured" {
            h.app.deploy(app, &[("a", "")], &[("worker", "work")]).await;
            let _ = to.write_all(b"deployed\n").await;
        }
    }
    let output = child.wait_with_output().await.unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    let said = Said { status: output.status.code().unwrap_or(-1), out, err };
    h.judge(&format!("sdk {library}"), "", &said, Some(0), &["done"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn heroku3() {
    let h = Heroku::fake("sdk-heroku3").await;
    let mut program = h.program(installed().join("venv/bin/python"));
    program.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/heroku/sdk_heroku3.py"));
    story(&h, "heroku3", "snake", program).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heroku_client() {
    let h = Heroku::fake("sdk-heroku-client").await;
    let mut program = h.program("node");
    program
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/heroku/sdk_heroku_client.js"))
        .env("NODE_PATH", installed().join("node_modules"));
    story(&h, "heroku-client", "nodule", program).await;
    h.done().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn heroku_rs() {
    let h = Heroku::fake("sdk-heroku-rs").await;
    let program = h.program(installed().join("rust-sdk/debug/heroku-rs-story"));
    story(&h, "heroku_rs", "rusty", program).await;
    h.done().await;
}
