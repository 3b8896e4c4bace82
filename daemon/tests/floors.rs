//! Holds the house to its plan: a module of the daemon names only lower floors, and no
//! source file of any crate grows past 500 lines.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Modules by floor, lowest first. Those on top put the others together.
const FLOORS: [&[&str]; 5] = [
    &["context", "config", "secret", "error"],
    &["store", "engine", "logs", "slugs", "addons", "outbound", "repos", "acme"],
    &["ops"],
    &["api", "git", "streams", "web", "tasks"],
    &["serve", "doctor", "main", "lib", "fuzzing"],
];

/// Neighbours that may be named, each with its reason: the part of the path that does it,
/// the module that it names.
const NEIGHBOURS: &[(&str, &str, &str)] = &[
    ("context.rs", "config", "the context hands the settings round"),
    ("context.rs", "secret", "and the sealer"),
    ("addons/", "engine", "a provider brings its services up on the engine it is given"),
    ("repos/", "outbound", "what drains and webhooks may not reach, repositories may not either"),
    ("acme/", "outbound", "names of users are tried only where users may have things sent"),
    ("tasks/control.rs", "api", "the control socket answers in the API's form of an error"),
    ("tasks/webhooks/", "api", "webhooks are told of things as the API shows them"),
    ("doctor/", "serve", "the doctor looks at what serve would use, made by the same functions"),
];

const LONGEST: usize = 500;

#[test]
fn a_module_names_only_lower_floors() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for file in sources(&src) {
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        let own = path.split('/').next().unwrap().trim_end_matches(".rs");
        let floor = floor_of(own).unwrap_or_else(|| panic!("{path}: which floor is {own} on? Say it in FLOORS."));
        for name in named(&fs::read_to_string(&file).unwrap()) {
            let Some(other) = floor_of(&name) else {
                wrong.push(format!("{path} names crate::{name}, which is on no floor"));
                continue;
            };
            let allowed = NEIGHBOURS.iter().position(|(who, whom, _)| path.starts_with(who) && *whom == name);
            used.extend(allowed);
            if name != own && other >= floor && (other > floor || allowed.is_none()) {
                wrong.push(format!("{path} names crate::{name}, which is not below it"));
            }
        }
    }
    let idle = (0..NEIGHBOURS.len()).filter(|at| !used.contains(at));
    wrong.extend(idle.map(|at| format!("{:?} is allowed but not done any more: take it out", NEIGHBOURS[at])));
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut long = Vec::new();
    for folder in fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path().join("src")) {
        for file in if folder.is_dir() { sources(&folder) } else { Vec::new() } {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            if lines > LONGEST {
                long.push(format!("{}: {lines} lines", file.strip_prefix(root).unwrap().display()));
            }
        }
    }
    assert!(long.is_empty(), "\nOne noun a file; divide these:\n{}\n", long.join("\n"));
}

#[test]
fn names_are_found() {
    let text = "use crate::{a::{b, c}, d as e,\n  f};\n/// [`crate::not`]\nlet x = crate::g::h(); // crate::not\n$crate::i::j!()";
    assert_eq!(named(text).into_iter().collect::<Vec<_>>(), ["a", "d", "f", "g", "i"]);
}

fn floor_of(module: &str) -> Option<usize> {
    FLOORS.iter().position(|modules| modules.contains(&module))
}

fn sources(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules after each `crate::`, those in braces too; comments left out.
fn named(text: &str) -> BTreeSet<String> {
    let code: Vec<&str> = text.lines().map(|line| line.split("//").next().unwrap_or_default()).collect();
    let code = code.join("\n");
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let list = rest.starts_with('{');
        let (mut depth, mut name) = (0, String::new());
        for c in rest.chars() {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                ',' if depth == 1 => names.extend(first(&std::mem::take(&mut name))),
                _ if list && depth == 0 => break,
                c if !(list || c.is_alphanumeric() || c == '_') => break,
                c if depth <= 1 => name.push(c),
                _ => {}
            }
            if list && depth == 0 {
                break;
            }
        }
        names.extend(first(&name));
    }
    names
}

fn first(path: &str) -> Option<String> {
    let word: String = path.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (!word.is_empty()).then_some(word)
}
