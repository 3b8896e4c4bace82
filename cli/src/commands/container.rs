//! `container:…`: Heroku's commands for Docker images. Apps here run slugs, so each says what
//! to do instead.

use clap::{Args, Subcommand};

use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Not here: see git push
    #[command(name = "container", hide = true)]
    Container(Anything),
    /// Not here: see login
    #[command(name = "container:login", hide = true)]
    Login(Anything),
    /// Not here: see logout
    #[command(name = "container:logout", hide = true)]
    Logout(Anything),
    /// Not here: see git:clone
    #[command(name = "container:pull", hide = true)]
    Pull(Anything),
    /// Not here: see git push
    #[command(name = "container:push", hide = true)]
    Push(Anything),
    /// Not here: see git push
    #[command(name = "container:release", hide = true)]
    Release(Anything),
    /// Not here: see ps:scale
    #[command(name = "container:rm", hide = true)]
    Rm(Anything),
    /// Not here: see local:run
    #[command(name = "container:run", hide = true)]
    Run(Anything),
}

/// Whatever comes with it.
#[derive(Args, Debug)]
pub(crate) struct Anything {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    _words: Vec<String>,
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let hint = match self {
            Self::Login(_) | Self::Logout(_) => "There is no registry to log in to; `paas login` is all it takes.",
            Self::Pull(_) => "`paas git:clone` brings an app's code here.",
            Self::Rm(_) => "`paas ps:scale TYPE=0` stops the dynos of a process type.",
            Self::Run(_) => "`paas local:run COMMAND` runs a command here, `paas run COMMAND` on the server.",
            Self::Container(_) | Self::Push(_) | Self::Release(_) => {
                "Deploy with `git push paas main`, or `paas builds:create`: buildpacks make what runs."
            }
        };
        Err(Failure::new("Apps of Docker images are not run here.").hint(hint).into())
    }
}
