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
fn other_shells_and_the_version() {
    let world = World::new();
    assert!(world.run(&["completions", "zsh"]).stdout.starts_with("#compdef paas"));
    assert!(world.run(&["completions", "fish"]).stdout.contains("complete -c paas"));
    for arguments in [["version"], ["--version"]] {
        assert_eq!(world.run(&arguments).stdout, concat!("paas ", env!("CARGO_PKG_VERSION"), "\n"));
    }
    assert_eq!(world.run(&["--help"]).stdout, world.run(&["help"]).stdout);
}
