//! Webhooks: signatures, and what may happen on the way.

use serde_json::{Value, json};

use super::Api;
use crate::rig::upstream::{FakeUpstream, Reply};
use crate::stripe::fake::Delivering;
use crate::stripe::fake::webhook::signature;

const VECTORS: &str = include_str!("../../../../fixtures/stripe/signature-vectors.json");

#[test]
fn signatures_are_those_of_the_vectors() {
    let vectors: Value = serde_json::from_str(VECTORS).unwrap();
    let mut seen = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let text = |field: &str| vector[field].as_str().unwrap_or_default();
        let one_good_secret = vector["secrets"]
            .as_array()
            .is_some_and(|secrets| secrets.len() == 1);
        if vector["expect"] != "ok" || !one_good_secret || text("header").matches("v1=").count() != 1 {
            continue;
        }
        let header = text("header");
        let time = header
            .split(',')
            .find_map(|part| part.strip_prefix("t="))
            .unwrap();
        let secrets = vec![vector["secrets"][0].as_str().unwrap().to_owned()];
        let own = signature(time.parse().unwrap(), text("body"), &secrets);
        let v1 = own.split(',').find(|part| part.starts_with("v1=")).unwrap();
        assert!(header.contains(v1), "{}: {own} is not {header}", vector["name"]);
        seen += 1;
    }
    assert!(seen > 2, "only {seen} vectors fit");
}

#[tokio::test]
async fn a_webhook_is_the_event_signed_with_every_secret() {
    let api = Api::start().await;
    let gate = FakeUpstream::start().await;
    api.fake.deliver_to(gate.addr(), "/faregate/stripe/webhook");
    api.fake.sign_with(&["whsec_new", "whsec_old"]);
    api.fake.customer(&[]);
    let done = api.fake.deliver_all().await;
    assert_eq!(done.len(), 1);
    assert_eq!(done[0].status, Some(200));
    let came = gate.next_request().await;
    let event = api.fake.world().events()[0].payload.clone();
    assert_eq!(came.json(), event);
    let body = event.to_string();
    let now = api.fake.world().now();
    let secrets = ["whsec_new".to_owned(), "whsec_old".to_owned()];
    assert_eq!(
        came.header("stripe-signature"),
        Some(signature(now, &body, &secrets).as_str())
    );
    let (_, listed) = api.get("/v1/events?delivery_success=true").await;
    assert_eq!(listed["data"][0]["pending_webhooks"], 0);
    assert!(api.fake.take_undelivered().is_empty());
}

#[tokio::test]
async fn a_refused_webhook_comes_again() {
    let api = Api::start().await;
    let gate = FakeUpstream::start().await;
    api.fake.deliver_to(gate.addr(), "/hook");
    api.fake.customer(&[]);
    gate.answer(Reply::status(503));
    let done = api.fake.deliver(&Delivering::well()).await;
    assert_eq!(
        done.iter().map(|one| one.status).collect::<Vec<_>>(),
        [Some(503); 3]
    );
    let (_, listed) = api.get("/v1/events?delivery_success=false").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    gate.answer(Reply::status(200));
    assert_eq!(api.fake.deliver_all().await.len(), 1);
}

#[tokio::test]
async fn a_bad_round_is_the_same_for_the_same_seed() {
    let mut rounds = Vec::new();
    for _ in 0..2 {
        let api = Api::start().await;
        let gate = FakeUpstream::start().await;
        api.fake.deliver_to(gate.addr(), "/hook");
        for _ in 0..60 {
            api.fake.customer(&[]);
        }
        let done = api.fake.deliver(&Delivering::badly(3)).await;
        assert!(done.iter().any(|one| one.forged));
        assert!(
            !done
                .iter()
                .filter(|one| !one.forged)
                .map(|one| &one.event)
                .is_sorted()
        );
        let sent = |event: &str| {
            done.iter()
                .filter(|one| one.event == event && !one.forged)
                .count()
        };
        let counts: Vec<usize> = api
            .fake
            .world()
            .events()
            .iter()
            .map(|event| sent(&event.id))
            .collect();
        assert!(
            counts.contains(&0) && counts.contains(&1) && counts.contains(&2),
            "{counts:?}"
        );
        rounds.push(done);
    }
    assert_eq!(rounds[0], rounds[1]);
}

#[tokio::test]
async fn an_event_may_never_come_to_be() {
    let api = Api::start().await;
    api.fake.world().never_generate("customer.created", 1);
    api.fake.customer(&[]);
    api.fake.customer(&[]);
    let (_, listed) = api.get("/v1/events").await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1);
    let taken = api.fake.take_undelivered();
    assert_eq!(
        serde_json::from_str::<Value>(&taken[0].body).unwrap()["type"],
        json!("customer.created")
    );
}

#[tokio::test]
async fn only_what_is_subscribed_is_sent() {
    let api = Api::start().await;
    let gate = FakeUpstream::start().await;
    api.fake.deliver_to(gate.addr(), "/hook");
    api.fake.subscribe(&[
        "payment_method.*",
        "v2.core.health.event_generation_failure.resolved",
    ]);
    let customer = api.fake.customer(&[]);
    api.fake
        .attach_card(&customer, &crate::stripe::fake::Card::good());
    api.fake.world().tell_of_lost_events();
    let done = api.fake.deliver_all().await;
    let kinds: Vec<&str> = done.iter().map(|one| one.kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "payment_method.attached",
            "v2.core.health.event_generation_failure.resolved"
        ]
    );
    api.fake.skew(-400);
    let again = api.fake.resend(&done[0].event).await;
    assert_eq!(again.status, Some(200));
    let sent = gate.requests().pop().unwrap();
    let stale = format!("t={},", crate::stripe::fake::START - 400);
    assert!(sent.header("stripe-signature").unwrap().starts_with(&stale));
}

#[tokio::test]
async fn in_real_time_the_world_goes_on_from_where_a_test_moved_it() {
    let fake = crate::stripe::fake::FakeStripe::start(crate::stripe::fake::Options::real_time()).await;
    let begin = fake.world().now();
    fake.advance(5000);
    let moved = fake.world().now();
    assert!((begin + 5000..begin + 5060).contains(&moved), "{begin} {moved}");
    let customer = fake.customer(&[]);
    let grant = fake.grant(&customer, 700);
    assert_eq!(fake.newest("billing.credit_grant"), Some(fake.object(&grant)));
    let signed = fake.take_undelivered().pop().unwrap();
    let time: i64 = signed.headers[1].1[2..]
        .split(',')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    assert!(time < begin + 4000, "signed by the machine's clock");
}

#[tokio::test]
async fn copies_can_arrive_at_the_same_time() {
    let api = Api::start().await;
    let gate = FakeUpstream::start().await;
    api.fake.deliver_to(gate.addr(), "/hook");
    api.fake.customer(&[]);
    let door = crate::rig::upstream::Gate::new();
    gate.answer(Reply::status(200).when(&door));
    let how = Delivering {
        repeated: 100,
        together: 2,
        ..Delivering::well()
    };
    let both = async {
        gate.next_request().await;
        gate.next_request().await;
        door.open();
    };
    let (done, ()) = tokio::join!(api.fake.deliver(&how), both);
    assert_eq!(done.len(), 2);
    assert_eq!(done[0], done[1]);
}
