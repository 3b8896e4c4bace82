//! Pipeline names.

use serde::{Deserialize, Serialize};

use super::{name_traits, shown};

/// The name of a pipeline: `^[a-z][a-z0-9-]{2,29}$`, as Heroku's API has it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PipelineName(String);

/// Why a text is no pipeline name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PipelineNameError {
    /// Shorter than 3 or longer than 30 characters.
    #[error("pipeline name \"{}\" has {length} characters; it must have 3 to 30", shown(.name))]
    Length {
        /// The text that was given.
        name: String,
        /// Its length in characters.
        length: usize,
    },
    /// Begins with something else than a lowercase letter.
    #[error("pipeline name \"{}\" must start with a lowercase letter (a-z)", shown(.0))]
    Start(String),
    /// Holds a character that is not allowed.
    #[error(
        "pipeline name \"{}\" has {character:?} in it; only lowercase letters, digits and dashes are allowed",
        shown(.name)
    )]
    Character {
        /// The text that was given.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

impl PipelineName {
    /// Checks a name.
    ///
    /// # Errors
    /// When it breaks the pattern; the error says where.
    pub fn parse(text: &str) -> Result<Self, PipelineNameError> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if let Some(character) = text.chars().find(|c| !allowed(*c)) {
            return Err(PipelineNameError::Character { name: text.to_owned(), character });
        }
        if !(3..=30).contains(&text.len()) {
            return Err(PipelineNameError::Length { name: text.to_owned(), length: text.len() });
        }
        if !text.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(PipelineNameError::Start(text.to_owned()));
        }
        Ok(Self(text.to_owned()))
    }
}

name_traits!(PipelineName, PipelineNameError);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn takes_what_heroku_takes_and_says_what_is_wrong() {
        for name in ["abc", "a-1", "my-pipeline", "ab-", "a23456789012345678901234567890"] {
            assert_eq!(PipelineName::parse(name).unwrap().as_str(), name);
        }
        let said = |name: &str| PipelineName::parse(name).unwrap_err().to_string();
        insta::assert_snapshot!(said("ab"), @r#"pipeline name "ab" has 2 characters; it must have 3 to 30"#);
        insta::assert_snapshot!(said("a234567890123456789012345678901"), @r#"pipeline name "a234567890123456789012345678901" has 31 characters; it must have 3 to 30"#);
        insta::assert_snapshot!(said("1ab"), @r#"pipeline name "1ab" must start with a lowercase letter (a-z)"#);
        insta::assert_snapshot!(said("My"), @r#"pipeline name "My" has 'M' in it; only lowercase letters, digits and dashes are allowed"#);
    }
}
