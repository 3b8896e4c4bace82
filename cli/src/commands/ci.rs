//! Test runs: `ci`, `ci:info`, `ci:last`, `ci:run`, `ci:rerun`, `ci:debug`, `ci:cancel`.

use std::time::Duration;

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::range::Order;
use paas_wire::test_run::{TestRunCreate, TestRunUpdate};
use paas_wire::{Dyno, DynoCreate, Identity, Range, TestNode, TestRun, TestStatus};
use reqwest::Method;

use super::builds::{git_output, upload_head};
use super::ci_config::PipelineArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::{output, stream, when};

/// Between two looks at a run.
const LOOK: Duration = Duration::from_secs(1);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List test runs, the latest first
    #[command(name = "ci")]
    List {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Stay, and show what changes
        #[arg(long, conflicts_with = "json")]
        watch: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a test run says
    #[command(name = "ci:info")]
    Info {
        /// Number of the run
        #[arg(value_name = "NUMBER")]
        number: String,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Show what the latest test run says
    #[command(name = "ci:last")]
    Last {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Run the tests of the present commit
    #[command(name = "ci:run")]
    Run {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Run the tests of an earlier run once more
    #[command(name = "ci:rerun")]
    Rerun {
        /// Number of the run; the latest when left out
        #[arg(value_name = "NUMBER")]
        number: Option<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Open a shell where the tests of the present commit would run
    #[command(name = "ci:debug")]
    Debug {
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Cancel a test run
    #[command(name = "ci:cancel")]
    Cancel {
        /// Number of the run; the latest when left out
        #[arg(value_name = "NUMBER")]
        number: Option<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { pipeline, watch, json } => {
                let (id, name, client) = pipeline.find(context).await?;
                list(client, &id, &name, watch, json).await
            }
            Self::Info { number, pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                follow(client, find(client, &id, Some(&number)).await?).await
            }
            Self::Last { pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                follow(client, find(client, &id, None).await?).await
            }
            Self::Run { pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                let run = begin(client, &id, false).await?;
                follow(client, run).await
            }
            Self::Rerun { number, pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                let old = find(client, &id, number.as_deref()).await?;
                let action = Action::start(format!("Running the tests of #{} once more", old.number));
                let body = TestRunCreate {
                    commit_branch: old.commit_branch,
                    commit_message: old.commit_message,
                    commit_sha: old.commit_sha,
                    debug: None,
                    organization: None,
                    pipeline: Identity(id),
                    source_blob_url: old.source_blob_url,
                };
                let run: TestRun = client.send_json(Method::POST, "/test-runs", &body).await?;
                action.done_with(format_args!("#{}", run.number));
                follow(client, run).await
            }
            Self::Debug { pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                let run = begin(client, &id, true).await?;
                debug(client, run).await
            }
            Self::Cancel { number, pipeline } => {
                let (id, _, client) = pipeline.find(context).await?;
                let run = find(client, &id, number.as_deref()).await?;
                let action = Action::start(format!("Cancelling #{}", run.number));
                cancel(client, &run).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn path(pipeline: &str, rest: &str) -> String {
    format!("/pipelines/{}/test-runs{rest}", segment(pipeline))
}

async fn latest(client: &Client, pipeline: &str, count: u32) -> anyhow::Result<Vec<TestRun>> {
    let range =
        Range { property: Some("number".to_owned()), max: Some(count), order: Some(Order::Desc), ..Range::default() };
    client.page(&path(pipeline, ""), &range).await
}

async fn find(client: &Client, pipeline: &str, number: Option<&str>) -> anyhow::Result<TestRun> {
    match number {
        Some(number) => client.get(&path(pipeline, &format!("/{}", segment(number.trim_start_matches('#'))))).await,
        None => latest(client, pipeline, 1).await?.into_iter().next().ok_or_else(|| {
            Failure::new("The pipeline has no test runs yet.").hint("Run the tests with `paas ci:run`.").into()
        }),
    }
}

async fn list(client: &Client, pipeline: &str, name: &str, watch: bool, json: bool) -> anyhow::Result<()> {
    let mut runs = latest(client, pipeline, 15).await?;
    if json {
        return output::json(&runs);
    }
    show(name, &runs);
    if !watch {
        return Ok(());
    }
    loop {
        tokio::time::sleep(LOOK).await;
        let now = latest(client, pipeline, 15).await?;
        let changed = |run: &&TestRun| !runs.iter().any(|old| old.id == run.id && old.status == run.status);
        let changes: Vec<TestRun> = now.iter().filter(changed).cloned().collect();
        if !changes.is_empty() {
            table(&[], &changes);
        }
        runs = now;
    }
}

fn show(name: &str, runs: &[TestRun]) {
    if runs.is_empty() {
        output::line(format_args!("{name} has no test runs yet."));
        return;
    }
    output::heading(format_args!("{name} Test Runs"));
    table(&["Run", "Status", "Branch", "Commit", "By", "When"], runs);
}

fn table(header: &[&str], runs: &[TestRun]) {
    let rows = runs.iter().cloned().map(|run| {
        vec![
            format!("#{}", run.number),
            run.status.as_str().to_owned(),
            run.commit_branch,
            run.commit_sha.chars().take(7).collect(),
            run.actor_email,
            when::ago(run.created_at),
        ]
    });
    output::table(header, rows.collect());
}

/// Begins a run of the present commit.
async fn begin(client: &Client, pipeline: &str, debug: bool) -> anyhow::Result<TestRun> {
    let text = |arguments: &[&str]| -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&git_output(arguments)?).trim().to_owned())
    };
    let branch = text(&["rev-parse", "--abbrev-ref", "HEAD"])?;
    let message = text(&["log", "-1", "--format=%B"])?;
    let (url, sha) = upload_head(client).await?;
    let action = Action::start("Starting a test run");
    let body = TestRunCreate {
        commit_branch: branch,
        commit_message: message,
        commit_sha: sha,
        debug: debug.then_some(true),
        organization: None,
        pipeline: Identity(pipeline.to_owned()),
        source_blob_url: url,
    };
    let run: TestRun = client.send_json(Method::POST, "/test-runs", &body).await?;
    action.done_with(format_args!("#{}", run.number));
    Ok(run)
}

async fn node(client: &Client, run: &TestRun) -> anyhow::Result<TestNode> {
    let nodes: Vec<TestNode> = client.list(&format!("/test-runs/{}/test-nodes", run.id)).await?;
    nodes.into_iter().next().context("The test run has no node")
}

/// Shows build and tests as they come; what failed is a failed command, with the tests' own
/// exit code.
async fn follow(client: &Client, run: TestRun) -> anyhow::Result<()> {
    let first = node(client, &run).await?;
    for url in [&first.setup_stream_url, &first.output_stream_url] {
        if let Some(stream) = client.text(url).await? {
            stream::show(stream).await?;
        }
    }
    let mut run = run;
    while !run.status.has_ended() {
        tokio::time::sleep(LOOK).await;
        run = client.get(&format!("/test-runs/{}", run.id)).await?;
    }
    let last = node(client, &run).await?;
    let commit: String = run.commit_sha.chars().take(7).collect();
    output::line(format_args!("\n#{} {}:{commit} {}", run.number, run.commit_branch, run.status.as_str()));
    if let Some(why) = &run.message {
        output::complain(why);
    }
    match (run.status, last.exit_code) {
        (TestStatus::Succeeded, _) => Ok(()),
        (_, Some(code)) => Err(Exit(i32::try_from(code).unwrap_or(1)).into()),
        (_, None) => Err(Exit(1).into()),
    }
}

async fn cancel(client: &Client, run: &TestRun) -> anyhow::Result<()> {
    let body = TestRunUpdate { status: TestStatus::Cancelled, message: Some("cancelled by its user".to_owned()) };
    let _: TestRun = client.send_json(Method::PATCH, &format!("/test-runs/{}", run.id), &body).await?;
    Ok(())
}

/// A shell in the app of a run; when that ends, so does the run.
async fn debug(client: &Client, run: TestRun) -> anyhow::Result<()> {
    let first = node(client, &run).await?;
    if let Some(stream) = client.text(&first.setup_stream_url).await? {
        stream::show(stream).await?;
    }
    let mut run = run;
    while !run.status.has_ended() && run.status != TestStatus::Debugging {
        tokio::time::sleep(LOOK).await;
        run = client.get(&format!("/test-runs/{}", run.id)).await?;
    }
    let app = run.app_setup.as_ref().and_then(|setup| setup.app_name.clone());
    let (TestStatus::Debugging, Some(app)) = (run.status, app) else {
        let why = run.message.unwrap_or_else(|| run.status.as_str().to_owned());
        return Err(Failure::new(format!("The test run did not come up: {why}")).into());
    };
    output::note("The tests did not run. Run them by hand; when this shell ends, so does the test run.");
    let tty = stream::has_terminal();
    let body = DynoCreate {
        command: "bash".to_owned(),
        attach: Some(true),
        env: None,
        force_no_tty: Some(!tty),
        size: None,
        kind: None,
        time_to_live: None,
    };
    let shell = async {
        let dyno: Dyno = client.send_json(Method::POST, &app_path(&app, "/dynos"), &body).await?;
        let url = dyno.attach_url.as_deref().context("The server gave no way to attach to the dyno")?;
        stream::attach(client, url, tty).await
    };
    let code = shell.await;
    cancel(client, &run).await?;
    match code? {
        0 => Ok(()),
        code => Err(Exit(code).into()),
    }
}
