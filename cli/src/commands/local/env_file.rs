//! `.env` files.
//!
//! A line is `KEY=value`, with `export ` before it if you like and blanks around the `=`;
//! lines that start with `#` are comments. As Foreman has it, the value is all that follows: a
//! `#` in it stays, and quotes count only where they enclose all of it. In 'single' ones
//! everything is literal, in "double" ones `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes.
//! A value in quotes may go on over several lines, up to the one that ends with the closing
//! quote. Nothing is expanded, so a `$` in a password stays one. Any other line is left out
//! with a warning, and of two lines for one key the last wins.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

/// Variables by name, and what the file's author should know.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct EnvFile {
    pub(super) vars: BTreeMap<String, String>,
    pub(super) warnings: Vec<String>,
}

/// What is wrong with a file, and in which line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EnvError {
    line: usize,
    what: String,
}

impl std::fmt::Display for EnvError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}: {}", self.line, self.what)
    }
}

impl std::error::Error for EnvError {}

/// Reads files, later ones over earlier ones. Without any, `.env` in `root` is read if it
/// is there.
pub(super) fn load(files: &[String], root: &Path) -> anyhow::Result<EnvFile> {
    let mut all = EnvFile::default();
    let mut add = |name: &str, bytes: &[u8]| -> anyhow::Result<()> {
        let file = parse(bytes).with_context(|| format!("can't read {name}"))?;
        all.vars.extend(file.vars);
        all.warnings.extend(file.warnings.iter().map(|warning| format!("{name} {warning}")));
        Ok(())
    };
    if files.is_empty() {
        match std::fs::read(root.join(".env")) {
            Ok(bytes) => add(".env", &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).context("can't read .env"),
        }
    }
    for name in files {
        match std::fs::read(name) {
            Ok(bytes) => add(name, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!("there is no file {name}; create it, or name another one with --env")
            }
            Err(error) => return Err(error).with_context(|| format!("can't read {name}")),
        }
    }
    Ok(all)
}

/// Reads one file.
pub(super) fn parse(bytes: &[u8]) -> Result<EnvFile, EnvError> {
    let line_at = |end: usize| 1 + bytes.iter().take(end).filter(|b| **b == b'\n').count();
    let text = std::str::from_utf8(bytes).map_err(|e| EnvError {
        line: line_at(e.valid_up_to()),
        what: "not UTF-8; save the file as plain text in UTF-8".into(),
    })?;
    if let Some(place) = text.find('\0') {
        return Err(EnvError {
            line: line_at(place),
            what: "a NUL byte, which no environment variable can hold".into(),
        });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut reader = Reader { rest: &text, line: 1 };
    let mut file = EnvFile::default();
    while !reader.rest.is_empty() {
        reader.entry(&mut file);
    }
    Ok(file)
}

/// What is left of a text, and the number of its first line.
struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    /// Takes the rest of the line and its end away.
    fn rest_of_line(&mut self) -> &'a str {
        let (line, rest) = self.rest.split_once('\n').unwrap_or((self.rest, ""));
        self.rest = rest;
        self.line += 1;
        line
    }

    fn entry(&mut self, file: &mut EnvFile) {
        let whole = self.rest.split('\n').next().unwrap_or("").trim();
        if whole.is_empty() || whole.starts_with('#') {
            self.rest_of_line();
            return;
        }
        let exported = whole.strip_prefix("export").filter(|rest| rest.starts_with([' ', '\t']));
        let Some((key, _)) = exported.unwrap_or(whole).split_once('=').filter(|(key, _)| is_key(key.trim())) else {
            let mut warning = format!("line {} is ignored, it isn't KEY=value", self.line);
            // A secret may stand in such a line, so only its beginning is shown.
            let start: String = whole.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').take(20).collect();
            if !start.is_empty() {
                let _ = write!(warning, ": {start}…");
            }
            file.warnings.push(warning);
            self.rest_of_line();
            return;
        };
        let key = key.trim().to_owned();
        self.rest = self.rest.split_once('=').map_or("", |(_, rest)| rest).trim_start_matches([' ', '\t']);
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote),
            _ => None,
        };
        file.vars.insert(key, value.unwrap_or_else(|| self.rest_of_line().trim().to_owned()));
    }

    /// A value that is all in quotes, on this line or over several; none where it isn't.
    fn quoted(&mut self, quote: char) -> Option<String> {
        let text = self.rest.strip_prefix(quote)?;
        let mut lines = text.split('\n');
        let first = lines.next()?;
        let length = match closed(first, quote) {
            Some(length) => length,
            None if quotes(first, quote).next().is_some() => return None,
            // The first line with the quote ends the value, by it.
            None => {
                let mut before = first.len() + 1;
                loop {
                    let line = lines.next()?;
                    let mut places = quotes(line, quote);
                    if let Some(place) = places.next() {
                        closed(line, quote).filter(|end| *end == place)?;
                        break before + place;
                    }
                    before += line.len() + 1;
                }
            }
        };
        let value = text.get(..length)?;
        for _ in 0..=value.matches('\n').count() {
            self.rest_of_line();
        }
        Some(if quote == '"' { unescape(value) } else { value.to_owned() })
    }
}

/// Where the quotes of a line are, but for those with a backslash where that counts.
fn quotes(line: &str, quote: char) -> impl Iterator<Item = usize> {
    let mut escaped = false;
    line.char_indices().filter_map(move |(place, c)| {
        let counts = c == quote && !escaped;
        escaped = quote == '"' && c == '\\' && !escaped;
        counts.then_some(place)
    })
}

/// The place of the quote that ends a line, if one does.
fn closed(line: &str, quote: char) -> Option<usize> {
    quotes(line, quote).last().filter(|place| line.get(place + 1..).is_some_and(|rest| rest.trim().is_empty()))
}

fn unescape(text: &str) -> String {
    let mut value = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => value.push('\n'),
            ('\\', Some('r')) => value.push('\r'),
            ('\\', Some('t')) => value.push('\t'),
            ('\\', Some(c @ ('"' | '\\' | '$'))) => value.push(c),
            ('\\', Some(c)) => value.extend(['\\', c]),
            (c, _) => value.push(c),
        }
    }
    value
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[track_caller]
    fn reads(text: &str, expected: &[(&str, &str)]) {
        let file = parse(text.as_bytes()).unwrap();
        let vars: Vec<_> = file.vars.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(vars, expected);
        assert_eq!(file.warnings, Vec::<String>::new());
    }

    #[test]
    fn plain_values() {
        reads("A=1\nB=two words\nC=\n", &[("A", "1"), ("B", "two words"), ("C", "")]);
        reads("  A = 1  \n\texport B=2\nexport\tC=3", &[("A", "1"), ("B", "2"), ("C", "3")]);
        reads("URL=postgres://u:p@h/d?a=b#c\nP=$x\\n", &[("P", "$x\\n"), ("URL", "postgres://u:p@h/d?a=b#c")]);
        reads("J={\"a\":\"b\"}", &[("J", "{\"a\":\"b\"}")]);
        reads("A=1\nA=2", &[("A", "2")]);
        reads("exported=1", &[("exported", "1")]);
    }

    #[test]
    fn only_whole_lines_are_comments() {
        reads(
            "# no\n\n  # no\nA=x #y\nB=a#b\nC=# some\nD=\"x # y\"\nJ={\"a\": \"b # c\"}",
            &[("A", "x #y"), ("B", "a#b"), ("C", "# some"), ("D", "x # y"), ("J", "{\"a\": \"b # c\"}")],
        );
    }

    #[test]
    fn quotes_count_only_around_all_of_a_value() {
        reads("T='Bob's app'\nU=\"a\" and \"b\"  ", &[("T", "Bob's app"), ("U", "a\" and \"b")]);
        reads("A=\"x\" # y\nB='x'y\nC=1", &[("A", "\"x\" # y"), ("B", "'x'y"), ("C", "1")]);
        reads("A='tis\nB='x'", &[("A", "'tis"), ("B", "x")]);
        reads("A=1\nB=\"x\nC=2\n", &[("A", "1"), ("B", "\"x"), ("C", "2")]);
    }

    #[test]
    fn quotes_and_escapes() {
        reads(r#"A="a\nb\t\"c\" \\ \$d \e""#, &[("A", "a\nb\t\"c\" \\ $d \\e")]);
        reads("A='a\\n$b\"'", &[("A", "a\\n$b\"")]);
        reads("A=\"\"\nB=''\nC=it's\n", &[("A", ""), ("B", ""), ("C", "it's")]);
    }

    #[test]
    fn over_several_lines() {
        reads(
            "KEY=\"-----BEGIN\nabc=\n# not a comment\n-----END\"\nB='x\ny'\nC=1",
            &[("B", "x\ny"), ("C", "1"), ("KEY", "-----BEGIN\nabc=\n# not a comment\n-----END")],
        );
    }

    #[test]
    fn what_editors_leave_behind() {
        reads("\u{feff}A=1\r\nB=\"2\r\n3\"\r\n", &[("A", "1"), ("B", "2\n3")]);
    }

    #[test]
    fn other_lines_are_warned_about() {
        let file = parse(b"A=1\nhello world\n1A=2\n=x\nexport\nB C=1\n$=").unwrap();
        assert_eq!(file.vars.len(), 1);
        insta::assert_snapshot!(file.warnings.join("\n"), @r"
        line 2 is ignored, it isn't KEY=value: hello…
        line 3 is ignored, it isn't KEY=value: 1A…
        line 4 is ignored, it isn't KEY=value
        line 5 is ignored, it isn't KEY=value: export…
        line 6 is ignored, it isn't KEY=value: B…
        line 7 is ignored, it isn't KEY=value
        ");
    }

    #[test]
    fn what_is_no_env_file() {
        let said = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
        insta::assert_snapshot!(said(b"A=1\nB=\xff"), @"line 2: not UTF-8; save the file as plain text in UTF-8");
        insta::assert_snapshot!(said(b"A=1\nB=\0"), @"line 2: a NUL byte, which no environment variable can hold");
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..100)) {
            drop(parse(&bytes));
        }

        #[test]
        fn never_panics_on_lines(text in "(export )?[A-C= \"'\\\\#\n\ré]{0,30}") {
            drop(parse(text.as_bytes()));
        }

        #[test]
        fn what_is_quoted_comes_back(values in proptest::collection::vec("[^\0\r]{0,20}", 1..5)) {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let text: String = (0..).zip(&values).map(|(n, value)| format!("V{n}=\"{}\"\n", quote(value))).collect();
            let file = parse(text.as_bytes()).unwrap();
            assert!(file.vars.into_values().eq(values));
        }
    }
}
