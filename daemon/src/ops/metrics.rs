//! What daemon and router count, as a text for Prometheus.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use paas_domain::exposition::{Exposition, Kind};

use super::{Platform, router};
use crate::{
    error::Result,
    store::{apps, builds, dynos},
};

/// What is counted while the daemon runs; cheap to clone.
#[derive(Clone, Default)]
pub struct Counts(Arc<Inner>);

struct Inner {
    started: Instant,
    passes: AtomicU64,
    failed: AtomicU64,
}

impl Default for Inner {
    fn default() -> Self {
        Self { started: Instant::now(), passes: AtomicU64::new(0), failed: AtomicU64::new(0) }
    }
}

impl Counts {
    /// A pass of the reconciler over an app has ended.
    pub fn passed(&self, well: bool) {
        let count = if well { &self.0.passes } else { &self.0.failed };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// All metrics: the daemon's, then the router's where it answers.
pub async fn text(p: &Platform) -> Result<String> {
    let mut text = Exposition::default();
    daemon(p, &mut text).await?;
    let router = router::ask(&p.cx.path(router::SOCKET), "/metrics").await;
    text.metric("paas_router_up", Kind::Gauge, "1 if the router answers, else 0.").sample(
        "",
        &[],
        u8::from(router.is_ok()),
    );
    let mut text = text.into_text();
    match router {
        Ok(theirs) => text.push_str(&String::from_utf8_lossy(&theirs)),
        Err(why) => tracing::warn!(%why, "the router's metrics are missing"),
    }
    Ok(text)
}

async fn daemon(p: &Platform, text: &mut Exposition) -> Result<()> {
    let mut c = p.db.read().await?;
    let (counter, gauge) = (Kind::Counter, Kind::Gauge);
    let apps = apps::ids(&mut c).await?.len();
    text.metric("paas_apps", gauge, "Apps that there are.").sample("", &[], apps);
    text.metric("paas_dynos", gauge, "Dynos by what they are in.");
    let mut by_phase: BTreeMap<(String, String), u64> = BTreeMap::new();
    for dyno in dynos::all(&mut c).await? {
        *by_phase.entry((dyno.kind, dyno.phase)).or_default() += 1;
    }
    for ((kind, phase), count) in &by_phase {
        text.sample("", &[("kind", kind), ("state", phase)], count);
    }
    text.metric("paas_builds", gauge, "Builds that wait and that are under way.");
    for (state, status) in [("queued", "queued"), ("running", "pending")] {
        text.sample("", &[("state", state)], builds::count(&mut c, status).await?);
    }
    let passes = "Passes of the reconciler over an app.";
    text.metric("paas_reconcile_passes_total", counter, passes)
        .sample("", &[("result", "ok")], p.counts.0.passes.load(Ordering::Relaxed))
        .sample("", &[("result", "failed")], p.counts.0.failed.load(Ordering::Relaxed));
    let lines = "Log lines that were written, of all apps.";
    text.metric("paas_log_lines_total", counter, lines).sample("", &[], p.logs.store().written());
    let uptime = p.counts.0.started.elapsed().as_secs_f64();
    text.metric("paas_daemon_uptime_seconds", gauge, "Since the daemon started.").sample("", &[], uptime);
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    text.metric("paas_daemon_info", gauge, "Always 1; which program this is.").sample("", &version, 1);
    Ok(())
}
