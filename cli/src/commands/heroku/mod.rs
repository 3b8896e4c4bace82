//! `paas heroku`: Heroku's own command line, which the user has, works with this server.
//!
//! It believes in Heroku's hosts and in localhost only, so a [`forward`]er on 127.0.0.1 takes
//! what it asks and passes it on; [`surroundings`] has the environment that leads it there and
//! keeps the token from everybody else. [`attach`] translates attached dynos, and [`trust`]
//! makes the certificate that git, Node and rendezvous want; [`background`] has one stay behind a shell.

mod attach;
mod background;
mod connection;
mod forward;
mod rewrite;
mod surroundings;
mod trust;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use anyhow::Context as _;
use rustix::process::{Pid, kill_process};
use tokio::net::TcpListener;
use tokio::process::Child;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::context::Context;
use crate::failure::Failure;
use crate::settings::Settings;
use crate::{git, output};
use surroundings::Surroundings;

/// Run Heroku's own command line with this server.
#[derive(Debug, clap::Args)]
pub(crate) struct HerokuArgs {
    /// Print the environment for this shell, and keep the way open behind it until the shell
    /// ends: eval "$(paas heroku --print-env)"
    #[arg(long, conflicts_with_all = ["arguments", "serve"])]
    print_env: bool,

    /// Print the environment and stay, so that other programs can use it
    #[arg(long, conflicts_with = "arguments")]
    serve: bool,

    /// Stay until this process is gone
    #[arg(long, hide = true, value_name = "PID", requires = "serve")]
    until: Option<i32>,

    /// The port to stay on with --serve [default: any]
    #[arg(long, value_name = "PORT", requires = "serve", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// What `heroku` is given
    #[arg(value_name = "ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

impl HerokuArgs {
    /// Runs it; the result is the exit code. It has a runtime to itself, since Ctrl-C belongs to
    /// the program that it runs.
    pub(crate) fn run(self) -> anyhow::Result<i32> {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let result = runtime.block_on(self.go());
        runtime.shutdown_background();
        result
    }

    async fn go(self) -> anyhow::Result<i32> {
        let context = Context::new(Settings::read()?);
        let token = context.token()?.ok_or_else(|| {
            Failure::new(format!("You are not logged in to {}.", context.settings.base()))
                .hint("Log in with `paas login`; Heroku's command line then uses that token.")
        })?;
        if self.print_env {
            return tokio::task::spawn_blocking(background::start).await.context("The forwarder broke off")?;
        }
        let listener = TcpListener::bind(("127.0.0.1", self.port))
            .await
            .with_context(|| format!("127.0.0.1:{} can't be listened on", self.port))?;
        let signals = Signals::watch()?;
        let folder =
            tempfile::Builder::new().prefix("paas-heroku-").tempdir().context("No temporary folder can be made")?;
        let surroundings = Surroundings::of_forwarder(&context.settings, token, &listener, folder.path()).await?;
        let forwarder = forward::Forwarder::new(&context.settings, &listener, folder.path())?;
        let serving = tokio::spawn(forwarder.serve(listener));
        if let Some(shell) = self.until {
            output::raw(format!("{}\n", surroundings.for_shell()).as_bytes());
            tokio::select! {
                () = signals.ended() => {}
                () = background::gone(shell) => {}
            }
            return Ok(0);
        }
        if self.serve {
            output::raw(surroundings.for_shell().as_bytes());
            output::complain("Open until Ctrl-C.");
            signals.ended().await;
            return Ok(0);
        }
        let mut command = tokio::process::Command::new("heroku");
        surroundings.apply(&mut command);
        let child = command.args(&self.arguments).spawn().map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                anyhow::Error::from(
                    Failure::new("Heroku's command line is not installed: there is no `heroku` on the PATH.").hint(
                        "Install it with `npm install -g heroku`, or see devcenter.heroku.com/articles/heroku-cli.",
                    ),
                )
            } else {
                anyhow::Error::from(error).context("`heroku` can't be started")
            }
        })?;
        let status = signals.pass_to(child).await?;
        serving.abort();
        if status.success() && makes_remotes(&self.arguments) {
            surroundings.keep_for_git()?;
        }
        Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or_default()))
    }
}

/// What ends a program, watched from the start: none of it is to end us before we are ready.
struct Signals {
    interrupt: Signal,
    quit: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    fn watch() -> anyhow::Result<Self> {
        let watch = |kind| signal(kind).context("Signals can't be watched");
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            quit: watch(SignalKind::quit())?,
            terminate: watch(SignalKind::terminate())?,
            hangup: watch(SignalKind::hangup())?,
        })
    }

    /// Waits until somebody ends us. The folder with our files goes with us then.
    async fn ended(mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.quit.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }

    /// Waits for a program that has this terminal: what the terminal sends to all of us (Ctrl-C)
    /// is its affair, what was sent to us alone goes on to it.
    async fn pass_to(mut self, mut child: Child) -> anyhow::Result<ExitStatus> {
        let pid = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let pass = |kind| {
            if let Some(pid) = pid {
                // It may have ended by now.
                let _ = kill_process(pid, kind);
            }
        };
        loop {
            tokio::select! {
                status = child.wait() => return status.context("`heroku` can't be waited for"),
                _ = self.interrupt.recv() => {}
                _ = self.quit.recv() => {}
                _ = self.terminate.recv() => pass(rustix::process::Signal::TERM),
                _ = self.hangup.recv() => pass(rustix::process::Signal::HUP),
            }
        }
    }
}

/// Whether a command may leave a git remote behind that is used without us.
fn makes_remotes(arguments: &[String]) -> bool {
    let makers = ["create", "apps:create", "git:remote", "git:clone", "apps:rename", "rename"];
    arguments.first().is_some_and(|command| makers.contains(&command.as_str())) && git::is_there()
}
