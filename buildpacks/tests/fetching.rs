//! What users name by address, fetched for real: buildpacks and submodules from a git server,
//! buildpacks from an archive.
#![allow(clippy::unwrap_used, reason = "tests")]

mod util;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command};

use paas_buildpacks::build::{BuildError, Submodule};
use util::Bench;

fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .arg("-C")
        .arg(directory)
        .args(["-c", "user.name=a", "-c", "user.email=a@b"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// `git daemon` over a directory.
struct GitServer {
    child: Child,
    url: String,
}

impl GitServer {
    fn start(directory: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new("git")
            .args(["daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1", &format!("--port={port}")])
            .arg(format!("--base-path={}", directory.display()))
            .spawn()
            .unwrap();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        Self { child, url: format!("git://127.0.0.1:{port}") }
    }
}

impl Drop for GitServer {
    fn drop(&mut self) {
        // git daemon is a program below git.
        let _ = Command::new("pkill").args(["-P", &self.child.id().to_string()]).status();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn pack(directory: &Path, says: &str) {
    fs::create_dir_all(directory.join("bin")).unwrap();
    fs::write(directory.join("bin/detect"), "#!/bin/bash\necho Fetched\n").unwrap();
    fs::write(directory.join("bin/compile"), format!("#!/bin/bash\necho {says} >$1/said\n")).unwrap();
}

#[tokio::test]
async fn from_a_git_server() {
    let mut bench = Bench::new("git");
    bench.file("Procfile", "web: x");
    let repository = bench.root.join("served/pack");
    pack(&repository, "old");
    git(&repository, &["init", "-q", "-b", "main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "-qm", "one"]);
    git(&repository, &["tag", "v1"]);
    let commit = git(&repository, &["rev-parse", "HEAD"]);
    pack(&repository, "new");
    git(&repository, &["commit", "-qam", "two"]);
    let server = GitServer::start(&bench.root.join("served"));
    for (reference, said) in [("", "new"), ("#v1", "old"), ("#main", "new"), (&format!("#{commit}"), "old")] {
        bench.request.buildpacks = vec![format!("{}/pack{reference}", server.url)];
        let outcome = bench.build().await;
        assert!(outcome.is_ok(), "{reference}: {}", bench.said());
        assert_eq!(bench.slug("said").trim(), said, "{reference}");
    }
    bench.request.buildpacks = vec![format!("{}/pack#nowhere", server.url)];
    assert!(matches!(bench.build().await, Err(BuildError::Rejected(_))));
    assert!(bench.said().contains(" !     Could not fetch the buildpack"), "{}", bench.said());

    // The same repository as a submodule, by a commit that is no branch's head.
    bench.request.buildpacks = vec!["procfile".into()];
    let module =
        |path: &str| Submodule { path: path.into(), url: format!("{}/pack", server.url), commit: commit.clone() };
    bench.request.submodules = vec![module("vendor/pack")];
    fs::create_dir_all(bench.root.join("build/source/vendor/pack")).unwrap();
    let outcome = bench.build().await;
    assert!(outcome.is_ok(), "{}", bench.said());
    assert!(bench.slug("vendor/pack/bin/compile").contains("old"));
    assert!(!bench.root.join("build/source/vendor/pack/.git").exists());
}

#[tokio::test]
async fn from_an_archive() {
    let mut bench = Bench::new("archive");
    pack(&bench.root.join("made/pack-main"), "archived");
    let archive = bench.root.join("pack.tgz");
    let status =
        Command::new("tar").arg("-czf").arg(&archive).arg("-C").arg(bench.root.join("made")).arg("pack-main").status();
    assert!(status.unwrap().success());
    let bytes = fs::read(archive).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let length = stream.read(&mut request).unwrap();
            let found =
                [b"GET /pack.tgz ", b"GET /pack.tgz?"].iter().any(|begin| request[..length].starts_with(*begin));
            let (status, body) = if found { ("200 OK", &bytes[..]) } else { ("404 Not Found", &b""[..]) };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
            stream.write_all(head.as_bytes()).unwrap();
            stream.write_all(body).unwrap();
        }
    });
    bench.request.buildpacks = vec![format!("http://127.0.0.1:{port}/pack.tgz")];
    let outcome = bench.build().await;
    assert!(outcome.is_ok(), "{}", bench.said());
    assert_eq!(bench.slug("said").trim(), "archived");
    // What is secret in an address is sent and never said.
    bench.said.clear();
    bench.request.buildpacks = vec![format!("http://user:token@127.0.0.1:{port}/pack.tgz?key=token")];
    assert!(bench.build().await.is_ok(), "{}", bench.said());
    let name = format!("http://127.0.0.1:{port}/absent");
    for ending in [".tgz", ".git"] {
        bench.request.buildpacks = vec![format!("http://user:token@127.0.0.1:{port}/absent{ending}?key=token#v1")];
        let Err(BuildError::Rejected(reason)) = bench.build().await else { panic!("{}", bench.said()) };
        assert_eq!(reason, format!("the buildpack {name}{ending}#v1 could not be fetched"));
        assert!(
            bench.said().contains(&format!("Could not fetch the buildpack {name}{ending}#v1:\n !     ")),
            "{}",
            bench.said()
        );
    }
    assert!(!bench.said().contains("token"), "{}", bench.said());
    assert!(!bench.root.join("build/tmp/plan").exists());
}
