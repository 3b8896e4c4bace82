//! Which buildpacks a build uses: those the app was told to use, else those that its source
//! names in `.buildpacks`, else the first of ours that says "mine".

use std::path::Path;

use crate::build::BuildError;
use crate::catalog::{Catalog, PackRef};
use crate::output::{Output, Speak};
use crate::tree;

/// `.buildpacks` may have this many bytes.
const LIMIT: u64 = 64 * 1024;

/// A build may use this many packs.
const MOST: usize = 50;

/// The packs of a build, and whether each has to fit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) packs: Vec<PackRef>,
    /// Set by the app or its source: all of them run, in order, and one that doesn't fit ends
    /// the build. Otherwise the first that fits is the one.
    pub(crate) set: bool,
}

/// Decides between the app's own list, `BUILDPACK_URL` (legacy, still honoured), the source's
/// `.buildpacks` and detection.
pub(crate) fn choose(
    installed: &[String],
    buildpack_url: Option<&str>,
    source: &Path,
    catalog: &Catalog,
    output: &mut dyn Output,
) -> Result<Choice, BuildError> {
    let named = if !installed.is_empty() {
        installed.to_vec()
    } else if let Some(url) = buildpack_url.filter(|url| !url.trim().is_empty()) {
        vec![url.to_owned()]
    } else {
        dot_buildpacks(source, output)?
    };
    if named.is_empty() {
        return Ok(Choice { packs: catalog.defaults(), set: false });
    }
    if named.len() > MOST {
        return Err(BuildError::Rejected(format!("{} buildpacks are too many: {MOST} is the most", named.len())));
    }
    let packs = named.iter().map(|name| PackRef::parse(name)).collect::<Result<_, _>>();
    let packs: Vec<PackRef> = packs.map_err(|error| {
        output.warning(&error.to_string());
        BuildError::Rejected(error.to_string())
    })?;
    Ok(Choice { packs, set: true })
}

/// The lines of `.buildpacks`: an address or name each; `#` starts a comment line.
fn dot_buildpacks(source: &Path, output: &mut dyn Output) -> Result<Vec<String>, BuildError> {
    let Some(bytes) = tree::read(source, ".buildpacks", LIMIT)? else {
        return Ok(Vec::new());
    };
    let text = String::from_utf8(bytes).ok().filter(|text| text.len() as u64 <= LIMIT);
    let Some(text) = text else {
        output.warning("Ignoring .buildpacks: it is not a text of at most 64 KB.");
        return Ok(Vec::new());
    };
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    Ok(lines.filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect())
}
