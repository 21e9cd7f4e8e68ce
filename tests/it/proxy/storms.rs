//! Storms of requests that come to nothing: made-up names (S8), accounts without credits (S9).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faregate::domain::ids::CommandId;
use faregate::ledger::Ledger;
use faregate::service::accounts::{self, Actor};

use super::gatehouse::{Gatehouse, KEY};
use super::{routes, simple};
use crate::rig::upstream::{FakeUpstream, UpstreamOptions};
use crate::rig::within_time;

/// Numbers that look random, the same in each run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % sides as u64).unwrap()
    }

    fn word(&mut self, letters: &[u8], most: usize) -> String {
        let length = 1 + self.roll(most);
        (0..length)
            .map(|_| char::from(letters[self.roll(letters.len())]))
            .collect()
    }
}

const PATH: &[u8] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~:@!$&'()*+,=";
const UPPER: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// A request with made-up names in every place that has a name; all are refused.
fn made_up(dice: &mut Dice) -> String {
    let word = dice.word(PATH, 20);
    let (line, key) = match dice.roll(5) {
        0 => (
            format!("POST /{word}/{}%0d%0afaregate_x%7B{word}%7D", dice.word(PATH, 9)),
            KEY.to_owned(),
        ),
        1 => (format!("{} /v1/x?{word}", dice.word(UPPER, 12)), KEY.to_owned()),
        2 => (
            format!("POST /v1/x?model={word}"),
            format!("sk-{:0>30}", dice.word(UPPER, 30)),
        ),
        3 => (format!("POST /v1/images/{word}"), KEY.to_owned()),
        _ => ("POST /v1/images".to_owned(), KEY.to_owned()),
    };
    let body = format!("{{\"model\":\"{}\",\"n\":0}}", dice.word(UPPER, 20));
    format!(
        "{line} HTTP/1.1\r\nhost: gate\r\nauthorization: Bearer {key}\r\nx-{}: {word}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        dice.word(b"abcdefgh", 9),
        body.len()
    )
}

fn series(house: &Gatehouse) -> BTreeSet<String> {
    let text = String::from_utf8(house.metrics.render().unwrap()).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned()))
        .collect()
}

/// Requests with made-up names.
const NAMES: usize = 100_000;

#[tokio::test]
async fn s8_made_up_names_make_no_metric_and_no_line_of_their_own() {
    let upstream = FakeUpstream::start().await;
    let images = "[[routes]]\nid = \"images\"\nmatch = \"POST /v1/images\"\nupstream = \"models\"\ncost = { each = 0.1, times = \"n\" }\n[[routes]]\nid = \"x\"\nmatch = \"POST /v1/x\"\nupstream = \"models\"\ncost = 0.1\n";
    let house = Gatehouse::start("1", &routes(&upstream, images)).await;
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut storm = async |count: usize| {
        let mut raw = house.raw().await;
        let mut statuses = BTreeSet::new();
        for _ in 0..count / 50 {
            let batch: String = (0..50).map(|_| made_up(&mut dice)).collect();
            raw.send(batch).await;
            for _ in 0..50 {
                statuses.insert(raw.response().await.status);
            }
        }
        statuses
    };
    // Every way to be refused has been seen after some.
    assert_eq!(storm(500).await, BTreeSet::from([400, 401, 404, 405]));
    let before = series(&house);
    storm(NAMES).await;
    let after = series(&house);
    assert_eq!(
        after.difference(&before).collect::<Vec<_>>(),
        Vec::<&String>::new()
    );
    assert!(
        after
            .iter()
            .all(|series| !series.contains("faregate_x{") && !series.contains("sk-"))
    );
    // Each line of the log is one object, with the fields that it always has.
    crate::rig::within("the last line", async {
        while house.logged().lines().count() < 500 + NAMES {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let mut fields = BTreeSet::new();
    for line in house.logged().lines() {
        let line: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        fields.extend(line.as_object().unwrap().keys().cloned());
    }
    assert!(fields.len() < 20, "{fields:?}");
    assert_eq!(upstream.reached(), 0);
}

#[tokio::test]
async fn s9_a_storm_that_cannot_pay_asks_the_ledger_a_few_times_a_second_and_a_refill_is_felt_soon() {
    let upstream = UpstreamOptions::default().count_only().start().await;
    let house = Gatehouse::start("0", &simple(&upstream)).await;
    let (stop, refused) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let mut storm = tokio::task::JoinSet::new();
    for _ in 0..16 {
        let conn = house.client().connect().await;
        // Whichever worker it meets knows by then that it is a storm.
        for _ in 0..40 {
            assert_eq!(conn.post("/v1/x", "{}").send().await.status(), 402);
        }
        let (stop, refused) = (Arc::clone(&stop), Arc::clone(&refused));
        storm.spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let mut answer = conn.post("/v1/x", "{}").send().await;
                match answer.status() {
                    402 => refused.fetch_add(1, Ordering::Relaxed),
                    status => {
                        assert_eq!(status, 200);
                        0
                    }
                };
                answer.bytes().await;
            }
        });
    }
    let answered = |more: u64| {
        let (refused, until) = (&refused, refused.load(Ordering::Relaxed) + more);
        within_time(Duration::from_secs(60), "refusals", async move {
            while refused.load(Ordering::Relaxed) < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
    };
    answered(1_000).await;
    let (asked, said, began) = (
        house.ledger.admits(),
        refused.load(Ordering::Relaxed),
        Instant::now(),
    );
    answered(5_000).await;
    let (asked, said) = (
        house.ledger.admits() - asked,
        refused.load(Ordering::Relaxed) - said,
    );
    // After a quarter of a second one request of each of the two workers asks again, and the others, up to sixteen, go on with the refusal that is
    // there; unless the machine is so busy that the one has no answer for as long again.
    let windows = began.elapsed().as_millis() / 250 + 2;
    assert!(
        u128::from(asked) <= windows * 4,
        "{asked} asked for {said} refused in {windows} windows"
    );
    assert!(asked * 20 < said, "{asked} asked for {said} refused");

    let ledger: Arc<dyn Ledger> = Arc::clone(&house.ledger) as Arc<dyn Ledger>;
    let mut felt = Vec::new();
    for round in 0..5 {
        let (id, reached) = (
            CommandId::new(&format!("refill-{round}")).unwrap(),
            upstream.reached(),
        );
        let refilled = Instant::now();
        accounts::adjust(
            &ledger,
            &house.account,
            id,
            "0.002".parse().unwrap(),
            "a refill",
            &Actor::system("test"),
        )
        .await
        .unwrap();
        upstream.wait_reached(reached + 1).await;
        felt.push(refilled.elapsed());
        answered(500).await;
    }
    stop.store(true, Ordering::Relaxed);
    storm.join_all().await;
    // The machine may be busy; the gate makes nobody wait longer than that.
    let soonest = felt.iter().min().unwrap();
    assert!(*soonest < Duration::from_millis(300), "{felt:?}");
    assert_eq!(
        (upstream.reached(), house.settled().await.as_str()),
        (5, "0.000000")
    );
}
