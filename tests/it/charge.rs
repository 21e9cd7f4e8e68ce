//! The charge task before every store: holds that grow. `wire` is a ledger whose line can be cut.

mod growing;
mod wire;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use faregate::clock::Clock;
use faregate::domain::credits::Credits;
use faregate::domain::entry::Detail;
use faregate::domain::price::Quote;
use faregate::domain::time::{Span, Timestamp};
use faregate::ledger::Ledger;
use faregate::service::charge::{Ending, Growth, Held};
use faregate::service::denial::Denial;
use faregate::service::gate::{Ask, Gate, GateOptions};
use faregate::service::plans::{Plan, Plans};
use faregate::service::request_ids::{RequestIds, kernel_entropy};
use faregate::telemetry::metrics::Metrics;

use crate::ledger::fixture::{Fixture, Fresh, TestClock};
use crate::ledger::moves::micros;
use crate::ledger::teller::Teller;
use crate::rig::within;
use wire::Wire;

/// How long a request, or a question for more, waits for the ledger.
const DEADLINE: Duration = Duration::from_secs(1);

/// How long a hold lives unless renewed.
const HOLD_TTL: Span = Span::from_secs(60);

/// A gate before a store.
struct Post {
    fresh: Fresh,
    wire: Arc<Wire>,
    gate: Arc<Gate>,
    metrics: Metrics,
    plans: Arc<Plans>,
}

/// The store's time, for the gate.
struct StoreTime(Arc<dyn TestClock>);

impl Clock for StoreTime {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
}

impl std::fmt::Debug for StoreTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoreTime")
    }
}

impl Post {
    async fn at(fixture: &dyn Fixture) -> Post {
        let fresh = fixture.fresh().await;
        let wire = Arc::new(Wire::new(Arc::clone(&fresh.ledger)));
        let clock = Arc::new(StoreTime(Arc::clone(&fresh.clock)));
        let metrics = Metrics::new(&[]).unwrap();
        let options = GateOptions {
            hold_ttl: HOLD_TTL,
            deadline: DEADLINE,
            requests_max: 1_000,
        };
        let ids = Arc::new(RequestIds::new(clock, kernel_entropy()));
        let ledger = Arc::clone(&wire) as Arc<dyn Ledger>;
        let gate = Arc::new(Gate::new(ledger, options, ids, Arc::clone(&metrics.ledger)));
        let plans = Plans::new(std::collections::HashMap::new(), Plan::default());
        Post {
            fresh,
            wire,
            gate,
            metrics,
            plans: Arc::new(plans),
        }
    }

    /// The account that all is about, opened with these micro-credits.
    async fn account(&self, credits: i64) -> Teller<'_> {
        let teller = Teller::open(&*self.fresh.ledger, &*self.fresh.clock, "acme").await;
        teller.grant("first", micros(credits)).await;
        teller
    }

    async fn admit(&self, amount: i64) -> Held {
        self.admit_by(0, amount).await
    }

    /// Through the account's `n`th key.
    async fn admit_by(&self, key: u8, amount: i64) -> Held {
        self.try_admit(key, amount).await.unwrap()
    }

    async fn try_admit(&self, key: u8, amount: i64) -> Result<Held, Denial> {
        let mut patience = self.gate.patience();
        let secret = format!("acme {key}");
        let known = self
            .gate
            .identify(&self.plans, secret.as_bytes(), &mut patience)
            .await?;
        let ask = Ask {
            request: self.gate.request_id(),
            route: "POST /v1/things",
            model: None,
            quote: Quote {
                least: micros(amount),
                most: micros(amount),
                tokens: 0,
            },
            claim: None,
            detail: Detail::none(),
            patience,
        };
        Ok(self.gate.admit(known, ask).await?.held)
    }

    /// Waits until all is settled; what is counted as held has then been charged or given back, whatever happened.
    async fn settled(&self) {
        within("everything to be settled", self.gate.settled()).await;
        let meters = &self.metrics.ledger;
        assert_eq!((meters.open_holds.get(), meters.lost.get()), (0, 0));
        let moved = ["held", "captured", "released", "overrun"].map(|what| self.counted(what));
        let [held, captured, released, overrun] = moved;
        assert_eq!(held + overrun, captured + released, "{moved:?}");
    }

    /// A counter of credits, in micro-credits.
    fn counted(&self, what: &str) -> i64 {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let name = format!("faregate_credits_{what}_total ");
        let value = text.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
        (value.parse::<f64>().unwrap() * 1e6).round() as i64
    }
}

/// Asks for more, and waits for the answer.
async fn more(held: &mut Held, least: i64, most: i64) -> Growth {
    held.grow(micros(least), micros(most));
    answer(held).await
}

async fn answer(held: &mut Held) -> Growth {
    within("an answer", poll_fn(|cx| held.poll_grown(cx))).await
}

fn capture(used: Credits) -> Ending {
    Ending::Capture(used, Detail::none())
}
