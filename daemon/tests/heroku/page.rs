//! docs/compatibility.md: what works, made of what the other tests did.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    path::{Path, PathBuf},
};

use paas_daemon::api;

use crate::results::{self, Outcome};

const COMMANDS: &str = include_str!("commands.txt");
const HEAD: &str = include_str!("compatibility.head.md");

/// What is known of a command without a test.
struct Command {
    class: &'static str,
    name: &'static str,
    note: &'static str,
}

fn commands() -> impl Iterator<Item = Command> {
    COMMANDS.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (class, rest) = line.split_once(' ').unwrap();
        let (name, note) = rest.split_once(' ').unwrap_or((rest, ""));
        Command { class, name, note }
    })
}

/// Class and name of every command.
pub fn classes() -> impl Iterator<Item = (&'static str, &'static str)> {
    commands().map(|command| (command.class, command.name))
}

/// What came of all commands, over all topics.
fn outcomes() -> BTreeMap<String, Outcome> {
    let mut all: BTreeMap<String, Outcome> = BTreeMap::new();
    for file in std::fs::read_dir(results::folder()).into_iter().flatten() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let topic: BTreeMap<String, Outcome> = serde_json::from_str(&text).unwrap();
        for (name, outcome) in topic {
            let sum = all.entry(name).or_default();
            sum.good.extend(outcome.good);
            sum.bad.extend(outcome.bad);
            sum.reason = sum.reason.take().or(outcome.reason);
        }
    }
    all
}

/// Whether it works, and why not.
fn verdict(outcome: Option<&Outcome>, command: &Command) -> (&'static str, String) {
    let Some(outcome) = outcome else {
        let word = command.note.split(' ').next().unwrap_or_default();
        let known = ["no", "partly", "later", "works"].into_iter().find(|known| *known == word);
        return match known {
            Some(known) => (known, command.note[word.len()..].trim().to_owned()),
            None => ("no", "not tested".to_owned()),
        };
    };
    match (&outcome.reason, outcome.good.is_empty(), outcome.bad.is_empty()) {
        (None, _, true) => ("works", String::new()),
        (None, true, false) => ("no", "the test fails".to_owned()),
        (None, false, false) => ("partly", "a part of its test fails".to_owned()),
        (Some(reason), true, _) => ("no", reason.clone()),
        (Some(reason), false, _) => ("partly", reason.clone()),
    }
}

fn page() -> String {
    let outcomes = outcomes();
    let mut text = HEAD.to_owned();
    let rows: Vec<_> = commands()
        .map(|command| {
            let (verdict, why) = verdict(outcomes.get(command.name), &command);
            (command, verdict, why)
        })
        .collect();
    let data = |name: &str| name.starts_with("pg:") || name.starts_with("data:");
    let apply = |command: &Command| command.class.starts_with('A') && !data(command.name);
    let (redis, others): (Vec<_>, Vec<_>) = rows
        .iter()
        .filter(|(command, ..)| apply(command))
        .partition(|(command, ..)| command.name.starts_with("redis:"));
    let works = |rows: &[&(Command, &str, String)]| rows.iter().filter(|(_, verdict, _)| *verdict == "works").count();
    let _ = writeln!(
        text,
        "\n## Commands\n\nOf the {} commands that apply to a server of one's own (without databases), {} work \
         unmodified; of the {} about Redis, {}.\n\n\
         | command | | why not |\n|---|---|---|",
        others.len(),
        works(&others),
        redis.len(),
        works(&redis),
    );
    for (command, verdict, why) in &rows {
        let _ = writeln!(text, "| `{}` | {verdict} | {why} |", command.name);
    }
    text.push_str("\n## Libraries\n\nEach makes an app, sets its config, scales it, looks at its releases, lets somebody in, gives it a domain, and destroys it.\n\n| library | | why not |\n|---|---|---|\n");
    for (name, what) in [("heroku3", "Python"), ("heroku-client", "Node"), ("heroku_rs", "Rust")] {
        let key = format!("sdk {name}");
        let (verdict, why) = verdict(outcomes.get(&key), &Command { class: "", name: "", note: "" });
        let _ = writeln!(text, "| {name} ({what}) | {verdict} | {why} |");
    }
    text.push_str("\n## Endpoints\n\nAll that the API answers to. Those marked + are not in Heroku's published schema: Heroku's clients use some of them all the same, the others are ours.\n\n| path | methods |\n|---|---|\n");
    let (_, list) = api::endpoints().split();
    let theirs = theirs();
    let mut paths: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for endpoint in &list {
        let method = endpoint.method.as_str();
        let mark = if theirs(method, endpoint.path) { "" } else { " +" };
        paths.entry(endpoint.path).or_default().push(format!("{method}{mark}"));
    }
    for (path, mut methods) in paths {
        methods.sort();
        let _ = writeln!(text, "| `{path}` | {} |", methods.join(", "));
    }
    text
}

type Theirs = Box<dyn Fn(&str, &str) -> bool>;

/// Whether an endpoint is in Heroku's schema: as the schema says, where `HEROKU_SCHEMA` names
/// it, else as the page says that is there.
fn theirs() -> Theirs {
    let Some(schema) = std::env::var_os("HEROKU_SCHEMA") else {
        let kept = std::fs::read_to_string(file()).unwrap_or_default();
        return Box::new(move |method, path| {
            let row = kept.lines().find_map(|line| line.strip_prefix(&format!("| `{path}` | ")));
            row.is_some_and(|row| row.trim_end_matches(" |").split(", ").any(|cell| cell == method))
        });
    };
    let schema: serde_json::Value = serde_json::from_slice(&std::fs::read(schema).unwrap()).unwrap();
    let links = schema["definitions"].as_object().unwrap().values().filter_map(|resource| resource["links"].as_array());
    let known: BTreeSet<(String, String)> = links
        .flatten()
        .map(|link| (link["method"].as_str().unwrap_or("GET").to_owned(), shape(link["href"].as_str().unwrap())))
        .collect();
    Box::new(move |method, path| known.contains(&(method.to_owned(), shape(path))))
}

/// A path whose parts that vary have no names.
fn shape(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').map(|part| if part.starts_with('{') { "{}" } else { part }).collect();
    parts.join("/")
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/compatibility.md")
}

/// Write the file anew with `PAAS_UPDATE_DOCS=1 deploy/test heroku`.
#[test]
#[ignore = "after the others, of whose results it is made: deploy/test heroku runs it"]
fn the_page_is_true() {
    let file = file();
    let now = page();
    if std::env::var_os("PAAS_UPDATE_DOCS").is_some() {
        std::fs::write(&file, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(kept == now, "docs/compatibility.md is old; write it anew with PAAS_UPDATE_DOCS=1 deploy/test heroku");
}

#[test]
fn every_command_is_there_once() {
    let mut names: Vec<&str> = commands().map(|command| command.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!((count, names.len()), (352, 352));
}
