//! Help by topic, and the table of docs/cli.md. Both come from the commands themselves.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use clap::builder::styling::Style;
use clap::error::{ContextKind, ContextValue};

use crate::failure::Failure;
use crate::{habits, output};

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
    ("router", "how the router is"),
    ("routing", "how the router treats an app"),
    ("run", "run a command in a one-off dyno"),
    ("sessions", "where you are logged in by a browser"),
    ("stack", "the system that an app is built and run on"),
    ("status", "how the platform is"),
    ("teams", "people who share apps"),
    ("telemetry", "where logs, metrics and traces are sent in OpenTelemetry's form"),
    ("version", "the version of this program"),
    ("webhooks", "who is told of what happens to an app"),
];

/// What the environment says to this program.
const ENVIRONMENT: &[(&str, &str)] = &[
    ("PAAS_HOST", "URL of the server's API, such as https://api.example.com; http://localhost:5000 when not set"),
    ("PAAS_API_KEY", "API token; it goes before the one that `paas login` keeps"),
    ("PAAS_APP", "app to work on, after --app and --remote"),
    (
        "PAAS_CA_CERT",
        "PEM file with certificate authorities to trust besides the system's: the ca.pem of a server that made its own",
    ),
    ("NETRC", "file that tokens are kept in; ~/.netrc when not set"),
    ("EDITOR", "editor of `config:edit`, after VISUAL"),
    ("NO_COLOR", "when set, nothing is coloured"),
    ("HTTPS_PROXY", "the way to the server, but for those on this machine and those of NO_PROXY"),
];

/// Topics of Heroku's command line that have no place here, and what there is instead.
const ELSEWHERE: &[(&str, &str)] = &[
    (
        "accounts",
        "One token a server is kept: `paas login` with another PAAS_HOST, or PAAS_API_KEY, is another account.",
    ),
    ("data", "There is Redis: paas help redis. Other databases are reached by config vars."),
    ("enterprise", "There are teams: paas help teams"),
    ("notifications", "`paas logs` and `paas webhooks` tell what happens."),
    ("pg", "There is no Postgres here: set DATABASE_URL of one that you have with `paas config:set`."),
    ("plugins", "paas has no plugins."),
    ("psql", "There is no Postgres here: `psql \"$(paas config:get DATABASE_URL)\"` reaches one that you have."),
    ("spaces", "There are no spaces: one machine runs all apps."),
    ("update", "paas comes with its server: install the new one as you installed this."),
];

/// Verbs that nobody is to be led to by a slip.
const DESTROYING: [&str; 6] = ["destroy", "delete", "remove", "clear", "kill", "stop"];

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
    for command in habits::command().get_subcommands().filter(|command| !command.is_hide_set()) {
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
    let mut root = habits::command();
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
    let wanted = match error.get(ContextKind::InvalidSubcommand) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let failure = Failure::usage(format!("{wanted} is no paas command."));
    if let Some((_, why)) = ELSEWHERE.iter().find(|(name, _)| *name == topic(wanted)) {
        return failure.hint(*why);
    }
    let root = habits::command();
    let names = root.get_subcommands().filter(|command| !command.is_hide_set());
    let names = names.flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()));
    // What is not sure is not said, and never to destroy something.
    let near = names
        .filter(|name| !DESTROYING.iter().any(|verb| name.ends_with(verb)) && is_same_topic(name, wanted))
        .map(|name| (distance(name, wanted), name))
        .filter(|(distance, _)| *distance <= if wanted.len() < 5 { 1 } else { 2 })
        .min();
    failure.hint(match near {
        Some((_, near)) => format!("Did you mean `paas {near}`? All there is: paas help"),
        None if topics().contains_key(topic(wanted)) => format!("What there is: paas help {}", topic(wanted)),
        None => "All there is: paas help".to_owned(),
    })
}

/// What to say to a command that was written wrongly: clap's words in our voice.
pub(crate) fn misuse(error: &clap::Error) -> Failure {
    let text = error.to_string();
    let mut parts = text.trim().split("\n\n");
    let first = parts.next().unwrap_or_default().trim_start_matches("error: ");
    let mut message = first.split_whitespace().collect::<Vec<_>>().join(" ");
    if let Some(first) = message.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    if !message.ends_with('.') {
        message.push('.');
    }
    let mut hints = Vec::new();
    for part in parts.map(str::trim) {
        if let Some(tip) = part.strip_prefix("tip: ") {
            hints.push(tip.to_owned());
        } else if let Some(usage) = part.strip_prefix("Usage: ") {
            let command = usage.split_whitespace().nth(1).filter(|word| word.starts_with(|c: char| c.is_lowercase()));
            hints.push(match command {
                Some(command) => format!("Usage: {usage}\nAll about it: paas {command} --help"),
                None => "All there is: paas help".to_owned(),
            });
        }
    }
    Failure::usage(message).hint(hints.join("\n"))
}

fn is_same_topic(name: &str, wanted: &str) -> bool {
    match (name.split_once(':'), wanted.split_once(':')) {
        (Some((one, _)), Some((other, _))) => distance(one, other) <= 1,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// How many letters have to be changed, added or taken away (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (line, letter) in one.chars().enumerate() {
        let mut last = line;
        row[0] = line + 1;
        for (column, wanted) in other.iter().enumerate() {
            let changed = last + usize::from(letter != *wanted);
            last = row[column + 1];
            row[column + 1] = changed.min(last + 1).min(row[column] + 1);
        }
    }
    row[other.len()]
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
    text.push_str("\n## Environment\n\n");
    for (name, what) in ENVIRONMENT {
        let _ = writeln!(text, "- `{name}`: {what}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (one, other, wanted) in [("config", "confg", 1), ("open", "nope", 2), ("a", "a", 0), ("", "abc", 3)] {
            assert_eq!(distance(one, other), wanted, "{one} {other}");
        }
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
