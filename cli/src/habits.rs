//! What hands type that know Heroku's command line: its short options, and options that mean
//! nothing here or are so anyway. They are taken, and are no part of the help.

use clap::{Arg, ArgAction, Command, CommandFactory as _};

use crate::cli::Cli;
use crate::examples::EXAMPLES;

/// Command, option, its letter, and whether it has a value.
const TAKEN: &[(&str, &str, Option<char>, bool)] = &[
    ("addons", "no-wrap", None, false),
    ("addons:destroy", "wait", None, false),
    ("addons:wait", "wait-interval", None, true),
    ("apps:info", "extended", Some('x'), false),
    ("ci:info", "node", None, true),
    ("ci:last", "node", None, true),
    ("completions", "refresh-cache", Some('r'), false),
    ("domains", "extended", Some('x'), false),
    ("domains", "no-wrap", None, false),
    ("drains", "extended", Some('x'), false),
    ("keys:add", "quiet", None, false),
    ("labs:disable", "confirm", None, true),
    ("local", "restart", Some('r'), false),
    ("login", "interactive", Some('i'), false),
    ("logs", "no-color", None, false),
    ("ps", "extended", Some('x'), false),
    ("ps", "no-wrap", None, false),
    ("ps:exec", "ssh", None, false),
    ("redis:cli", "confirm", Some('c'), true),
    ("regions", "common", None, false),
    ("releases", "extended", Some('x'), false),
    ("run:inside", "no-launcher", None, false),
    ("teams", "teams", None, false),
];

/// All commands, as they are parsed.
pub(crate) fn command() -> Command {
    Cli::command().mut_subcommands(|command| {
        let name = command.get_name().to_owned();
        let command = command.mut_args(|arg| {
            let is_json = arg.get_id() == "json" && arg.get_short().is_none();
            if is_json { arg.short('j') } else { arg }
        });
        let examples = EXAMPLES.iter().find(|(of, _)| *of == name);
        let command = match examples {
            Some((_, lines)) => command.after_help(format!("Examples:\n  {}", lines.join("\n  "))),
            None => command,
        };
        TAKEN.iter().filter(|(of, ..)| *of == name).fold(command, |command, (_, long, letter, has_value)| {
            let action = if *has_value { ArgAction::Append } else { ArgAction::Count };
            let arg = Arg::new(*long).long(*long).action(action).hide(true);
            command.arg(match letter {
                Some(letter) => arg.short(*letter),
                None => arg,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_of_a_command() {
        let command = command();
        for (of, long, ..) in TAKEN {
            assert!(command.find_subcommand(of).is_some(), "{of} of {long} is no command");
        }
        command.clone().debug_assert();
        for (of, lines) in EXAMPLES {
            assert!(command.find_subcommand(of).is_some(), "{of} is no command");
            for line in *lines {
                let words: Vec<&str> = line.split(" < ").next().unwrap_or_default().split(' ').collect();
                let parsed = command.clone().try_get_matches_from(words);
                assert!(parsed.is_ok(), "{line}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
            }
        }
    }
}
