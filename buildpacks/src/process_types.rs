//! The commands of a slug: what the Procfile says, over what the last buildpack says.

use std::collections::BTreeMap;
use std::path::Path;

use paas_domain::procfile::{LARGEST, Procfile};

use crate::build::BuildError;
use crate::output::{Output, Speak};
use crate::tree;

/// Reads the Procfile of the compiled tree (buildpacks may write one) and lays it over
/// `defaults`, telling the person who pushed about it as Heroku does.
///
/// # Errors
/// A Procfile that is binary, too large or says nothing ends the build.
pub(crate) fn discover(
    tree: &Path,
    defaults: &BTreeMap<String, String>,
    output: &mut dyn Output,
) -> Result<BTreeMap<String, String>, BuildError> {
    output.heading("Discovering process types");
    let mut types = BTreeMap::new();
    for (name, command) in defaults {
        let command = command.trim();
        if paas_domain::name::ProcessType::parse(name).is_ok() && !command.is_empty() && !command.contains('\0') {
            types.insert(name.clone(), command.to_owned());
        } else {
            output.warning(&format!("The buildpack's default process type {name:?} is not usable, ignoring it."));
        }
    }
    let from_pack: Vec<String> = types.keys().cloned().collect();
    let mut declared = Vec::new();
    if let Some(bytes) = tree::read(tree, "Procfile", LARGEST as u64)? {
        let parsed = Procfile::parse(&bytes).map_err(|error| {
            output.warning(&format!("{error}"));
            BuildError::Rejected(error.to_string())
        })?;
        for warning in &parsed.warnings {
            output.warning(&format!("Procfile: {warning}"));
        }
        for entry in parsed.procfile.entries {
            declared.push(entry.process_type.as_str().to_owned());
            types.insert(entry.process_type.as_str().to_owned(), entry.command);
        }
    }
    let none = |list: &[String]| if list.is_empty() { "(none)".to_owned() } else { list.join(", ") };
    output.detail(&format!("Procfile declares types     -> {}", none(&declared)));
    let left: Vec<String> = from_pack.into_iter().filter(|name| !declared.contains(name)).collect();
    if !left.is_empty() {
        output.detail(&format!("Default types for buildpack -> {}", left.join(", ")));
    }
    Ok(types)
}
