//! Times on the wire: RFC 3339 in UTC with whole seconds, `2012-01-01T12:00:00Z`.
//!
//! For `#[serde(with = "crate::time")]` and, on `Option` fields,
//! `#[serde(default, with = "crate::time::option")]`. Any RFC 3339 time is read.

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Deserializer, Serializer, de};

/// The time as the API writes it.
#[must_use]
pub fn format(time: &DateTime<Utc>) -> String {
    time.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Writes a time with whole seconds.
///
/// # Errors
/// Those of the serializer.
pub fn serialize<S: Serializer>(time: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&format(time))
}

/// Reads any RFC 3339 time.
///
/// # Errors
/// When the text is no such time.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
    parse(&String::deserialize(deserializer)?)
}

fn parse<E: de::Error>(text: &str) -> Result<DateTime<Utc>, E> {
    DateTime::parse_from_rfc3339(text)
        .map(|time| time.with_timezone(&Utc))
        .map_err(|_| E::custom(format_args!("{text:?} is not a time like 2012-01-01T12:00:00Z")))
}

/// The same for times that may be absent: `null`.
pub mod option {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes the time, or `null`.
    ///
    /// # Errors
    /// Those of the serializer.
    pub fn serialize<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match time {
            Some(time) => super::serialize(time, serializer),
            None => serializer.serialize_none(),
        }
    }

    /// Reads a time, or `null`.
    ///
    /// # Errors
    /// When the text is no RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<String>::deserialize(deserializer)?.map(|text| super::parse(&text)).transpose()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Times {
        #[serde(with = "super")]
        at: DateTime<Utc>,
        #[serde(default, with = "super::option")]
        then: Option<DateTime<Utc>>,
    }

    #[test]
    fn whole_seconds_in_utc() {
        let times: Times = serde_json::from_str(r#"{"at":"2012-01-01T14:00:00.123456+02:00"}"#).unwrap();
        assert_eq!(serde_json::to_string(&times).unwrap(), r#"{"at":"2012-01-01T12:00:00Z","then":null}"#);
    }

    #[test]
    fn says_which_text_is_no_time() {
        let error = serde_json::from_str::<Times>(r#"{"at":"yesterday"}"#).err().unwrap();
        assert!(error.to_string().contains("\"yesterday\" is not a time"), "{error}");
    }
}
