//! Redis: this file has which one is meant, and those commands that look or connect;
//! [`change`] has those that change something.

mod change;

use std::time::Duration;

use clap::{Args, Subcommand};
use paas_wire::redis::{RedisCli, RedisCliCreate, RedisInfo, RedisMessage, RedisWait};
use paas_wire::{Addon, AddonAttachment};
use reqwest::Method;

use super::addons;
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
    /// Set after how many idle seconds a client is cut off
    #[command(name = "redis:timeout")]
    Timeout {
        #[command(flatten)]
        target: Target,
        /// Seconds; 0: never
        #[arg(short, long, value_name = "SECONDS")]
        seconds: u64,
    },
    /// Choose which events of keys are published
    #[command(name = "redis:keyspace-notifications")]
    KeyspaceNotifications {
        #[command(flatten)]
        target: Target,
        /// Letters of the classes of events, such as AKE; '' for none
        #[arg(short, long, value_name = "CONFIG")]
        config: String,
    },
    /// Set the counters that Redis keeps about itself back to zero
    #[command(name = "redis:stats-reset")]
    StatsReset {
        #[command(flatten)]
        target: Target,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Move a Redis to another version
    #[command(name = "redis:upgrade")]
    Upgrade {
        #[command(flatten)]
        target: Target,
        /// The version, such as 7
        #[arg(short, long, value_name = "VERSION")]
        version: String,
        /// The app's name, in place of the question
        #[arg(short, long, value_name = "APP")]
        confirm: Option<String>,
    },
    /// Make a Redis the one that the app knows as REDIS_URL
    #[command(name = "redis:promote")]
    Promote {
        #[command(flatten)]
        target: Target,
        /// Another name: CACHE makes it CACHE_URL
        #[arg(long = "as", value_name = "NAME", default_value = "REDIS")]
        name: String,
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

/// A Redis that an app uses.
struct Found {
    id: String,
    name: String,
    /// The config vars by which this app has it.
    vars: Vec<String>,
    /// What else it goes by: its attachments to this app.
    attachments: Vec<String>,
}

impl Found {
    fn new(id: impl ToString, name: String) -> Self {
        Self { id: id.to_string(), name, vars: Vec::new(), attachments: Vec::new() }
    }

    fn is_meant(&self, wanted: &str) -> bool {
        let same = |name: &String| name.eq_ignore_ascii_case(wanted);
        same(&self.name) || self.attachments.iter().any(same) || self.vars.iter().any(same)
    }

    /// `redis-calm-1 (REDIS_URL, CACHE_URL)`
    fn title(&self) -> String {
        if self.vars.is_empty() { self.name.clone() } else { format!("{} ({})", self.name, self.vars.join(", ")) }
    }

    fn path(&self, rest: &str) -> String {
        format!("/redis/v0/databases/{}{rest}", segment(&self.name))
    }
}

impl Target {
    /// What is meant.
    async fn matching(&self, client: &Client, app: &str) -> anyhow::Result<Vec<Found>> {
        let mut found = all(client, app).await?;
        match &self.database {
            // The attachment of any app; the server knows them.
            Some(name) if name.contains("::") => {
                let addon = addons::find(client, Some(app.to_owned()), name).await?;
                found.retain(|found| found.name == addon.name);
                if found.is_empty() && is_redis(&addon.addon_service.name) {
                    found.push(Found { vars: addon.config_vars, ..Found::new(addon.id, addon.name) });
                }
            }
            Some(name) => found.retain(|found| found.is_meant(name)),
            None => {}
        }
        Ok(found)
    }

    /// The one that is meant.
    async fn one(&self, client: &Client, app: &str) -> anyhow::Result<Found> {
        let found = self.matching(client, app).await?;
        let names: Vec<String> = found.iter().map(Found::title).collect();
        let mut found = found.into_iter();
        match (found.next(), found.next(), &self.database) {
            (Some(found), None, _) => Ok(found),
            (None, _, Some(name)) if !all(client, app).await?.is_empty() => {
                Err(Failure::new(format!("{app} has no Redis called {name}."))
                    .hint(format!("`paas redis:info --app {app}` shows what it has."))
                    .into())
            }
            (None, ..) => Err(Failure::new(format!("{app} has no Redis."))
                .hint(format!("Create one with `paas addons:create redis --app {app}`."))
                .into()),
            (Some(_), Some(_), _) => Err(Failure::new(format!("{app} has several Redis: {}.", names.join(", ")))
                .hint("Name the one that you mean, by its name or config var.")
                .into()),
        }
    }
}

/// Every Redis that an app has or is attached to.
async fn all(client: &Client, app: &str) -> anyhow::Result<Vec<Found>> {
    let own: Vec<Addon> = client.list(&app_path(app, "/addons")).await?;
    let attachments: Vec<AddonAttachment> = client.list(&app_path(app, "/addon-attachments")).await?;
    let own = own.into_iter().filter(|addon| is_redis(&addon.addon_service.name));
    let mut found: Vec<Found> = own.map(|addon| Found::new(addon.id, addon.name)).collect();
    for attachment in attachments {
        let addon = attachment.addon;
        let id = addon.id.to_string();
        let known = found.iter().position(|found| found.id == id);
        if known.is_none() && !addon.plan.is_some_and(|plan| is_redis(&plan.name)) {
            continue;
        }
        let at = known.unwrap_or(found.len());
        if known.is_none() {
            found.push(Found::new(id, addon.name));
        }
        found[at].vars.extend(attachment.config_vars);
        found[at].attachments.push(attachment.name);
    }
    Ok(found)
}

/// Whether a service, or the service of a plan, is one: all names that it is sold by say so.
fn is_redis(name: &str) -> bool {
    name.split(':').next().is_some_and(|service| service.contains("redis"))
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
                let found = target.one(client, &app).await?;
                cli(client, &found, arguments).await
            }
            Self::Maxmemory { target, policy } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::maxmemory(client, &found, policy).await
            }
            Self::Timeout { target, seconds } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::timeout(client, &found, seconds).await
            }
            Self::KeyspaceNotifications { target, config } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::keyspace_notifications(client, &found, config).await
            }
            Self::StatsReset { target, confirm } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::stats_reset(client, &app, &found, confirm.as_deref()).await
            }
            Self::Upgrade { target, version, confirm } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::upgrade(client, &app, &found, version, confirm.as_deref()).await
            }
            Self::Promote { target, name } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                change::promote(client, &app, &found, name).await
            }
            Self::Credentials { target, reset } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                credentials(client, &found, reset).await
            }
            Self::Wait { target, wait_interval } => {
                let (app, client) = context.app(&target.app)?;
                let found = target.one(client, &app).await?;
                wait(client, &found, Duration::from_secs(wait_interval)).await
            }
        }
    }
}

async fn info(client: &Client, app: &str, target: &Target, json: bool) -> anyhow::Result<()> {
    let all = target.matching(client, app).await?;
    if all.is_empty() {
        target.one(client, app).await?;
    }
    let mut infos = Vec::new();
    for found in &all {
        infos.push(client.get::<RedisInfo>(&found.path("")).await?);
    }
    if json {
        return output::json(&infos);
    }
    for (found, info) in all.iter().zip(infos) {
        output::heading(found.title());
        let rows: Vec<(&str, String)> =
            info.info.iter().map(|row| (row.name.as_str(), row.values.join("\n"))).collect();
        output::fields(&rows);
        output::line("");
    }
    Ok(())
}

async fn cli(client: &Client, found: &Found, args: Vec<String>) -> anyhow::Result<()> {
    let tty = stream::has_terminal();
    let size = if tty { stream::terminal_size() } else { None };
    if tty {
        output::note(format_args!("Connecting to {}", found.title()));
    }
    let body = RedisCliCreate {
        force_no_tty: Some(!tty),
        columns: size.map(|(columns, _)| columns),
        lines: size.map(|(_, lines)| lines),
        args,
    };
    let session: RedisCli = client.send_json(Method::POST, &found.path("/cli"), &body).await?;
    match stream::attach(client, &session.attach_url, tty).await? {
        0 => Ok(()),
        code => Err(Exit(code).into()),
    }
}

async fn credentials(client: &Client, found: &Found, reset: bool) -> anyhow::Result<()> {
    if reset {
        let action = Action::start(format!("Resetting the password of {}", found.name));
        let path = found.path("/credentials_rotation");
        let answer: Option<RedisMessage> = client.send_empty(Method::POST, &path).await?;
        action.done();
        if let Some(answer) = answer {
            output::line(answer.message);
        }
        return Ok(());
    }
    let info: RedisInfo = client.get(&found.path("")).await?;
    output::line(info.resource_url);
    Ok(())
}

async fn wait(client: &Client, found: &Found, interval: Duration) -> anyhow::Result<()> {
    let mut action = Action::start(format!("Waiting for {}", found.name));
    loop {
        let now: RedisWait = client.get(&found.path("/wait")).await?;
        if !now.waiting {
            action.end(now.message);
            return Ok(());
        }
        action.status(&now.message);
        tokio::time::sleep(interval).await;
    }
}
