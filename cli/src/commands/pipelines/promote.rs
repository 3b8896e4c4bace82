//! `pipelines:promote`: releases what an app runs on the apps of the next stage, and shows
//! what their release phases say.

use std::time::Duration;

use clap::Args;
use paas_wire::{
    App, IdRef, PipelineCoupling, PipelinePromotion, PipelinePromotionCreate, PromotionTarget, Release, TargetStatus,
    pipeline_promotion::{PromotionSourceCreate, PromotionTargetCreate},
};
use reqwest::Method;
use serde_json::json;

use super::{coupling, couplings};
use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::{output, stream};

/// How often it is asked how far the targets are.
const POLL: Duration = Duration::from_millis(500);

/// How often an output that is not there yet is asked for.
const TRIES: u32 = 20;

/// `pipelines:promote`
#[derive(Args, Debug)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    app: AppArgs,
    /// Apps of the pipeline to promote to, with commas; those of the next stage when left out
    #[arg(short, long, value_name = "APP,…", value_delimiter = ',')]
    to: Vec<String>,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(context: &Context, arguments: PromoteArgs) -> anyhow::Result<()> {
    let (app, client) = context.app(&arguments.app)?;
    let source = coupling(client, &app).await?;
    let all = couplings(client, source.pipeline.id).await?;
    let wanted: Vec<&str> = arguments.to.iter().map(|name| name.trim()).filter(|name| !name.is_empty()).collect();
    let targets = if wanted.is_empty() { downstream(&source, &all)? } else { named(&source, &all, &wanted)? };
    let names: Vec<String> = targets.iter().map(|target| output::app(&target.app.name)).collect();
    let action = Action::start(format!("Promoting {} to {}", output::app(&source.app.name), names.join(", ")));
    let body = PipelinePromotionCreate {
        pipeline: IdRef { id: source.pipeline.id },
        source: PromotionSourceCreate { app: IdRef { id: source.app.id }, release: None },
        targets: targets.iter().map(|target| PromotionTargetCreate { app: IdRef { id: target.app.id } }).collect(),
    };
    let promotion: PipelinePromotion = client.send_json(Method::POST, "/pipeline-promotions", &body).await?;
    action.done();
    let ended = follow(client, &promotion, &targets, !arguments.json).await?;
    let failed = ended.iter().any(|target| target.status != TargetStatus::Succeeded);
    if arguments.json {
        output::json(&json!({"promotion": promotion, "targets": ended}))?;
    } else {
        show(client, &targets, &ended).await?;
    }
    if failed { Err(Exit(1).into()) } else { Ok(()) }
}

/// The apps of the next stage.
fn downstream<'a>(
    source: &PipelineCoupling,
    all: &'a [PipelineCoupling],
) -> Result<Vec<&'a PipelineCoupling>, Failure> {
    let Some(stage) = source.stage.downstream() else {
        return Err(Failure::new(format!(
            "{} is at {}, from where nothing follows by itself.",
            source.app.name,
            source.stage.as_str()
        ))
        .hint("Name the apps to promote to: --to APP,APP"));
    };
    let found: Vec<_> = all.iter().filter(|coupling| coupling.stage == stage).collect();
    if found.is_empty() {
        return Err(Failure::new(format!("{} has no app at {}.", source.pipeline.name, stage.as_str()))
            .hint(format!("Add one with `paas pipelines:add {} --app APP`.", source.pipeline.name)));
    }
    Ok(found)
}

/// The apps of those names, or ids.
fn named<'a>(
    source: &PipelineCoupling,
    all: &'a [PipelineCoupling],
    wanted: &[&str],
) -> Result<Vec<&'a PipelineCoupling>, Failure> {
    let mut found: Vec<&PipelineCoupling> = Vec::new();
    for name in wanted {
        let target = all.iter().find(|coupling| coupling.app.name == *name || coupling.app.id.to_string() == *name);
        let Some(target) = target else {
            return Err(Failure::new(format!("There is no app {name} in {}.", source.pipeline.name))
                .hint(format!("`paas pipelines:info {}` shows its apps.", source.pipeline.name)));
        };
        if target.app.id == source.app.id {
            return Err(
                Failure::new(format!("{name} can't be promoted to itself.")).hint("Name another app of the pipeline.")
            );
        }
        if !found.iter().any(|other| other.app.id == target.app.id) {
            found.push(target);
        }
    }
    Ok(found)
}

async fn ask(client: &Client, promotion: &PipelinePromotion) -> anyhow::Result<Vec<PromotionTarget>> {
    client.list(&format!("/pipeline-promotions/{}/promotion-targets", promotion.id)).await
}

/// Waits until all targets have ended; what their release phases say is shown one after the
/// other, all of it, since the server keeps it.
async fn follow(
    client: &Client,
    promotion: &PipelinePromotion,
    names: &[&PipelineCoupling],
    shows: bool,
) -> anyhow::Result<Vec<PromotionTarget>> {
    let mut shown = Vec::new();
    loop {
        let targets = ask(client, promotion).await?;
        let next = targets.iter().find(|target| {
            target.status == TargetStatus::Pending && target.release.is_some() && !shown.contains(&target.id)
        });
        if let (Some(target), true) = (next, shows) {
            shown.push(target.id);
            let name = names.iter().find(|coupling| coupling.app.id == target.app.id);
            let name = name.map_or_else(|| target.app.id.to_string(), |coupling| coupling.app.name.clone());
            phase(client, &name, target).await?;
            continue;
        }
        if targets.iter().all(|target| target.status != TargetStatus::Pending) {
            return Ok(targets);
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Shows what a target's release phase says, until it ends.
async fn phase(client: &Client, app: &str, target: &PromotionTarget) -> anyhow::Result<()> {
    let Some(release) = &target.release else { return Ok(()) };
    let release: Release = client.get(&app_path(app, &format!("/releases/{}", release.id))).await?;
    let Some(url) = &release.output_stream_url else { return Ok(()) };
    output::note(format_args!("Running release command of {} v{}...", output::app(app), release.version));
    for _ in 0..TRIES {
        if let Some(text) = client.text(url).await? {
            return stream::show(text).await;
        }
        tokio::time::sleep(POLL).await;
    }
    output::complain(&format!("The output of v{} can't be had; `paas releases:output` may show it.", release.version));
    Ok(())
}

/// What became of each.
async fn show(client: &Client, names: &[&PipelineCoupling], ended: &[PromotionTarget]) -> anyhow::Result<()> {
    let mut rows = Vec::new();
    for target in ended {
        let name = names.iter().find(|coupling| coupling.app.id == target.app.id);
        let name = name.map_or_else(|| target.app.id.to_string(), |coupling| coupling.app.name.clone());
        let mut said = target.error_message.clone().unwrap_or_default();
        if let (true, Some(release)) = (said.is_empty(), &target.release) {
            let release: Release = client.get(&app_path(&name, &format!("/releases/{}", release.id))).await?;
            let app: App = client.get(&app_path(&name, "")).await?;
            said = format!("v{} {}", release.version, app.web_url.unwrap_or_default());
        }
        rows.push(vec![name, target.status.as_str().to_owned(), said.trim_end().to_owned()]);
    }
    output::table(&["App", "Status", ""], rows);
    if ended.iter().any(|target| target.status != TargetStatus::Succeeded) {
        output::complain("Promotion to some apps failed; what they ran before goes on.");
    }
    Ok(())
}
