//! A gate killed between every two steps of what moves money. A step is a call to Stripe, or a message to the ledger's Redis that writes; the gate dies with it
//! on its way, or done and not answered. Another one goes on with the same ledger, Stripe sends again what was not taken, and in the end what was paid at the fake
//! is credited here, once.
//!
//! Some steps of each flow are tried, by a seeded chance; all of them with `FAREGATE_KILLS=all`, others with any other number there.

mod flows;
mod history;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use faregate::clock::SystemClock;
use faregate::domain::time::Timestamp;
use faregate::ledger::embedded::{self, EmbeddedLedger};
use faregate::ledger::memos::{Kept, Memo, MemoName, Memos, Wrote};
use faregate::ledger::redis::{self, Network, RedisLedger};
use serde_json::{Value, json};

use super::fake::Delivering;
use super::fake::chance::Chance;
use super::till::{Setup, Till};
use crate::rig::fault::{Cut, FaultProxy};
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::{PATIENCE, within, within_time};
use flows::{Flow, Who};
use steps::{Side, Steps};

/// So many kills of each flow, unless all are asked for.
const KILLS: usize = 3;

/// So many runs share a ledger: to look at all customers takes the gate longer the more there are.
const BUYERS_MAX: usize = 6;

/// More steps than any flow has.
const STEPS_MAX: usize = 400;

const KINDS: [&str; 12] = [
    "grant",
    "purchase",
    "invoice",
    "customer",
    "fraud_warning",
    "review",
    "top_up",
    "usage",
    "report",
    "setup",
    "test_charge",
    "verify",
];

/// A Redis, and the way to it that the gate takes.
struct Store {
    redis: RedisServer,
    wire: FaultProxy,
}

/// A gate, its Stripe, and what watches its steps.
pub(super) struct Stage {
    till: Till,
    /// None: it has an embedded ledger.
    store: Option<Store>,
    steps: Arc<Steps>,
}

impl Stage {
    async fn open(setup: Setup, on_redis: bool) -> Stage {
        let (store, ledger) = if on_redis {
            let redis = RedisServer::start(RedisOptions::default().persistence(Persistence::EverySec)).await;
            let wire = FaultProxy::start(redis.addr()).await;
            let url = format!("redis://{}", wire.addr());
            let ledger =
                format!("backend = \"redis\"\nurl = \"{url}\"\ntimeout = \"10s\"\nhold_ttl = \"2s\"");
            (Some(Store { redis, wire }), &*Box::leak(ledger.into_boxed_str()))
        } else {
            let ledger = format!("{}\nhold_ttl = \"2s\"", setup.ledger);
            (None, &*Box::leak(ledger.into_boxed_str()))
        };
        let till = Till::open(Setup { ledger, ..setup }).await;
        let steps = Steps::of(&till.stripe, store.as_ref().map(|store| &store.wire));
        Stage { till, store, steps }
    }

    /// One that is at rest.
    async fn of(flow: Flow, mode: &str, on_redis: bool) -> Stage {
        let stage = Stage::open(flow.setup(mode), on_redis).await;
        stage.check(flow, &Who::nobody()).await;
        stage
    }

    /// What is remembered; past the gate, which must be gone where the ledger is embedded.
    async fn memos(&self) -> Box<dyn Memos> {
        if let Some(store) = &self.store {
            let network = Arc::new(Network::new(None).expect("a network"));
            let options = redis::Options {
                attempt: PATIENCE,
                patience: PATIENCE,
                ..redis::Options::new(vec![store.redis.url()], network, 7)
            };
            return Box::new(RedisLedger::open(options).await.expect("a ledger"));
        }
        let folder = self.till.shop.faregate.dir().join("ledger");
        let ledger = EmbeddedLedger::open(embedded::Options::new(folder), Arc::new(SystemClock));
        Box::new(ledger.expect("a ledger"))
    }

    /// An account, as the operator sees it; null where there is none.
    async fn account(&self, id: &str) -> Value {
        let admin = self.till.shop.faregate.admin_client();
        let answer = admin.get(&format!("/admin/v1/accounts/{id}")).try_send().await;
        match answer {
            Ok(mut answer) if answer.status() == 200 => answer.json().await,
            _ => Value::Null,
        }
    }

    /// An account once it is as wanted.
    async fn until(&self, id: &str, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let look = async {
            loop {
                last = self.account(id).await;
                if wanted(&last) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let seen = tokio::time::timeout(PATIENCE / 2, look).await;
        assert!(
            seen.is_ok(),
            "{id}: {what}, but {last:#}\n{}",
            self.till.shop.faregate.process().said()
        );
        last
    }

    async fn has(&self, id: &str, available: &str) -> Value {
        let is = |account: &Value| account["available"] == available && account["held"] == "0.000000";
        self.until(id, &format!("has {available}"), is).await
    }

    /// Sends what Stripe has not been able to send, until there is nothing more.
    async fn deliver(&self) {
        within("all events to be taken", async {
            while self.till.stripe.has_undelivered() {
                self.till.stripe.deliver(&Delivering::well()).await;
            }
        })
        .await;
    }

    /// Until the gate has nothing to do any more, and Stripe nothing to tell.
    async fn rest(&self) {
        if self.store.is_none() {
            self.deliver().await;
            return;
        }
        let memos = self.memos().await;
        let mut due = Vec::new();
        let rest = async {
            loop {
                self.deliver().await;
                due = all_due(&*memos).await;
                if due.is_empty() && !self.till.stripe.has_undelivered() {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let rested = tokio::time::timeout(PATIENCE / 2, rest).await;
        assert!(
            rested.is_ok(),
            "it does not come to rest: {due:#?}\n{}",
            self.till.shop.faregate.process().said()
        );
    }

    /// Until a step is held.
    async fn held(&self, struck: u64) {
        let Some(store) = &self.store else {
            return self.steps.is_held().await;
        };
        tokio::select! {
            () = self.steps.is_held() => {}
            _ = store.wire.wait_for("a message to be held", |counts| counts.struck > struck) => {}
        }
    }

    /// How many messages to Redis were held so far.
    fn struck(&self) -> u64 {
        self.store.as_ref().map_or(0, |store| store.wire.counts().struck)
    }

    /// The gate dies, and another one starts.
    async fn kill(&mut self) {
        self.die().await;
        let faregate = &mut self.till.shop.faregate;
        faregate.kill9_and_restart();
        faregate.wait_ready().await;
    }

    /// The gate dies. What it has sent and did not arrive is gone; so much time passes that nobody waits for it any more.
    async fn die(&mut self) {
        let faregate = &mut self.till.shop.faregate;
        faregate.process_mut().kill9();
        if let Some(store) = &self.store {
            store.wire.cut(Cut::Reset).await;
            store.wire.thaw();
        }
        outlast(&*self.memos().await).await;
    }

    /// One run, killed at a step where one is given; the steps up to there, and whether it was.
    async fn run(&mut self, flow: Flow, nth: usize, hold: Option<(usize, Side)>) -> (Vec<String>, bool) {
        let who = Box::pin(flow.begin(self, nth)).await;
        self.rest().await;
        let struck = self.struck();
        self.steps.count(hold);
        let done = async {
            Box::pin(flow.act(self, &who)).await;
            self.rest().await;
        };
        let killed = tokio::select! {
            biased;
            () = self.held(struck) => true,
            () = done => false,
        };
        let seen = self.steps.stop();
        if killed {
            self.kill().await;
            within_time(
                2 * PATIENCE,
                "the flow after the kill",
                Box::pin(flow.act(self, &who)),
            )
            .await;
        }
        self.rest().await;
        self.check(flow, &who).await;
        (seen, killed)
    }

    /// What was paid is credited, once, and nothing differs.
    async fn check(&self, flow: Flow, who: &Who) {
        Box::pin(flow.check(self, who)).await;
        let sync = self.till.shop.faregate.cli(["stripe", "sync", "--json"]);
        let report = sync.run().await.ok().json();
        assert_eq!(
            (&report["ok"], &report["drift"], &report["parked"]),
            (&json!(true), &json!([]), &json!(0)),
            "{report:#}"
        );
        self.rest().await;
        Box::pin(flow.check(self, who)).await;
        self.till.stripe.assert_clean();
    }
}

/// What is due at any time.
async fn all_due(memos: &dyn Memos) -> Vec<(MemoName, Kept)> {
    let mut all = Vec::new();
    for kind in KINDS {
        let mut cursor: Option<String> = None;
        loop {
            let page = memos.memos(kind, cursor.as_deref(), 1_000).await.expect("memos");
            let due = |(_, kept): &(MemoName, Kept)| kept.memo.due < Timestamp::NEVER;
            all.extend(page.items.into_iter().filter(due));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
    }
    all
}

/// Time passes for a gate that is dead: what it had taken for itself is anybody's again.
async fn outlast(memos: &dyn Memos) {
    for (name, kept) in all_due(memos).await {
        let memo = Memo {
            due: Timestamp::ZERO,
            ..kept.memo
        };
        let wrote = memos.write_memo(&name, kept.version, &memo).await;
        assert!(matches!(wrote, Ok(Wrote::Done { .. })), "{name}: {wrote:?}");
    }
    let lease = MemoName::new("sync", "lease").expect("a name");
    if let Some(kept) = memos.memo(&lease).await.expect("a memo") {
        let memo = Memo {
            forget_at: Timestamp::ZERO,
            ..kept.memo
        };
        let wrote = memos.write_memo(&lease, kept.version, &memo).await;
        assert!(matches!(wrote, Ok(Wrote::Done { .. })), "{wrote:?}");
    }
}

/// All steps are asked for.
fn is_all() -> bool {
    std::env::var("FAREGATE_KILLS").as_deref() == Ok("all")
}

/// Which chance is asked for.
fn seed() -> u64 {
    let asked = std::env::var("FAREGATE_KILLS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Which steps the gate is killed at: all, or some of so many.
fn chosen(steps: usize, number: u64) -> Option<BTreeSet<(usize, bool)>> {
    if is_all() {
        return None;
    }
    let mut chance = Chance::new(number ^ seed().wrapping_mul(0x9e37));
    let some = (0..KILLS).map(|_| (1 + chance.below(steps.max(1)), chance.percent(50)));
    Some(some.collect())
}

/// Runs a flow to its end, then again and again, each time killed at another step.
async fn sweep(flow: Flow, mode: &str, on_redis: bool) {
    let mut stage = Box::pin(Stage::of(flow, mode, on_redis)).await;
    let (steps, _) = Box::pin(stage.run(flow, 0, None)).await;
    let (mut nth, mut kills) = (0, 0);
    let number = 7 * steps.len() as u64 + u64::from(on_redis);
    for (number, after) in chosen(steps.len(), number).unwrap_or_else(all) {
        nth += 1;
        if nth % BUYERS_MAX == 0 {
            stage.till.shop.verify().await;
            stage = Box::pin(Stage::of(flow, mode, on_redis)).await;
        }
        let side = if after { Side::After } else { Side::Before };
        println!("{flow:?} in mode {mode}: killed at step {number}, {side:?}");
        let (seen, killed) = Box::pin(stage.run(flow, nth, Some((number, side)))).await;
        if !killed && is_all() {
            break;
        }
        kills += usize::from(killed);
        println!("  {}", seen.last().map_or("", |last| last.as_str()));
    }
    println!(
        "{flow:?} in mode {mode}: {kills} kills, {} steps: {steps:#?}",
        steps.len()
    );
    assert!(kills > 0, "{flow:?} in mode {mode}: {} steps", steps.len());
    stage.till.shop.verify().await;
}

fn all() -> BTreeSet<(usize, bool)> {
    (1..STEPS_MAX)
        .flat_map(|number| [(number, false), (number, true)])
        .collect()
}

macro_rules! killed {
    ($($name:ident: $flow:ident, $mode:literal, $on_redis:literal;)*) => {$(
        #[tokio::test]
        async fn $name() {
            sweep(Flow::$flow, $mode, $on_redis).await;
        }
    )*};
}

killed! {
    a_purchase_where_payments_credit: Purchase, "ledger", true;
    a_purchase_where_grants_credit: Purchase, "grants", true;
    a_purchase_on_an_embedded_ledger: Purchase, "grants", false;
    grants_that_are_made_voided_and_ended_at_stripe: Grants, "grants", true;
    a_payment_its_dispute_and_its_refund: Webhooks, "ledger", true;
    a_top_up_where_payments_credit: TopUp, "ledger", true;
    a_top_up_where_grants_credit: TopUp, "grants", true;
    a_top_up_on_an_embedded_ledger: TopUp, "ledger", false;
    a_slice_of_a_credit_line: Slice, "ledger", true;
    usage_that_is_told: Export, "grants", true;
    usage_that_is_told_on_an_embedded_ledger: Export, "grants", false;
    what_no_event_told_where_payments_credit: Sync, "ledger", true;
    what_no_event_told_where_grants_credit: Sync, "grants", true;
}
