//! The registry of buildpacks: `buildpacks:search`, `:info`, `:versions`.

use clap::Subcommand;
use paas_wire::buildpack_registry::{BuildpackReadme, BuildpackRevision, RegisteredBuildpack};

use crate::client::{Client, segment};
use crate::context::Context;
use crate::output;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Look for buildpacks that come with the server
    #[command(name = "buildpacks:search")]
    Search {
        /// A part of the name, namespace or description; all when left out
        #[arg(value_name = "TERM")]
        term: Option<String>,
        /// Only these namespaces, separated by commas
        #[arg(long, value_name = "NAMESPACE", value_delimiter = ',')]
        namespace: Vec<String>,
        /// Only these names, separated by commas
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        name: Vec<String>,
        /// Only those whose description has this in it
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show a buildpack
    #[command(name = "buildpacks:info")]
    Info {
        /// Its name, such as heroku/ruby
        #[arg(value_name = "BUILDPACK")]
        buildpack: String,
        /// As JSON
        #[arg(short, long)]
        json: bool,
    },
    /// List the versions of a buildpack
    #[command(name = "buildpacks:versions")]
    Versions {
        /// Its name, such as heroku/ruby
        #[arg(value_name = "BUILDPACK")]
        buildpack: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        let client = context.client()?;
        match self {
            Self::Search { term, namespace, name, description, json } => {
                let mut query: Vec<String> =
                    namespace.iter().map(|one| format!("in%5Bnamespace%5D%5B%5D={}", segment(one))).collect();
                query.extend(name.iter().map(|one| format!("in%5Bname%5D%5B%5D={}", segment(one))));
                query.extend(description.iter().map(|text| format!("like%5Bdescription%5D={}", segment(text))));
                search(client, &query.join("&"), term.as_deref(), json).await
            }
            Self::Info { buildpack, json } => info(client, &buildpack, json).await,
            Self::Versions { buildpack, json } => versions(client, &buildpack, json).await,
        }
    }
}

async fn search(client: &Client, query: &str, term: Option<&str>, json: bool) -> anyhow::Result<()> {
    let mut found: Vec<RegisteredBuildpack> = client.list(&format!("/buildpacks?{query}")).await?;
    if let Some(term) = term.map(str::to_lowercase) {
        found.retain(|pack| {
            let text = format!("{}/{} {}", pack.namespace, pack.name, pack.description).to_lowercase();
            text.contains(&term)
        });
    }
    found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    if json {
        return output::json(&found);
    }
    if found.is_empty() {
        output::line(
            "No buildpacks found. Others are set by the https:// address of a git repository or .tgz archive.",
        );
        return Ok(());
    }
    let rows = found
        .into_iter()
        .map(|pack| vec![format!("{}/{}", pack.namespace, pack.name), pack.category, pack.description]);
    output::table(&["Buildpack", "Category", "Description"], rows.collect());
    Ok(())
}

fn path(buildpack: &str, rest: &str) -> String {
    format!("/buildpacks/{}{rest}", segment(buildpack))
}

async fn info(client: &Client, buildpack: &str, json: bool) -> anyhow::Result<()> {
    let pack: RegisteredBuildpack = client.get(&path(buildpack, "")).await?;
    if json {
        return output::json(&pack);
    }
    let readme: BuildpackReadme = client.get(&path(buildpack, "/readme")).await?;
    let versions: Vec<BuildpackRevision> = client.list(&path(buildpack, "/revisions")).await?;
    output::heading(format_args!("{}/{}", pack.namespace, pack.name));
    output::fields(&[
        ("Description", pack.description),
        ("Category", pack.category),
        ("License", versions.first().and_then(|version| version.license.clone()).unwrap_or_default()),
        ("Version", versions.first().map(|version| version.reference.clone()).unwrap_or_default()),
    ]);
    if let Some(text) = decode(&readme.content) {
        output::line(format_args!("\n{}", text.trim_end()));
    }
    Ok(())
}

/// Reads Base64, which the page about a buildpack comes in.
fn decode(text: &str) -> Option<String> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bytes, mut held, mut bits) = (Vec::new(), 0u32, 0);
    for byte in text.bytes().filter(|byte| !byte.is_ascii_whitespace() && *byte != b'=') {
        let digit = DIGITS.iter().position(|digit| *digit == byte)?;
        held = held << 6 | u32::try_from(digit).ok()?;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
            held &= (1 << bits) - 1;
        }
    }
    String::from_utf8(bytes).ok()
}

async fn versions(client: &Client, buildpack: &str, json: bool) -> anyhow::Result<()> {
    let mut versions: Vec<BuildpackRevision> = client.list(&path(buildpack, "/revisions")).await?;
    versions.sort_by_key(|version| std::cmp::Reverse(version.release));
    if json {
        return output::json(&versions);
    }
    let rows = versions.into_iter().map(|version| vec![version.release.to_string(), version.reference, version.status]);
    output::table(&["Version", "Of", "Status"], rows.collect());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn base64() {
        assert_eq!(decode("IyBoZXJva3UvcnVieQo=").as_deref(), Some("# heroku/ruby\n"));
        assert_eq!(decode("w7w=").as_deref(), Some("ü"));
        assert_eq!(decode("a*"), None);
    }
}
