//! The OpenAPI document, made of the list of endpoints.

use serde_json::{Map, Value, json};

use super::endpoints::{ENDPOINTS, Endpoint, Member};
use super::schemas;

/// OpenAPI 3.1.
pub(super) fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        path[endpoint.method.to_lowercase()] = operation(endpoint);
    }
    json!({
        "openapi": "3.1.0",
        "info": { "title": "Faregate admin API", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "securitySchemes": { "token": { "type": "http", "scheme": "bearer" } },
            "schemas": schemas::all(),
        },
    })
}

fn operation(endpoint: &Endpoint) -> Value {
    let mut parameters: Vec<Value> = endpoint
        .path
        .split('/')
        .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .collect();
    if endpoint.paged {
        for (name, kind) in [("cursor", "string"), ("limit", "integer")] {
            parameters.push(json!({ "name": name, "in": "query", "schema": { "type": kind } }));
        }
    }
    let problem = json!({ "description": "What was wrong", "content": {
        "application/problem+json": { "schema": schemas::reference("Problem") } } });
    let mut operation = json!({
        "operationId": format!("{:?}", endpoint.operation),
        "summary": endpoint.summary,
        "parameters": parameters,
        "responses": { "2XX": done(endpoint), "4XX": problem, "503": problem },
    });
    if let Some(role) = endpoint.role {
        operation["security"] = json!([{ "token": [] }]);
        operation["description"] = format!("Takes the role `{}` or higher.", role.as_str()).into();
    }
    if !endpoint.body.is_empty() {
        operation["requestBody"] = body(endpoint);
    }
    operation
}

/// The answer when all went well.
fn done(endpoint: &Endpoint) -> Value {
    let forms: Vec<Value> = endpoint
        .answers
        .iter()
        .map(|name| schemas::reference(name))
        .collect();
    match &forms[..] {
        [] => json!({ "description": "Done" }),
        [one] => json!({ "description": "Done", "content": { "application/json": { "schema": one } } }),
        _ => {
            json!({ "description": "Done", "content": { "application/json": { "schema": { "anyOf": forms } } } })
        }
    }
}

fn schema(member: &Member) -> Value {
    let mut schema = match member.kind.split_once('|') {
        Some((kind, other)) => json!({ "type": [kind, other] }),
        None if member.kind.starts_with(char::is_uppercase) => schemas::reference(member.kind),
        None => json!({ "type": member.kind }),
    };
    if member.kind == "array" {
        schema["items"] = json!({ "type": "object" });
    }
    schema["description"] = member.what.into();
    schema
}

fn body(endpoint: &Endpoint) -> Value {
    let mut properties = Map::new();
    for member in endpoint.body {
        properties.insert(member.name.to_owned(), schema(member));
    }
    let required: Vec<&str> = endpoint
        .body
        .iter()
        .filter(|m| m.required)
        .map(|m| m.name)
        .collect();
    let schema = json!({ "type": "object", "properties": properties, "required": required,
        "additionalProperties": false });
    json!({ "required": !required.is_empty(), "content": { "application/json": { "schema": schema } } })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_endpoint_is_documented_once() {
        let document = document();
        let operations: usize = document["paths"]
            .as_object()
            .unwrap()
            .values()
            .map(|path| path.as_object().unwrap().len())
            .sum();
        assert_eq!(operations, ENDPOINTS.len());
    }
}
