//! Who may work on an app: `access`, `:add`, `:remove`.

use clap::Subcommand;
use paas_wire::{Collaborator, CollaboratorCreate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{app_path, segment};
use crate::context::Context;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List who may work on an app
    #[command(name = "access")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let someone work on an app
    #[command(name = "access:add")]
    Add {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Let someone no longer work on an app
    #[command(name = "access:remove")]
    Remove {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                let people: Vec<Collaborator> = client.list(&app_path(&app, "/collaborators")).await?;
                if json {
                    return output::json(&people);
                }
                output::heading(format_args!("{app} Access"));
                let rows = people.into_iter().map(|person| vec![person.user.email, person.role.unwrap_or_default()]);
                output::table(&[], rows.collect());
                Ok(())
            }
            Self::Add { email, app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Adding {email} to {}", output::app(&app)));
                let body = CollaboratorCreate { user: email, silent: None };
                let path = app_path(&app, "/collaborators");
                client.send_json::<_, Collaborator>(Method::POST, &path, &body).await?;
                action.done();
                Ok(())
            }
            Self::Remove { email, app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Removing {email} from {}", output::app(&app)));
                let path = format!("/collaborators/{}", segment(&email));
                client.delete(&app_path(&app, &path)).await?;
                action.done();
                Ok(())
            }
        }
    }
}
