//! API tokens for programs: `authorizations`, `:create`, `:revoke`.

use clap::Subcommand;
use paas_wire::{Authorization, AuthorizationCreate};
use reqwest::Method;

use crate::client::segment;
use crate::context::Context;
use crate::progress::Action;
use crate::{output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List your API tokens (not their secrets)
    #[command(name = "authorizations")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make an API token and show it, once
    #[command(name = "authorizations:create")]
    Create {
        /// What it is for
        #[arg(short, long, value_name = "TEXT")]
        description: Option<String>,
        /// What it allows (global, read, write, identity), separated by commas
        #[arg(short, long, value_name = "SCOPE", value_delimiter = ',')]
        scope: Vec<String>,
        /// Seconds until it expires
        #[arg(short, long, value_name = "SECONDS")]
        expires_in: Option<u64>,
        /// Show nothing but the token
        #[arg(short = 'S', long, conflicts_with = "json")]
        short: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke an API token
    #[command(name = "authorizations:revoke", visible_alias = "authorizations:destroy")]
    Revoke {
        /// Id of the token
        #[arg(value_name = "ID")]
        id: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self {
            Self::List { json } => {
                let all: Vec<Authorization> = client.list("/oauth/authorizations").await?;
                if json {
                    return output::json(&all);
                }
                let rows = all.into_iter().map(|entry| {
                    vec![
                        entry.description.unwrap_or_default(),
                        entry.id.to_string(),
                        entry.scope.join(","),
                        when::ago(entry.created_at),
                    ]
                });
                output::table(&["For", "Id", "Scope", "Made"], rows.collect());
                Ok(())
            }
            Self::Create { description, scope, expires_in, short, json } => {
                let action = (!short).then(|| Action::start("Making an API token"));
                let body = AuthorizationCreate {
                    scope: (!scope.is_empty()).then_some(scope),
                    description,
                    expires_in,
                    client: None,
                };
                let made: Authorization = client.send_json(Method::POST, "/oauth/authorizations", &body).await?;
                if let Some(action) = action {
                    action.done();
                }
                show(made, short, json)
            }
            Self::Revoke { id } => {
                let action = Action::start(format!("Revoking the API token {id}"));
                client.delete(&format!("/oauth/authorizations/{}", segment(&id))).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn show(made: Authorization, short: bool, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&made);
    }
    let token = made.access_token.map(|token| token.token).unwrap_or_default();
    if short {
        output::line(token);
        return Ok(());
    }
    output::fields(&[
        ("For", made.description.unwrap_or_default()),
        ("Id", made.id.to_string()),
        ("Scope", made.scope.join(",")),
        ("Token", token),
    ]);
    output::note("The token is shown this once; keep it in a safe place.");
    Ok(())
}
