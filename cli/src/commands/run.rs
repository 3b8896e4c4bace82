//! One-off dynos: `run`, `run:detached`.

use std::collections::BTreeMap;

use anyhow::Context as _;
use clap::{Args, Subcommand};
use paas_wire::{Dyno, DynoCreate};
use reqwest::Method;

use super::config::quote;
use crate::app::AppArgs;
use crate::client::app_path;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::progress::Action;
use crate::settings::Settings;
use crate::{output, stream};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a one-off dyno, connected with this terminal
    #[command(name = "run")]
    Attached {
        #[command(flatten)]
        options: Options,
        /// Connect pipes instead of the terminal
        #[arg(long)]
        no_tty: bool,
        /// End with the command's exit code (always so here; for habit's sake)
        #[arg(short = 'x', long)]
        exit_code: bool,
    },
    /// Run the app's console in a one-off dyno
    #[command(name = "console")]
    Console {
        /// Arguments for it
        #[arg(value_name = "ARGUMENT", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// Size of the dyno
        #[arg(short, long, value_name = "SIZE")]
        size: Option<String>,
    },
    /// Run a rake task in a one-off dyno
    #[command(name = "rake")]
    Rake {
        /// The task and its arguments
        #[arg(value_name = "TASK", trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// Size of the dyno
        #[arg(short, long, value_name = "SIZE")]
        size: Option<String>,
        /// Connect pipes instead of the terminal
        #[arg(long)]
        no_tty: bool,
    },
    /// Run a command in a one-off dyno and leave it alone; its output goes to the logs
    #[command(name = "run:detached")]
    Detached {
        #[command(flatten)]
        options: Options,
        /// Show the app's logs afterwards
        #[arg(short, long)]
        tail: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// The command, or a process type with arguments; after "--" nothing of it is taken for an
    /// option of paas
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
    #[command(flatten)]
    app: AppArgs,
    /// More environment: KEY=VALUE, several separated by ";" or by several -e
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// Size of the dyno
    #[arg(short, long, value_name = "SIZE")]
    size: Option<String>,
    /// Process type to run as
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
}

impl Options {
    /// A process type of the app's, with arguments.
    fn of(kind: &str, arguments: Vec<String>, app: AppArgs, size: Option<String>) -> Self {
        let command = std::iter::once(kind.to_owned()).chain(arguments).collect();
        let mut options = Self { command, app, env: Vec::new(), size, kind: None };
        options.settle();
        options
    }

    /// Takes `--app` and `--remote` from the end of the command, unless `--` says that all of it
    /// is the command's.
    fn settle(&mut self) {
        if !std::env::args().any(|argument| argument == "--") {
            while self.app.take_from_end(&mut self.command) {}
        }
    }

    /// One argument is a shell's line, several are words.
    fn line(&self) -> String {
        match self.command.as_slice() {
            [line] => line.clone(),
            words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
        }
    }

    fn environment(&self) -> Result<BTreeMap<String, String>, Failure> {
        self.env
            .iter()
            .flat_map(|part| part.split(';'))
            .filter(|pair| !pair.trim().is_empty())
            .map(|pair| match pair.split_once('=') {
                Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
                _ => Err(Failure::usage(format!("--env {pair:?} is not of the form KEY=VALUE."))),
            })
            .collect()
    }
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Attached { mut options, no_tty, exit_code: _ } => {
                options.settle();
                attached(context, &options, no_tty).await
            }
            Self::Console { arguments, app, size } => {
                attached(context, &Options::of("console", arguments, app, size), false).await
            }
            Self::Rake { arguments, app, size, no_tty } => {
                attached(context, &Options::of("rake", arguments, app, size), no_tty).await
            }
            Self::Detached { mut options, tail } => {
                options.settle();
                detached(context, &options, tail).await
            }
        }
    }
}

async fn attached(context: &Context, options: &Options, no_tty: bool) -> anyhow::Result<()> {
    let tty = !no_tty && stream::has_terminal();
    let mut env = options.environment()?;
    if tty {
        add_terminal(&mut env, &context.settings);
    }
    let (app, client) = context.app(&options.app)?;
    let line = options.line();
    let action = Action::start(format!("Running {line} on {}", output::app(&app)));
    let body = DynoCreate {
        command: line,
        attach: Some(true),
        env: Some(env),
        force_no_tty: Some(!tty),
        size: options.size.clone(),
        kind: options.kind.clone(),
        time_to_live: None,
    };
    let dyno: Dyno = client.send_json(Method::POST, &app_path(&app, "/dynos"), &body).await?;
    let url = dyno.attach_url.as_deref().context("The server gave no way to attach to the dyno")?;
    action.end(format_args!("{} ({})", dyno.name, dyno.size));
    match stream::attach(client, url, tty).await? {
        0 => Ok(()),
        code => Err(Exit(code).into()),
    }
}

pub(super) fn add_terminal(env: &mut BTreeMap<String, String>, settings: &Settings) {
    if let Some(term) = &settings.term {
        env.entry("TERM".to_owned()).or_insert_with(|| term.clone());
    }
    if let Some((columns, rows)) = stream::terminal_size() {
        env.insert("COLUMNS".to_owned(), columns.to_string());
        env.insert("LINES".to_owned(), rows.to_string());
    }
}

async fn detached(context: &Context, options: &Options, tail: bool) -> anyhow::Result<()> {
    let env = options.environment()?;
    let (app, client) = context.app(&options.app)?;
    let line = options.line();
    let action = Action::start(format!("Running {line} on {}", output::app(&app)));
    let body = DynoCreate {
        command: line,
        attach: Some(false),
        env: Some(env),
        force_no_tty: None,
        size: options.size.clone(),
        kind: options.kind.clone(),
        time_to_live: None,
    };
    let dyno: Dyno = client.send_json(Method::POST, &app_path(&app, "/dynos"), &body).await?;
    action.done_with(&dyno.name);
    if tail {
        return super::logs::tail_dyno(client, &app, &dyno.name).await;
    }
    output::line(format_args!("See its output with: paas logs --app {app} --dyno {}", dyno.name));
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    fn options(command: &[&str], env: &[&str]) -> Options {
        Options {
            command: command.iter().map(|word| (*word).to_owned()).collect(),
            app: AppArgs::default(),
            env: env.iter().map(|pair| (*pair).to_owned()).collect(),
            size: None,
            kind: None,
        }
    }

    #[test]
    fn lines_and_words() {
        assert_eq!(options(&["echo hi && ls"], &[]).line(), "echo hi && ls");
        assert_eq!(options(&["echo", "two words", "-n"], &[]).line(), "echo 'two words' -n");
    }

    #[test]
    fn environment() {
        let env = options(&["x"], &["A=1;B=x=y", "C="]).environment().unwrap();
        let pairs: Vec<_> = env.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(pairs, ["A=1", "B=x=y", "C="]);
        assert!(options(&["x"], &["A"]).environment().is_err());
    }
}
