//! The table on disk while the disk makes difficulties: a pipe in the place of the file is one
//! that never ends writing, and then fails.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that can't go on should stop")]

mod util;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::unix::pipe;
use util::backend::Dyno;
use util::client::{get, send};
use util::daemon::StubDaemon;
use util::process::{Router, started};
use util::{House, serving, until};

/// A disk that stands still.
struct Stuck {
    pipe: PathBuf,
}

impl Stuck {
    fn new(dir: &Path) -> Stuck {
        let pipe = dir.join("router/table.json.new");
        fs::create_dir_all(pipe.parent().unwrap()).unwrap();
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        Stuck { pipe }
    }

    /// What was being written fails, and what is written from here on doesn't.
    fn mend(self) {
        let aside = self.pipe.with_extension("aside");
        fs::rename(&self.pipe, &aside).unwrap();
        // Somebody who reads lets it go on, and breaks it by leaving.
        pipe::OpenOptions::new().open_receiver(&aside).unwrap();
    }
}

fn kept(dir: &Path) -> u64 {
    let text = fs::read_to_string(dir.join("router/table.json")).unwrap_or_default();
    let table = text.lines().nth(1).map(|table| serde_json::from_str::<serde_json::Value>(table).unwrap());
    table.map_or(0, |table| table["generation"].as_u64().unwrap())
}

async fn until_kept(dir: &Path, generation: u64) {
    let wait = async {
        while kept(dir) != generation {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    let waited = tokio::time::timeout(std::time::Duration::from_secs(20), wait).await;
    assert!(waited.is_ok(), "{generation} is not kept, but {}", kept(dir));
}

#[tokio::test]
async fn a_disk_that_stands_still_holds_nothing_up() {
    let (one, other) = (Dyno::text("one").await, Dyno::text("other").await);
    let house = House::new(serving(1, &[one.addr])).await;
    until_kept(house.dir.path(), 1).await;
    let stuck = Stuck::new(house.dir.path());
    // In use at once, each of them; access lines go their way, and the router tells of itself.
    house.set(serving(2, &[other.addr])).await;
    assert!(send(house.addr, &get("/a", "")).await.ends_with("other"));
    house.line("path=\"/a\"").await;
    house.set(serving(3, &[one.addr])).await;
    assert!(send(house.addr, &get("/b", "")).await.ends_with("one"));
    assert_eq!(kept(house.dir.path()), 1);
    stuck.mend();
    // The write has failed; it is tried again, with the newest.
    until_kept(house.dir.path(), 3).await;
}

#[tokio::test]
async fn a_write_that_fails_is_told_once_and_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let dyno = Dyno::text("hello").await;
    // A directory can't be written as a file.
    let in_the_way = dir.path().join("router/table.json.new");
    fs::create_dir_all(&in_the_way).unwrap();
    daemon.set(serving(1, &[dyno.addr]));
    let router = Router::start(dir.path(), "127.0.0.1:0");
    started(dir.path()).await;
    router.says("The routing table is in use but can't be kept on disk: ", 1).await;
    daemon.set(serving(2, &[dyno.addr]));
    until(dir.path(), |status| status.generation == 2).await;
    fs::remove_dir(&in_the_way).unwrap();
    until_kept(dir.path(), 2).await;
    router.says("The routing table in use is kept on disk again", 1).await;
    assert_eq!(router.said().matches("can't be kept on disk").count(), 1);
}

/// The new router has no daemon to ask, and gets what was still to be written all the same.
#[tokio::test]
async fn a_hand_over_waits_for_the_newest_table() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let (one, other) = (Dyno::text("one").await, Dyno::text("other").await);
    daemon.set(serving(1, &[one.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    until_kept(dir.path(), 1).await;
    let stuck = Stuck::new(dir.path());
    daemon.set(serving(2, &[other.addr]));
    until(dir.path(), |status| status.generation == 2).await;
    daemon.kill();
    first.signal("USR2");
    first.says("is started to take over", 1).await;
    stuck.mend();
    let status = until(dir.path(), |status| status.pid != first.id()).await;
    assert_eq!(status.generation, 2);
    assert!(send(addr, &get("/a", "")).await.ends_with("other"));
    assert!(first.end().await.success());
}

/// Where the newest table can't be kept, the one who has it goes on.
#[tokio::test]
async fn there_is_no_hand_over_to_an_older_table() {
    let dir = tempfile::tempdir().unwrap();
    let daemon = StubDaemon::start(dir.path());
    let (one, other) = (Dyno::text("one").await, Dyno::text("other").await);
    daemon.set(serving(1, &[one.addr]));
    let mut first = Router::start(dir.path(), "127.0.0.1:0");
    let addr = started(dir.path()).await;
    until_kept(dir.path(), 1).await;
    fs::create_dir(dir.path().join("router/table.json.new")).unwrap();
    daemon.set(serving(2, &[other.addr]));
    until(dir.path(), |status| status.generation == 2).await;
    daemon.kill();
    first.signal("USR2");
    first.says("There was no hand-over: the newest routing table can't be kept on disk", 1).await;
    assert!(first.runs());
    assert_eq!(until(dir.path(), |_| true).await.pid, first.id());
    assert!(send(addr, &get("/a", "")).await.ends_with("other"));
}

/// The end waits for the disk, and its requests don't wait for the end.
#[tokio::test]
async fn the_end_leaves_the_newest_table() {
    let dyno = Dyno::text("hello").await;
    let mut house = House::new(serving(1, &[dyno.addr])).await;
    until_kept(house.dir.path(), 1).await;
    let stuck = Stuck::new(house.dir.path());
    house.set(serving(2, &[dyno.addr])).await;
    house.router.as_ref().unwrap().stop();
    // The port is free at once.
    let free = async {
        while std::net::TcpListener::bind(house.addr).is_err() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(20), free).await.unwrap();
    assert_eq!(kept(house.dir.path()), 1);
    stuck.mend();
    house.stop().await;
    // One write has failed with the pipe; the end is the last.
    assert_eq!(kept(house.dir.path()), 2);
}
