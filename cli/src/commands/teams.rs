//! Teams: `teams`, `:create`, `:rename`, `:destroy`.

use clap::Subcommand;
use paas_wire::{Team, TeamCreate, TeamUpdate};
use reqwest::Method;

use crate::client::segment;
use crate::context::Context;
use crate::progress::Action;
use crate::{confirm, output};

/// The option that names a team.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct TeamArgs {
    /// Team to work on
    #[arg(short, long, value_name = "TEAM", required = true)]
    pub(crate) team: String,
}

impl TeamArgs {
    /// The path of something of the team.
    pub(crate) fn path(&self, rest: &str) -> String {
        path(&self.team, rest)
    }
}

/// The path of something of a team: `/teams/TEAM` and the rest.
pub(crate) fn path(team: &str, rest: &str) -> String {
    format!("/teams/{}{rest}", segment(team))
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the teams that you are in
    #[command(name = "teams", visible_alias = "orgs")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a team
    #[command(name = "teams:create")]
    Create {
        /// Its name
        #[arg(value_name = "TEAM")]
        name: String,
    },
    /// Give a team another name
    #[command(name = "teams:rename")]
    Rename {
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        team: TeamArgs,
    },
    /// Remove a team that has no apps any more
    #[command(name = "teams:destroy")]
    Destroy {
        /// The team
        #[arg(value_name = "TEAM")]
        name: String,
        /// The team's name, in place of the question
        #[arg(short, long, value_name = "TEAM")]
        confirm: Option<String>,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self {
            Self::List { json } => {
                let mut teams: Vec<Team> = client.list("/teams").await?;
                teams.sort_by(|a, b| a.name.cmp(&b.name));
                if json {
                    return output::json(&teams);
                }
                let rows = teams.into_iter().map(|team| vec![team.name, team.role.unwrap_or_default()]);
                output::table(&["Team", "Role"], rows.collect());
                Ok(())
            }
            Self::Create { name } => {
                let action = Action::start(format!("Creating team {name}"));
                client.send_json::<_, Team>(Method::POST, "/teams", &TeamCreate { name }).await?;
                action.done();
                Ok(())
            }
            Self::Rename { name, team } => {
                let action = Action::start(format!("Renaming team {} to {name}", team.team));
                let body = TeamUpdate { name: Some(name), default: None };
                client.send_json::<_, Team>(Method::PATCH, &team.path(""), &body).await?;
                action.done();
                Ok(())
            }
            Self::Destroy { name, confirm } => {
                let team: Team = client.get(&path(&name, "")).await?;
                let what = format!("This removes the team {} and everybody from it.", team.name);
                confirm::destruction(&what, &team.name, confirm.as_deref())?;
                let action = Action::start(format!("Destroying team {}", team.name));
                client.delete(&path(&team.name, "")).await?;
                action.done();
                Ok(())
            }
        }
    }
}
