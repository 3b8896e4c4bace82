//! Process types and the names of dynos.

use serde::{Deserialize, Serialize};

use super::{name_traits, shown};

/// A process type of an app, such as `web` or `worker`: `^[-\w]{1,128}$`, ASCII, as
/// Heroku's API has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ProcessType(String);

/// Why a text is no process type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProcessTypeError {
    /// Nothing was given.
    #[error("a process type can't be empty; give a name such as web or worker")]
    Empty,
    /// Longer than 128 characters.
    #[error("process type \"{}\" has {} characters; at most 128 are allowed", shown(.0), .0.chars().count())]
    TooLong(String),
    /// Holds a character that is not allowed.
    #[error(
        "process type \"{}\" has {character:?} in it; only letters, digits, dashes and underscores are allowed",
        shown(.name)
    )]
    Character {
        /// The text that was given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl ProcessType {
    /// Longest name in characters.
    pub const MOST: usize = 128;

    /// Checks a name.
    ///
    /// # Errors
    /// When it breaks the pattern; the error says where.
    pub fn parse(text: &str) -> Result<Self, ProcessTypeError> {
        if text.is_empty() {
            return Err(ProcessTypeError::Empty);
        }
        if let Some(character) = text.chars().find(|c| !Self::allows(*c)) {
            return Err(ProcessTypeError::Character { name: text.to_owned(), character });
        }
        if text.len() > Self::MOST {
            return Err(ProcessTypeError::TooLong(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether a name may hold this character.
    #[must_use]
    pub fn allows(character: char) -> bool {
        character.is_ascii_alphanumeric() || character == '-' || character == '_'
    }

    /// `web`: the type that gets a port and the app's requests.
    #[must_use]
    pub fn web() -> Self {
        Self("web".to_owned())
    }

    /// `release`: runs once, before a release goes live.
    #[must_use]
    pub fn release() -> Self {
        Self("release".to_owned())
    }

    /// `run`: dynos that a person starts once, attached or not.
    #[must_use]
    pub fn run() -> Self {
        Self("run".to_owned())
    }

    /// Whether this is `web`.
    #[must_use]
    pub fn is_web(&self) -> bool {
        self.0 == "web"
    }

    /// Whether this is `release`.
    #[must_use]
    pub fn is_release(&self) -> bool {
        self.0 == "release"
    }
}

name_traits!(ProcessType, ProcessTypeError);

/// The name of a dyno: its process type and its number, `web.1`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DynoName {
    /// What it runs.
    pub process_type: ProcessType,
    /// Its number among the dynos of this type, from 1.
    pub number: u32,
}

/// Why a text is no name of a dyno.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DynoNameError {
    /// There is no dot, or no number from 1 after it.
    #[error("\"{}\" is no dyno name; it must be a process type, a dot and a number from 1, such as web.1", shown(.0))]
    Form(String),
    /// What stands before the dot is no process type.
    #[error(transparent)]
    ProcessType(#[from] ProcessTypeError),
}

impl DynoName {
    /// Puts a name together. Numbers start at 1.
    #[must_use]
    pub fn new(process_type: ProcessType, number: u32) -> Self {
        Self { process_type, number }
    }

    /// Takes `web.1` apart.
    ///
    /// # Errors
    /// When the form is another one or the process type is none.
    pub fn parse(text: &str) -> Result<Self, DynoNameError> {
        let form = || DynoNameError::Form(text.to_owned());
        let (process_type, number) = text.rsplit_once('.').ok_or_else(form)?;
        if !number.starts_with(|c: char| matches!(c, '1'..='9')) {
            return Err(form());
        }
        let number = number.parse().map_err(|_| form())?;
        Ok(Self { process_type: ProcessType::parse(process_type)?, number })
    }
}

impl std::fmt::Display for DynoName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}.{}", self.process_type, self.number))
    }
}

impl std::str::FromStr for DynoName {
    type Err = DynoNameError;

    fn from_str(text: &str) -> Result<Self, DynoNameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for DynoName {
    type Error = DynoNameError;

    fn try_from(text: String) -> Result<Self, DynoNameError> {
        Self::parse(&text)
    }
}

impl From<DynoName> for String {
    fn from(name: DynoName) -> String {
        name.to_string()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn process_types() {
        for name in ["web", "worker-2", "_x", "-", "A", &"x".repeat(128)] {
            assert_eq!(ProcessType::parse(name).unwrap().as_str(), name);
        }
        let said = |name: &str| ProcessType::parse(name).unwrap_err().to_string();
        insta::assert_snapshot!(said(""), @"a process type can't be empty; give a name such as web or worker");
        insta::assert_snapshot!(said("we b"), @r#"process type "we b" has ' ' in it; only letters, digits, dashes and underscores are allowed"#);
        insta::assert_snapshot!(said("wéb"), @r#"process type "wéb" has 'é' in it; only letters, digits, dashes and underscores are allowed"#);
        assert!(said(&"x".repeat(129)).ends_with("has 129 characters; at most 128 are allowed"));
    }

    #[test]
    fn dyno_names() {
        let name = DynoName::parse("web.1").unwrap();
        assert_eq!(name, DynoName::new(ProcessType::web(), 1));
        assert_eq!(name.to_string(), "web.1");
        assert_eq!(format!("{name:>7}"), "  web.1");
        assert_eq!(DynoName::parse("run.4321").unwrap().number, 4321);
        for bad in ["", "web", "web.", ".1", "web.0", "web.01", "web.+1", "web.-1", "web.1x", "a.b.1", "web.4294967296"]
        {
            assert!(DynoName::parse(bad).is_err(), "{bad}");
        }
        insta::assert_snapshot!(DynoName::parse("web").unwrap_err(), @r#""web" is no dyno name; it must be a process type, a dot and a number from 1, such as web.1"#);
    }

    #[test]
    fn dynos_sort_by_number() {
        let mut names = ["web.10", "web.2", "clock.1"].map(|n| DynoName::parse(n).unwrap());
        names.sort();
        assert_eq!(names.map(|n| n.to_string()), ["clock.1", "web.2", "web.10"]);
    }

    proptest::proptest! {
        #[test]
        fn dyno_names_round_trip(kind in "[A-Za-z0-9_-]{1,128}", number in 1..=u32::MAX) {
            let text = format!("{kind}.{number}");
            assert_eq!(DynoName::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            drop(DynoName::parse(&text));
        }
    }
}
