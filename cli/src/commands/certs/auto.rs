//! `certs:auto`: certificates that are got automatically.

use std::time::Duration;

use clap::Subcommand;
use paas_wire::domain::DomainKind;
use paas_wire::{App, Domain};
use reqwest::Method;
use serde_json::json;

use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{confirm, output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show how far automatic certificates are
    #[command(name = "certs:auto")]
    Show {
        #[command(flatten)]
        app: AppArgs,
        /// Wait until every domain has one
        #[arg(long)]
        wait: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Have certificates got automatically
    #[command(name = "certs:auto:enable")]
    Enable {
        #[command(flatten)]
        app: AppArgs,
        /// Wait until every domain has one
        #[arg(long)]
        wait: bool,
    },
    /// Have no certificates got automatically any more
    #[command(name = "certs:auto:disable")]
    Disable {
        #[command(flatten)]
        app: AppArgs,
        /// The app's name, to go on without being asked
        #[arg(long, short)]
        confirm: Option<String>,
    },
    /// Try again to get certificates
    #[command(name = "certs:auto:refresh")]
    Refresh {
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Show { app, wait: waits, json } => {
                let (app, client) = context.app(&app)?;
                if waits {
                    wait(client, &app).await?;
                }
                show(client, &app, json).await
            }
            Self::Enable { app, wait: waits } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Enabling automatic certificates of {}", output::app(&app)));
                let _: App = client.send_json(Method::POST, &acm(&app), &json!({})).await?;
                action.done();
                if waits { wait(client, &app).await } else { show(client, &app, false).await }
            }
            Self::Disable { app, confirm } => {
                let (app, client) = context.app(&app)?;
                let what =
                    format!("Domains of {app} without a certificate of their own will have the server's own only.");
                confirm::destruction(&what, &app, confirm.as_deref())?;
                let action = Action::start(format!("Disabling automatic certificates of {}", output::app(&app)));
                client.delete(&acm(&app)).await?;
                action.done();
                Ok(())
            }
            Self::Refresh { app } => {
                let (app, client) = context.app(&app)?;
                let action = Action::start(format!("Refreshing automatic certificates of {}", output::app(&app)));
                let _: App = client.send_json(Method::PATCH, &acm(&app), &json!({"acm_refresh": true})).await?;
                action.done();
                Ok(())
            }
        }
    }
}

fn acm(app: &str) -> String {
    app_path(app, "/acm")
}

async fn custom(client: &Client, app: &str) -> anyhow::Result<Vec<Domain>> {
    let mut domains: Vec<Domain> = client.list(&app_path(app, "/domains")).await?;
    domains.retain(|domain| domain.kind == DomainKind::Custom);
    Ok(domains)
}

async fn show(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let enabled: App = client.get(&app_path(app, "")).await?;
    let domains = custom(client, app).await?;
    if json {
        return output::json(&json!({"acm": enabled.acm, "domains": domains}));
    }
    let word = if enabled.acm { "enabled" } else { "disabled" };
    output::heading(format_args!("Automatic certificates are {word} on {}", output::app(app)));
    if !enabled.acm {
        return Ok(());
    }
    if domains.is_empty() {
        output::line("The app has no domain of its own yet. Add one with: paas domains:add DOMAIN");
        return Ok(());
    }
    let mut reasons: Vec<String> = domains.iter().filter_map(|domain| domain.acm_status_reason.clone()).collect();
    reasons.dedup();
    let row = |domain: Domain| {
        let own = domain.sni_endpoint.map(|endpoint| format!("has {}", endpoint.name));
        let status = domain.acm_status.or(own).unwrap_or_else(|| "waiting".to_owned());
        vec![domain.hostname, status, when::ago(domain.updated_at)]
    };
    output::table(&["Domain", "Status", "Last updated"], domains.into_iter().map(row).collect());
    for reason in reasons {
        output::line("");
        output::line(reason);
    }
    Ok(())
}

/// Waits until every domain has a certificate; says so when none will come by waiting.
async fn wait(client: &Client, app: &str) -> anyhow::Result<()> {
    let action = Action::start(format!("Waiting for the certificates of {}", output::app(app)));
    loop {
        let domains = custom(client, app).await?;
        let done =
            |domain: &Domain| domain.sni_endpoint.is_some() || domain.acm_status.as_deref() == Some("cert issued");
        if domains.iter().all(done) {
            action.done();
            return Ok(());
        }
        let stuck = domains.iter().find(|domain| !done(domain) && domain.acm_status_reason.is_some());
        if let Some(domain) = stuck {
            action.end("!");
            let reason = domain.acm_status_reason.clone().unwrap_or_default();
            return Err(Failure::new(format!("{} has no certificate yet.", domain.hostname)).hint(reason).into());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
