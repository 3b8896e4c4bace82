//! Watches what dynos use: R14 while one is over its memory quota, R15 and its end when it
//! is far over, and the sample lines for those apps that ask for them
//! (feature `log-runtime-metrics`).
//!
//! Dynos may take up to twice their quota before the kernel itself ends them, so what is
//! between is seen here. What grows faster than we look is ended by the kernel: the whole
//! dyno, which the reconciler tells as R15, or one process of it. The latter is R15 for a dyno
//! of the formation, whatever its other processes make of it; one-offs and release phases
//! answer for theirs with their exit code.
//!
//! A dyno may fill the machine's disk too: when that runs low, the one that has written the
//! most is ended.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use paas_domain::{
    plan::{DynoKind, Request},
    size::Size,
};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{
    engine::{DynoState, Usage},
    error::Result,
    ops::{self, Platform, features},
    store::dynos::{self, Dyno},
};

/// How often it looks; Heroku's period for R14 and for samples.
pub(super) const PERIOD: Duration = Duration::from_secs(20);

/// Dynos measured at once.
const AT_ONCE: usize = 8;

/// Times its quota from which on a dyno is ended (R15).
const VASTLY: u64 = 2;

/// Fewer bytes are not worth a dyno's end, whatever has filled the disk.
const WORTHWHILE: u64 = 64 << 20;

const MB: f64 = 1024.0 * 1024.0;

/// Averages of running processes over 1, 5 and 15 minutes.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Load([f64; 3]);

impl Load {
    /// Over 1, 5 and 15 minutes.
    pub(super) fn averages(&self) -> [f64; 3] {
        self.0
    }

    /// Takes in what was seen now, `PERIOD` after the last.
    pub(super) fn take(&mut self, runnable: u64) {
        for (average, minutes) in self.0.iter_mut().zip([1.0, 5.0, 15.0]) {
            let kept = (-PERIOD.as_secs_f64() / (minutes * 60.0)).exp();
            *average = *average * kept + runnable as f64 * (1.0 - kept);
        }
    }
}

/// Runs until `stop` becomes true.
pub async fn run(p: Platform, mut stop: watch::Receiver<bool>) {
    let mut loads = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return,
        }
        if let Err(error) = pass(&p, &mut loads).await {
            tracing::warn!(%error, "the dynos could not be measured; trying again");
        }
    }
}

async fn pass(p: &Platform, loads: &mut HashMap<Uuid, Load>) -> Result<()> {
    let running: HashSet<Uuid> = p
        .engine
        .list(None)
        .await?
        .into_iter()
        .filter(|dyno| matches!(dyno.state, DynoState::Running { .. }))
        .map(|dyno| dyno.id)
        .collect();
    loads.retain(|id, _| running.contains(id));
    let mut c = p.db.read().await?;
    let rows: Vec<Dyno> = dynos::all(&mut c).await?.into_iter().filter(|row| running.contains(&row.id)).collect();
    let mut sampled: HashMap<Uuid, bool> = HashMap::new();
    for row in &rows {
        if let Entry::Vacant(unknown) = sampled.entry(row.app_id) {
            unknown.insert(features::is_on(&mut c, row.app_id, features::LOG_RUNTIME_METRICS).await?);
        }
    }
    drop(c);
    spare_the_disk(p, &rows).await?;
    let measured: Vec<(Dyno, Usage)> = stream::iter(rows)
        .map(|row| async move {
            match p.engine.usage(row.id).await {
                Ok(usage) => Some((row, usage?)),
                Err(error) => {
                    tracing::debug!(%error, dyno.id = %row.id, "a dyno could not be measured");
                    None
                }
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await;
    for (row, usage) in measured {
        let quota = Size::parse(&row.size).unwrap_or_default().memory_bytes();
        let verdict = judge(&usage, quota, row.kind == DynoKind::Formation.as_str());
        for line in verdict.lines() {
            p.logs.platform(row.app_id, &row.name(), &line);
        }
        if matches!(verdict, Verdict::Vastly { .. }) && row.request.is_none() {
            ops::dynos::request_kill(p, row.id, Request::MemoryVastly).await?;
        }
        let load = loads.entry(row.id).or_default();
        load.take(usage.runnable.unwrap_or_default());
        if sampled.get(&row.app_id).copied().unwrap_or_default() {
            let load = usage.runnable.map(|_| *load);
            for line in samples(&row, &usage, quota, load) {
                p.logs.platform(row.app_id, &row.name(), &line);
            }
        }
    }
    Ok(())
}

/// When the disk has less free than its reserve, asks for the end of the dyno that has written
/// the most. Its directory goes with it.
async fn spare_the_disk(p: &Platform, running: &[Dyno]) -> Result<()> {
    let config = p.cx.config();
    let free =
        rustix::fs::statvfs(&config.data_dir).map_or(u64::MAX, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
    if free >= config.disk_reserve_mib << 20 || running.iter().any(|row| asks(row, Request::DiskFull)) {
        return Ok(());
    }
    let mut most: Option<(&Dyno, u64)> = None;
    for row in running {
        let written = p.engine.written(row.id).await?;
        if most.is_none_or(|(_, most)| written > most) {
            most = Some((row, written));
        }
    }
    if let Some((row, written)) = most.filter(|(row, written)| *written >= WORTHWHILE && row.request.is_none()) {
        tracing::warn!(dyno.id = %row.id, dyno.written = written, disk.free = free, "the disk runs low; a dyno is ended");
        p.logs.platform(row.app_id, &row.name(), &format!("Process running disk={:.0}M", written as f64 / MB));
        ops::dynos::request_kill(p, row.id, Request::DiskFull).await?;
    }
    Ok(())
}

fn asks(row: &Dyno, request: Request) -> bool {
    row.request.as_deref() == Some(request.as_str())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Within,
    /// R14.
    Over {
        used: u64,
        quota: u64,
    },
    /// R15.
    Vastly {
        used: u64,
        quota: u64,
    },
}

/// R15 goes by what can't be given back (no file cache), R14 by all that is in use. The hard
/// limit is where R15 begins, so a process that the kernel killed had the dyno at it.
fn judge(usage: &Usage, quota: u64, formation: bool) -> Verdict {
    let held = usage.rss + usage.swap;
    if formation && usage.oom_kills.is_some_and(|count| count > 0) {
        Verdict::Vastly { used: held.max(quota.saturating_mul(VASTLY)), quota }
    } else if held >= quota.saturating_mul(VASTLY) {
        Verdict::Vastly { used: held, quota }
    } else if usage.memory_total > quota {
        Verdict::Over { used: usage.memory_total, quota }
    } else {
        Verdict::Within
    }
}

impl Verdict {
    /// What the log says of it. `Error R15` itself is said by whoever ends the dyno.
    fn lines(self) -> Vec<String> {
        let running = |used: u64, quota: u64| {
            let percent = used as f64 / quota as f64 * 100.0;
            format!("Process running mem={:.0}M({percent:.1}%)", used as f64 / MB)
        };
        match self {
            Self::Within => Vec::new(),
            Self::Over { used, quota } => vec![running(used, quota), "Error R14 (Memory quota exceeded)".to_owned()],
            Self::Vastly { used, quota } => vec![running(used, quota)],
        }
    }
}

/// Heroku's sample lines, with those figures that are known here.
fn samples(row: &Dyno, usage: &Usage, quota: u64, load: Option<Load>) -> Vec<String> {
    let source = format!("source={} dyno=heroku.{}.{}", row.name(), row.app_id, row.id);
    let mb = |bytes: u64| format!("{:.2}MB", bytes as f64 / MB);
    let mut lines = Vec::new();
    if let Some(Load([one, five, fifteen])) = load {
        lines.push(format!(
            "{source} sample#load_avg_1m={one:.2} sample#load_avg_5m={five:.2} sample#load_avg_15m={fifteen:.2}"
        ));
    }
    lines.push(format!(
        "{source} sample#memory_total={} sample#memory_rss={} sample#memory_cache={} sample#memory_swap={} sample#memory_quota={}",
        mb(usage.memory_total),
        mb(usage.rss),
        mb(usage.cache),
        mb(usage.swap),
        mb(quota)
    ));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: u64 = 512 << 20;

    fn usage(rss_mb: u64, cache_mb: u64) -> Usage {
        let [rss, cache] = [rss_mb << 20, cache_mb << 20];
        Usage { memory_total: rss + cache, rss, cache, ..Usage::default() }
    }

    #[test]
    fn r14_reads_as_heroku_writes_it() {
        assert_eq!(
            judge(&usage(540, 0), QUOTA, true).lines(),
            ["Process running mem=540M(105.5%)", "Error R14 (Memory quota exceeded)"]
        );
        assert_eq!(judge(&usage(512, 0), QUOTA, true), Verdict::Within);
        // File cache counts for R14 and never for R15.
        assert!(matches!(judge(&usage(300, 900), QUOTA, true), Verdict::Over { .. }));
        assert_eq!(judge(&usage(1024, 0), QUOTA, true).lines(), ["Process running mem=1024M(200.0%)"]);
        assert!(matches!(judge(&usage(1024, 0), QUOTA, true), Verdict::Vastly { .. }));
        // The kernel took a child: the rest is small again, and it is R15 all the same.
        let bereft = Usage { oom_kills: Some(1), ..usage(100, 0) };
        assert_eq!(judge(&bereft, QUOTA, true).lines(), ["Process running mem=1024M(200.0%)"]);
        assert_eq!(judge(&bereft, QUOTA, false), Verdict::Within);
    }

    #[test]
    fn load_follows_what_runs() {
        let mut load = Load::default();
        for _ in 0..60 {
            load.take(2);
        }
        let Load([one, five, fifteen]) = load;
        assert!(one > 1.99 && five > 1.9 && fifteen > 1.4 && fifteen < five && five < one, "{load:?}");
    }
}
