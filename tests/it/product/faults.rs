//! Rows of the failure matrix, through the whole product on a real Redis: what goes wrong, what a client sees meanwhile, and that the books are
//! right to the last credit afterwards. The fake model server is the witness: what it served is what may be charged.

mod away;
mod killed;
mod prices;
mod records;
mod refusals;
mod replies;
mod restarts;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::{JoinHandle, JoinSet};

use super::shop::{ROUTES, Shop};
use crate::rig::client::Answer;
use crate::rig::redis::{Persistence, RedisOptions, RedisServer};
use crate::rig::upstream::{Gate, Reply};
use crate::rig::within;

/// The price of most routes of [`ROUTES`], in micro-credits.
const PRICE: u64 = 250_000;

/// A client is told within this that the ledger is away: a second, and what a busy machine adds.
const SOON: Duration = Duration::from_millis(1_250);

fn ledger(redis: &RedisServer) -> String {
    format!("backend = \"redis\"\nurl = \"{}\"", redis.url())
}

/// What is asked there is whether everything is decided in the end, not how fast.
fn patient(ledger: &str) -> String {
    format!("{ledger}\ntimeout = \"10s\"")
}

/// A Redis that keeps most of what it answered.
async fn redis() -> RedisServer {
    RedisServer::start(RedisOptions::default().persistence(Persistence::EverySec)).await
}

/// A Redis that keeps all that it answered when its process is killed. With `everysec` it does not: while a sync takes long, it answers first and
/// writes up to two seconds later.
async fn durable_redis() -> RedisServer {
    RedisServer::start(RedisOptions::default().persistence(Persistence::Always)).await
}

/// Customers who buy again and again until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    paid: Arc<AtomicU64>,
    away: Arc<AtomicU64>,
    clients: JoinSet<()>,
}

impl Load {
    /// Each answer must be one of these two: paid, or 503.
    fn start(shop: &Shop, key: &str, clients: usize) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            paid: Arc::default(),
            away: Arc::default(),
            clients: JoinSet::new(),
        };
        for _ in 0..clients {
            let client = shop.client(key);
            let (stop, paid, away) = (
                Arc::clone(&load.stop),
                Arc::clone(&load.paid),
                Arc::clone(&load.away),
            );
            load.clients.spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = client.post_json("/v1/rerank", &json!({})).send().await;
                    match answer.status() {
                        200 => drop(paid.fetch_add(1, Ordering::Relaxed)),
                        503 => {
                            away.fetch_add(1, Ordering::Relaxed);
                            tokio::time::sleep(Duration::from_millis(5)).await;
                        }
                        other => panic!("{other} is neither paid nor away"),
                    }
                }
            });
        }
        load
    }

    /// Waits until so many more were paid.
    async fn pays(&self, more: u64) {
        let wanted = self.paid.load(Ordering::Relaxed) + more;
        within(format!("{more} more requests paid"), async {
            while self.paid.load(Ordering::Relaxed) < wanted {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        })
        .await;
    }

    /// Stops; how many were paid, and how many told that the ledger is away.
    async fn stop(self) -> (u64, u64) {
        self.stop.store(true, Ordering::Relaxed);
        within("the last answers", self.clients.join_all()).await;
        (
            self.paid.load(Ordering::Relaxed),
            self.away.load(Ordering::Relaxed),
        )
    }
}

/// Micro-credits of a decimal text.
fn micros(credits: &serde_json::Value) -> u64 {
    let text = credits.as_str().expect("a decimal");
    text.replace('.', "").parse().expect("a number")
}

/// Exactly what the witness served is charged, nothing is held, and the books verify.
async fn charged_what_was_served(shop: &Shop, account: &str, price: u64) {
    let settled = shop.settled(account).await;
    assert_eq!(micros(&settled["spent"]), shop.upstream.reached() * price);
    shop.verify().await;
}

/// Each of an account's holds was captured as a whole: at the price that it was made with.
async fn charged_at_last(shop: &Shop, account: &str, charges: usize) {
    let many = usize::MAX.to_string();
    let history = shop.cli(["ledger", "history", account, "--limit", &many]).await;
    let entries = history["entries"].as_array().expect("entries");
    let of = |kind: &str| -> std::collections::BTreeMap<&str, &str> {
        let all = entries.iter().filter(|entry| entry["kind"] == kind);
        all.map(|entry| {
            (
                entry["subject"].as_str().unwrap(),
                entry["amount"].as_str().unwrap(),
            )
        })
        .collect()
    };
    let (holds, captures) = (of("hold"), of("capture"));
    assert_eq!(captures.len(), charges);
    assert_eq!(holds, captures);
}

/// A metric of the proxy's, one without labels.
async fn metric(shop: &Shop, name: &str) -> f64 {
    let text = shop
        .faregate
        .admin_client()
        .get("/metrics")
        .send()
        .await
        .text()
        .await;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

/// The proxy's readiness.
async fn is_ready(shop: &Shop) -> bool {
    shop.faregate.admin_client().get("/readyz").send().await.status() == 200
}

/// A shop on a Redis, with one request that has been let through and is being answered.
struct Scene {
    shop: Shop,
    key: String,
    /// The upstream answers when this is opened: then the charge is known.
    answer: Gate,
    running: JoinHandle<Answer>,
}

impl Scene {
    async fn open(redis: &RedisServer) -> Scene {
        let shop = Shop::with(&ledger(redis), ROUTES).await;
        let key = shop.customer("acme", "100").await;
        assert_eq!(shop.buy(&key, "/v1/rerank").await.status(), 200);
        let answer = Gate::new();
        shop.upstream.answer_next(Reply::ok("late").when(&answer));
        let running = tokio::spawn(shop.client(&key).post_json("/v1/rerank", &json!({})).send());
        within("the request gets through", async {
            while shop.upstream.reached() < 2 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        Scene {
            shop,
            key,
            answer,
            running,
        }
    }

    /// New requests are told soon that the ledger is away, and never that credits are missing; nothing is served, and it is not ready. The one
    /// that runs notices nothing.
    async fn refuses(self) -> (Shop, String) {
        let served = self.shop.upstream.reached();
        for _ in 0..3 {
            let asked = Instant::now();
            let mut answer = self.shop.buy(&self.key, "/v1/chat/completions").await;
            assert_eq!(answer.status(), 503);
            assert!(asked.elapsed() < SOON, "{:?}", asked.elapsed());
            assert!(answer.header("retry-after").is_some());
            assert_eq!(answer.header("x-should-retry"), Some("true"));
            assert_eq!(answer.json().await["error"]["code"], "ledger_unavailable");
        }
        assert_eq!(self.shop.upstream.reached(), served);
        self.answer.open();
        let mut answer = self.running.await.unwrap();
        assert_eq!((answer.status(), answer.text().await), (200, "late".to_owned()));
        (self.shop, self.key)
    }
}

/// Without anyone's doing the gate opens again, and everything is charged once.
async fn recovers((shop, key): (Shop, String)) {
    within("it gets ready again", async { while !is_ready(&shop).await {} }).await;
    within("the gate opens again", async {
        while shop.buy(&key, "/v1/rerank").await.status() != 200 {}
    })
    .await;
    charged_what_was_served(&shop, "acme", PRICE).await;
}
