//! `regions`: where apps can run.

use clap::Args;
use paas_wire::Region;

use crate::context::Context;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct RegionsArgs {
    /// Only those for spaces of one's own: there are none
    #[arg(long, hide = true)]
    private: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl RegionsArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let mut regions: Vec<Region> = context.client()?.list("/regions").await?;
        regions.retain(|region| region.private_capable || !self.private);
        if self.json {
            return output::json(&regions);
        }
        let rows = regions.into_iter().map(|region| vec![region.name, region.description]);
        output::table(&["Region", "Place"], rows.collect());
        Ok(())
    }
}
