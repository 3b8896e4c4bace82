//! What a line of an app's log is, and how it reads.

use std::borrow::Cow;

use chrono::{DateTime, SecondsFormat, Utc};
use uuid::Uuid;

/// Longest line in bytes; longer ones are split (Heroku's limit).
pub const MAX_MESSAGE: usize = 10_000;

/// Most bytes of one [`NewLine`]; the rest is cut off.
const MAX_TEXT: usize = 256 * 1024;

/// Most bytes of a process name.
const MAX_PROCESS: usize = 150;

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Source {
    /// The app's own processes, and what its users do (`app[api]`).
    App,
    /// The platform. The name is Heroku's, since people's tools look for it.
    Heroku,
}

impl Source {
    /// As it is written in a line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::App => "app",
            Self::Heroku => "heroku",
        }
    }

    /// Back from a line or a query.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::App, Self::Heroku].into_iter().find(|source| source.as_str() == text)
    }
}

/// How far something that gives lines has been read. Ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Nanoseconds since 1970 of a dyno's line, or the number of a router's batch.
    pub major: u64,
    /// Which of the lines of the same `major`, from 0.
    pub minor: u32,
}

/// Where a line came from, so that it is never stored twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin {
    /// The dyno's or router's identity.
    pub id: Uuid,
    /// Where in its output.
    pub position: Position,
}

/// A line to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLine {
    /// When it was said; kept to the microsecond.
    pub at: DateTime<Utc>,
    /// Who speaks.
    pub source: Source,
    /// `web.1`, `router`, `api`, `release.1234`, `run.1234`.
    pub process: String,
    /// The text; bytes of a process as they come. Line ends in it make several lines.
    pub message: Vec<u8>,
    /// Where it came from, when that can be read again.
    pub origin: Option<Origin>,
}

/// A stored line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Its number in the app, rising.
    pub seq: u64,
    /// When it was said.
    pub at: DateTime<Utc>,
    /// Who speaks.
    pub source: Source,
    /// `web.1`, `router`, `api` …
    pub process: String,
    /// Valid text of at most [`MAX_MESSAGE`] bytes without line ends or control characters
    /// (but for tabs, and the escapes of sequences that colour).
    pub message: String,
}

impl Line {
    /// As users see it, without a line end:
    /// `2010-09-16T15:13:46.677020+00:00 app[web.1]: message`.
    pub fn text(&self) -> String {
        format!(
            "{} {}[{}]: {}",
            self.at.to_rfc3339_opts(SecondsFormat::Micros, false),
            self.source.as_str(),
            self.process,
            self.message
        )
    }
}

/// Which lines a reader wants; the default passes all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Filter {
    /// Only of this source.
    pub source: Option<Source>,
    /// Only of this process (`web.1`), or of all of a type (`web`).
    pub process: Option<String>,
}

impl Filter {
    /// Whether a line of this source and process passes.
    pub fn passes(&self, source: Source, process: &str) -> bool {
        if self.source.is_some_and(|wanted| wanted != source) {
            return false;
        }
        self.process.as_deref().is_none_or(|wanted| {
            process
                .strip_prefix(wanted)
                .is_some_and(|rest| rest.is_empty() || (rest.starts_with('.') && !wanted.contains('.')))
        })
    }
}

/// Makes a process name safe to be stood between the brackets of a line.
pub(crate) fn clean_process(process: &str) -> String {
    let mut clean: String =
        process.chars().map(|c| if c.is_control() || c.is_whitespace() || c == ']' { '-' } else { c }).collect();
    clean.truncate(clean.floor_char_boundary(MAX_PROCESS));
    clean
}

/// Makes text of bytes: what is not UTF-8 and what would command a terminal or break a
/// stream becomes U+FFFD. Line ends, tabs and colours (`ESC [ … m`) stay.
pub(crate) fn clean_message(bytes: &[u8]) -> String {
    let bytes = &bytes[..bytes.len().min(MAX_TEXT)];
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\n', '\r']);
    if text.chars().all(is_plain) {
        return text.to_owned();
    }
    let unix = if text.contains("\r\n") { Cow::Owned(text.replace("\r\n", "\n")) } else { Cow::Borrowed(text) };
    let clean = |(at, c)| match c {
        '\r' => ' ',
        '\x1b' if colours(&unix[at..]) => c,
        c if is_plain(c) || c == '\n' => c,
        _ => char::REPLACEMENT_CHARACTER,
    };
    unix.char_indices().map(clean).collect()
}

fn is_plain(c: char) -> bool {
    c == '\t' || !c.is_control()
}

/// Whether text that begins with an escape begins with a sequence that only colours. Any
/// other may move the cursor, set a title or make the terminal answer.
fn colours(text: &str) -> bool {
    text.strip_prefix("\x1b[").is_some_and(|rest| {
        rest.trim_start_matches(|c: char| c.is_ascii_digit() || matches!(c, ';' | ':')).starts_with('m')
    })
}

/// The lines of a clean message: cut at line ends, and where one would be over
/// [`MAX_MESSAGE`] bytes. At least one.
pub(crate) fn pieces(message: &str) -> impl Iterator<Item = &str> {
    message.split('\n').flat_map(|line| {
        let mut rest = Some(line);
        std::iter::from_fn(move || {
            let line = rest?;
            if line.len() <= MAX_MESSAGE {
                rest = None;
                return Some(line);
            }
            let (piece, more) = line.split_at(line.floor_char_boundary(MAX_MESSAGE));
            rest = Some(more);
            Some(piece)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_as_heroku_writes_it() {
        let line = Line {
            seq: 1,
            at: DateTime::from_timestamp_micros(1_284_650_026_677_020).unwrap(),
            source: Source::App,
            process: "web.1".into(),
            message: "Started GET \"/\"".into(),
        };
        assert_eq!(line.text(), "2010-09-16T15:13:46.677020+00:00 app[web.1]: Started GET \"/\"");
    }

    #[test]
    fn filters_by_source_dyno_and_type() {
        let filter = |source, process: Option<&str>| Filter { source, process: process.map(str::to_owned) };
        assert!(filter(None, None).passes(Source::App, "web.1"));
        assert!(filter(None, Some("web")).passes(Source::App, "web.1"));
        assert!(filter(None, Some("web.1")).passes(Source::App, "web.1"));
        assert!(!filter(None, Some("web.1")).passes(Source::App, "web.10"));
        assert!(!filter(None, Some("web.1")).passes(Source::App, "web.1.2"));
        assert!(!filter(None, Some("web")).passes(Source::App, "webhooks.1"));
        assert!(filter(Some(Source::Heroku), Some("router")).passes(Source::Heroku, "router"));
        assert!(!filter(Some(Source::App), None).passes(Source::Heroku, "router"));
    }

    #[test]
    fn whatever_a_process_says_becomes_safe_text() {
        assert_eq!(clean_message(b"plain \xc3\xa9\t\x1b[31mred\x1b[0m\r\n"), "plain é\t\x1b[31mred\x1b[0m");
        assert_eq!(clean_message(b"a\0b\x07c\xff"), "a\u{fffd}b\u{fffd}c\u{fffd}");
        assert_eq!(clean_message(b"10%\r20%\rdone"), "10% 20% done");
        assert_eq!(clean_message(b"one\r\ntwo\n\n"), "one\ntwo");
        assert_eq!(clean_message(b""), "");
        assert_eq!(clean_message("csi \u{9b}31m".as_bytes()), "csi \u{fffd}31m");
        assert_eq!(clean_message(b"\x1b[m\x1b[1;38:5:9mx\x1b[0m"), "\x1b[m\x1b[1;38:5:9mx\x1b[0m");
        for bad in ["\x1b]0;title\x07", "\x1b[2J", "\x1bc", "\x1b[6n", "\x1b[?25m", "\x1b[1", "\x1b", "\x1b[\x1b[1H"] {
            let clean = clean_message(bad.as_bytes());
            assert!(!clean.contains('\x1b') && clean.starts_with('\u{fffd}'), "{bad:?} became {clean:?}");
        }
        assert_eq!(clean_process("web.1]\n x"), "web.1---x");
    }

    #[test]
    fn long_lines_are_split_between_characters() {
        assert_eq!(pieces("").collect::<Vec<_>>(), [""]);
        assert_eq!(pieces("a\n\nb").collect::<Vec<_>>(), ["a", "", "b"]);
        let long = "x".repeat(MAX_MESSAGE);
        assert_eq!(pieces(&long).count(), 1);
        let long = format!("{}é{}", "x".repeat(MAX_MESSAGE - 1), "y".repeat(MAX_MESSAGE));
        let got: Vec<_> = pieces(&long).map(str::len).collect();
        assert_eq!(got, [MAX_MESSAGE - 1, MAX_MESSAGE, 2]);
        assert_eq!(pieces(&long).collect::<String>(), long);
    }
}
