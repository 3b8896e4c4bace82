//! `.env` files.
//!
//! A line is `KEY=value`, with `export ` before it if you like, blanks around the `=`, and
//! a comment after ` #`. A value may stand in quotes: in 'single' ones everything is
//! literal, in "double" ones `\n`, `\r`, `\t`, `\"`, `\\` and `\$` are escapes; either may
//! go on over several lines. Nothing is expanded, so a `$` in a password stays one. Any
//! other line is left out with a warning, and of two lines for one key the last wins.

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
        reader.entry(&mut file)?;
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

    fn entry(&mut self, file: &mut EnvFile) -> Result<(), EnvError> {
        let whole = self.rest.split('\n').next().unwrap_or("").trim();
        if whole.is_empty() || whole.starts_with('#') {
            self.rest_of_line();
            return Ok(());
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
            return Ok(());
        };
        let key = key.trim().to_owned();
        self.rest = self.rest.split_once('=').map_or("", |(_, rest)| rest).trim_start_matches([' ', '\t']);
        let value = match self.rest.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, &key)?,
            _ => without_comment(self.rest_of_line()).to_owned(),
        };
        file.vars.insert(key, value);
        Ok(())
    }

    /// A value in quotes, which may go on over several lines.
    fn quoted(&mut self, quote: char, key: &str) -> Result<String, EnvError> {
        let start = self.line;
        let mut value = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        let end = loop {
            match chars.next() {
                None => {
                    return Err(EnvError {
                        line: start,
                        what: format!(
                            "the value of {key} has no closing {quote}; add it, or quote the value the other way"
                        ),
                    });
                }
                Some((place, c)) if c == quote => break place + 1,
                Some((_, '\\')) if quote == '"' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, 'r')) => value.push('\r'),
                    Some((_, 't')) => value.push('\t'),
                    Some((_, c @ ('"' | '\\' | '$'))) => value.push(c),
                    Some((_, c)) => value.extend(['\\', c]),
                    None => value.push('\\'),
                },
                Some((_, c)) => value.push(c),
            }
        };
        let (taken, rest) = self.rest.split_at(end);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        let line = self.line;
        let after = self.rest_of_line();
        if after.trim().is_empty() || after.trim_start().starts_with('#') {
            return Ok(value);
        }
        let what = format!("there is something after the closing {quote} of {key}; put the whole value into quotes");
        Err(EnvError { line, what })
    }
}

fn is_key(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// An unquoted value ends at a `#` that stands after a blank, or at the line's end.
fn without_comment(value: &str) -> &str {
    let comment = value.char_indices().find(|(place, c)| {
        *c == '#' && (*place == 0 || value.get(..*place).is_some_and(|before| before.ends_with([' ', '\t'])))
    });
    value.get(..comment.map_or(value.len(), |(place, _)| place)).unwrap_or(value).trim()
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
    fn comments_and_blank_lines() {
        reads(
            "# no\n\n  # no\nA=1 # yes\nB=a#b\nC=# none\nD=\"x # y\" # z",
            &[("A", "1"), ("B", "a#b"), ("C", ""), ("D", "x # y")],
        );
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
        insta::assert_snapshot!(said(b"A=1\nB=\"x\nC=2\n"), @r#"line 2: the value of B has no closing "; add it, or quote the value the other way"#);
        insta::assert_snapshot!(said(b"A=\"x\ny\"z\n"), @r#"line 2: there is something after the closing " of A; put the whole value into quotes"#);
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
