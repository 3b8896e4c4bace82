//! `paasd` as a program: what `doctor` says of good and bad settings, what `admin` and `serve`
//! refuse, and what a start sets up.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::{fs, path::PathBuf, process::Command, time::Instant};

use paas_daemon::{
    config::Config,
    doctor::{self, Finding, Verdict},
    serve::{Daemon, StartError},
};
use util::{PATIENCE, TestApp, settings::without_settings};

/// What is found when one setting is another.
async fn examined(t: &TestApp, change: impl FnOnce(&mut Config)) -> Vec<Finding> {
    let mut config = t.config.clone();
    change(&mut config);
    doctor::examine(&config).await
}

fn bad(findings: &[Finding]) -> Vec<(&'static str, &str)> {
    findings.iter().filter(|one| one.verdict == Verdict::Bad).map(|one| (one.what, one.text.as_str())).collect()
}

/// A path that nothing is at.
fn nowhere(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("paas-program-{name}-{}", uuid::Uuid::new_v4().simple()))
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_finds_nothing_bad_beside_a_daemon_that_runs() {
    let t = TestApp::fake().await;
    let findings = examined(&t, |_| {}).await;
    assert_eq!(bad(&findings), [], "{findings:#?}");
    let database = findings.iter().find(|one| one.what == "database").unwrap();
    assert!(database.verdict == Verdict::Good && database.text.ends_with("up to date"), "{database:?}");
    assert!(findings.iter().any(|one| one.what == "overlay" && one.verdict == Verdict::Good), "{findings:#?}");
    let docker = Command::new("docker").args(["info", "--format", "{{.LiveRestoreEnabled}}"]).output().unwrap();
    let outlived = String::from_utf8_lossy(&docker.stdout).trim() == "true";
    let wanted = if outlived { Verdict::Good } else { Verdict::Warning };
    assert!(findings.iter().any(|one| one.what == "live-restore" && one.verdict == wanted), "{findings:#?}");
    let left: Vec<_> = fs::read_dir(&t.dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().contains("doctor")), "{left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_makes_nothing_where_nothing_is_yet() {
    let t = TestApp::fake().await;
    let dir = nowhere("new");
    let findings = examined(&t, |config| {
        config.data_dir = dir.clone();
        config.database_url = None;
    })
    .await;
    assert_eq!(bad(&findings), [], "{findings:#?}");
    assert!(!dir.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doctor_says_what_is_wrong() {
    let t = TestApp::fake().await;
    let found = |what: &str, findings: Vec<Finding>, part: &str| {
        let said = bad(&findings).into_iter().any(|(have, text)| have == what && text.contains(part));
        assert!(said, "no bad {what} with {part:?} in {findings:#?}");
    };
    let engine = examined(&t, |config| config.docker_host = Some("unix:///nonexistent.sock".into())).await;
    found("engine", engine, "systemctl start docker");
    let path = examined(&t, |config| config.data_dir = nowhere("a:b")).await;
    found("data directory", path, "PAAS_DATA_DIR");
    let read_only = examined(&t, |config| config.data_dir = "/proc/paas".into()).await;
    found("data directory", read_only, "can't be written");
    let pool = examined(&t, |config| config.network_pool = "10.208.0.0".into()).await;
    found("network pool", pool, "PAAS_NETWORK_POOL");
    let names = examined(&t, |config| config.base_domain = "paas.invalid".into()).await;
    found("names", names, "wildcard");

    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let ports = examined(&t, |config| {
        config.router = paas_daemon::config::RouterMode::Managed;
        config.http_listen = holder.local_addr().unwrap().into();
    })
    .await;
    found("ports", ports, "PAAS_HTTP_LISTEN");

    let libexec = nowhere("libexec");
    fs::create_dir(&libexec).unwrap();
    fs::copy("/bin/true", libexec.join("paas-init")).unwrap();
    let programs = examined(&t, |config| config.libexec_dir = Some(libexec.clone())).await;
    found("programs", programs.clone(), "paas-init is not static");
    found("programs", programs, "paas-router is missing");
    fs::remove_dir_all(&libexec).unwrap();

    let other = nowhere("other.db");
    let database = examined(&t, |config| config.database_url = Some(format!("sqlite:{}", other.display()))).await;
    found("database", database, "has been used with another database");
    assert!(!other.exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_is_not_opened_with_another_database() {
    let mut t = TestApp::fake().await;
    // Forgotten PAAS_DATABASE_URL: what another one would be made of.
    let other = t.dir.join("other.db");
    let url = format!("sqlite:{}", other.display());
    let admin = without_settings(env!("CARGO_BIN_EXE_paasd"))
        .args(["admin", "user:create", "you@example.com"])
        .env("PAAS_DATA_DIR", &t.dir)
        .env("PAAS_DATABASE_URL", &url)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&admin.stderr).into_owned();
    assert!(!admin.status.success() && admin.stdout.is_empty(), "{admin:?}");
    assert!(said.contains("has been used with another database") && said.contains("PAAS_DATABASE_URL"), "{said}");
    t.down().await;
    let refused = Daemon::start(Config { database_url: Some(url), ..t.config.clone() }, None).await;
    assert!(matches!(refused.err().unwrap(), StartError::Database(_)));
    assert!(!other.exists());
    t.up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_may_open_a_new_data_directory_at_once() {
    for round in 0..5 {
        let dir = nowhere(&format!("at-once-{round}"));
        let one = |name: &str| {
            let mut paasd = without_settings(env!("CARGO_BIN_EXE_paasd"));
            paasd.args(["admin", "user:create", &format!("{name}@example.com")]).env("PAAS_DATA_DIR", &dir);
            paasd.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap()
        };
        for started in [one("a"), one("b"), one("c")] {
            let output = started.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
        fs::remove_dir_all(&dir).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_is_lost_is_not_made_anew() {
    let mut t = TestApp::fake().await;
    t.down().await;
    let (key, away) = (t.dir.join("secret.key"), t.dir.join("away"));
    fs::rename(&key, &away).unwrap();
    let refused = Daemon::start(t.config.clone(), Some(std::sync::Arc::new(t.fake.clone().unwrap()))).await;
    let said = refused.err().unwrap().to_string();
    assert!(said.contains("secret.key is missing") && said.contains("backup"), "{said}");
    assert!(!key.exists());
    fs::rename(&away, &key).unwrap();
    t.up().await;
}

#[test]
fn a_start_raises_the_limit_of_open_files() {
    let dir = nowhere("limit");
    let mut paasd = without_settings("bash")
        .args(["-c", "ulimit -Sn 200; exec \"$0\" serve", env!("CARGO_BIN_EXE_paasd")])
        .env("PAAS_DATA_DIR", &dir)
        .env("PAAS_API_LISTEN", "127.0.0.1:0")
        .env("PAAS_ROUTER", "external")
        .env("PAAS_DOCKER_HOST", "unix:///nonexistent.sock")
        .stderr(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let limits = || {
        let text = fs::read_to_string(format!("/proc/{}/limits", paasd.id())).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files")).unwrap_or_default().to_owned();
        let mut words = line.split_whitespace().map(str::to_owned);
        (words.next().unwrap_or_default(), words.next().unwrap_or_default())
    };
    let began = Instant::now();
    let mut now = limits();
    while now.0 != now.1 || dir.join("instance").metadata().is_err() {
        assert!(began.elapsed() < PATIENCE, "{now:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
        now = limits();
    }
    assert_ne!(now.0, "200");
    Command::new("kill").arg(paasd.id().to_string()).status().unwrap();
    paasd.wait().unwrap();
    fs::remove_dir_all(&dir).unwrap();
}
