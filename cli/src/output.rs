//! What goes to the terminal. Results go to stdout, everything about how it goes to stderr.
//! Colour is there on a terminal only and never with `NO_COLOR` (anstream sees to that).
//! Much of it was written by others: nothing of that commands the terminal ([`tame`]).

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{ErrorKind, IsTerminal as _, Write};

use anstream::{stderr, stdout};
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

const BOLD: Style = Style::new().bold();
const APP: Style = AnsiColor::Magenta.on_default();
const ERROR: Style = AnsiColor::Red.on_default();

/// A line on stdout.
pub(crate) fn line(text: impl Display) {
    check(writeln!(stdout().lock(), "{}", tame(&text.to_string())));
}

/// A text on stdout as it is, without a newline of our own.
pub(crate) fn raw(text: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    check(stdout.write_all(text).and_then(|()| stdout.flush()));
}

/// A value that a program may want byte for byte, and a newline; only a terminal is guarded.
pub(crate) fn value(text: &str) {
    let text = if std::io::stdout().is_terminal() { tame(text) } else { text.into() };
    raw(format!("{text}\n").as_bytes());
}

/// A line on stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{}", tame(&text.to_string()));
}

/// A piece of a line on stderr.
pub(crate) fn note_part(text: impl Display) {
    let mut stderr = stderr().lock();
    let _ = write!(stderr, "{}", tame(&text.to_string())).and_then(|()| stderr.flush());
}

/// What went wrong, on stderr, each line marked.
pub(crate) fn complain(text: &str) {
    let mut stderr = stderr().lock();
    for line in text.lines() {
        let _ = writeln!(stderr, " {ERROR}▸{ERROR:#}    {}", tame(line));
    }
}

/// Whether stderr takes colour.
pub(crate) fn has_color() -> bool {
    stderr().current_choice() != anstream::ColorChoice::Never
}

/// A heading and an empty line.
pub(crate) fn heading(text: impl Display) {
    line(format_args!("{BOLD}=== {text}{BOLD:#}\n"));
}

/// An app's name as users know it.
pub(crate) fn app(name: &str) -> String {
    format!("{APP}⬢ {name}{APP:#}")
}

/// A value as JSON, indented. Control characters are in texts only, and escaped there.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    let mut text = String::new();
    for c in serde_json::to_string_pretty(value)?.chars() {
        match c {
            '\u{7f}'..='\u{9f}' => text.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => text.push(c),
        }
    }
    line(text);
    Ok(())
}

/// Makes what would command a terminal into U+FFFD: all control characters but those of lines
/// and columns. Colours stay, since ours are among them and they do no harm.
pub(crate) fn tame(text: &str) -> Cow<'_, str> {
    if !text.contains(is_command) {
        return text.into();
    }
    let mut tamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(is_command) {
        let (before, from) = rest.split_at(at);
        let length = color(from);
        tamed.push_str(before);
        tamed.push_str(if length > 0 { &from[..length] } else { "\u{fffd}" });
        rest = &from[length.max(from.chars().next().map_or(0, char::len_utf8))..];
    }
    tamed.push_str(rest);
    tamed.into()
}

fn is_command(c: char) -> bool {
    c.is_control() && !matches!(c, '\n' | '\t')
}

/// The length of the sequence for a colour that a text begins with; 0 where it is another.
fn color(text: &str) -> usize {
    let Some(rest) = text.strip_prefix("\u{1b}[") else { return 0 };
    match rest.find(|c: char| !c.is_ascii_digit() && c != ';') {
        Some(end) if rest[end..].starts_with('m') => 2 + end + 1,
        _ => 0,
    }
}

/// A table in plain columns; an empty header leaves the heading line out.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table
        .add_rows(rows.into_iter().map(|row| row.into_iter().map(|cell| tame(&cell).into_owned()).collect::<Vec<_>>()));
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    for (number, text) in table.lines().enumerate() {
        let text = text.trim_end();
        if number == 0 && !header.is_empty() {
            line(format_args!("{BOLD}{text}{BOLD:#}"));
        } else {
            line(text);
        }
    }
}

/// Names and values below each other, the values aligned; empty values are left out.
pub(crate) fn fields(fields: &[(&str, String)]) {
    let filled: Vec<_> = fields.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
    pairs(&filled);
}

/// The same with empty values.
pub(crate) fn pairs(pairs: &[(&str, String)]) {
    let width = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or_default() + 2;
    for (name, value) in pairs {
        let name = format!("{name}:");
        for (number, part) in value.split('\n').enumerate() {
            let name = if number == 0 { name.as_str() } else { "" };
            line(format_args!("{BOLD}{name:width$}{BOLD:#}{part}"));
        }
    }
}

/// A reader that went away (`paas logs | head`) is no error: there is nothing more to do.
/// Anything else is one: what was to be kept (`paas config -s > backup`) would be lost.
fn check(written: std::io::Result<()>) {
    let Err(error) = written else { return };
    if error.kind() == ErrorKind::BrokenPipe {
        std::process::exit(0);
    }
    complain(&format!("What this prints can't be written: {error}."));
    std::process::exit(crate::failure::ERROR);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_commands_the_terminal() {
        for (text, wanted) in [
            ("plain\n\ttext", "plain\n\ttext"),
            ("\u{1b}[1mbold\u{1b}[0m", "\u{1b}[1mbold\u{1b}[0m"),
            ("\u{1b}]0;title\u{7}x", "\u{fffd}]0;title\u{fffd}x"),
            ("\u{1b}[2Jx\u{1b}", "\u{fffd}[2Jx\u{fffd}"),
            ("a\rb\u{9b}2J\u{7f}ü", "a\u{fffd}b\u{fffd}2J\u{fffd}ü"),
        ] {
            assert_eq!(tame(text), wanted);
        }
    }
}
