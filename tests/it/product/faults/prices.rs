//! Prices that change while requests run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;
use tokio::task::JoinSet;

use super::{charged_at_last, micros};
use crate::product::shop::{EMBEDDED, Shop};
use crate::rig::client::HttpClient;

/// How often the price flips.
const RELOADS: usize = 100;

/// In micro-credits.
const PRICES: [u64; 2] = [1_000, 7_000];

fn route(price: u64) -> String {
    let decimal = format!("0.{price:06}");
    format!("\n[[routes]]\nmatch = \"POST /v1/rerank\"\nupstream = \"models\"\ncost = {decimal}\n")
}

/// Buys until told to stop; what each answer said was charged.
async fn buys(client: HttpClient, stop: Arc<AtomicBool>) -> Vec<u64> {
    let mut charged = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let answer = client.post_json("/v1/rerank", &json!({})).send().await;
        assert_eq!(answer.status(), 200);
        let told = answer.header("x-credits-charged").expect("a charge");
        charged.push(told.replace('.', "").parse().unwrap());
    }
    charged
}

#[tokio::test]
async fn a20_a_hundred_reloads_with_flipping_prices_and_each_charge_is_the_price_of_its_hold() {
    let shop = Shop::with(EMBEDDED, &route(PRICES[0])).await;
    let key = shop.customer("acme", "100000").await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut load = JoinSet::new();
    for _ in 0..6 {
        load.spawn(buys(shop.client(&key), Arc::clone(&stop)));
    }
    let admin = shop.faregate.admin_client();
    for reload in 1..=RELOADS {
        // Every tenth is bad, and refused whole.
        let bad = reload % 10 == 0;
        let text = route(PRICES[reload % 2]);
        shop.configure(
            EMBEDDED,
            &if bad {
                text.replace("\"models\"", "\"modles\"")
            } else {
                text
            },
        );
        let answer = admin
            .post_json("/admin/v1/config/reload", &json!({}))
            .send()
            .await;
        assert_eq!(answer.status(), if bad { 422 } else { 200 }, "reload {reload}");
    }
    stop.store(true, Ordering::Relaxed);
    let told: Vec<u64> = load.join_all().await.concat();
    for price in PRICES {
        assert!(told.contains(&price), "nobody paid {price}");
    }
    assert!(told.iter().all(|charge| PRICES.contains(charge)));
    let account = shop.settled("acme").await;
    assert_eq!(micros(&account["spent"]), told.iter().sum::<u64>());
    charged_at_last(&shop, "acme", told.len()).await;
    shop.verify().await;
}
