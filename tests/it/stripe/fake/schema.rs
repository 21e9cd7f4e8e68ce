//! What the API takes: operations and their parameters, from `openapi-subset.json`, and a few operations
//! that the subset leaves out.

use serde_json::{Map, Value};

use super::error::ApiError;

const SUBSET: &str = include_str!("../../../fixtures/stripe/openapi-subset.json");
const METADATA_KEYS: usize = 50;
const METADATA_KEY_CHARS: usize = 40;
const METADATA_VALUE_CHARS: usize = 500;

/// All operations.
#[derive(Debug)]
pub(crate) struct Api {
    operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub(crate) struct Operation {
    /// `POST /v1/customers/{customer}`: what the routes are named by.
    pub(crate) name: String,
    method: String,
    segments: Vec<String>,
    parameters: Value,
}

/// Reads that exist in the real API and not in the subset, as (method, path, query parameters).
const MORE: [(&str, &str, &[&str]); 13] = [
    ("GET", "/v1/invoices", &["customer", "status"]),
    ("GET", "/v1/account", &[]),
    ("GET", "/v1/disputes", &["charge", "payment_intent"]),
    ("GET", "/v1/reviews", &[]),
    ("GET", "/v1/reviews/{review}", &[]),
    (
        "GET",
        "/v1/radar/early_fraud_warnings",
        &["charge", "payment_intent"],
    ),
    ("GET", "/v1/payment_intents", &["customer"]),
    ("GET", "/v1/payment_methods", &["customer", "type"]),
    ("GET", "/v1/setup_intents/{intent}", &[]),
    ("GET", "/v1/subscriptions", &["customer", "status", "price"]),
    ("GET", "/v1/refunds", &["charge", "payment_intent"]),
    ("GET", "/v2/core/events", &["object_id"]),
    ("GET", "/v2/core/events/{id}", &[]),
];

impl Api {
    /// Reads the subset.
    pub(crate) fn load() -> Api {
        let subset: Value = serde_json::from_str(SUBSET).expect("the subset is JSON");
        let mut operations = Vec::new();
        for (path, methods) in subset["paths"].as_object().expect("paths") {
            for (method, operation) in methods.as_object().expect("methods") {
                let method = method.to_uppercase();
                operations.push(Operation::new(&method, path, parameters(operation)));
            }
        }
        for (method, path, names) in MORE {
            operations.push(Operation::new(method, path, list_parameters(names)));
        }
        let update = endpoint_update(&operations);
        operations.push(Operation::new("POST", "/v1/webhook_endpoints/{id}", update));
        Api { operations }
    }

    /// The operation of this path, and what its path names; none when there is no such operation.
    pub(crate) fn find(&self, method: &str, path: &str) -> Option<(&Operation, Vec<String>)> {
        let segments: Vec<&str> = path.split('/').collect();
        self.operations
            .iter()
            .filter(|operation| operation.method == method)
            .find_map(|operation| Some((operation, operation.names(&segments)?)))
    }
}

impl Operation {
    fn new(method: &str, path: &str, parameters: Value) -> Operation {
        Operation {
            name: format!("{method} {path}"),
            method: method.to_owned(),
            segments: path.split('/').map(str::to_owned).collect(),
            parameters,
        }
    }

    fn names(&self, segments: &[&str]) -> Option<Vec<String>> {
        if segments.len() != self.segments.len() {
            return None;
        }
        let mut names = Vec::new();
        for (own, given) in self.segments.iter().zip(segments) {
            match own.starts_with('{') {
                true if !given.is_empty() => names.push((*given).to_owned()),
                _ if own == given => {}
                _ => return None,
            }
        }
        Some(names)
    }

    /// The parameters as what they are: numbers, booleans, lists.
    pub(crate) fn check(&self, form: Map<String, Value>) -> Result<Value, ApiError> {
        typed(&self.parameters, Value::Object(form), "")
    }
}

/// What may be in the query and in the body, as one schema: no operation has a name in both.
fn parameters(operation: &Value) -> Value {
    let body = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
    let mut all = body.as_object().cloned().unwrap_or_default();
    let mut properties = all["properties"].as_object().cloned().unwrap_or_default();
    let mut required = all
        .get("required")
        .and_then(Value::as_array)
        .cloned()
        .unwrap_or_default();
    for parameter in operation["parameters"].as_array().expect("parameters") {
        if parameter["in"] == "query" {
            let name = parameter["name"].as_str().expect("a name");
            properties.insert(name.to_owned(), parameter["schema"].clone());
            if parameter["required"] == true {
                required.push(name.into());
            }
        }
    }
    all.insert("properties".into(), properties.into());
    all.insert("required".into(), required.into());
    all.into()
}

/// What an endpoint is changed by: what it is made by, but for its version; and whether it is disabled.
fn endpoint_update(operations: &[Operation]) -> Value {
    let made = operations
        .iter()
        .find(|operation| operation.name == "POST /v1/webhook_endpoints");
    let mut parameters = made.expect("in the subset").parameters.clone();
    let properties = parameters["properties"].as_object_mut().expect("properties");
    properties.remove("api_version");
    properties.remove("connect");
    properties.insert("disabled".into(), serde_json::json!({"type": "boolean"}));
    parameters["required"] = serde_json::json!([]);
    parameters
}

fn list_parameters(names: &[&str]) -> Value {
    let strings = ["ending_before", "starting_after"].iter().chain(names);
    let mut properties: Map<String, Value> = strings
        .map(|name| ((*name).to_owned(), serde_json::json!({"type": "string"})))
        .collect();
    properties.insert("limit".into(), serde_json::json!({"type": "integer"}));
    let strings = serde_json::json!({"type": "array", "items": {"type": "string"}});
    properties.insert("types".into(), strings.clone());
    let times: Map<String, Value> = ["gt", "gte", "lt", "lte"]
        .map(|name| (name.to_owned(), serde_json::json!({"type": "integer"})))
        .into_iter()
        .collect();
    let created = serde_json::json!({"type": "object", "properties": times, "additionalProperties": false});
    properties.insert("created".into(), created);
    properties.insert("expand".into(), strings);
    serde_json::json!({"type": "object", "properties": properties, "additionalProperties": false})
}

fn typed(schema: &Value, given: Value, at: &str) -> Result<Value, ApiError> {
    if let Some(any) = schema["anyOf"].as_array() {
        let mut last = ApiError::invalid("no alternative").param(at);
        for one in any {
            match typed_one(one, given.clone(), at) {
                Ok(value) => return Ok(value),
                Err(error) => last = error,
            }
        }
        return Err(last);
    }
    // By itself, an enumeration of the empty string says that any string will do.
    if schema["enum"] == serde_json::json!([""]) {
        return text(given, at);
    }
    typed_one(schema, given, at)
}

fn typed_one(schema: &Value, given: Value, at: &str) -> Result<Value, ApiError> {
    match schema["type"].as_str().expect("every schema has a type") {
        "object" => object(schema, given, at),
        "array" => array(schema, given, at),
        "string" => string(schema, given, at),
        "integer" => {
            let given = leaf(given, at)?;
            let wrong =
                || ApiError::invalid(format!("Invalid integer: {given}")).code("parameter_invalid_integer");
            let number: i64 = given.parse().map_err(|_| wrong().param(at))?;
            Ok(number.into())
        }
        "boolean" => match leaf(given, at)?.as_str() {
            "true" => Ok(true.into()),
            "false" => Ok(false.into()),
            given => Err(ApiError::invalid(format!("Invalid boolean: {given}")).param(at)),
        },
        other => panic!("a schema of type {other}"),
    }
}

fn object(schema: &Value, given: Value, at: &str) -> Result<Value, ApiError> {
    let Value::Object(given) = given else {
        return Err(ApiError::invalid("Invalid object").param(at));
    };
    let more = &schema["additionalProperties"];
    if more.is_object() {
        metadata_limits(&given, at)?;
    }
    let mut typed_fields = Map::new();
    for (name, value) in given {
        let inner = inner(at, &name);
        let own = match schema["properties"].get(&name) {
            Some(own) => own,
            None if more.is_object() => more,
            None => {
                return Err(ApiError::invalid(format!("Received unknown parameter: {inner}"))
                    .code("parameter_unknown")
                    .param(&inner));
            }
        };
        typed_fields.insert(name, typed(own, value, &inner)?);
    }
    for name in schema["required"].as_array().into_iter().flatten() {
        let name = name.as_str().expect("a name");
        if !typed_fields.contains_key(name) {
            let inner = inner(at, name);
            return Err(ApiError::invalid(format!("Missing required param: {inner}."))
                .code("parameter_missing")
                .param(&inner));
        }
    }
    Ok(typed_fields.into())
}

fn metadata_limits(given: &Map<String, Value>, at: &str) -> Result<(), ApiError> {
    let long = |(name, value): (&String, &Value)| {
        name.chars().count() > METADATA_KEY_CHARS
            || value
                .as_str()
                .is_some_and(|value| value.chars().count() > METADATA_VALUE_CHARS)
    };
    if given.len() > METADATA_KEYS || given.iter().any(long) {
        return Err(
            ApiError::invalid("More keys, longer keys or longer values than metadata may have").param(at),
        );
    }
    Ok(())
}

fn array(schema: &Value, given: Value, at: &str) -> Result<Value, ApiError> {
    let Value::Object(given) = given else {
        return Err(ApiError::invalid("Invalid array").param(at));
    };
    let mut items = Vec::new();
    for (index, value) in given {
        let number: usize = index
            .parse()
            .map_err(|_| ApiError::invalid("Invalid array").param(&inner(at, &index)))?;
        items.push((number, typed(&schema["items"], value, &inner(at, &index))?));
    }
    items.sort_by_key(|(number, _)| *number);
    Ok(items.into_iter().map(|(_, value)| value).collect())
}

fn string(schema: &Value, given: Value, at: &str) -> Result<Value, ApiError> {
    let value = text(given, at)?;
    if let Some(allowed) = schema["enum"].as_array()
        && !allowed.contains(&value)
    {
        let wrong = ApiError::invalid(format!("Invalid {at}: must be one of {allowed:?}"));
        return Err(wrong.code("parameter_invalid_enum").param(at));
    }
    if schema["format"] == "decimal" && value.as_str().is_none_or(|text| text.parse::<f64>().is_err()) {
        return Err(ApiError::invalid("Invalid decimal").param(at));
    }
    Ok(value)
}

fn text(given: Value, at: &str) -> Result<Value, ApiError> {
    leaf(given, at).map(Value::from)
}

fn leaf(given: Value, at: &str) -> Result<String, ApiError> {
    match given {
        Value::String(text) => Ok(text),
        _ => Err(ApiError::invalid("Invalid string: it has fields of its own").param(at)),
    }
}

fn inner(at: &str, name: &str) -> String {
    if at.is_empty() {
        name.to_owned()
    } else {
        format!("{at}[{name}]")
    }
}
