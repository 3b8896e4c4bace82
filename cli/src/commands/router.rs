//! `router:status`: how the router is, and how apps fare with it.

use clap::Args;
use paas_wire::{Router, RouterApp, RouterRecent};

use crate::client::{Client, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::{output, when};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this app
    #[arg(short, long, value_name = "APP")]
    app: Option<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let router = ask(context.client()?, self.app.as_deref()).await?;
        if self.json {
            return output::json(&router);
        }
        if !router.answers {
            return Err(Failure::new("The router does not answer: no app can be reached from outside.")
                .hint("On the server, `paasd doctor` tells what is wrong, and router/router.log in the data directory.")
                .into());
        }
        about(&router);
        apps(&router.apps);
        dynos(&router.apps);
        Ok(())
    }
}

async fn ask(client: &Client, app: Option<&str>) -> anyhow::Result<Router> {
    match app {
        Some(app) => client.get(&format!("/router?app={}", segment(app))).await,
        None => client.get("/router").await,
    }
}

fn about(router: &Router) {
    let follows =
        if router.follows { "the daemon's newest" } else { "the last one that it got: the daemon does not answer it" };
    let mut fields = vec![
        ("Version", router.version.clone().unwrap_or_default()),
        ("Up since", router.started_at.map(when::ago).unwrap_or_default()),
        ("Table", follows.to_owned()),
    ];
    if let Some(process) = &router.process {
        fields.extend([
            ("Process", process.pid.to_string()),
            ("HTTP", process.http.join(", ")),
            ("HTTPS", process.https.join(", ")),
            ("Generation", format!("{} ({} apps)", process.generation, process.apps)),
            ("Connections", process.connections.to_string()),
            ("Waiting", format!("{} requests", process.waiting)),
            ("Log lines", format!("{} wait, {} lost", process.log_lines_waiting, process.log_lines_dropped)),
        ]);
    }
    output::heading("Router");
    output::fields(&fields);
}

/// `12ms`, `1.5s`.
fn time(milliseconds: Option<f64>) -> String {
    match milliseconds {
        None => "-".to_owned(),
        Some(time) if time < 1.0 => "<1ms".to_owned(),
        Some(time) if time < 1000.0 => format!("{time:.0}ms"),
        Some(time) => format!("{:.1}s", time / 1000.0),
    }
}

fn row(app: &RouterApp, recent: &RouterRecent) -> Vec<String> {
    let codes: Vec<String> = recent.codes.iter().map(|(code, count)| format!("{code} {count}")).collect();
    let per_second = if recent.seconds > 0.0 { recent.requests as f64 / recent.seconds } else { 0.0 };
    vec![
        app.app.name.clone(),
        when::span(recent.seconds.max(0.0) as u64),
        recent.requests.to_string(),
        format!("{per_second:.1}"),
        time(recent.p50_ms),
        time(recent.p95_ms),
        time(recent.p99_ms),
        recent.statuses.get("5xx").copied().unwrap_or_default().to_string(),
        if codes.is_empty() { "-".to_owned() } else { codes.join(", ") },
    ]
}

fn apps(apps: &[RouterApp]) {
    let rows: Vec<Vec<String>> =
        apps.iter().filter_map(|app| app.recent.as_ref().map(|recent| row(app, recent))).collect();
    output::line("");
    if rows.is_empty() {
        return output::line("No requests since the router started.");
    }
    output::heading("Requests of late");
    output::table(&["App", "In", "Requests", "Per second", "p50", "p95", "p99", "5xx", "Failures"], rows);
}

fn dynos(apps: &[RouterApp]) {
    let rows: Vec<Vec<String>> = apps
        .iter()
        .flat_map(|app| {
            let name = &app.app.name;
            let waiting = (app.waiting > 0)
                .then(|| vec![name.clone(), "-".to_owned(), app.waiting.to_string(), "waiting for a dyno".to_owned()]);
            let dynos = app
                .dynos
                .iter()
                .map(|dyno| vec![name.clone(), dyno.name.clone(), dyno.in_flight.to_string(), dyno.state.clone()]);
            waiting.into_iter().chain(dynos).collect::<Vec<_>>()
        })
        .collect();
    if rows.is_empty() {
        return;
    }
    output::line("");
    output::heading("Requests now");
    output::table(&["App", "Dyno", "Requests", "State"], rows);
}
