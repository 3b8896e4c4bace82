//! Log drains: `drains`, `:add`, `:remove`.

use clap::Subcommand;
use paas_wire::{LogDrain, LogDrainCreate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List where the log lines of an app are sent
    #[command(name = "drains")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send the log lines of an app elsewhere
    #[command(name = "drains:add")]
    Add {
        /// syslog://host:port, syslog+tls://host:port or https://user:password@host/path
        #[arg(value_name = "URL")]
        url: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Send them there no longer
    #[command(name = "drains:remove")]
    Remove {
        /// The drain's URL, or its token
        #[arg(value_name = "URL|TOKEN")]
        url: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, json).await
            }
            Self::Add { url, app, json } => {
                let (app, client) = context.app(&app)?;
                let path = app_path(&app, "/log-drains");
                let drain: LogDrain = client.send_json(Method::POST, &path, &LogDrainCreate { url }).await?;
                if json {
                    return output::json(&drain);
                }
                output::line(format_args!("Successfully added drain {}", drain.url));
                output::note(format_args!("Its receiver knows it as {}.", drain.token));
                Ok(())
            }
            Self::Remove { url, app } => {
                let (app, client) = context.app(&app)?;
                let path = app_path(&app, &format!("/log-drains/{}", segment(&url)));
                let drain: LogDrain = client.send_empty(Method::DELETE, &path).await?;
                output::line(format_args!("Successfully removed drain {}", drain.url));
                Ok(())
            }
        }
    }
}

async fn list(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let drains: Vec<LogDrain> = client.list(&app_path(app, "/log-drains")).await?;
    if json {
        return output::json(&drains);
    }
    if drains.is_empty() {
        output::line(format_args!("{} has no drains.", output::app(app)));
        return Ok(());
    }
    let (made, own): (Vec<&LogDrain>, Vec<&LogDrain>) = drains.iter().partition(|drain| drain.addon.is_some());
    if !own.is_empty() {
        output::heading("Drains");
        for drain in &own {
            output::line(format_args!("{} ({})", drain.url, drain.token));
        }
    }
    if !own.is_empty() && !made.is_empty() {
        output::line("");
    }
    if !made.is_empty() {
        output::heading("Add-on Drains");
        for drain in made {
            let addon = drain.addon.as_ref().map(|addon| addon.name.as_str()).unwrap_or_default();
            output::line(format_args!("{addon} ({})", drain.token));
        }
    }
    Ok(())
}
