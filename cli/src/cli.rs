//! All commands in one list. The name of a command is its noun and its verb (`ps:scale`); the
//! noun is the topic that `paas help` lists it under.

use clap::{Parser, Subcommand};

use crate::commands::{
    absent, access, account, addons, apps, authorizations, buildpacks, builds, certs, ci, ci_config, clients, config,
    container, diff, domains, drains, dynos, features, git, heroku, inside, keys, local, logs, maintenance, members,
    pipelines, redis, regions, registry, releases, reviewapps, router, routing, run, scale, sessions, setups, socks,
    stack, status, teams, telemetry, transfers, webhooks,
};
use crate::complete::Shell;
use crate::context::Context;
use crate::failure::Exit;
use crate::{complete, help, output};

#[derive(Debug, Parser)]
#[command(
    name = "paas",
    version,
    about = "Your own platform: git push, and it runs",
    disable_help_subcommand = true,
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    #[command(flatten)]
    Absent(absent::Command),
    #[command(flatten)]
    Access(access::Command),
    #[command(flatten)]
    Account(account::Command),
    #[command(flatten)]
    Addons(addons::Command),
    #[command(flatten)]
    Apps(apps::Command),
    #[command(flatten)]
    Authorizations(authorizations::Command),
    #[command(flatten)]
    Buildpacks(buildpacks::Command),
    #[command(flatten)]
    Builds(builds::Command),
    #[command(flatten)]
    Certs(certs::Command),
    #[command(flatten)]
    Ci(ci::Command),
    #[command(flatten)]
    Clients(clients::Command),
    #[command(flatten)]
    CiConfig(ci_config::Command),
    #[command(flatten)]
    Config(config::Command),
    #[command(flatten)]
    Container(container::Command),
    /// Show in what two apps differ
    #[command(name = "apps:diff")]
    Diff(diff::DiffArgs),
    #[command(flatten)]
    Domains(domains::Command),
    #[command(flatten)]
    Drains(drains::Command),
    #[command(flatten)]
    Dynos(dynos::Command),
    #[command(flatten)]
    Features(features::Command),
    #[command(flatten)]
    Git(git::Command),
    #[command(flatten)]
    Inside(inside::Command),
    #[command(flatten)]
    Keys(keys::Command),
    /// Show what the app and the platform said
    #[command(name = "logs")]
    Logs(logs::LogsArgs),
    #[command(flatten)]
    Maintenance(maintenance::Command),
    #[command(flatten)]
    Pipelines(pipelines::Command),
    #[command(flatten)]
    Members(members::Command),
    #[command(flatten)]
    Redis(redis::Command),
    /// List where apps can run
    #[command(name = "regions")]
    Regions(regions::RegionsArgs),
    #[command(flatten)]
    Registry(registry::Command),
    #[command(flatten)]
    Releases(releases::Command),
    #[command(flatten)]
    Reviewapps(reviewapps::Command),
    /// Show how the router is, and how apps fare with it: requests, times, failures, dynos
    #[command(name = "router:status", visible_alias = "router")]
    RouterStatus(router::StatusArgs),
    #[command(flatten)]
    Routing(routing::Command),
    #[command(flatten)]
    Run(run::Command),
    #[command(flatten)]
    Scale(scale::Command),
    /// Make an app from a source with an app.json
    #[command(name = "apps:setup")]
    Setup(setups::SetupArgs),
    #[command(flatten)]
    Sessions(sessions::Command),
    /// Start a SOCKS proxy by which programs of this machine reach what a dyno reaches
    #[command(name = "ps:socks")]
    Socks(socks::SocksArgs),
    #[command(flatten)]
    Stack(stack::Command),
    /// Show how the platform is
    #[command(name = "status")]
    Status(status::StatusArgs),
    #[command(flatten)]
    Teams(teams::Command),
    #[command(flatten)]
    Transfers(transfers::Command),
    #[command(flatten)]
    Telemetry(telemetry::Command),
    #[command(flatten)]
    Webhooks(webhooks::Command),
    #[command(flatten)]
    Here(Here),
}

/// Commands that need no server, or have a runtime to themselves.
#[derive(Debug, Subcommand)]
pub(crate) enum Here {
    /// Start the app on this machine: every line of the Procfile, with .env
    #[command(name = "local", visible_alias = "local:start")]
    Local(local::LocalArgs),
    /// Run one command, or one process type, on this machine with .env
    #[command(name = "local:run")]
    LocalRun(local::LocalRunArgs),
    /// Check the Procfile
    #[command(name = "local:check")]
    LocalCheck(local::LocalCheckArgs),
    /// Run Heroku's own command line with this server
    #[command(name = "heroku")]
    Heroku(heroku::HerokuArgs),
    /// Show the topics, or what belongs to a topic or command
    #[command(name = "help")]
    Help {
        /// Topic or command
        #[arg(value_name = "TOPIC")]
        topic: Option<String>,
    },
    /// Print what makes a shell complete paas's commands
    #[command(name = "completions", visible_alias = "autocomplete")]
    Completions {
        /// The shell; yours when left out
        #[arg(value_enum, value_name = "SHELL")]
        shell: Option<Shell>,
    },
    /// Show the version
    #[command(name = "version")]
    Version,
    /// Write the table of docs/cli.md
    #[command(name = "docs:table", hide = true)]
    DocsTable,
}

impl Here {
    /// Runs a command. Not async: `paas local` hears Ctrl-C itself and has a runtime to itself.
    pub(crate) fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Help { topic } => help::show(topic.as_deref()),
            Self::Completions { shell } => complete::print(shell),
            Self::Version => {
                output::line(concat!("paas ", env!("CARGO_PKG_VERSION")));
                Ok(())
            }
            Self::DocsTable => {
                output::raw(help::markdown().as_bytes());
                Ok(())
            }
            Self::Local(arguments) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(local::start(arguments)).and_then(ended)
            }
            Self::Heroku(arguments) => arguments.run().and_then(ended),
            Self::LocalRun(arguments) => local::run(arguments).and_then(ended),
            Self::LocalCheck(arguments) => local::check(&arguments).and_then(ended),
        }
    }
}

impl Command {
    /// Runs a command.
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Absent(command) => command.run(),
            Self::Access(command) => command.run(context).await,
            Self::Account(command) => command.run(context).await,
            Self::Addons(command) => command.run(context).await,
            Self::Apps(command) => command.run(context).await,
            Self::Authorizations(command) => command.run(context).await,
            Self::Buildpacks(command) => command.run(context).await,
            Self::Builds(command) => command.run(context).await,
            Self::Certs(command) => command.run(context).await,
            Self::Ci(command) => command.run(context).await,
            Self::Clients(command) => command.run(context).await,
            Self::CiConfig(command) => command.run(context).await,
            Self::Config(command) => command.run(context).await,
            Self::Container(command) => command.run(),
            Self::Diff(arguments) => arguments.run(context).await,
            Self::Domains(command) => command.run(context).await,
            Self::Drains(command) => command.run(context).await,
            Self::Dynos(command) => command.run(context).await,
            Self::Features(command) => command.run(context).await,
            Self::Git(command) => command.run(context).await,
            Self::Inside(command) => command.run(context).await,
            Self::Keys(command) => command.run(context).await,
            Self::Logs(arguments) => arguments.run(context).await,
            Self::Maintenance(command) => command.run(context).await,
            Self::Pipelines(command) => command.run(context).await,
            Self::Members(command) => command.run(context).await,
            Self::Redis(command) => command.run(context).await,
            Self::Regions(arguments) => arguments.run(context).await,
            Self::Registry(command) => command.run(context).await,
            Self::Releases(command) => command.run(context).await,
            Self::Reviewapps(command) => command.run(context).await,
            Self::RouterStatus(arguments) => arguments.run(context).await,
            Self::Routing(command) => command.run(context).await,
            Self::Run(command) => command.run(context).await,
            Self::Scale(command) => command.run(context).await,
            Self::Setup(arguments) => arguments.run(context).await,
            Self::Sessions(command) => command.run(context).await,
            Self::Socks(arguments) => arguments.run(context).await,
            Self::Stack(command) => command.run(context).await,
            Self::Status(arguments) => arguments.run(context).await,
            Self::Teams(command) => command.run(context).await,
            Self::Transfers(command) => command.run(context).await,
            Self::Telemetry(command) => command.run(context).await,
            Self::Webhooks(command) => command.run(context).await,
            Self::Here(command) => command.run(),
        }
    }
}

/// The exit code of a program that was run here.
fn ended(code: i32) -> anyhow::Result<()> {
    if code == 0 { Ok(()) } else { Err(Exit(code).into()) }
}
