//! JSON values into the types of app.json, each with its place for the errors.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Addon, Buildpack, EnvVar, Formation, Generator, Manifest, ManifestError, Place, Script};
use crate::name::{ConfigKey, ProcessType, shown};
use crate::size::Size;

type Result<T> = std::result::Result<T, ManifestError>;
type Object = Map<String, Value>;

/// Keys that Heroku has and that mean nothing here; not worth a warning.
const WITHOUT_MEANING: [&str; 2] = ["$schema", "image"];

/// Most dynos of one type, Heroku's usual limit.
const MOST_DYNOS: u64 = 100;

pub(super) fn manifest(place: &Place, value: &Value, warnings: &mut Vec<String>) -> Result<Manifest> {
    let object = object(place, value)?;
    let mut out = Manifest::default();
    for (key, value) in object.iter().filter(|(_, value)| !value.is_null()) {
        let place = &place.at(key);
        out.stated.insert(key.clone());
        match key.as_str() {
            "name" => out.name = Some(text(place, value)?),
            "description" => out.description = Some(text(place, value)?),
            "keywords" => out.keywords = list(place, value, text)?,
            "website" => out.website = Some(text(place, value)?),
            "repository" => out.repository = Some(text(place, value)?),
            "logo" => out.logo = Some(text(place, value)?),
            "success_url" => out.success_url = Some(text(place, value)?),
            "stack" => out.stack = Some(text(place, value)?),
            "env" => out.env = map(place, value, config_key, env_var)?,
            "addons" => out.addons = list(place, value, addon)?,
            "formation" => out.formation = map(place, value, process_type, formation)?,
            "buildpacks" => out.buildpacks = list(place, value, buildpack)?,
            "scripts" => out.scripts = map(place, value, |_, key| Ok(key.to_owned()), script)?,
            "environments" => {
                for (name, value) in self::object(place, value)? {
                    out.environments.insert(name.clone(), manifest(&place.at(name), value, warnings)?);
                }
            }
            other if WITHOUT_MEANING.contains(&other) => {}
            _ => warnings.push(format!("app.json: {place} is ignored, there is no such key")),
        }
    }
    Ok(out)
}

fn env_var(place: &Place, value: &Value) -> Result<EnvVar> {
    let Value::Object(object) = value else {
        let value = Some(text(place, value)?);
        return Ok(EnvVar { description: None, value, generator: None, required: true });
    };
    let generator = |place: &Place, value: &Value| match value.as_str() {
        Some("secret") => Ok(Generator::Secret),
        Some(_) | None => {
            Err(place.wrong(format!("must be \"secret\", the only generator there is, not {}", kind(value))))
        }
    };
    Ok(EnvVar {
        description: field(place, object, "description", text)?,
        value: field(place, object, "value", text)?,
        generator: field(place, object, "generator", generator)?,
        required: field(place, object, "required", truth)?.unwrap_or(true),
    })
}

fn addon(place: &Place, value: &Value) -> Result<Addon> {
    let Value::Object(object) = value else {
        return Ok(Addon { plan: named(place, value)?, attachment: None, options: BTreeMap::new() });
    };
    let options = |place: &Place, value: &Value| map(place, value, |_, key| Ok(key.to_owned()), text);
    Ok(Addon {
        plan: needed(place, object, "plan", named)?,
        attachment: field(place, object, "as", named)?,
        options: field(place, object, "options", options)?.unwrap_or_default(),
    })
}

fn formation(place: &Place, value: &Value) -> Result<Formation> {
    let quantity = |place: &Place, value: &Value| {
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        let number = number.filter(|number| *number <= MOST_DYNOS).and_then(|number| u32::try_from(number).ok());
        number.ok_or_else(|| place.wrong(format!("must be a whole number from 0 to {MOST_DYNOS}, not {}", kind(value))))
    };
    let Value::Object(object) = value else {
        return Ok(Formation { quantity: quantity(place, value)?, size: None });
    };
    Ok(Formation {
        quantity: field(place, object, "quantity", quantity)?.unwrap_or(1),
        size: field(place, object, "size", size)?,
    })
}

fn buildpack(place: &Place, value: &Value) -> Result<Buildpack> {
    let url = match value {
        Value::Object(object) => needed(place, object, "url", named)?,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => named(place, value)?,
    };
    Ok(Buildpack { url })
}

fn script(place: &Place, value: &Value) -> Result<Script> {
    let Value::Object(object) = value else {
        return Ok(Script { command: named(place, value)?, size: None });
    };
    Ok(Script { command: needed(place, object, "command", named)?, size: field(place, object, "size", size)? })
}

fn size(place: &Place, value: &Value) -> Result<Size> {
    Size::parse(&named(place, value)?).map_err(|error| place.wrong(format!("is wrong: {error}")))
}

fn config_key(place: &Place, key: &str) -> Result<ConfigKey> {
    ConfigKey::platform(key).map_err(|error| place.wrong(format!("is wrong: {error}")))
}

fn process_type(place: &Place, key: &str) -> Result<ProcessType> {
    ProcessType::parse(key).map_err(|error| place.wrong(format!("is wrong: {error}")))
}

/// A string, or a number or boolean that stands for one.
fn text(place: &Place, value: &Value) -> Result<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(truth) => Ok(truth.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => {
            Err(place.wrong(format!("must be a string, not {}", kind(value))))
        }
    }
}

/// A string that says something.
fn named(place: &Place, value: &Value) -> Result<String> {
    match value.as_str().map(str::trim) {
        Some("") => Err(place.wrong("must not be empty".to_owned())),
        Some(text) => Ok(text.to_owned()),
        None => Err(place.wrong(format!("must be a string, not {}", kind(value)))),
    }
}

/// A boolean, or a string that says one.
fn truth(place: &Place, value: &Value) -> Result<bool> {
    match (value.as_bool(), value.as_str()) {
        (Some(truth), _) => Ok(truth),
        (None, Some("true")) => Ok(true),
        (None, Some("false")) => Ok(false),
        (None, Some(_) | None) => Err(place.wrong(format!("must be true or false, not {}", kind(value)))),
    }
}

fn object<'a>(place: &Place, value: &'a Value) -> Result<&'a Object> {
    value.as_object().ok_or_else(|| place.wrong(format!("must be an object, {{…}}, not {}", kind(value))))
}

fn list<T>(place: &Place, value: &Value, read: impl Fn(&Place, &Value) -> Result<T>) -> Result<Vec<T>> {
    let items = value.as_array().ok_or_else(|| place.wrong(format!("must be a list, […], not {}", kind(value))))?;
    items.iter().enumerate().map(|(index, item)| read(&Place(format!("{}[{index}]", place.0)), item)).collect()
}

fn map<K: Ord, T>(
    place: &Place,
    value: &Value,
    key: impl Fn(&Place, &str) -> Result<K>,
    read: impl Fn(&Place, &Value) -> Result<T>,
) -> Result<BTreeMap<K, T>> {
    let entries = object(place, value)?.iter();
    entries.map(|(name, value)| Ok((key(&place.at(name), name)?, read(&place.at(name), value)?))).collect()
}

fn field<T>(
    place: &Place,
    object: &Object,
    key: &str,
    read: impl Fn(&Place, &Value) -> Result<T>,
) -> Result<Option<T>> {
    object.get(key).filter(|value| !value.is_null()).map(|value| read(&place.at(key), value)).transpose()
}

fn needed<T>(place: &Place, object: &Object, key: &str, read: impl Fn(&Place, &Value) -> Result<T>) -> Result<T> {
    field(place, object, key, read)?.ok_or_else(|| place.wrong(format!("needs a \"{key}\"")))
}

/// What a value is, for people.
fn kind(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}

impl Place {
    fn at(&self, key: &str) -> Self {
        let key = shown(key);
        Self(if self.0.is_empty() { key } else { format!("{}.{key}", self.0) })
    }

    fn wrong(&self, problem: String) -> ManifestError {
        ManifestError::Value { place: self.clone(), problem }
    }
}
