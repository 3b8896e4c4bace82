//! Input that clients write in several ways.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// A resource named in a request, by id or by name: a plain string, or an object with `name`
/// or `id` (Terraform's provider and some SDKs send `{"plan": {"name": …}}`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Identity(pub String);

impl Identity {
    /// The id or name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<&str> for Identity {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Identity {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl JsonSchema for Identity {
    fn schema_name() -> Cow<'static, str> {
        "Identity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "An id or a name: as a text, or in an object.",
            "anyOf": [
                {"type": "string"},
                {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]},
                {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Identity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(IdentityVisitor)
    }
}

struct IdentityVisitor;

impl<'de> Visitor<'de> for IdentityVisitor {
    type Value = Identity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name or id, or an object with one")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Identity, E> {
        Ok(Identity(text.to_owned()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Identity, A::Error> {
        let (mut id, mut name) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            let value = map.next_value::<Value>()?;
            match (key.as_str(), value) {
                ("name", Value::String(text)) => name = Some(text),
                ("id", Value::String(text)) => id = Some(text),
                (_, _) => {}
            }
        }
        name.or(id).map(Identity).ok_or_else(|| de::Error::custom("neither a name nor an id is given"))
    }
}

/// Reads a map of texts whose values may also be numbers or booleans, as in a dyno's `env`
/// (`{"COLUMNS": 80}`). `null` values are left out.
///
/// # Errors
/// When it is no object, or a value is an array or object.
pub fn texts<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<BTreeMap<String, String>>, D::Error> {
    let Some(map) = Option::<BTreeMap<String, Value>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let mut texts = BTreeMap::new();
    for (key, value) in map {
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text,
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Array(_) | Value::Object(_) => {
                return Err(de::Error::custom(format_args!("the value of {key} must be a text")));
            }
        };
        texts.insert(key, text);
    }
    Ok(Some(texts))
}

/// Reads a whole number that may come as a number or as a text (`100`, `"100"`).
///
/// # Errors
/// When it is neither, or is negative, or is too large.
pub fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number
            .as_u64()
            .map(Some)
            .ok_or_else(|| de::Error::custom(format_args!("{number} is not a whole number of 0 or more"))),
        Some(Value::String(text)) => text
            .trim()
            .parse()
            .map(Some)
            .map_err(|_| de::Error::custom(format_args!("{text:?} is not a whole number of 0 or more"))),
        Some(other @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            Err(de::Error::custom(format_args!("{other} is not a whole number of 0 or more")))
        }
    }
}

/// Reads whatever is there, `null` too; `None` stands for a field that is absent.
///
/// # Errors
/// When it is no JSON.
pub fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads a field for which `null` says something other than its absence (with
/// `#[serde(default)]`): `Some(None)` when it is given as `null`.
///
/// # Errors
/// When the value is of another type.
pub fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}

/// Yes or no, which some libraries (heroku3) write as 1 or 0.
///
/// # Errors
/// When it is anything else.
pub fn flag<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<bool>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(flag)),
        Some(Value::Number(number)) if number.as_u64() == Some(0) => Ok(Some(false)),
        Some(Value::Number(number)) if number.as_u64() == Some(1) => Ok(Some(true)),
        Some(other) => Err(de::Error::custom(format_args!("{other} is neither true nor false"))),
    }
}

/// The shape of a [`flag`].
pub fn flag_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"anyOf": [{"type": ["boolean", "null"]}, {"type": "integer", "enum": [0, 1]}]})
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn identity_from_text_or_object() {
        for json in [r#""redis:mini""#, r#"{"name":"redis:mini"}"#, r#"{"id":"x","name":"redis:mini"}"#] {
            let identity: Identity = serde_json::from_str(json).unwrap();
            assert_eq!(identity.as_str(), "redis:mini", "{json}");
        }
        assert!(serde_json::from_str::<Identity>("{}").is_err());
        assert!(serde_json::from_str::<Identity>("3").is_err());
    }
}
