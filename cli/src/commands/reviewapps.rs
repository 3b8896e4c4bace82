//! Review apps: `reviewapps`, `:create`, `:wait`, `:destroy`, `:enable`, `:disable`; and the
//! repository that they come from: `pipelines:connect`, `:disconnect`.

use std::time::Duration;

use clap::Subcommand;
use paas_wire::review_app::{PipelineRepoCreate, ReviewAppConfigChange, ReviewAppCreate, ReviewSource};
use paas_wire::{App, Identity, PipelineRepo, ReviewApp, ReviewAppConfig};
use reqwest::Method;

use super::ci_config::PipelineArgs;
use super::config::parse_vars;
use super::pipelines;
use crate::client::{Client, app_path, segment, status_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{confirm, output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the review apps of a pipeline, and how they are made
    #[command(name = "reviewapps")]
    List {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a review app of a branch of the pipeline's repository
    #[command(name = "reviewapps:create")]
    Create {
        /// The branch
        #[arg(short, long, value_name = "BRANCH")]
        branch: String,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// A config var of this one; may be repeated
        #[arg(long, value_name = "KEY=VALUE")]
        env: Vec<String>,
        /// The number of the pull request
        #[arg(long, value_name = "NUMBER")]
        pr: Option<i64>,
        /// Wait until it is ready
        #[arg(long)]
        wait: bool,
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2)]
        wait_interval: u64,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until a review app is ready
    #[command(name = "reviewapps:wait")]
    Wait {
        /// The app
        #[arg(value_name = "APP")]
        app: String,
        /// Seconds between two looks
        #[arg(long, value_name = "SECONDS", default_value_t = 2)]
        wait_interval: u64,
    },
    /// Destroy a review app, after its pr-predestroy script
    #[command(name = "reviewapps:destroy")]
    Destroy {
        /// The app
        #[arg(value_name = "APP")]
        app: String,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Enable review apps in a pipeline, or change how they are made
    #[command(name = "reviewapps:enable")]
    Enable {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// Every branch of the repository gets one
        #[arg(long)]
        autodeploy: bool,
        /// Those that nobody deploys are destroyed
        #[arg(long)]
        autodestroy: bool,
        /// Not before the branch's tests have passed
        #[arg(long)]
        wait_for_ci: bool,
        /// What their names begin with
        #[arg(long, value_name = "NAME")]
        base_name: Option<String>,
        /// Days without a deploy after which one is destroyed
        #[arg(long, value_name = "DAYS")]
        stale_days: Option<i64>,
    },
    /// Disable review apps in a pipeline, or one of their settings; those that are there stay
    #[command(name = "reviewapps:disable")]
    Disable {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// No more of them by themselves
        #[arg(long, alias = "autodeploy")]
        no_autodeploy: bool,
        /// Nobody destroys them by itself
        #[arg(long, alias = "autodestroy")]
        no_autodestroy: bool,
        /// They don't wait for tests
        #[arg(long, alias = "wait-for-ci")]
        no_wait_for_ci: bool,
    },
    /// Connect a pipeline to the repository that its branches come from
    #[command(name = "pipelines:connect")]
    Connect {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
        /// The https address of a git repository, or the name of an app of this server
        #[arg(short, long, value_name = "REPOSITORY")]
        repo: String,
    },
    /// Disconnect a pipeline from its repository
    #[command(name = "pipelines:disconnect")]
    Disconnect {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { pipeline, json } => {
                let (id, name, client) = pipeline.find(context).await?;
                list(client, &id, &name, json).await
            }
            Self::Create { branch, pipeline, env, pr, wait, wait_interval, json } => {
                let (id, _, client) = pipeline.find(context).await?;
                let body = ReviewAppCreate {
                    branch: branch.clone(),
                    pipeline: Identity(id),
                    source_blob: ReviewSource { url: "resolve".to_owned(), version: None },
                    environment: Some(parse_vars(&env)?.into_iter().collect()),
                    fork_repo_id: None,
                    pr_number: pr,
                };
                let action = Action::start(format!("Creating a review app of {branch}"));
                let review: ReviewApp = client.send_json(Method::POST, "/review-apps", &body).await?;
                let name = app_name(client, &review).await?;
                action.done_with(output::app(&name));
                let review = if wait { ready(client, review, &name, wait_interval).await? } else { review };
                if json {
                    return output::json(&review);
                }
                if !wait {
                    output::note(format_args!("It is being set up: paas reviewapps:wait {name}"));
                }
                Ok(())
            }
            Self::Wait { app, wait_interval } => {
                let client = context.client()?;
                let review = of_app(client, &app).await?;
                ready(client, review, &app, wait_interval).await.map(drop)
            }
            Self::Destroy { app, confirm } => {
                let client = context.client()?;
                let review = of_app(client, &app).await?;
                let what = format!("This destroys {app}, the review app of {}, with its add-ons.", review.branch);
                confirm::destruction(&what, &app, confirm.as_deref())?;
                let action = Action::start(format!("Destroying {}", output::app(&app)));
                client.delete(&format!("/review-apps/{}", review.id)).await?;
                action.done();
                Ok(())
            }
            Self::Enable { pipeline, autodeploy, autodestroy, wait_for_ci, base_name, stale_days } => {
                let (id, name, client) = pipeline.find(context).await?;
                let change = ReviewAppConfigChange {
                    automatic_review_apps: autodeploy.then_some(true),
                    destroy_stale_apps: autodestroy.then_some(true),
                    wait_for_ci: wait_for_ci.then_some(true),
                    base_name: base_name.map(Some),
                    stale_days,
                    ..ReviewAppConfigChange::default()
                };
                enable(client, &id, &name, change).await
            }
            Self::Disable { pipeline, no_autodeploy, no_autodestroy, no_wait_for_ci } => {
                let (id, name, client) = pipeline.find(context).await?;
                let change = ReviewAppConfigChange {
                    automatic_review_apps: no_autodeploy.then_some(false),
                    destroy_stale_apps: no_autodestroy.then_some(false),
                    wait_for_ci: no_wait_for_ci.then_some(false),
                    ..ReviewAppConfigChange::default()
                };
                let whole = !(no_autodeploy || no_autodestroy || no_wait_for_ci);
                let action = Action::start(format!("Configuring {name}"));
                if whole {
                    client.delete(&config_path(&id)).await?;
                } else {
                    let _: ReviewAppConfig = client.send_json(Method::PATCH, &config_path(&id), &change).await?;
                }
                action.done();
                Ok(())
            }
            Self::Connect { pipeline, repo } => {
                let client = context.client()?;
                let found = pipelines::find(client, &pipeline).await?;
                let action = Action::start(format!("Connecting {} to {repo}", found.name));
                let body = PipelineRepoCreate { repo_url: repo };
                let made: PipelineRepo =
                    client.send_json(Method::POST, &repo_path(&found.id.to_string()), &body).await?;
                action.done_with(made.full_name);
                Ok(())
            }
            Self::Disconnect { pipeline } => {
                let client = context.client()?;
                let found = pipelines::find(client, &pipeline).await?;
                let action = Action::start(format!("Disconnecting {}", found.name));
                client.delete(&repo_path(&found.id.to_string())).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn config_path(pipeline: &str) -> String {
    format!("/pipelines/{}/review-app-config", segment(pipeline))
}

fn repo_path(pipeline: &str) -> String {
    format!("/pipelines/{}/repo", segment(pipeline))
}

async fn of_app(client: &Client, app: &str) -> anyhow::Result<ReviewApp> {
    client.get(&app_path(app, "/review-app")).await
}

async fn app_name(client: &Client, review: &ReviewApp) -> anyhow::Result<String> {
    let Some(app) = &review.app else { return Ok(String::new()) };
    let found: anyhow::Result<App> = client.get(&format!("/apps/{}", app.id)).await;
    match found {
        Ok(app) => Ok(app.name),
        // It could not be set up, and is gone again.
        Err(error) if status_of(&error).is_some_and(|status| status.as_u16() == 404) => Ok(String::new()),
        Err(error) => Err(error),
    }
}

/// Waits until a review app is ready; one that can't be made is a failure.
async fn ready(client: &Client, review: ReviewApp, app: &str, seconds: u64) -> anyhow::Result<ReviewApp> {
    let mut now = review;
    let mut action = Action::start(format!("Setting up {}", output::app(app)));
    while matches!(now.status.as_str(), "pending" | "creating" | "deleting") {
        action.status(&now.status);
        tokio::time::sleep(Duration::from_secs(seconds.max(1))).await;
        now = client.get(&format!("/review-apps/{}", now.id)).await?;
    }
    if now.status == "created" {
        action.done();
        return Ok(now);
    }
    let why = now.message.clone().unwrap_or_else(|| format!("it is {}", now.status));
    action.end(&now.status);
    Err(Failure::new(format!("The review app of {} is not there: {why}", now.branch)).into())
}

async fn list(client: &Client, pipeline: &str, name: &str, json: bool) -> anyhow::Result<()> {
    let all: Vec<ReviewApp> = client.list(&format!("/pipelines/{}/review-apps", segment(pipeline))).await?;
    if json {
        return output::json(&all);
    }
    match settings(client, pipeline).await? {
        None => output::note(format_args!("Review apps are not enabled in {name}: paas reviewapps:enable -p {name}")),
        Some(config) => {
            let word = |on: bool| if on { "yes" } else { "no" }.to_owned();
            output::heading(format_args!("{name} Review Apps"));
            output::fields(&[
                ("For every branch", word(config.automatic_review_apps)),
                (
                    "Destroy stale",
                    if config.destroy_stale_apps { format!("after {} days", config.stale_days) } else { word(false) },
                ),
                ("Wait for tests", word(config.wait_for_ci)),
            ]);
        }
    }
    if all.is_empty() {
        output::line(format_args!("{name} has no review apps."));
        return Ok(());
    }
    let mut rows = Vec::new();
    for review in all {
        let app = app_name(client, &review).await?;
        rows.push(vec![
            app,
            review.branch,
            review.status,
            when::ago(review.created_at),
            review.message.unwrap_or_default(),
        ]);
    }
    output::table(&["App", "Branch", "Status", "Made", "Message"], rows);
    Ok(())
}

async fn settings(client: &Client, pipeline: &str) -> anyhow::Result<Option<ReviewAppConfig>> {
    match client.get(&config_path(pipeline)).await {
        Ok(config) => Ok(Some(config)),
        Err(error) if status_of(&error).is_some_and(|status| status.as_u16() == 404) => Ok(None),
        Err(error) => Err(error),
    }
}

async fn enable(client: &Client, id: &str, name: &str, mut change: ReviewAppConfigChange) -> anyhow::Result<()> {
    let method = match settings(client, id).await? {
        Some(_) => Method::PATCH,
        None => Method::POST,
    };
    let repo: PipelineRepo = client.get(&repo_path(id)).await?;
    change.repo = Some(repo.full_name);
    let action = Action::start(format!("Configuring {name}"));
    let _: ReviewAppConfig = client.send_json(method, &config_path(id), &change).await?;
    action.done();
    Ok(())
}
