//! `apps:setup`: an app from a source with an app.json.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use paas_wire::app_setup::{AppSetupCreate, SetupApp, SetupBuildpack, SetupOverrides, SetupStatus};
use paas_wire::{AppSetup, SourceBlob};
use reqwest::Method;

use super::builds::{upload, upload_head};
use super::config::parse_vars;
use crate::client::Client;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::{output, stream};

/// Between two looks at a setup.
const LOOK: Duration = Duration::from_secs(1);

/// The options of `apps:setup`.
#[derive(Args, Debug)]
pub(crate) struct SetupArgs {
    /// Name of the app; one is made up when left out
    #[arg(value_name = "APP")]
    name: Option<String>,
    /// A gzipped tar with an app.json, by address or file; the present commit when left out
    #[arg(long, value_name = "ARCHIVE")]
    source: Option<String>,
    /// A config var, before that of app.json; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// A buildpack in place of those of app.json; may be repeated
    #[arg(short, long, value_name = "BUILDPACK")]
    buildpack: Vec<String>,
    /// Stack that it is built and run on
    #[arg(short, long, value_name = "STACK")]
    stack: Option<String>,
    /// Don't wait for its end
    #[arg(long)]
    no_wait: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl SetupArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        let (url, version) = match &self.source {
            Some(url) if url.contains("://") => (url.clone(), None),
            Some(file) => {
                let file = PathBuf::from(file);
                let archive = std::fs::read(&file).with_context(|| format!("{} can't be read", file.display()))?;
                (upload(client, archive).await?, None)
            }
            None => {
                let (url, commit) = upload_head(client).await?;
                (url, Some(commit))
            }
        };
        let packs = self.buildpack.into_iter().map(|url| SetupBuildpack { url }).collect();
        let body = AppSetupCreate {
            source_blob: SourceBlob { url, version, ..SourceBlob::default() },
            app: Some(SetupApp { name: self.name, stack: self.stack.map(Into::into), ..SetupApp::default() }),
            overrides: Some(SetupOverrides {
                buildpacks: Some(packs).filter(|packs: &Vec<_>| !packs.is_empty()),
                env: Some(parse_vars(&self.env)?.into_iter().collect()),
            }),
        };
        let action = Action::start("Creating the app");
        let setup: AppSetup = client.send_json(Method::POST, "/app-setups", &body).await?;
        action.done_with(output::app(&setup.app.name));
        let setup = if self.no_wait { setup } else { follow(client, setup, self.json).await? };
        if self.json {
            output::json(&setup)?;
        }
        match setup.status {
            SetupStatus::Pending => Ok(()),
            SetupStatus::Succeeded => {
                if let (Some(url), false) = (&setup.resolved_success_url, self.json) {
                    output::line(url);
                }
                Ok(())
            }
            SetupStatus::Failed => {
                for error in &setup.manifest_errors {
                    output::complain(error);
                }
                let why = setup.failure_message.unwrap_or_else(|| "The setup failed.".to_owned());
                if self.json { Err(Exit(1).into()) } else { Err(Failure::new(why).into()) }
            }
        }
    }
}

/// Shows what is built and run until the setup has ended.
async fn follow(client: &Client, setup: AppSetup, quiet: bool) -> anyhow::Result<AppSetup> {
    let path = format!("/app-setups/{}", setup.id);
    let mut now = setup;
    let mut shown = false;
    loop {
        if let (Some(build), false, false) = (&now.build, shown, quiet) {
            shown = true;
            if let Some(stream) = client.text(&build.output_stream_url).await? {
                stream::show(stream).await?;
            }
        }
        if now.status != SetupStatus::Pending {
            break;
        }
        tokio::time::sleep(LOOK).await;
        now = client.get(&path).await?;
    }
    if let (Some(script), false) = (&now.postdeploy, quiet) {
        output::heading("postdeploy");
        output::raw(script.output.as_bytes());
    }
    Ok(now)
}
