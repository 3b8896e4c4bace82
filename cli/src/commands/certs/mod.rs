//! Certificates: `certs`, `:add`, `:info`, `:update`, `:remove`, `:generate` ([`generate`]) and
//! `certs:auto` ([`auto`]).

mod auto;
mod generate;

use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::domain::{DomainKind, DomainUpdate};
use paas_wire::{Domain, SniEndpoint, SniEndpointCreate, SniEndpointUpdate};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::Failure;
use crate::progress::Action;
use crate::{confirm, output, when};

/// Which certificate of an app; its only one when nothing is said.
#[derive(Debug, clap::Args)]
pub(crate) struct Which {
    /// Name of the certificate
    #[arg(long, conflicts_with = "endpoint")]
    name: Option<String>,
    /// A domain that is served with it
    #[arg(long, value_name = "DOMAIN")]
    endpoint: Option<String>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the certificates of an app
    #[command(name = "certs")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add a certificate and serve domains with it
    #[command(name = "certs:add")]
    Add {
        /// File of the certificate and what it is signed by, PEM
        #[arg(value_name = "CRT")]
        cert: PathBuf,
        /// File of its key, PEM
        #[arg(value_name = "KEY")]
        key: PathBuf,
        #[command(flatten)]
        app: AppArgs,
        /// Serve this domain of the app with it; may be repeated. Asks when left out
        #[arg(long, short)]
        domain: Vec<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a certificate
    #[command(name = "certs:info")]
    Info {
        #[command(flatten)]
        app: AppArgs,
        #[command(flatten)]
        which: Which,
        /// Show the domains that are served with it, too
        #[arg(long)]
        show_domains: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Put another certificate in the place of one
    #[command(name = "certs:update")]
    Update {
        /// File of the certificate and what it is signed by, PEM
        #[arg(value_name = "CRT")]
        cert: PathBuf,
        /// File of its key, PEM
        #[arg(value_name = "KEY")]
        key: PathBuf,
        #[command(flatten)]
        app: AppArgs,
        #[command(flatten)]
        which: Which,
        /// The app's name, to go on without being asked
        #[arg(long, short)]
        confirm: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Remove a certificate
    #[command(name = "certs:remove")]
    Remove {
        #[command(flatten)]
        app: AppArgs,
        #[command(flatten)]
        which: Which,
        /// The app's name, to go on without being asked
        #[arg(long, short)]
        confirm: Option<String>,
    },
    /// Make a key, and a signing request or a certificate that signs itself
    #[command(name = "certs:generate")]
    Generate(generate::Arguments),
    #[command(flatten)]
    Auto(auto::Command),
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, json).await
            }
            Self::Add { cert, key, app, domain, json } => {
                let (app, client) = context.app(&app)?;
                add(client, &app, (&cert, &key), domain, json).await
            }
            Self::Info { app, which, show_domains, json } => {
                let (app, client) = context.app(&app)?;
                let endpoint = find(client, &app, &which).await?;
                if json {
                    return output::json(&endpoint);
                }
                details(&endpoint);
                if show_domains {
                    output::line("");
                    output::heading("Domains");
                    for domain in domains(client, &app).await? {
                        if endpoint.domains.contains(&domain.id) {
                            output::line(domain.hostname);
                        }
                    }
                }
                Ok(())
            }
            Self::Update { cert, key, app, which, confirm, json } => {
                let (app, client) = context.app(&app)?;
                let endpoint = find(client, &app, &which).await?;
                let body = SniEndpointUpdate { certificate_chain: read(&cert)?, private_key: read(&key)? };
                let what = format!("Visitors of {app} will get another certificate in the place of {}.", endpoint.name);
                confirm::destruction(&what, &app, confirm.as_deref())?;
                let action = Action::start(format!("Updating certificate {} of {}", endpoint.name, output::app(&app)));
                let changed: SniEndpoint = client.send_json(Method::PATCH, &path(&app, &endpoint.name), &body).await?;
                action.done();
                if json {
                    return output::json(&changed);
                }
                details(&changed);
                Ok(())
            }
            Self::Remove { app, which, confirm } => {
                let (app, client) = context.app(&app)?;
                let endpoint = find(client, &app, &which).await?;
                let what = format!(
                    "The certificate {} of {app} and its key will be removed; its domains will be served with the server's own.",
                    endpoint.name
                );
                confirm::destruction(&what, &app, confirm.as_deref())?;
                let action =
                    Action::start(format!("Removing certificate {} from {}", endpoint.name, output::app(&app)));
                client.delete(&path(&app, &endpoint.name)).await?;
                action.done();
                Ok(())
            }
            Self::Generate(arguments) => arguments.run(context).await,
            Self::Auto(command) => command.run(context).await,
        }
    }
}

fn path(app: &str, name: &str) -> String {
    app_path(app, &format!("/sni-endpoints/{}", segment(name)))
}

fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("{} can't be read", path.display()))
}

async fn endpoints(client: &Client, app: &str) -> anyhow::Result<Vec<SniEndpoint>> {
    client.list(&app_path(app, "/sni-endpoints")).await
}

async fn domains(client: &Client, app: &str) -> anyhow::Result<Vec<Domain>> {
    client.list(&app_path(app, "/domains")).await
}

async fn find(client: &Client, app: &str, which: &Which) -> anyhow::Result<SniEndpoint> {
    let mut all = endpoints(client, app).await?;
    if all.is_empty() {
        return Err(Failure::new(format!("{app} has no certificates."))
            .hint("Add one with: paas certs:add CRT KEY")
            .into());
    }
    let names: Vec<String> = all.iter().map(|endpoint| endpoint.name.clone()).collect();
    if let Some(name) = &which.name {
        all.retain(|endpoint| endpoint.name == *name || endpoint.id.to_string() == *name);
    }
    if let Some(hostname) = &which.endpoint {
        let served: Vec<_> = domains(client, app).await?;
        let served = served.into_iter().find(|domain| domain.hostname == *hostname);
        let served = served.and_then(|domain| domain.sni_endpoint).map(|endpoint| endpoint.id);
        all.retain(|endpoint| Some(endpoint.id) == served);
    }
    match (all.len(), all.pop()) {
        (1, Some(endpoint)) => Ok(endpoint),
        (0, _) => Err(Failure::new(format!("{app} has no such certificate."))
            .hint(format!("It has: {}.", names.join(", ")))
            .into()),
        (_, _) => Err(Failure::usage(format!("{app} has more than one certificate: say which with --name."))
            .hint(format!("It has: {}.", names.join(", ")))
            .into()),
    }
}

async fn list(client: &Client, app: &str, json: bool) -> anyhow::Result<()> {
    let endpoints = endpoints(client, app).await?;
    if json {
        return output::json(&endpoints);
    }
    if endpoints.is_empty() {
        output::line(format_args!("{} has no certificates. Add one with: paas certs:add CRT KEY", output::app(app)));
        return Ok(());
    }
    let row = |endpoint: SniEndpoint| {
        vec![
            endpoint.name,
            endpoint.ssl_cert.cert_domains.join(", "),
            when::local(endpoint.ssl_cert.expires_at),
            trust(endpoint.ssl_cert.ca_signed).to_owned(),
            if endpoint.ssl_cert.acm { "automatic" } else { "yours" }.to_owned(),
            endpoint.domains.len().to_string(),
        ]
    };
    let rows = endpoints.into_iter().map(row).collect();
    output::table(&["Name", "Common names", "Expires", "Trusted", "Managed", "Domains"], rows);
    Ok(())
}

fn trust(ca_signed: bool) -> &'static str {
    if ca_signed { "yes" } else { "no" }
}

fn details(endpoint: &SniEndpoint) {
    let cert = &endpoint.ssl_cert;
    output::heading(&endpoint.name);
    let signed = match (cert.self_signed, cert.ca_signed) {
        (true, _) => "by itself: visitors are warned",
        (false, true) => "by an authority that this server trusts",
        (false, false) => "by somebody whom this server does not know",
    };
    let managed = if cert.acm { "automatically: got and renewed by the server" } else { "by you" };
    output::fields(&[
        ("Common names", cert.cert_domains.join(", ")),
        ("Expires at", when::local(cert.expires_at)),
        ("Issuer", cert.issuer.clone()),
        ("Starts at", when::local(cert.starts_at)),
        ("Subject", cert.subject.clone()),
        ("Signed", signed.to_owned()),
        ("Managed", managed.to_owned()),
        ("SHA-256", cert.fingerprint.clone().unwrap_or_default()),
    ]);
}

/// Whether a certificate for `name` is good for `host`.
fn covers(name: &str, host: &str) -> bool {
    let parent = host.split_once('.').map(|(_, parent)| parent);
    name == host || name.strip_prefix("*.").is_some_and(|suffix| Some(suffix) == parent)
}

async fn add(
    client: &Client,
    app: &str,
    (cert, key): (&Path, &Path),
    wanted: Vec<String>,
    json: bool,
) -> anyhow::Result<()> {
    let body = SniEndpointCreate { certificate_chain: read(cert)?, private_key: read(key)?, name: None };
    let action = Action::start(format!("Adding certificate to {}", output::app(app)));
    let made: SniEndpoint = client.send_json(Method::POST, &app_path(app, "/sni-endpoints"), &body).await?;
    action.done();
    if json {
        output::json(&made)?;
    } else {
        details(&made);
    }
    let wanted = if wanted.is_empty() { choose(client, app, &made).await? } else { wanted };
    for hostname in wanted {
        serve(client, app, &hostname, &made.name).await?;
    }
    Ok(())
}

/// Serves a domain with a certificate.
async fn serve(client: &Client, app: &str, hostname: &str, name: &str) -> anyhow::Result<()> {
    let action = Action::start(format!("Serving {hostname} with {name}"));
    let path = app_path(app, &format!("/domains/{}", segment(hostname)));
    let _: Domain =
        client.send_json(Method::PATCH, &path, &DomainUpdate { sni_endpoint: Some(Some(name.to_owned())) }).await?;
    action.done();
    Ok(())
}

/// The app's domains that the user wants served with a new certificate.
async fn choose(client: &Client, app: &str, made: &SniEndpoint) -> anyhow::Result<Vec<String>> {
    let fits = |domain: &Domain| made.ssl_cert.cert_domains.iter().any(|name| covers(name, &domain.hostname));
    let fitting: Vec<String> = domains(client, app)
        .await?
        .into_iter()
        .filter(|domain| domain.kind == DomainKind::Custom && fits(domain))
        .map(|domain| domain.hostname)
        .collect();
    if fitting.is_empty() {
        output::note("None of the app's domains is one of this certificate's yet. Add one with: paas domains:add");
        return Ok(Vec::new());
    }
    if std::io::stdin().is_terminal() {
        return Ok(inquire::MultiSelect::new("Which domains are to be served with it?", fitting).prompt()?);
    }
    for hostname in fitting {
        output::note(format_args!("Serve {hostname} with it by: paas domains:update {hostname} --cert {}", made.name));
    }
    Ok(Vec::new())
}
