//! Who may ask, what may be asked, and asking twice.

use std::time::Duration;

use serde_json::json;

use super::Api;
use crate::stripe::fake::Fault;

const GRANT: &str = "amount[type]=monetary&amount[monetary][currency]=usd&amount[monetary][value]=5000\
                     &applicability_config[scope][price_type]=metered&customer=";

#[tokio::test]
async fn a_wrong_key_is_refused() {
    let api = Api::start().await;
    let answer = api
        .client()
        .bearer("rk_test_other")
        .get("/v1/events")
        .send()
        .await;
    assert_eq!(answer.status(), 401);
    api.fake.assert_clean();
    let answer = api
        .client()
        .header("stripe-version", "2020-08-27")
        .get("/v1/events")
        .send()
        .await;
    assert_eq!(answer.status(), 200);
    assert!(api.fake.violations()[0].contains("Stripe-Version"));
}

#[tokio::test]
async fn what_the_api_does_not_know_is_refused_and_remembered() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[("tenant", "t1")]);
    let grant = format!("{GRANT}{customer}");
    let refused = [
        ("/v1/nothing", String::new(), None),
        (
            "/v1/billing/credit_grants",
            format!("{grant}&colour=red"),
            Some("colour"),
        ),
        (
            "/v1/billing/credit_grants",
            format!("{grant}&priority=high"),
            Some("priority"),
        ),
        (
            "/v1/billing/credit_grants",
            format!("{grant}&category=gift"),
            Some("category"),
        ),
        (
            "/v1/billing/credit_grants",
            format!("customer={customer}"),
            Some("amount"),
        ),
        (
            "/v1/payment_intents",
            "amount=1&currency=usd&confirm=yes".to_owned(),
            Some("confirm"),
        ),
        (
            "/v1/payment_intents",
            "amount=1&currency=usd&payment_method_types[0]=card".to_owned(),
            Some("payment_method_types"),
        ),
    ];
    for (path, form, param) in &refused {
        let (status, body) = api.post(path, form).await;
        assert_eq!(status, 400, "{path} {form}: {body}");
        assert_eq!(body["error"]["type"], "invalid_request_error");
        assert_eq!(body["error"]["param"].as_str(), *param, "{body}");
    }
    assert_eq!(api.fake.violations().len(), refused.len());
    assert!(api.fake.world().all("billing.credit_grant").next().is_none());
}

#[tokio::test]
async fn metadata_has_limits() {
    let api = Api::start().await;
    let (status, _) = api
        .post("/v1/customers", &format!("metadata[{}]=1", "k".repeat(41)))
        .await;
    assert_eq!(status, 400);
    let (status, _) = api
        .post("/v1/customers", &format!("metadata[k]={}", "v".repeat(501)))
        .await;
    assert_eq!(status, 400);
    let (status, body) = api.post("/v1/customers", "metadata[a]=1&metadata[b]=2").await;
    assert_eq!((status, &body["metadata"]), (200, &json!({"a": "1", "b": "2"})));
    let id = body["id"].as_str().unwrap();
    let (_, body) = api
        .post(&format!("/v1/customers/{id}"), "metadata[a]=&metadata[c]=3")
        .await;
    assert_eq!(body["metadata"], json!({"b": "2", "c": "3"}));
}

#[tokio::test]
async fn one_key_is_one_call() {
    let api = Api::start().await;
    let customer = api.fake.customer(&[]);
    let form = format!("{GRANT}{customer}");
    let grants = "/v1/billing/credit_grants";
    let (_, first) = api.post_keyed(grants, &form, "k").await;
    let request = api
        .client()
        .post(grants, form.clone())
        .header("idempotency-key", "k");
    let mut answer = request.send().await;
    assert_eq!(answer.header("idempotent-replayed"), Some("true"));
    assert_eq!(answer.json().await, first);
    let (status, body) = api.post_keyed(grants, &format!("{form}&priority=3"), "k").await;
    assert_eq!(
        (status, &body["error"]["type"]),
        (400, &json!("idempotency_error"))
    );
    assert_eq!(api.fake.world().grants_of(&customer).len(), 1);
    let event = api.fake.world().events_of("billing.credit_grant.created")[0]
        .payload
        .clone();
    assert_eq!(event["request"]["idempotency_key"], "k");
    api.fake.advance(24 * 3600);
    let (_, later) = api.post_keyed(grants, &form, "k").await;
    assert_ne!(later["id"], first["id"], "a key lives for a day");
    api.fake.assert_clean();
}

#[tokio::test]
async fn a_500_is_kept_for_the_key_and_a_refused_form_is_not() {
    let api = Api::start().await;
    api.fake.fail("POST /v1/customers", 1, Fault::ErrorAfter);
    assert_eq!(api.post_keyed("/v1/customers", "name=n", "k").await.0, 500);
    assert_eq!(api.post_keyed("/v1/customers", "name=n", "k").await.0, 500);
    assert_eq!(
        api.fake.world().all("customer").count(),
        1,
        "it was done all the same"
    );
    assert_eq!(api.post_keyed("/v1/customers", "nome=n", "j").await.0, 400);
    assert_eq!(api.post_keyed("/v1/customers", "name=n", "j").await.0, 200);
}

#[tokio::test]
async fn two_calls_of_one_key_at_a_time_are_a_conflict() {
    let api = Api::start().await;
    api.fake
        .fail("POST /v1/customers", 1, Fault::Slow(Duration::from_secs(1)));
    let first = api.post_keyed("/v1/customers", "name=n", "k");
    let second = async {
        while api.fake.calls().is_empty() || api.fake.world().all("customer").next().is_none() {
            tokio::task::yield_now().await;
        }
        api.post_keyed("/v1/customers", "name=n", "k").await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((first.0, second.0), (200, 409));
    assert_eq!(api.post_keyed("/v1/customers", "name=n", "k").await, first);
}

#[tokio::test]
async fn a_call_that_hangs_may_be_done_or_not() {
    let api = Api::start().await;
    for (fault, done) in [
        (Fault::HangBefore, 0),
        (Fault::HangAfter, 1),
        (Fault::CloseBefore, 1),
        (Fault::CloseAfter, 2),
    ] {
        api.fake.fail("POST /v1/customers", 1, fault);
        let request = api.client().post("/v1/customers", "name=n");
        let request = request.header("idempotency-key", &format!("{fault:?}"));
        let answer = tokio::time::timeout(Duration::from_millis(300), request.try_send()).await;
        assert!(!matches!(answer, Ok(Ok(_))), "{fault:?}: {answer:?}");
        assert_eq!(api.fake.world().all("customer").count(), done, "{fault:?}");
    }
    let (status, body) = api.post_keyed("/v1/customers", "name=n", "HangAfter").await;
    assert_eq!((status, &body["id"]), (200, &json!("cus_fake000001")));
    api.fake.fail("GET", 1, Fault::Status(500, Some(false)));
    let answer = api.client().get("/v1/events").send().await;
    assert_eq!(
        (answer.status(), answer.header("stripe-should-retry")),
        (500, Some("false"))
    );
    api.fake.fail("GET", 1, Fault::Garbled);
    let mut answer = api.client().get("/v1/events").send().await;
    assert_eq!(
        (answer.status(), answer.bytes().await.first()),
        (200, Some(&b'<'))
    );
    api.fake.fail("GET", 1, Fault::RateLimited);
    let answer = api.client().get("/v1/events").send().await;
    assert_eq!(answer.status(), 429);
    assert_eq!(answer.header("stripe-rate-limited-reason"), Some("global-rate"));
}

#[tokio::test]
async fn lists_have_pages_and_objects_expand() {
    let api = Api::start().await;
    for _ in 0..5 {
        api.fake.customer(&[]);
        api.fake.advance(10);
    }
    let (_, first) = api.get("/v1/events?limit=2&types[0]=customer.created").await;
    assert_eq!(
        (first["data"].as_array().unwrap().len(), &first["has_more"]),
        (2, &json!(true))
    );
    let last = first["data"][1]["id"].as_str().unwrap();
    let (_, next) = api
        .get(&format!("/v1/events?limit=2&starting_after={last}"))
        .await;
    let middle = next["data"][0]["id"].as_str().unwrap();
    let (_, back) = api
        .get(&format!("/v1/events?limit=2&ending_before={middle}"))
        .await;
    assert_eq!(back["data"], first["data"]);
    let start = crate::stripe::fake::START;
    let (_, late) = api.get(&format!("/v1/events?created[gte]={}", start + 30)).await;
    assert_eq!(late["data"].as_array().unwrap().len(), 2);
    let (_, one) = api.get(&format!("/v1/events/{last}")).await;
    assert_eq!(one, first["data"][1]);
    let customer = api.fake.customer(&[]);
    let (_, grant) = api
        .post(
            "/v1/billing/credit_grants",
            &format!("{GRANT}{customer}&expand[0]=customer"),
        )
        .await;
    assert_eq!(grant["customer"]["object"], "customer");
    assert_eq!(api.get("/v1/customers/cus_none").await.0, 404);
    api.fake.assert_clean();
}
