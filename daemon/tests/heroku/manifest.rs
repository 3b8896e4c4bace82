//! `paas` knows the commands, aliases and options of Heroku's command line, so that hands and
//! scripts that know that one need to learn nothing. Those of commands that make sense here, as
//! its manifest lists them.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

use crate::{client::installed, page, util::programs};

/// Options that `paas` does not take, of a command and those below it, and why. What it takes
/// and can't do would be a lie.
const REFUSED: &[(&str, &str, &str)] = &[
    ("addons:attach", "credential", "only Heroku's Postgres has credentials"),
    ("apps:create", "features", "features are of an app that is there"),
    ("apps:create", "kernel", "there are no kernels to choose from"),
    ("apps:create", "manifest", "there are no images, and so no heroku.yml"),
    ("apps", "internal-routing", "there are no spaces"),
    ("apps", "space", "there are no spaces"),
    ("auth:login", "sso", "there is nobody else to log in at"),
    ("domains", "columns", "--csv and --json have all"),
    ("domains", "filter", "--csv and --json have all"),
    ("domains", "sort", "--csv and --json have all"),
    ("orgs", "enterprise", "there are no enterprise accounts"),
    ("run:inside", "listen", "ps:forward forwards ports"),
    ("telemetry", "space", "there are no spaces"),
    ("webhooks", "pipeline", "webhooks are of apps"),
];

fn paas(arguments: &[&str]) -> (bool, String) {
    let mut paas = Command::new(programs().join("paas"));
    let output = paas.args(arguments).env_clear().env("PAAS_HOST", "http://127.0.0.1:1").output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

#[test]
fn its_commands_and_options_are_taken() {
    let manifest = std::fs::read_to_string(installed().join("node_modules/heroku/oclif.manifest.json")).unwrap();
    let manifest: Value = serde_json::from_str(&manifest).unwrap();
    let data = |name: &str| name == "psql" || name.starts_with("pg:") || name.starts_with("data:");
    let (mut wrong, mut used) = (Vec::new(), BTreeSet::new());
    for (class, name) in page::classes().filter(|(_, name)| !data(name)) {
        let command = &manifest["commands"][name];
        if !["A1", "A2", "L"].contains(&class) {
            continue;
        }
        // What works on the user's machine only has its own sense there.
        if !paas(&[name, "--help"]).0 {
            wrong.extend((class != "L").then(|| format!("{name} is no command")));
            continue;
        }
        for alias in texts(&command["aliases"]).chain(texts(&command["hiddenAliases"])) {
            if !paas(&[alias, "--help"]).0 {
                wrong.push(format!("{alias} is no other name of {name}"));
            }
        }
        for (option, about) in command["flags"].as_object().unwrap() {
            let letter = about["char"].as_str().map(|letter| format!("-{letter}"));
            if option == "prompt" || option == "help" {
                continue;
            }
            let taken = std::iter::once(format!("--{option}")).chain(letter).all(|form| {
                let value = (about["type"] == "option").then_some("1");
                // Nothing runs: help comes first where all before it is understood.
                let arguments: Vec<&str> = [name, &form].into_iter().chain(value).chain(["--help"]).collect();
                !paas(&arguments).1.contains(&format!("nexpected argument '{form}'"))
            });
            let below = |of: &str| name.strip_prefix(of).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'));
            let known = REFUSED.iter().position(|(of, refused, _)| below(of) && refused == option);
            used.extend(known);
            match (taken, known) {
                (false, None) => wrong.push(format!("{name} does not take --{option}, or not its letter")),
                (true, Some(_)) => wrong.push(format!("{name} takes --{option}: it is refused no more")),
                (true, None) | (false, Some(_)) => {}
            }
        }
    }
    let idle = (0..REFUSED.len()).filter(|at| !used.contains(at));
    wrong.extend(idle.map(|at| format!("{:?} is no option of Heroku's", REFUSED[at])));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
