//! The OpenAPI document is true: each endpoint takes the role it says, takes the bodies it says, and answers in the forms it says.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Map, Value, json};

use super::shop::{EMBEDDED, ROUTES, Shop};
use crate::rig::body::RigBody;
use crate::rig::client::{Answer, HttpClient};
use crate::rig::raw::RawClient;
use crate::stripe::fake::{FakeStripe, Options, SECRET};

const TOKENS: &str = r#"
[plans.pro]
concurrent = 100

[[admin.tokens]]
name = "looks"
token = "looks-0123456789abcdef"
role = "read"

[[admin.tokens]]
name = "works"
token = "works-0123456789abcdef"
role = "operate"
"#;

/// Every endpoint that takes a token, the role it takes, and a call that it does. In an order in which each can be done.
fn calls(file: &str) -> Vec<(&'static str, &'static str, &'static str, &'static str, Value)> {
    vec![
        (
            "read",
            "GET",
            "/admin/v1/accounts",
            "/admin/v1/accounts?limit=1",
            Value::Null,
        ),
        (
            "operate",
            "PUT",
            "/admin/v1/accounts/{account}",
            "/admin/v1/accounts/acme",
            json!({ "plan": null }),
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}",
            "/admin/v1/accounts/acme",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/pause",
            "/admin/v1/accounts/acme/pause",
            json!({ "reason": "manual" }),
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/resume",
            "/admin/v1/accounts/acme/resume",
            json!({ "reason": "manual" }),
        ),
        (
            "operate",
            "PUT",
            "/admin/v1/accounts/{account}/plan",
            "/admin/v1/accounts/acme/plan",
            json!({ "plan": "pro" }),
        ),
        (
            "operate",
            "PUT",
            "/admin/v1/accounts/{account}/limits",
            "/admin/v1/accounts/acme/limits",
            json!({
            "requests_per_minute": 10, "tokens_per_minute": null, "concurrent": 3, "spend_per_day": "5", "spend_per_month": null }),
        ),
        (
            "all",
            "PUT",
            "/admin/v1/accounts/{account}/adjustments/{id}",
            "/admin/v1/accounts/acme/adjustments/a1",
            json!({ "amount": "1", "reason": "by hand" }),
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/keys",
            "/admin/v1/accounts/acme/keys",
            json!({
            "key": "sk-of-another-gateway-01", "name": null, "expires_at": null, "limits": { "concurrent": 1 } }),
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/keys",
            "/admin/v1/accounts/acme/keys",
            json!({ "key": null, "name": "n" }),
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}/keys",
            "/admin/v1/accounts/acme/keys",
            Value::Null,
        ),
        (
            "operate",
            "PUT",
            "/admin/v1/accounts/{account}/grants/{grant}",
            "/admin/v1/accounts/acme/grants/g1",
            json!({
            "amount": "1", "category": null, "priority": null, "effective_at": null, "expires_at": null, "note": null, "dry_run": true }),
        ),
        (
            "operate",
            "PUT",
            "/admin/v1/accounts/{account}/grants/{grant}",
            "/admin/v1/accounts/acme/grants/g1",
            json!({
            "amount": "1", "category": "paid", "priority": 7, "expires_at": "2100-01-01T00:00:00Z", "note": "n" }),
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}/grants",
            "/admin/v1/accounts/acme/grants",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/grants/{grant}/void",
            "/admin/v1/accounts/acme/grants/g1/void",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/checkout",
            "/admin/v1/accounts/acme/checkout",
            json!({ "pack": "starter" }),
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}/top-up",
            "/admin/v1/accounts/acme/top-up",
            Value::Null,
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}/verify",
            "/admin/v1/accounts/acme/verify",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/accounts/{account}/verify",
            "/admin/v1/accounts/acme/verify",
            Value::Null,
        ),
        (
            "operate",
            "DELETE",
            "/admin/v1/accounts/{account}/top-up",
            "/admin/v1/accounts/acme/top-up",
            Value::Null,
        ),
        // The id of the key that was imported above, which follows from its digest.
        (
            "operate",
            "DELETE",
            "/admin/v1/accounts/{account}/keys/{key}",
            "/admin/v1/accounts/acme/keys/key_afdbe961976c1671",
            Value::Null,
        ),
        (
            "read",
            "GET",
            "/admin/v1/accounts/{account}/entries",
            "/admin/v1/accounts/acme/entries?limit=500",
            Value::Null,
        ),
        (
            "read",
            "POST",
            "/admin/v1/ledger/verify",
            "/admin/v1/ledger/verify",
            Value::Null,
        ),
        (
            "all",
            "POST",
            "/admin/v1/ledger/backup",
            "/admin/v1/ledger/backup",
            json!({ "file": file }),
        ),
        (
            "all",
            "POST",
            "/admin/v1/config/reload",
            "/admin/v1/config/reload",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/stripe/sync",
            "/admin/v1/stripe/sync",
            Value::Null,
        ),
        (
            "operate",
            "POST",
            "/admin/v1/stripe/replay",
            "/admin/v1/stripe/replay",
            json!({ "events": [{ "id": "evt_1" }] }),
        ),
        (
            "operate",
            "POST",
            "/admin/v1/stripe/dismiss",
            "/admin/v1/stripe/dismiss",
            json!({ "what": "evt_1" }),
        ),
        (
            "read",
            "GET",
            "/admin/v1/stripe/parked",
            "/admin/v1/stripe/parked?limit=1",
            Value::Null,
        ),
        (
            "all",
            "POST",
            "/admin/v1/ledger/rebuild",
            "/admin/v1/ledger/rebuild",
            Value::Null,
        ),
    ]
}

/// What sells packs through a Stripe.
fn sells(stripe: &FakeStripe) -> String {
    format!(
        r#"
[stripe]
mode = "grants"
webhook_secrets = ["{SECRET}"]
api_key = "{}"
api_base = "{}"
credits_per_unit = {{ usd = 1 }}
checkout = {{ success_url = "https://example.com/bought", cancel_url = "https://example.com" }}
packs = [{{ id = "starter", name = "Ten dollars", price = 10, currency = "usd" }}]
top_up = {{}}

[plans.pro.verify]
by = "card"
opens = "verified"

[plans.verified]
"#,
        stripe.key(),
        stripe.base()
    )
}

async fn open() -> (Shop, FakeStripe, Value) {
    let stripe = FakeStripe::start(Options::real_time()).await;
    let shop = Shop::with(EMBEDDED, &format!("{ROUTES}{TOKENS}{}", sells(&stripe))).await;
    shop.customer("zeta", "1").await;
    let bare = HttpClient::new(shop.faregate.admin());
    let document = bare.get("/admin/v1/openapi.json").send().await.json().await;
    (shop, stripe, document)
}

async fn send(client: &HttpClient, method: &str, path: &str, body: &Value) -> Answer {
    let mut request = client.request(method.parse::<Method>().unwrap(), path);
    if !body.is_null() {
        request = request
            .header("content-type", "application/json")
            .body(RigBody::whole(body.to_string()));
    }
    request.send().await
}

/// Why a value has not the form that a schema says, if so.
fn misfit(value: &Value, schema: &Value, document: &Value) -> Option<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let form = document.pointer(name.strip_prefix('#').unwrap());
        return misfit(value, form.unwrap_or_else(|| panic!("no {name}")), document);
    }
    if let Some(any) = schema["anyOf"].as_array() {
        let fits = any.iter().any(|one| misfit(value, one, document).is_none());
        return (!fits).then(|| format!("{value} has none of the forms"));
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let kinds = &schema["type"];
    if kinds != kind && !kinds.as_array().is_some_and(|kinds| kinds.contains(&json!(kind))) {
        return Some(format!("{value} is not {kinds}"));
    }
    let items = value.as_array().into_iter().flatten();
    if let Some(wrong) = items
        .filter_map(|item| misfit(item, &schema["items"], document))
        .next()
    {
        return Some(wrong);
    }
    let empty = Map::new();
    let properties = schema["properties"].as_object().unwrap_or(&empty);
    for (name, member) in value.as_object().unwrap_or(&empty) {
        match properties.get(name) {
            Some(schema) => {
                if let Some(wrong) = misfit(member, schema, document) {
                    return Some(format!("{name}: {wrong}"));
                }
            }
            None if schema["additionalProperties"] == false => return Some(format!("{name} is not told of")),
            None => {}
        }
    }
    let required = schema["required"].as_array().into_iter().flatten();
    let missing = required.filter(|name| value.get(name.as_str().unwrap()).is_none());
    missing.map(|name| format!("{name} is missing")).next()
}

#[tokio::test]
async fn every_endpoint_is_told_of_takes_what_it_says_and_answers_as_it_says() {
    let (shop, _stripe, document) = open().await;
    let file = shop.faregate.dir().join("copy.db");
    let admin = shop.faregate.admin_client();
    let mut tried = BTreeSet::new();
    for (_, method, template, path, body) in calls(file.to_str().unwrap()) {
        let what = format!("{method} {template}");
        let operation = &document["paths"][template][method.to_lowercase()];
        assert!(operation.is_object(), "{what} is not told of");
        if !body.is_null() {
            let told = &operation["requestBody"]["content"]["application/json"]["schema"];
            assert_eq!(misfit(&body, told, &document), None, "{what}");
            let mut more = body.clone();
            more["nobody_asked_for_this"] = json!(1);
            assert_eq!(send(&admin, method, path, &more).await.status(), 400, "{what}");
            assert!(misfit(&more, told, &document).is_some(), "{what}");
        }
        let mut answer = send(&admin, method, path, &body).await;
        let status = answer.status();
        let answer = answer.json().await;
        assert!((200..300).contains(&status), "{what}: {status} {answer:#}");
        let form = &operation["responses"]["2XX"]["content"]["application/json"]["schema"];
        assert_eq!(misfit(&answer, form, &document), None, "{what}: {answer:#}");
        tried.insert(what);
    }
    let told: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().iter();
            let locked = methods.filter(|(_, operation)| operation.get("security").is_some());
            locked.map(move |(method, _)| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    assert_eq!(told, tried);
}

#[tokio::test]
async fn every_endpoint_takes_its_role_and_no_lower_one() {
    let (shop, _stripe, document) = open().await;
    let file = shop.faregate.dir().join("copy.db");
    let with = |token: &str| HttpClient::new(shop.faregate.admin()).bearer(token);
    let tokens = [("looks-0123456789abcdef", 1), ("works-0123456789abcdef", 2)];
    for (role, method, template, path, body) in calls(file.to_str().unwrap()) {
        let needs = ["read", "operate", "all"]
            .iter()
            .position(|r| *r == role)
            .unwrap()
            + 1;
        let told = &document["paths"][template][method.to_lowercase()]["description"];
        assert_eq!(
            *told,
            format!("Takes the role `{role}` or higher."),
            "{method} {template}"
        );
        let bare = HttpClient::new(shop.faregate.admin());
        assert_eq!(
            send(&bare, method, path, &body).await.status(),
            401,
            "{method} {template}"
        );
        for (token, has) in tokens {
            let mut answer = send(&with(token), method, path, &body).await;
            let (status, text) = (answer.status(), answer.text().await);
            if has >= needs {
                assert!(status < 300, "{method} {template} by {token}: {status} {text}");
            } else {
                assert_eq!(status, 403, "{method} {template} by {token}");
                assert!(text.contains("role_too_low"), "{text}");
            }
        }
    }
    let history = shop.cli(["ledger", "history", "acme"]).await;
    let actors: BTreeSet<&str> = history["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|entry| entry["actor"].as_str())
        .collect();
    assert!(actors.iter().any(|actor| actor.contains("works")), "{actors:?}");
}

#[tokio::test]
async fn what_cannot_be_done_says_so_with_the_right_status() {
    let (shop, _stripe, document) = open().await;
    let admin = shop.faregate.admin_client();
    let there = shop.faregate.dir().join("config.toml");
    for (status, code, method, path, body) in [
        (
            400,
            "invalid_request",
            "GET",
            "/admin/v1/accounts/zeta/entries?cursor=%00",
            Value::Null,
        ),
        (
            400,
            "invalid_request",
            "GET",
            "/admin/v1/accounts/zeta/entries?limit=0",
            Value::Null,
        ),
        (
            400,
            "invalid_request",
            "PUT",
            "/admin/v1/accounts/zeta/plan",
            json!({ "plan": "por" }),
        ),
        (
            400,
            "invalid_request",
            "PUT",
            "/admin/v1/accounts/new",
            json!({ "plan": "por" }),
        ),
        (
            400,
            "invalid_request",
            "POST",
            "/admin/v1/ledger/backup",
            json!({ "file": "relative.db" }),
        ),
        (
            400,
            "invalid_request",
            "POST",
            "/admin/v1/ledger/backup",
            json!({ "file": there }),
        ),
        (404, "not_found", "GET", "/admin/v1/accounts/nobody", Value::Null),
        (404, "not_found", "GET", "/admin/v2", Value::Null),
        (
            405,
            "method_not_allowed",
            "PATCH",
            "/admin/v1/accounts/zeta",
            Value::Null,
        ),
    ] {
        let mut answer = send(&admin, method, path, &body).await;
        assert_eq!(answer.status(), status, "{method} {path}");
        let allow = answer.header("allow").map(str::to_owned);
        assert_eq!(
            allow.as_deref(),
            (status == 405).then_some("GET, PUT"),
            "{method} {path}"
        );
        let answer = answer.json().await;
        assert_eq!(answer["code"], code, "{method} {path}: {answer}");
        let problem = json!({ "$ref": "#/components/schemas/Problem" });
        assert_eq!(misfit(&answer, &problem, &document), None, "{answer}");
    }
    // Only announced: a client that is still sending when the connection closes need not get to read the answer.
    let mut raw = RawClient::connect(shop.faregate.admin()).await;
    raw.send(
        "POST /admin/v1/accounts/zeta/pause HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer works-0123456789abcdef\r\n\
         content-type: application/json\r\ncontent-length: 300000\r\n\r\n",
    )
    .await;
    let too_large = raw.response().await;
    assert_eq!(too_large.status, 413);
    assert!(
        too_large.text().contains("body_too_large"),
        "{}",
        too_large.text()
    );
    // An account on a plan that nobody has written would be let through nowhere.
    assert_eq!(shop.account("zeta").await["plan"], Value::Null);
    shop.configure(EMBEDDED, "");
    let mut refused = send(&admin, "POST", "/admin/v1/config/reload", &Value::Null).await;
    assert_eq!(refused.status(), 422);
    let refused = refused.json().await;
    assert!(
        refused["problems"][0]
            .as_str()
            .is_some_and(|what| what.contains("routes")),
        "{refused}"
    );
}
