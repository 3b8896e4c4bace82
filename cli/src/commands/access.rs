//! Who may work on an app: `access`, `:add`, `:update`, `:remove`.

use clap::Subcommand;
use paas_wire::{App, Collaborator, CollaboratorCreate, CollaboratorUpdate, TeamMember};
use reqwest::{Method, StatusCode};

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment, status_of};
use crate::context::Context;
use crate::output;
use crate::progress::Action;

/// What may be granted, in the order in which it is shown.
const PERMISSIONS: [&str; 4] = ["view", "deploy", "operate", "manage"];

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
        /// What they may do with a team's app: view, deploy, operate, manage, separated by commas
        #[arg(short, long, value_name = "PERMISSIONS", value_delimiter = ',')]
        permissions: Option<Vec<String>>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Change what someone may do with a team's app
    #[command(name = "access:update")]
    Update {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        /// view, deploy, operate, manage, separated by commas
        #[arg(short, long, value_name = "PERMISSIONS", value_delimiter = ',', required = true)]
        permissions: Vec<String>,
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
                list(client, &app, json).await
            }
            Self::Add { email, permissions, app } => {
                let (app, client) = context.app(&app)?;
                let permissions = permissions.map(tidy);
                let with = permissions.as_ref().map(|list| format!(" with {}", list.join(", "))).unwrap_or_default();
                let action = Action::start(format!("Adding {email} to {}{with}", output::app(&app)));
                let path = match &permissions {
                    Some(_) => format!("/teams{}", app_path(&app, "/collaborators")),
                    None => app_path(&app, "/collaborators"),
                };
                let body = CollaboratorCreate { user: email, silent: None, permissions };
                client.send_json::<_, Collaborator>(Method::POST, &path, &body).await?;
                action.done();
                Ok(())
            }
            Self::Update { email, permissions, app } => {
                let (app, client) = context.app(&app)?;
                let permissions = tidy(permissions);
                let action = Action::start(format!(
                    "Setting permissions of {email} on {} to {}",
                    output::app(&app),
                    permissions.join(", ")
                ));
                let path = format!("/teams{}", app_path(&app, &format!("/collaborators/{}", segment(&email))));
                let body = CollaboratorUpdate { permissions };
                client.send_json::<_, Collaborator>(Method::PATCH, &path, &body).await?;
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

/// To see an app goes with every other permission.
fn tidy(mut permissions: Vec<String>) -> Vec<String> {
    permissions.push("view".to_owned());
    let place = |name: &String| PERMISSIONS.iter().position(|known| known == name).unwrap_or(PERMISSIONS.len());
    permissions.sort_by_key(place);
    permissions.dedup();
    permissions
}

/// Admins of an app's team may do all with it, whether they have joined it or not.
async fn admins(client: &Client, team: &str) -> anyhow::Result<Vec<TeamMember>> {
    match client.list::<TeamMember>(&format!("/teams/{}/members", segment(team))).await {
        Ok(members) => Ok(members.into_iter().filter(|member| member.role.as_deref() == Some("admin")).collect()),
        Err(error) if status_of(&error) == Some(StatusCode::FORBIDDEN) => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

async fn list(client: &Client, name: &str, json: bool) -> anyhow::Result<()> {
    let people: Vec<Collaborator> = client.list(&app_path(name, "/collaborators")).await?;
    if json {
        return output::json(&people);
    }
    let app: App = client.get(&app_path(name, "")).await?;
    let admins = match &app.team {
        Some(team) => admins(client, &team.name).await?,
        None => Vec::new(),
    };
    output::heading(format_args!("{name} Access"));
    let mut rows: Vec<Vec<String>> =
        admins.iter().map(|admin| vec![admin.email.clone(), "admin".to_owned(), PERMISSIONS.join(", ")]).collect();
    for person in people {
        let email = person.user.email;
        // A team that owns an app stands among its people by an address that nobody has.
        let is_team = app.team.is_some() && email == app.owner.email;
        if is_team || admins.iter().any(|admin| admin.email == email) {
            continue;
        }
        let permissions: Vec<String> = person.permissions.into_iter().map(|permission| permission.name).collect();
        rows.push(vec![email, person.role.unwrap_or_default(), permissions.join(", ")]);
    }
    if app.team.is_some() {
        rows.sort();
    }
    output::table(&[], rows);
    Ok(())
}
