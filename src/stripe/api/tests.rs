use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::super::call::Method;
use super::*;
use crate::domain::grant::Category;
use crate::domain::money::Currency;

fn subset() -> Value {
    serde_json::from_str(include_str!("../../../tests/fixtures/stripe/openapi-subset.json")).unwrap()
}

fn usd() -> Currency {
    "usd".parse().unwrap()
}

fn texts() -> Metadata {
    Metadata::from([("account".to_owned(), "acme".to_owned())])
}

fn grant() -> NewGrant<'static> {
    NewGrant {
        customer: "cus_1",
        attempt: 0,
        purchase: "pi_1",
        value: 5_000,
        currency: usd(),
        category: Category::Paid,
        prices: &[],
        priority: Some(10),
        effective_at: Some(1_795_000_000),
        expires_at: Some(1_800_000_000),
        name: Some("Pack"),
        metadata: texts(),
    }
}

fn checkout(item: Item<'_>) -> NewCheckout<'_> {
    NewCheckout {
        purchase: "buy-7",
        customer: None,
        account: "acme",
        item,
        success_url: "https://gate.example/done?session={CHECKOUT_SESSION_ID}",
        cancel_url: Some("https://gate.example/back"),
        expires_at: Some(1_795_003_600),
        keep_method: true,
        metadata: texts(),
    }
}

fn named() -> Item<'static> {
    Item::Named {
        name: "1,000 credits",
        amount: 1_000,
        currency: usd(),
    }
}

fn payment() -> NewPayment<'static> {
    NewPayment {
        attempt: "acme:2026-11:3",
        customer: "cus_1",
        method: "pm_1",
        amount: 1_000,
        currency: usd(),
        description: Some("Top-up"),
        metadata: texts(),
    }
}

fn usage() -> MeterEvent<'static> {
    MeterEvent {
        event_name: "microcredits",
        customer_key: "stripe_customer_id",
        customer: "cus_1",
        value_key: "value",
        value: 123_456,
        identifier: "u:cus_1:1795000000:1",
        timestamp: 1_795_000_000,
    }
}

fn change() -> SubscriptionChange<'static> {
    SubscriptionChange {
        collection: Some(Collection::Void),
        amount_gte: Some(Threshold::From(5_000)),
        cancel_at_period_end: Some(true),
        default_payment_method: Some("pm_1"),
        metadata: texts(),
    }
}

fn details() -> CustomerDetails<'static> {
    CustomerDetails {
        email: Some("a@example.com"),
        name: Some("Acme"),
        description: Some("x"),
        default_payment_method: Some("pm_1"),
        metadata: texts(),
    }
}

/// Every call that there is, some in several forms.
fn all() -> Vec<Call> {
    let query = EventQuery {
        types: &["invoice.paid", "charge.refunded"],
        since: Some(1_795_000_000),
        undelivered: true,
    };
    let prices = NewGrant {
        prices: &["price_1", "price_2"],
        category: Category::Promotional,
        ..grant()
    };
    let ends = SubscriptionChange {
        collection: Some(Collection::Resume),
        amount_gte: Some(Threshold::Never),
        ..SubscriptionChange::default()
    };
    let known = NewCheckout {
        customer: Some("cus_1"),
        keep_method: false,
        ..checkout(Item::Price("price_1"))
    };
    let calls = [
        create_credit_grant(&grant()),
        create_credit_grant(&prices),
        get_credit_grant("credgr_1"),
        list_credit_grants("cus_1"),
        update_credit_grant("credgr_1", Some(Expiry::At(1_800_000_000)), &texts(), "evt_1"),
        update_credit_grant("credgr_1", Some(Expiry::Never), &Metadata::new(), "evt_2"),
        expire_credit_grant("credgr_1"),
        void_credit_grant("credgr_1", "evt_1"),
        list_credit_transactions("cus_1", Some("credgr_1")),
        credit_balance_summary("cus_1"),
        credit_grant_balance("cus_1", "credgr_1"),
        create_customer(
            "acme",
            &CustomerDetails {
                default_payment_method: None,
                ..details()
            },
        ),
        get_customer("cus_1"),
        update_customer("cus_1", &details(), "evt_1"),
        get_payment_method("pm_1"),
        create_setup_intent("cus_1", "acme-1", &texts()),
        get_setup_intent("seti_1"),
        get_account(),
        list_subscriptions("cus_1"),
        list_refunds("pi_1"),
        create_meter_event(&usage()),
        list_meters(),
        list_meter_summaries("mtr_1", "cus_1", 1_794_999_960, 1_795_000_020),
        get_invoice("in_1"),
        stop_invoice("in_1", "evt_1"),
        void_invoice("in_1"),
        list_invoice_payments("in_1"),
        list_invoices_of_payment("pi_1"),
        list_events(&query),
        list_events(&EventQuery::default()),
        get_event("evt_1"),
        get_thin_event("evt_1"),
        list_webhook_endpoints(),
        update_webhook_endpoint(
            "we_1",
            &EndpointChange {
                events: Some(&["invoice.paid".to_owned()]),
                enabled: Some(true),
            },
            "1",
        ),
        create_webhook_endpoint(
            "https://gate.example/faregate/stripe/webhook",
            &["invoice.paid".to_owned()],
            "2026-10-28.endive",
            "1",
        ),
        list_open_invoices(),
        list_living_subscriptions(),
        peek(&["v1", "billing", "credit_grants"]),
        get_subscription("sub_1"),
        update_subscription("sub_1", &change(), "evt_1"),
        update_subscription("sub_1", &ends, "evt_2"),
        cancel_subscription("sub_1", true),
        pause_subscription("sub_1", "evt_1"),
        resume_subscription("sub_1", "evt_1"),
        update_item_threshold("si_1", Threshold::From(1_000), "7"),
        update_item_threshold("si_1", Threshold::Never, "8"),
        create_checkout(&checkout(named())),
        create_checkout(&known),
        create_card_check(&checkout(named()), usd()),
        get_checkout("cs_test_1"),
        create_payment(&payment()),
        get_payment("pi_1"),
        list_payments("cus_1", Some(1_795_000_000)),
        get_charge("ch_1"),
        get_dispute("dp_1"),
        create_refund("pi_1", Some(100), &texts(), "claw_1"),
        create_refund("pi_1", None, &texts(), "claw_2"),
    ];
    calls.into_iter().map(Result::unwrap).collect()
}

/// Those that the subset does not have, and why they are made all the same.
const BEYOND: [(&str, &str); 8] = [
    (
        "GET /v2/core/events/:id",
        "the subset is of v1; reports of errors in usage come as thin events alone, which have to be fetched",
    ),
    (
        "GET /v1/payment_intents",
        "an attempt whose outcome is unknown for a day is looked for by its metadata (section 6.6)",
    ),
    ("GET /v1/refunds", "so is a refund"),
    (
        "GET /v1/setup_intents/:id",
        "a card's verification may be over before an event tells of it (section 6.4)",
    ),
    (
        "GET /v1/subscriptions",
        "whether another subscription of the customer is still good, or good again (section 6.1)",
    ),
    (
        "POST /v1/webhook_endpoints/:id",
        "an endpoint that exists is mended, not doubled (section 4.3)",
    ),
    (
        "GET /v1/invoices",
        "which are tried again and again is seen only in the list (section 6.1)",
    ),
    (
        "GET /v1/account",
        "whether the key is of the account that events are taken from (R14)",
    ),
];

#[test]
fn every_call_is_one_of_stripes_api_with_parameters_that_it_knows() {
    let subset = subset();
    let mut beyond = BTreeSet::new();
    for call in all() {
        match schema(&subset, &call) {
            Some((template, schema)) => {
                let tree = tree(&call);
                if let Err(what) = check(&tree, &schema) {
                    panic!("{} {template}: {what} in {tree}", call.method());
                }
                let shown: Vec<&str> = template
                    .split('/')
                    .map(|s| if s.starts_with('{') { ":id" } else { s })
                    .collect();
                assert_eq!(call.operation(), format!("{} {}", call.method(), shown.join("/")));
            }
            None => {
                beyond.insert(call.operation());
            }
        }
    }
    let expected: BTreeSet<String> = BEYOND
        .iter()
        .map(|(operation, _)| (*operation).to_owned())
        .collect();
    assert_eq!(beyond, expected);
}

#[test]
fn what_would_be_refused_is_found_by_the_check_above() {
    let subset = subset();
    let call = |form: Form| Call::post(&["v1", "billing", "credit_grants"], form, Key::of("x", &[])).unwrap();
    let good = || {
        Form::new()
            .put("amount[type]", "monetary")
            .put("amount[monetary][currency]", "usd")
            .put("amount[monetary][value]", 1)
            .put("applicability_config[scope][prices][0][id]", "price_1")
    };
    let found = |form: Form| {
        let call = call(form);
        let (_, schema) = schema(&subset, &call).unwrap();
        check(&tree(&call), &schema)
    };
    assert_eq!(found(good()), Ok(()));
    for (wrong, what) in [
        (Form::new(), "amount is required"),
        (good().put("colour", "red"), "colour is not known"),
        (good().put("amount[colour]", "red"), "colour is not known"),
        (good().put("category", "stolen"), "\"stolen\" is none of"),
        (good().put("priority", "first"), "\"first\" is no integer"),
        (
            good().put("applicability_config[scope][prices][1][name]", "x"),
            "id is required",
        ),
    ] {
        let said = found(wrong).unwrap_err();
        assert!(said.contains(what), "{said}");
    }
}

#[test]
fn each_change_has_a_key_of_its_own_and_the_same_each_time() {
    let keys: Vec<String> = all()
        .iter()
        .filter_map(|call| call.idempotency_key().map(str::to_owned))
        .collect();
    let again: Vec<String> = all()
        .iter()
        .filter_map(|call| call.idempotency_key().map(str::to_owned))
        .collect();
    assert_eq!(keys, again);
    for call in all() {
        assert_eq!(
            call.idempotency_key().is_some(),
            call.method() == Method::Post,
            "{call:?}"
        );
    }
    // The two grants are of one purchase, and so are the two checkouts: they are one, whatever they say.
    let distinct: BTreeSet<&String> = keys.iter().collect();
    assert_eq!(distinct.len() + 2, keys.len(), "{keys:?}");
    assert!(distinct.contains(&"grant:pi_1".to_owned()));
    assert!(distinct.contains(&"invoice-stop:in_1:evt_1".to_owned()));
}

#[test]
fn s4_no_id_in_a_path_leads_elsewhere() {
    let hostile = "../customers";
    let calls = [
        get_credit_grant(hostile),
        update_credit_grant(hostile, None, &texts(), "x"),
        expire_credit_grant(hostile),
        void_credit_grant(hostile, "x"),
        get_customer(hostile),
        update_customer(hostile, &details(), "x"),
        get_payment_method(hostile),
        list_meter_summaries(hostile, "x", 0, 60),
        get_invoice(hostile),
        stop_invoice(hostile, "x"),
        void_invoice(hostile),
        get_event(hostile),
        get_thin_event(hostile),
        update_webhook_endpoint(hostile, &EndpointChange::default(), "x"),
        get_subscription(hostile),
        update_subscription(hostile, &change(), "x"),
        cancel_subscription(hostile, false),
        pause_subscription(hostile, "x"),
        resume_subscription(hostile, "x"),
        update_item_threshold(hostile, Threshold::Never, "x"),
        get_checkout(hostile),
        get_payment(hostile),
        get_charge(hostile),
        get_dispute(hostile),
    ];
    for call in calls {
        assert_eq!(call, Err(BadCall::Id(hostile.to_owned())));
    }
    // In a query it is a text like any other.
    let listed = list_credit_grants("a&b=c").unwrap();
    assert!(listed.target().ends_with("?limit=100&customer=a%26b%3Dc"));
}

#[test]
fn what_stripe_would_refuse_is_refused_here() {
    let long = "x".repeat(201);
    let many = ["price_1"; 21];
    for call in [
        create_credit_grant(&NewGrant { value: 0, ..grant() }),
        create_credit_grant(&NewGrant { value: -1, ..grant() }),
        create_credit_grant(&NewGrant {
            priority: Some(101),
            ..grant()
        }),
        create_credit_grant(&NewGrant {
            prices: &many,
            ..grant()
        }),
        create_credit_grant(&NewGrant {
            name: Some(&long),
            ..grant()
        }),
        create_meter_event(&MeterEvent {
            value: 1_000_000_000_000_000,
            ..usage()
        }),
        create_meter_event(&MeterEvent {
            identifier: "",
            ..usage()
        }),
        create_meter_event(&MeterEvent {
            identifier: &long,
            ..usage()
        }),
        create_meter_event(&MeterEvent {
            value_key: "a][b",
            ..usage()
        }),
        list_meter_summaries("mtr_1", "cus_1", 1, 60),
        list_events(&EventQuery {
            types: &["a"; 21],
            ..EventQuery::default()
        }),
        update_subscription(
            "sub_1",
            &SubscriptionChange {
                amount_gte: Some(Threshold::From(49)),
                ..change()
            },
            "x",
        ),
        update_item_threshold("si_1", Threshold::From(0), "x"),
        create_checkout(&NewCheckout {
            account: &long,
            ..checkout(named())
        }),
        create_checkout(&checkout(Item::Named {
            name: "x",
            amount: 0,
            currency: usd(),
        })),
        create_payment(&NewPayment {
            amount: 0,
            ..payment()
        }),
        create_refund("pi_1", Some(0), &texts(), "x"),
    ] {
        assert!(matches!(call, Err(BadCall::Refused { .. })), "{call:?}");
    }
}

#[test]
fn a_purchase_is_told_to_the_session_and_to_its_payment() {
    let call = create_checkout(&checkout(named())).unwrap();
    for key in ["metadata[account]", "payment_intent_data[metadata][account]"] {
        assert_eq!(call.form().get(key), Some("acme"), "{key}");
    }
    let granted = create_credit_grant(&grant()).unwrap();
    assert_eq!(granted.form().get("metadata[purchase_id]"), Some("pi_1"));
}

/// The operation's path in the subset, and what its parameters are.
fn schema(subset: &Value, call: &Call) -> Option<(String, Value)> {
    let method = call.method().to_string().to_lowercase();
    let own: Vec<&str> = call.path().split('/').collect();
    let fits = |template: &str| {
        let theirs: Vec<&str> = template.split('/').collect();
        theirs.len() == own.len() && theirs.iter().zip(&own).all(|(t, o)| t.starts_with('{') || t == o)
    };
    let paths = subset["paths"].as_object().unwrap();
    // One with a word in a place goes before one with an id there.
    let (template, operations) = paths
        .iter()
        .filter(|(template, operations)| fits(template) && operations.get(&method).is_some())
        .min_by_key(|(template, _)| template.matches('{').count())?;
    let operation = &operations[&method];
    if call.method() == Method::Post {
        let body = &operation["requestBody"]["content"]["application/x-www-form-urlencoded"]["schema"];
        return Some((template.clone(), body.clone()));
    }
    let parameters = operation["parameters"].as_array().unwrap();
    let of_query = || parameters.iter().filter(|parameter| parameter["in"] == "query");
    let properties: Map<String, Value> = of_query()
        .map(|parameter| {
            (
                parameter["name"].as_str().unwrap().to_owned(),
                parameter["schema"].clone(),
            )
        })
        .collect();
    let required: Vec<&Value> = of_query()
        .filter(|parameter| parameter["required"] == true)
        .map(|parameter| &parameter["name"])
        .collect();
    let schema = json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false});
    Some((template.clone(), schema))
}

/// A form as the object that it stands for: `a[b][0]=c` is `{"a": {"b": {"0": "c"}}}`.
fn tree(call: &Call) -> Value {
    let mut root = Value::Object(Map::new());
    for (key, text) in call.form().pairs() {
        let (first, rest) = key.split_once('[').unwrap_or((key, ""));
        let rest = rest.strip_suffix(']').unwrap_or(rest);
        let mut place = &mut root[first];
        for step in rest.split("][").filter(|step| !step.is_empty()) {
            place = &mut place[step];
        }
        assert!(place.is_null(), "{key} is there twice");
        *place = text.into();
    }
    root
}

fn check(value: &Value, schema: &Value) -> Result<(), String> {
    if let Some(any) = schema["anyOf"].as_array() {
        let tries: Vec<_> = any.iter().map(|one| check(value, one)).collect();
        return tries
            .iter()
            .find(|tried| tried.is_ok())
            .unwrap_or(&tries[0])
            .clone();
    }
    match schema["type"].as_str().unwrap() {
        "object" => {
            let fields = value.as_object().ok_or_else(|| format!("{value} is no object"))?;
            for required in schema["required"].as_array().into_iter().flatten() {
                let name = required.as_str().unwrap();
                fields.get(name).ok_or_else(|| format!("{name} is required"))?;
            }
            fields.iter().try_for_each(|(name, value)| {
                let known = schema["properties"].get(name);
                let other = Some(&schema["additionalProperties"]).filter(|other| other.is_object());
                check(
                    value,
                    known.or(other).ok_or_else(|| format!("{name} is not known"))?,
                )
            })
        }
        "array" => {
            let items = value.as_object().ok_or_else(|| format!("{value} is no list"))?;
            items.iter().enumerate().try_for_each(|(at, (index, item))| {
                assert_eq!(*index, at.to_string());
                check(item, &schema["items"])
            })
        }
        kind => {
            let text = value.as_str().ok_or_else(|| format!("{value} is no {kind}"))?;
            let fits = match kind {
                "integer" => text.parse::<i64>().is_ok(),
                "boolean" => ["true", "false"].contains(&text),
                "string" => true,
                other => panic!("what is {other}?"),
            };
            if !fits {
                return Err(format!("{text:?} is no {kind}"));
            }
            let one_of = schema["enum"].as_array();
            if one_of.is_some_and(|all| !all.iter().any(|one| one == text)) {
                return Err(format!("{text:?} is none of {}", schema["enum"]));
            }
            Ok(())
        }
    }
}
