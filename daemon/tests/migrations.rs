//! The two databases have one shape: the same files in the same order, the same tables,
//! columns, keys and indexes, and types that mean the same.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

use std::{fs, path::Path};

/// How a type is called in SQLite, and what Postgres may call it.
const TYPES: [(&str, &[&str]); 5] = [
    ("blob", &["uuid", "bytea"]),
    ("datetime", &["timestamptz"]),
    ("boolean", &["boolean"]),
    ("text", &["text", "jsonb"]),
    ("bigint", &["bigint"]),
];

#[test]
fn both_databases_have_the_same_shape() {
    let (sqlite, postgres) = (files("sqlite"), files("postgres"));
    let names = |files: &[(String, Vec<String>)]| files.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&sqlite), names(&postgres), "each migration has a file of the same name for each database");
    for ((name, ours), (_, theirs)) in sqlite.iter().zip(&postgres) {
        let mut left = ours.iter();
        let mut right = theirs.iter();
        loop {
            match (left.next(), right.next()) {
                (None, None) => break,
                (Some(a), Some(b)) => assert!(same(a, b), "{name}\n  sqlite:   {a}\n  postgres: {b}"),
                (a, b) => panic!("{name}: one has more\n  sqlite:   {a:?}\n  postgres: {b:?}"),
            }
        }
    }
}

#[test]
fn differences_are_seen() {
    assert!(same("id blob primary key", "id uuid primary key"));
    assert!(same("data text not null", "data jsonb not null"));
    assert!(!same("id blob not null", "id bytea"), "nullability");
    assert!(!same("a bigint not null default 0", "a bigint not null default 1"), "default");
    assert!(!same("at datetime", "at bigint"), "type");
    assert!(!same("a text", "b text"), "name");
}

/// The migrations of one database: name, and its parts one by one in lower case: what
/// stands before a table's brackets, each column or key in them, and each other statement.
fn files(database: &str) -> Vec<(String, Vec<String>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations").join(database);
    let mut files: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| {
            (path.file_name().unwrap().to_str().unwrap().to_owned(), parts(&fs::read_to_string(&path).unwrap()))
        })
        .collect();
    files.sort();
    assert!(!files.is_empty() && files.iter().all(|(_, parts)| !parts.is_empty()));
    files
}

fn parts(text: &str) -> Vec<String> {
    let code: String = text.lines().map(|line| line.split("--").next().unwrap().to_owned() + "\n").collect();
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for c in code.to_lowercase().chars() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        // Commas in a table's own brackets part its columns; deeper ones belong to a key.
        if c == ';' || c == ',' && depth == 1 || c == '(' && depth == 1 {
            parts.push(String::new());
        } else {
            parts.last_mut().unwrap().push(c);
        }
    }
    let tidy = |part: &String| part.split_whitespace().collect::<Vec<_>>().join(" ");
    parts.iter().map(tidy).filter(|part| !part.is_empty()).collect()
}

fn same(sqlite: &str, postgres: &str) -> bool {
    let (a, b): (Vec<_>, Vec<_>) = (sqlite.split(' ').collect(), postgres.split(' ').collect());
    a.len() == b.len()
        && a.iter().zip(&b).all(|(a, b)| a == b || TYPES.iter().any(|(ours, theirs)| a == ours && theirs.contains(b)))
}
