//! What goes to the terminal. Results go to stdout, everything about how it goes to stderr.
//! Colour is there on a terminal only and never with `NO_COLOR` (anstream sees to that).

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstream::{stderr, stdout};
use clap::builder::styling::{AnsiColor, Style};
use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

const BOLD: Style = Style::new().bold();
const APP: Style = AnsiColor::Magenta.on_default();
const ERROR: Style = AnsiColor::Red.on_default();

/// A line on stdout.
pub(crate) fn line(text: impl Display) {
    check(writeln!(stdout().lock(), "{text}"));
}

/// A text on stdout as it is, without a newline of our own.
pub(crate) fn raw(text: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    check(stdout.write_all(text).and_then(|()| stdout.flush()));
}

/// A line on stderr.
pub(crate) fn note(text: impl Display) {
    let _ = writeln!(stderr().lock(), "{text}");
}

/// A piece of a line on stderr.
pub(crate) fn note_part(text: impl Display) {
    let mut stderr = stderr().lock();
    let _ = write!(stderr, "{text}").and_then(|()| stderr.flush());
}

/// What went wrong, on stderr, each line marked.
pub(crate) fn complain(text: &str) {
    let mut stderr = stderr().lock();
    for line in text.lines() {
        let _ = writeln!(stderr, " {ERROR}▸{ERROR:#}    {line}");
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

/// A value as JSON, indented.
pub(crate) fn json<T: Serialize>(value: &T) -> anyhow::Result<()> {
    line(serde_json::to_string_pretty(value)?);
    Ok(())
}

/// A table in plain columns; an empty header leaves the heading line out.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    if !header.is_empty() {
        table.set_header(header.iter().copied());
    }
    table.add_rows(rows);
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
fn check(written: std::io::Result<()>) {
    if let Err(error) = written
        && error.kind() == ErrorKind::BrokenPipe
    {
        std::process::exit(0);
    }
}
