//! Reads a JSON value strictly: where an object is expected, a list is none.
//!
//! serde's derived structs can be read from lists as well, field by field in the order in which
//! they happen to be written down. In a request's body that is never meant.

use serde::{
    de::{
        Deserializer, Error as _, IntoDeserializer, Unexpected, Visitor,
        value::{MapDeserializer, SeqDeserializer},
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, Value};

/// A value whose objects, within it too, are read from objects only.
pub(super) struct Objects(pub Value);

impl IntoDeserializer<'_, Error> for Objects {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Objects {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.into_iter().map(Self))),
            Value::Object(fields) => {
                visitor.visit_map(MapDeserializer::new(fields.into_iter().map(|(name, value)| (name, Self(value)))))
            }
            scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                scalar.deserialize_any(visitor)
            }
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        if self.0.is_array() {
            Err(Error::invalid_type(Unexpected::Seq, &visitor))
        } else {
            self.deserialize_any(visitor)
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Inner {
        a: Option<i64>,
        b: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Yes,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(default)]
    struct Outer {
        one: Option<Inner>,
        many: Vec<Inner>,
        named: BTreeMap<String, Inner>,
        word: Option<Word>,
        number: f64,
    }

    fn read(value: Value) -> Result<Outer, Error> {
        Outer::deserialize(Objects(value))
    }

    #[test]
    fn objects_are_read_as_ever() {
        let all = read(json!({
            "one": {"a": 1, "b": ["x"]}, "many": [{}, {"a": null}], "named": {"n": {"b": []}}, "word": "yes", "number": 2,
            "unknown": [1, {}],
        }));
        let all = all.unwrap();
        assert_eq!(all.one, Some(Inner { a: Some(1), b: vec!["x".into()] }));
        assert_eq!((all.many.len(), all.named.len(), all.word, all.number), (2, 1, Some(Word::Yes), 2.0));
        assert_eq!(read(json!({"one": null})).unwrap().one, None);
    }

    #[test]
    fn a_list_is_no_object_wherever_it_stands() {
        for bad in [
            json!([null, [], {}, null, 1]),
            json!({"one": [1, []]}),
            json!({"many": [[1, []]]}),
            json!({"named": {"n": [1, []]}}),
        ] {
            assert!(read(bad.clone()).unwrap_err().to_string().contains("invalid type: sequence"), "{bad}");
        }
    }
}
