//! Programs inside a dyno that runs: `run:inside`, `ps:exec`, `ps:copy`, `ps:forward`; and what
//! [`super::socks`] goes by.

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::{Dyno, DynoCreate, DynoState};
use reqwest::Method;
use tempfile::TempPath;
use tokio::net::{TcpListener, TcpStream};

use super::config::quote;
use super::run::add_terminal;
use crate::app::AppArgs;
use crate::client::{Client, app_path, segment};
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::{output, stream};

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a command in a dyno that runs already, connected with this terminal
    #[command(name = "run:inside")]
    Inside {
        /// The dyno, such as web.1
        #[arg(value_name = "DYNO")]
        dyno: String,
        /// The command; after "--" nothing of it is taken for an option of paas
        #[arg(value_name = "COMMAND", required = true, trailing_var_arg = true, allow_hyphen_values = true)]
        command: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// End with the command's exit code (always so here; for habit's sake)
        #[arg(short = 'x', long)]
        exit_code: bool,
        /// Connect pipes instead of the terminal
        #[arg(long)]
        no_tty: bool,
    },
    /// Open a shell in a dyno that runs, or run a command there
    #[command(name = "ps:exec")]
    Exec {
        /// The command, after "--"; a shell when left out
        #[arg(value_name = "COMMAND", last = true)]
        command: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// The dyno
        #[arg(short, long, value_name = "DYNO", default_value = "web.1")]
        dyno: String,
        /// Show which dynos can be entered
        #[arg(long)]
        status: bool,
    },
    /// Copy a file out of a dyno that runs
    #[command(name = "ps:copy")]
    Copy {
        /// The file in the dyno
        #[arg(value_name = "FILE")]
        file: String,
        #[command(flatten)]
        app: AppArgs,
        /// The dyno
        #[arg(short, long, value_name = "DYNO", default_value = "web.1")]
        dyno: String,
        /// Where it goes; its own name, here, when left out
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Forward a port of this machine to one of a dyno that runs
    #[command(name = "ps:forward")]
    Forward {
        /// PORT, or PORT:REMOTE_PORT; several separated by commas
        #[arg(value_name = "PORT", value_delimiter = ',', required = true)]
        ports: Vec<String>,
        /// The port of this machine, where only one is forwarded
        #[arg(short = 'p', long = "localPort", value_name = "PORT", hide = true)]
        local_port: Option<u16>,
        #[command(flatten)]
        app: AppArgs,
        /// The dyno
        #[arg(short, long, value_name = "DYNO", default_value = "web.1")]
        dyno: String,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::Inside { dyno, mut command, mut app, exit_code: _, no_tty } => {
                if !std::env::args().any(|argument| argument == "--") {
                    while app.take_from_end(&mut command) {}
                }
                enter(context, &app, &dyno, line(&command), no_tty).await
            }
            Self::Exec { app, dyno, status: true, .. } => status(context, &app, &dyno).await,
            Self::Exec { command, app, dyno, status: false } => {
                let command = if command.is_empty() { "bash".to_owned() } else { line(&command) };
                enter(context, &app, &dyno, command, false).await
            }
            Self::Copy { file, app, dyno, output } => copy(context, &app, &dyno, &file, output).await,
            Self::Forward { ports, local_port, app, dyno } => {
                let mut ports = ports.iter().map(|text| parse_ports(text)).collect::<Result<Vec<_>, _>>()?;
                if let (Some(local), [port]) = (local_port, ports.as_mut_slice()) {
                    port.0 = local;
                }
                forward(context, &app, &dyno, &ports).await
            }
        }
    }
}

/// One argument is a shell's line, several are words.
fn line(words: &[String]) -> String {
    match words {
        [line] => line.clone(),
        words => words.iter().map(|word| quote(word)).collect::<Vec<_>>().join(" "),
    }
}

/// Asks for a program in a dyno; gives the address to attach to it.
async fn offer(
    client: &Client,
    app: &str,
    dyno: &str,
    command: String,
    env: Option<BTreeMap<String, String>>,
) -> anyhow::Result<String> {
    let body =
        DynoCreate { command, attach: Some(true), force_no_tty: Some(env.is_none()), env, ..DynoCreate::default() };
    let path = app_path(app, &format!("/dynos/{}", segment(dyno)));
    let made: Dyno = client.send_json(Method::POST, &path, &body).await?;
    made.attach_url.context("The server gave no way to attach to the program")
}

async fn enter(context: &Context, app: &AppArgs, dyno: &str, command: String, no_tty: bool) -> anyhow::Result<()> {
    let (app, client) = context.app(app)?;
    let tty = !no_tty && stream::has_terminal();
    let mut env = BTreeMap::new();
    if tty {
        add_terminal(&mut env, &context.settings);
        output::note(format_args!("Running {command} in {dyno} of {}", output::app(&app)));
    }
    let url = offer(client, &app, dyno, command, tty.then_some(env)).await?;
    match stream::attach(client, &url, tty).await? {
        0 => Ok(()),
        code => Err(Exit(code).into()),
    }
}

async fn status(context: &Context, app: &AppArgs, dyno: &str) -> anyhow::Result<()> {
    let (app, client) = context.app(app)?;
    let mut dynos: Vec<Dyno> = client.list(&app_path(&app, "/dynos")).await?;
    dynos.retain(|dyno| matches!(dyno.state, DynoState::Up | DynoState::Starting));
    if dynos.is_empty() {
        return Err(Failure::new(format!("No dyno of {app} runs now."))
            .hint(format!("`paas ps --app {app}` shows why {dyno} does not."))
            .into());
    }
    let rows = dynos.into_iter().map(|dyno| vec![dyno.name, dyno.state.as_str().to_owned()]);
    output::table(&["Dyno", "State"], rows.collect());
    Ok(())
}

async fn copy(context: &Context, app: &AppArgs, dyno: &str, file: &str, output: Option<PathBuf>) -> anyhow::Result<()> {
    let target = match output {
        Some(target) => target,
        None => PathBuf::from(file.rsplit('/').next().filter(|name| !name.is_empty()).ok_or_else(|| {
            Failure::usage(format!("{file} has no name to copy it to.")).hint("Name one with --output PATH.")
        })?),
    };
    let (app, client) = context.app(app)?;
    output::note(format_args!("Copying {file} of {dyno} to {}", target.display()));
    let (place, kept) = place(&target).with_context(|| format!("{} can't be written", target.display()))?;
    let url = offer(client, &app, dyno, format!("exec cat -- {}", quote(file)), None).await?;
    if stream::pipe(client, &url, tokio::io::empty(), tokio::fs::File::from_std(place)).await? != 0 {
        return Err(Failure::new(format!("{file} could not be copied out of {dyno}.")).into());
    }
    match kept {
        Some((part, target)) => part.persist(&target).with_context(|| format!("{} can't be written", target.display())),
        None => Ok(()),
    }
}

/// What to write into, and for a file how it gets its name: a part of it must not look like the
/// whole. Devices and pipes are written to as they are, and links lead where they lead.
fn place(target: &Path) -> std::io::Result<(File, Option<(TempPath, PathBuf)>)> {
    let now = std::fs::metadata(target).ok();
    if now.as_ref().is_some_and(|now| !now.is_file()) {
        return Ok((File::options().write(true).open(target)?, None));
    }
    let target = target.canonicalize().unwrap_or_else(|_| target.to_owned());
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let permissions = now.map_or_else(|| Permissions::from_mode(0o666), |now| now.permissions());
    let part = tempfile::Builder::new().prefix(".paas-").permissions(permissions).tempfile_in(folder)?;
    let (file, part) = part.into_parts();
    Ok((file, Some((part, target))))
}

/// `5000`, or `8000:5000`.
fn parse_ports(text: &str) -> Result<(u16, u16), Failure> {
    let (local, remote) = text.split_once(':').unwrap_or((text, text));
    match (local.trim().parse(), remote.trim().parse()) {
        (Ok(local), Ok(remote)) if remote > 0 => Ok((local, remote)),
        _ => Err(Failure::usage(format!("{text:?} is no port.")).hint("For example: paas ps:forward 9090:9090")),
    }
}

/// What runs in the dyno for one connection: bytes both ways, until the dyno's side ends or
/// ours has been over for a while.
fn tunnel(host: &str, port: u16) -> String {
    format!(
        "exec 3<>/dev/tcp/{host}/{port} 4<&0 || exit 1; \
         (cat <&4 >&3; sleep 5; kill $$) >/dev/null 2>&1 & \
         cat <&3; kill $! 2>/dev/null; exit 0"
    )
}

async fn forward(context: &Context, app: &AppArgs, dyno: &str, ports: &[(u16, u16)]) -> anyhow::Result<()> {
    let (app, _) = context.app(app)?;
    let client = Rc::new(Client::new(&context.settings, context.token()?)?);
    let tasks = tokio::task::LocalSet::new();
    for (local, remote) in ports {
        let listener = TcpListener::bind(("127.0.0.1", *local)).await;
        let listener = listener.with_context(|| format!("Port {local} of this machine can't be had"))?;
        let address = listener.local_addr()?;
        output::line(format_args!("Listening on {address} and forwarding to {dyno}:{remote}"));
        let (client, app, dyno, remote) = (client.clone(), app.clone(), dyno.to_owned(), *remote);
        tasks.spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (client, app, dyno) = (client.clone(), app.clone(), dyno.clone());
                tokio::task::spawn_local(async move {
                    if let Err(error) = carry(&client, &app, &dyno, "127.0.0.1", remote, connection).await {
                        output::complain(&format!("{error:#}"));
                    }
                });
            }
        });
    }
    output::line("Use CTRL+C to stop.");
    tasks.await;
    Ok(())
}

/// Connects a connection here with one that a program in a dyno makes. The host becomes part of
/// a shell's line.
pub(super) async fn carry(
    client: &Client,
    app: &str,
    dyno: &str,
    host: &str,
    port: u16,
    connection: TcpStream,
) -> anyhow::Result<()> {
    let url = offer(client, app, dyno, tunnel(host, port), None).await?;
    let (read, write) = tokio::io::split(connection);
    stream::pipe(client, &url, read, write).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn ports() {
        assert_eq!(parse_ports("9090").unwrap(), (9090, 9090));
        assert_eq!(parse_ports("8000:5000").unwrap(), (8000, 5000));
        for wrong in ["", "x", "80:", ":80", "1:0", "70000"] {
            assert!(parse_ports(wrong).is_err(), "{wrong}");
        }
    }
}
