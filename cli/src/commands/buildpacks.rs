//! Buildpacks: `buildpacks`, `:set`, `:add`, `:remove`, `:clear`.

use clap::Subcommand;
use paas_wire::buildpack_installation::BuildpackInstallationUpdate;
use paas_wire::{BuildpackInstallation, BuildpackInstallationsUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the buildpacks of an app
    #[command(name = "buildpacks")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the buildpack, or the one at a place
    #[command(name = "buildpacks:set")]
    Set {
        /// Name or URL
        #[arg(value_name = "BUILDPACK")]
        buildpack: String,
        /// Its place in the order, from 1
        #[arg(short, long, value_name = "PLACE", value_parser = clap::value_parser!(u32).range(1..))]
        index: Option<u32>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a buildpack at the end, or at a place
    #[command(name = "buildpacks:add")]
    Add {
        /// Name or URL
        #[arg(value_name = "BUILDPACK")]
        buildpack: String,
        /// Its place in the order, from 1
        #[arg(short, long, value_name = "PLACE", value_parser = clap::value_parser!(u32).range(1..))]
        index: Option<u32>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a buildpack by name, URL or place
    #[command(name = "buildpacks:remove")]
    Remove {
        /// Name or URL
        #[arg(value_name = "BUILDPACK", required_unless_present = "index")]
        buildpack: Option<String>,
        /// Its place in the order, from 1
        #[arg(short, long, value_name = "PLACE", conflicts_with = "buildpack", value_parser = clap::value_parser!(u32).range(1..))]
        index: Option<u32>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove all buildpacks; the next build finds out by itself what it needs
    #[command(name = "buildpacks:clear")]
    Clear {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                let packs = installed(client, &app).await?;
                if json {
                    return output::json(&packs);
                }
                show(&app, &packs);
                Ok(())
            }
            Self::Set { buildpack, index, app, json } => {
                let (app, client) = context.app(&app)?;
                tell_of_registry(&buildpack);
                let names = set(names(client, &app).await?, buildpack, index);
                replace(client, &app, names, "Buildpack set", json).await
            }
            Self::Add { buildpack, index, app, json } => {
                let (app, client) = context.app(&app)?;
                tell_of_registry(&buildpack);
                let names = add(names(client, &app).await?, buildpack, index)?;
                replace(client, &app, names, "Buildpack added", json).await
            }
            Self::Remove { buildpack, index, app, json } => {
                let (app, client) = context.app(&app)?;
                let packs = installed(client, &app).await?;
                let names = remove(&packs, buildpack.as_deref(), index)?;
                replace(client, &app, names, "Buildpack removed", json).await
            }
            Self::Clear { app, json } => {
                let (app, client) = context.app(&app)?;
                replace(client, &app, Vec::new(), "Buildpacks cleared", json).await
            }
        }
    }
}

async fn installed(client: &Client, app: &str) -> anyhow::Result<Vec<BuildpackInstallation>> {
    let mut packs: Vec<BuildpackInstallation> = client.list(&app_path(app, "/buildpack-installations")).await?;
    packs.sort_by_key(|pack| pack.ordinal);
    Ok(packs)
}

async fn names(client: &Client, app: &str) -> anyhow::Result<Vec<String>> {
    Ok(installed(client, app).await?.into_iter().map(|pack| pack.buildpack.name).collect())
}

fn show(app: &str, packs: &[BuildpackInstallation]) {
    if packs.is_empty() {
        output::line(format_args!(
            "{} has no buildpacks set; a build finds out by itself what it needs.",
            output::app(app)
        ));
        return;
    }
    output::heading(format_args!("{app} Buildpacks"));
    for (place, pack) in packs.iter().enumerate() {
        match packs.len() {
            1 => output::line(&pack.buildpack.name),
            _ => output::line(format_args!("{}. {}", place + 1, pack.buildpack.name)),
        }
    }
}

fn set(mut names: Vec<String>, buildpack: String, index: Option<u32>) -> Vec<String> {
    match (index, names.len()) {
        (None, 0 | 1) => vec![buildpack],
        (index, _) => {
            let place = index.unwrap_or(1) as usize - 1;
            match names.get_mut(place) {
                Some(name) => *name = buildpack,
                None => names.push(buildpack),
            }
            names
        }
    }
}

fn add(mut names: Vec<String>, buildpack: String, index: Option<u32>) -> Result<Vec<String>, Failure> {
    if names.contains(&buildpack) {
        return Err(
            Failure::new(format!("The buildpack {buildpack} is set already.")).hint("`paas buildpacks` lists them.")
        );
    }
    let place = index.map_or(names.len(), |index| (index as usize - 1).min(names.len()));
    names.insert(place, buildpack);
    Ok(names)
}

fn remove(
    packs: &[BuildpackInstallation],
    buildpack: Option<&str>,
    index: Option<u32>,
) -> Result<Vec<String>, Failure> {
    let place = match (buildpack, index) {
        (Some(wanted), _) => {
            packs.iter().position(|pack| pack.buildpack.name == wanted || pack.buildpack.url == wanted)
        }
        (None, index) => index.map(|index| index as usize - 1).filter(|place| *place < packs.len()),
    };
    let place =
        place.ok_or_else(|| Failure::new("There is no such buildpack.").hint("`paas buildpacks` lists them."))?;
    let rest = packs.iter().enumerate().filter(|(at, _)| *at != place);
    Ok(rest.map(|(_, pack)| pack.buildpack.name.clone()).collect())
}

/// A name of Heroku's registry is not looked up before the build that fetches it.
fn tell_of_registry(buildpack: &str) {
    if buildpack.contains('/') && !buildpack.contains(':') && !buildpack.starts_with("heroku/") {
        output::complain(&format!(
            "{buildpack} is fetched from Heroku's registry; the build fails where it is not there."
        ));
    }
}

async fn replace(client: &Client, app: &str, names: Vec<String>, done: &str, json: bool) -> anyhow::Result<()> {
    let updates = names.into_iter().map(|buildpack| BuildpackInstallationUpdate { buildpack }).collect();
    let action = Action::start(format!("Changing the buildpacks of {}", output::app(app)));
    let packs: Vec<BuildpackInstallation> = client
        .send_json(Method::PUT, &app_path(app, "/buildpack-installations"), &BuildpackInstallationsUpdate { updates })
        .await?;
    action.done();
    if json {
        return output::json(&packs);
    }
    output::line(format_args!("{done}. The next build uses:"));
    show(app, &packs);
    output::line("Build with `git push paas main`.");
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn orders() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(set(names(&["a"]), "x".to_owned(), None), ["x"]);
        assert_eq!(set(names(&["a", "b"]), "x".to_owned(), Some(2)), ["a", "x"]);
        assert_eq!(set(names(&["a"]), "x".to_owned(), Some(9)), ["a", "x"]);
        assert_eq!(add(names(&["a", "b"]), "x".to_owned(), Some(1)).unwrap(), ["x", "a", "b"]);
        assert_eq!(add(names(&["a"]), "x".to_owned(), None).unwrap(), ["a", "x"]);
        assert!(add(names(&["a"]), "a".to_owned(), None).is_err());
    }
}
