//! `paasd`: the control plane of paas.

use std::{io::Write as _, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use paas_daemon::{
    config::Config,
    doctor::{self, Verdict},
    ops::accounts,
    serve::{self, Daemon},
};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

#[derive(Parser)]
#[command(
    name = "paasd",
    version,
    about = "The control plane of paas: git push to running dynos, on your own machine."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the daemon
    Serve(ServeArgs),
    /// Say what is wrong with this machine
    Doctor(ServeArgs),
    /// What git runs in a push; not for people
    #[command(hide = true)]
    Hook {
        /// Which hook
        #[arg(value_parser = ["pre-receive"])]
        hook: String,
    },
    /// Manage accounts, beside a running daemon or without one
    Admin(AdminArgs),
}

#[derive(Args)]
struct ServeArgs {
    #[command(flatten)]
    config: Config,
}

#[derive(Args)]
struct AdminArgs {
    #[command(subcommand)]
    command: Admin,
}

#[derive(Subcommand)]
enum Admin {
    /// Make an account (or find it) and print a new API token as the last line
    #[command(name = "user:create")]
    UserCreate {
        /// E-mail address: the name to log in with
        email: String,
        /// Read a password from the first line of standard input
        #[arg(long)]
        password_stdin: bool,
        /// May see and change everything of this installation
        #[arg(long)]
        admin: bool,
        #[command(flatten)]
        config: Config,
    },
    /// Print a token, good for a day, by which somebody sets a new password
    #[command(name = "user:reset")]
    UserReset {
        /// E-mail address of the account
        email: String,
        #[command(flatten)]
        config: Config,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Command::Hook { .. }) {
        return paas_daemon::git::hook::run();
    }
    // Whoever starts it with another one (systemd's UMask=) would make what containers are to
    // read unreadable for them. The data directory itself is for its owner alone.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    // A shell's usual 1024 open files would soon be at their end. What can't be raised stays.
    let files = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => return fail(&format!("the runtime can't start: {e}")),
    };
    runtime.block_on(async {
        match cli.command {
            Command::Serve(args) => run(args.config).await,
            Command::Doctor(args) => examine(&args.config).await,
            Command::Admin(args) => admin(args.command).await,
            // Taken above, without a runtime.
            Command::Hook { .. } => ExitCode::SUCCESS,
        }
    })
}

fn fail(text: &str) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "paasd: {text}");
    ExitCode::FAILURE
}

fn say(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

async fn run(config: Config) -> ExitCode {
    let filter = tracing_subscriber::EnvFilter::try_from_env("PAAS_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let colour = std::io::IsTerminal::is_terminal(&std::io::stderr());
    tracing_subscriber::fmt().with_env_filter(filter).with_ansi(colour).with_writer(std::io::stderr).init();
    let daemon = match Daemon::start(config, None).await {
        Ok(daemon) => daemon,
        Err(e) => return fail(&e.to_string()),
    };
    let (Ok(mut term), Ok(mut int)) = (
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()),
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::interrupt()),
    ) else {
        return fail("signals can't be watched");
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    tracing::info!("paasd ends; dynos, add-ons and the router go on");
    daemon.stop().await;
    ExitCode::SUCCESS
}

async fn examine(config: &Config) -> ExitCode {
    let mut worst = Verdict::Good;
    for finding in doctor::examine(config).await {
        let mark = match finding.verdict {
            Verdict::Good => "ok  ",
            Verdict::Warning => "warn",
            Verdict::Bad => "BAD ",
        };
        say(&format!("{mark}  {:<15} {}", finding.what, finding.text));
        if finding.verdict == Verdict::Bad || worst == Verdict::Good {
            worst = finding.verdict;
        }
    }
    match worst {
        Verdict::Good => say("Everything is as it should be."),
        Verdict::Warning => say("It works; the warnings above say what could be better."),
        Verdict::Bad => say("Mend what is marked BAD, then run this again."),
    }
    if worst == Verdict::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn admin(command: Admin) -> ExitCode {
    match command {
        Admin::UserCreate { email, password_stdin, admin, config } => {
            let mut password = None;
            if password_stdin {
                let mut line = String::new();
                if let Err(e) = std::io::stdin().read_line(&mut line) {
                    return fail(&format!("the password can't be read: {e}"));
                }
                password = Some(line.trim_end_matches(['\r', '\n']).to_owned());
            }
            let platform = match serve::beside(config).await {
                Ok(platform) => platform,
                Err(e) => return fail(&e.to_string()),
            };
            let user = match accounts::create(&platform, &email, password.as_deref(), admin).await {
                Ok(user) => user,
                Err(e) => return fail(&serve::chain(&e)),
            };
            match accounts::create_token(&platform, user.id, "paasd admin user:create", None).await {
                Ok((_, token)) => {
                    say(&format!("Account {} is there. Its API token, shown this once:", user.email));
                    say(&token);
                    platform.db.close().await;
                    ExitCode::SUCCESS
                }
                Err(e) => fail(&serve::chain(&e)),
            }
        }
        Admin::UserReset { email, config } => {
            let platform = match serve::beside(config).await {
                Ok(platform) => platform,
                Err(e) => return fail(&e.to_string()),
            };
            match accounts::reset(&platform, &email).await {
                Ok((token, asked)) => {
                    match asked {
                        Some(at) => say(&format!("A new password for {email} was asked for at {}.", at.to_rfc3339())),
                        None => say(&format!(
                            "Nobody has asked for a new password for {email}; here is the token for one all the same."
                        )),
                    }
                    say("Its owner sends password and password_confirmation, as JSON, within a day to:");
                    say(&format!("POST {}/password-resets/{token}/actions/finalize", platform.cx.config().api_url()));
                    say("The token alone, shown this once:");
                    say(&token);
                    platform.db.close().await;
                    ExitCode::SUCCESS
                }
                Err(e) => fail(&serve::chain(&e)),
            }
        }
    }
}
