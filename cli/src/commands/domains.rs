//! Domains: `domains`, `:add`, `:remove`, `:clear`, `:info`, `:update`, `:wait`.

use std::time::Duration;

use clap::Subcommand;
use paas_wire::domain::DomainKind;
use paas_wire::{Domain, DomainCreate, DomainUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::progress::Action;
use crate::{output, when};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the domains of an app
    #[command(name = "domains")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As CSV
        #[arg(short, long, conflicts_with = "json")]
        csv: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a domain
    #[command(name = "domains:add")]
    Add {
        /// Host name, such as www.example.com or *.example.com
        #[arg(value_name = "DOMAIN")]
        domain: String,
        #[command(flatten)]
        app: AppArgs,
        /// Name of the certificate that it is served with
        #[arg(long, short)]
        cert: Option<String>,
        /// Wait until it is ready
        #[arg(long)]
        wait: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Serve a domain with another certificate
    #[command(name = "domains:update")]
    Update {
        /// Host name
        #[arg(value_name = "DOMAIN")]
        domain: String,
        #[command(flatten)]
        app: AppArgs,
        /// Name of the certificate; the server's own when left out
        #[arg(long)]
        cert: Option<String>,
    },
    /// Remove a domain
    #[command(name = "domains:remove")]
    Remove {
        /// Host name
        #[arg(value_name = "DOMAIN")]
        domain: String,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Remove all domains that were added
    #[command(name = "domains:clear")]
    Clear {
        #[command(flatten)]
        app: AppArgs,
    },
    /// Show a domain
    #[command(name = "domains:info")]
    Info {
        /// Host name
        #[arg(value_name = "DOMAIN")]
        domain: String,
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Wait until a domain, or all of them, are ready
    #[command(name = "domains:wait")]
    Wait {
        /// Host name; all when left out
        #[arg(value_name = "DOMAIN")]
        domain: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, csv, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, csv, json).await
            }
            Self::Add { domain, app, cert, wait: waits, json } => {
                let (app, client) = context.app(&app)?;
                let body = DomainCreate { hostname: domain, sni_endpoint: cert };
                add(client, &app, body, waits, json).await
            }
            Self::Update { domain, app, cert } => {
                let (app, client) = context.app(&app)?;
                let with = cert.as_deref().unwrap_or("the server's own certificate");
                let action = Action::start(format!("Serving {domain} with {with}"));
                let body = DomainUpdate { sni_endpoint: Some(cert) };
                let _: Domain = client.send_json(Method::PATCH, &path(&app, &domain), &body).await?;
                action.done();
                Ok(())
            }
            Self::Remove { domain, app } => {
                let (app, client) = context.app(&app)?;
                remove(client, &app, &domain).await
            }
            Self::Clear { app } => {
                let (app, client) = context.app(&app)?;
                let mut domains = domains(client, &app).await?;
                domains.retain(|domain| domain.kind == DomainKind::Custom);
                if domains.is_empty() {
                    output::note(format_args!("{} has no domains of its own.", output::app(&app)));
                }
                for domain in domains {
                    remove(client, &app, &domain.hostname).await?;
                }
                Ok(())
            }
            Self::Info { domain, app, json } => {
                let (app, client) = context.app(&app)?;
                info(client, &app, &domain, json).await
            }
            Self::Wait { domain, app } => {
                let (app, client) = context.app(&app)?;
                let wanted = match domain {
                    Some(domain) => vec![domain],
                    None => domains(client, &app)
                        .await?
                        .into_iter()
                        .filter(|domain| domain.kind == DomainKind::Custom)
                        .map(|domain| domain.hostname)
                        .collect(),
                };
                for domain in wanted {
                    wait(client, &app, &domain).await?;
                }
                Ok(())
            }
        }
    }
}

fn path(app: &str, domain: &str) -> String {
    app_path(app, &format!("/domains/{}", segment(domain)))
}

async fn domains(client: &Client, app: &str) -> anyhow::Result<Vec<Domain>> {
    client.list(&app_path(app, "/domains")).await
}

async fn list(client: &Client, app: &str, csv: bool, json: bool) -> anyhow::Result<()> {
    let domains = domains(client, app).await?;
    if json {
        return output::json(&domains);
    }
    if csv {
        output::line("Domain,DNS target,Status");
        for domain in domains {
            output::line(format_args!("{},{},{}", domain.hostname, domain.cname.unwrap_or_default(), domain.status));
        }
        return Ok(());
    }
    let (own, custom): (Vec<Domain>, Vec<Domain>) =
        domains.into_iter().partition(|domain| domain.kind == DomainKind::Heroku);
    output::heading(format_args!("{app} Domain"));
    for domain in own {
        output::line(domain.hostname);
    }
    if custom.is_empty() {
        return Ok(());
    }
    output::line("");
    output::heading(format_args!("{app} Custom Domains"));
    let rows = custom.into_iter().map(|domain| vec![domain.hostname, domain.cname.unwrap_or_default(), domain.status]);
    output::table(&["Domain", "DNS target", "Status"], rows.collect());
    Ok(())
}

async fn add(client: &Client, app: &str, body: DomainCreate, waits: bool, json: bool) -> anyhow::Result<()> {
    let action = Action::start(format!("Adding {} to {}", body.hostname, output::app(app)));
    let domain: Domain = client.send_json(Method::POST, &app_path(app, "/domains"), &body).await?;
    action.done();
    if json {
        output::json(&domain)?;
    } else if let Some(cname) = &domain.cname {
        output::line(format_args!(
            "Point the DNS record of {} at {cname} (a CNAME record, or ALIAS/A for a bare domain).",
            domain.hostname
        ));
    }
    if waits { wait(client, app, &domain.hostname).await } else { Ok(()) }
}

async fn remove(client: &Client, app: &str, domain: &str) -> anyhow::Result<()> {
    let action = Action::start(format!("Removing {domain} from {}", output::app(app)));
    client.delete(&path(app, domain)).await?;
    action.done();
    Ok(())
}

async fn info(client: &Client, app: &str, domain: &str, json: bool) -> anyhow::Result<()> {
    let domain: Domain = client.get(&path(app, domain)).await?;
    if json {
        return output::json(&domain);
    }
    output::heading(&domain.hostname);
    let certificate = domain.sni_endpoint.map(|endpoint| endpoint.name).unwrap_or_default();
    output::fields(&[
        ("Certificate", certificate),
        ("Certificate status", domain.acm_status.unwrap_or_default()),
        ("Added", when::local(domain.created_at)),
        ("DNS target", domain.cname.unwrap_or_default()),
        ("Status", domain.status),
    ]);
    Ok(())
}

async fn wait(client: &Client, app: &str, domain: &str) -> anyhow::Result<()> {
    let action = Action::start(format!("Waiting for {domain}"));
    loop {
        let now: Domain = client.get(&path(app, domain)).await?;
        if now.status != "pending" {
            action.end(now.status);
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
