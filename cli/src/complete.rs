//! Shell completion, generated from the commands.

use clap::ValueEnum;

use crate::failure::Failure;
use crate::settings::Settings;
use crate::{habits, output};

/// Shells that there is completion for.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Shell {
    /// source <(paas completions bash)
    Bash,
    /// source <(paas completions zsh)
    Zsh,
    /// paas completions fish | source
    Fish,
}

/// Bash ends a word at a colon, and our commands have one: this puts the words together again
/// before the generated function sees them, and takes off what bash has in front of the colon.
const BASH_WRAPPER: &str = r#"
_paas_with_colons() {
    local line="${COMP_LINE:0:COMP_POINT}"
    local -a words
    read -ra words <<< "$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    COMP_WORDS=("${words[@]}")
    COMP_CWORD=$((${#words[@]} - 1))
    local cur="${words[COMP_CWORD]}" prev=""
    ((COMP_CWORD > 0)) && prev="${words[COMP_CWORD - 1]}"
    _paas paas "$cur" "$prev"
    if [[ $cur == *:* && $COMP_WORDBREAKS == *:* ]]; then
        local front="${cur%"${cur##*:}"}"
        COMPREPLY=("${COMPREPLY[@]#"$front"}")
    fi
}
complete -F _paas_with_colons -o bashdefault -o default paas
"#;

/// Prints the script of a shell.
pub(crate) fn print(shell: Option<Shell>) -> anyhow::Result<()> {
    let shell = match shell {
        Some(shell) => shell,
        None => own()?,
    };
    let generator = match shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    let mut script = Vec::new();
    clap_complete::generate(generator, &mut habits::command(), "paas", &mut script);
    match shell {
        Shell::Bash => script.extend_from_slice(BASH_WRAPPER.as_bytes()),
        Shell::Zsh => script = zsh_with_colons(&String::from_utf8(script)?).into_bytes(),
        Shell::Fish => {}
    }
    output::raw(&script);
    Ok(())
}

/// The shell that the user has.
fn own() -> anyhow::Result<Shell> {
    let path = Settings::read()?.shell.unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default();
    Shell::from_str(name, true).map_err(|_| {
        Failure::usage(format!("SHELL is {path:?}, for which there is no completion."))
            .hint("Name one: paas completions bash, zsh or fish")
            .into()
    })
}

/// Zsh's `_describe` takes `NAME:DESCRIPTION` and splits it at the first colon that no
/// backslash is in front of; the generator leaves those of a name as they are.
fn zsh_with_colons(script: &str) -> String {
    let mut script = script.to_owned();
    let root = habits::command();
    let mut names: Vec<&str> = root
        .get_subcommands()
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_visible_aliases()))
        .filter(|name| name.contains(':'))
        .collect();
    // The longest first: one may begin with another (`ci:config:get`).
    names.sort_by_key(|name| std::cmp::Reverse(name.len()));
    for name in names {
        script = script.replace(&format!("\n'{name}:"), &format!("\n'{}:", name.replace(':', "\\:")));
    }
    script
}
