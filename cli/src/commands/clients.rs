//! OAuth clients, programs that users may let in: `clients`, `:create`, `:info`, `:update`,
//! `:rotate`, `:destroy`.

use clap::Subcommand;
use paas_wire::{ClientCreate, ClientUpdate, oauth_client::Client as OauthClient};
use reqwest::Method;

use crate::client::segment;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List your OAuth clients
    #[command(name = "clients")]
    List {
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Make an OAuth client
    #[command(name = "clients:create")]
    Create {
        /// Its name, which users see
        #[arg(value_name = "NAME")]
        name: String,
        /// Where its users are sent back to: https://…, or http://localhost…
        #[arg(value_name = "REDIRECT_URI")]
        redirect_uri: String,
        /// As variables for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Show an OAuth client with its secret
    #[command(name = "clients:info")]
    Info {
        /// Id of the client
        #[arg(value_name = "ID")]
        id: String,
        /// As variables for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Change name or address of an OAuth client
    #[command(name = "clients:update")]
    Update {
        /// Id of the client
        #[arg(value_name = "ID")]
        id: String,
        /// Another name
        #[arg(short, long, value_name = "NAME")]
        name: Option<String>,
        /// Another address to send users back to
        #[arg(long, value_name = "REDIRECT_URI")]
        url: Option<String>,
    },
    /// Give an OAuth client another secret
    #[command(name = "clients:rotate")]
    Rotate {
        /// Id of the client
        #[arg(value_name = "ID")]
        id: String,
        /// As variables for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// Remove an OAuth client and end the tokens that it has
    #[command(name = "clients:destroy")]
    Destroy {
        /// Id of the client
        #[arg(value_name = "ID")]
        id: String,
    },
}

fn path(id: &str) -> String {
    format!("/oauth/clients/{}", segment(id))
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self {
            Self::List { json } => {
                let mut all: Vec<OauthClient> = client.list("/oauth/clients").await?;
                all.sort_by(|a, b| a.name.cmp(&b.name));
                if json {
                    return output::json(&all);
                }
                if all.is_empty() {
                    output::note("No OAuth clients. `paas clients:create NAME REDIRECT_URI` makes one.");
                    return Ok(());
                }
                let rows = all.into_iter().map(|it| vec![it.name, it.id.to_string(), it.redirect_uri]);
                output::table(&["Name", "Id", "Redirect URI"], rows.collect());
                Ok(())
            }
            Self::Create { name, redirect_uri, shell, json } => {
                let action = Action::start(format!("Creating {name}"));
                let body = ClientCreate { name, redirect_uri };
                let made: OauthClient = client.send_json(Method::POST, "/oauth/clients", &body).await?;
                action.done();
                show(&made, shell, json)
            }
            Self::Info { id, shell, json } => show(&client.get(&path(&id)).await?, shell, json),
            Self::Update { id, name, url } => {
                if name.is_none() && url.is_none() {
                    return Err(Failure::usage("Nothing to change was given.").hint("Give --name or --url.").into());
                }
                let action = Action::start(format!("Updating {id}"));
                let body = ClientUpdate { name, redirect_uri: url };
                let _: OauthClient = client.send_json(Method::PATCH, &path(&id), &body).await?;
                action.done();
                Ok(())
            }
            Self::Rotate { id, shell, json } => {
                let action = Action::start(format!("Giving {id} another secret"));
                let path = format!("{}/actions/rotate-credentials", path(&id));
                let changed: OauthClient = client.send_empty(Method::POST, &path).await?;
                action.done();
                show(&changed, shell, json)
            }
            Self::Destroy { id } => {
                let action = Action::start(format!("Destroying {id}"));
                client.delete(&path(&id)).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn show(client: &OauthClient, shell: bool, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(client);
    }
    if shell {
        output::line(format_args!("HEROKU_OAUTH_ID={}", client.id));
        output::line(format_args!("HEROKU_OAUTH_SECRET={}", client.secret));
        return Ok(());
    }
    output::heading(&client.name);
    output::fields(&[
        ("Id", client.id.to_string()),
        ("Secret", client.secret.clone()),
        ("Redirect URI", client.redirect_uri.clone()),
        ("Created", when::local(client.created_at)),
        ("Updated", when::local(client.updated_at)),
    ]);
    Ok(())
}
