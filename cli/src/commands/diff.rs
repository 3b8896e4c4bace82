//! `apps:diff`: in what two apps differ.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use paas_wire::{Addon, App, BuildpackInstallation, ConfigVars, Release, Slug};
use serde_json::json;

use crate::client::{Client, app_path};
use crate::context::Context;
use crate::output;

#[derive(Debug, Args)]
pub(crate) struct DiffArgs {
    /// The first app
    #[arg(value_name = "APP1")]
    first: String,
    /// The second app
    #[arg(value_name = "APP2")]
    second: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl DiffArgs {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        let first = properties(client, &self.first).await?;
        let second = properties(client, &self.second).await?;
        let differ = differences(&first, &second);
        if self.json {
            let rows: Vec<_> =
                differ.iter().map(|(name, a, b)| json!({"property": name, "app1": a, "app2": b})).collect();
            return output::json(&rows);
        }
        if differ.is_empty() {
            output::line(format_args!("{} and {} are alike.", output::app(&self.first), output::app(&self.second)));
            return Ok(());
        }
        let shown = |value: Option<&str>| value.map(short).unwrap_or_default();
        let rows = differ.into_iter().map(|(name, a, b)| vec![name.to_owned(), shown(a), shown(b)]);
        output::table(&["Property", &self.first, &self.second], rows.collect());
        Ok(())
    }
}

/// As much of a value as fits into a table.
fn short(value: &str) -> String {
    let mut text: String = value.chars().take(56).collect();
    if text.len() < value.len() {
        text.push_str("...");
    }
    text
}

type Properties = BTreeMap<String, String>;

async fn properties(client: &Client, app: &str) -> anyhow::Result<Properties> {
    let mut all = Properties::new();
    let info: App = client.get(&app_path(app, "")).await?;
    all.insert("stack".to_owned(), info.build_stack.name);
    let releases: Vec<Release> = client.list(&app_path(app, "/releases")).await?;
    if let Some(slug) = releases.iter().max_by_key(|release| release.version).and_then(|last| last.slug.as_ref()) {
        let slug: Slug = client.get(&app_path(app, &format!("/slugs/{}", slug.id))).await?;
        all.extend(slug.checksum.map(|sum| ("slug (checksum)".to_owned(), sum)));
    }
    let config: ConfigVars = client.get(&app_path(app, "/config-vars")).await?;
    all.extend(config.into_iter().map(|(key, value)| (format!("config ({key})"), value)));
    let packs: Vec<BuildpackInstallation> = client.list(&app_path(app, "/buildpack-installations")).await?;
    all.extend(packs.into_iter().map(|pack| (format!("buildpack ({})", pack.ordinal), pack.buildpack.name)));
    let addons: Vec<Addon> = client.list(&app_path(app, "/addons")).await?;
    let names: BTreeSet<String> = addons.into_iter().map(|addon| addon.addon_service.name).collect();
    all.extend(names.into_iter().map(|name| (format!("add-on ({name})"), "true".to_owned())));
    Ok(all)
}

fn differences<'a>(first: &'a Properties, second: &'a Properties) -> Vec<(&'a str, Option<&'a str>, Option<&'a str>)> {
    let names: BTreeSet<&String> = first.keys().chain(second.keys()).collect();
    let of = |all: &'a Properties, name: &str| all.get(name).map(String::as_str);
    let rows = names.into_iter().map(|name| (name.as_str(), of(first, name), of(second, name)));
    rows.filter(|(_, a, b)| a != b).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_once() {
        let of = |pairs: &[(&str, &str)]| -> Properties {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let (first, second) = (of(&[("a", "1"), ("b", "2"), ("c", "3")]), of(&[("a", "1"), ("b", "4"), ("d", "5")]));
        assert_eq!(
            differences(&first, &second),
            [("b", Some("2"), Some("4")), ("c", Some("3"), None), ("d", None, Some("5"))]
        );
        assert_eq!(short(&"x".repeat(60)).len(), 59);
    }
}
