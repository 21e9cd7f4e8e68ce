//! From an operation's name to what the world does.

use serde_json::{Value, json};

use super::error::ApiError;
use super::world::{Reply, World};

/// Does it; `names` is what the path names, in its order.
pub(crate) fn call(world: &mut World, operation: &str, names: &[String], asked: &Value) -> Reply {
    let id = names.first().map_or("", String::as_str);
    let Some((method, path)) = operation.split_once(' ') else {
        panic!("no operation: {operation}")
    };
    let reply = match path.split('/').nth(2) {
        Some("billing") => billing(world, operation, id, asked),
        Some("core") => thin(world, operation, id, asked),
        _ if method == "GET" => read(world, operation, id, asked),
        _ => write(world, operation, id, asked),
    };
    let mut reply = reply?;
    for path in asked["expand"].as_array().into_iter().flatten() {
        let path = path.as_str().expect("checked");
        let steps: Vec<&str> = path.split('.').collect();
        expand(world, &mut reply, &steps, path)?;
    }
    Ok(reply)
}

fn billing(world: &mut World, operation: &str, id: &str, asked: &Value) -> Reply {
    let grants = "/v1/billing/credit_grants";
    let transactions = "billing.credit_balance_transaction";
    match operation {
        "POST /v1/billing/credit_grants" => world.create_grant(asked),
        "GET /v1/billing/credit_grants" => world.list("billing.credit_grant", asked, &["customer"], grants),
        "GET /v1/billing/credit_grants/{id}" => world.find("billing.credit_grant", id),
        "POST /v1/billing/credit_grants/{id}" => world.update_grant(id, asked),
        "POST /v1/billing/credit_grants/{id}/expire" => world.expire_grant(id),
        "POST /v1/billing/credit_grants/{id}/void" => world.void_grant(id),
        "GET /v1/billing/credit_balance_summary" => world.balance_summary(asked),
        "GET /v1/billing/credit_balance_transactions" => world.list_transactions(asked),
        "GET /v1/billing/credit_balance_transactions/{id}" => world.find(transactions, id),
        "POST /v1/billing/meters" => world.create_meter(asked),
        "GET /v1/billing/meters" => world.list("billing.meter", asked, &["status"], "/v1/billing/meters"),
        "GET /v1/billing/meters/{id}" => world.find("billing.meter", id),
        "GET /v1/billing/meters/{id}/event_summaries" => world.event_summaries(id, asked),
        "POST /v1/billing/meter_events" => world.create_meter_event(asked),
        "POST /v1/billing/meter_event_adjustments" => world.adjust_meter_event(asked),
        "POST /v1/billing/alerts" => world.create_alert(asked),
        "GET /v1/billing/alerts" => world.list("billing.alert", asked, &["alert_type"], "/v1/billing/alerts"),
        "POST /v1/billing/alerts/{id}/activate" => world.set_alert(id, "active"),
        "POST /v1/billing/alerts/{id}/archive" => world.set_alert(id, "archived"),
        "POST /v1/billing/alerts/{id}/deactivate" => world.set_alert(id, "inactive"),
        other => Err(not_modelled(other)),
    }
}

fn thin(world: &World, operation: &str, id: &str, asked: &Value) -> Reply {
    match operation {
        "GET /v2/core/events" => world.list_thin_events(asked),
        "GET /v2/core/events/{id}" => world.get_thin_event(id),
        other => Err(not_modelled(other)),
    }
}

fn read(world: &World, operation: &str, id: &str, asked: &Value) -> Reply {
    match operation {
        "GET /v1/account" => Ok(json!({"id": super::ACCOUNT, "object": "account", "country": "US"})),
        "GET /v1/customers/{customer}" => world.get_customer(id),
        "GET /v1/payment_methods/{payment_method}" => world.find("payment_method", id),
        "GET /v1/payment_methods" => world.list(
            "payment_method",
            asked,
            &["customer", "type"],
            "/v1/payment_methods",
        ),
        "GET /v1/payment_intents" => {
            world.list("payment_intent", asked, &["customer"], "/v1/payment_intents")
        }
        "GET /v1/payment_intents/{intent}" => world.find("payment_intent", id),
        "GET /v1/setup_intents/{intent}" => world.find("setup_intent", id),
        "GET /v1/checkout/sessions/{session}" => world.find("checkout.session", id),
        "GET /v1/charges/{charge}" => world.find("charge", id),
        "GET /v1/disputes/{dispute}" => world.find("dispute", id),
        "GET /v1/disputes" => world.list("dispute", asked, &["charge", "payment_intent"], "/v1/disputes"),
        "GET /v1/reviews" => world.list_reviews(asked),
        "GET /v1/reviews/{review}" => world.find("review", id),
        "GET /v1/radar/early_fraud_warnings" => {
            let by = ["charge", "payment_intent"];
            let url = "/v1/radar/early_fraud_warnings";
            world.list("radar.early_fraud_warning", asked, &by, url)
        }
        "GET /v1/refunds" => world.list("refund", asked, &["charge", "payment_intent"], "/v1/refunds"),
        "GET /v1/subscriptions" => world.list_subscriptions(asked),
        "GET /v1/subscriptions/{subscription_exposed_id}" => world.find("subscription", id),
        "GET /v1/invoices/{invoice}" => world.find("invoice", id),
        "GET /v1/invoices" => world.list("invoice", asked, &["customer", "status"], "/v1/invoices"),
        "GET /v1/invoice_payments" => world.list_invoice_payments(asked),
        "GET /v1/entitlements/active_entitlements" => world.list_entitlements(asked),
        "GET /v1/webhook_endpoints" => world.list("webhook_endpoint", asked, &[], "/v1/webhook_endpoints"),
        "GET /v1/events" => world.list_events(asked),
        "GET /v1/events/{id}" => world.get_event(id),
        other => Err(not_modelled(other)),
    }
}

fn write(world: &mut World, operation: &str, id: &str, asked: &Value) -> Reply {
    match operation {
        "POST /v1/customers" => world.create_customer(asked),
        "POST /v1/payment_intents" => world.create_payment_intent(asked),
        "POST /v1/setup_intents" => world.create_setup_intent(asked),
        "POST /v1/checkout/sessions" => world.create_session(asked),
        "POST /v1/subscriptions" => world.create_subscription(asked),
        "POST /v1/subscriptions/{subscription_exposed_id}" => world.update_subscription(id, asked),
        "DELETE /v1/subscriptions/{subscription_exposed_id}" => world.cancel_subscription(id, asked),
        "POST /v1/subscriptions/{subscription}/pause" => world.pause_subscription(id, asked),
        "POST /v1/subscriptions/{subscription}/resume" => world.resume_subscription(id),
        "POST /v1/subscription_items/{item}" => world.update_item(id, asked),
        "POST /v1/invoices/{invoice}" => world.update_invoice(id, asked),
        "POST /v1/invoices/{invoice}/void" => world.void_invoice(id),
        "POST /v1/invoices/{invoice}/mark_uncollectible" => world.mark_uncollectible(id),
        "POST /v1/invoices/{invoice}/pay" => world.pay_invoice(id, asked),
        "POST /v1/webhook_endpoints" => world.create_endpoint(asked),
        "POST /v1/webhook_endpoints/{id}" => world.update_endpoint(id, asked),
        "POST /v1/refunds" => world.create_refund(asked),
        "POST /v1/customers/{customer}" => world.update_customer(id, asked),
        other => Err(not_modelled(other)),
    }
}

fn not_modelled(operation: &str) -> ApiError {
    ApiError::new(501, "api_error", format!("The fake does not model {operation}."))
}

/// Puts objects in the place of their ids.
fn expand(world: &World, at: &mut Value, steps: &[&str], whole: &str) -> Result<(), ApiError> {
    if let Value::Array(items) = at {
        return items
            .iter_mut()
            .try_for_each(|item| expand(world, item, steps, whole));
    }
    let Some((step, rest)) = steps.split_first() else {
        return Ok(());
    };
    let Some(inner) = at.get_mut(*step) else {
        let message = format!("This property cannot be expanded ({whole}).");
        return Err(ApiError::invalid(message).param("expand"));
    };
    if let Some(id) = inner.as_str() {
        *inner = world.object(id).clone();
    }
    if inner.is_null() {
        return Ok(());
    }
    expand(world, inner, rest, whole)
}
