//! `maintenance`, `maintenance:on`, `maintenance:off`: a page for visitors while you work.

use clap::Subcommand;
use paas_wire::{App, AppUpdate};
use reqwest::Method;
use serde_json::json;

use crate::app::AppArgs;
use crate::client::app_path;
use crate::context::Context;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show whether visitors see the maintenance page
    #[command(name = "maintenance")]
    Show {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show visitors the maintenance page
    #[command(name = "maintenance:on")]
    On {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Show visitors the app again
    #[command(name = "maintenance:off")]
    Off {
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Show { app, json } => {
                let (app, client) = context.app(&app)?;
                let app: App = client.get(&app_path(&app, "")).await?;
                if json {
                    return output::json(&json!({"maintenance": app.maintenance}));
                }
                output::line(if app.maintenance { "on" } else { "off" });
                Ok(())
            }
            Self::On { app } => switch(context, &app, true).await,
            Self::Off { app } => switch(context, &app, false).await,
        }
    }
}

async fn switch(context: &Context, app: &AppArgs, on: bool) -> anyhow::Result<()> {
    let (app, client) = context.app(app)?;
    let verb = if on { "Enabling" } else { "Disabling" };
    let action = Action::start(format!("{verb} maintenance mode for {}", output::app(&app)));
    let body = AppUpdate { maintenance: Some(on), ..AppUpdate::default() };
    client.send_json::<_, App>(Method::PATCH, &app_path(&app, ""), &body).await?;
    action.done();
    Ok(())
}
