//! Names that people give to things, and what each of them may look like.
//!
//! A value of one of these types is always valid: it is made by `parse` (or `FromStr`, or
//! serde), which says in one sentence what is wrong and what would be allowed. The
//! patterns are those of Heroku's API, so that what its clients accept is accepted here.

mod addon;
mod app;
mod config_key;
mod dyno;
mod hostname;
mod pipeline;
mod words;

pub use addon::{AddonName, AddonNameError};
pub use app::{AppName, AppNameError};
pub use config_key::{CONFIG_LIMIT, ConfigError, ConfigKey, ConfigKeyError, check_config};
pub use dyno::{DynoName, DynoNameError, ProcessType, ProcessTypeError};
pub use hostname::{Hostname, HostnameError};
pub use pipeline::{PipelineName, PipelineNameError};

/// What every name has: a `str` view, order, printing, parsing and serde, all through the
/// one checking constructor that the type writes itself.
macro_rules! name_traits {
    ($name:ident, $error:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(&self.0)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $error;

            fn from_str(text: &str) -> Result<Self, $error> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = $error;

            fn try_from(text: String) -> Result<Self, $error> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0
            }
        }
    };
}
use name_traits;

/// A piece of somebody's input, short and printable enough to stand in a message.
pub(crate) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}

/// Takes an element by one random draw. `items` must not be empty.
fn pick<'a>(items: &[&'a str], draw: u64) -> &'a str {
    let count = u64::try_from(items.len()).unwrap_or(u64::MAX).max(1);
    let index = usize::try_from(draw % count).unwrap_or(0);
    items.get(index).copied().unwrap_or("app")
}
