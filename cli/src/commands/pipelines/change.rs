//! What changes a pipeline, or the apps in it.

use clap::Args;
use paas_wire::{
    Account, IdRef, Identity, OwnerKind, Pipeline, PipelineCoupling, PipelineCouplingCreate, PipelineCouplingUpdate,
    PipelineCreate, PipelineOwner, PipelineTransfer, PipelineTransferCreate, PipelineUpdate, Stage,
};
use reqwest::Method;

use super::{StageArgs, coupling, couplings, find, path};
use crate::app::AppArgs;
use crate::client::{Client, segment};
use crate::context::Context;
use crate::progress::Action;
use crate::{confirm, output};

/// `pipelines:create`
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Name of the pipeline; that of the app, without its stage, when left out
    #[arg(value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    stage: StageArgs,
    /// Team that it is to belong to; you when left out
    #[arg(short, long, value_name = "TEAM")]
    team: Option<String>,
    #[command(flatten)]
    app: AppArgs,
    /// As JSON
    #[arg(long)]
    json: bool,
}

/// `pipelines:transfer`
#[derive(Args, Debug)]
pub(crate) struct TransferArgs {
    /// E-mail address of an account, or name of a team
    #[arg(value_name = "OWNER")]
    owner: String,
    /// Pipeline, by name or id
    #[arg(short, long, value_name = "PIPELINE")]
    pipeline: String,
    /// Name of the pipeline, to go on without a question
    #[arg(short, long, value_name = "PIPELINE")]
    confirm: Option<String>,
}

/// How apps of a stage end in name, longest first.
const ENDS: [(&[&str], Stage); 3] = [
    (&["-development", "-dev", "-uat", "-tst", "-test", "-qa"], Stage::Development),
    (&["-staging", "-stg"], Stage::Staging),
    (&["-production", "-prod", "-prd", "-admin", "-demo"], Stage::Production),
];

/// The pipeline and the stage that an app's name tells of.
fn guess(app: &str) -> (&str, Stage) {
    for (ends, stage) in ENDS {
        if let Some(name) = ends.iter().find_map(|end| app.strip_suffix(end)).filter(|name| !name.is_empty()) {
            return (name, stage);
        }
    }
    (app, Stage::Production)
}

pub(super) async fn create(context: &Context, arguments: CreateArgs) -> anyhow::Result<()> {
    let (app, client) = context.app(&arguments.app)?;
    let (guessed, guessed_stage) = guess(&app);
    let name = arguments.name.as_deref().unwrap_or(guessed);
    let stage = arguments.stage.stage.unwrap_or(guessed_stage);
    let owner = match &arguments.team {
        Some(team) => Some(PipelineOwner { id: team_ref(client, team).await?.id, kind: OwnerKind::Team }),
        None => None,
    };
    let action = Action::start(format!("Creating {name} pipeline"));
    let body = PipelineCreate { name: name.to_owned(), owner };
    let pipeline: Pipeline = client.send_json(Method::POST, "/pipelines", &body).await?;
    action.done();
    couple(client, &app, &pipeline, stage).await?;
    if arguments.json { output::json(&pipeline) } else { Ok(()) }
}

async fn team_ref(client: &Client, team: &str) -> anyhow::Result<IdRef> {
    client.get(&format!("/teams/{}", segment(team))).await
}

async fn couple(client: &Client, app: &str, pipeline: &Pipeline, stage: Stage) -> anyhow::Result<()> {
    let action =
        Action::start(format!("Adding {} to {} pipeline as {}", output::app(app), pipeline.name, stage.as_str()));
    let body = PipelineCouplingCreate { app: Identity::from(app), pipeline: Identity(pipeline.id.to_string()), stage };
    client.send_json::<_, PipelineCoupling>(Method::POST, "/pipeline-couplings", &body).await?;
    action.done();
    Ok(())
}

pub(super) async fn add(client: &Client, app: &str, pipeline: &str, stage: Option<Stage>) -> anyhow::Result<()> {
    let pipeline = find(client, pipeline).await?;
    couple(client, app, &pipeline, stage.unwrap_or_else(|| guess(app).1)).await
}

pub(super) async fn update(client: &Client, app: &str, stage: Stage) -> anyhow::Result<()> {
    let coupling = coupling(client, app).await?;
    let action = Action::start(format!("Changing {} to {}", output::app(app), stage.as_str()));
    let body = PipelineCouplingUpdate { stage: Some(stage) };
    let path = format!("/pipeline-couplings/{}", coupling.id);
    client.send_json::<_, PipelineCoupling>(Method::PATCH, &path, &body).await?;
    action.done();
    Ok(())
}

pub(super) async fn remove(client: &Client, app: &str) -> anyhow::Result<()> {
    let coupling = coupling(client, app).await?;
    let action = Action::start(format!("Removing {} from {} pipeline", output::app(app), coupling.pipeline.name));
    client.delete(&format!("/pipeline-couplings/{}", coupling.id)).await?;
    action.done();
    Ok(())
}

pub(super) async fn rename(client: &Client, pipeline: &str, name: String) -> anyhow::Result<()> {
    let pipeline = find(client, pipeline).await?;
    let action = Action::start(format!("Renaming {} pipeline to {name}", pipeline.name));
    let body = PipelineUpdate { name: Some(name) };
    client.send_json::<_, Pipeline>(Method::PATCH, &path(&pipeline.id.to_string(), ""), &body).await?;
    action.done();
    Ok(())
}

pub(super) async fn destroy(client: &Client, pipeline: &str) -> anyhow::Result<()> {
    let pipeline = find(client, pipeline).await?;
    let action = Action::start(format!("Destroying {} pipeline", pipeline.name));
    client.delete(&path(&pipeline.id.to_string(), "")).await?;
    action.done();
    Ok(())
}

pub(super) async fn transfer(client: &Client, arguments: TransferArgs) -> anyhow::Result<()> {
    let pipeline = find(client, &arguments.pipeline).await?;
    let (new_owner, kind) = if arguments.owner.contains('@') {
        let account: Account = client.get(&format!("/users/{}", segment(&arguments.owner))).await?;
        (PipelineOwner { id: account.id, kind: OwnerKind::User }, "account")
    } else {
        (PipelineOwner { id: team_ref(client, &arguments.owner).await?.id, kind: OwnerKind::Team }, "team")
    };
    let apps: Vec<String> =
        couplings(client, pipeline.id).await?.into_iter().map(|coupling| coupling.app.name).collect();
    let what = match apps.as_slice() {
        [] => format!("This gives {} to the {kind} {}.", pipeline.name, arguments.owner),
        apps => format!(
            "This gives {} and those of its apps that belong to its owner to the {kind} {}: {}.",
            pipeline.name,
            arguments.owner,
            apps.join(", ")
        ),
    };
    confirm::destruction(&what, &pipeline.name, arguments.confirm.as_deref())?;
    let action = Action::start(format!("Transferring {} pipeline to the {} {kind}", pipeline.name, arguments.owner));
    let body = PipelineTransferCreate { new_owner, pipeline: Identity(pipeline.id.to_string()) };
    client.send_json::<_, PipelineTransfer>(Method::POST, "/pipeline-transfers", &body).await?;
    action.done();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_guessed_by_names() {
        assert_eq!(guess("shop-staging"), ("shop", Stage::Staging));
        assert_eq!(guess("shop-dev"), ("shop", Stage::Development));
        assert_eq!(guess("shop-eu-prod"), ("shop-eu", Stage::Production));
        assert_eq!(guess("shop"), ("shop", Stage::Production));
        assert_eq!(guess("-test"), ("-test", Stage::Production));
    }
}
