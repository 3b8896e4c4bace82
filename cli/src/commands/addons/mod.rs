//! Add-ons: what an app uses besides its own code.
//!
//! This file has the commands and how an add-on is found by name; [`show`] has those that
//! only look, [`change`] those that change something.

mod change;
mod show;

use std::time::{Duration, Instant};

use clap::Subcommand;
use paas_wire::{Addon, AddonResolve, AddonState};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;

/// How long to wait for an add-on: an image may have to be fetched first.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the add-ons of an app
    #[command(name = "addons", visible_alias = "addons:list")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// Those of all your apps
        #[arg(short = 'A', long, conflicts_with = "app")]
        all: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Create an add-on
    #[command(name = "addons:create", visible_alias = "addons:add")]
    Create(change::CreateArgs),
    /// Destroy an add-on with its data
    #[command(name = "addons:destroy", visible_alias = "addons:remove")]
    Destroy {
        /// Names of the add-ons or attachments
        #[arg(value_name = "ADDON", required = true)]
        addons: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
        /// Even though other apps use it
        #[arg(short, long)]
        force: bool,
    },
    /// Show an add-on
    #[command(name = "addons:info")]
    Info {
        /// Name of the add-on or attachment
        #[arg(value_name = "ADDON")]
        addon: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Let an app use an add-on of another app, or under another name
    #[command(name = "addons:attach")]
    Attach {
        /// Name of the add-on
        #[arg(value_name = "ADDON")]
        addon: String,
        #[command(flatten)]
        app: AppArgs,
        /// Name of the attachment: CACHE makes CACHE_URL
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// The app's name, where an attachment of that name is replaced
        #[arg(long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Let an app no longer use an add-on
    #[command(name = "addons:detach")]
    Detach {
        /// Name of the attachment
        #[arg(value_name = "ATTACHMENT")]
        attachment: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Open the dashboard of an add-on
    #[command(name = "addons:open")]
    Open {
        /// Name of the add-on or attachment
        #[arg(value_name = "ADDON")]
        addon: String,
        #[command(flatten)]
        app: AppArgs,
        /// Show the address, and open nothing
        #[arg(long)]
        show_url: bool,
    },
    /// Show where the manual of a service, or of an add-on's service, is
    #[command(name = "addons:docs")]
    Docs {
        /// Name of the service or add-on
        #[arg(value_name = "ADDON")]
        addon: String,
        #[command(flatten)]
        app: AppArgs,
        /// Show the address, and open nothing
        #[arg(long)]
        show_url: bool,
    },
    /// Give an add-on another name
    #[command(name = "addons:rename")]
    Rename {
        /// Its present name
        #[arg(value_name = "ADDON")]
        addon: String,
        /// Its new name
        #[arg(value_name = "NAME")]
        name: String,
    },
    /// List the plans of a service
    #[command(name = "addons:plans")]
    Plans {
        /// Name of the service
        #[arg(value_name = "SERVICE")]
        service: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List the services
    #[command(name = "addons:services")]
    Services {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Move an add-on to another plan
    #[command(name = "addons:upgrade", visible_alias = "addons:downgrade")]
    Upgrade {
        /// Name of the add-on or of the service; SERVICE:PLAN says both
        #[arg(value_name = "ADDON")]
        addon: String,
        /// The plan: PLAN or SERVICE:PLAN
        #[arg(value_name = "PLAN")]
        plan: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Wait until an add-on, or all of an app, are ready
    #[command(name = "addons:wait")]
    Wait {
        /// Name of the add-on; all when left out
        #[arg(value_name = "ADDON")]
        addon: Option<String>,
        #[command(flatten)]
        app: AppArgs,
        /// Give up after so many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = PATIENCE.as_secs())]
        timeout: u64,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let settings = &context.settings;
        match self {
            Self::List { all: true, json, .. } => show::all(context.client()?, json).await,
            Self::List { app, json, .. } => {
                let (app, client) = context.app(&app)?;
                show::list(client, &app, json).await
            }
            Self::Create(arguments) => change::create(context, arguments).await,
            Self::Destroy { addons, app, confirm, force } => {
                let app = app.name_if_any(settings)?;
                change::destroy(context.client()?, app, addons, confirm.as_deref(), force).await
            }
            Self::Info { addon, app, json } => {
                let app = app.name_if_any(settings)?;
                let client = context.client()?;
                let addon = find(client, app, &addon).await?;
                show::info(client, addon, json).await
            }
            Self::Attach { addon, app, name, confirm } => {
                let (app, client) = context.app(&app)?;
                change::attach(client, &app, addon, name, confirm).await
            }
            Self::Detach { attachment, app } => {
                let (app, client) = context.app(&app)?;
                change::detach(client, &app, &attachment).await
            }
            Self::Open { addon, app, show_url } => {
                let app = app.name_if_any(settings)?;
                let addon = find(context.client()?, app, &addon).await?;
                let Some(url) = addon.web_url else {
                    let (name, service) = (&addon.name, &addon.addon_service.name);
                    return Err(Failure::new(format!("{name} has no dashboard: {service} is looked at from here."))
                        .hint(format!("`paas addons:info {name}` shows it."))
                        .into());
                };
                open(context, &url, show_url);
                Ok(())
            }
            Self::Docs { addon, app, show_url } => {
                let app = app.name_if_any(settings)?;
                let url = show::manual(context.client()?, app, &addon).await?;
                open(context, &url, show_url);
                Ok(())
            }
            Self::Rename { addon, name } => change::rename(context.client()?, addon, name).await,
            Self::Plans { service, json } => show::plans(context.client()?, &service, json).await,
            Self::Services { json } => show::services(context.client()?, json).await,
            Self::Upgrade { addon, plan, app } => {
                let app = app.name_if_any(settings)?;
                change::upgrade(context.client()?, app, &addon, plan).await
            }
            Self::Wait { addon: Some(addon), app, timeout } => {
                let app = app.name_if_any(settings)?;
                let client = context.client()?;
                let addon = find(client, app, &addon).await?;
                wait(client, addon, Duration::from_secs(timeout)).await.map(drop)
            }
            Self::Wait { addon: None, app, timeout } => {
                let (app, client) = context.app(&app)?;
                for addon in show::of_app(client, &app).await? {
                    wait(client, addon, Duration::from_secs(timeout)).await?;
                }
                Ok(())
            }
        }
    }
}

/// Shows an address and, unless that is all, opens it.
fn open(context: &Context, url: &str, only_show: bool) {
    crate::output::line(url);
    if !only_show {
        super::apps::browse(context, url);
    }
}

/// The one add-on that a name means: of an add-on, of an attachment of the app, or
/// `APP::ATTACHMENT`.
pub(super) async fn find(client: &Client, app: Option<String>, name: &str) -> anyhow::Result<Addon> {
    let body = AddonResolve { addon: name.to_owned(), app, addon_service: None };
    let found: Vec<Addon> = client.send_json(Method::POST, "/actions/addons/resolve", &body).await?;
    let names: Vec<String> = found.iter().map(|addon| addon.name.clone()).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(addon), None) => Ok(addon),
        (None, _) => Err(Failure::new(format!("There is no add-on called {name}."))
            .hint("`paas addons --all` lists those that you can use.")
            .into()),
        (Some(_), Some(_)) => Err(Failure::new(format!("{name} means several add-ons: {}.", names.join(", ")))
            .hint("Name the one that you mean.")
            .into()),
    }
}

/// Waits until an add-on is made, and says what goes on meanwhile.
async fn wait(client: &Client, mut addon: Addon, limit: Duration) -> anyhow::Result<Addon> {
    if addon.state != AddonState::Provisioning {
        return Ok(addon);
    }
    let mut action = Action::start(format!("Creating {}", addon.name));
    let path = crate::client::app_path(&addon.app.name, &format!("/addons/{}", addon.id));
    let end = Instant::now() + limit;
    while addon.state == AddonState::Provisioning {
        action.status(&addon.provision_message);
        if Instant::now() >= end {
            action.end("!");
            return Err(late(&addon, limit).into());
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        addon = client.get(&path).await?;
    }
    if addon.state == AddonState::Provisioned {
        action.done();
        return Ok(addon);
    }
    action.end("!");
    Err(Failure::new(format!("{} was destroyed before it was ready.", addon.name))
        .hint("`paas addons` lists what the app has.")
        .into())
}

fn late(addon: &Addon, limit: Duration) -> Failure {
    let why = match Some(&addon.provision_message).filter(|message| !message.is_empty()) {
        Some(message) => message.trim_end_matches('.'),
        None => "the server says no more",
    };
    let (name, app) = (&addon.name, &addon.app.name);
    Failure::new(format!("{name} is not ready after {} s: {why}.", limit.as_secs())).hint(format!(
        "The server goes on trying. On its machine `paasd doctor` tells what is wrong; \
         here `paas addons:info {name}` shows how it stands, and \
         `paas addons:destroy {name} --app {app}` gives it up."
    ))
}
