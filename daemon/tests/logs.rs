//! The log store on real files: what a crash leaves, what a follower sees, what is removed.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::StreamExt as _;
use paas_daemon::logs::{
    FileLogs, Filter, Line, LogConfig, LogSink, LogStore, NewLine, Origin, Position, Source, Start,
};
use paas_domain::route::{LogBatch, LogLine};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use uuid::Uuid;

/// A directory that goes when the test ends.
struct Dir(PathBuf);

impl Dir {
    fn new() -> Self {
        let path = std::env::temp_dir().join(format!("paas-logs-test-{}", Uuid::new_v4()));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

const APP: Uuid = Uuid::from_u128(0xa);
const DYNO: Uuid = Uuid::from_u128(0xd);

fn config(dir: &Path) -> LogConfig {
    LogConfig { disk_reserve: 0, ..LogConfig::new(dir) }
}

fn at(n: u64) -> DateTime<Utc> {
    DateTime::from_timestamp_micros(1_790_000_000_000_000 + i64::try_from(n).unwrap()).unwrap()
}

fn line(n: u64, text: impl Into<String>) -> NewLine {
    NewLine {
        at: at(n),
        source: Source::App,
        process: "web.1".into(),
        message: text.into().into_bytes(),
        origin: Some(Origin { id: DYNO, position: Position { major: n, minor: 0 } }),
    }
}

fn lines(range: impl Iterator<Item = u64>) -> Vec<NewLine> {
    range.map(|n| line(n, format!("line {n}"))).collect()
}

async fn all(store: &FileLogs) -> Vec<Line> {
    store.recent(APP, usize::MAX, Filter::default()).await.unwrap()
}

/// Numbers without a gap or a repeat, beginning with `first`.
fn assert_whole(lines: &[Line], first: u64) {
    for (line, seq) in lines.iter().zip(first..) {
        assert_eq!(line.seq, seq, "gap or repeat at {}", line.text());
    }
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    for _ in 0..4500 {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("never happened: {what}");
}

fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut found: Vec<_> = fs::read_dir(dir.join(APP.to_string()))
        .unwrap()
        .flatten()
        .map(|entry| {
            (entry.file_name().into_string().unwrap(), entry.metadata().map(|meta| meta.len()).unwrap_or_default())
        })
        .collect();
    found.sort();
    found
}

#[tokio::test]
async fn what_is_appended_is_read_back_over_a_restart() {
    let dir = Dir::new();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    assert!(all(&store).await.is_empty());
    store.append(APP, vec![line(1, "one"), line(2, "two\nhalf")]).await.unwrap();
    let api = NewLine { process: "api".into(), origin: None, ..line(3, "Release v1 created") };
    store.append(APP, vec![api]).await.unwrap();
    store.close().await;

    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    store.append(APP, vec![line(4, "four")]).await.unwrap();
    let lines = all(&store).await;
    assert_whole(&lines, 1);
    let texts: Vec<_> = lines.iter().map(|line| line.message.as_str()).collect();
    assert_eq!(texts, ["one", "two", "half", "Release v1 created", "four"]);
    assert_eq!(lines[0].text(), "2026-09-21T14:13:20.000001+00:00 app[web.1]: one");
    let last = store.recent(APP, 2, Filter { process: Some("web".into()), source: None }).await.unwrap();
    assert_eq!(last.iter().map(|line| line.seq).collect::<Vec<_>>(), [3, 5]);
    assert!(store.recent(Uuid::new_v4(), 10, Filter::default()).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_an_origin_repeats_is_stored_once_over_a_restart() {
    let dir = Dir::new();
    let store = FileLogs::open(LogConfig { segment_bytes: 600, ..config(&dir.0) }).await.unwrap();
    for n in 0..40 {
        store.append(APP, vec![line(n, format!("line {n}"))]).await.unwrap();
        store.append(APP, vec![line(n / 2, "again"), line(n, "again")]).await.unwrap();
    }
    store.close().await;
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    assert_eq!(store.position(APP, DYNO).await.unwrap(), Some(Position { major: 39, minor: 0 }));
    store.append(APP, lines(0..45)).await.unwrap();
    let texts: Vec<_> = all(&store).await.into_iter().map(|line| line.message).collect();
    assert_eq!(texts, (0..45).map(|n| format!("line {n}")).collect::<Vec<_>>());

    // Let go of, it begins anew.
    store.forget(APP, DYNO).await.unwrap();
    store.append(APP, vec![line(0, "reborn")]).await.unwrap();
    assert_eq!(all(&store).await.last().unwrap().message, "reborn");
}

#[tokio::test]
async fn routers_repeat_batches_safely() {
    let dir = Dir::new();
    let other = Uuid::from_u128(0xb);
    let router = Uuid::new_v4();
    let batch = |seq: u64| LogBatch {
        router,
        seq,
        lines: [(APP, 0), (other, 0), (APP, 1)]
            .map(|(app_id, i)| LogLine { app_id, at_micros: 5, line: format!("at=info n={seq}.{i}") })
            .to_vec(),
    };
    let store: Arc<FileLogs> = Arc::new(FileLogs::open(config(&dir.0)).await.unwrap());
    let sink = LogSink::with_clock(store.clone(), Arc::new(|| at(0)));
    sink.router_batch(batch(1)).await.unwrap();
    sink.router_batch(batch(1)).await.unwrap();
    sink.api(APP, "Scaled to web@2:Standard-1X by user@example.com");
    store.close().await;
    let store: Arc<FileLogs> = Arc::new(FileLogs::open(config(&dir.0)).await.unwrap());
    let sink = LogSink::with_clock(store.clone(), Arc::new(|| at(0)));
    sink.router_batch(batch(1)).await.unwrap();
    sink.router_batch(batch(2)).await.unwrap();
    let texts: Vec<_> =
        all(&store).await.into_iter().map(|line| format!("{}: {}", line.process, line.message)).collect();
    assert_eq!(
        texts,
        [
            "router: at=info n=1.0",
            "router: at=info n=1.1",
            "api: Scaled to web@2:Standard-1X by user@example.com",
            "router: at=info n=2.0",
            "router: at=info n=2.1"
        ]
    );
    assert_eq!(store.recent(other, 10, Filter::default()).await.unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_closed_touches_nothing_any_more() {
    for _ in 0..30 {
        let dir = Dir::new();
        let store = FileLogs::open(config(&dir.0)).await.unwrap();
        store.append(APP, vec![line(1, "x".repeat(2 << 20))]).await.unwrap();
        // So much later that it gets a segment of its own; the first is being compressed now.
        store.append(APP, vec![line(400 * 86_400_000_000, "later")]).await.unwrap();
        store.close().await;
        let left: Vec<_> = files(&dir.0).into_iter().map(|(name, _)| name).collect();
        assert!(left.len() == 2 && !left.iter().any(|name| name.ends_with(".tmp")), "{left:?}");
        let store = FileLogs::open(config(&dir.0)).await.unwrap();
        store.append(APP, vec![line(400 * 86_400_000_001, "again")]).await.unwrap();
        assert_eq!(all(&store).await.last().unwrap().message, "again");
        store.close().await;
    }
}

#[tokio::test]
async fn a_step_of_a_dyno_is_said_once() {
    let dir = Dir::new();
    for _ in 0..2 {
        let store: Arc<FileLogs> = Arc::new(FileLogs::open(config(&dir.0)).await.unwrap());
        let sink = LogSink::with_clock(store.clone(), Arc::new(|| at(0)));
        for step in 1..=2 {
            sink.platform_step(APP, "web.1", &format!("step {step}"), DYNO, step).await.unwrap();
        }
        store.close().await;
        // Too late, and no trouble.
        sink.api(APP, "late");
    }
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    assert_eq!(all(&store).await.iter().map(|line| line.message.as_str()).collect::<Vec<_>>(), ["step 1", "step 2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_of_an_app_that_is_gone_stays_gone() {
    let t = util::TestApp::fake().await;
    let made: Uuid = t.create("here").await["id"].as_str().unwrap().parse().unwrap();
    let gone = Uuid::new_v4();
    let said = [made, gone].map(|app_id| LogLine { app_id, at_micros: 5, line: "at=info".into() });
    let batch = LogBatch { router: Uuid::new_v4(), seq: 1, lines: said.to_vec() };
    t.until("the table to have the app", || async {
        let (_, table) = t.control("GET /router/table?after=0", "").await;
        (table["apps"][0]["id"] == made.to_string()).then_some(())
    })
    .await;
    assert_eq!(t.control("POST /router/log", &serde_json::to_string(&batch).unwrap()).await.0, 204);
    let store = t.platform().logs.store();
    assert_eq!(store.apps().await.unwrap(), [made]);
    assert_eq!(t.log("here").await.iter().filter(|line| *line == "heroku[router]: at=info").count(), 1);
    // One that is there all the same goes, too.
    store.append(gone, lines(1..=1)).await.unwrap();
    assert!(t.dir.join("logs").join(gone.to_string()).is_dir());
    paas_daemon::tasks::cleanup::orphans(t.platform()).await.unwrap();
    assert_eq!(store.apps().await.unwrap(), [made]);
}

#[tokio::test]
async fn a_tail_torn_at_any_byte_is_cut_and_written_on() {
    let dir = Dir::new();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    store.append(APP, lines(1..=4)).await.unwrap();
    let head = files(&dir.0)[0].1;
    for n in 5..=7 {
        store.append(APP, vec![line(n, format!("line {n}\nsecond half of {n}"))]).await.unwrap();
    }
    store.close().await;
    let [(name, size)] = files(&dir.0).try_into().unwrap();
    let bytes = fs::read(dir.0.join(APP.to_string()).join(&name)).unwrap();

    let mut seen = std::collections::BTreeSet::new();
    for cut in head..=size {
        // Torn off, and torn off with what else was on the disk behind it.
        for junk in [0, 40] {
            let torn = Dir::new();
            fs::create_dir_all(torn.0.join(APP.to_string())).unwrap();
            let mut left = bytes[..usize::try_from(cut).unwrap()].to_vec();
            left.extend(std::iter::repeat_n(0xa5, junk));
            fs::write(torn.0.join(APP.to_string()).join(&name), left).unwrap();

            let store = FileLogs::open(config(&torn.0)).await.unwrap();
            let before = all(&store).await;
            assert_whole(&before, 1);
            // Lines and position are of the same message.
            let position = store.position(APP, DYNO).await.unwrap().unwrap();
            assert_eq!(before.len() as u64, 4 + 2 * (position.major - 4), "cut at {cut}");
            seen.insert(position.major);
            // The source is read again from the start: nothing is missing, nothing twice.
            let again = (1..=8).map(|n| line(n, format!("line {n}\nsecond half of {n}"))).collect();
            store.append(APP, again).await.unwrap();
            let after = all(&store).await;
            assert_whole(&after, 1);
            assert_eq!(after.len(), 4 + 2 * 4, "cut at {cut}");
            store.close().await;
            let store = FileLogs::open(config(&torn.0)).await.unwrap();
            assert_eq!(all(&store).await, after);
            store.close().await;
        }
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [4, 5, 6, 7]);
}

#[tokio::test]
async fn a_crash_while_a_segment_is_turned_loses_nothing() {
    let dir = Dir::new();
    let app_dir = dir.0.join(APP.to_string());
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    store.append(APP, lines(1..=50)).await.unwrap();
    store.close().await;
    let [(name, _)] = files(&dir.0).try_into().unwrap();
    // The next segment was being made; the full one is compressed and still there plainly.
    let plain = fs::read(app_dir.join(&name)).unwrap();
    fs::write(app_dir.join(format!("{name}.zst")), zstd::encode_all(plain.as_slice(), 1).unwrap()).unwrap();
    fs::write(app_dir.join("00000000000000000051.log"), b"PAASLOG1\x05\0\0").unwrap();
    fs::write(app_dir.join("00000000000000000051.log.tmp"), b"half").unwrap();
    fs::write(app_dir.join("notes.txt"), b"not ours").unwrap();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    store.append(APP, lines(40..=60)).await.unwrap();
    let lines = all(&store).await;
    assert_whole(&lines, 1);
    assert_eq!(lines.len(), 60);
    store.close().await;
    let names: Vec<_> = files(&dir.0).into_iter().map(|(name, _)| name).collect();
    assert!(names.contains(&"00000000000000000001.log.zst".to_owned()), "{names:?}");
    assert!(!names.contains(&"00000000000000000001.log".to_owned()), "{names:?}");
    assert!(!names.contains(&"00000000000000000051.log.tmp".to_owned()), "{names:?}");
    assert!(names.contains(&"notes.txt".to_owned()), "{names:?}");
}

#[tokio::test]
async fn full_segments_are_compressed_and_the_oldest_removed() {
    let dir = Dir::new();
    // The budget has room for what is being written and some more, whenever it is looked at.
    let config = LogConfig { segment_bytes: 8 << 10, budget_bytes: 24 << 10, ..config(&dir.0) };
    let store = FileLogs::open(config).await.unwrap();
    let mut rng = StdRng::seed_from_u64(1);
    for n in 0..4000u64 {
        let text = format!("request {n} took {} ms", rng.random_range(0..1000));
        store.append(APP, vec![line(n, text)]).await.unwrap();
    }
    until("all but one compressed and within budget", async || {
        let files = files(&dir.0);
        let plain = files.iter().filter(|(name, _)| name.ends_with(".log")).count();
        let packed: u64 = files.iter().filter(|(name, _)| name.ends_with(".zst")).map(|(_, size)| size).sum();
        plain == 1 && packed <= 24 << 10 && packed > 0
    })
    .await;
    let lines = all(&store).await;
    assert!(lines.len() > 100 && lines.len() < 4000, "{} lines", lines.len());
    assert_eq!(lines.last().unwrap().seq, 4000);
    assert_whole(&lines, lines[0].seq);
    // One that asks for lines which are gone is told so, and goes on with the oldest there is: the
    // first of those, or a later one where more have gone meanwhile.
    let mut tail = store.follow(APP, Start::After(10), Filter::default());
    let first = tail.next().await.unwrap();
    assert!(first.message.starts_with("Error L11 (Tail buffer overflow)"), "{}", first.message);
    let next = tail.next().await.unwrap();
    assert_eq!((next.seq, lines.contains(&next)), (first.seq + 1, true));
    store.close().await;
}

#[tokio::test]
async fn old_lines_are_removed() {
    let dir = Dir::new();
    let config = LogConfig { max_age: Duration::from_secs(3600), ..config(&dir.0) };
    let store = FileLogs::open(config).await.unwrap();
    store.append(APP, vec![line(0, "old")]).await.unwrap();
    // Lines far apart in time don't share a segment, however small.
    store.append(APP, vec![line(3_600_000_000, "new")]).await.unwrap();
    until("compressed", async || files(&dir.0).iter().any(|(name, _)| name.ends_with(".zst"))).await;
    let packed = dir.0.join(APP.to_string()).join("00000000000000000001.log.zst");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(7200);
    fs::File::options().append(true).open(&packed).unwrap().set_modified(long_ago).unwrap();
    store.append(APP, vec![line(7_200_000_000, "newer")]).await.unwrap();
    until("removed", async || !packed.exists()).await;
    let texts: Vec<_> = all(&store).await.into_iter().map(|line| line.message).collect();
    assert_eq!(texts, ["new", "newer"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn followers_see_every_line_once_while_segments_turn() {
    const LINES: u64 = 1500;
    for seed in 0..12 {
        let dir = Dir::new();
        let mut rng = StdRng::seed_from_u64(seed);
        let config = LogConfig { segment_bytes: rng.random_range(500..20_000), ..config(&dir.0) };
        let store = Arc::new(FileLogs::open(config).await.unwrap());
        let producer = tokio::spawn({
            let store = store.clone();
            let mut rng = StdRng::seed_from_u64(seed + 1000);
            async move {
                let mut n = 0;
                while n < LINES {
                    let batch = rng.random_range(1..20).min(LINES - n);
                    store.append(APP, lines(n..n + batch)).await.unwrap();
                    n += batch;
                    if rng.random_range(0..4) == 0 {
                        tokio::task::yield_now().await;
                    }
                }
            }
        });
        let mut followers = Vec::new();
        for i in 0..6 {
            // Each begins when the log is about so far; the last asks when all is written.
            let wait = i * LINES / 5;
            until("so many lines", async || wait == 0 || all(&store).await.last().is_some_and(|line| line.seq >= wait))
                .await;
            let start = if rng.random() {
                Start::Backlog(rng.random_range(1..200))
            } else {
                Start::After(rng.random_range(0..=wait.min(LINES - 1)))
            };
            let mut stream = store.follow(APP, start, Filter::default());
            followers.push(tokio::spawn(async move {
                let mut seen: Vec<Line> = Vec::new();
                while seen.last().is_none_or(|line| line.seq < LINES) {
                    seen.push(stream.next().await.unwrap());
                }
                (start, seen)
            }));
        }
        producer.await.unwrap();
        for follower in followers {
            let done = tokio::time::timeout(Duration::from_secs(90), follower).await;
            let (start, seen) =
                done.unwrap_or_else(|_| panic!("seed {seed}: a follower missed the last line")).unwrap();
            assert_whole(&seen, seen[0].seq);
            if let Start::After(seq) = start {
                assert_eq!(seen[0].seq, seq + 1, "seed {seed}");
            }
            for line in seen {
                assert_eq!(line.message, format!("line {}", line.seq - 1), "seed {seed}");
            }
        }
        store.close().await;
    }
}

#[tokio::test]
async fn a_follower_gets_backlog_then_live_and_ends_with_the_app() {
    let dir = Dir::new();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    store.append(APP, lines(1..=10)).await.unwrap();
    let heroku = Filter { source: Some(Source::Heroku), process: None };
    let mut quiet = store.follow(APP, Start::Backlog(5), heroku);
    let mut tail = store.follow(APP, Start::Backlog(3), Filter::default());
    for seq in 8..=10 {
        assert_eq!(tail.next().await.unwrap().seq, seq);
    }
    store.offer(APP, vec![line(11, "live")]);
    assert_eq!(tail.next().await.unwrap().message, "live");
    store.offer(APP, vec![NewLine { source: Source::Heroku, ..line(12, "for the quiet one") }]);
    assert_eq!(quiet.next().await.unwrap().seq, 12);
    assert_eq!(tail.next().await.unwrap().seq, 12);
    store.remove(APP).await.unwrap();
    assert_eq!(tail.next().await, None);
    assert_eq!(quiet.next().await, None);
    assert!(!dir.0.join(APP.to_string()).exists());
    // A dyno's last words don't bring the log back.
    store.append(APP, vec![line(13, "late")]).await.unwrap();
    assert!(!dir.0.join(APP.to_string()).exists());
    assert!(all(&store).await.is_empty());
    store.remove(APP).await.unwrap();
}

#[tokio::test]
async fn origins_that_speak_are_remembered_over_those_that_do_not() {
    let dir = Dir::new();
    let store = FileLogs::open(LogConfig { segment_bytes: 20_000, ..config(&dir.0) }).await.unwrap();
    let router = Uuid::from_u128(1);
    let from = |n: u64, id: Uuid, major: u64| NewLine {
        origin: Some(Origin { id, position: Position { major, minor: 0 } }),
        ..line(n, "x")
    };
    // A router's batches have low numbers, dynos the time. More dynos than are remembered.
    for n in 1..=30u64 {
        let dynos = (0..100).map(|i| from(n, Uuid::from_u128(u128::from(n * 1000 + i)), n << 40));
        store.append(APP, dynos.chain([from(n, router, n)]).collect()).await.unwrap();
    }
    assert_eq!(store.position(APP, router).await.unwrap(), Some(Position { major: 30, minor: 0 }));
    let first = Uuid::from_u128(1000);
    assert_eq!(store.position(APP, first).await.unwrap(), None);
    store.close().await;
}

#[tokio::test]
async fn a_full_disk_drops_counted_lines_and_says_so_later() {
    let dir = Dir::new();
    let store = FileLogs::open(LogConfig { disk_reserve: u64::MAX, ..config(&dir.0) }).await.unwrap();
    for n in 0..7 {
        store.offer(APP, vec![line(n, "lost")]);
    }
    let error = store.append(APP, vec![line(7, "kept by its source")]).await.unwrap_err();
    assert!(error.to_string().contains("Make room on the disk"), "{error}");
    assert!(all(&store).await.is_empty());
    store.set_disk_reserve(0);
    let mut tail = store.follow(APP, Start::Backlog(10), Filter::default());
    let told = tokio::time::timeout(Duration::from_secs(10), tail.next()).await.unwrap().unwrap();
    assert_eq!((told.source, told.process.as_str()), (Source::Heroku, "logplex"));
    let expected = "Error L12 (Local buffer overflow) -> 7 lines dropped since 2026-09-21T14:13:20";
    assert!(told.message.starts_with(expected), "{}", told.message);
    store.append(APP, vec![line(7, "kept by its source")]).await.unwrap();
    assert_eq!(tail.next().await.unwrap().message, "kept by its source");
}

#[tokio::test]
async fn a_queue_that_is_full_never_blocks() {
    let dir = Dir::new();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    // On this runtime of one thread the writer can't run meanwhile.
    for n in 0..10_000 {
        store.offer(APP, vec![NewLine { origin: None, ..line(n, "x") }]);
    }
    until("the loss is told", async || {
        all(&store).await.iter().any(|line| line.message.contains("5904 lines dropped"))
    })
    .await;
    // Everything that found room is there, once the writer has come to its end.
    store.sync(APP).await.unwrap();
    let texts: Vec<_> = all(&store).await.into_iter().filter(|line| line.message == "x").collect();
    assert_eq!(texts.len(), 4096);
}

#[tokio::test]
async fn thousands_of_apps_share_a_few_files() {
    let dir = Dir::new();
    let store = FileLogs::open(config(&dir.0)).await.unwrap();
    for round in 0..2 {
        for app in 0..500u128 {
            store.append(Uuid::from_u128(app), vec![line(round, "hello")]).await.unwrap();
        }
    }
    let open = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(&dir.0)))
        .count();
    assert!(open <= 70, "{open} files are open");
    assert_eq!(store.recent(Uuid::from_u128(499), 10, Filter::default()).await.unwrap().len(), 2);
}
