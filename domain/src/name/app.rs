//! App names.

use serde::{Deserialize, Serialize};

use super::{name_traits, pick, shown, words};

/// The name of an app: `^[a-z][a-z0-9-]{1,28}[a-z0-9]$`, as Heroku's API has it. It is a
/// DNS label, because the app answers at `NAME.BASE`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AppName(String);

/// Why a text is no app name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppNameError {
    /// Shorter than 3 or longer than 30 characters.
    #[error("app name \"{}\" has {length} characters; it must have 3 to 30", shown(.name))]
    Length {
        /// The text that was given.
        name: String,
        /// Its length in characters.
        length: usize,
    },
    /// Begins with something else than a lowercase letter.
    #[error("app name \"{}\" must start with a lowercase letter (a-z)", shown(.0))]
    Start(String),
    /// Ends with a dash.
    #[error("app name \"{}\" must end with a lowercase letter or a digit", shown(.0))]
    End(String),
    /// Holds a character that is not allowed.
    #[error(
        "app name \"{}\" has {character:?} in it; only lowercase letters, digits and dashes are allowed",
        shown(.name)
    )]
    Character {
        /// The text that was given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl AppName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it breaks the pattern; the error says where.
    pub fn parse(text: &str) -> Result<Self, AppNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(AppNameError::Character { name: text.to_owned(), character });
        }
        if !(3..=30).contains(&text.len()) {
            return Err(AppNameError::Length { name: text.to_owned(), length: text.len() });
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(AppNameError::Start(text.to_owned()));
        }
        if text.ends_with('-') {
            return Err(AppNameError::End(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }

    /// A name for an app whose owner gave none, such as `brave-river-1234`. Draws three
    /// numbers from `random`; about 190 million names, so a caller that meets one that is
    /// taken tries again.
    #[must_use]
    pub fn random(mut random: impl FnMut() -> u64) -> Self {
        let adjective = pick(words::ADJECTIVES, random());
        let noun = pick(words::NOUNS, random());
        let number = 1000 + random() % 9000;
        Self(format!("{adjective}-{noun}-{number}"))
    }
}

name_traits!(AppName, AppNameError);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn takes_what_heroku_takes() {
        for name in ["abc", "a-1", "my-app", "a23456789012345678901234567890", "a--b"] {
            assert_eq!(AppName::parse(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn says_what_is_wrong() {
        let said = |name: &str| AppName::parse(name).unwrap_err().to_string();
        insta::assert_snapshot!(said("ab"), @r#"app name "ab" has 2 characters; it must have 3 to 30"#);
        insta::assert_snapshot!(said(""), @r#"app name "" has 0 characters; it must have 3 to 30"#);
        insta::assert_snapshot!(said("a234567890123456789012345678901"), @r#"app name "a234567890123456789012345678901" has 31 characters; it must have 3 to 30"#);
        insta::assert_snapshot!(said("1app"), @r#"app name "1app" must start with a lowercase letter (a-z)"#);
        insta::assert_snapshot!(said("-app"), @r#"app name "-app" must start with a lowercase letter (a-z)"#);
        insta::assert_snapshot!(said("app-"), @r#"app name "app-" must end with a lowercase letter or a digit"#);
        insta::assert_snapshot!(said("MyApp"), @r#"app name "MyApp" has 'M' in it; only lowercase letters, digits and dashes are allowed"#);
        insta::assert_snapshot!(said("a/../b"), @r#"app name "a/../b" has '/' in it; only lowercase letters, digits and dashes are allowed"#);
        insta::assert_snapshot!(said("a\nb"), @r#"app name "a\nb" has '\n' in it; only lowercase letters, digits and dashes are allowed"#);
        insta::assert_snapshot!(said("schön"), @r#"app name "schön" has 'ö' in it; only lowercase letters, digits and dashes are allowed"#);
    }

    #[test]
    fn every_random_name_is_a_name() {
        for adjective in words::ADJECTIVES {
            for noun in words::NOUNS {
                AppName::parse(&format!("{adjective}-{noun}-9999")).unwrap();
            }
        }
        let mut draws = [0, 0, 234].into_iter();
        let name = AppName::random(|| draws.next().unwrap());
        assert_eq!(name.as_str(), "able-acorn-1234");
        AppName::parse(AppName::random(|| u64::MAX).as_str()).unwrap();
    }

    #[test]
    fn no_word_comes_twice() {
        for list in [words::ADJECTIVES, words::NOUNS] {
            assert!(list.is_sorted_by(|a, b| a < b), "sorted and unique");
        }
    }

    proptest::proptest! {
        #[test]
        fn agrees_with_the_pattern(name in "[a-z][a-z0-9-]{1,28}[a-z0-9]") {
            assert_eq!(AppName::parse(&name).unwrap().as_str(), name);
        }

        #[test]
        fn never_panics(text in "\\PC*") {
            drop(AppName::parse(&text));
        }
    }
}
