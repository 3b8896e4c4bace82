//! Every good answer of the API against Heroku's published hyper-schema.
//!
//! The schema is reference data and no part of this repository: `HEROKU_SCHEMA` names the file.
//! Without it nothing is compared, and the test says so. An answer has to be valid, and has to
//! have all the properties that Heroku's has: clients read them without asking.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{LazyLock, Mutex},
};

use jsonschema::{Draft, Validator};
use serde_json::{Map, Value, json};

/// What is otherwise here, and why: a resource and one of its definitions or properties, whose
/// pattern, format or list of values is not held.
const OTHERWISE: &[(&str, &str, &str)] = &[
    ("app", "git_url", "repositories are on this server, not on Heroku's"),
    ("app", "web_url", "apps are on this server's domain"),
    ("domain", "hostname", "Heroku's own host names are no URIs either"),
    ("team", "role", "its list of roles forgets viewers, whom its list for members has"),
    ("team-app", "git_url", "repositories are on this server, not on Heroku's"),
    ("team-app", "web_url", "apps are on this server's domain"),
    ("dyno", "attach_url", "an attached dyno's address is this server's"),
    ("region", "provider", "the machine is in none of Amazon's regions"),
];

/// Properties that Heroku's schema has and its own API leaves out of these answers.
const LEFT_OUT: &[(&str, &str)] = &[
    // Internal to Heroku: no client reads them, and none of Heroku's own answers has them.
    ("app", "internal_routing"),
    ("dyno", "attach_url"),
    // A code is spent when its token is given out: there is no grant left to be shown, and null is none.
    ("oauth-token", "grant"),
];

/// Properties of a resource that may have more in them than the schema says, and why.
const MORE: &[(&str, &str, &str)] = &[(
    "add-on-attachment",
    "addon",
    "the plan, which Heroku's own clients read; Heroku gives it to who asks by Accept-Inclusion",
)];

struct Link {
    method: String,
    /// `None` stands for a part that may be anything.
    parts: Vec<Option<String>>,
    target: Value,
    resource: String,
}

struct Schema {
    root: Value,
    links: Vec<Link>,
    validators: Mutex<HashMap<String, &'static Validator>>,
}

static SCHEMA: LazyLock<Option<Schema>> = LazyLock::new(|| {
    let Ok(path) = std::env::var("HEROKU_SCHEMA") else {
        eprintln!("!!! HEROKU_SCHEMA is not set: no answer is compared with Heroku's schema");
        return None;
    };
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("HEROKU_SCHEMA={path}: {error}"));
    // It names one of its own resources wrongly.
    let text = text.replace("#/definitions/dyno_size/", "#/definitions/dyno-size/");
    Some(Schema::read(serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"))))
});

/// Compares an answer; panics with what is wrong with it.
pub fn check(method: &str, path: &str, status: u16, body: &Value) {
    if !(200..300).contains(&status) || !(body.is_object() || body.is_array()) {
        return;
    }
    let Some(schema) = SCHEMA.as_ref() else { return };
    let problems = schema.problems(method, path, body);
    assert!(
        problems.is_empty(),
        "{method} {path} answers what Heroku's schema does not allow:\n  {}\n{body:#}",
        problems.join("\n  ")
    );
}

/// The links that Heroku's schema knows, as method and path with `{}` for parts that may be
/// anything; nothing without the schema.
pub fn links() -> Option<Vec<(String, String)>> {
    let path =
        |link: &Link| link.parts.iter().map(|part| format!("/{}", part.as_deref().unwrap_or("{}"))).collect::<String>();
    SCHEMA.as_ref().map(|schema| schema.links.iter().map(|link| (link.method.clone(), path(link))).collect())
}

impl Schema {
    fn read(mut root: Value) -> Self {
        let mut links = Vec::new();
        let definitions = root["definitions"].as_object().cloned().unwrap_or_default();
        for (resource, definition) in &definitions {
            for link in definition["links"].as_array().into_iter().flatten() {
                let (Some(href), Some(method)) = (link["href"].as_str(), link["method"].as_str()) else { continue };
                let parts = href.trim_start_matches('/').split('/');
                links.push(Link {
                    method: method.to_owned(),
                    parts: parts.map(|part| (!part.starts_with('{')).then(|| part.to_owned())).collect(),
                    target: link["targetSchema"].clone(),
                    resource: resource.clone(),
                });
            }
        }
        for (resource, definition) in root["definitions"].as_object_mut().into_iter().flatten() {
            for (_, what, _) in OTHERWISE.iter().filter(|(of, ..)| of == resource) {
                for place in ["definitions", "properties"] {
                    let found = definition.get_mut(place).and_then(|place| place.get_mut(*what));
                    if let Some(found) = found.and_then(Value::as_object_mut) {
                        found.remove("pattern");
                        found.remove("format");
                        found.remove("properties");
                        found.remove("enum");
                    }
                }
            }
            for (_, what, _) in MORE.iter().filter(|(of, ..)| of == resource) {
                let found = definition.pointer_mut(&format!("/properties/{what}"));
                if let Some(found) = found.and_then(Value::as_object_mut) {
                    found.remove("additionalProperties");
                }
            }
            let Some(definition) = definition.as_object_mut() else { continue };
            definition.remove("links");
            let left_out = |name: &str| LEFT_OUT.contains(&(resource.as_str(), name));
            if let Some(properties) = definition.get("properties").and_then(Value::as_object) {
                let all: Vec<Value> =
                    properties.keys().filter(|name| !left_out(name)).map(|name| json!(name)).collect();
                definition.insert("required".into(), Value::Array(all));
            }
        }
        clean(&mut root);
        Self { root, links, validators: Mutex::default() }
    }

    fn problems(&self, method: &str, path: &str, body: &Value) -> Vec<String> {
        let path = path.split('?').next().unwrap_or_default();
        let asked: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        let fits = |link: &&Link| {
            link.method == method
                && link.parts.len() == asked.len()
                && link.parts.iter().zip(&asked).all(|(part, asked)| part.as_deref().is_none_or(|part| part == *asked))
        };
        let exact = |link: &&Link| link.parts.iter().flatten().count();
        let found: Vec<&Link> = self.links.iter().filter(fits).collect();
        let best = found.iter().map(exact).max().unwrap_or_default();
        let mut all = Vec::new();
        for link in found.into_iter().filter(|link| exact(link) == best && !link.target.is_null()) {
            let validator = self.validator(link);
            let problems: Vec<String> =
                validator.iter_errors(body).map(|e| format!("{}: {}: {e}", link.resource, e.instance_path())).collect();
            if problems.is_empty() {
                return problems;
            }
            all.extend(problems);
        }
        all
    }

    fn validator(&self, link: &Link) -> &'static Validator {
        let key = link.target.to_string();
        let mut cached = self.validators.lock().unwrap();
        if let Some(found) = cached.get(&key) {
            return found;
        }
        let mut target = link.target.clone();
        clean(&mut target);
        let mut needed = BTreeSet::new();
        self.gather(&target, &mut needed);
        let definitions: Map<String, Value> =
            needed.into_iter().map(|name| (name.clone(), self.root["definitions"][&name].clone())).collect();
        let whole = json!({"definitions": definitions, "allOf": [target]});
        let validator = jsonschema::options()
            .with_draft(Draft::Draft4)
            .should_validate_formats(true)
            .with_format("uuid", |text: &str| uuid::Uuid::parse_str(text).is_ok())
            .build(&whole)
            .unwrap_or_else(|error| panic!("{}: {error}", link.resource));
        let validator: &'static Validator = Box::leak(Box::new(validator));
        cached.insert(key, validator);
        validator
    }

    /// The resources that a schema refers to, and those that they refer to.
    fn gather(&self, schema: &Value, into: &mut BTreeSet<String>) {
        match schema {
            Value::Object(map) => {
                if let Some(name) = map.get("$ref").and_then(Value::as_str).and_then(resource_of)
                    && into.insert(name.to_owned())
                {
                    self.gather(&self.root["definitions"][name], into);
                }
                map.values().for_each(|value| self.gather(value, into));
            }
            Value::Array(list) => list.iter().for_each(|value| self.gather(value, into)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
}

fn resource_of(reference: &str) -> Option<&str> {
    reference.strip_prefix("#/definitions/")?.split('/').next()
}

/// Takes out what the validator would stumble over: names of other drafts, and patterns that
/// are Ruby's.
fn clean(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            map.remove("$schema");
            // Draft 4 wants one at least.
            if map.get("required").and_then(Value::as_array).is_some_and(Vec::is_empty) {
                map.remove("required");
            }
            if map
                .get("pattern")
                .and_then(Value::as_str)
                .is_some_and(|p| p.contains("heroku\\.com") || p.contains("(?"))
            {
                map.remove("pattern");
            }
            map.values_mut().for_each(clean);
        }
        Value::Array(list) => list.iter_mut().for_each(clean),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
