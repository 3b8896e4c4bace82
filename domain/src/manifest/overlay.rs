//! What an app.json says for one environment (`review`, `test`), and what becomes of its config
//! vars.

use std::collections::BTreeMap;

use super::{Generator, Manifest};

/// The config vars that an app.json asks for, by where their values come from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Env {
    /// Values that are known.
    pub values: BTreeMap<String, String>,
    /// Those that a value is made up for.
    pub secrets: Vec<String>,
    /// Those that the app can't do without and nobody gave a value for.
    pub missing: Vec<String>,
}

impl Manifest {
    /// The manifest as it counts in an environment: of `env` and `scripts` each entry of the
    /// environment takes the place of the file's; any other key that it has replaces the
    /// file's whole.
    #[must_use]
    pub fn for_environment(&self, name: &str) -> Self {
        let Some(own) = self.environments.get(name) else { return self.clone() };
        let has = |key: &str| own.stated.contains(key);
        let mut out = self.clone();
        out.env.extend(own.env.clone());
        out.scripts.extend(own.scripts.clone());
        if has("addons") {
            out.addons.clone_from(&own.addons);
        }
        if has("formation") {
            out.formation.clone_from(&own.formation);
        }
        if has("buildpacks") {
            out.buildpacks.clone_from(&own.buildpacks);
        }
        out.stack = own.stack.clone().or(out.stack);
        out.success_url = own.success_url.clone().or(out.success_url);
        out
    }

    /// What its config vars come to: `given` counts before the file's values, a value before a
    /// generator.
    #[must_use]
    pub fn env_with(&self, given: &BTreeMap<String, String>) -> Env {
        let mut env = Env { values: given.clone(), ..Env::default() };
        for (key, var) in self.env.iter().filter(|(key, _)| !given.contains_key(key.as_str())) {
            match (&var.value, var.generator) {
                (Some(value), _) => {
                    env.values.insert(key.to_string(), value.clone());
                }
                (None, Some(Generator::Secret)) => env.secrets.push(key.to_string()),
                (None, None) if var.required => env.missing.push(key.to_string()),
                (None, None) => {}
            }
        }
        env
    }
}
