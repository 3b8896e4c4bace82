//! Running dynos: `ps`, `ps:restart`, `ps:stop`, `ps:kill`, `ps:wait`.

use std::time::Duration;

use clap::{Args, Subcommand};
use paas_wire::{Dyno, DynoState};
use reqwest::Method;
use serde_json::Value;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::output;
use crate::progress::Action;
use crate::when;
use clap::builder::styling::{AnsiColor, Style};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the dynos of an app
    #[command(name = "ps", visible_alias = "dyno:list")]
    List {
        /// Only these process types
        #[arg(value_name = "TYPE")]
        types: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Restart dynos: all, those of a type (web), or one (web.1)
    #[command(name = "ps:restart", visible_alias = "restart", visible_alias = "dyno:restart")]
    Restart {
        /// Process type or dyno; all when left out
        #[arg(value_name = "DYNO")]
        dyno: Option<String>,
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Stop dynos: those of a type (run) or one (run.1234)
    #[command(name = "ps:stop", visible_aliases = ["stop", "ps:kill", "kill", "dyno:stop", "dyno:kill"])]
    Stop {
        /// Process type or dyno
        #[arg(value_name = "DYNO", required_unless_present_any = ["dyno_name", "process_type"])]
        dyno: Option<String>,
        #[command(flatten)]
        named: Named,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Wait until every dyno runs the latest release
    #[command(name = "ps:wait")]
    Wait {
        /// Only dynos of this process type
        #[arg(short = 't', long = "type", value_name = "TYPE", conflicts_with = "with_run")]
        kind: Option<String>,
        /// One-off dynos too
        #[arg(short = 'R', long)]
        with_run: bool,
        /// Seconds between questions
        #[arg(short, long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        wait_interval: u64,
        #[command(flatten)]
        app: AppArgs,
    },
}

/// Heroku's own way to say which dynos.
#[derive(Args, Debug)]
pub(crate) struct Named {
    /// One dyno, such as web.1
    #[arg(short = 'd', long, value_name = "DYNO", conflicts_with = "dyno")]
    dyno_name: Option<String>,
    /// All dynos of a process type
    #[arg(short = 'p', long, value_name = "TYPE", conflicts_with_all = ["dyno", "dyno_name"])]
    process_type: Option<String>,
}

impl Named {
    fn or(self, dyno: Option<String>) -> Option<String> {
        dyno.or(self.dyno_name).or(self.process_type)
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { types, app, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, &types, json).await
            }
            Self::Restart { dyno, named, app } => {
                let (app, client) = context.app(&app)?;
                restart(client, &app, named.or(dyno).as_deref()).await
            }
            Self::Stop { dyno, named, app } => {
                let (app, client) = context.app(&app)?;
                stop(client, &app, &named.or(dyno).unwrap_or_default()).await
            }
            Self::Wait { kind, with_run, wait_interval, app } => {
                let (app, client) = context.app(&app)?;
                let meant = |dyno: &Dyno| match &kind {
                    Some(kind) => dyno.kind == *kind,
                    None => dyno.kind != "release" && (with_run || dyno.kind != "run"),
                };
                wait(client, &app, meant, Duration::from_secs(wait_interval)).await
            }
        }
    }
}

/// Whether a name is one dyno (`web.1`) rather than a process type (`web`).
fn is_dyno(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(kind, number)| {
        !kind.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

async fn list(client: &Client, app: &str, types: &[String], json: bool) -> anyhow::Result<()> {
    let mut dynos: Vec<Dyno> = client.list(&app_path(app, "/dynos")).await?;
    if !types.is_empty() {
        dynos.retain(|dyno| types.contains(&dyno.kind));
    }
    dynos.sort_by_cached_key(|dyno| {
        let number: u64 = dyno.name.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0);
        (dyno.kind.clone(), number)
    });
    if json {
        return output::json(&dynos);
    }
    if dynos.is_empty() {
        let of = if types.is_empty() { String::new() } else { format!("{} ", types.join(", ")) };
        output::line(format_args!("No {of}dynos on {}", output::app(app)));
        return Ok(());
    }
    for group in dynos.chunk_by(|a, b| a.kind == b.kind) {
        let [first, ..] = group else { continue };
        output::heading(if first.kind == "run" {
            format!("run: one-off dynos ({})", group.len())
        } else {
            format!("{} ({}): {} ({})", first.kind, first.size, first.command, group.len())
        });
        for dyno in group {
            let state = state(dyno.state);
            let since = when::ago(dyno.updated_at);
            if dyno.kind == "run" {
                let (name, size, command) = (&dyno.name, &dyno.size, &dyno.command);
                output::line(format_args!("{name} ({size}): {state} {since}: {command}"));
            } else {
                output::line(format_args!("{}: {state} {since}", dyno.name));
            }
        }
        output::line("");
    }
    Ok(())
}

fn state(state: DynoState) -> String {
    let style: Style = match state {
        DynoState::Up => AnsiColor::Green.on_default(),
        DynoState::Starting => AnsiColor::Yellow.on_default(),
        DynoState::Crashed => AnsiColor::Red.on_default(),
        DynoState::Idle | DynoState::Down => Style::new().dimmed(),
    };
    format!("{style}{}{style:#}", state.as_str())
}

async fn restart(client: &Client, app: &str, which: Option<&str>) -> anyhow::Result<()> {
    let (what, path) = match which {
        None => ("dynos".to_owned(), "/dynos".to_owned()),
        Some(name) if is_dyno(name) => (format!("{name} dyno"), format!("/dynos/{}", segment(name))),
        Some(name) => (format!("{name} dynos"), format!("/formations/{}", segment(name))),
    };
    let action = Action::start(format!("Restarting {what} on {}", output::app(app)));
    client.delete(&app_path(app, &path)).await?;
    action.done();
    Ok(())
}

async fn stop(client: &Client, app: &str, name: &str) -> anyhow::Result<()> {
    let (what, path) = if is_dyno(name) {
        (format!("{name} dyno"), format!("/dynos/{}/actions/stop", segment(name)))
    } else {
        (format!("{name} dynos"), format!("/formations/{}/actions/stop", segment(name)))
    };
    let action = Action::start(format!("Stopping {what} on {}", output::app(app)));
    client.send_empty::<Value>(Method::POST, &app_path(app, &path)).await?;
    action.done();
    let kind = name.split('.').next().unwrap_or(name);
    if !matches!(kind, "run" | "release") {
        output::note(format_args!(
            "Dynos of the formation start anew at once. To keep them away: paas ps:scale {kind}=0 --app {app}"
        ));
    }
    Ok(())
}

async fn wait(client: &Client, app: &str, meant: impl Fn(&Dyno) -> bool, interval: Duration) -> anyhow::Result<()> {
    let latest = super::releases::latest(client, app, 1).await?;
    let Some(version) = latest.first().map(|release| release.version) else { return Ok(()) };
    let mut action = Action::start(format!("Waiting for every dyno to run v{version}"));
    loop {
        let mut dynos: Vec<Dyno> = client.list(&app_path(app, "/dynos")).await?;
        dynos.retain(&meant);
        let there = dynos.iter().filter(|dyno| dyno.state == DynoState::Up && dyno.release.version >= version).count();
        let of = format!("{there} / {}", dynos.len());
        if there == dynos.len() {
            action.end(of);
            return Ok(());
        }
        action.status(&of);
        tokio::time::sleep(interval).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dynos_and_types() {
        assert!(is_dyno("web.1") && is_dyno("run.1234") && is_dyno("my.type.2"));
        assert!(!is_dyno("web") && !is_dyno("web.") && !is_dyno(".1") && !is_dyno("web.one"));
    }
}
