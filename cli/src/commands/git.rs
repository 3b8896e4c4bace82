//! `git:remote`, `git:clone`, and the credential helper that git calls.

use clap::Subcommand;
use paas_wire::App;

use crate::app::AppArgs;
use crate::client::app_path;
use crate::context::Context;
use crate::{git, input, output};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect this git repository with an app
    #[command(name = "git:remote")]
    Remote {
        /// Name of the app
        #[arg(short, long, value_name = "APP")]
        app: Option<String>,
        /// Name of the git remote to make or change
        #[arg(short, long, value_name = "REMOTE", default_value = git::REMOTE)]
        remote: String,
    },
    /// Clone an app's repository
    #[command(name = "git:clone")]
    Clone {
        /// Folder to clone into
        #[arg(value_name = "FOLDER")]
        folder: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
    /// Hand git the token (git calls this itself)
    #[command(name = "git:credentials", hide = true)]
    Credentials {
        /// What git wants: get, store or erase
        operation: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let settings = &context.settings;
        match self {
            Self::Remote { app, remote } => {
                let wanted = match (app, &settings.app) {
                    (Some(app), _) => app,
                    (None, Some(app)) => app.clone(),
                    (None, None) => AppArgs::default().name(settings)?,
                };
                let app: App = context.client()?.get(&app_path(&wanted, "")).await?;
                let url = git::url(settings, &app.name);
                git::set_remote(&remote, &url)?;
                git::configure_host(settings)?;
                output::line(format_args!("Git remote {remote} now leads to {url}"));
                Ok(())
            }
            Self::Clone { folder, app } => {
                let (app, client) = context.app(&app)?;
                let app: App = client.get(&app_path(&app, "")).await?;
                let url = git::url(settings, &app.name);
                // `clone --config` writes the settings into the new repository.
                let config: Vec<String> = git::host_config(settings)
                    .into_iter()
                    .map(|(key, value)| format!("--config={key}={value}"))
                    .collect();
                let mut arguments = vec!["clone", "--origin", git::REMOTE];
                arguments.extend(config.iter().map(String::as_str));
                arguments.push(&url);
                arguments.push(folder.as_deref().unwrap_or(&app.name));
                git::run(&arguments)
            }
            Self::Credentials { operation } => credentials(context, &operation).await,
        }
    }
}

/// Speaks git's credential protocol: `key=value` lines in, user name and password out.
async fn credentials(context: &Context, operation: &str) -> anyhow::Result<()> {
    let asked = input::text().await?;
    let host = asked.lines().find_map(|line| line.strip_prefix("host="));
    let Some(host) = host.filter(|_| operation == "get") else { return Ok(()) };
    if let Some(token) = context.token_of(host)? {
        output::line(format_args!("username=paas\npassword={token}"));
    }
    Ok(())
}
