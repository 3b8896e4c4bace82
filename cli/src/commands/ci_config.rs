//! Config vars of a pipeline's test runs: `ci:config`, `:get`, `:set`, `:unset`.

use clap::{Args, Subcommand};
use paas_wire::{ConfigVars, ConfigVarsUpdate};
use reqwest::Method;

use super::config::{parse_vars, quote};
use super::pipelines;
use crate::app::AppArgs;
use crate::client::Client;
use crate::context::Context;
use crate::failure::Exit;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the config vars of a pipeline's test runs
    #[command(name = "ci:config")]
    List {
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// As lines for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one config var of a pipeline's test runs
    #[command(name = "ci:config:get")]
    Get {
        /// Name of the var
        #[arg(value_name = "KEY")]
        key: String,
        #[command(flatten)]
        pipeline: PipelineArgs,
        /// As a line for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Set config vars of a pipeline's test runs
    #[command(name = "ci:config:set")]
    Set {
        /// What to set
        #[arg(value_name = "KEY=VALUE", required = true)]
        vars: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
    /// Take config vars of a pipeline's test runs away
    #[command(name = "ci:config:unset")]
    Unset {
        /// Names of the vars
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        pipeline: PipelineArgs,
    },
}

/// The options that name a pipeline.
#[derive(Args, Clone, Debug)]
pub(crate) struct PipelineArgs {
    /// Pipeline, by name or id; that of the app when left out
    #[arg(short, long, value_name = "PIPELINE")]
    pipeline: Option<String>,
    #[command(flatten)]
    app: AppArgs,
}

impl PipelineArgs {
    /// Id and name of the pipeline, and the client to work on it with.
    pub(crate) async fn find<'c>(&self, context: &'c Context) -> anyhow::Result<(String, String, &'c Client)> {
        if let Some(name) = &self.pipeline {
            let client = context.client()?;
            let pipeline = pipelines::find(client, name).await?;
            return Ok((pipeline.id.to_string(), pipeline.name, client));
        }
        let (app, client) = context.app(&self.app)?;
        let pipeline = pipelines::coupling(client, &app).await?.pipeline;
        Ok((pipeline.id.to_string(), pipeline.name, client))
    }
}

fn path(pipeline: &str) -> String {
    pipelines::path(pipeline, "/stage/test/config-vars")
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { pipeline, shell, json } => {
                let (id, name, client) = pipeline.find(context).await?;
                let vars: ConfigVars = client.get(&path(&id)).await?;
                if json {
                    return output::json(&vars);
                }
                if shell {
                    for (key, value) in &vars {
                        output::value(&format!("{key}={}", quote(value)));
                    }
                    return Ok(());
                }
                output::heading(format_args!("{name} test config vars"));
                output::pairs(&vars.iter().map(|(key, value)| (key.as_str(), value.clone())).collect::<Vec<_>>());
                Ok(())
            }
            Self::Get { key, pipeline, shell, json } => {
                let (id, _, client) = pipeline.find(context).await?;
                let vars: ConfigVars = client.get(&path(&id)).await?;
                let Some(value) = vars.get(&key) else { return Err(Exit(1).into()) };
                if json {
                    output::json(&ConfigVars::from([(key.clone(), value.clone())]))?;
                } else if shell {
                    output::value(&format!("{key}={}", quote(value)));
                } else {
                    output::value(value);
                }
                Ok(())
            }
            Self::Set { vars, pipeline } => {
                let vars = parse_vars(&vars)?;
                let (id, name, client) = pipeline.find(context).await?;
                let keys: Vec<&str> = vars.iter().map(|(key, _)| key.as_str()).collect();
                let action = Action::start(format!("Setting {} for tests of {name}", keys.join(", ")));
                let update: ConfigVarsUpdate =
                    vars.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
                let now: ConfigVars = client.send_json(Method::PATCH, &path(&id), &update).await?;
                action.done();
                let set = vars.iter().map(|(key, _)| (key.as_str(), now.get(key).cloned().unwrap_or_default()));
                output::pairs(&set.collect::<Vec<_>>());
                Ok(())
            }
            Self::Unset { keys, pipeline } => {
                let (id, name, client) = pipeline.find(context).await?;
                let action = Action::start(format!("Unsetting {} for tests of {name}", keys.join(", ")));
                let update: ConfigVarsUpdate = keys.into_iter().map(|key| (key, None)).collect();
                client.send_json::<_, ConfigVars>(Method::PATCH, &path(&id), &update).await?;
                action.done();
                Ok(())
            }
        }
    }
}
