//! Commands of Heroku's that can't be here: each says why, and what to do instead.

use clap::Subcommand;

use super::container::Anything;
use crate::failure::Failure;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Not here: see logs
    #[command(name = "apps:errors", hide = true)]
    Errors(Anything),
    /// Not here: there is no second factor
    #[command(name = "auth:2fa:disable", aliases = ["2fa:disable", "twofactor:disable"], hide = true)]
    SecondFactor(Anything),
}

impl Command {
    pub(crate) fn run(self) -> anyhow::Result<()> {
        let (why, hint) = match self {
            Self::Errors(_) => (
                "Errors are not counted here: there are no metrics of apps.",
                "`paas logs --source heroku` has them with their codes; `paas telemetry:add` sends metrics to a service.",
            ),
            Self::SecondFactor(_) => {
                ("Nothing is to be disabled: no second factor is asked for here.", "`paas auth:2fa` shows it.")
            }
        };
        Err(Failure::new(why).hint(hint).into())
    }
}
