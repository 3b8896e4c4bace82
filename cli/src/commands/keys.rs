//! SSH keys of the account: `keys`, `:add`, `:remove`, `:clear`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::{Key, KeyCreate};
use reqwest::Method;

use crate::client::Client;
use crate::context::Context;
use crate::failure::Failure;
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List your SSH keys
    #[command(name = "keys")]
    List {
        /// The whole keys, as in their files
        #[arg(short, long)]
        long: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Add an SSH key
    #[command(name = "keys:add")]
    Add {
        /// File with the public key; the one in ~/.ssh when left out
        #[arg(value_name = "FILE")]
        key: Option<PathBuf>,
        /// Ask nothing
        #[arg(short, long)]
        yes: bool,
    },
    /// Remove an SSH key
    #[command(name = "keys:remove")]
    Remove {
        /// What stands behind the key (you@host), its fingerprint, or its id
        #[arg(value_name = "KEY")]
        key: String,
    },
    /// Remove all your SSH keys
    #[command(name = "keys:clear")]
    Clear,
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { long, json } => list(context.client()?, long, json).await,
            Self::Add { key, yes } => {
                let file = match key {
                    Some(file) => file,
                    None => find(context, yes)?,
                };
                add(context.client()?, &file).await
            }
            Self::Remove { key } => {
                let client = context.client()?;
                let keys: Vec<Key> = client.list("/account/keys").await?;
                let wanted: Vec<&Key> = keys
                    .iter()
                    .filter(|it| it.comment == key || it.fingerprint == key || it.id.to_string() == key)
                    .collect();
                if wanted.is_empty() {
                    let have: Vec<&str> = keys.iter().map(|it| it.comment.as_str()).collect();
                    let hint = match have.as_slice() {
                        [] => "You have no SSH keys.".to_owned(),
                        have => format!("You have: {}.", have.join(", ")),
                    };
                    return Err(Failure::new(format!("There is no SSH key {key}.")).hint(hint).into());
                }
                let action = Action::start(format!("Removing the SSH key {key}"));
                for key in wanted {
                    remove(client, key).await?;
                }
                action.done();
                Ok(())
            }
            Self::Clear => {
                let client = context.client()?;
                let action = Action::start("Removing all SSH keys");
                for key in client.list::<Key>("/account/keys").await? {
                    remove(client, &key).await?;
                }
                action.done();
                Ok(())
            }
        }
    }
}

async fn remove(client: &Client, key: &Key) -> anyhow::Result<()> {
    client.delete(&format!("/account/keys/{}", key.id)).await
}

async fn list(client: &Client, long: bool, json: bool) -> anyhow::Result<()> {
    let keys: Vec<Key> = client.list("/account/keys").await?;
    if json {
        return output::json(&keys);
    }
    let Some(first) = keys.first() else {
        output::note("You have no SSH keys. `paas keys:add` adds one.");
        return Ok(());
    };
    output::heading(format_args!("{} keys", first.email));
    if long {
        for key in &keys {
            output::line(&key.public_key);
        }
        return Ok(());
    }
    let rows = keys.iter().map(|key| {
        let kind = key.public_key.split(' ').next().unwrap_or_default();
        vec![kind.to_owned(), key.comment.clone(), key.fingerprint.clone()]
    });
    output::table(&["Kind", "Comment", "Fingerprint (MD5)"], rows.collect());
    Ok(())
}

/// The public key in ~/.ssh, if there is one and only one.
fn find(context: &Context, yes: bool) -> anyhow::Result<PathBuf> {
    let home = context.settings.home.as_ref();
    let folder =
        home.ok_or_else(|| Failure::new("There is no home folder to look for keys in.").hint("Name the file."))?;
    let folder = folder.join(".ssh");
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path())).collect())
        .unwrap_or_default();
    files.retain(|file| file.extension().is_some_and(|end| end == "pub"));
    files.sort();
    match files.as_slice() {
        [] => Err(Failure::new(format!("There is no public key in {}.", folder.display()))
            .hint("Make one with: ssh-keygen -t ed25519")
            .into()),
        [file] => {
            output::note(format_args!("Found an SSH public key at {}", file.display()));
            let asks = !yes && std::io::IsTerminal::is_terminal(&std::io::stdin());
            if asks && !inquire::Confirm::new("Add it to your account?").with_default(true).prompt()? {
                return Err(Failure::new("Nothing was added.").into());
            }
            Ok(file.clone())
        }
        several => {
            let names: Vec<String> = several.iter().map(|file| file.display().to_string()).collect();
            Err(Failure::usage("There are several public keys.")
                .hint(format!("Name one of: {}", names.join(", ")))
                .into())
        }
    }
}

async fn add(client: &Client, file: &Path) -> anyhow::Result<()> {
    let public_key = std::fs::read_to_string(file).with_context(|| format!("{} can't be read", file.display()))?;
    // It would be on its way before the server could say so.
    if public_key.contains("PRIVATE KEY") {
        return Err(Failure::new(format!("{} is a private key: nobody else may see it.", file.display()))
            .hint("Give the file beside it that ends in .pub.")
            .into());
    }
    let action = Action::start(format!("Adding the SSH key {}", file.display()));
    let _: Key = client.send_json(Method::POST, "/account/keys", &KeyCreate { public_key }).await?;
    action.done();
    Ok(())
}
