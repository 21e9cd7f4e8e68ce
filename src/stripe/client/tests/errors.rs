//! Refusals, and what is said about them.

use super::super::error::scrub;
use super::*;
use proptest::prelude::*;

async fn refused(status: u16, body: &Value) -> ApiError {
    let server = Server::start(vec![
        Step::json(status, &body.to_string()).header("Request-Id: req_7"),
    ])
    .await;
    let error = client(&server).call(&payment()).await.unwrap_err();
    assert_eq!(server.seen().len(), 1, "{error}");
    error
}

#[tokio::test]
async fn a_right_that_the_key_lacks_is_named() {
    let message = "The provided key 'rk_test_*********hunt' does not have the required permissions for this endpoint. Having the \
                   'rak_billing_meter_write' permission would allow this request to continue.";
    let body = json!({"error": {"type": "invalid_request_error", "message": message}});
    let error = refused(403, &body).await;
    let said = error.refused().unwrap();
    assert!(said.is_permission() && !said.is_key() && !said.is_missing());
    assert_eq!(error.outcome(), "forbidden");
    let shown = error.to_string();
    assert!(shown.contains("'rak_billing_meter_write'"), "{shown}");
    assert!(shown.contains("key '***' does not"), "{shown}");
    assert!(shown.ends_with("(req_7)"), "{shown}");
}

#[tokio::test]
async fn a_key_that_is_none_is_refused_and_not_repeated() {
    let body = json!({"error": {"type": "invalid_request_error", "message": format!("Invalid API Key provided: {KEY}\nx")}});
    let error = refused(401, &body).await;
    assert!(error.refused().unwrap().is_key());
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("provided: *** x"), "{shown}");
}

#[tokio::test]
async fn a_declined_card_is_told_with_all_that_decides() {
    let body = json!({"error": {
        "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds", "advice_code": "try_again_later",
        "message": "Your card has insufficient funds.", "payment_intent": {"id": "pi_1", "client_secret": "pi_1_secret_x", "status": "requires_payment_method"},
    }});
    let error = refused(402, &body).await;
    let said = error.refused().unwrap();
    assert_eq!(error.outcome(), "declined");
    assert!(said.is_card() && !said.wants_customer() && !said.is_final_for_card());
    assert_eq!(said.decline_code.as_deref(), Some("insufficient_funds"));
    assert_eq!(said.payment_intent.as_ref().unwrap()["id"], "pi_1");
    assert!(!format!("{error:?}").contains("secret_x"));
    assert_eq!(
        error.to_string(),
        "Stripe refused it with 402 card_error, code card_declined, decline_code insufficient_funds, advice_code try_again_later: \
         Your card has insufficient funds. (req_7)"
    );

    let body = json!({"error": {"type": "card_error", "code": "authentication_required", "advice_code": "do_not_try_again", "message": "x"}});
    let error = refused(402, &body).await;
    let said = error.refused().unwrap();
    assert!(said.wants_customer() && said.is_final_for_card());
}

#[tokio::test]
async fn other_refusals_are_final_too() {
    for (status, body, outcome) in [
        (
            404,
            json!({"error": {"type": "invalid_request_error", "code": "resource_missing", "param": "id", "message": "No such"}}),
            "missing",
        ),
        (
            400,
            json!({"error": {"type": "idempotency_error", "message": "Keys for idempotent requests"}}),
            "refused",
        ),
        (
            400,
            json!({"error": {"code": "new_one", "message": "x"}}),
            "refused",
        ),
        (422, json!({"error": {}}), "refused"),
    ] {
        let error = refused(status, &body).await;
        assert_eq!(error.outcome(), outcome, "{error}");
        let other_call = body["error"]["type"] == "idempotency_error";
        assert_eq!(error.refused().unwrap().is_other_call(), other_call);
    }
}

#[test]
fn texts_from_outside_are_cut_short_and_hold_no_keys() {
    let key = Secret::new(KEY);
    for (text, clean) in [
        ("plain", "plain"),
        ("a\nb\u{7}c", "a b c"),
        ("(sk_live_abc123)", "(***)"),
        ("whsec_abc, rk_x=1", "***, ***=1"),
        (
            "rak_event_read risk_level task_1",
            "rak_event_read risk_level task_1",
        ),
        ("xrk_test_hunter2hunter2x", "x***x"),
        ("Zürich €", "Zürich €"),
    ] {
        assert_eq!(scrub(text, &key), clean);
    }
    assert_eq!(scrub(&"ä".repeat(9_999), &key).chars().count(), 500);
}

proptest! {
    #[test]
    fn no_text_brings_the_key_into_a_log(before in ".{0,40}", after in ".{0,40}") {
        let shown = scrub(&format!("{before}{KEY}{after}"), &Secret::new(KEY));
        prop_assert!(!shown.contains("hunter2hunter2"), "{}", shown);
    }
}

#[test]
fn what_is_unknown_is_told_apart_from_what_is_refused() {
    let unknown = ApiError::unknown("x");
    assert!(unknown.is_unknown() && unknown.refused().is_none());
    assert_eq!(unknown.outcome(), "unknown");
    let many = ApiError::TooMany { max: 3 };
    assert!(!many.is_unknown() && many.refused().is_none());
    assert_eq!(many.outcome(), "too_many");
    let key = Key::of("x", &["y"]);
    assert!(Call::post(&["v1", "customers"], Form::new(), key).is_ok());
}
