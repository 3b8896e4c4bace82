//! Names of add-ons.

use serde::{Deserialize, Serialize};

use super::{name_traits, pick, shown, words};

/// The name of an add-on, unique on the platform: `^[a-zA-Z][A-Za-z0-9_-]+$`, as Heroku's
/// API has it, and at most 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AddonName(String);

/// Why a text is no name of an add-on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddonNameError {
    /// Shorter than 2 or longer than 128 characters.
    #[error("add-on name \"{}\" has {} characters; it must have 2 to 128", shown(.0), .0.chars().count())]
    Length(String),
    /// Begins with something else than a letter.
    #[error("add-on name \"{}\" must start with a letter", shown(.0))]
    Start(String),
    /// Holds a character that is not allowed.
    #[error(
        "add-on name \"{}\" has {character:?} in it; only letters, digits, dashes and underscores are allowed",
        shown(.name)
    )]
    Character {
        /// The text that was given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl AddonName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it breaks the pattern; the error says where.
    pub fn parse(text: &str) -> Result<Self, AddonNameError> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(AddonNameError::Character { name: text.to_owned(), character });
        }
        if !(2..=128).contains(&text.len()) {
            return Err(AddonNameError::Length(text.to_owned()));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphabetic()) {
            return Err(AddonNameError::Start(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name such as `redis-silver-12345` for an add-on whose owner gave none. Draws two
    /// numbers from `random`.
    ///
    /// # Errors
    /// When `service` itself can't begin an add-on's name.
    pub fn random(service: &str, mut random: impl FnMut() -> u64) -> Result<Self, AddonNameError> {
        let adjective = pick(words::ADJECTIVES, random());
        let number = 10_000 + random() % 90_000;
        Self::parse(&format!("{service}-{adjective}-{number}"))
    }
}

name_traits!(AddonName, AddonNameError);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn names() {
        for name in ["my-redis", "A1", "redis_2"] {
            assert_eq!(AddonName::parse(name).unwrap().as_str(), name);
        }
        let said = |name: &str| AddonName::parse(name).unwrap_err().to_string();
        insta::assert_snapshot!(said("a"), @r#"add-on name "a" has 1 characters; it must have 2 to 128"#);
        insta::assert_snapshot!(said("1a"), @r#"add-on name "1a" must start with a letter"#);
        insta::assert_snapshot!(said("a.b"), @r#"add-on name "a.b" has '.' in it; only letters, digits, dashes and underscores are allowed"#);
    }

    #[test]
    fn random_names() {
        let name = AddonName::random("redis", || 0).unwrap();
        assert_eq!(name.as_str(), "redis-able-10000");
        assert!(AddonName::random("", || 0).is_err());
    }
}
