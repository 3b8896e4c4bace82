//! `/apps/{app}/formation`: how many dynos of which size each process type has.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::{Identity, Named};

/// One process type of an app.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Formation {
    /// Its app.
    pub app: Named,
    /// What its dynos run.
    pub command: String,
    /// When it was made.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub created_at: DateTime<Utc>,
    /// Size of its dynos.
    pub dyno_size: Named,
    /// Id.
    pub id: Uuid,
    /// How many dynos.
    pub quantity: u32,
    /// Name of the size.
    pub size: String,
    /// E.g. `web`.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it last changed.
    #[serde(with = "crate::time")]
    #[schemars(with = "chrono::DateTime<chrono::Utc>")]
    pub updated_at: DateTime<Utc>,
}

/// `PATCH /apps/{app}/formation`
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FormationBatchUpdate {
    /// Types to change; all or none.
    #[serde(default)]
    pub updates: Vec<FormationUpdate>,
}

/// One change, also the body of `PATCH /apps/{app}/formation/{type}` (where `type` is in the
/// path).
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct FormationUpdate {
    /// Which process type.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How many dynos.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<Quantity>,
    /// Size by name or id. Clients say `dyno_size` or `size`, as text or `{name}`.
    #[serde(default, alias = "size", skip_serializing_if = "Option::is_none")]
    pub dyno_size: Option<Identity>,
    /// A Docker image to run, or `null` for none any more (Heroku's `container:release` and
    /// `container:rm`): it is seen to be there, and refused.
    #[serde(default, deserialize_with = "crate::loose::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub docker_image: Option<serde_json::Value>,
}

/// How many dynos: a number (2), a text ("2"), or a change ("+1", "-1").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Exactly so many.
    Exactly(u32),
    /// So many more.
    More(u32),
    /// So many fewer; never below none.
    Fewer(u32),
}

impl Quantity {
    /// The number of dynos when there are `current`.
    #[must_use]
    pub const fn applied_to(self, current: u32) -> u32 {
        match self {
            Self::Exactly(count) => count,
            Self::More(count) => current.saturating_add(count),
            Self::Fewer(count) => current.saturating_sub(count),
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exactly(count) => write!(f, "{count}"),
            Self::More(count) => write!(f, "+{count}"),
            Self::Fewer(count) => write!(f, "-{count}"),
        }
    }
}

/// A text that is no quantity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotAQuantity(String);

impl fmt::Display for NotAQuantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a quantity is a whole number like 2, or a change like +1 or -1, but it is {}", self.0)
    }
}

impl std::error::Error for NotAQuantity {}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let (kind, digits): (fn(u32) -> Self, &str) = match text.as_bytes().first() {
            Some(b'+') => (Self::More, &text[1..]),
            Some(b'-') => (Self::Fewer, &text[1..]),
            _ => (Self::Exactly, text),
        };
        let wrong = || NotAQuantity(format!("{text:?}"));
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(wrong());
        }
        digits.parse().map(kind).map_err(|_| wrong())
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Exactly(count) => serializer.serialize_u32(*count),
            Self::More(_) | Self::Fewer(_) => serializer.collect_str(self),
        }
    }
}

impl JsonSchema for Quantity {
    fn schema_name() -> Cow<'static, str> {
        "Quantity".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number of dynos, or a change of it.",
            "anyOf": [
                {"type": "integer", "minimum": 0, "maximum": u32::MAX},
                {"type": "string", "pattern": "^[+-]?[0-9]{1,9}$"},
            ],
        })
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(QuantityVisitor)
    }
}

struct QuantityVisitor;

impl Visitor<'_> for QuantityVisitor {
    type Value = Quantity;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a quantity like 2, \"2\", \"+1\" or \"-1\"")
    }

    fn visit_u64<E: de::Error>(self, count: u64) -> Result<Quantity, E> {
        u32::try_from(count).map(Quantity::Exactly).map_err(|_| E::custom(NotAQuantity(count.to_string())))
    }

    fn visit_i64<E: de::Error>(self, count: i64) -> Result<Quantity, E> {
        u32::try_from(count).map(Quantity::Exactly).map_err(|_| E::custom(NotAQuantity(count.to_string())))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Quantity, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use super::*;

    #[test]
    fn numbers_texts_and_changes() {
        let batch: FormationBatchUpdate = serde_json::from_str(
            r#"{"updates":[{"type":"web","quantity":2,"size":"eco"},{"type":"worker","quantity":"+1"},
                {"type":"clock","quantity":"-3","dyno_size":{"name":"basic"}},{"type":"x","quantity":"0"}]}"#,
        )
        .unwrap();
        let quantities: Vec<_> = batch.updates.iter().map(|update| update.quantity.unwrap()).collect();
        assert_eq!(quantities, [Quantity::Exactly(2), Quantity::More(1), Quantity::Fewer(3), Quantity::Exactly(0)]);
        assert_eq!(batch.updates[0].dyno_size.as_ref().unwrap().as_str(), "eco");
        assert_eq!(batch.updates[2].dyno_size.as_ref().unwrap().as_str(), "basic");
        assert_eq!(Quantity::Fewer(3).applied_to(2), 0);
        assert_eq!(serde_json::to_string(&quantities).unwrap(), r#"[2,"+1","-3",0]"#);
    }

    #[test]
    fn what_is_no_quantity() {
        for json in ["-1", "\"abc\"", "\"\"", "\"+\"", "\"1.5\"", "\"--1\"", "99999999999", "\"99999999999\""] {
            let error = serde_json::from_str::<Quantity>(json).unwrap_err();
            assert!(error.to_string().contains("like 2"), "{json}: {error}");
        }
    }
}
