//! Redis: `redis:info`, `:cli`, `:maxmemory`, `:credentials`, `:wait`.

use std::time::Duration;

use clap::{Args, Subcommand};
use paas_wire::Addon;
use paas_wire::redis::{RedisCli, RedisCliCreate, RedisConfig, RedisConfigUpdate, RedisInfo, RedisMessage, RedisWait};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::{output, stream};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the Redis of an app
    #[command(name = "redis:info", visible_alias = "redis")]
    Info {
        #[command(flatten)]
        target: Target,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Open redis-cli on the Redis of an app
    #[command(name = "redis:cli")]
    Cli {
        #[command(flatten)]
        target: Target,
        /// Arguments for redis-cli, after "--"
        #[arg(last = true, value_name = "ARGUMENT")]
        arguments: Vec<String>,
    },
    /// Choose what happens when the memory is used up
    #[command(name = "redis:maxmemory")]
    Maxmemory {
        #[command(flatten)]
        target: Target,
        /// The policy, such as noeviction or allkeys-lru
        #[arg(short, long, value_name = "POLICY")]
        policy: String,
    },
    /// Show the URL, or make a new password
    #[command(name = "redis:credentials")]
    Credentials {
        #[command(flatten)]
        target: Target,
        /// Make a new password and restart the apps that use it
        #[arg(long)]
        reset: bool,
    },
    /// Wait until the Redis of an app is ready
    #[command(name = "redis:wait")]
    Wait {
        #[command(flatten)]
        target: Target,
        /// Seconds between questions
        #[arg(long, value_name = "SECONDS", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
        wait_interval: u64,
    },
}

/// Which Redis.
#[derive(Args, Debug)]
pub(crate) struct Target {
    /// Add-on or config var; may be left out when there is only one
    #[arg(value_name = "DATABASE")]
    database: Option<String>,
    #[command(flatten)]
    app: AppArgs,
}

impl Target {
    /// The add-ons that are meant.
    async fn matching(&self, client: &Client, app: &str) -> anyhow::Result<Vec<Addon>> {
        let addons: Vec<Addon> = client.list(&app_path(app, "/addons")).await?;
        let wanted = self.database.as_ref().map(|name| name.to_uppercase());
        Ok(addons
            .into_iter()
            .filter(|addon| is_redis(&addon.addon_service.name))
            .filter(|addon| wanted.as_ref().is_none_or(|wanted| is_meant(addon, wanted)))
            .collect())
    }

    /// The one add-on that is meant.
    async fn one(&self, client: &Client, app: &str) -> anyhow::Result<Addon> {
        let found = self.matching(client, app).await?;
        let names: Vec<String> = found.iter().map(|addon| addon.name.clone()).collect();
        let mut found = found.into_iter();
        match (found.next(), found.next()) {
            (Some(addon), None) => Ok(addon),
            (None, _) => {
                let which = self.database.as_ref().map(|name| format!(" called {name}"));
                Err(Failure::new(format!("{app} has no Redis{}.", which.unwrap_or_default()))
                    .hint(format!("Create one with `paas addons:create redis --app {app}`."))
                    .into())
            }
            (Some(_), Some(_)) => Err(Failure::new(format!("{app} has several Redis: {}.", names.join(", ")))
                .hint("Name the one that you mean.")
                .into()),
        }
    }
}

fn is_redis(service: &str) -> bool {
    service == "redis" || service.starts_with("heroku-redis") || service.starts_with("redistogo")
}

fn is_meant(addon: &Addon, wanted: &str) -> bool {
    addon.name.to_uppercase() == wanted
        || addon.config_vars.iter().any(|var| *var == wanted || *var == format!("{wanted}_URL"))
}

fn path(addon: &Addon, rest: &str) -> String {
    format!("/redis/v0/databases/{}{rest}", segment(&addon.name))
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Info { target, json } => {
                let (app, client) = context.app(&target.app)?;
                info(client, &app, &target, json).await
            }
            Self::Cli { target, arguments } => {
                let (app, client) = context.app(&target.app)?;
                let addon = target.one(client, &app).await?;
                cli(client, &addon, arguments).await
            }
            Self::Maxmemory { target, policy } => {
                let (app, client) = context.app(&target.app)?;
                let addon = target.one(client, &app).await?;
                maxmemory(client, &addon, policy).await
            }
            Self::Credentials { target, reset } => {
                let (app, client) = context.app(&target.app)?;
                let addon = target.one(client, &app).await?;
                credentials(client, &addon, reset).await
            }
            Self::Wait { target, wait_interval } => {
                let (app, client) = context.app(&target.app)?;
                let addon = target.one(client, &app).await?;
                wait(client, &addon, Duration::from_secs(wait_interval)).await
            }
        }
    }
}

async fn info(client: &Client, app: &str, target: &Target, json: bool) -> anyhow::Result<()> {
    let addons = target.matching(client, app).await?;
    if addons.is_empty() {
        target.one(client, app).await?;
    }
    let mut infos = Vec::new();
    for addon in &addons {
        infos.push(client.get::<RedisInfo>(&path(addon, "")).await?);
    }
    if json {
        return output::json(&infos);
    }
    for (addon, info) in addons.iter().zip(infos) {
        output::heading(format_args!("{} ({})", addon.name, addon.config_vars.join(", ")));
        let rows: Vec<(&str, String)> =
            info.info.iter().map(|row| (row.name.as_str(), row.values.join("\n"))).collect();
        output::fields(&rows);
        output::line("");
    }
    Ok(())
}

async fn cli(client: &Client, addon: &Addon, args: Vec<String>) -> anyhow::Result<()> {
    let tty = stream::has_terminal();
    let size = if tty { stream::terminal_size() } else { None };
    if tty {
        output::note(format_args!("Connecting to {} ({})", addon.name, addon.config_vars.join(", ")));
    }
    let body = RedisCliCreate {
        force_no_tty: Some(!tty),
        columns: size.map(|(columns, _)| columns),
        lines: size.map(|(_, lines)| lines),
        args,
    };
    let session: RedisCli = client.send_json(Method::POST, &path(addon, "/cli"), &body).await?;
    match stream::attach(client, &session.attach_url, tty).await? {
        0 => Ok(()),
        code => Err(Exit(code).into()),
    }
}

async fn maxmemory(client: &Client, addon: &Addon, policy: String) -> anyhow::Result<()> {
    let action = Action::start(format!("Setting the policy of {} to {policy}", addon.name));
    let body = RedisConfigUpdate { maxmemory_policy: Some(policy), ..RedisConfigUpdate::default() };
    let config: RedisConfig = client.send_json(Method::PATCH, &path(addon, "/config"), &body).await?;
    action.done();
    let setting = config.maxmemory_policy;
    let value = setting.value.as_str().unwrap_or_default();
    let meaning = setting.values.get(value).map(String::as_str).unwrap_or_default();
    output::line(format_args!("{value}: {meaning}"));
    Ok(())
}

async fn credentials(client: &Client, addon: &Addon, reset: bool) -> anyhow::Result<()> {
    if reset {
        let action = Action::start(format!("Resetting the password of {}", addon.name));
        let path = path(addon, "/credentials_rotation");
        let answer: Option<RedisMessage> = client.send_empty(Method::POST, &path).await?;
        action.done();
        if let Some(answer) = answer {
            output::line(answer.message);
        }
        return Ok(());
    }
    let info: RedisInfo = client.get(&path(addon, "")).await?;
    output::line(info.resource_url);
    Ok(())
}

async fn wait(client: &Client, addon: &Addon, interval: Duration) -> anyhow::Result<()> {
    let action = Action::start(format!("Waiting for {}", addon.name));
    loop {
        let now: RedisWait = client.get(&path(addon, "/wait")).await?;
        if !now.waiting {
            action.end(now.message);
            return Ok(());
        }
        action.status(&now.message);
        tokio::time::sleep(interval).await;
    }
}
