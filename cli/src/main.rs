//! The command line for paas.
//!
//! [`cli`] is the list of all commands, each in a file of [`commands`]. A command is given a
//! [`context::Context`]: settings from the environment ([`settings`]) and, when it asks, the
//! API's [`client`]. [`app`] finds out which app is meant, [`output`] and [`progress`] write
//! to the terminal, [`stream`] carries what takes longer, [`failure`] says how a command ends.
//! Start reading at [`commands::config`], which is typical of all.

mod app;
mod cli;
mod client;
mod commands;
mod complete;
mod confirm;
mod context;
mod credentials;
mod examples;
mod failure;
mod git;
mod habits;
mod help;
mod input;
mod output;
mod progress;
mod settings;
mod stream;
mod when;

use clap::FromArgMatches as _;
use clap::error::ErrorKind;
use context::Context;

fn main() {
    let code = match run() {
        Ok(()) => 0,
        Err(error) => failure::report(&error),
    };
    // Not by returning: a thread may still wait for input that will never come.
    std::process::exit(code);
}

fn run() -> anyhow::Result<()> {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == "--help" || first == "-h") {
        return help::show(None);
    }
    let parsed = habits::command().try_get_matches().and_then(|found| cli::Cli::from_arg_matches(&found));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) if error.kind() == ErrorKind::InvalidSubcommand => {
            return Err(help::unknown(&error).into());
        }
        Err(error) if error.use_stderr() => return Err(help::misuse(&error).into()),
        Err(error) => error.exit(),
    };
    let command = match cli.command {
        None => return help::show(None),
        Some(cli::Command::Here(command)) => return command.run(),
        Some(command) => command,
    };
    let context = Context::new(settings::Settings::read()?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut running = std::pin::pin!(command.run(&context));
        loop {
            tokio::select! {
                result = &mut running => break result,
                _ = tokio::signal::ctrl_c() => {
                    if !context.has_lent_terminal() {
                        break Err(failure::Exit(failure::INTERRUPTED).into());
                    }
                }
            }
        }
    });
    runtime.shutdown_background();
    match result {
        Err(error) if context.is_changing() => {
            let code = failure::report(&error);
            output::complain(client::UNSURE);
            Err(failure::Exit(code).into())
        }
        result => result,
    }
}
