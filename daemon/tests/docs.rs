//! What the documentation says about the daemon is so: its table of settings, and its links.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should stop")]

use std::{fs, path::Path};

use clap::{Args as _, Command};
use paas_daemon::config::Config;

/// Write the table anew with `PAAS_UPDATE_DOCS=1 cargo test -p paasd --test docs`.
#[test]
fn the_table_of_settings_is_that_of_the_code() {
    let mut wanted = String::from("| environment | flag | default | |\n|---|---|---|---|\n");
    for argument in Config::augment_args(Command::new("paasd")).get_arguments() {
        let text = |value: &std::ffi::OsStr| value.to_str().unwrap().to_owned();
        let env = argument.get_env().map(text).unwrap();
        let default = argument.get_default_values().first().map(|value| format!("`{}`", text(value)));
        let help = argument.get_help().unwrap().to_string().replace('|', "\\|");
        let flag = argument.get_long().unwrap();
        wanted.push_str(&format!("| `{env}` | `--{flag}` | {} | {help} |\n", default.unwrap_or_default()));
    }
    let file = root().join("docs/operations.md");
    let page = fs::read_to_string(&file).unwrap();
    let have: String = page
        .lines()
        .skip_while(|line| !line.starts_with("| environment |"))
        .take_while(|line| line.starts_with('|'))
        .map(|line| format!("{line}\n"))
        .collect();
    #[allow(clippy::disallowed_methods, reason = "a switch of the test, not a setting")]
    if std::env::var_os("PAAS_UPDATE_DOCS").is_some() {
        return fs::write(&file, page.replace(&have, &wanted)).unwrap();
    }
    assert!(have == wanted, "docs/operations.md: the table of settings is to be this:\n\n{wanted}");
}

#[test]
fn links_between_pages_lead_somewhere() {
    let mut pages = vec![root().join("README.md"), root().join("benches/README.md")];
    pages.extend(fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path()));
    for page in pages.iter().filter(|page| page.extension().is_some_and(|e| e == "md")) {
        for link in fs::read_to_string(page).unwrap().split("](").skip(1) {
            let target = link.split([')', '#']).next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(page.parent().unwrap().join(target).exists(), "{}: {target} is not there", page.display());
            }
        }
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}
