//! Config vars: `config`, `:get`, `:set`, `:unset`, `:edit`.

use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Context as _;
use clap::Subcommand;
use paas_wire::range::Order;
use paas_wire::{ConfigVars, ConfigVarsUpdate, Range, Release};
use reqwest::Method;

use crate::app::AppArgs;
use crate::client::{Client, app_path};
use crate::context::Context;
use crate::failure::{self, Exit, Failure};
use crate::output;
use crate::progress::Action;

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show all config vars
    #[command(name = "config")]
    List {
        #[command(flatten)]
        app: AppArgs,
        /// As lines for a shell
        #[arg(short, long, conflicts_with = "json")]
        shell: bool,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show single config vars
    #[command(name = "config:get")]
    Get {
        /// Names of the vars
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// As lines for a shell
        #[arg(short, long)]
        shell: bool,
        /// As JSON
        #[arg(long, conflicts_with = "shell")]
        json: bool,
    },
    /// Set config vars, all in one release
    #[command(name = "config:set", visible_alias = "config:add")]
    Set {
        /// What to set
        #[arg(value_name = "KEY=VALUE", required = true)]
        vars: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// Don't restart the dynos; they see the change at their next start
        #[arg(long)]
        no_restart: bool,
    },
    /// Take config vars away, all in one release
    #[command(name = "config:unset", visible_alias = "config:remove")]
    Unset {
        /// Names of the vars
        #[arg(value_name = "KEY", required = true)]
        keys: Vec<String>,
        #[command(flatten)]
        app: AppArgs,
        /// Don't restart the dynos; they see the change at their next start
        #[arg(long)]
        no_restart: bool,
    },
    /// Edit config vars in your editor
    #[command(name = "config:edit")]
    Edit {
        /// Edit only this one, its value as the whole text
        #[arg(value_name = "KEY")]
        key: Option<String>,
        #[command(flatten)]
        app: AppArgs,
    },
}

impl Command {
    pub(crate) async fn run(self, context: &Context) -> anyhow::Result<()> {
        match self {
            Self::List { app, shell, json } => {
                let (app, client) = context.app(&app)?;
                list(client, &app, shell, json).await
            }
            Self::Get { keys, app, shell, json } => {
                let (app, client) = context.app(&app)?;
                get(client, &app, &keys, shell, json).await
            }
            Self::Set { vars, app, no_restart } => {
                let vars = parse_vars(&vars)?;
                let (app, client) = context.app(&app)?;
                set(client, &app, vars, no_restart).await
            }
            Self::Unset { keys, app, no_restart } => {
                let (app, client) = context.app(&app)?;
                let now = vars(client, &app).await?;
                let (keys, missing): (Vec<_>, Vec<_>) = keys.into_iter().partition(|key| now.contains_key(key));
                if !missing.is_empty() {
                    output::complain(&format!("{} is not set on {app}.", missing.join(", ")));
                }
                if keys.is_empty() {
                    return Ok(());
                }
                let update = keys.iter().map(|key| (key.clone(), None)).collect();
                let verb = format!("Unsetting {}", keys.join(", "));
                change(client, &app, &verb, &update, no_restart).await.map(drop)
            }
            Self::Edit { key, app } => {
                let (app, client) = context.app(&app)?;
                edit(context, client, &app, key.as_deref()).await
            }
        }
    }
}

async fn vars(client: &Client, app: &str) -> anyhow::Result<ConfigVars> {
    client.get(&app_path(app, "/config-vars")).await
}

async fn list(client: &Client, app: &str, shell: bool, json: bool) -> anyhow::Result<()> {
    let vars = vars(client, app).await?;
    if json {
        return output::json(&vars);
    }
    if shell {
        for (key, value) in &vars {
            output::value(&format!("{key}={}", quote(value)));
        }
        return Ok(());
    }
    output::heading(format_args!("{app} Config Vars"));
    output::pairs(&vars.iter().map(|(key, value)| (key.as_str(), value.clone())).collect::<Vec<_>>());
    Ok(())
}

async fn get(client: &Client, app: &str, keys: &[String], shell: bool, json: bool) -> anyhow::Result<()> {
    let mut vars = vars(client, app).await?;
    let missing = keys.iter().any(|key| !vars.contains_key(key));
    if json {
        vars.retain(|key, _| keys.contains(key));
        output::json(&vars)?;
    } else {
        for key in keys {
            let value = vars.get(key).map(String::as_str);
            match (shell, value) {
                (true, Some(value)) => output::value(&format!("{key}={}", quote(value))),
                (true, None) => {}
                (false, value) => output::value(value.unwrap_or_default()),
            }
        }
    }
    if missing { Err(Exit(1).into()) } else { Ok(()) }
}

pub(super) fn parse_vars(arguments: &[String]) -> Result<Vec<(String, String)>, Failure> {
    arguments
        .iter()
        .map(|argument| match argument.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
            _ => Err(Failure::usage(format!("{argument:?} is not of the form KEY=VALUE."))
                .hint("For example: paas config:set LANG=en_US.UTF-8 RACK_ENV=production")),
        })
        .collect()
}

async fn set(client: &Client, app: &str, vars: Vec<(String, String)>, no_restart: bool) -> anyhow::Result<()> {
    let keys: Vec<&str> = vars.iter().map(|(key, _)| key.as_str()).collect();
    let verb = format!("Setting {}", keys.join(", "));
    let update = vars.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).collect();
    let now = change(client, app, &verb, &update, no_restart).await?;
    let set = vars.iter().map(|(key, _)| (key.as_str(), now.get(key).cloned().unwrap_or_default()));
    output::pairs(&set.collect::<Vec<_>>());
    Ok(())
}

/// Sends a change and says which release it made.
async fn change(
    client: &Client,
    app: &str,
    verb: &str,
    update: &ConfigVarsUpdate,
    no_restart: bool,
) -> anyhow::Result<ConfigVars> {
    let (words, query) = if no_restart { ("without restarting", "?restart=false") } else { ("and restarting", "") };
    let action = Action::start(format!("{verb} {words} {}", output::app(app)));
    let path = app_path(app, &format!("/config-vars{query}"));
    let now: ConfigVars = client.send_json(Method::PATCH, &path, update).await?;
    let latest =
        Range { property: Some("version".to_owned()), max: Some(1), order: Some(Order::Desc), ..Range::default() };
    let releases: Vec<Release> = client.page(&app_path(app, "/releases"), &latest).await?;
    match releases.first() {
        Some(release) => action.done_with(format_args!("v{}", release.version)),
        None => action.done(),
    }
    Ok(now)
}

async fn edit(context: &Context, client: &Client, app: &str, key: Option<&str>) -> anyhow::Result<()> {
    let old = vars(client, app).await?;
    let text = match key {
        Some(key) => old.get(key).cloned().unwrap_or_default(),
        None => old.iter().map(|(key, value)| format!("{key}={}\n", escape(value))).collect(),
    };
    let draft = Draft::new(&text)?;
    loop {
        let error = match draft.edit(context).await {
            Ok(edited) => match change_to(client, app, &old, key, &edited).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if !draft.is_changed(&text) {
            return Err(error);
        }
        if !std::io::stdin().is_terminal() {
            draft.keep()?;
            return Err(error);
        }
        failure::report(&error);
        if !inquire::Confirm::new("Edit the text again?").with_default(true).prompt().unwrap_or(false) {
            draft.keep()?;
            return Err(Exit(failure::ERROR).into());
        }
    }
}

/// Makes the config vars what the edited text says: the value of `key`, or all.
async fn change_to(
    client: &Client,
    app: &str,
    old: &ConfigVars,
    key: Option<&str>,
    edited: &str,
) -> anyhow::Result<()> {
    let new = match key {
        Some(key) => {
            let ends = old.get(key).is_some_and(|value| value.ends_with('\n'));
            let edited = edited.strip_suffix('\n').filter(|_| !ends).unwrap_or(edited);
            let mut new = old.clone();
            if edited.is_empty() {
                new.remove(key);
            } else {
                new.insert(key.to_owned(), edited.to_owned());
            }
            new
        }
        None => parse_edited(edited)?,
    };
    let update = difference(old, &new);
    if update.is_empty() {
        output::note("Nothing changed.");
        return Ok(());
    }
    let names = |wanted: fn(&Option<String>) -> bool| {
        let keys: Vec<&str> = update.iter().filter(|(_, value)| wanted(value)).map(|(key, _)| key.as_str()).collect();
        keys.join(", ")
    };
    let (set, unset) = (names(Option::is_some), names(Option::is_none));
    let verb = match (set.is_empty(), unset.is_empty()) {
        (false, true) => format!("Setting {set}"),
        (true, _) => format!("Unsetting {unset}"),
        (false, false) => format!("Setting {set} and unsetting {unset}"),
    };
    change(client, app, &verb, &update, false).await.map(drop)
}

fn difference(old: &ConfigVars, new: &ConfigVars) -> ConfigVarsUpdate {
    let gone = old.keys().filter(|key| !new.contains_key(*key)).map(|key| (key.clone(), None));
    let changed = new
        .iter()
        .filter(|(key, value)| old.get(*key) != Some(*value))
        .map(|(key, value)| (key.clone(), Some(value.clone())));
    gone.chain(changed).collect()
}

/// A text under an editor, in a file that only its user can read and that goes with this.
struct Draft(tempfile::TempPath);

impl Draft {
    fn new(text: &str) -> anyhow::Result<Self> {
        let mut file = tempfile::Builder::new().prefix("paas-config-").suffix(".txt").tempfile()?;
        file.write_all(text.as_bytes()).and_then(|()| file.flush()).context("The text can't be written")?;
        // By its name from here on: an editor may put a new file in its place.
        Ok(Self(file.into_temp_path()))
    }

    async fn edit(&self, context: &Context) -> anyhow::Result<String> {
        run_editor(context, &self.0).await?;
        fs::read_to_string(&self.0).context("The edited text can't be read")
    }

    fn is_changed(&self, text: &str) -> bool {
        fs::read(&self.0).is_ok_and(|now| now != text.as_bytes())
    }

    /// Leaves the file where it is, and says where.
    fn keep(self) -> anyhow::Result<()> {
        fs::set_permissions(&self.0, fs::Permissions::from_mode(0o600)).context("The edited text can't be kept")?;
        let file = self.0.keep().context("The edited text can't be kept")?;
        output::complain(&format!(
            "What you wrote is kept in {}; it may hold secrets, so delete it when you are done.",
            file.display()
        ));
        Ok(())
    }
}

async fn run_editor(context: &Context, file: &Path) -> anyhow::Result<()> {
    let editor = &context.settings.editor;
    // By a shell, since EDITOR may hold options ("code --wait"). Ctrl-C is the editor's.
    let mut program = tokio::process::Command::new("sh");
    program.args(["-c", &format!("trap : INT; {editor} \"$1\""), "sh"]).arg(file);
    let status = context.lend_terminal(&mut program).await.context("The editor can't be started")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("The editor ({editor}) ended with {status}; nothing was changed."))
        .hint("Choose another one with EDITOR.")
        .into())
}

/// A value in one line: as it is where that is unmistakable, else as a JSON string.
fn escape(value: &str) -> String {
    let plain = !value.contains(|c: char| c.is_control()) && value.trim() == value && !value.starts_with('"');
    if plain { value.to_owned() } else { serde_json::Value::from(value).to_string() }
}

fn parse_edited(text: &str) -> Result<ConfigVars, Failure> {
    let mut vars = ConfigVars::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = |what: &str| Failure::new(format!("Line {} {what}; nothing was changed.", number + 1));
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("is not of the form KEY=VALUE"))?;
        let value = if value.starts_with('"') {
            serde_json::from_str(value).map_err(|_| wrong("has a quoted value that does not end well"))?
        } else {
            value.to_owned()
        };
        vars.insert(key.trim().to_owned(), value);
    }
    Ok(vars)
}

/// A value as a word of a shell.
pub(crate) fn quote(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        return value.to_owned();
    }
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn what_is_edited_comes_back() {
        let values = ["", "plain", " padded ", "two\nlines", "\"quoted\"", "a=b", "ünï", "tab\t", "#no comment"];
        let vars: ConfigVars =
            values.iter().enumerate().map(|(n, value)| (format!("K{n}"), (*value).to_owned())).collect();
        let text: String = vars.iter().map(|(key, value)| format!("{key}={}\n", escape(value))).collect();
        assert_eq!(parse_edited(&text).unwrap(), vars);
        assert!(parse_edited("A=1\nB").unwrap_err().to_string().starts_with("Line 2"));
        assert!(parse_edited("A=\"x").is_err());
    }

    #[test]
    fn only_differences_are_sent() {
        let vars = |pairs: &[(&str, &str)]| -> ConfigVars {
            pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let update = difference(&vars(&[("A", "1"), ("B", "2"), ("C", "3")]), &vars(&[("A", "1"), ("B", "x")]));
        let wanted: ConfigVarsUpdate = [("B".to_owned(), Some("x".to_owned())), ("C".to_owned(), None)].into();
        assert_eq!(update, wanted);
    }

    #[test]
    fn words_of_a_shell() {
        assert_eq!(
            ["a/b:1", "", "two words", "it's", "$HOME"].map(quote),
            ["a/b:1", "''", "'two words'", r"'it'\''s'", "'$HOME'"]
        );
    }
}
