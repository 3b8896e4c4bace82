//! Pipelines: `pipelines`, `:create`, `:info`, `:add`, `:update`, `:remove`, `:rename`,
//! `:destroy`, `:transfer`, `:open`; `promote` and `diff` have files of their own.

mod change;
mod diff;
mod promote;

use std::fmt::Display;

use clap::{Args, Subcommand};
use paas_wire::{Account, App, OwnerKind, Pipeline, PipelineCoupling, PipelineOwner, Stage};
use serde_json::json;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment, status_of};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the pipelines that you may see
    #[command(name = "pipelines")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the apps of a pipeline
    #[command(name = "pipelines:info")]
    Info {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
        /// Show whose each app is
        #[arg(long)]
        with_owners: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a pipeline with an app as its first
    #[command(name = "pipelines:create")]
    Create(change::CreateArgs),
    /// Add an app to a pipeline
    #[command(name = "pipelines:add")]
    Add {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
        #[command(flatten)]
        stage: StageArgs,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Move an app to another stage of its pipeline
    #[command(name = "pipelines:update")]
    Update {
        /// The new stage: development, staging, production, review or test
        #[arg(short, long, value_name = "STAGE", value_parser = stage)]
        stage: Stage,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Take an app out of its pipeline
    #[command(name = "pipelines:remove")]
    Remove {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Rename a pipeline
    #[command(name = "pipelines:rename")]
    Rename {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
        /// Its new name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// Destroy a pipeline; its apps stay
    #[command(name = "pipelines:destroy")]
    Destroy {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
    },
    /// Give a pipeline and its owner's apps in it to an account or a team
    #[command(name = "pipelines:transfer")]
    Transfer(change::TransferArgs),
    /// Release what an app runs on the apps of the next stage
    #[command(name = "pipelines:promote")]
    Promote(promote::PromoteArgs),
    /// Compare what an app runs with the apps of the next stage
    #[command(name = "pipelines:diff")]
    Diff {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the addresses of a pipeline's apps at a stage and open the first in a browser
    #[command(name = "pipelines:open")]
    Open {
        /// Pipeline, by name or id
        #[arg(value_name = "PIPELINE")]
        pipeline: String,
        /// Stage
        #[arg(short, long, value_name = "STAGE", value_parser = stage, default_value = "production")]
        stage: Stage,
    },
}

/// The stage of an app that comes into a pipeline.
#[derive(Args, Clone, Debug)]
pub(crate) struct StageArgs {
    /// Stage: development, staging, production, review or test; guessed by the app's name when
    /// left out
    #[arg(short, long, value_name = "STAGE", value_parser = stage)]
    stage: Option<Stage>,
}

fn stage(text: &str) -> Result<Stage, String> {
    serde_json::from_value(json!(text))
        .map_err(|_| "the stages are development, staging, production, review and test".to_owned())
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { json } => list(context.client()?, json).await,
            Self::Info { pipeline, with_owners, json } => info(context.client()?, &pipeline, with_owners, json).await,
            Self::Create(arguments) => change::create(context, arguments).await,
            Self::Add { pipeline, stage, app } => {
                let (app, client) = context.app(&app)?;
                change::add(client, &app, &pipeline, stage.stage).await
            }
            Self::Update { stage, app } => {
                let (app, client) = context.app(&app)?;
                change::update(client, &app, stage).await
            }
            Self::Remove { app } => {
                let (app, client) = context.app(&app)?;
                change::remove(client, &app).await
            }
            Self::Rename { pipeline, name } => change::rename(context.client()?, &pipeline, name).await,
            Self::Destroy { pipeline } => change::destroy(context.client()?, &pipeline).await,
            Self::Transfer(arguments) => change::transfer(context.client()?, arguments).await,
            Self::Promote(arguments) => promote::run(context, arguments).await,
            Self::Diff { app, json } => {
                let (app, client) = context.app(&app)?;
                diff::run(client, &app, json).await
            }
            Self::Open { pipeline, stage } => open(context, &pipeline, stage).await,
        }
    }
}

/// A pipeline by name or id.
pub(crate) async fn find(client: &Client, name: &str) -> anyhow::Result<Pipeline> {
    if is_id(name) {
        return client.get(&path(name, "")).await;
    }
    let mut found: Vec<Pipeline> = client.list(&format!("/pipelines?eq[name]={}", segment(name))).await?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            found.push(last);
            let ids: Vec<String> = found.iter().map(|pipeline| pipeline.id.to_string()).collect();
            let hint = format!("Name the one you mean by its id: {}", ids.join(", "));
            Err(Failure::new(format!("There are several pipelines called {name}.")).hint(hint).into())
        }
        (None, _) => Err(Failure::new(format!("There is no pipeline {name}, or it is not yours to see."))
            .hint("`paas pipelines` lists them.")
            .into()),
    }
}

/// Whether a text is an id: a name is shorter.
fn is_id(text: &str) -> bool {
    text.len() == 36 && text.chars().all(|c| c.is_ascii_hexdigit() || c == '-')
}

/// The path of something of a pipeline.
pub(crate) fn path(pipeline: &str, rest: &str) -> String {
    format!("/pipelines/{}{rest}", segment(pipeline))
}

/// How an app is in its pipeline.
pub(crate) async fn coupling(client: &Client, app: &str) -> anyhow::Result<PipelineCoupling> {
    match client.get(&app_path(app, "/pipeline-couplings")).await {
        Err(error) if status_of(&error).is_some_and(|status| status.as_u16() == 404) => {
            // A wrong name is told as such.
            client.get::<App>(&app_path(app, "")).await?;
            Err(Failure::new(format!("{app} is in no pipeline."))
                .hint(format!("Add it with `paas pipelines:add PIPELINE --app {app}`."))
                .into())
        }
        answer => answer,
    }
}

/// The apps of a pipeline, by stage and name.
async fn couplings(client: &Client, pipeline: impl Display) -> anyhow::Result<Vec<PipelineCoupling>> {
    let mut all: Vec<PipelineCoupling> = client.list(&path(&pipeline.to_string(), "/pipeline-couplings")).await?;
    all.sort_by(|a, b| (order(a.stage), &a.app.name).cmp(&(order(b.stage), &b.app.name)));
    Ok(all)
}

/// In which order stages are shown.
fn order(stage: Stage) -> u8 {
    match stage {
        Stage::Development => 0,
        Stage::Review => 1,
        Stage::Staging => 2,
        Stage::Production => 3,
        Stage::Test => 4,
    }
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let mut pipelines: Vec<Pipeline> = client.list("/pipelines").await?;
    pipelines.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
    if json {
        return output::json(&pipelines);
    }
    if pipelines.is_empty() {
        output::line("You have no pipelines. Make one with `paas pipelines:create --app APP`.");
        return Ok(());
    }
    output::heading("My Pipelines");
    for (at, pipeline) in pipelines.iter().enumerate() {
        let beside = [at.checked_sub(1), at.checked_add(1)].into_iter().flatten();
        let twice = beside.filter_map(|at| pipelines.get(at)).any(|other| other.name == pipeline.name);
        match twice {
            true => output::line(format_args!("{}  {}", pipeline.name, pipeline.id)),
            false => output::line(&pipeline.name),
        }
    }
    Ok(())
}

async fn info(client: &Client, name: &str, with_owners: bool, json: bool) -> anyhow::Result<()> {
    let pipeline = find(client, name).await?;
    let couplings = couplings(client, pipeline.id).await?;
    if json {
        return output::json(&json!({"pipeline": pipeline, "apps": couplings}));
    }
    let apps: Vec<App> = client.list("/apps").await?;
    let owner = match &pipeline.owner {
        Some(owner) => owner_name(client, owner, &apps).await?,
        None => String::new(),
    };
    output::heading(&pipeline.name);
    output::fields(&[("Owner", owner)]);
    output::line("");
    let rows = couplings.iter().map(|coupling| {
        let mut row = vec![coupling.app.name.clone(), coupling.stage.as_str().to_owned()];
        if with_owners {
            let owner = apps.iter().find(|app| app.id == coupling.app.id).map(|app| app.owner.email.clone());
            row.push(owner.unwrap_or_default());
        }
        row
    });
    let header: &[&str] = if with_owners { &["App", "Stage", "Owner"] } else { &["App", "Stage"] };
    output::table(header, rows.collect());
    Ok(())
}

/// How an owner is called, as far as it can be known: by a team, by one's own account, by an app
/// of theirs.
async fn owner_name(client: &Client, owner: &PipelineOwner, apps: &[App]) -> anyhow::Result<String> {
    let id = owner.id;
    if owner.kind == OwnerKind::Team {
        let team: serde_json::Value = client.get(&format!("/teams/{id}")).await?;
        return Ok(format!("{} (team)", team["name"].as_str().unwrap_or_default()));
    }
    if let Some(app) = apps.iter().find(|app| app.owner.id == id) {
        return Ok(app.owner.email.clone());
    }
    let account: Account = client.get("/account").await?;
    Ok(if account.id == id { account.email } else { id.to_string() })
}

async fn open(context: &Context, name: &str, stage: Stage) -> anyhow::Result<()> {
    let client = context.client()?;
    let pipeline = find(client, name).await?;
    let mut first = None;
    for coupling in couplings(client, pipeline.id).await?.iter().filter(|coupling| coupling.stage == stage) {
        let app: App = client.get(&app_path(&coupling.app.name, "")).await?;
        let url = app.web_url.unwrap_or_default();
        output::line(&url);
        first = first.or(Some(url));
    }
    let Some(url) = first else {
        return Err(Failure::new(format!("{} has no app at {}.", pipeline.name, stage.as_str()))
            .hint(format!("`paas pipelines:info {}` shows its apps.", pipeline.name))
            .into());
    };
    super::apps::browse(context, &url);
    Ok(())
}
