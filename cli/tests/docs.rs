//! docs/cli.md and the completions come from the commands.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod util;

use std::process::Command;

use util::World;

/// Write the file anew with `PAAS_UPDATE_DOCS=1 cargo test -p paas --test docs`.
#[test]
fn the_table_of_commands_is_true() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/cli.md");
    let now = World::new().run(&["docs:table"]).stdout;
    #[allow(clippy::disallowed_methods, reason = "a switch of the test, not a setting")]
    if std::env::var_os("PAAS_UPDATE_DOCS").is_some() {
        std::fs::write(file, &now).unwrap();
    }
    let kept = std::fs::read_to_string(file).unwrap_or_default();
    assert!(kept == now, "docs/cli.md is old; write it anew with PAAS_UPDATE_DOCS=1 cargo test -p paas --test docs");
}

#[test]
fn bash_completes_names_with_colons() {
    let world = World::new();
    let script = world.home.path().join("paas.bash");
    std::fs::write(&script, world.run(&["completions", "bash"]).stdout).unwrap();
    let complete = |line: &str| {
        let program = format!(
            "source {}; COMP_LINE='{line}'; COMP_POINT=${{#COMP_LINE}}; _paas_with_colons; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            script.display()
        );
        let output = Command::new("bash").args(["-c", &program]).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    // What is before the colon stays on the line, so only the rest is offered.
    assert_eq!(complete("paas ps:sc"), "scale\n");
    assert!(complete("paas conf").lines().any(|word| word == "config:set"));
    assert!(complete("paas ps:scale --").lines().any(|word| word == "--app"));
}

#[test]
fn zsh_completes_names_with_colons() {
    let world = World::new();
    let script = world.run(&["completions", "zsh"]).stdout;
    // `_describe` takes what is before the first bare colon as the name.
    let array = script.split("_paas_commands() {").nth(1).unwrap().split("commands=(").nth(1).unwrap();
    let array = array.split("\n    )").next().unwrap();
    let words = array.lines().filter_map(|line| line.trim().strip_prefix('\'')?.split('\'').next());
    let described: Vec<String> = words
        .map(|word| {
            let bare = word.match_indices(':').map(|(at, _)| at).find(|at| !word[..*at].ends_with('\\'));
            word[..bare.unwrap()].replace("\\:", ":")
        })
        .collect();
    let table = world.run(&["docs:table"]).stdout;
    let names = table.lines().filter_map(|line| line.strip_prefix("| `")?.split(['`', ' ']).next());
    let missing: Vec<&str> = names.filter(|name| !described.iter().any(|word| word == name)).collect();
    assert!(missing.is_empty(), "{missing:?} of {described:?}");

    // And the shell itself, where there is one.
    if Command::new("zsh").arg("--version").output().is_err() {
        return;
    }
    let folder = world.home.path();
    std::fs::write(folder.join("_paas"), script).unwrap();
    // Its line editor works on a terminal only: zpty is one.
    let program = r#"
        zmodload zsh/zpty
        zpty z zsh -f -i
        zpty -w z "PS1=; fpath=($PWD \$fpath); autoload -U compinit; compinit -D -u; compdef _paas paas; print rea''dy"
        zpty -r z out '*ready*'
        zpty -w -n z $'paas addons:cr\t'
        zpty -r z out '*addons:create*'
        zpty -w -n z $'\C-u'"paas ps:sc"$'\t'
        zpty -r z out '*ps:scale*'
        print done
    "#;
    let output = Command::new("timeout")
        .args(["60", "zsh", "-f", "-c", program])
        .current_dir(folder)
        .env("HOME", folder)
        .env("TERM", "dumb")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.ends_with("done\n"), "{said} {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn fish_completes_names_with_colons() {
    let world = World::new();
    let script = world.run(&["completions", "fish"]).stdout;
    assert!(script.contains(r#"-a "addons:create""#));
    if Command::new("fish").arg("--version").output().is_err() {
        return;
    }
    let file = world.home.path().join("paas.fish");
    std::fs::write(&file, script).unwrap();
    let program = format!("source {}; complete -C 'paas addons:cr'", file.display());
    let output = Command::new("fish").args(["-c", &program]).env("HOME", world.home.path()).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.starts_with("addons:create\t"), "{said}");
}

#[test]
fn other_shells_and_the_version() {
    let world = World::new();
    assert!(world.run(&["completions", "zsh"]).stdout.starts_with("#compdef paas"));
    assert!(world.run(&["completions", "fish"]).stdout.contains("complete -c paas"));
    for arguments in [["version"], ["--version"]] {
        assert_eq!(world.run(&arguments).stdout, concat!("paas ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    assert_eq!(world.run(&["--help"]).stdout, world.run(&["help"]).stdout);
}
