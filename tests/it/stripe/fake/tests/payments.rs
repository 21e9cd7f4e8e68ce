//! Payments, with all that may happen to them.

use serde_json::{Value, json};

use super::{Api, same_fields_as_fixtures};
use crate::stripe::fake::world::{Card, Complaint, Outcome, World};
use crate::stripe::fake::{Fault, START};

fn kinds(world: &World) -> Vec<&str> {
    world.events().iter().map(|event| event.kind.as_str()).collect()
}

/// An off-session payment of 50.00 USD, and what comes of it.
fn pay(world: &mut World, outcome: Outcome, refuse_action: bool) -> (String, super::super::world::Reply) {
    let customer = world.create_customer(&json!({})).unwrap()["id"]
        .as_str()
        .unwrap()
        .to_owned();
    let method = world.attach_card(&customer, &Card::new(outcome));
    let asked = json!({
        "amount": 5000, "currency": "USD", "customer": customer, "payment_method": method, "confirm": true,
        "off_session": true, "error_on_requires_action": refuse_action, "metadata": {"purpose": "auto_topup"},
    });
    (customer, world.create_payment_intent(&asked))
}

fn id(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap().to_owned()
}

#[test]
fn a_good_card_pays() {
    let mut world = World::new(START);
    let (_, paid) = pay(&mut world, Outcome::Paid, true);
    let paid = paid.unwrap();
    assert_eq!(
        (&paid["status"], &paid["amount_received"]),
        (&json!("succeeded"), &json!(5000))
    );
    assert_eq!(paid["currency"], "usd");
    let charge = world.object(&id(&paid, "latest_charge"));
    assert_eq!(
        charge["payment_method_details"]["card"]["fingerprint"],
        "FpFake0000000001"
    );
    let seen = kinds(&world);
    assert_eq!(
        seen[3..],
        [
            "payment_intent.created",
            "charge.succeeded",
            "payment_intent.succeeded"
        ]
    );
    same_fields_as_fixtures(&world);
}

#[test]
fn a_refusal_says_why_and_what_to_do() {
    let mut world = World::new(START);
    let (_, refused) = pay(&mut world, Outcome::FRAUDULENT, true);
    let refused = refused.unwrap_err();
    assert_eq!(refused.status, 402);
    assert!(refused.code_is("card_declined"));
    assert_eq!(refused.fields["decline_code"], "fraudulent");
    assert_eq!(refused.fields["advice_code"], "do_not_try_again");
    assert_eq!(
        refused.fields["payment_intent"]["status"],
        "requires_payment_method"
    );
    assert_eq!(world.events_of("payment_intent.payment_failed").len(), 1);
    world.quirks.rejected_create_is_silent = true;
    pay(&mut world, Outcome::DECLINED, true).1.unwrap_err();
    assert_eq!(world.events_of("payment_intent.payment_failed").len(), 1);
    same_fields_as_fixtures(&world);
}

#[test]
fn authentication_is_refused_or_waited_for() {
    let mut world = World::new(START);
    let refused = pay(&mut world, Outcome::AuthenticationRequired, true)
        .1
        .unwrap_err();
    assert!(refused.code_is("authentication_required"));
    let waits = pay(&mut world, Outcome::AuthenticationRequired, false).1.unwrap();
    assert_eq!(waits["status"], "requires_action");
    world.authenticate(&id(&waits, "id"), true);
    assert_eq!(world.object(&id(&waits, "id"))["status"], "succeeded");
    let waits = pay(&mut world, Outcome::AuthenticationRequired, false).1.unwrap();
    world.authenticate(&id(&waits, "id"), false);
    world.cancel_intent(&id(&waits, "id"));
    assert_eq!(world.events_of("payment_intent.canceled").len(), 1);
}

#[test]
fn refunds_add_up_and_a_failed_one_comes_back() {
    let mut world = World::new(START);
    let paid = pay(&mut world, Outcome::Paid, true).1.unwrap();
    let charge = id(&paid, "latest_charge");
    let intent = id(&paid, "id");
    world
        .create_refund(&json!({"payment_intent": intent, "amount": 2000}))
        .unwrap();
    let second = world
        .create_refund(&json!({"charge": charge, "amount": 1000}))
        .unwrap();
    assert_eq!(world.object(&charge)["amount_refunded"], 3000);
    let told: Vec<Value> = world
        .events_of("charge.refunded")
        .iter()
        .map(|event| event.payload["data"]["previous_attributes"].clone())
        .collect();
    assert_eq!(
        told,
        [json!({"amount_refunded": 0}), json!({"amount_refunded": 2000})]
    );
    assert!(
        world
            .create_refund(&json!({"charge": charge, "amount": 2001}))
            .is_err()
    );
    world.fail_refund(&id(&second, "id"));
    assert_eq!(world.object(&charge)["amount_refunded"], 2000);
    world.create_refund(&json!({"charge": charge})).unwrap();
    let again = world.create_refund(&json!({"charge": charge})).unwrap_err();
    assert!(again.code_is("charge_already_refunded"));
    same_fields_as_fixtures(&world);
}

#[test]
fn disputes_take_the_money_and_may_give_it_back() {
    let mut world = World::new(START);
    let charge = id(&pay(&mut world, Outcome::Paid, true).1.unwrap(), "latest_charge");
    let before = world.events().len();
    world.early_fraud_warning(&charge);
    let dispute = world.dispute(&charge, &Complaint::fraud());
    let refused = world.create_refund(&json!({"charge": charge})).unwrap_err();
    assert!(refused.code_is("charge_disputed"));
    world.submit_evidence(&dispute);
    world.close_dispute(&dispute, "won");
    assert_eq!(
        kinds(&world)[before..],
        [
            "radar.early_fraud_warning.created",
            "charge.dispute.created",
            "charge.dispute.funds_withdrawn",
            "charge.dispute.updated",
            "charge.dispute.closed",
            "charge.dispute.funds_reinstated",
        ]
    );
    same_fields_as_fixtures(&world);
}

#[test]
fn an_inquiry_moves_no_money_until_it_is_more() {
    let mut world = World::new(START);
    let charge = id(
        &pay(&mut world, Outcome::PaidUnderReview, true).1.unwrap(),
        "latest_charge",
    );
    let review = id(world.object(&charge), "review");
    world.close_review(&review, "approved");
    let inquiry = world.dispute(&charge, &Complaint::inquiry());
    assert!(world.events_of("charge.dispute.funds_withdrawn").is_empty());
    world.escalate(&inquiry);
    world.close_dispute(&inquiry, "lost");
    assert_eq!(world.events_of("charge.dispute.funds_withdrawn").len(), 1);
    assert!(world.events_of("charge.dispute.funds_reinstated").is_empty());
    same_fields_as_fixtures(&world);
}

const PACK: &str = "mode=payment&success_url=https://a.test/ok&line_items[0][quantity]=2\
                    &line_items[0][price_data][currency]=usd&line_items[0][price_data][unit_amount]=2500\
                    &line_items[0][price_data][product_data][name]=Credits&metadata[tenant]=t\
                    &payment_intent_data[metadata][tenant]=t&payment_intent_data[setup_future_usage]=off_session&customer=";

#[tokio::test]
async fn a_session_is_bought_late_or_never() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[]);
    let mut sessions = Vec::new();
    for _ in 0..4 {
        let (status, session) = api
            .post("/v1/checkout/sessions", &format!("{PACK}{customer}"))
            .await;
        assert_eq!(status, 200, "{session}");
        assert_eq!(
            (&session["status"], &session["payment_status"]),
            (&json!("open"), &json!("unpaid"))
        );
        assert_eq!(session["amount_total"], 5000);
        sessions.push(id(&session, "id"));
    }
    let refused = api
        .fake
        .world()
        .buy(&sessions[0], &Card::new(Outcome::DECLINED))
        .unwrap_err();
    assert_eq!(refused.status, 402);
    let paid = api.fake.buy(&sessions[0], &Card::good());
    assert_eq!(
        (&paid["status"], &paid["payment_status"]),
        (&json!("complete"), &json!("paid"))
    );
    let intent = api.fake.world().object(&id(&paid, "payment_intent")).clone();
    assert_eq!(intent["metadata"], json!({"tenant": "t"}));
    for (session, comes, status) in [(&sessions[1], true, "paid"), (&sessions[2], false, "unpaid")] {
        let bought = api.fake.buy(session, &Card::new(Outcome::Delayed));
        assert_eq!(
            (&bought["status"], &bought["payment_status"]),
            (&json!("complete"), &json!("unpaid"))
        );
        api.fake.world().settle(&id(&bought, "payment_intent"), comes);
        let (_, later) = api.get(&format!("/v1/checkout/sessions/{session}")).await;
        assert_eq!(later["payment_status"], status);
    }
    api.fake.advance(24 * 3600);
    assert_eq!(api.fake.world().object(&sessions[3])["status"], "expired");
    assert!(api.fake.world().buy(&sessions[3], &Card::good()).is_err());
    for kind in [
        "completed",
        "async_payment_succeeded",
        "async_payment_failed",
        "expired",
    ] {
        assert!(
            !api.fake
                .world()
                .events_of(&format!("checkout.session.{kind}"))
                .is_empty(),
            "{kind}"
        );
    }
    same_fields_as_fixtures(&api.fake.world());
    api.fake.assert_clean();
}

#[tokio::test]
async fn a_card_is_set_up_and_belongs_to_the_customer_then() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[]);
    let form = format!("mode=setup&currency=usd&success_url=https://a.test/ok&customer={customer}");
    let (_, session) = api.post("/v1/checkout/sessions", &form).await;
    let done = api
        .fake
        .buy(&id(&session, "id"), &Card::good().fingerprint("FpOther"));
    assert_eq!(done["payment_status"], "no_payment_required");
    let setup = api.fake.world().object(&id(&session, "setup_intent")).clone();
    let (_, method) = api
        .get(&format!("/v1/payment_methods/{}", id(&setup, "payment_method")))
        .await;
    assert_eq!(
        (&method["customer"], &method["card"]["fingerprint"]),
        (&json!(customer), &json!("FpOther"))
    );
    let (_, kept) = api.get(&format!("/v1/customers/{customer}")).await;
    assert_eq!(kept["invoice_settings"]["default_payment_method"], method["id"]);
    api.fake.world().renew_card(&id(&method, "id"), "FpNew", "1881");
    api.fake.world().detach_method(&id(&method, "id"));
    let failed = api
        .post(
            "/v1/setup_intents",
            &format!("customer={customer}&usage=off_session"),
        )
        .await
        .1;
    let bad = Card::new(Outcome::DECLINED);
    api.fake
        .world()
        .complete_setup(&id(&failed, "id"), &bad)
        .unwrap_err();
    assert_eq!(api.fake.world().events_of("setup_intent.setup_failed").len(), 1);
    same_fields_as_fixtures(&api.fake.world());
    api.fake.assert_clean();
}

#[tokio::test]
async fn a_payment_whose_answer_was_lost_is_found_again() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[]);
    let method = api.fake.attach_card(&customer, &Card::good());
    let form = format!(
        "amount=5000&currency=usd&customer={customer}&payment_method={method}&confirm=true&off_session=true"
    );
    api.fake.fail("POST /v1/payment_intents", 1, Fault::ErrorAfter);
    assert_eq!(api.post("/v1/payment_intents", &form).await.0, 500);
    let (_, found) = api
        .get(&format!(
            "/v1/payment_intents?customer={customer}&created[gte]={START}"
        ))
        .await;
    assert_eq!(found["data"][0]["status"], "succeeded");
    api.fake.assert_clean();
}
