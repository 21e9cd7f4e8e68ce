//! The fake itself: it does what the reference says Stripe does.

use serde_json::Value;

use super::{FakeStripe, Options};
use crate::rig::client::HttpClient;

mod api;
mod billing;
mod fidelity;
mod grants;
mod histories;
mod hooks;
mod payments;

/// A fake, and a client of it that does everything right.
struct Api {
    fake: FakeStripe,
    keys: std::cell::Cell<u32>,
}

impl Api {
    async fn start() -> Api {
        let fake = FakeStripe::start(Options::default()).await;
        Api {
            fake,
            keys: std::cell::Cell::new(0),
        }
    }

    fn client(&self) -> HttpClient {
        let addr = self.fake.base().trim_start_matches("http://").parse().unwrap();
        HttpClient::new(addr)
            .bearer(self.fake.key())
            .header("stripe-version", super::world::API_VERSION)
            .header("content-type", "application/x-www-form-urlencoded")
    }

    async fn get(&self, target: &str) -> (u16, Value) {
        let mut answer = self.client().get(target).send().await;
        (answer.status(), answer.json().await)
    }

    /// A POST with a key of its own.
    async fn post(&self, target: &str, form: &str) -> (u16, Value) {
        self.keys.set(self.keys.get() + 1);
        self.post_keyed(target, form, &format!("test-{}", self.keys.get()))
            .await
    }

    async fn post_keyed(&self, target: &str, form: &str, key: &str) -> (u16, Value) {
        let request = self
            .client()
            .post(target, form.to_owned())
            .header("idempotency-key", key);
        let mut answer = request.send().await;
        (answer.status(), answer.json().await)
    }
}

/// Every event of the log has exactly the fields that the fixture of its type has.
fn same_fields_as_fixtures(world: &super::World) {
    let fields = |value: &Value| -> Vec<String> {
        let fields = value.as_object().into_iter().flatten();
        fields.map(|(name, _)| name.clone()).collect()
    };
    let fixtures = super::shapes::event_fixtures();
    for event in world.events() {
        let like = |fixture: &&Value| fixture["type"] == event.kind.as_str() && fixture["object"] == "event";
        let Some(fixture) = fixtures.iter().find(like) else {
            continue;
        };
        let payload = &event.payload;
        assert_eq!(fields(payload), fields(fixture), "{}", event.kind);
        assert_eq!(
            fields(&payload["data"]),
            fields(&fixture["data"]),
            "{}",
            event.kind
        );
        let (own, theirs) = (&payload["data"]["object"], &fixture["data"]["object"]);
        assert_eq!(fields(own), fields(theirs), "{}", event.kind);
        assert_eq!(
            fields(&payload["request"]),
            fields(&fixture["request"]),
            "{}",
            event.kind
        );
    }
}
