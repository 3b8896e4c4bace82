//! Builds: `builds`, `:info`, `:output`, `:create`, `:cancel`, `:cache:purge`.

use std::path::PathBuf;
use std::process::Command as Process;

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::range::Order;
use paas_wire::{Build, BuildCreate, BuildStatus, Range, Source, SourceBlob};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::{confirm, output, stream, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List builds, the latest first
    #[command(name = "builds", visible_alias = "builds:list")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// How many
        #[arg(short, long, value_name = "COUNT", default_value_t = 15)]
        num: u32,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a build
    #[command(name = "builds:info")]
    Info {
        /// Id of the build; the latest when left out
        #[arg(value_name = "BUILD")]
        build: Option<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a build's output, live while it runs
    #[command(name = "builds:output")]
    Output {
        /// Id of the build; the latest when left out
        #[arg(value_name = "BUILD")]
        build: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Build and release the present commit without a push
    #[command(name = "builds:create")]
    Create {
        #[command(flatten)]
        app: AppArgs,
        /// A gzipped tar to build instead
        #[arg(long, value_name = "FILE")]
        tar: Option<PathBuf>,
        /// What to call this version
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
    },
    /// Cancel a build
    #[command(name = "builds:cancel")]
    Cancel {
        /// Id of the build; the latest when left out
        #[arg(value_name = "BUILD")]
        build: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Drop what earlier builds left to make later ones quicker
    #[command(name = "builds:cache:purge")]
    Purge {
        #[command(flatten)]
        app: AppArgs,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, num, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, num, json).await
            }
            Self::Info { build, app, json } => {
                let (app, client) = context.app(&app)?;
                info(client, &app, build.as_deref(), json).await
            }
            Self::Output { build, app } => {
                let (app, client) = context.app(&app)?;
                let build = find(client, &app, build.as_deref()).await?;
                follow(client, &app, build).await
            }
            Self::Create { app, tar, version } => {
                let (app, client) = context.app(&app)?;
                create(client, &app, tar, version).await
            }
            Self::Cancel { build, app } => {
                let (app, client) = context.app(&app)?;
                let build = find(client, &app, build.as_deref()).await?;
                let action = Action::start(format!("Cancelling build {} of {}", build.id, output::app(&app)));
                client.delete(&app_path(&app, &format!("/builds/{}", build.id))).await?;
                action.done();
                Ok(())
            }
            Self::Purge { app, confirm } => {
                let (app, client) = context.app(&app)?;
                let what = format!("This drops the build cache of {app}; the next build takes longer.");
                confirm::destruction(&what, &app, confirm.as_deref())?;
                let action = Action::start(format!("Dropping the build cache of {}", output::app(&app)));
                client.delete(&app_path(&app, "/build-cache")).await?;
                action.done();
                Ok(())
            }
        }
    }
}

async fn latest(client: &Client, app: &str, count: u32) -> anyhow::Result<Vec<Build>> {
    let range = Range {
        property: Some("started_at".to_owned()),
        max: Some(count),
        order: Some(Order::Desc),
        ..Range::default()
    };
    let mut builds: Vec<Build> = client.page(&app_path(app, "/builds"), &range).await?;
    builds.sort_by_key(|build| std::cmp::Reverse((build.created_at, build.id)));
    Ok(builds)
}

async fn find(client: &Client, app: &str, build: Option<&str>) -> anyhow::Result<Build> {
    match build {
        Some(build) => client.get(&app_path(app, &format!("/builds/{}", segment(build)))).await,
        None => latest(client, app, 1).await?.into_iter().next().ok_or_else(|| {
            Failure::new(format!("{app} has no builds yet.")).hint("Deploy it with `git push paas main`.").into()
        }),
    }
}

async fn list(client: &Client, app: &str, count: u32, json: bool) -> anyhow::Result<()> {
    let builds = latest(client, app, count).await?;
    if json {
        return output::json(&builds);
    }
    if builds.is_empty() {
        output::line(format_args!("{app} has no builds yet."));
        return Ok(());
    }
    output::heading(format_args!("{app} Builds"));
    let rows = builds.into_iter().map(|build| {
        vec![
            build.id.to_string(),
            build.status.as_str().to_owned(),
            build.source_blob.version.map(|version| short(&version)).unwrap_or_default(),
            build.user.email,
            when::ago(build.created_at),
        ]
    });
    output::table(&["Build", "Status", "Version", "By", "When"], rows.collect());
    Ok(())
}

/// A commit by its first characters; other versions as they are.
fn short(version: &str) -> String {
    let commit = version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit());
    if commit { version[..8].to_owned() } else { version.to_owned() }
}

async fn info(client: &Client, app: &str, build: Option<&str>, json: bool) -> anyhow::Result<()> {
    let build = find(client, app, build).await?;
    if json {
        return output::json(&build);
    }
    output::heading(format_args!("Build {}", build.id));
    let packs = build.buildpacks.unwrap_or_default().into_iter();
    let packs: Vec<String> = packs.map(|pack| pack.name.unwrap_or(pack.url)).collect();
    output::fields(&[
        ("Buildpacks", packs.join("\n")),
        ("By", build.user.email),
        ("Release", build.release.map(|release| release.id.to_string()).unwrap_or_default()),
        ("Slug", build.slug.map(|slug| slug.id.to_string()).unwrap_or_default()),
        ("Stack", build.stack),
        ("Status", build.status.as_str().to_owned()),
        ("Version", build.source_blob.version.unwrap_or_default()),
        ("When", when::ago(build.created_at)),
    ]);
    Ok(())
}

/// Shows the output to its end; a failed build is a failed command.
async fn follow(client: &Client, app: &str, build: Build) -> anyhow::Result<()> {
    match client.text(&build.output_stream_url).await? {
        Some(stream) => stream::show(stream).await?,
        None => output::complain("The output of this build is no longer kept."),
    }
    let status = match build.status {
        BuildStatus::Pending => find(client, app, Some(&build.id.to_string())).await?.status,
        ended @ (BuildStatus::Succeeded | BuildStatus::Failed) => ended,
    };
    if status == BuildStatus::Failed { Err(Exit(1).into()) } else { Ok(()) }
}

async fn create(client: &Client, app: &str, tar: Option<PathBuf>, version: Option<String>) -> anyhow::Result<()> {
    let (url, version) = match tar {
        Some(file) => {
            let archive = std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
            (upload(client, archive).await?, version)
        }
        None => {
            let (url, commit) = upload_head(client).await?;
            (url, version.or(Some(commit)))
        }
    };
    let body = BuildCreate { source_blob: SourceBlob { url, version, ..SourceBlob::default() }, buildpacks: None };
    let build: Build = client.send_json(Method::POST, &app_path(app, "/builds"), &body).await?;
    follow(client, app, build).await
}

/// Uploads an archive; gives the address that a build takes it from.
pub(super) async fn upload(client: &Client, archive: Vec<u8>) -> anyhow::Result<String> {
    let action = Action::start(format!("Uploading the source ({})", when::size(archive.len() as u64)));
    let source: Source = client.send_empty(Method::POST, "/sources").await?;
    client.upload(&source.source_blob.put_url, archive).await?;
    action.done();
    Ok(source.source_blob.get_url)
}

/// Uploads the present commit; gives its address and its hash.
pub(super) async fn upload_head(client: &Client) -> anyhow::Result<(String, String)> {
    let archive = git_output(&["archive", "--format=tar.gz", "HEAD"])?;
    let commit = String::from_utf8_lossy(&git_output(&["rev-parse", "HEAD"])?).trim().to_owned();
    Ok((upload(client, archive).await?, commit))
}

pub(super) fn git_output(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Process::new("git").args(arguments).output().context("git can't be started")?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Failure::new(format!(
        "`git {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    ))
    .hint("Run this in a repository with a commit, or name an archive with --tar.")
    .into())
}
