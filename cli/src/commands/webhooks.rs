//! Webhooks: `webhooks`, `:add`, `:info`, `:update`, `:remove`, `:deliveries`, `:events`.

use clap::{Subcommand, ValueEnum};
use paas_wire::webhook::WebhookLevel;
use paas_wire::{Range, Webhook, WebhookCreate, WebhookDelivery, WebhookEvent, WebhookUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::progress::Action;
use crate::{output, when};

/// Most deliveries shown.
const MOST: u32 = 1000;

/// Where the server tells the secret.
const SECRET: &str = "heroku-webhook-secret";

/// How hard it is tried.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Level {
    /// Once
    Notify,
    /// Until it succeeds: 10 times in 70 hours at most
    Sync,
}

impl From<Level> for WebhookLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Notify => Self::Notify,
            Level::Sync => Self::Sync,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the webhooks of an app
    #[command(name = "webhooks")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Have an address told of what happens to an app
    #[command(name = "webhooks:add")]
    Add {
        #[command(flatten)]
        app: AppArgs,
        /// What to tell of, with commas between: api:release, api:dyno, api:build, api:formation, api:app, api:addon, api:addon-attachment, api:collaborator, api:domain, api:sni-endpoint
        #[arg(long, short, value_delimiter = ',', required = true)]
        include: Vec<String>,
        /// How hard it is tried
        #[arg(long, short)]
        level: Level,
        /// Where to
        #[arg(long, short)]
        url: String,
        /// What requests are signed with, in their header Heroku-Webhook-Hmac-SHA256; made by the server when left out
        #[arg(long, short)]
        secret: Option<String>,
        /// The Authorization header of requests
        #[arg(long, short = 't')]
        authorization: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a webhook
    #[command(name = "webhooks:info")]
    Info {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Change a webhook; what is not named stays
    #[command(name = "webhooks:update")]
    Update {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        app: AppArgs,
        /// What to tell of, with commas between
        #[arg(long, short, value_delimiter = ',')]
        include: Option<Vec<String>>,
        /// How hard it is tried
        #[arg(long, short)]
        level: Option<Level>,
        /// Where to
        #[arg(long, short)]
        url: Option<String>,
        /// What requests are signed with
        #[arg(long, short)]
        secret: Option<String>,
        /// The Authorization header of requests; empty for none
        #[arg(long, short = 't')]
        authorization: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a webhook
    #[command(name = "webhooks:remove")]
    Remove {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// List what was sent, and what became of it
    #[command(name = "webhooks:deliveries")]
    Deliveries {
        #[command(flatten)]
        app: AppArgs,
        /// Only those with this status: pending, retrying, succeeded, failed
        #[arg(long, short)]
        status: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what was sent, and its last attempt
    #[command(name = "webhooks:deliveries:info")]
    Delivery {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// List what webhooks were told of
    #[command(name = "webhooks:events")]
    Events {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what webhooks were told
    #[command(name = "webhooks:events:info")]
    Event {
        /// Its id
        #[arg(value_name = "ID")]
        id: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, json).await
            }
            Self::Add { app, include, level, url, secret, authorization, json } => {
                let (app, client) = context.app(&app)?;
                let body = WebhookCreate { authorization, include, level: level.into(), secret, url };
                add(client, &app, &body, json).await
            }
            Self::Info { id, app, json } => {
                let (app, client) = context.app(&app)?;
                info(&client.get(&path(&app, "webhooks", &id)).await?, json)
            }
            Self::Update { id, app, include, level, url, secret, authorization, json } => {
                let (app, client) = context.app(&app)?;
                let body = WebhookUpdate {
                    authorization: authorization.map(|value| Some(value).filter(|value| !value.is_empty())),
                    include,
                    level: level.map(Into::into),
                    secret: secret.map(Some),
                    url,
                };
                let action = Action::start(format!("Updating webhook {id} of {}", output::app(&app)));
                let webhook: Webhook = client.send_json(Method::PATCH, &path(&app, "webhooks", &id), &body).await?;
                action.done();
                info(&webhook, json)
            }
            Self::Remove { id, app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Removing webhook {id} from {}", output::app(&app)));
                client.delete(&path(&app, "webhooks", &id)).await?;
                action.done();
                Ok(())
            }
            Self::Deliveries { app, status, json } => {
                let (app, client) = context.app(&app)?;
                deliveries(client, &app, status.as_deref(), json).await
            }
            Self::Delivery { id, app, json } => {
                let (app, client) = context.app(&app)?;
                delivery(client, &app, &id, json).await
            }
            Self::Events { app, json } => {
                let (app, client) = context.app(&app)?;
                events(client, &app, json).await
            }
            Self::Event { id, app, json } => {
                let (app, client) = context.app(&app)?;
                let event: WebhookEvent = client.get(&path(&app, "webhook-events", &id)).await?;
                if json {
                    return output::json(&event);
                }
                output::heading(event.id);
                output::json(&event.payload)
            }
        }
    }
}

fn path(app: &str, kind: &str, id: &str) -> String {
    app_path(app, &format!("/{kind}/{}", segment(id)))
}

async fn list(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let webhooks: Vec<Webhook> = client.list(&app_path(app, "/webhooks")).await?;
    if json {
        return output::json(&webhooks);
    }
    if webhooks.is_empty() {
        output::line(format_args!("{} has no webhooks. Add one with: paas webhooks:add", output::app(app)));
        return Ok(());
    }
    let row = |webhook: Webhook| {
        vec![webhook.id.to_string(), webhook.url, webhook.include.join(","), webhook.level.as_str().to_owned()]
    };
    output::table(&["Webhook ID", "URL", "Include", "Level"], webhooks.into_iter().map(row).collect());
    Ok(())
}

async fn add(client: &Client, app: &str, body: &WebhookCreate, json: bool) -> anyhow::Result<()> {
    let action = Action::start(format!("Adding webhook to {}", output::app(app)));
    let path = app_path(app, "/webhooks");
    let sent = client.send_json_for_header(Method::POST, &path, body, SECRET);
    let (webhook, secret): (Webhook, Option<String>) = sent.await?;
    action.done();
    if json {
        output::json(&webhook)?;
        if let Some(secret) = secret {
            output::note(format_args!("The webhook's signing secret, shown this once: {secret}"));
        }
        return Ok(());
    }
    info(&webhook, false)?;
    if let Some(secret) = secret {
        output::line("");
        output::heading("Webhook's signing secret, shown this once");
        output::line(secret);
    }
    Ok(())
}

fn info(webhook: &Webhook, json: bool) -> anyhow::Result<()> {
    if json {
        return output::json(webhook);
    }
    output::heading(webhook.id);
    output::fields(&[
        ("Include", webhook.include.join(",")),
        ("Level", webhook.level.as_str().to_owned()),
        ("URL", webhook.url.clone()),
        ("Added", when::local(webhook.created_at)),
    ]);
    Ok(())
}

async fn deliveries(client: &Client, app: &str, status: Option<&str>, json: bool) -> anyhow::Result<()> {
    let filter = status.map(|status| format!("?eq[status]={}", segment(status))).unwrap_or_default();
    let range = Range::parse(&format!("seq ..; order=desc, max={MOST}"));
    let path = app_path(app, &format!("/webhook-deliveries{filter}"));
    let mut deliveries: Vec<WebhookDelivery> = client.page(&path, &range).await?;
    deliveries.reverse();
    if json {
        return output::json(&deliveries);
    }
    if deliveries.is_empty() {
        output::line(format_args!("{} has no deliveries.", output::app(app)));
        return Ok(());
    }
    if deliveries.len() == MOST as usize {
        output::note(format_args!("Only the {MOST} newest are shown; --status STATUS shows others."));
    }
    let row = |one: WebhookDelivery| {
        let (code, error) = one.last_attempt.map_or((None, None), |last| (last.code, last.error_class));
        vec![
            one.id.to_string(),
            when::local(one.created_at),
            one.status,
            one.event.include,
            one.webhook.level.as_str().to_owned(),
            one.num_attempts.to_string(),
            code.map(|code| code.to_string()).unwrap_or_default(),
            error.unwrap_or_default(),
            one.next_attempt_at.map(when::local).unwrap_or_default(),
        ]
    };
    output::table(
        &["Delivery ID", "Created", "Status", "Include", "Level", "Attempts", "Code", "Error", "Next attempt"],
        deliveries.into_iter().map(row).collect(),
    );
    Ok(())
}

async fn delivery(client: &Client, app: &str, id: &str, json: bool) -> anyhow::Result<()> {
    let delivery: WebhookDelivery = client.get(&path(app, "webhook-deliveries", id)).await?;
    if json {
        return output::json(&delivery);
    }
    let event: WebhookEvent = client.get(&path(app, "webhook-events", &delivery.event.id.to_string())).await?;
    let last = delivery.last_attempt.as_ref();
    output::heading(delivery.id);
    output::fields(&[
        ("Created", when::local(delivery.created_at)),
        ("Event", delivery.event.id.to_string()),
        ("Webhook", delivery.webhook.id.to_string()),
        ("Status", delivery.status.clone()),
        ("Include", delivery.event.include.clone()),
        ("Level", delivery.webhook.level.as_str().to_owned()),
        ("Attempts", delivery.num_attempts.to_string()),
        ("Code", last.and_then(|last| last.code).map(|code| code.to_string()).unwrap_or_default()),
        ("Error", last.and_then(|last| last.error_class.clone()).unwrap_or_default()),
        ("Next attempt", delivery.next_attempt_at.map(when::local).unwrap_or_default()),
    ]);
    output::line("");
    output::heading("Event payload");
    output::json(&event.payload)
}

async fn events(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let events: Vec<WebhookEvent> = client.list(&app_path(app, "/webhook-events")).await?;
    if json {
        return output::json(&events);
    }
    if events.is_empty() {
        output::line(format_args!("{} has no webhook events.", output::app(app)));
        return Ok(());
    }
    let row = |event: WebhookEvent| {
        vec![event.id.to_string(), event.payload.resource, event.payload.action, when::local(event.created_at)]
    };
    output::table(&["Event ID", "Resource", "Action", "Happened"], events.into_iter().map(row).collect());
    Ok(())
}
