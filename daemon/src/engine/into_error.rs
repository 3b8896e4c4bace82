//! What an engine's failure means to whoever asked for something.

use super::EngineError;
use crate::error::Error;

impl From<EngineError> for Error {
    fn from(source: EngineError) -> Self {
        if source.is_transient() {
            Self::Unavailable(source.to_string())
        } else {
            Self::internal(source.to_string(), source)
        }
    }
}
