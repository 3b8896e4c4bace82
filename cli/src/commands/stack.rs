//! `stack`, `stack:set`: the system that an app is built and run on.

use clap::Subcommand;
use paas_wire::{App, AppUpdate, Identity, Stack};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::app_path;
use crate::context::Context;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the stacks and mark the app's
    #[command(name = "stack", visible_alias = "apps:stacks")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set the stack of the next build
    #[command(name = "stack:set", visible_alias = "apps:stacks:set")]
    Set {
        /// Name of the stack
        #[arg(value_name = "STACK")]
        stack: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                let stacks: Vec<Stack> = client.list("/stacks").await?;
                if json {
                    return output::json(&stacks);
                }
                let app: App = client.get(&app_path(&app, "")).await?;
                output::heading(format_args!("{} Stacks", app.name));
                for stack in stacks {
                    let mark = if stack.name == app.build_stack.name { "*" } else { " " };
                    output::line(format_args!("{mark} {}", stack.name));
                }
                Ok(())
            }
            Self::Set { stack, app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Setting the stack of {} to {stack}", output::app(&app)));
                let body = AppUpdate { build_stack: Some(Identity(stack)), ..AppUpdate::default() };
                let app: App = client.send_json(Method::PATCH, &app_path(&app, ""), &body).await?;
                action.done();
                output::line(format_args!(
                    "The next build of {} uses {}. Build with `git push paas main`.",
                    output::app(&app.name),
                    app.build_stack.name
                ));
                Ok(())
            }
        }
    }
}
