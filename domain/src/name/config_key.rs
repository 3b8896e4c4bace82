//! Keys of config vars, and the rule for all of an app's config together.

use serde::{Deserialize, Serialize};

use super::{name_traits, shown};

/// Most bytes that keys and values of one app may have together: 64 KB, Heroku's limit.
pub const CONFIG_LIMIT: usize = 64 * 1024;

const RESERVED: &str = "HEROKU_";

/// The key of a config var: letters, digits and underscores, starting with neither a digit
/// nor two underscores. It becomes the name of an environment variable.
///
/// [`ConfigKey::parse`] (and `FromStr`) is for what people set and refuses the platform's
/// own `HEROKU_…`; [`ConfigKey::platform`] and serde, which reads what is stored, take
/// those too (an add-on sets `HEROKU_REDIS_BLUE_URL`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Stored", into = "String")]
pub struct ConfigKey(String);

/// Why a text is no key of a config var.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigKeyError {
    /// Nothing was given.
    #[error("a config var needs a name, such as DATABASE_URL")]
    Empty,
    /// Holds a character that is not allowed.
    #[error(
        "config var \"{}\" has {character:?} in its name; only letters, digits and underscores are allowed",
        shown(.key)
    )]
    Character {
        /// The text that was given.
        key: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// Begins with a digit.
    #[error("config var \"{}\" can't start with a digit; start with a letter or an underscore", shown(.0))]
    Digit(String),
    /// Begins with two underscores.
    #[error("config var \"{}\" can't start with two underscores; drop one or start with a letter", shown(.0))]
    Underscores(String),
    /// Begins with `HEROKU_`.
    #[error("config var \"{}\" can't be set: names that start with HEROKU_ are kept for the platform; choose another name", shown(.0))]
    Reserved(String),
    /// Longer than 255 characters.
    #[error("config var \"{}\" has a name of {} characters; at most 255 are allowed", shown(.0), .0.len())]
    TooLong(String),
}

impl ConfigKey {
    /// Checks a key that somebody wants to set.
    ///
    /// # Errors
    /// When it breaks the rules or is one of the platform's own.
    pub fn parse(text: &str) -> Result<Self, ConfigKeyError> {
        let key = Self::platform(text)?;
        if text.get(..RESERVED.len()).is_some_and(|start| start.eq_ignore_ascii_case(RESERVED)) {
            return Err(ConfigKeyError::Reserved(text.to_owned()));
        }
        Ok(key)
    }

    /// Checks a key that the platform or an add-on sets: `HEROKU_…` is allowed.
    ///
    /// # Errors
    /// When it breaks the other rules.
    pub fn platform(text: &str) -> Result<Self, ConfigKeyError> {
        if text.is_empty() {
            return Err(ConfigKeyError::Empty);
        }
        if let Some(character) = text.chars().find(|c| !c.is_ascii_alphanumeric() && *c != '_') {
            return Err(ConfigKeyError::Character { key: text.to_owned(), character });
        }
        if text.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(ConfigKeyError::Digit(text.to_owned()));
        }
        if text.starts_with("__") {
            return Err(ConfigKeyError::Underscores(text.to_owned()));
        }
        if text.len() > 255 {
            return Err(ConfigKeyError::TooLong(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

name_traits!(ConfigKey, ConfigKeyError);

/// A key as it was stored, the platform's own included.
#[derive(Deserialize)]
struct Stored(String);

impl TryFrom<Stored> for ConfigKey {
    type Error = ConfigKeyError;

    fn try_from(stored: Stored) -> Result<Self, ConfigKeyError> {
        Self::platform(&stored.0)
    }
}

/// Why an app can't have this config.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Keys and values are more than 64 KB together.
    #[error(
        "the app's config vars would be {total} bytes together; at most {CONFIG_LIMIT} (64 KB) are allowed. \
         The largest is {largest} with {size} bytes: keep big values in a file or a store, and unset what isn't used"
    )]
    TooLarge {
        /// Bytes of all keys and values.
        total: usize,
        /// The key of the largest value.
        largest: String,
        /// Bytes of that value.
        size: usize,
    },
    /// A value holds a NUL byte, which no environment variable can.
    #[error(
        "the value of {0} has a NUL byte in it; an environment variable can't hold one. Encode it, with base64 for instance"
    )]
    Nul(String),
}

/// Checks what an app's config would be after a change: every key and value, not only the
/// changed ones.
///
/// # Errors
/// When it is too large together, or a value can't be an environment variable.
pub fn check_config<'a>(vars: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), ConfigError> {
    let mut total = 0;
    let mut largest = ("", 0);
    for (key, value) in vars {
        if value.contains('\0') {
            return Err(ConfigError::Nul(key.to_owned()));
        }
        total += key.len() + value.len();
        if value.len() >= largest.1 {
            largest = (key, value.len());
        }
    }
    if total > CONFIG_LIMIT {
        return Err(ConfigError::TooLarge { total, largest: largest.0.to_owned(), size: largest.1 });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn keys() {
        for key in ["A", "a_1", "_x", "DATABASE_URL", "HEROKU"] {
            assert_eq!(ConfigKey::parse(key).unwrap().as_str(), key);
        }
        let said = |key: &str| ConfigKey::parse(key).unwrap_err().to_string();
        insta::assert_snapshot!(said(""), @"a config var needs a name, such as DATABASE_URL");
        insta::assert_snapshot!(said("1A"), @r#"config var "1A" can't start with a digit; start with a letter or an underscore"#);
        insta::assert_snapshot!(said("__A"), @r#"config var "__A" can't start with two underscores; drop one or start with a letter"#);
        insta::assert_snapshot!(said("A-B"), @r#"config var "A-B" has '-' in its name; only letters, digits and underscores are allowed"#);
        insta::assert_snapshot!(said("A\nB"), @r#"config var "A\nB" has '\n' in its name; only letters, digits and underscores are allowed"#);
        insta::assert_snapshot!(said("HEROKU_X"), @r#"config var "HEROKU_X" can't be set: names that start with HEROKU_ are kept for the platform; choose another name"#);
        assert!(said("Heroku_x").contains("kept for the platform"));
        assert!(said(&"A".repeat(256)).contains("at most 255"));
        ConfigKey::platform("HEROKU_REDIS_BLUE_URL").unwrap();
    }

    #[test]
    fn the_whole_config_is_limited() {
        let most = "x".repeat(CONFIG_LIMIT - 1);
        check_config([("A", most.as_str())]).unwrap();
        let error = check_config([("A", most.as_str()), ("B", "")]).unwrap_err();
        insta::assert_snapshot!(error, @"the app's config vars would be 65537 bytes together; at most 65536 (64 KB) are allowed. The largest is A with 65535 bytes: keep big values in a file or a store, and unset what isn't used");
        assert_eq!(check_config([("A", "\0")]), Err(ConfigError::Nul("A".to_owned())));
        check_config([]).unwrap();
    }
}
