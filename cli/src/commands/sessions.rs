//! Logins by a browser: `sessions`, `:destroy`.

use clap::Subcommand;
use paas_wire::Session;

use crate::client::segment;
use crate::context::Context;
use crate::progress::Action;
use crate::{output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List where you are logged in by a browser
    #[command(name = "sessions")]
    List {
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// End a login
    #[command(name = "sessions:destroy")]
    Destroy {
        /// Id of the session
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self {
            Self::List { json } => {
                let all: Vec<Session> = client.list("/oauth/sessions").await?;
                if json {
                    return output::json(&all);
                }
                if all.is_empty() {
                    output::note("No sessions.");
                    return Ok(());
                }
                let rows = all
                    .into_iter()
                    .map(|it| vec![it.description.unwrap_or_default(), it.id.to_string(), when::ago(it.created_at)]);
                output::table(&["Description", "Id", "Since"], rows.collect());
                Ok(())
            }
            Self::Destroy { id } => {
                let action = Action::start(format!("Ending the session {id}"));
                client.delete(&format!("/oauth/sessions/{}", segment(&id))).await?;
                action.done();
                Ok(())
            }
        }
    }
}
