//! How fast the log store is: lines stored, read back and followed each second, and what
//! they take on disk. `cargo run --release -p paasd --example logs [LINES] [APPS]`
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a measuring program prints and may fall over")]

use std::{sync::Arc, time::Instant};

use chrono::DateTime;
use futures_util::StreamExt as _;
use paas_daemon::logs::{FileLogs, Filter, LogConfig, LogStore, NewLine, Source, Start};
use uuid::Uuid;

#[tokio::main]
async fn main() {
    let mut args = std::env::args().skip(1).filter_map(|arg| arg.parse::<u64>().ok());
    let lines = args.next().unwrap_or(1_000_000);
    let apps = args.next().unwrap_or(10).max(1);
    let dir = std::env::temp_dir().join(format!("paas-logs-bench-{}", Uuid::new_v4()));
    let store = Arc::new(FileLogs::open(LogConfig { budget_bytes: u64::MAX, ..LogConfig::new(&dir) }).await.unwrap());
    let per_app = lines / apps;

    let begin = Instant::now();
    let follower = tokio::spawn({
        let mut stream = store.follow(Uuid::from_u128(0), Start::After(0), Filter::default());
        async move {
            let mut seen = 0;
            while seen < per_app && stream.next().await.is_some() {
                seen += 1;
            }
            Instant::now()
        }
    });
    let producers: Vec<_> = (0..apps)
        .map(|app| {
            let store = store.clone();
            tokio::spawn(async move {
                for first in (0..per_app).step_by(100) {
                    let batch = (first..per_app.min(first + 100)).map(|n| line(app, n)).collect();
                    store.append(Uuid::from_u128(app.into()), batch).await.unwrap();
                }
            })
        })
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    report("stored", per_app * apps, begin.elapsed());
    let followed = follower.await.unwrap();
    report("followed (one app)", per_app, followed - begin);

    let begin = Instant::now();
    let recent = store.recent(Uuid::from_u128(0), 1500, Filter::default()).await.unwrap();
    println!("last {} lines of an app read in {:?}", recent.len(), begin.elapsed());
    let begin = Instant::now();
    let all = store.recent(Uuid::from_u128(0), usize::MAX, Filter::default()).await.unwrap();
    report("read back (one app)", all.len() as u64, begin.elapsed());
    store.close().await;

    let begin = Instant::now();
    let store = FileLogs::open(LogConfig::new(&dir)).await.unwrap();
    store.recent(Uuid::from_u128(0), 1, Filter::default()).await.unwrap();
    println!("an app's log opened in {:?}", begin.elapsed());
    let bytes: u64 = (0..apps)
        .flat_map(|app| std::fs::read_dir(dir.join(Uuid::from_u128(app.into()).to_string())).unwrap().flatten())
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    println!("on disk: {:.1} MB, {:.1} bytes a line", bytes as f64 / 1e6, bytes as f64 / (per_app * apps) as f64);
    std::fs::remove_dir_all(&dir).unwrap();
}

fn report(what: &str, lines: u64, took: std::time::Duration) {
    println!("{what}: {lines} lines in {took:.2?}, {:.0} lines/s", lines as f64 / took.as_secs_f64());
}

fn line(app: u64, n: u64) -> NewLine {
    let id = (n * 2_654_435_761 + app) % 1_000_000_007;
    NewLine {
        at: DateTime::from_timestamp_micros(1_790_000_000_000_000 + i64::try_from(n).unwrap() * 900).unwrap(),
        source: Source::App,
        process: format!("web.{}", n % 4 + 1),
        message: format!(
            "[{id:08x}] Completed 200 OK in {}ms (Views: {:.1}ms | ActiveRecord: {:.1}ms | Allocations: {})",
            id % 300,
            (id % 1000) as f64 / 10.0,
            (id % 700) as f64 / 10.0,
            id % 50_000
        )
        .into_bytes(),
        origin: None,
    }
}
