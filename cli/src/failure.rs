//! How a command fails: a sentence, what to do next, an exit code.
//!
//! Everything else travels as [`anyhow::Error`]; [`report`] turns either into what the user
//! reads on stderr and the process's exit code.

use std::fmt;

use crate::output;

/// Exit code of an ordinary error.
pub(crate) const ERROR: i32 = 1;
/// Exit code of a command that was written wrongly.
pub(crate) const USAGE: i32 = 2;
/// Exit code after Ctrl-C, as shells count it.
pub(crate) const INTERRUPTED: i32 = 130;

/// An error that knows what to do next.
#[derive(Debug)]
pub(crate) struct Failure {
    message: String,
    hint: Option<String>,
    code: i32,
}

impl Failure {
    /// An error with a sentence that says what failed and why.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: ERROR }
    }

    /// An error in how the command was written.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None, code: USAGE }
    }

    /// Adds what to do next.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

/// Ends with a code and no words: a one-off dyno's own exit code, or an error that was
/// already told.
#[derive(Debug)]
pub(crate) struct Exit(pub(crate) i32);

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "exit code {}", self.0)
    }
}

impl std::error::Error for Exit {}

/// Tells the user about an error and gives the exit code.
pub(crate) fn report(error: &anyhow::Error) -> i32 {
    if let Some(Exit(code)) = error.downcast_ref() {
        return *code;
    }
    if let Some(inquire_error) = error.downcast_ref::<inquire::InquireError>()
        && matches!(
            inquire_error,
            inquire::InquireError::OperationCanceled | inquire::InquireError::OperationInterrupted
        )
    {
        return INTERRUPTED;
    }
    match error.downcast_ref::<Failure>() {
        Some(failure) => {
            output::complain(&failure.message);
            if let Some(hint) = &failure.hint {
                output::complain(hint);
            }
            failure.code
        }
        None => {
            output::complain(&format!("{error:#}."));
            ERROR
        }
    }
}
