//! The stages of a pipeline.

/// A place in a pipeline, in the order in which work goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// Test runs.
    Test,
    /// Review apps, one a branch.
    Review,
    /// Where work begins.
    Development,
    /// Where it is looked at.
    Staging,
    /// What users see.
    Production,
}

/// A text that is no stage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a stage; the stages are test, review, development, staging and production")]
pub struct StageError(String);

impl Stage {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Test, Self::Review, Self::Development, Self::Staging, Self::Production];

    /// Its word in Heroku's API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Review => "review",
            Self::Development => "development",
            Self::Staging => "staging",
            Self::Production => "production",
        }
    }

    /// The stage of that word.
    ///
    /// # Errors
    /// When there is none; the error lists them.
    pub fn parse(text: &str) -> Result<Self, StageError> {
        Self::ALL.into_iter().find(|stage| stage.as_str() == text).ok_or_else(|| StageError(text.to_owned()))
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_reads_its_own_word_and_nothing_else() {
        for stage in Stage::ALL {
            assert_eq!(Stage::parse(stage.as_str()), Ok(stage));
        }
        assert!(Stage::parse("Production").is_err() && Stage::parse("").is_err());
    }
}
