//! `Doing something... done`, on stderr: a spinner on a terminal, plain words elsewhere.

use std::fmt::Display;
use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::output;

/// Something under way. Dropped without an end, it shows that it failed.
pub(crate) struct Action {
    message: String,
    spinner: Option<ProgressBar>,
    /// The last status that was told.
    status: String,
    ended: bool,
}

impl Action {
    /// Says what is being done.
    pub(crate) fn start(message: impl Into<String>) -> Self {
        let message = message.into();
        // The spinner draws past the writer that takes colour away where none is wanted.
        let message = output::tame(&message).into_owned();
        let message = if output::has_color() { message } else { anstream::adapter::strip_str(&message).to_string() };
        let spinner = std::io::stderr().is_terminal().then(|| spinner(&message));
        if spinner.is_none() {
            output::note_part(format_args!("{message}... "));
        }
        Self { message, spinner, status: String::new(), ended: false }
    }

    /// It is done.
    pub(crate) fn done(self) {
        self.end("done");
    }

    /// It is done, and this is what came of it.
    pub(crate) fn done_with(self, result: impl Display) {
        self.end(format_args!("done, {result}"));
    }

    /// It ended, in other words than `done`.
    pub(crate) fn end(mut self, word: impl Display) {
        self.finish(word);
    }

    /// Says how far it is: in place of what was said before on a terminal, behind it elsewhere.
    pub(crate) fn status(&mut self, status: &str) {
        let status = output::tame(status.trim().trim_end_matches('.'));
        if status.is_empty() || status == self.status {
            return;
        }
        self.status = status.to_string();
        match &self.spinner {
            Some(spinner) => spinner.set_message(format!("{}... {status}", self.message)),
            None => output::note_part(format_args!("{status}... ")),
        }
    }

    fn finish(&mut self, word: impl Display) {
        self.ended = true;
        match &self.spinner {
            Some(spinner) => {
                spinner.finish_and_clear();
                output::note(format_args!("{}... {word}", self.message));
            }
            None => output::note(word),
        }
    }
}

impl Drop for Action {
    fn drop(&mut self) {
        if !self.ended {
            self.finish("!");
        }
    }
}

fn spinner(message: &str) -> ProgressBar {
    let spinner = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{msg} {spinner}") {
        spinner.set_style(style);
    }
    spinner.set_message(format!("{message}..."));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}
