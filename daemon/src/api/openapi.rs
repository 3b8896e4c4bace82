//! `GET /openapi.json`: the API as an OpenAPI 3.1 document, written from the table of routes and
//! the wire types themselves.

use std::sync::LazyLock;

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::endpoints::{Caller, Endpoint};

static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| document().to_string().into());

pub(super) async fn show() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], DOCUMENT.clone()).into_response()
}

/// The whole document.
#[must_use]
pub fn document() -> Value {
    let (_, endpoints) = super::endpoints().split();
    let mut answers = SchemaSettings::draft2020_12()
        .with(|s| s.definitions_path = "/components/schemas".into())
        .for_serialize()
        .into_generator();
    let mut bodies =
        SchemaSettings::draft2020_12().with(|s| s.inline_subschemas = true).for_deserialize().into_generator();
    let mut paths = Map::new();
    for endpoint in &endpoints {
        let mut operation = Map::new();
        operation.insert("operationId".into(), endpoint.id().into());
        operation.insert("tags".into(), json!([endpoint.topic()]));
        let mut parameters = path_parameters(endpoint);
        if let Some(query) = endpoint.query {
            parameters.extend(query_parameters(query(&mut bodies).to_value()));
        }
        if endpoint.answer.pages {
            parameters.push(json!({
                "name": "Range", "in": "header", "required": false,
                "description": "Which part of the list, and in which order: `id ..; max=200, order=desc`.",
                "schema": {"type": "string"},
            }));
        }
        operation.insert("parameters".into(), parameters.into());
        if let Some(body) = endpoint.body {
            let schema = body(&mut bodies).to_value();
            operation.insert(
                "requestBody".into(),
                json!({"required": false, "content": {"application/json": {"schema": schema}}}),
            );
        }
        let mut good = json!({"description": "It was done."});
        if let Some(schema) = endpoint.answer.schema {
            let schema = schema(&mut answers).to_value();
            good = json!({"description": "It was done.", "content": {"application/json": {"schema": schema}}});
        }
        let mut bad = json!({"$ref": "#/components/responses/Error"});
        let mut responses = Map::new();
        if endpoint.answer.html {
            let page = json!({"schema": {"type": "string"}});
            good = json!({"description": "A page.", "content": {"text/html": page}});
            bad = json!({
                "description": "A page that says what is wrong.",
                "content": {"text/html": page, "application/json": {"schema": answers.subschema_for::<paas_wire::ErrorBody>()}},
            });
            responses.insert("303".into(), json!({"description": "Back to the program that asks."}));
        }
        if endpoint.answer.pages {
            let mut part = good.clone();
            part["description"] = "A part of it; the header Next-Range asks for the next.".into();
            responses.insert("206".into(), part);
        }
        responses.insert(endpoint.answer.status.as_u16().to_string(), good);
        responses.insert("4XX".into(), bad);
        operation.insert("responses".into(), responses.into());
        operation.insert("security".into(), security(endpoint.caller));
        let path = paths.entry(endpoint.path.replace("{*", "{")).or_insert_with(|| json!({}));
        path[endpoint.method.as_str().to_lowercase()] = operation.into();
    }
    let error = answers.subschema_for::<paas_wire::ErrorBody>().to_value();
    let schemas = answers.take_definitions(true);
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "paas Platform API",
            "version": "3",
            "description": "Heroku's Platform API v3 on a server of one's own.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {
                "Error": {
                    "description": "What failed, why, and what to do next.",
                    "content": {"application/json": {"schema": error}},
                },
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
                "basic": {
                    "type": "http", "scheme": "basic",
                    "description": "Any user name, and a token as the password; for new tokens, an address and its password.",
                },
            },
        },
    })
}

fn security(caller: Caller) -> Value {
    match caller {
        Caller::Anyone => json!([]),
        Caller::KeyOrToken => json!([{}, {"bearer": []}, {"basic": []}]),
        Caller::Token => json!([{"bearer": []}, {"basic": []}]),
        Caller::Password => json!([{"basic": []}, {"bearer": []}]),
    }
}

fn path_parameters(endpoint: &Endpoint) -> Vec<Value> {
    endpoint
        .parameters()
        // The rest of a path has a star in front.
        .map(|name| json!({"name": name.trim_start_matches('*'), "in": "path", "required": true, "schema": {"type": "string", "minLength": 1}}))
        .collect()
}

fn query_parameters(schema: Value) -> Vec<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let properties = schema["properties"].as_object().cloned().unwrap_or_default();
    let one = |(name, schema): (String, Value)| {
        let needed = required.iter().any(|one| *one == name.as_str());
        json!({"name": name, "in": "query", "required": needed, "schema": schema})
    };
    properties.into_iter().map(one).collect()
}
