//! The router's counts for others to read: as a text for Prometheus, and as what lately was for
//! people. An app is in them from its first request on, until it is destroyed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use paas_domain::exposition::{Exposition, Kind};
use paas_domain::traffic::{AppTraffic, Recent};

use crate::stats::{AppStats, BUCKETS, CLASSES, CODES, Counts};
use crate::table::App;
use crate::worker::Shared;

/// What only the control thread knows.
pub(crate) struct Lines {
    pub(crate) waiting: usize,
    pub(crate) dropped: u64,
    pub(crate) daemon_connected: bool,
}

/// Everything, as Prometheus reads it.
pub(crate) fn text(shared: &Shared, lines: &Lines) -> String {
    let mut text = Exposition::default();
    let table = shared.routes.load_full();
    let used: Vec<(&str, Counts)> = table
        .apps()
        .iter()
        .filter(|app| app.stats.is_used())
        .map(|app| (app.route.name.as_str(), app.stats.counts()))
        .collect();
    requests(&mut text, &used);
    durations(&mut text, &used);
    let apps = |text: &mut Exposition, name, kind, help, value: fn(&Counts) -> u64| {
        text.metric(name, kind, help);
        for (app, counts) in &used {
            text.sample("", &[("app", app)], value(counts));
        }
    };
    let out = "Bytes of responses' bodies.";
    apps(&mut text, "paas_router_response_bytes_total", Kind::Counter, out, |counts| counts.bytes);
    let now = "Requests under way, WebSockets among them.";
    apps(&mut text, "paas_router_requests_in_flight", Kind::Gauge, now, |counts| counts.in_flight);
    let waiting = "Requests that wait for a dyno.";
    apps(&mut text, "paas_router_requests_waiting", Kind::Gauge, waiting, |counts| counts.waiting);
    let waits = "Requests that had to wait for a dyno.";
    apps(&mut text, "paas_router_requests_waited_total", Kind::Counter, waits, |counts| counts.waits);
    let tunnels = "WebSockets and other connections that changed their protocol.";
    apps(&mut text, "paas_router_tunnels_open", Kind::Gauge, tunnels, |counts| counts.tunnels);
    totals(&mut text, shared, lines);
    text.into_text()
}

fn requests(text: &mut Exposition, used: &[(&str, Counts)]) {
    text.metric("paas_router_requests_total", Kind::Counter, "Ended requests by status class; 499 is a client's end.");
    for (app, counts) in used {
        for (class, count) in CLASSES.iter().zip(counts.classes) {
            text.sample("", &[("app", app), ("status", class)], count);
        }
    }
    text.metric("paas_router_errors_total", Kind::Counter, "Failed requests by Heroku's code.");
    for (app, counts) in used {
        // Thirty codes of each app would be many names for what seldom happens.
        for (code, count) in CODES.iter().zip(counts.codes).filter(|(_, count)| *count > 0) {
            text.sample("", &[("app", app), ("code", code)], count);
        }
    }
}

fn seconds(micros: u64) -> f64 {
    micros as f64 / 1e6
}

fn durations(text: &mut Exposition, used: &[(&str, Counts)]) {
    let help = "From a request's head to its response's last byte, waiting for a dyno included; without WebSockets.";
    text.metric("paas_router_request_duration_seconds", Kind::Histogram, help);
    for (app, counts) in used {
        let mut sum = 0;
        for (bound, count) in BUCKETS.iter().zip(counts.buckets) {
            sum += count;
            text.sample("_bucket", &[("app", app), ("le", &seconds(*bound).to_string())], sum);
        }
        sum += counts.buckets[BUCKETS.len()];
        text.sample("_bucket", &[("app", app), ("le", "+Inf")], sum);
        text.sample("_sum", &[("app", app)], seconds(counts.micros));
        text.sample("_count", &[("app", app)], sum);
    }
    let help = "Time for connecting to dynos, all attempts of a request together; 0 on a connection that was open.";
    text.metric("paas_router_connect_seconds", Kind::Summary, help);
    for (app, counts) in used {
        text.sample("_sum", &[("app", app)], seconds(counts.connect_micros));
        text.sample("_count", &[("app", app)], counts.connects);
    }
}

fn totals(text: &mut Exposition, shared: &Shared, lines: &Lines) {
    let totals = &shared.totals;
    let get = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let mut one = |name, kind, help, value: f64| {
        text.metric(name, kind, help).sample("", &[], value);
    };
    let number = |count: &AtomicU64| get(count) as f64;
    let (counter, gauge) = (Kind::Counter, Kind::Gauge);
    let open = shared.connections.load(Ordering::Relaxed) as f64;
    one("paas_router_connections_open", gauge, "Client connections and tunnels that are open.", open);
    one("paas_router_connections_total", counter, "Client connections that were taken.", number(&totals.accepted));
    let refused = "Client connections that were turned away over a limit.";
    one("paas_router_connections_refused_total", counter, refused, number(&totals.refused));
    let failed = "TLS handshakes that failed or took too long.";
    one("paas_router_tls_handshakes_failed_total", counter, failed, number(&totals.handshakes_failed));
    let unknown = "Requests for names that no app has.";
    one("paas_router_unknown_host_requests_total", counter, unknown, number(&totals.unknown_hosts));
    one("paas_router_log_lines_waiting", gauge, "Access lines on their way to the daemon.", lines.waiting as f64);
    one("paas_router_log_lines_dropped_total", counter, "Access lines that were lost.", lines.dropped as f64);
    let table = shared.routes.load_full();
    one("paas_router_table_generation", gauge, "Of the routing table in use.", table.generation as f64);
    one("paas_router_table_apps", gauge, "Apps in the routing table.", table.apps().len() as f64);
    let connected = f64::from(u8::from(lines.daemon_connected));
    one("paas_router_daemon_connected", gauge, "1 if the daemon answered last time, else 0.", connected);
    one("paas_router_uptime_seconds", gauge, "Since the router started.", shared.started.elapsed().as_secs_f64());
    text.metric("paas_router_tls_connections_total", counter, "Client connections with TLS, by its version.")
        .sample("", &[("version", "1.2")], get(&totals.tls12))
        .sample("", &[("version", "1.3")], get(&totals.tls13));
    text.metric("paas_router_info", gauge, "Always 1; which program this is.").sample(
        "",
        &[("version", env!("CARGO_PKG_VERSION"))],
        1,
    );
}

/// How apps fared lately.
pub(crate) fn traffic(shared: &Shared) -> Vec<AppTraffic> {
    let table = shared.routes.load_full();
    let used = table.apps().iter().filter(|app| app.stats.is_used());
    used.map(|app| of_app(app, shared.started)).collect()
}

fn of_app(app: &Arc<App>, started: Instant) -> AppTraffic {
    let (since, counts) = app.stats.recent(started);
    let named = |names: &[&str], counts: &[u64]| -> BTreeMap<String, u64> {
        let some = names.iter().zip(counts).filter(|(_, count)| **count > 0);
        some.map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    AppTraffic {
        id: app.route.id,
        name: app.route.name.clone(),
        requests: app.stats.counts().requests(),
        in_flight: counts.in_flight,
        waiting: counts.waiting,
        tunnels: counts.tunnels,
        recent: Recent {
            seconds: since.elapsed().as_secs_f64(),
            requests: counts.requests(),
            statuses: named(&CLASSES, &counts.classes),
            codes: named(&CODES, &counts.codes),
            bytes: counts.bytes,
            p50_ms: counts.percentile(0.5),
            p95_ms: counts.percentile(0.95),
            p99_ms: counts.percentile(0.99),
        },
    }
}

/// Notes the counts of all apps every `period`. Never ends.
pub(crate) async fn note(shared: Arc<Shared>, period: std::time::Duration) {
    loop {
        tokio::time::sleep(period).await;
        let stats: Vec<Arc<AppStats>> =
            shared.routes.load_full().apps().iter().map(|app| Arc::clone(&app.stats)).collect();
        let now = Instant::now();
        stats.iter().for_each(|stats| stats.note(now));
    }
}
