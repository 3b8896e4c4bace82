//! Apps that change hands: `apps:transfer`, `apps:transfers` and its `:accept`, `:decline`,
//! `:cancel`; and who joins a team's app: `apps:join`, `:leave`, `:lock`, `:unlock`.

use std::io::IsTerminal as _;

use clap::Subcommand;
use paas_wire::{
    Account, App, AppTransfer, AppTransferCreate, AppTransferUpdate, Collaborator, CollaboratorCreate, Identity,
    TeamApp, TeamAppUpdate, TransferState,
};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{confirm, output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give an app to someone else, or to a team
    #[command(name = "apps:transfer")]
    Transfer {
        /// E-mail address of an account, or name of a team
        #[arg(value_name = "RECIPIENT")]
        recipient: String,
        #[command(flatten)]
        app: AppArgs,
        /// Choose several of your apps
        #[arg(long, conflicts_with_all = ["app", "remote"])]
        bulk: bool,
        /// Lock the app once its team has it
        #[arg(short, long)]
        locked: bool,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// List the apps that you offer or are offered
    #[command(name = "apps:transfers")]
    Transfers {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Take an app that you are offered
    #[command(name = "apps:transfers:accept")]
    Accept {
        /// The app, or the transfer's id
        #[arg(value_name = "APP")]
        transfer: String,
    },
    /// Say that you don't want an app that you are offered
    #[command(name = "apps:transfers:decline")]
    Decline {
        /// The app, or the transfer's id
        #[arg(value_name = "APP")]
        transfer: String,
    },
    /// Take back the offer of an app
    #[command(name = "apps:transfers:cancel")]
    Cancel {
        /// The app, or the transfer's id
        #[arg(value_name = "APP")]
        transfer: String,
    },
    /// Add yourself to a team's app
    #[command(name = "apps:join", visible_alias = "join")]
    Join {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Remove yourself from an app
    #[command(name = "apps:leave", visible_alias = "leave")]
    Leave {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Let members of its team no longer join an app by themselves
    #[command(name = "apps:lock", visible_alias = "lock")]
    Lock {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Let members of its team join an app by themselves
    #[command(name = "apps:unlock", visible_alias = "unlock")]
    Unlock {
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Transfer { recipient, bulk: true, locked, .. } => bulk(context.client()?, &recipient, locked).await,
            Self::Transfer { recipient, app, locked, confirm, .. } => {
                let (app, client) = context.app(&app)?;
                let app: App = client.get(&app_path(&app, "")).await?;
                if app.team.is_some() && recipient.contains('@') {
                    let what = format!("All collaborators will be removed from {}.", app.name);
                    confirm::destruction(&what, &app.name, confirm.as_deref())?;
                }
                transfer(client, &app, &recipient, locked).await
            }
            Self::Transfers { json } => list(context.client()?, json).await,
            Self::Accept { transfer } => answer(context.client()?, &transfer, TransferState::Accepted).await,
            Self::Decline { transfer } => answer(context.client()?, &transfer, TransferState::Declined).await,
            Self::Cancel { transfer } => {
                let action = Action::start(format!("Taking back the offer of {}", output::app(&transfer)));
                context.client()?.delete(&path(&transfer)).await?;
                action.done();
                Ok(())
            }
            Self::Join { app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Joining {}", output::app(&app)));
                let account: Account = client.get("/account").await?;
                let body = CollaboratorCreate { user: account.email, silent: None, permissions: None };
                let path = format!("/teams{}", app_path(&app, "/collaborators"));
                client.send_json::<_, Collaborator>(Method::POST, &path, &body).await?;
                action.done();
                Ok(())
            }
            Self::Leave { app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Leaving {}", output::app(&app)));
                let account: Account = client.get("/account").await?;
                client.delete(&app_path(&app, &format!("/collaborators/{}", segment(&account.email)))).await?;
                action.done();
                Ok(())
            }
            Self::Lock { app } => {
                let (app, client) = context.app(&app)?;
                set_locked(client, &app, true).await
            }
            Self::Unlock { app } => {
                let (app, client) = context.app(&app)?;
                set_locked(client, &app, false).await
            }
        }
    }
}

fn path(transfer: &str) -> String {
    format!("/account/app-transfers/{}", segment(transfer))
}

async fn transfer(client: &Client, app: &App, recipient: &str, locked: bool) -> anyhow::Result<()> {
    let name = &app.name;
    let action = Action::start(format!("Transferring {} to {recipient}", output::app(name)));
    if recipient.contains('@') && app.team.is_none() {
        let body =
            AppTransferCreate { app: Identity(name.clone()), recipient: Identity(recipient.to_owned()), silent: None };
        let made: AppTransfer = client.send_json(Method::POST, "/account/app-transfers", &body).await?;
        if made.state == TransferState::Pending {
            action.end("offered");
            output::line(format_args!("{recipient} takes it with: paas apps:transfers:accept {name}"));
        } else {
            action.done();
        }
        return Ok(());
    }
    let body = TeamAppUpdate { owner: Some(Identity(recipient.to_owned())), locked: None };
    client.send_json::<_, TeamApp>(Method::PATCH, &format!("/teams{}", app_path(name, "")), &body).await?;
    action.done();
    if locked { set_locked(client, name, true).await } else { Ok(()) }
}

async fn bulk(client: &Client, recipient: &str, locked: bool) -> anyhow::Result<()> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage("There is no terminal to choose apps on.")
            .hint("Transfer one with --app APP.")
            .into());
    }
    let mut apps: Vec<App> = client.list("/apps").await?;
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    let names: Vec<String> = apps.iter().map(|app| format!("{} ({})", app.name, owner(app))).collect();
    let chosen = inquire::MultiSelect::new(&format!("Apps to transfer to {recipient}:"), names).raw_prompt()?;
    for choice in chosen {
        if let Some(app) = apps.get(choice.index) {
            transfer(client, app, recipient, locked).await?;
        }
    }
    Ok(())
}

/// Whose an app is, as people say it.
pub(crate) fn owner(app: &App) -> &str {
    app.team.as_ref().map_or(app.owner.email.as_str(), |team| team.name.as_str())
}

async fn list(client: &Client, json: bool) -> anyhow::Result<()> {
    let transfers: Vec<AppTransfer> = client.list("/account/app-transfers").await?;
    if json {
        return output::json(&transfers);
    }
    if transfers.is_empty() {
        output::line("No app is or was on its way to or from you.");
        return Ok(());
    }
    let state = |state| match state {
        TransferState::Pending => "pending",
        TransferState::Accepted => "accepted",
        TransferState::Declined => "declined",
    };
    let rows = transfers.into_iter().map(|one| {
        vec![
            one.app.name,
            one.owner.email,
            one.recipient.email,
            state(one.state).to_owned(),
            when::local(one.created_at),
        ]
    });
    output::table(&["App", "From", "To", "State", "Since"], rows.collect());
    Ok(())
}

async fn answer(client: &Client, transfer: &str, state: TransferState) -> anyhow::Result<()> {
    let verb = if state == TransferState::Accepted { "Accepting" } else { "Declining" };
    let action = Action::start(format!("{verb} {}", output::app(transfer)));
    let body = AppTransferUpdate { state };
    client.send_json::<_, AppTransfer>(Method::PATCH, &path(transfer), &body).await?;
    action.done();
    Ok(())
}

async fn set_locked(client: &Client, app: &str, locked: bool) -> anyhow::Result<()> {
    let path = format!("/teams{}", app_path(app, ""));
    let found: TeamApp = client.get(&path).await?;
    let (verb, word) = if locked { ("Locking", "locked already") } else { ("Unlocking", "not locked") };
    if found.locked == locked {
        return Err(Failure::new(format!("{app} is {word}.")).into());
    }
    let action = Action::start(format!("{verb} {}", output::app(app)));
    let body = TeamAppUpdate { locked: Some(locked), owner: None };
    client.send_json::<_, TeamApp>(Method::PATCH, &path, &body).await?;
    action.done();
    Ok(())
}
