//! Apps: `apps`, `:create`, `:info`, `:rename`, `:destroy`, `:open`.

use clap::Subcommand;
use paas_wire::buildpack_installation::BuildpackInstallationUpdate;
use paas_wire::{
    Addon, AddonCreate, App, AppCreate, AppUpdate, BuildpackInstallationsUpdate, Collaborator, Dyno, Identity, TeamApp,
    TeamAppCreate,
};
use reqwest::Method;
use serde_json::{Value, json};

use super::{teams, transfers};
use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::progress::Action;
use crate::{confirm, git, output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List apps
    #[command(name = "apps", visible_alias = "apps:list", visible_alias = "list")]
    List {
        /// Those of your teams too; so it is anyway
        #[arg(short = 'A', long)]
        all: bool,
        /// Only those of no team that you own or work on
        #[arg(short, long, conflicts_with_all = ["all", "team"])]
        personal: bool,
        /// Only those of this team
        #[arg(short, long, value_name = "TEAM", conflicts_with = "all")]
        team: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Create an app
    #[command(name = "apps:create", visible_alias = "create")]
    Create(CreateArgs),
    /// Show an app
    #[command(name = "apps:info", visible_alias = "info")]
    Info {
        #[command(flatten)]
        app: AppArgs,
        /// As lines for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Give an app another name
    #[command(name = "apps:rename", visible_alias = "rename")]
    Rename {
        /// The new name
        #[arg(value_name = "NAME")]
        name: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Destroy an app with all that belongs to it
    #[command(name = "apps:destroy", visible_alias = "destroy", visible_alias = "apps:delete")]
    Destroy {
        #[command(flatten)]
        app: AppArgs,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Show an app's address and open it in a browser
    #[command(name = "apps:open", visible_alias = "open")]
    Open {
        /// Path in the app
        #[arg(value_name = "PATH")]
        path: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

#[derive(Debug, clap::Args)]
pub(crate) struct CreateArgs {
    /// Name of the app (one is made up if you leave it out)
    #[arg(value_name = "NAME")]
    name: Option<String>,
    /// Name of the app, as for other commands
    #[arg(short, long, value_name = "NAME", conflicts_with = "name")]
    app: Option<String>,
    /// Name of the git remote to make
    #[arg(short, long, value_name = "NAME", default_value = git::REMOTE)]
    remote: String,
    /// Make no git remote
    #[arg(short, long)]
    no_remote: bool,
    /// Stack to build and run on
    #[arg(short, long, value_name = "STACK")]
    stack: Option<String>,
    /// Region to run in
    #[arg(long, value_name = "REGION")]
    region: Option<String>,
    /// Buildpack to use (by name or URL)
    #[arg(short, long, value_name = "BUILDPACK")]
    buildpack: Option<String>,
    /// Add-ons to create, separated by commas
    #[arg(long, value_name = "ADDONS", value_delimiter = ',')]
    addons: Vec<String>,
    /// Team that the app belongs to
    #[arg(short, long, value_name = "TEAM")]
    team: Option<String>,
    /// Let members of the team not join the app by themselves
    #[arg(long, requires = "team")]
    locked: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { all: _, personal, team, json } => list(context, personal, team, json).await,
            Self::Create(arguments) => create(context, arguments).await,
            Self::Info { app, shell, json } => {
                let (app, client) = context.app(&app)?;
                info(client, &app, shell, json).await
            }
            Self::Rename { name, app } => {
                let (app, client) = context.app(&app)?;
                rename(context, client, &app, name).await
            }
            Self::Destroy { app, confirm } => {
                let (app, client) = context.app(&app)?;
                destroy(context, client, &app, confirm.as_deref()).await
            }
            Self::Open { path, app } => {
                let (app, client) = context.app(&app)?;
                open(context, client, &app, path.as_deref()).await
            }
        }
    }
}

async fn list(context: &Context, personal: bool, team: Option<String>, json: bool) -> anyhow::Result<()> {
    let client = context.client()?;
    let Some(team) = team else {
        let path = if personal { "/users/~/apps" } else { "/apps" };
        let mut apps: Vec<App> = client.list(path).await?;
        apps.sort_by(|a, b| a.name.cmp(&b.name));
        if json {
            return output::json(&apps);
        }
        if apps.is_empty() {
            output::line("You have no apps. Create one with `paas create`.");
            return Ok(());
        }
        table(apps.into_iter().map(|app| (app, None)).collect());
        return Ok(());
    };
    let mut apps: Vec<TeamApp> = client.list(&teams::path(&team, "/apps")).await?;
    apps.sort_by(|a, b| a.app.name.cmp(&b.app.name));
    if json {
        return output::json(&apps);
    }
    if apps.is_empty() {
        output::line(format_args!("There are no apps in team {team}."));
        return Ok(());
    }
    let of_team = |one: TeamApp| (one.locked, one.joined, one.app);
    table(
        apps.into_iter()
            .map(of_team)
            .map(|(locked, joined, app)| {
                let state = [(locked, "locked"), (joined, "joined")];
                let words: Vec<&str> = state.into_iter().filter_map(|(is, word)| is.then_some(word)).collect();
                (app, Some(words.join(", ")))
            })
            .collect(),
    );
    Ok(())
}

/// Apps, each with what there is to say of it besides.
fn table(apps: Vec<(App, Option<String>)>) {
    let rows = apps.into_iter().map(|(app, more)| {
        let paused = app.maintenance.then(|| "maintenance".to_owned());
        let state: Vec<String> = paused.into_iter().chain(more).filter(|word| !word.is_empty()).collect();
        let owner = transfers::owner(&app).to_owned();
        vec![app.name, owner, app.web_url.unwrap_or_default(), state.join(", ")]
    });
    output::table(&["Name", "Owner", "Address", ""], rows.collect());
}

async fn create(context: &Context, arguments: CreateArgs) -> anyhow::Result<()> {
    let client = context.client()?;
    let name = arguments.name.clone().or_else(|| arguments.app.clone());
    let action = Action::start(match &name {
        Some(name) => format!("Creating {}", output::app(name)),
        None => "Creating app".to_owned(),
    });
    let app = make(client, &arguments, name.clone()).await?;
    let stack = &app.build_stack.name;
    action.done_with(match name {
        Some(_) => format!("stack is {stack}"),
        None => format!("{}, stack is {stack}", output::app(&app.name)),
    });
    // The remote comes first: should an add-on fail, the app is at hand all the same.
    if !arguments.no_remote && git::in_repository() {
        connect(context, &arguments.remote, &app.name)?;
    }
    if let Some(buildpack) = arguments.buildpack {
        let action = Action::start(format!("Setting buildpack to {buildpack}"));
        let body = BuildpackInstallationsUpdate { updates: vec![BuildpackInstallationUpdate { buildpack }] };
        let path = app_path(&app.name, "/buildpack-installations");
        client.send_json::<_, Value>(Method::PUT, &path, &body).await?;
        action.done();
    }
    for plan in arguments.addons {
        let action = Action::start(format!("Adding {plan}"));
        let body = AddonCreate { plan: Identity(plan), name: None, attachment: None, config: None, confirm: None };
        let addon: Addon = client.send_json(Method::POST, &app_path(&app.name, "/addons"), &body).await?;
        action.done_with(addon.name);
    }
    if arguments.json {
        return output::json(&app);
    }
    let url = app.web_url.as_deref().unwrap_or_default();
    output::line(format_args!("{url} | {}", git::url(&context.settings, &app.name)));
    Ok(())
}

/// Asks for the app: one's own, or a team's.
async fn make(client: &Client, arguments: &CreateArgs, name: Option<String>) -> anyhow::Result<App> {
    let region = arguments.region.clone().map(Identity);
    let stack = arguments.stack.clone().map(Identity);
    if let Some(team) = &arguments.team {
        let team = Some(Identity(team.clone()));
        let locked = arguments.locked.then_some(true);
        let body = TeamAppCreate { locked, name, team, region, stack, ..TeamAppCreate::default() };
        let made: TeamApp = client.send_json(Method::POST, "/teams/apps", &body).await?;
        return Ok(made.app);
    }
    let body = AppCreate { name, region, stack, feature_flags: None };
    client.send_json(Method::POST, "/apps", &body).await
}

/// Makes the git remote of a new app, unless one of that name leads elsewhere.
fn connect(context: &Context, remote: &str, app: &str) -> anyhow::Result<()> {
    let url = git::url(&context.settings, app);
    match git::remotes().into_iter().find(|existing| existing.name == remote) {
        Some(existing) if existing.url != url => {
            output::complain(&format!(
                "The git remote {remote} leads to {} and stays as it is.\n\
                 To point it at the new app: paas git:remote --app {app}",
                existing.url
            ));
        }
        Some(_) => {}
        None => git::set_remote(remote, &url)?,
    }
    git::configure_host(&context.settings)
}

async fn info(client: &Client, name: &str, shell: bool, json: bool) -> anyhow::Result<()> {
    let app: App = client.get(&app_path(name, "")).await?;
    let addons: Vec<Addon> = client.list(&app_path(name, "/addons")).await?;
    let dynos: Vec<Dyno> = client.list(&app_path(name, "/dynos")).await?;
    let collaborators: Vec<Collaborator> = client.list(&app_path(name, "/collaborators")).await?;
    if json {
        return output::json(&json!({
            "app": app, "addons": addons, "dynos": dynos, "collaborators": collaborators,
        }));
    }
    let addons: Vec<String> = addons.into_iter().map(|addon| addon.plan.name).collect();
    let mut types: Vec<(String, usize)> = Vec::new();
    for dyno in dynos {
        match types.iter_mut().find(|(kind, _)| *kind == dyno.kind) {
            Some((_, count)) => *count += 1,
            None => types.push((dyno.kind, 1)),
        }
    }
    types.sort();
    let dynos: Vec<String> = types.iter().map(|(kind, count)| format!("{kind}: {count}")).collect();
    let others: Vec<String> = collaborators
        .into_iter()
        .map(|collaborator| collaborator.user.email)
        .filter(|email| *email != app.owner.email)
        .collect();
    let size = |bytes: Option<u64>| bytes.map(when::size).unwrap_or_default();
    if shell {
        // By Heroku's names, which scripts look for.
        for (name, value) in [
            ("auto_cert_mgmt", app.acm.to_string()),
            ("addons", addons.join(",")),
            ("collaborators", others.join(",")),
            ("git_url", app.git_url.clone()),
            ("web_url", app.web_url.unwrap_or_default()),
            ("repo_size", size(app.repo_size)),
            ("slug_size", size(app.slug_size)),
            ("owner", app.owner.email.clone()),
            ("region", app.region.name),
            ("dynos", dynos.join(", ")),
            ("stack", app.build_stack.name),
        ] {
            output::value(&format!("{name}={value}"));
        }
        return Ok(());
    }
    output::heading(&app.name);
    output::fields(&[
        ("Add-ons", addons.join("\n")),
        ("Collaborators", others.join("\n")),
        ("Created", when::local(app.created_at)),
        ("Dynos", dynos.join(", ")),
        ("Git URL", app.git_url.clone()),
        ("Maintenance", if app.maintenance { "on".to_owned() } else { String::new() }),
        ("Owner", transfers::owner(&app).to_owned()),
        ("Region", app.region.name),
        ("Released", app.released_at.map(when::local).unwrap_or_default()),
        ("Repo size", size(app.repo_size)),
        ("Slug size", size(app.slug_size)),
        ("Stack", app.build_stack.name),
        ("Web URL", app.web_url.unwrap_or_default()),
    ]);
    Ok(())
}

async fn rename(context: &Context, client: &Client, app: &str, name: String) -> anyhow::Result<()> {
    let action = Action::start(format!("Renaming {} to {name}", output::app(app)));
    let body = AppUpdate { name: Some(name), ..AppUpdate::default() };
    let renamed: App = client.send_json(Method::PATCH, &app_path(app, ""), &body).await?;
    action.done();
    let url = git::url(&context.settings, &renamed.name);
    for remote in git::remotes() {
        if git::app_of_url(&remote.url, &context.settings).as_deref() == Some(app) {
            git::set_remote(&remote.name, &url)?;
            output::note(format_args!("Git remote {} now leads to {url}", remote.name));
        }
    }
    output::line(format_args!("{} | {url}", renamed.web_url.unwrap_or_default()));
    Ok(())
}

async fn destroy(context: &Context, client: &Client, app: &str, confirm: Option<&str>) -> anyhow::Result<()> {
    // Asked for first, so that a wrong name is told before the question.
    let found: App = client.get(&app_path(app, "")).await?;
    let what = format!("This destroys the app {} with its add-ons and all their data.", found.name);
    confirm::destruction(&what, &found.name, confirm)?;
    let action = Action::start(format!("Destroying {} with its add-ons", output::app(&found.name)));
    client.delete(&app_path(&found.name, "")).await?;
    action.done();
    for remote in git::remotes() {
        if git::app_of_url(&remote.url, &context.settings).as_deref() == Some(&found.name) {
            git::remove_remote(&remote.name)?;
        }
    }
    Ok(())
}

async fn open(context: &Context, client: &Client, app: &str, path: Option<&str>) -> anyhow::Result<()> {
    let app: App = client.get(&app_path(app, "")).await?;
    let url = app.web_url.unwrap_or_default();
    let url = match path {
        Some(path) => format!("{}/{}", url.trim_end_matches('/'), path.trim_start_matches('/')),
        None => url,
    };
    output::line(&url);
    browse(context, &url);
    Ok(())
}

/// Opens an address in a browser, where there is a desktop for it.
pub(crate) fn browse(context: &Context, url: &str) {
    if context.settings.desktop {
        let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
        // Without an opener the address that was shown is all there is to give.
        let _ = std::process::Command::new(opener)
            .arg(url)
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
    }
}
