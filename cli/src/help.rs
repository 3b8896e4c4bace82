//! Help by topic, and the table of docs/cli.md. Both come from the commands themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::CommandFactory as _;
use clap::builder::styling::Style;
use clap::error::{ContextKind, ContextValue};

use crate::cli::Cli;
use crate::failure::Failure;
use crate::output;

const BOLD: Style = Style::new().bold();

/// What each topic is about.
const TOPICS: &[(&str, &str)] = &[
    ("access", "who may work on an app"),
    ("addons", "databases and services of an app"),
    ("apps", "create, look at, rename and destroy apps"),
    ("auth", "log in and out"),
    ("authorizations", "API tokens for programs"),
    ("buildpacks", "what turns source into an app"),
    ("builds", "builds and their output"),
    ("certs", "certificates that visitors of an app get"),
    ("ci", "tests of a pipeline"),
    ("clients", "programs that your users may let into their accounts"),
    ("completions", "command completion for your shell"),
    ("config", "config vars, an app's settings"),
    ("domains", "host names that lead to an app"),
    ("drains", "where log lines are sent"),
    ("features", "what can be switched on and off for an app"),
    ("git", "remotes and clones"),
    ("help", "this"),
    ("heroku", "Heroku's own command line, with this server"),
    ("keys", "your SSH keys"),
    ("labs", "features to be tried"),
    ("local", "run the app on this machine"),
    ("logs", "what the app and the platform say"),
    ("maintenance", "a page for visitors while you work"),
    ("members", "who is in a team"),
    ("pipelines", "apps from development to production"),
    ("ps", "dynos: list, scale, restart, stop"),
    ("redis", "look into an app's Redis"),
    ("regions", "where apps can run"),
    ("releases", "releases, and back to an earlier one"),
    ("reviewapps", "branches as apps of their own"),
    ("run", "run a command in a one-off dyno"),
    ("sessions", "where you are logged in by a browser"),
    ("stack", "the system that an app is built and run on"),
    ("status", "how the platform is"),
    ("teams", "people who share apps"),
    ("telemetry", "where logs, metrics and traces are sent in OpenTelemetry's form"),
    ("version", "the version of this program"),
    ("webhooks", "who is told of what happens to an app"),
];

/// A command as help shows it.
struct Entry {
    name: String,
    about: String,
    aliases: Vec<String>,
    arguments: String,
}

/// The topic of a command: what comes before the colon, or where it belongs by sense.
fn topic(name: &str) -> &str {
    match name {
        "login" | "logout" => "auth",
        "console" | "rake" => "run",
        name => name.split(':').next().unwrap_or(name),
    }
}

fn topics() -> BTreeMap<String, Vec<Entry>> {
    let mut topics: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for command in Cli::command().get_subcommands().filter(|command| !command.is_hide_set()) {
        let arguments: Vec<String> = command.get_positionals().map(ToString::to_string).collect();
        let entry = Entry {
            name: command.get_name().to_owned(),
            about: command.get_about().map(ToString::to_string).unwrap_or_default(),
            aliases: command.get_visible_aliases().map(str::to_owned).collect(),
            arguments: arguments.join(" "),
        };
        topics.entry(topic(command.get_name()).to_owned()).or_default().push(entry);
    }
    for entries in topics.values_mut() {
        entries.sort_by(|a, b| a.name.cmp(&b.name));
    }
    topics
}

fn about(topic: &str) -> &'static str {
    TOPICS.iter().find(|(name, _)| *name == topic).map_or("", |(_, about)| about)
}

/// What there is: one line a topic.
fn overview() {
    output::line(format_args!(
        "Your own platform: git push, and it runs.\n\n{BOLD}USAGE{BOLD:#}\n  paas COMMAND [OPTIONS]\n\n{BOLD}TOPICS{BOLD:#}"
    ));
    for name in topics().keys() {
        output::line(format_args!("  {name:16}{}", about(name)));
    }
    output::line(format_args!(
        "\n{BOLD}FIRST STEPS{BOLD:#}\n  \
         paas login              log in\n  \
         paas create             create an app for this git repository\n  \
         git push paas main      build and run it\n  \
         paas logs --tail        watch it\n\n\
         The commands of a topic: paas help TOPIC. All about one: paas COMMAND --help.\n\
         The server is {BOLD}PAAS_HOST{BOLD:#} (http://localhost:5000 when not set)."
    ));
}

/// `paas help`, `paas help TOPIC`, `paas help COMMAND`
pub(crate) fn show(wanted: Option<&str>) -> anyhow::Result<()> {
    let Some(wanted) = wanted else {
        overview();
        return Ok(());
    };
    let mut root = Cli::command();
    root.build();
    let command = root.find_subcommand_mut(wanted);
    let found = command.is_some();
    if let Some(command) = command {
        output::line(command.render_long_help().ansi());
    }
    let topics = topics();
    match topics.get(wanted) {
        Some(entries) if !found || entries.len() > 1 => show_topic(wanted, entries),
        None if !found => {
            return Err(Failure::usage(format!("There is no topic or command called {wanted}."))
                .hint("`paas help` lists the topics.")
                .into());
        }
        _ => {}
    }
    Ok(())
}

/// What to say to a command that there is not.
pub(crate) fn unknown(error: &clap::Error) -> Failure {
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.clone()),
        // The likeliest comes last.
        Some(ContextValue::Strings(texts)) => texts.last().cloned(),
        _ => None,
    };
    let wanted = text(ContextKind::InvalidSubcommand).unwrap_or_default();
    Failure::usage(format!("{wanted} is no paas command.")).hint(match text(ContextKind::SuggestedSubcommand) {
        Some(near) => format!("Did you mean `paas {near}`? All there is: paas help"),
        None => "All there is: paas help".to_owned(),
    })
}

fn show_topic(name: &str, entries: &[Entry]) {
    output::line(format_args!("{BOLD}{}{BOLD:#}: {}\n", name.to_uppercase(), about(name)));
    let width = entries.iter().map(|entry| entry.name.len()).max().unwrap_or_default() + 2;
    for entry in entries {
        output::line(format_args!("  {:width$}{}", entry.name, entry.about));
    }
    output::line("\nAll about one: paas COMMAND --help");
}

/// The reference table of docs/cli.md.
pub(crate) fn markdown() -> String {
    let mut text = String::from(
        "# Commands\n\n\
         Written by a test from the commands themselves (`cli/tests/docs.rs`): change those, not this file.\n\
         Options and examples: `paas COMMAND --help`.\n",
    );
    for (name, entries) in topics() {
        let _ = write!(text, "\n## {name}: {}\n\n| command | what it does |\n|---|---|\n", about(&name));
        for entry in entries {
            let arguments = entry.arguments.replace('|', "\\|");
            let call = format!("{} {arguments}", entry.name);
            let aliases = match entry.aliases.as_slice() {
                [] => String::new(),
                aliases => format!(" (also `{}`)", aliases.join("`, `")),
            };
            let _ = writeln!(text, "| `{}` | {}{aliases} |", call.trim_end(), entry.about);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commands_fit_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_topic_says_what_it_is_about() {
        let topics = topics();
        let silent: Vec<_> = topics.keys().filter(|name| about(name).is_empty()).collect();
        assert!(silent.is_empty(), "{silent:?}");
        let unused: Vec<_> = TOPICS.iter().filter(|(name, _)| !topics.contains_key(*name)).collect();
        assert!(unused.is_empty(), "{unused:?}");
        let mute: Vec<_> =
            topics.values().flatten().filter(|entry| entry.about.is_empty()).map(|entry| &entry.name).collect();
        assert!(mute.is_empty(), "{mute:?}");
    }
}
