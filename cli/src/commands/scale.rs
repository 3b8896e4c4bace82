//! How many dynos of which size: `ps:scale`, `ps:resize`, `ps:type`.

use clap::Subcommand;
use paas_wire::{Formation, FormationBatchUpdate, FormationUpdate, Identity, Quantity};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Set how many dynos run, or show it: web=2, worker=1:standard-2x, web+1, web-1
    #[command(name = "ps:scale", visible_alias = "scale", visible_alias = "dyno:scale")]
    Scale {
        /// TYPE=COUNT, TYPE=COUNT:SIZE, TYPE+COUNT or TYPE-COUNT; none shows the present counts
        #[arg(value_name = "TYPE=COUNT")]
        changes: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the size of dynos, or show it: web=standard-2x, or one size for all types
    #[command(name = "ps:resize", visible_aliases = ["resize", "ps:type", "dyno:resize", "dyno:type"])]
    Resize {
        /// TYPE=SIZE, or SIZE for all types; none shows the present sizes
        #[arg(value_name = "TYPE=SIZE")]
        changes: Vec<String>,
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
            Self::Scale { changes, app, json } => {
                let updates = changes.iter().map(|change| parse_scale(change)).collect::<Result<Vec<_>, _>>()?;
                let (app, client) = context.app(&app)?;
                scale(client, &app, updates, json).await
            }
            Self::Resize { changes, app, json } => {
                let (app, client) = context.app(&app)?;
                resize(client, &app, &changes, json).await
            }
        }
    }
}

/// Reads `web=2`, `web=2:standard-1x`, `web+1`, `web-1`. A type may hold `-`, so a decrease
/// is the last `-` with digits after it.
fn parse_scale(change: &str) -> Result<FormationUpdate, Failure> {
    let wrong = || {
        Failure::usage(format!("{change:?} does not say how many dynos of which type."))
            .hint("For example: paas ps:scale web=2 worker=1:standard-2x, or web+1, or web-1")
    };
    let (amount, size) = match change.split_once(':') {
        Some((amount, size)) if !size.is_empty() => (amount, Some(size)),
        Some(_) => return Err(wrong()),
        None => (change, None),
    };
    let (kind, quantity) = match amount.split_once('=') {
        // `web=-1` is more likely a slip than a wish.
        Some((kind, quantity)) if quantity.bytes().all(|byte| byte.is_ascii_digit()) => (kind, quantity),
        Some(_) => return Err(wrong()),
        None => amount.rfind(['+', '-']).map(|at| amount.split_at(at)).ok_or_else(wrong)?,
    };
    let quantity: Quantity = quantity.parse().map_err(|_| wrong())?;
    let name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if kind.is_empty() || !kind.chars().all(name) {
        return Err(wrong());
    }
    Ok(FormationUpdate {
        kind: Some(kind.to_owned()),
        quantity: Some(quantity),
        dyno_size: size.map(Identity::from),
        docker_image: None,
    })
}

async fn formation(client: &Client, app: &str) -> anyhow::Result<Vec<Formation>> {
    let mut formation: Vec<Formation> = client.list(&app_path(app, "/formation")).await?;
    formation.sort_by(|a, b| a.kind.cmp(&b.kind));
    Ok(formation)
}

fn none(app: &str) -> Failure {
    Failure::new(format!("{app} has no process types yet."))
        .hint("They come from the Procfile: deploy with `git push paas main` first.")
}

async fn scale(client: &Client, app: &str, updates: Vec<FormationUpdate>, json: bool) -> anyhow::Result<()> {
    if updates.is_empty() {
        let formation = formation(client, app).await?;
        if json {
            return output::json(&formation);
        }
        if formation.is_empty() {
            return Err(none(app).into());
        }
        let parts: Vec<String> =
            formation.iter().map(|entry| format!("{}={}:{}", entry.kind, entry.quantity, entry.size)).collect();
        output::line(parts.join(" "));
        return Ok(());
    }
    let changed: Vec<Option<String>> = updates.iter().map(|update| update.kind.clone()).collect();
    let action = Action::start("Scaling dynos");
    let body = FormationBatchUpdate { updates };
    let mut formation: Vec<Formation> = client.send_json(Method::PATCH, &app_path(app, "/formation"), &body).await?;
    formation.sort_by(|a, b| a.kind.cmp(&b.kind));
    let parts: Vec<String> = formation
        .iter()
        .filter(|entry| changed.iter().flatten().any(|kind| *kind == entry.kind))
        .map(|entry| format!("{} at {}:{}", entry.kind, entry.quantity, entry.size))
        .collect();
    action.done_with(format_args!("now running {}", parts.join(", ")));
    if json { output::json(&formation) } else { Ok(()) }
}

async fn resize(client: &Client, app: &str, changes: &[String], json: bool) -> anyhow::Result<()> {
    let now = if changes.is_empty() {
        formation(client, app).await?
    } else {
        let updates = sizes(client, app, changes).await?;
        let action = Action::start(format!("Resizing dynos on {}", output::app(app)));
        let body = FormationBatchUpdate { updates };
        client.send_json::<_, Vec<Formation>>(Method::PATCH, &app_path(app, "/formation"), &body).await?;
        action.done();
        formation(client, app).await?
    };
    if json {
        return output::json(&now);
    }
    if now.is_empty() {
        return Err(none(app).into());
    }
    let rows = now.into_iter().map(|entry| vec![entry.kind, entry.size, entry.quantity.to_string()]);
    output::table(&["Type", "Size", "Count"], rows.collect());
    Ok(())
}

async fn sizes(client: &Client, app: &str, changes: &[String]) -> anyhow::Result<Vec<FormationUpdate>> {
    let update = |kind: &str, size: &str| FormationUpdate {
        kind: Some(kind.to_owned()),
        quantity: None,
        dyno_size: Some(Identity::from(size)),
        docker_image: None,
    };
    if let [size] = changes
        && !size.contains('=')
    {
        let formation = formation(client, app).await?;
        if formation.is_empty() {
            return Err(none(app).into());
        }
        return Ok(formation.iter().map(|entry| update(&entry.kind, size)).collect());
    }
    let mut updates = Vec::new();
    for change in changes {
        match change.split_once('=') {
            Some((kind, size)) if !kind.is_empty() && !size.is_empty() => {
                updates.push(update(kind, size));
            }
            _ => {
                return Err(Failure::usage(format!("{change:?} does not say which size for which type."))
                    .hint("For example: paas ps:resize web=standard-2x worker=basic")
                    .into());
            }
        }
    }
    Ok(updates)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn changes() {
        let read = |change: &str| {
            parse_scale(change).ok().map(|update| {
                let size = update.dyno_size.map(|size| format!(":{size}")).unwrap_or_default();
                format!("{} {}{size}", update.kind.unwrap(), update.quantity.unwrap())
            })
        };
        for (change, wanted) in [
            ("web=2", Some("web 2")),
            ("web=2:standard-1x", Some("web 2:standard-1x")),
            ("web+1", Some("web +1")),
            ("web-1", Some("web -1")),
            ("my-worker-2", Some("my-worker -2")),
            ("my-worker=3", Some("my-worker 3")),
            ("web+1:Basic", Some("web +1:Basic")),
            ("web=-1", None),
            ("web=abc", None),
            ("web=", None),
            ("web", None),
            ("=2", None),
            ("web=2:", None),
            ("web=99999999999", None),
            ("we b=2", None),
        ] {
            assert_eq!(read(change).as_deref(), wanted, "{change}");
        }
    }
}
