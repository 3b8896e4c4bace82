//! Who is in a team: `members`, `:add`, `:set`, `:remove`, `:accept`.

use std::io::IsTerminal as _;

use clap::Subcommand;
use paas_wire::team_member::TeamInvitationAccept;
use paas_wire::{TeamInvitation, TeamInvitationCreate, TeamMember, TeamMemberUpdate};
use reqwest::Method;
use serde_json::json;

use super::teams::TeamArgs;
use crate::client::{Client, missing, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{input, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the members of a team
    #[command(name = "members")]
    List {
        #[command(flatten)]
        team: TeamArgs,
        /// Only those of this role
        #[arg(short, long, value_name = "ROLE")]
        role: Option<String>,
        /// Only those who are invited
        #[arg(long)]
        pending: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add someone to a team; who has no account yet is invited
    #[command(name = "members:add")]
    Add {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        /// admin, member, viewer or collaborator
        #[arg(short, long, value_name = "ROLE", default_value = "member")]
        role: String,
        #[command(flatten)]
        team: TeamArgs,
    },
    /// Change what someone is in a team
    #[command(name = "members:set")]
    Set {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        /// admin, member, viewer or collaborator
        #[arg(short, long, value_name = "ROLE")]
        role: String,
        #[command(flatten)]
        team: TeamArgs,
    },
    /// Remove someone from a team and all of its apps, or take an invitation back
    #[command(name = "members:remove")]
    Remove {
        /// Their e-mail address
        #[arg(value_name = "EMAIL")]
        email: String,
        #[command(flatten)]
        team: TeamArgs,
    },
    /// Accept an invitation; makes your account if you have none
    #[command(name = "members:accept")]
    Accept {
        /// What you were given
        #[arg(value_name = "TOKEN")]
        token: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { team, role, pending, json } => list(context.client()?, &team, role, pending, json).await,
            Self::Add { email, role, team } => add(context.client()?, email, role, &team).await,
            Self::Set { email, role, team } => {
                let action = Action::start(format!("Making {email} {role} of {}", team.team));
                let body = TeamMemberUpdate { email, role };
                let client = context.client()?;
                client.send_json::<_, TeamMember>(Method::PATCH, &team.path("/members"), &body).await?;
                action.done();
                Ok(())
            }
            Self::Remove { email, team } => remove(context.client()?, &email, &team).await,
            Self::Accept { token } => accept(context, &token).await,
        }
    }
}

async fn list(client: &Client, team: &TeamArgs, role: Option<String>, pending: bool, json: bool) -> anyhow::Result<()> {
    let members: Vec<TeamMember> = if pending { Vec::new() } else { client.list(&team.path("/members")).await? };
    let invited: Vec<TeamInvitation> = match client.list(&team.path("/invitations")).await {
        Ok(invited) => invited,
        // Not everybody may see who is invited.
        Err(error) if !pending && crate::client::status_of(&error) == Some(reqwest::StatusCode::FORBIDDEN) => {
            Vec::new()
        }
        Err(error) => return Err(error),
    };
    let wanted = |have: &Option<String>| role.is_none() || *have == role;
    let members: Vec<TeamMember> = members.into_iter().filter(|member| wanted(&member.role)).collect();
    let invited: Vec<TeamInvitation> = invited.into_iter().filter(|invited| wanted(&invited.role)).collect();
    if json {
        let status = |mut value: serde_json::Value, status: &str| {
            if let Some(object) = value.as_object_mut() {
                object.insert("status".into(), status.into());
            }
            value
        };
        let mut all = Vec::new();
        for member in &members {
            all.push(status(serde_json::to_value(member)?, ""));
        }
        for invited in &invited {
            let shown = json!({
                "created_at": invited.created_at, "email": invited.user.email, "federated": false,
                "role": invited.role, "two_factor_authentication": false,
                "updated_at": invited.updated_at, "user": invited.user,
            });
            all.push(status(shown, "pending"));
        }
        return output::json(&all);
    }
    if members.is_empty() && invited.is_empty() {
        let which = role.map(|role| format!(" with role {role}")).unwrap_or_default();
        output::line(format_args!("No members in {}{which}", team.team));
        return Ok(());
    }
    let mut rows: Vec<Vec<String>> =
        members.into_iter().map(|member| vec![member.email, member.role.unwrap_or_default(), String::new()]).collect();
    rows.extend(
        invited.into_iter().map(|one| vec![one.user.email, one.role.unwrap_or_default(), "invited".to_owned()]),
    );
    rows.sort();
    output::table(&["Email", "Role", ""], rows);
    Ok(())
}

async fn add(client: &Client, email: String, role: String, team: &TeamArgs) -> anyhow::Result<()> {
    let action = Action::start(format!("Adding {email} to {} as {role}", team.team));
    let body = TeamMemberUpdate { email: email.clone(), role: role.clone() };
    match client.send_json::<_, TeamMember>(Method::PUT, &team.path("/members"), &body).await {
        Ok(_) => action.done(),
        Err(error) if missing(&error) == Some("user") => {
            let body = TeamInvitationCreate { email, role: Some(role) };
            let made: TeamInvitation = client.send_json(Method::PUT, &team.path("/invitations"), &body).await?;
            action.end("invited");
            output::line(format_args!(
                "{} has no account here yet. Hand this on to them, within two weeks:\n\n  paas members:accept {}",
                made.user.email,
                made.token.unwrap_or_default()
            ));
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn remove(client: &Client, email: &str, team: &TeamArgs) -> anyhow::Result<()> {
    let action = Action::start(format!("Removing {email} from {}", team.team));
    match client.delete(&team.path(&format!("/members/{}", segment(email)))).await {
        Err(error) if missing(&error) == Some("team_member") => {
            match client.delete(&team.path(&format!("/invitations/{}", segment(email)))).await {
                Ok(()) => action.end("invitation taken back"),
                // What was meant is a member.
                Err(other) if missing(&other) == Some("team_invitation") => return Err(error),
                Err(other) => return Err(other),
            }
        }
        done => {
            done?;
            action.done();
        }
    }
    Ok(())
}

async fn accept(context: &Context, token: &str) -> anyhow::Result<()> {
    let path = format!("/teams/invitations/{}", segment(token));
    let stranger = Client::new(&context.settings, None)?;
    let invitation: TeamInvitation = stranger.get(&path).await?;
    let (email, team) = (invitation.user.email, invitation.team.name);
    let made = invitation.user.id == invitation.id;
    let body = if made {
        output::note(format_args!(
            "{} invites {email} to the team {team}. This makes your account.",
            invitation.invited_by.email
        ));
        TeamInvitationAccept { password: Some(password().await?), name: None }
    } else {
        TeamInvitationAccept::default()
    };
    let client = if made { &stranger } else { context.client()? };
    let action = Action::start(format!("Joining {team} as {email}"));
    client.send_json::<_, TeamMember>(Method::POST, &format!("{path}/accept"), &body).await?;
    action.done();
    if made {
        output::line("Log in with `paas login`.");
    }
    Ok(())
}

async fn password() -> anyhow::Result<String> {
    if std::io::stdin().is_terminal() {
        return Ok(inquire::Password::new("Choose a password:").prompt()?);
    }
    let password = input::line().await?;
    if password.is_empty() {
        return Err(Failure::usage("There is no terminal to ask on.")
            .hint("Give the password as a line on stdin.")
            .into());
    }
    Ok(password)
}
