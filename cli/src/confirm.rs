//! Asking before something is lost.

use std::io::IsTerminal as _;

use crate::failure::Failure;
use crate::output;

/// Goes on only when the user gave `wanted` with `--confirm` or types it now. `what` is a
/// sentence that says what will be lost.
pub(crate) fn destruction(what: &str, wanted: &str, confirm: Option<&str>) -> anyhow::Result<()> {
    if let Some(confirm) = confirm {
        return if confirm == wanted { Ok(()) } else { Err(differs(confirm, wanted).into()) };
    }
    if !std::io::stdin().is_terminal() {
        return Err(Failure::new(what).hint(format!("To go on, add --confirm {wanted} to the command.")).into());
    }
    output::complain(&format!("{what}\nTo go on, type {wanted}, or add --confirm {wanted} to the command."));
    let typed = inquire::Text::new("").prompt()?;
    if typed.trim() == wanted { Ok(()) } else { Err(differs(typed.trim(), wanted).into()) }
}

fn differs(typed: &str, wanted: &str) -> Failure {
    Failure::new(format!("The confirmation {typed:?} is not {wanted}; nothing was changed."))
}
