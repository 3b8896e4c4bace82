//! `paas local`: the app on this machine, as Foreman runs it. Nothing here talks to a
//! server.
//!
//! [`start`] reads the Procfile (grammar: `paas_domain::procfile`) and `.env`
//! ([`env_file`]), works out what runs on which port ([`formation`]) and hands it to the
//! [`supervisor`], which owns the [`process`]es, everything below them ([`tree`]) and the
//! one [`output`]. [`run`] becomes one command with the same environment; [`check`] only
//! reads.

mod env_file;
mod formation;
mod output;
mod process;
mod supervisor;
mod tree;

use std::io::{ErrorKind, IsTerminal as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use paas_domain::procfile::{Entry, Procfile, Warning, parse_all};

pub(crate) use formation::Counts;

/// Start the app here: every line of the Procfile, with .env
#[derive(Debug, clap::Args)]
pub(crate) struct LocalArgs {
    /// Start only these process types (all but "release" otherwise)
    #[arg(value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,

    #[command(flatten)]
    files: Files,

    /// How many of each type; types that aren't named don't run unless all=1 is
    #[arg(
        short = 'm',
        long = "formation",
        visible_alias = "concurrency",
        short_alias = 'c',
        value_name = "TYPE=COUNT,…"
    )]
    formation: Option<Counts>,

    /// What to run as web where there is no Procfile
    #[arg(long, value_name = "COMMAND")]
    start_cmd: Option<String>,

    /// Seconds that a process may take to end before it is killed
    #[arg(short = 't', long, value_name = "SECONDS", default_value_t = 5)]
    timeout: u64,
}

/// Run one command, or one process type, here with .env
#[derive(Debug, clap::Args)]
pub(crate) struct LocalRunArgs {
    #[command(flatten)]
    files: Files,

    /// The command and its arguments, or a process type and more arguments for it
    #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
    command: Vec<String>,
}

/// Check the Procfile
#[derive(Debug, clap::Args)]
pub(crate) struct LocalCheckArgs {
    /// The Procfile to read
    #[arg(short = 'f', long, value_name = "FILE", default_value = "Procfile")]
    procfile: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Files {
    /// The Procfile to read; processes run in its folder
    #[arg(short = 'f', long, value_name = "FILE", default_value = "Procfile")]
    procfile: PathBuf,

    /// Files with environment variables, later ones over earlier ones [default: .env, if it is there]
    #[arg(short = 'e', long = "env", value_name = "FILE,…", value_delimiter = ',')]
    env: Vec<String>,

    /// The first port [default: PORT in .env or the environment, else 5000]
    #[arg(short = 'p', long, value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
}

/// `paas local`: runs the app until the first process ends or Ctrl-C.
///
/// The result is the exit code: that of the process that ended first, or 128 and the number
/// of the signal that ended us.
pub(crate) async fn start(args: LocalArgs) -> anyhow::Result<i32> {
    let (entries, warnings) = match &args.start_cmd {
        Some(line) if !args.files.procfile.exists() => parse_all(format!("web: {line}\n").as_bytes())?,
        _ => read_procfile(&args.files.procfile)?,
    };
    warn(warnings.iter().map(Warning::to_string));
    let root = folder(&args.files.procfile);
    let env = env_file::load(&args.files.env, &root)?;
    warn(env.warnings);
    let port = base_port(args.files.port, env.vars.get("PORT"))?;
    let processes = formation::formation(&entries, &args.types, args.formation.as_ref(), port)?;
    let stdout = std::io::stdout();
    let colour = anstream::AutoStream::choice(&stdout) != anstream::ColorChoice::Never && stdout.is_terminal();
    let patience = Duration::from_secs(args.timeout);
    supervisor::run(supervisor::Plan { processes, vars: env.vars, root, patience, colour }).await
}

/// `paas local:run`: becomes the command, so that the terminal, its signals and the exit
/// code are the command's own. Comes back only when it can't: with 127 when there is no
/// such command, as a shell does, and 126 when it may not be run.
pub(crate) fn run(args: LocalRunArgs) -> anyhow::Result<i32> {
    let root = folder(&args.files.procfile);
    let env = env_file::load(&args.files.env, &root)?;
    warn(env.warnings);
    let port = base_port(args.files.port, env.vars.get("PORT"))?;
    let Some((first, rest)) = args.command.split_first() else {
        bail!("name a command to run, such as: paas local:run rake db:migrate");
    };
    let mut command = match named_by_procfile(&args.files.procfile, first) {
        Some(line) => shell(&format!("{line} \"$@\""), rest),
        // One argument with blanks is a line for the shell: local:run "a && b".
        None if rest.is_empty() && first.contains(char::is_whitespace) => shell(first, &[]),
        None => {
            let mut command = std::process::Command::new(first);
            command.args(rest);
            command
        }
    };
    let error = command.envs(&env.vars).env("PORT", port.to_string()).exec();
    if error.kind() == ErrorKind::NotFound {
        warn([format!("{first}: command not found")]);
        return Ok(127);
    }
    if error.kind() == ErrorKind::PermissionDenied {
        warn([format!("{first}: permission denied")]);
        return Ok(126);
    }
    Err(error).with_context(|| format!("can't run {first}"))
}

/// `paas local:check`: says which types a Procfile has and what its author should know.
pub(crate) fn check(args: &LocalCheckArgs) -> anyhow::Result<i32> {
    let bytes = read_file(&args.procfile)?;
    match Procfile::parse(&bytes) {
        Ok(parsed) => {
            warn(parsed.warnings.iter().map(|warning| {
                let both = matches!(warning, Warning::Duplicate { .. });
                format!("{warning}{}", if both { " on a server, `paas local` runs both" } else { "" })
            }));
            let types: Vec<&str> = parsed.procfile.types().map(|name| name.as_str()).collect();
            say(&format!("valid Procfile: {}", types.join(", ")))?;
            Ok(0)
        }
        Err(error) => {
            if let paas_domain::procfile::ProcfileError::NoProcesses { warnings } = &error {
                warn(warnings.iter().map(Warning::to_string));
            }
            Err(error).with_context(|| format!("{} is not valid", args.procfile.display()))
        }
    }
}

fn read_procfile(path: &Path) -> anyhow::Result<(Vec<Entry>, Vec<Warning>)> {
    parse_all(&read_file(path)?).with_context(|| format!("{} is not valid", path.display()))
}

fn read_file(path: &Path) -> anyhow::Result<Vec<u8>> {
    let shown = path.display();
    std::fs::read(path).map_err(|error| {
        if error.kind() == ErrorKind::NotFound {
            anyhow!(
                "there is no {shown}; write one with a line such as \"web: bundle exec puma\", or name another with -f"
            )
        } else {
            anyhow::Error::new(error).context(format!("can't read {shown}"))
        }
    })
}

/// The command of a type, where there is a Procfile that names it; the last one wins.
fn named_by_procfile(path: &Path, name: &str) -> Option<String> {
    let parsed = Procfile::parse(&std::fs::read(path).ok()?).ok()?;
    parsed.procfile.command(name).map(str::to_owned)
}

fn shell(line: &str, arguments: &[String]) -> std::process::Command {
    let mut command = std::process::Command::new(process::shell());
    command.args(["-c", line, process::shell()]).args(arguments);
    command
}

/// The folder that a file is in.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        Some(_) | None => PathBuf::from("."),
    }
}

#[allow(clippy::disallowed_methods, reason = "PORT isn't ours: it is the app's, as Foreman reads it")]
fn base_port(flag: Option<u16>, in_file: Option<&String>) -> anyhow::Result<u16> {
    let Some(text) = in_file.cloned().or_else(|| std::env::var("PORT").ok()).filter(|_| flag.is_none()) else {
        return Ok(flag.unwrap_or(5000));
    };
    match text.trim().parse() {
        Ok(port) if port > 0 => Ok(port),
        Ok(_) | Err(_) => bail!(
            "PORT is \"{text}\" in .env or the environment, which is no port; set a number from 1 to 65535, or give --port"
        ),
    }
}

fn warn(messages: impl IntoIterator<Item = String>) {
    for message in messages {
        anstream::eprintln!(" !    {message}");
    }
}

fn say(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{line}").context("can't write to the terminal")
}
