//! `GET /schema`: the API as a JSON hyper-schema of the form that Heroku publishes its own in
//! (`definitions.<resource>.links`), written from the table of routes and the wire types.

use std::{collections::BTreeMap, sync::LazyLock};

use axum::{
    http::Method,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Value, json};

use super::endpoints::Endpoint;

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

pub(super) async fn show() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let (_, endpoints) = super::endpoints().split();
    let mut answers = SchemaSettings::draft07()
        .with(|s| {
            s.inline_subschemas = true;
            s.meta_schema = None;
        })
        .for_serialize()
        .into_generator();
    let mut bodies = SchemaSettings::draft07().with(|s| s.inline_subschemas = true).for_deserialize().into_generator();
    let mut resources: BTreeMap<String, Value> = BTreeMap::new();
    for endpoint in &endpoints {
        let resource = resource(endpoint);
        let target = endpoint.answer.schema.map(|schema| schema(&mut answers).to_value());
        let list = target.as_ref().is_some_and(|target| target["type"] == "array");
        let mut link = json!({
            "description": title(endpoint),
            "href": endpoint.path,
            "method": endpoint.method.as_str(),
            "rel": relation(endpoint, list),
            "title": title(endpoint),
        });
        if let Some(body) = endpoint.body {
            link["schema"] = body(&mut bodies).to_value();
        }
        let entry = resources.entry(resource.clone()).or_insert_with(|| {
            json!({
                "$schema": "http://json-schema.org/draft-04/hyper-schema",
                "title": format!("paas Platform API - {resource}"),
                "type": ["object"],
                "definitions": {},
                "links": [],
            })
        });
        if let Some(target) = target {
            // What the resource itself looks like is told once, and every link points to it.
            let itself = if list { target["items"].clone() } else { target };
            if entry.get("properties").is_none()
                && let Some(properties) = itself.get("properties")
            {
                entry["properties"] = properties.clone();
                entry["required"] = itself.get("required").cloned().unwrap_or_else(|| json!([]));
            }
            let reference = match entry.get("properties") {
                Some(_) => json!({"$ref": format!("#/definitions/{resource}")}),
                None => itself,
            };
            link["targetSchema"] = if list { json!({"type": ["array"], "items": reference}) } else { reference };
        }
        if let Some(links) = entry["links"].as_array_mut() {
            links.push(link);
        }
    }
    let properties: BTreeMap<&String, Value> =
        resources.keys().map(|name| (name, json!({"$ref": format!("#/definitions/{name}")}))).collect();
    json!({
        "$schema": "http://interagent.github.io/interagent-hyper-schema",
        "id": "schema",
        "title": "paas Platform API",
        "description": "Heroku's Platform API v3 on a server of one's own.",
        "type": ["object"],
        "properties": properties,
        "definitions": resources,
        "links": [{"href": "/", "rel": "self"}],
    })
}

/// What an endpoint is about: what it answers, in the words of a hyper-schema.
fn resource(endpoint: &Endpoint) -> String {
    let Some(of) = endpoint.answer.of else { return endpoint.topic().replace('_', "-") };
    let name = of();
    let name = name.strip_prefix("Array_of_").unwrap_or(&name).to_owned();
    if !name.starts_with(char::is_uppercase) || name.contains('_') || name == "AnyValue" {
        return endpoint.topic().replace('_', "-");
    }
    let mut words = String::new();
    for c in name.chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push('-');
        }
        words.extend(c.to_lowercase());
    }
    words.replace("addon", "add-on")
}

fn relation(endpoint: &Endpoint, list: bool) -> &'static str {
    match endpoint.method {
        Method::GET if list => "instances",
        Method::GET => "self",
        Method::DELETE => "destroy",
        Method::PATCH | Method::PUT => "update",
        _ => "create",
    }
}

fn title(endpoint: &Endpoint) -> String {
    let function = endpoint.name.rsplit("::").next().unwrap_or_default().replace('_', " ");
    let mut letters = function.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}
