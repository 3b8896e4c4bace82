//! API tokens for programs: `authorizations`, `:create`, `:info`, `:update`, `:rotate`, `:revoke`.

use clap::Subcommand;
use paas_wire::{Authorization, AuthorizationCreate, AuthorizationUpdate, ClientProof};
use reqwest::Method;

use crate::client::segment;
use crate::context::Context;
use crate::failure::Failure;
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
        /// What it allows (global, identity, read, write, read-protected, write-protected), separated by commas
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
    /// Show an API token (not its secret)
    #[command(name = "authorizations:info")]
    Info {
        /// Id of the token
        #[arg(value_name = "ID")]
        id: String,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Change what an API token is for, or which OAuth client has it
    #[command(name = "authorizations:update")]
    Update {
        /// Id of the token
        #[arg(value_name = "ID")]
        id: String,
        /// What it is for
        #[arg(short, long, value_name = "TEXT")]
        description: Option<String>,
        /// Id of an OAuth client
        #[arg(long, value_name = "ID", requires = "client_secret")]
        client_id: Option<String>,
        /// Secret of that client
        #[arg(long, value_name = "SECRET", requires = "client_id")]
        client_secret: Option<String>,
    },
    /// Give an API token another secret and show it, once
    #[command(name = "authorizations:rotate")]
    Rotate {
        /// Id of the token
        #[arg(value_name = "ID")]
        id: String,
        /// As JSON
        #[arg(short, long)]
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
            Self::Info { id, json } => {
                let found: Authorization = client.get(&path(&id)).await?;
                if json {
                    return output::json(&found);
                }
                fields(found);
                Ok(())
            }
            Self::Update { id, description, client_id, client_secret } => {
                if description.is_none() && client_id.is_none() {
                    return Err(Failure::usage("Nothing to change was given.")
                        .hint("Give --description, or --client-id with --client-secret.")
                        .into());
                }
                let client_id = match client_id {
                    Some(id) => {
                        Some(id.parse().map_err(|_| Failure::usage(format!("{id} is no id of an OAuth client.")))?)
                    }
                    None => None,
                };
                let proof = client_id.map(|id| ClientProof { id: Some(id), secret: client_secret });
                let action = Action::start(format!("Updating the API token {id}"));
                let body = AuthorizationUpdate { description, client: proof };
                let changed: Authorization = client.send_json(Method::PATCH, &path(&id), &body).await?;
                action.done();
                fields(changed);
                Ok(())
            }
            Self::Rotate { id, json } => {
                let action = Action::start(format!("Giving the API token {id} another secret"));
                let path = format!("{}/actions/regenerate-tokens", path(&id));
                let made: Authorization = client.send_empty(Method::POST, &path).await?;
                action.done();
                show(made, false, json)
            }
            Self::Revoke { id } => {
                let action = Action::start(format!("Revoking the API token {id}"));
                client.delete(&path(&id)).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn path(id: &str) -> String {
    format!("/oauth/authorizations/{}", segment(id))
}

fn show(made: Authorization, short: bool, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(&made);
    }
    if short {
        output::line(made.access_token.map(|token| token.token).unwrap_or_default());
        return Ok(());
    }
    fields(made);
    output::note("The token is shown this once; keep it in a safe place.");
    Ok(())
}

fn fields(entry: Authorization) {
    let (client, redirect) =
        entry.client.map(|client| (client.name, client.redirect_uri.unwrap_or_default())).unwrap_or_default();
    let (token, expires) = entry
        .access_token
        .map(|token| (token.token, token.expires_in.map(|seconds| format!("in {}", when::span(seconds)))))
        .unwrap_or_default();
    output::fields(&[
        ("For", entry.description.unwrap_or_default()),
        ("Client", client),
        ("Redirect URI", redirect),
        ("Id", entry.id.to_string()),
        ("Scope", entry.scope.join(",")),
        ("Token", token),
        ("Expires", expires.unwrap_or_default()),
    ]);
}
