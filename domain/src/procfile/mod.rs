//! The Procfile: which commands an app consists of.
//!
//! The grammar is Foreman's, a line is `^([A-Za-z0-9_-]+):\s*(.+)$`, with the leniency that
//! people are used to: a byte order mark and CRLF are taken away, comments and blank lines
//! skipped, and any other line is left out with a warning. Of two lines for one type the
//! last wins, with a warning that names both, because Heroku runs one command a type;
//! Foreman runs both, so [`parse_all`] keeps them for `paas local`.

use std::collections::HashMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{ProcessType, shown};

/// Largest Procfile that is read, in bytes (1 MB). A real one has a few hundred.
pub const LARGEST: usize = 1024 * 1024;

/// One line of a Procfile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What the line names.
    pub process_type: ProcessType,
    /// What is run, by `bash -c`; never empty, without blanks at its ends.
    pub command: String,
    /// The number of the line, from 1.
    pub line: usize,
}

/// The commands of an app, one a type, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Procfile {
    /// At least one, each type once.
    pub entries: Vec<Entry>,
}

/// What came out of a file, and what its author should know about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub procfile: Procfile,
    /// In the order of the lines they speak of.
    pub warnings: Vec<Warning>,
}

/// Something in a Procfile that its author may not have meant. Printed, it is a sentence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Warning {
    /// Two lines for one type: the later one is used.
    Duplicate {
        /// The type they name.
        process_type: ProcessType,
        /// The line that is left out.
        first: usize,
        /// The line that is used.
        second: usize,
    },
    /// A line that is neither an entry, a comment nor blank.
    Ignored {
        /// The number of the line, from 1.
        line: usize,
        /// What it says, without blanks at its ends.
        text: String,
        /// What keeps it from being an entry.
        reason: Reason,
    },
}

/// What keeps a line from being an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// There is no `type:` at its start.
    NoType,
    /// A type, but no command after the colon.
    NoCommand,
    /// The type is longer than 128 characters.
    TypeTooLong,
    /// It starts with blanks; a type starts its line.
    Indented,
}

/// Why a file is no Procfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcfileError {
    /// More than 1 MB.
    #[error("the Procfile is too large: {size} bytes, at most {LARGEST} (1 MB) are read")]
    TooLarge {
        /// Its size in bytes.
        size: usize,
    },
    /// NUL bytes, or no UTF-8.
    #[error("the Procfile is binary, not text: line {line} has {found}. Save it as plain text in UTF-8")]
    Binary {
        /// The number of the first such line, from 1.
        line: usize,
        /// What it has that text doesn't.
        found: &'static str,
    },
    /// Nothing in it, or only blanks.
    #[error("the Procfile is empty; it needs a line such as \"web: bundle exec puma\"")]
    Empty,
    /// Lines, but none that names a type and a command.
    #[error("the Procfile names no process types; a line must look like \"web: bundle exec puma\"")]
    NoProcesses {
        /// What the lines were left out for.
        warnings: Vec<Warning>,
    },
}

impl Procfile {
    /// Reads a Procfile. Of two lines for one type the last wins and takes the place of the
    /// first.
    ///
    /// # Errors
    /// When the file is too large, binary, or has no entry.
    pub fn parse(bytes: &[u8]) -> Result<Parsed, ProcfileError> {
        let (all, mut warnings) = parse_all(bytes)?;
        let mut entries: Vec<Entry> = Vec::new();
        let mut places: HashMap<ProcessType, usize> = HashMap::new();
        for entry in all {
            let place = *places.entry(entry.process_type.clone()).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(earlier) => {
                    warnings.push(Warning::Duplicate {
                        process_type: entry.process_type.clone(),
                        first: earlier.line,
                        second: entry.line,
                    });
                    *earlier = entry;
                }
                None => entries.push(entry),
            }
        }
        warnings.sort_by_key(Warning::line);
        Ok(Parsed { procfile: Self { entries }, warnings })
    }

    /// The command of a type.
    #[must_use]
    pub fn command(&self, process_type: &str) -> Option<&str> {
        let entry = self.entries.iter().find(|e| e.process_type.as_str() == process_type)?;
        Some(&entry.command)
    }

    /// The types, in the order of the file.
    pub fn types(&self) -> impl Iterator<Item = &ProcessType> {
        self.entries.iter().map(|entry| &entry.process_type)
    }
}

/// As a file: one line an entry.
impl fmt::Display for Procfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.entries.iter().try_for_each(|entry| writeln!(f, "{}: {}", entry.process_type, entry.command))
    }
}

impl Warning {
    /// The line it speaks of; of two, the later one.
    #[must_use]
    pub fn line(&self) -> usize {
        match self {
            Self::Duplicate { second, .. } => *second,
            Self::Ignored { line, .. } => *line,
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Duplicate { process_type, first, second } => write!(
                f,
                "Procfile lines {first} and {second} both name \"{}\"; line {second} is used",
                shown(process_type.as_str())
            ),
            Self::Ignored { line, text, reason } => {
                let why = match reason {
                    Reason::NoType => "it isn't \"type: command\"",
                    Reason::NoCommand => "there is no command after the colon",
                    Reason::TypeTooLong => "the process type has more than 128 characters",
                    Reason::Indented => "it starts with blanks; a process type must start its line",
                };
                write!(f, "Procfile line {line} is ignored, {why}: {}", shown(text))
            }
        }
    }
}

/// Reads a Procfile and keeps every entry, two of one type too, as Foreman does.
///
/// # Errors
/// When the file is too large, binary, or has no entry.
pub fn parse_all(bytes: &[u8]) -> Result<(Vec<Entry>, Vec<Warning>), ProcfileError> {
    let text = text(bytes)?;
    if text.trim().is_empty() {
        return Err(ProcfileError::Empty);
    }
    let mut entries = Vec::new();
    let mut warnings = Vec::new();
    for (line, text) in (1..).zip(text.split('\n')) {
        let trimmed = text.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        match entry(text.trim_end()) {
            Ok((process_type, command)) => entries.push(Entry { process_type, command, line }),
            Err(reason) => warnings.push(Warning::Ignored { line, text: trimmed.to_owned(), reason }),
        }
    }
    if entries.is_empty() {
        return Err(ProcfileError::NoProcesses { warnings });
    }
    Ok((entries, warnings))
}

/// The text of a file: UTF-8 without its byte order mark and without NULs.
fn text(bytes: &[u8]) -> Result<&str, ProcfileError> {
    if bytes.len() > LARGEST {
        return Err(ProcfileError::TooLarge { size: bytes.len() });
    }
    let line = |end: usize| 1 + bytes.iter().take(end).filter(|b| **b == b'\n').count();
    if let Some(place) = bytes.iter().position(|b| *b == 0) {
        return Err(ProcfileError::Binary { line: line(place), found: "a NUL byte" });
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|e| ProcfileError::Binary { line: line(e.valid_up_to()), found: "bytes that are not UTF-8" })?;
    Ok(text.strip_prefix('\u{feff}').unwrap_or(text))
}

/// One line that is neither blank nor a comment, without blanks at its end.
fn entry(line: &str) -> Result<(ProcessType, String), Reason> {
    let end = line.find(|c| !ProcessType::allows(c)).unwrap_or(line.len());
    let (name, rest) = line.split_at(end);
    let Some(command) = rest.strip_prefix(':').filter(|_| !name.is_empty()) else {
        let indented = line.starts_with(char::is_whitespace) && entry(line.trim_start()).is_ok();
        return Err(if indented { Reason::Indented } else { Reason::NoType });
    };
    let process_type = ProcessType::parse(name).map_err(|_| Reason::TypeTooLong)?;
    let command = command.trim();
    if command.is_empty() {
        return Err(Reason::NoCommand);
    }
    Ok((process_type, command.to_owned()))
}

#[cfg(test)]
mod tests;
