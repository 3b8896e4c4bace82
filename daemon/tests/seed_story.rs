//! The story that this project began with: a Rails app whose web process hands mails to
//! Sidekiq through Redis, deployed and run by its user with `git` and `paas`.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc::channel,
    time::Instant,
};

use rustix::process::{Pid, Signal, kill_process};
use util::{
    cli_user::{CliUser, PATIENCE},
    home::Home,
    programs,
};

/// The story's app, in a repository of its own.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/rails-story")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn repository(user: &CliUser) -> PathBuf {
    let place = user.dir.join("story");
    copy(&fixture(), &place);
    lock_gems(&place);
    user.git(&place, &["init", "-q", "-b", "main"]);
    place
}

/// `bundle lock`, as the app's developer does it, with the gems that the stack has: Debian's
/// security fixes move their versions, so that a lock file kept here would go stale.
fn lock_gems(place: &Path) {
    let output = Command::new("docker")
        .args(["run", "--rm", "--network", "none", "--user", "0", "--workdir", "/app", "--volume"])
        .arg(format!("{}:/app", place.display()))
        .args(["paas/stack:debian-12-rails", "bundle", "lock", "--local"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// The app with its Redis, before the first push.
fn create(user: &CliUser, place: &Path) {
    user.paas(place, &["create", "story", "--stack", "debian-12-rails"]);
    user.paas(place, &["addons:create", "redis", "--wait"]);
    user.paas(place, &["config:set", "REDIS_PROVIDER=REDISTOGO_URL"]);
}

/// A visitor signs up: the web dyno must take it, whoever sends the mail.
async fn sign_up(user: &CliUser, place: &Path, email: &str) {
    let (browser, url) = user.browser("story");
    let answer = browser.post(format!("{url}/signups?email={email}")).send().await.unwrap();
    let status = answer.status().as_u16();
    assert_eq!(status, 202, "{}\nlog:\n{}", answer.text().await.unwrap(), user.paas(place, &["logs", "-n", "60"]));
}

fn has_line(mail: &[String], line: &str) {
    assert!(mail.iter().any(|have| have == line), "no line {line:?} in {mail:#?}");
}

#[tokio::test]
async fn a_mail_goes_through_redis_and_sidekiq() {
    let mut user = CliUser::start().await;
    let place = repository(&user);
    create(&user, &place);
    user.mail_server();
    user.paas(&place, &["config:set", "SMTP_ADDRESS=mail.example.com", "SMTP_PORT=2525"]);

    let said = user.commit_and_push(&place, "The story");
    for part in ["remote: -----> ", "Released v", "http://story.localhost", "deployed to paas"] {
        assert!(said.contains(part), "no {part:?} in:\n{said}");
    }
    user.until_up(&place, &["web.1"]).await;
    let said = user.paas(&place, &["ps"]);
    assert!(said.contains("bundle exec puma -C config/puma.rb"), "{said}");
    user.paas(&place, &["ps:scale", "worker=1"]);
    user.until_up(&place, &["web.1", "worker.1"]).await;

    let (browser, url) = user.browser("story");
    let answer = browser.get(format!("{url}/signups")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "signups, by web.1");
    sign_up(&user, &place, "ada@example.org").await;
    let mail = user.until_mail(&place, "ada@example.org").await;
    has_line(&mail, "Subject: Welcome from worker.1");
    has_line(&mail, "Good to have you, ada@example.org.");
    user.until_logged(&place, "app[worker.1]: ").await;
    user.until_logged(&place, "method=POST path=\"/signups?email=ada@example.org\"").await;

    user.paas(&place, &["ps:scale", "worker=0"]);
    user.until_up(&place, &["web.1"]).await;
    let log = user.until_logged(&place, "heroku[worker.1]: Process exited with status 0").await;
    assert!(log.lines().any(|line| line.contains("app[worker.1]") && line.contains("Bye!")), "{log}");

    // Without a worker dyno a mail waits; the variant's Sidekiqs, inside the web dyno, take it up.
    sign_up(&user, &place, "grace@example.org").await;
    std::fs::copy(place.join("variants/puma.rb"), place.join("config/puma.rb")).unwrap();
    user.commit_and_push(&place, "Sidekiq beside Puma");
    let mail = user.until_mail(&place, "grace@example.org").await;
    has_line(&mail, "Subject: Welcome from web.1");
    user.until_up(&place, &["web.1"]).await;
    sign_up(&user, &place, "alan@example.org").await;
    let mail = user.until_mail(&place, "alan@example.org").await;
    has_line(&mail, "Subject: Welcome from web.1");

    let byes = |log: &str| log.lines().filter(|line| line.contains("app[web.1]") && line.contains("Bye!")).count();
    assert_eq!(byes(&user.paas(&place, &["logs", "-n", "1500"])), 0);
    user.paas(&place, &["ps:scale", "web=0"]);
    user.until(&place, &["ps"], "all dynos to be gone", |_| user.containers(Some("dyno")).is_empty()).await;
    user.until_up(&place, &[]).await;
    // One Sidekiq for each of Puma's two workers.
    let log = user.until(&place, &["logs", "-n", "1500"], "two Sidekiqs to end", |said| byes(said) == 2).await;
    // R12 is what the platform says of a dyno that it had to kill after 30 s.
    for sign in ["Error R12", "SIGKILL", "code=H", "to crashed"] {
        assert!(!log.contains(sign), "{sign} in:\n{log}");
    }

    user.end_mail_server();
    user.paas(&place, &["destroy", "--app", "story", "--confirm", "story"]);
    user.until_nothing_is_left().await;
}

#[tokio::test]
async fn the_first_procfile_runs_bare_sidekiq() {
    let mut user = CliUser::start().await;
    let place = repository(&user);
    std::fs::copy(place.join("variants/Procfile.first"), place.join("Procfile")).unwrap();
    create(&user, &place);
    user.mail_server();
    user.paas(&place, &["config:set", "SMTP_ADDRESS=mail.example.com", "SMTP_PORT=2525"]);
    user.commit_and_push(&place, "The first Procfile");
    user.until_up(&place, &["web.1"]).await;
    user.paas(&place, &["ps:scale", "worker=1"]);
    user.until_up(&place, &["web.1", "worker.1"]).await;
    // Sidekiq is there for good once it has loaded the app and reached Redis.
    user.until(&place, &["logs", "-n", "1500"], "Sidekiq to boot", |said| {
        said.lines().any(|line| line.contains("app[worker.1]") && line.contains("Booted Rails"))
    })
    .await;
    let (browser, url) = user.browser("story");
    let answer = browser.get(format!("{url}/signups")).send().await.unwrap().text().await.unwrap();
    assert_eq!(answer, "signups, by web.1");
    sign_up(&user, &place, "ada@example.org").await;
    let mail = user.until_mail(&place, "ada@example.org").await;
    has_line(&mail, "Subject: Welcome from worker.1");
    user.until_up(&place, &["web.1", "worker.1"]).await;

    user.paas(&place, &["ps:scale", "worker=0"]);
    user.until_up(&place, &["web.1"]).await;
    let log = user.until_logged(&place, "heroku[worker.1]: Process exited with status 0").await;
    assert!(log.lines().any(|line| line.contains("app[worker.1]") && line.contains("Bye!")), "{log}");
    for sign in ["Error R12", "SIGKILL", "code=H", "to crashed"] {
        assert!(!log.contains(sign), "{sign} in:\n{log}");
    }
    user.end_mail_server();
    user.paas(&place, &["destroy", "--app", "story", "--confirm", "story"]);
    user.until_nothing_is_left().await;
}

/// The command lines of all living processes that carry this in their environment.
fn marked(mark: &str) -> Vec<String> {
    let read = |pid: &Path, what: &str| std::fs::read(pid.join(what)).unwrap_or_default();
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    let marked = all.filter(|pid| read(pid, "environ").split(|b| *b == 0).any(|var| var == mark.as_bytes()));
    marked.map(|pid| String::from_utf8_lossy(&read(&pid, "cmdline")).replace('\0', " ")).collect()
}

#[test]
fn at_home_both_worker_lines_run() {
    let place = std::env::temp_dir().join(format!("paas-story-{}", uuid::Uuid::new_v4().simple()));
    copy(&fixture(), &place);
    std::fs::write(place.join(".env"), "REDIS_PROVIDER=REDISTOGO_URL\nREDISTOGO_URL=redis://localhost:6379\n").unwrap();
    let mark = place.display().to_string();
    let mut local = Command::new(programs().join("paas"))
        .args(["local", "-f", "Procfile.dev"])
        .current_dir(&place)
        .env("PAAS_TEST_MARK", &mark)
        .env_remove("PORT")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (sender, lines) = channel();
    let out = BufReader::new(local.stdout.take().unwrap());
    let reader = std::thread::spawn(move || out.lines().map_while(Result::ok).for_each(|line| drop(sender.send(line))));
    let mut missing = vec![
        "web.1    | web on 5000",
        "worker.1 | first, Redis at REDISTOGO_URL=redis://localhost:6379",
        "worker.2 | second, Redis at REDISTOGO_URL=redis://localhost:6379",
    ];
    let deadline = Instant::now() + PATIENCE;
    let mut seen = Vec::new();
    while !missing.is_empty() {
        let Ok(line) = lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) else {
            let _ = local.kill();
            panic!("missing {missing:?} in {seen:#?}");
        };
        missing.retain(|part| !line.contains(part));
        seen.push(line);
    }
    let mark = format!("PAAS_TEST_MARK={mark}");
    // paas, the web process, and for each worker its shell and what it started.
    assert!(marked(&mark).len() >= 4, "{:?}", marked(&mark));
    kill_process(Pid::from_child(&local), Signal::INT).unwrap();
    reader.join().unwrap();
    assert_eq!(local.wait().unwrap().code(), Some(130));
    assert_eq!(marked(&mark), Vec::<String>::new());
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn at_home_rails_and_both_sidekiqs_run_and_end_by_one_ctrl_c() {
    let place = std::env::temp_dir().join(format!("paas-story-{}", uuid::Uuid::new_v4().simple()));
    copy(&fixture(), &place);
    lock_gems(&place);
    std::fs::write(
        place.join("Procfile.dev"),
        "web: bundle exec rails server -p $PORT\nworker: sidekiq\nworker: sidekiq\n",
    )
    .unwrap();
    let env = "REDIS_PROVIDER=REDISTOGO_URL\nREDISTOGO_URL=redis://redis:6379\nSMTP_ADDRESS=mail\nSMTP_PORT=2525\nRAILS_ENV=production\nSECRET_KEY_BASE=home\n";
    std::fs::write(place.join(".env"), env).unwrap();
    let home = Home::new(&place);
    let mut local = home.local("Procfile.dev");
    let out = BufReader::new(local.stdout.take().unwrap());
    let reader = std::thread::spawn(move || out.lines().map_while(Result::ok).collect::<Vec<_>>());
    let status = home.sign_up("ada@example.org");
    assert!(status == "202", "{status}");
    let started = Instant::now();
    let sidekiqs = || home.processes().iter().filter(|line| line.contains(" sidekiq 6.")).count();
    while home.mails().is_empty() || sidekiqs() < 2 {
        assert!(started.elapsed() < PATIENCE, "no mail, or not both: {:#?}", home.processes());
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    home.interrupt();
    let code = local.wait().unwrap().code();
    let said = reader.join().unwrap();
    assert_eq!(code, Some(130), "{said:#?}");
    assert_eq!(home.processes(), Vec::<String>::new());
    let mails = home.mails();
    assert_eq!(mails.len(), 1, "{mails:#?}");
    has_line(&mails[0], "To: ada@example.org");
    for part in ["web.1    | ", "worker.1 | ", "worker.2 | "] {
        assert!(said.iter().any(|line| line.contains(part)), "no {part:?} in {said:#?}");
    }
    drop(home);
    // The files that Rails has written are root's, as this test is.
    std::fs::remove_dir_all(&place).unwrap();
}
