//! A proxy killed between what Redis has done for it and Redis' answer: a fault proxy keeps the answers back, so that the kill hits just there.

use serde_json::Value;
use tokio::task::JoinHandle;

use super::{PRICE, charged_at_last, charged_what_was_served, ledger, metric, micros, patient, redis};
use crate::product::shop::{ROUTES, Shop};
use crate::rig::client::HttpConn;
use crate::rig::fault::FaultProxy;
use crate::rig::process::Faregate;
use crate::rig::redis::RedisServer;
use crate::rig::upstream::{Gate, Reply};
use crate::rig::{within, within_time};

/// Long enough for the witness to look, short enough to wait for.
const HOLD_TTL: &str = "hold_ttl = \"4s\"";

/// A hold's end after its proxy's: `hold_ttl`, a sweep, and what a busy machine adds.
const BY_TIME: std::time::Duration = std::time::Duration::from_secs(12);

/// A proxy that asks Redis through a fault proxy, and another one that asks it directly.
struct Stage {
    _redis: RedisServer,
    wire: FaultProxy,
    shop: Shop,
    witness: Faregate,
    /// One connection, so one worker, which knows the key.
    conn: HttpConn,
}

impl Stage {
    async fn set() -> Stage {
        let redis = redis().await;
        let wire = FaultProxy::start(redis.addr()).await;
        let through = format!(
            "backend = \"redis\"\nurl = \"redis://{}\"\n{HOLD_TTL}",
            wire.addr()
        );
        let shop = Shop::with(&patient(&through), ROUTES).await;
        let direct = format!("{}\n{HOLD_TTL}", ledger(&redis));
        let witness = shop.second(&direct, ROUTES).await;
        let key = shop.customer("acme", "1").await;
        let conn = shop.client(&key).connect().await;
        assert_eq!(conn.post("/v1/rerank", "{}").send().await.status(), 200);
        shop.settled("acme").await;
        Stage {
            _redis: redis,
            wire,
            shop,
            witness,
            conn,
        }
    }

    /// Sends a request; its status, none where there was no answer.
    fn buy(&self) -> JoinHandle<Option<u16>> {
        let sending = self.conn.post("/v1/rerank", "{}").try_send();
        tokio::spawn(async move { sending.await.ok().map(|answer| answer.status()) })
    }

    /// What the witness sees of the account once so much is held and spent, in micro-credits.
    async fn sees(&self, held: u64, spent: u64) -> Value {
        within_time(BY_TIME, format!("{held} held, {spent} spent"), async {
            loop {
                let show = self.witness.cli(["account", "show", "acme", "--json"]);
                let account = show.run().await.ok().json();
                if (micros(&account["held"]), micros(&account["spent"])) == (held, spent) {
                    return account;
                }
            }
        })
        .await
    }

    /// Kills the proxy, lets the wire go on, and starts it again.
    async fn kill(&mut self) {
        self.shop.faregate.process_mut().kill9();
        self.wire.thaw();
        self.shop.faregate.kill9_and_restart();
        self.shop.faregate.wait_ready().await;
    }
}

#[tokio::test]
async fn a3_killed_after_its_hold_was_opened_and_before_it_knew_the_credits_come_back() {
    let mut stage = Stage::set().await;
    stage.wire.mute();
    let buying = stage.buy();
    stage.sees(PRICE, PRICE).await;
    assert!(!buying.is_finished());
    stage.kill().await;
    assert_eq!(buying.await.unwrap(), None, "the client saw the connection break");
    let account = stage.sees(0, PRICE).await;
    assert_eq!(account["available"], "0.750000");
    assert_eq!(stage.shop.upstream.reached(), 1, "nothing was forwarded");
    charged_what_was_served(&stage.shop, "acme", PRICE).await;
}

#[tokio::test]
async fn a4_killed_after_its_capture_was_done_and_before_it_knew_it_is_charged_once() {
    let mut stage = Stage::set().await;
    let answer = Gate::new();
    stage.shop.upstream.answer_next(Reply::ok("late").when(&answer));
    let buying = stage.buy();
    within("the request gets through", async {
        while stage.shop.upstream.reached() < 2 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    })
    .await;
    stage.sees(PRICE, PRICE).await;
    stage.wire.mute();
    answer.open();
    stage.sees(0, 2 * PRICE).await;
    assert_eq!(buying.await.unwrap(), Some(200), "the client notices nothing");
    assert_eq!(metric(&stage.shop, "faregate_open_holds").await, 1.0);
    stage.kill().await;
    charged_what_was_served(&stage.shop, "acme", PRICE).await;
    charged_at_last(&stage.shop, "acme", 2).await;
}
