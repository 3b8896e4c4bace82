//! What a buildpack says in `bin/release`: a small YAML document with default process types,
//! add-ons and (legacy) config vars.

use std::collections::BTreeMap;

use saphyr_parser::{Event, Parser};

/// The document of one `bin/release`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseInfo {
    /// Commands of the types that the Procfile doesn't name.
    pub default_process_types: BTreeMap<String, String>,
    /// Services wanted, such as `heroku-postgresql`; for an app's first release.
    pub addons: Vec<String>,
    /// Defaults of config vars; for an app's first release, and only where none is set.
    pub config_vars: BTreeMap<String, String>,
}

/// A document that isn't what `bin/release` should say.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("bin/release: {0}")]
pub struct ReleaseError(String);

/// `bin/release` may say this many bytes.
pub const LIMIT: u64 = 256 * 1024;

/// A value of the subset that is needed: no anchors and aliases, so no bombs.
#[derive(Debug)]
enum Value {
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl ReleaseInfo {
    /// Reads the output of `bin/release`. Empty output is an empty document; keys that nobody
    /// knows are passed over, as Heroku does.
    ///
    /// # Errors
    /// Says what isn't YAML, or isn't of the shape that the contract asks for.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReleaseError> {
        if bytes.len() as u64 > LIMIT {
            return Err(ReleaseError("its output has more than 256 KB".to_owned()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| ReleaseError("its output is not UTF-8".to_owned()))?;
        let mut info = Self::default();
        let entries = match document(text)? {
            None => return Ok(info),
            Some(Value::Text(text)) if empty(&text) => return Ok(info),
            Some(Value::Map(entries)) => entries,
            Some(Value::Text(_) | Value::List(_)) => {
                return Err(ReleaseError("its output is not a mapping of keys to values".to_owned()));
            }
        };
        for (key, value) in entries {
            match key.as_str() {
                "default_process_types" => info.default_process_types = texts(&key, value)?,
                "config_vars" => info.config_vars = texts(&key, value)?,
                "addons" => info.addons = list(&key, value)?,
                _other => {}
            }
        }
        Ok(info)
    }
}

/// What YAML calls null; a scalar of one of these is an absent value.
fn empty(text: &str) -> bool {
    matches!(text, "" | "~" | "null")
}

fn texts(key: &str, value: Value) -> Result<BTreeMap<String, String>, ReleaseError> {
    match value {
        Value::Text(text) if empty(&text) => Ok(BTreeMap::new()),
        // `[]` where `{}` was meant: PHP's and some others' way of an empty mapping.
        Value::List(items) if items.is_empty() => Ok(BTreeMap::new()),
        Value::Map(entries) => entries
            .into_iter()
            .map(|(name, value)| match value {
                Value::Text(text) => Ok((name, text)),
                Value::List(_) | Value::Map(_) => Err(ReleaseError(format!("{key}: {name} should be a text"))),
            })
            .collect(),
        Value::Text(_) | Value::List(_) => Err(ReleaseError(format!("{key} should be a mapping of names to texts"))),
    }
}

fn list(key: &str, value: Value) -> Result<Vec<String>, ReleaseError> {
    match value {
        Value::Text(text) if empty(&text) => Ok(Vec::new()),
        Value::Map(entries) if entries.is_empty() => Ok(Vec::new()),
        Value::List(items) => items
            .into_iter()
            .map(|item| match item {
                Value::Text(text) => Ok(text),
                Value::List(_) | Value::Map(_) => Err(ReleaseError(format!("{key} should be a list of texts"))),
            })
            .collect(),
        Value::Text(_) | Value::Map(_) => Err(ReleaseError(format!("{key} should be a list"))),
    }
}

/// A collection that is being read, and the key that its next value belongs to.
enum Open {
    List(Vec<Value>),
    Map(Vec<(String, Value)>, Option<String>),
}

/// How deep collections may be: a value is dropped level by level, on a thread's stack. What is
/// asked for has two.
const DEEPEST: usize = 64;

/// The first document of a YAML text.
fn document(text: &str) -> Result<Option<Value>, ReleaseError> {
    let mut open: Vec<Open> = Vec::new();
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| ReleaseError(format!("not YAML: {error}")))?;
        let line = span.start.line();
        if open.len() > DEEPEST {
            return Err(ReleaseError(format!("line {line}: lists and mappings are nested deeper than {DEEPEST}")));
        }
        let value = match event {
            Event::Scalar(text, ..) => Value::Text(text.into_owned()),
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Map(Vec::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Value::List(items),
                Some(Open::Map(entries, _)) => Value::Map(entries),
                None => return Err(ReleaseError(format!("not YAML: line {line}"))),
            },
            Event::Alias(_) => {
                return Err(ReleaseError(format!("line {line}: aliases are not supported")));
            }
            Event::DocumentEnd => return Ok(None),
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => continue,
        };
        match open.last_mut() {
            None => return Ok(Some(value)),
            Some(Open::List(items)) => items.push(value),
            Some(Open::Map(entries, key)) => match (key.take(), value) {
                (Some(key), value) => entries.push((key, value)),
                (None, Value::Text(text)) => *key = Some(text),
                (None, Value::List(_) | Value::Map(_)) => {
                    return Err(ReleaseError(format!("line {line}: a key should be a text")));
                }
            },
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn depth_is_refused_before_it_ends_a_thread() {
        for text in ["- ".repeat(100_000), "[".repeat(100_000), "? ".repeat(100_000)] {
            assert!(ReleaseInfo::parse(text.as_bytes()).is_err());
        }
    }

    #[test]
    fn reads_what_packs_write() {
        let info = ReleaseInfo::parse(
            b"---\naddons:\n  - heroku-postgresql\nconfig_vars: {LANG: en_US.UTF-8}\n\
              default_process_types:\n  rake: bundle exec rake\n  \"web\": 'bin/rails server -p ${PORT:-5000}\n    -e $RAILS_ENV'\n",
        )
        .unwrap();
        assert_eq!(info.addons, ["heroku-postgresql"]);
        assert_eq!(info.config_vars["LANG"], "en_US.UTF-8");
        assert_eq!(info.default_process_types["web"], "bin/rails server -p ${PORT:-5000} -e $RAILS_ENV");
        assert_eq!(info.default_process_types["rake"], "bundle exec rake");
    }

    #[test]
    fn nothing_is_an_empty_document() {
        for text in ["", "---\n", "--- {}\n", "--- ~\n", "addons: []\nunknown: {a: [1]}\n"] {
            assert_eq!(ReleaseInfo::parse(text.as_bytes()).unwrap(), ReleaseInfo::default(), "{text:?}");
        }
    }

    #[test]
    fn refuses_what_it_cannot_mean() {
        for text in [
            "just a text",
            "- a\n- b",
            "default_process_types: web",
            "default_process_types:\n  web: [a]",
            "a: &x [1]\nb: *x",
            "{a: b",
            "\u{0}",
        ] {
            assert!(ReleaseInfo::parse(text.as_bytes()).is_err(), "{text:?}");
        }
        assert!(ReleaseInfo::parse(&[0xff, 0xfe]).is_err());
        assert!(ReleaseInfo::parse(&vec![b' '; 300_000]).is_err());
        // Deep nesting must not exhaust the stack.
        let _ = ReleaseInfo::parse("[".repeat(100_000).as_bytes());
    }
}
