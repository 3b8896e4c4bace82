//! Releases: `releases`, `:info`, `:output`, `:retry`, `:rollback`.

use clap::Subcommand;
use paas_wire::range::Order;
use paas_wire::{ConfigVars, Formation, Range, Release, ReleaseCreate, ReleaseStatus};
use reqwest::Method;

use super::config::quote;
use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{output, stream, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List releases, the latest first
    #[command(name = "releases", visible_alias = "releases:list")]
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
    /// Show a release
    #[command(name = "releases:info")]
    Info {
        /// Which one (v12, 12); the latest when left out
        #[arg(value_name = "RELEASE")]
        release: Option<String>,
        #[command(flatten)]
        app: AppArgs,
        /// With its config vars, as lines for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show the output of a release's release phase
    #[command(name = "releases:output")]
    Output {
        /// Which one (v12, 12); the latest when left out
        #[arg(value_name = "RELEASE")]
        release: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Run the release phase of the latest release once more, by a new release of the same code
    #[command(name = "releases:retry")]
    Retry {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Go back to an earlier release
    #[command(name = "releases:rollback", visible_alias = "rollback")]
    Rollback {
        /// Which one (v12, 12); the one before the present one when left out
        #[arg(value_name = "RELEASE")]
        release: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, num, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, num, json).await
            }
            Self::Info { release, app, shell, json } => {
                let (app, client) = context.app(&app)?;
                info(client, &app, release.as_deref(), shell, json).await
            }
            Self::Output { release, app } => {
                let (app, client) = context.app(&app)?;
                show_output(client, &app, release.as_deref()).await
            }
            Self::Retry { app } => {
                let (app, client) = context.app(&app)?;
                retry(client, &app).await
            }
            Self::Rollback { release, app } => {
                let (app, client) = context.app(&app)?;
                rollback(client, &app, release.as_deref()).await
            }
        }
    }
}

pub(super) async fn latest(client: &Client, app: &str, count: u32) -> anyhow::Result<Vec<Release>> {
    let range =
        Range { property: Some("version".to_owned()), max: Some(count), order: Some(Order::Desc), ..Range::default() };
    let mut releases: Vec<Release> = client.page(&app_path(app, "/releases"), &range).await?;
    releases.sort_by_key(|release| std::cmp::Reverse(release.version));
    Ok(releases)
}

/// The release that the user names, or the latest.
async fn find(client: &Client, app: &str, release: Option<&str>) -> anyhow::Result<Release> {
    match release {
        Some(release) => {
            let id = segment(release.strip_prefix('v').unwrap_or(release));
            client.get(&app_path(app, &format!("/releases/{id}"))).await
        }
        None => latest(client, app, 1).await?.into_iter().next().ok_or_else(|| none(app).into()),
    }
}

fn none(app: &str) -> Failure {
    Failure::new(format!("{app} has no releases yet.")).hint("Deploy it with `git push paas main`.")
}

async fn list(client: &Client, app: &str, count: u32, json: bool) -> anyhow::Result<()> {
    let releases = latest(client, app, count).await?;
    if json {
        return output::json(&releases);
    }
    if releases.is_empty() {
        output::line(format_args!("{app} has no releases yet."));
        return Ok(());
    }
    let current = releases.iter().find(|release| release.current);
    output::heading(match current {
        Some(current) => format!("{app} Releases - current: v{}", current.version),
        None => format!("{app} Releases"),
    });
    let rows = releases.iter().map(|release| {
        let description = match release.status {
            ReleaseStatus::Failed => format!("{} (release command failed)", release.description),
            ReleaseStatus::Pending => format!("{} (release command runs)", release.description),
            ReleaseStatus::Succeeded | ReleaseStatus::Expired => release.description.clone(),
        };
        let version = format!("v{}", release.version);
        vec![version, description, release.user.email.clone(), when::ago(release.created_at)]
    });
    output::table(&[], rows.collect());
    Ok(())
}

async fn info(client: &Client, app: &str, release: Option<&str>, shell: bool, json: bool) -> anyhow::Result<()> {
    let release = find(client, app, release).await?;
    if json {
        return output::json(&release);
    }
    output::heading(format_args!("Release v{}", release.version));
    output::fields(&[
        ("Add-ons", release.addon_plan_names.join("\n")),
        ("By", release.user.email),
        ("Change", release.description),
        ("Current", if release.current { "yes".to_owned() } else { "no".to_owned() }),
        ("Slug", release.slug.map(|slug| slug.id.to_string()).unwrap_or_default()),
        ("Status", release.status.as_str().to_owned()),
        ("When", when::ago(release.created_at)),
    ]);
    if shell {
        let path = app_path(app, &format!("/releases/{}/config-vars", release.version));
        let vars: ConfigVars = client.get(&path).await?;
        output::line("");
        output::heading(format_args!("v{} Config vars", release.version));
        for (key, value) in &vars {
            output::value(&format!("{key}={}", quote(value)));
        }
    }
    Ok(())
}

async fn show_output(client: &Client, app: &str, release: Option<&str>) -> anyhow::Result<()> {
    let release = find(client, app, release).await?;
    let Some(url) = &release.output_stream_url else {
        output::complain(&format!("Release v{} ran no release command.", release.version));
        return Ok(());
    };
    match client.text(url).await? {
        Some(stream) => stream::show(stream).await?,
        None => output::complain(&format!("The output of release v{} is no longer there.", release.version)),
    }
    if release.status == ReleaseStatus::Failed {
        output::complain(&format!("The release command of v{} failed; what ran before goes on.", release.version));
    }
    Ok(())
}

async fn retry(client: &Client, app: &str) -> anyhow::Result<()> {
    let last = find(client, app, None).await?;
    let formation: Vec<Formation> = client.list(&app_path(app, "/formation")).await?;
    let (true, Some(slug)) = (formation.iter().any(|entry| entry.kind == "release"), last.slug) else {
        return Err(Failure::new(format!("{app} has no release phase to run again."))
            .hint("A line `release: COMMAND` in the Procfile makes one.")
            .into());
    };
    let action = Action::start(format!("Retrying v{} on {}", last.version, output::app(app)));
    let body = ReleaseCreate {
        slug: Some(slug.id.to_string()),
        description: Some(format!("Retry of v{}: {}", last.version, last.description)),
        ..ReleaseCreate::default()
    };
    let made: Release = client.send_json(Method::POST, &app_path(app, "/releases"), &body).await?;
    action.done_with(format_args!("v{}", made.version));
    let Some(url) = &made.output_stream_url else { return Ok(()) };
    output::line("Running release command...");
    if let Some(stream) = client.text(url).await? {
        stream::show(stream).await?;
    }
    let ended = find(client, app, Some(&made.version.to_string())).await?;
    if ended.status == ReleaseStatus::Failed {
        return Err(
            Failure::new(format!("The release command of v{} failed; what ran before goes on.", made.version)).into()
        );
    }
    Ok(())
}

async fn rollback(client: &Client, app: &str, release: Option<&str>) -> anyhow::Result<()> {
    let target = match release {
        Some(_) => find(client, app, release).await?,
        None => previous(latest(client, app, 200).await?).ok_or_else(|| {
            Failure::new(format!("{app} has no earlier release to go back to."))
                .hint("`paas releases` lists what there is.")
        })?,
    };
    let action = Action::start(format!("Rolling back {} to v{}", output::app(app), target.version));
    let body = ReleaseCreate { release: Some(target.id.to_string()), ..ReleaseCreate::default() };
    let made: Release = client.send_json(Method::POST, &app_path(app, "/releases"), &body).await?;
    action.done_with(format_args!("v{}", made.version));
    output::complain("Rolling back changes code and config vars, but no database. The next deploy ends it.");
    Ok(())
}

/// The one before the present one, among those that can be run again; latest first.
fn previous(releases: Vec<Release>) -> Option<Release> {
    let current = releases.iter().find(|release| release.current).map(|release| release.version);
    releases
        .into_iter()
        .find(|release| release.eligible_for_rollback && current.is_none_or(|current| release.version < current))
}
