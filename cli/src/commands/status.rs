//! `status`: how the platform is.

use clap::Args;
use clap::builder::styling::{AnsiColor, Style};
use paas_wire::status::CurrentStatus;

use crate::context::Context;
use crate::{output, when};

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl StatusArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let now: CurrentStatus = context.client()?.get("/api/v4/current-status").await?;
        if self.json {
            return output::json(&now);
        }
        for part in &now.status {
            let (style, text): (Style, &str) = match part.status.as_str() {
                "green" => (AnsiColor::Green.on_default(), "No known issues at this time."),
                "yellow" => (AnsiColor::Yellow.on_default(), "Something does not work; what runs goes on."),
                _ => (AnsiColor::Red.on_default(), "Out of order."),
            };
            output::line(format_args!("{:11}{style}{text}{style:#}", format!("{}:", part.system)));
        }
        for incident in now.incidents {
            output::line("");
            output::heading(format_args!("{} {}", incident.title, when::ago(incident.created_at)));
            for update in incident.updates {
                output::line(update.contents);
            }
        }
        Ok(())
    }
}
