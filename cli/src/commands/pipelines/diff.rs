//! `pipelines:diff`: what an app runs beside the apps of the next stage. Commits are named by
//! the slugs; which of them lie in between is known where the git repository here has them.

use std::process::{Command, Stdio};

use paas_wire::range::Order;
use paas_wire::{Range, Release, ReleaseStatus, Slug};
use serde::Serialize;

use super::{coupling, couplings};
use crate::client::{Client, app_path};
use crate::failure::Failure;
use crate::output;

/// What an app runs.
#[derive(Debug, Serialize)]
struct Running {
    app: String,
    release: Option<u64>,
    commit: Option<String>,
}

impl Running {
    fn text(&self) -> String {
        let commit = self.commit.as_deref().map_or("no commit is known", |commit| commit.get(..8).unwrap_or(commit));
        match self.release {
            Some(version) => format!("{} v{version} ({commit})", output::app(&self.app)),
            None => format!("{} (nothing deployed yet)", output::app(&self.app)),
        }
    }
}

/// One app of the next stage beside the source.
#[derive(Debug, Serialize)]
struct Beside {
    target: Running,
    up_to_date: bool,
    /// What the source is ahead by; none where that is not known here.
    commits: Option<Vec<String>>,
}

pub(super) async fn run(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let source = coupling(client, app).await?;
    let Some(stage) = source.stage.downstream() else {
        return Err(Failure::new(format!("{app} is at {}: no stage follows it.", source.stage.as_str())).into());
    };
    let all = couplings(client, source.pipeline.id).await?;
    let ours = running(client, &source.app.name).await?;
    let mut found = Vec::new();
    for coupling in all.iter().filter(|coupling| coupling.stage == stage) {
        let target = running(client, &coupling.app.name).await?;
        let up_to_date = ours.commit.is_some() && ours.commit == target.commit;
        let commits = match (&target.commit, &ours.commit) {
            (Some(from), Some(to)) if !up_to_date => between(from, to),
            (Some(_) | None, Some(_) | None) => None,
        };
        found.push(Beside { target, up_to_date, commits });
    }
    if found.is_empty() {
        return Err(Failure::new(format!("{} has no app at {}.", source.pipeline.name, stage.as_str()))
            .hint(format!("Add one with `paas pipelines:add {} --app APP`.", source.pipeline.name))
            .into());
    }
    if json {
        return output::json(&serde_json::json!({"source": ours, "targets": found}));
    }
    for beside in &found {
        show(&ours, beside);
    }
    Ok(())
}

fn show(ours: &Running, beside: &Beside) {
    let (left, right) = (ours.text(), beside.target.text());
    if beside.up_to_date {
        return output::line(format_args!("{left} is up to date with {right}"));
    }
    match &beside.commits {
        Some(commits) if !commits.is_empty() => {
            let noun = if commits.len() == 1 { "commit" } else { "commits" };
            output::line(format_args!("{left} is ahead of {right} by {} {noun}", commits.len()));
            for commit in commits {
                output::line(format_args!("  {commit}"));
            }
        }
        Some(_) => output::line(format_args!("{left} has nothing that {right} has not")),
        None => output::line(format_args!("{left} differs from {right}")),
    }
}

/// What an app's newest good release runs.
async fn running(client: &Client, app: &str) -> anyhow::Result<Running> {
    let range =
        Range { property: Some("version".to_owned()), max: Some(50), order: Some(Order::Desc), ..Range::default() };
    let mut releases: Vec<Release> = client.page(&app_path(app, "/releases"), &range).await?;
    releases.sort_by_key(|release| std::cmp::Reverse(release.version));
    let release = releases.into_iter().find(|release| release.status == ReleaseStatus::Succeeded);
    let slug = release.as_ref().and_then(|release| release.slug.as_ref());
    let commit = match slug {
        Some(slug) => client.get::<Slug>(&app_path(app, &format!("/slugs/{}", slug.id))).await?.commit,
        None => None,
    };
    let version = release.as_ref().filter(|_| slug.is_some()).map(|release| release.version);
    Ok(Running { app: app.to_owned(), release: version, commit })
}

/// The commits of `to` that `from` has not, newest first, where git knows both here.
fn between(from: &str, to: &str) -> Option<Vec<String>> {
    let hex = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_hexdigit());
    if !hex(from) || !hex(to) {
        return None;
    }
    let output = Command::new("git")
        .args(["log", "--oneline", "--no-decorate", "--no-color", "--max-count=100", &format!("{from}..{to}"), "--"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}
