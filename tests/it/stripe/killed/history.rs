//! Many customers at once, who buy, use, and are paid back, while the gate is killed at any step, also of its own start. What Stripe has in the end is what they have.

use http::Method;
use serde_json::{Value, json};

use super::super::fake::chance::Chance;
use super::super::fake::{Card, Delivering};
use super::flows::{Flow, micros};
use super::steps::Side;
use super::{Stage, seed};
use crate::rig::body::RigBody;

/// So often something is done.
const STEPS: usize = 60;

/// Each kill is at most so many steps of the gate after the one before.
const APART: usize = 60;

struct History {
    stage: Stage,
    chance: Chance,
    /// Their keys by their accounts, which sell packs.
    buyers: Vec<(String, String)>,
    kills: usize,
}

impl History {
    async fn open(mode: &str, seed: u64) -> History {
        let stage = Box::pin(Stage::of(Flow::TopUp, mode, true)).await;
        let mut buyers = Vec::new();
        for nth in 0..3 {
            let who = Box::pin(Flow::TopUp.begin(&stage, nth)).await;
            let ask = json!({"pack": "starter", "below": "5"}).to_string();
            let put = stage.till.shop.client(&who.key);
            let put = put.request(Method::PUT, "/faregate/v1/top-up");
            assert_eq!(put.body(RigBody::whole(ask)).send().await.status(), 200);
            buyers.push((who.account, who.key));
        }
        stage.rest().await;
        History {
            stage,
            chance: Chance::new(seed),
            buyers,
            kills: 0,
        }
    }

    /// The next kill is at some step not far away.
    fn arm(&mut self) {
        let side = *self.chance.pick(&[Side::Before, Side::After]);
        self.stage.steps.count(Some((1 + self.chance.below(APART), side)));
    }

    /// Something is done, and perhaps the gate dies of it.
    async fn step(&mut self) {
        let (act, seed) = (self.chance.below(10), self.chance.next());
        let at = self.chance.below(self.buyers.len());
        let (account, key) = self.buyers[at].clone();
        let stage = &self.stage;
        let done = async {
            match act {
                0..=3 => drop(
                    stage
                        .till
                        .shop
                        .client(&key)
                        .post_json("/v1/rerank", &json!({}))
                        .try_send()
                        .await,
                ),
                4 => buy(stage, &key, seed).await,
                5 => refund(stage, &account, seed),
                6 => {
                    let sync = stage.till.shop.faregate.cli(["stripe", "sync"]);
                    drop(sync.run().await);
                }
                _ => drop(stage.till.stripe.deliver(&Delivering::badly(seed)).await),
            }
        };
        let struck = stage.struck();
        let killed = tokio::select! {
            biased;
            () = stage.held(struck) => true,
            () = Box::pin(done) => false,
        };
        if killed {
            self.kill().await;
        }
    }

    /// Until one lives long enough to be ready.
    async fn kill(&mut self) {
        loop {
            self.kills += 1;
            self.stage.die().await;
            self.arm();
            let struck = self.stage.struck();
            self.stage.till.shop.faregate.kill9_and_restart();
            let stage = &self.stage;
            tokio::select! {
                biased;
                () = stage.held(struck) => {}
                () = stage.till.shop.faregate.wait_ready() => return,
            }
        }
    }

    /// Each payment of 10 dollars is a lot of 11 credits, less what of it was paid back.
    async fn check(&self) {
        for (account, _) in &self.buyers {
            let nothing_held = |found: &Value| found["held"] == "0.000000";
            let found = self.stage.until(account, "nothing is held", nothing_held).await;
            let (paid, back, payments) = self.moved(account);
            let wanted = (paid - back) * 11_000 - micros(&found["spent"]);
            assert_eq!(
                micros(&found["available"]),
                wanted,
                "{paid} - {back} cents: {found:#}"
            );
            let lots = found["grants"].as_array().expect("grants");
            assert!(lots.len() <= payments, "{payments} payments: {found:#}");
        }
    }

    /// Cents that an account has paid, those that were paid back, and in how many payments.
    fn moved(&self, account: &str) -> (i64, i64, usize) {
        let world = self.stage.till.stripe.world();
        let mine = |payment: &&Value| {
            payment["metadata"]["faregate_account"] == account && payment["amount_received"] != 0
        };
        let (mut paid, mut back, mut payments) = (0, 0, 0);
        for payment in world.all("payment_intent").filter(mine) {
            let charge = world.object(payment["latest_charge"].as_str().expect("a charge"));
            paid += charge["amount"].as_i64().expect("an amount");
            back += charge["amount_refunded"].as_i64().expect("an amount");
            payments += 1;
        }
        (paid, back, payments)
    }
}

/// Opens a page and pays, as far as the gate lives.
async fn buy(stage: &Stage, key: &str, seed: u64) {
    let client = stage.till.shop.client(key);
    let ask = client.post_json("/faregate/v1/checkout", &json!({"pack": "starter"}));
    let Ok(mut answer) = ask.header("idempotency-key", &seed.to_string()).try_send().await else {
        return;
    };
    let page = answer.json().await;
    let Some(session) = page["id"].as_str() else {
        return;
    };
    stage.till.stripe.buy(session, &Card::good());
    if seed.is_multiple_of(2) {
        let look = format!("/faregate/v1/checkout/{session}");
        drop(client.get(&look).try_send().await);
    }
}

/// Half of what is left of a payment is paid back.
fn refund(stage: &Stage, account: &str, seed: u64) {
    let mut world = stage.till.stripe.world();
    let charges: Vec<(String, i64)> = world
        .all("payment_intent")
        .filter(|payment| payment["metadata"]["faregate_account"] == account)
        .filter_map(|payment| payment["latest_charge"].as_str())
        .map(|charge| world.object(charge))
        .map(|charge| {
            let number = |field: &str| charge[field].as_i64().expect("an amount");
            let id = charge["id"].as_str().expect("an id").to_owned();
            (id, number("amount") - number("amount_refunded"))
        })
        .filter(|(_, left)| *left >= 500)
        .collect();
    if !charges.is_empty() {
        let (charge, _) = Chance::new(seed).pick(&charges).clone();
        world.refund(&charge, 500);
    }
}

async fn live(mode: &str, seed: u64) {
    let mut history = History::open(mode, seed).await;
    history.arm();
    for _ in 0..STEPS {
        history.step().await;
    }
    history.stage.steps.stop();
    Box::pin(history.stage.kill()).await;
    // What was lost on the way is found.
    let sync = || history.stage.till.shop.faregate.cli(["stripe", "sync", "--json"]);
    sync().run().await;
    history.stage.rest().await;
    let report = sync().run().await.ok().json();
    assert_eq!(
        (&report["drift"], &report["parked"]),
        (&json!([]), &json!(0)),
        "{report:#}"
    );
    history.stage.rest().await;
    history.check().await;
    history.stage.till.stripe.assert_clean();
    history.stage.till.shop.verify().await;
    println!("mode {mode}, seed {seed}: {} kills", history.kills);
    assert!(history.kills > 0);
}

#[tokio::test]
async fn whenever_it_is_killed_where_payments_credit() {
    live("ledger", seed()).await;
}

#[tokio::test]
async fn whenever_it_is_killed_where_grants_credit() {
    live("grants", seed()).await;
}
