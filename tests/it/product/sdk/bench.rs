//! A shop with everything that the clients call, and the judgement of what they have done.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::super::shop::{EMBEDDED, Shop};
use super::cases::{Case, Cost};
use super::{Words, clients};
use crate::rig::process::{Finished, Spawn};
use crate::rig::upstream::{FakeUpstream, Recorded, Reply, Step};
use crate::rig::within;

/// Micro-credits of a token that is read, and of one that is written.
const READ: i64 = 1;
const WRITTEN: i64 = 4;

const TERMS: &str = r#"
[models."small"]
input = 1
cached_input = 0.5
cache_write = 2
output = 4
reasoning = 3
output_tokens_max = 1000
request_tokens = 0
tool_tokens = 0

[models."embed"]
input = 1
output = 0
output_tokens_max = 1

[plans.limited]
requests_per_minute = 20

[[routes]]
match = "GET /v1/models"
upstream = "models"
api = "openai-models"
cost = 0
"#;

const ROUTES: [(&str, &str); 5] = [
    ("/v1/chat/completions", "openai-chat"),
    ("/v1/completions", "openai-completions"),
    ("/v1/embeddings", "openai-embeddings"),
    ("/v1/responses", "openai-responses"),
    ("/v1/messages", "anthropic-messages"),
];

/// Who buys, and what they have.
const ACCOUNTS: [(&str, &str); 7] = [
    ("acme", "1"),
    ("poor", "0"),
    ("paused", "1"),
    ("limited", "1"),
    // Enough for the request and some of the answer.
    ("short", "0.001"),
    ("short-too", "0.001"),
    ("short-helped", "0.001"),
];

/// How long a client may take with all its cases.
const LIMIT: Duration = Duration::from_secs(180);

/// How often an endless answer says its last event: far more than any of the accounts can pay.
const ENDLESS: usize = 3_000;

/// A shop, its customers' keys, and what the client said.
pub(super) struct Bench {
    shop: Shop,
    keys: HashMap<&'static str, String>,
    said: Vec<Value>,
}

impl Bench {
    /// Opens the shop and lets the client do everything it has to.
    pub(super) async fn open(client: &Words) -> Bench {
        let shop = Shop::with(EMBEDDED, &(routes() + TERMS)).await;
        answers(&shop.upstream);
        let mut keys = HashMap::new();
        for (account, credits) in ACCOUNTS {
            keys.insert(account, shop.customer(account, credits).await);
        }
        shop.cli(["account", "plan", "limited", "limited"]).await;
        shop.cli(["account", "pause", "paused", "--reason", "manual"])
            .await;
        let url = format!("http://{}", shop.faregate.listen());
        let said = run(client, &url, &json!(keys)).await.ok();
        let said = said
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).expect("a line of JSON"));
        Bench {
            said: said.collect(),
            keys,
            shop,
        }
    }

    /// Holds what happened against the table.
    pub(super) async fn judge(self, cases: &[Case]) {
        let told: Vec<&str> = self
            .said
            .iter()
            .map(|line| line["case"].as_str().unwrap())
            .collect();
        let wanted: Vec<&str> = cases.iter().map(|case| case.name).collect();
        assert_eq!(told, wanted, "these cases were run");
        let mut spent: BTreeMap<&str, i64> = BTreeMap::new();
        let (mut served, mut refused) = (0, BTreeMap::<&str, u64>::new());
        for (case, said) in cases.iter().zip(&self.said) {
            let charge = match case.cost {
                Cost::Free => {
                    served += 1;
                    continue;
                }
                Cost::Refused(code) => {
                    *refused.entry(code).or_default() += 1;
                    continue;
                }
                Cost::Limited(each) => {
                    let before = said["served"].as_u64().expect("a number");
                    served += before;
                    *spent.entry(case.account).or_default() += each * i64::try_from(before).unwrap();
                    continue;
                }
                Cost::Micros(charge) => charge,
                Cost::Delivered { answer, read } => self.delivered(said, answer, read),
            };
            served += 1;
            *spent.entry(case.account).or_default() += charge;
            assert_eq!(self.charged(case.account, said).await, charge, "{}", case.name);
            if let Some(told) = said["charged"].as_str() {
                assert_eq!(micros(told), charge, "{}: as the client was told", case.name);
            }
        }
        self.judge_accounts(&spent).await;
        self.judge_refusals(refused, served).await;
        self.shop.verify().await;
    }

    /// What is due for an answer that the client did not get whole: what was read, and every byte that was passed on.
    fn delivered(&self, said: &Value, answer: &str, read: Option<i64>) -> i64 {
        let requests = self.shop.upstream.requests();
        let request = requests
            .iter()
            .find(|request| request.header("x-answer") == Some(answer));
        let mut body = request.expect("it was asked for").json();
        // Which the gate has put there; limits are the client's own.
        body.as_object_mut().unwrap().remove("stream_options");
        let bytes = i64::try_from(body.to_string().len()).unwrap();
        read.unwrap_or(bytes) * READ + said["written"].as_i64().expect("a number") * WRITTEN
    }

    /// The charge of a case's request, once it is settled, as the customer is told it.
    async fn charged(&self, account: &str, said: &Value) -> i64 {
        let id = said["id"].as_str().expect("the id of a request");
        let client = self.shop.client(&self.keys[account]);
        within("the charge is settled", async {
            loop {
                let path = format!("/faregate/v1/charges/{id}");
                let charge = client.get(&path).send().await.json().await;
                if charge["status"] == "charged" {
                    return micros(charge["charged"].as_str().unwrap());
                }
            }
        })
        .await
    }

    /// The accounts have spent what their cases cost, and those that were cut have nothing left that would buy a token.
    async fn judge_accounts(&self, spent: &BTreeMap<&str, i64>) {
        for (account, _) in ACCOUNTS {
            let shown = self.shop.settled(account).await;
            let wanted = spent.get(account).copied().unwrap_or(0);
            assert_eq!(micros(shown["spent"].as_str().unwrap()), wanted, "{account}");
            if account.starts_with("short") && wanted > 0 {
                let left = micros(shown["available"].as_str().unwrap());
                assert!((0..WRITTEN).contains(&left), "{account} has {left} left");
            }
        }
    }

    /// What time cannot heal was asked once, and no refused request reached the upstream.
    async fn judge_refusals(&self, wanted: BTreeMap<&str, u64>, served: u64) {
        let mut answer = self.shop.faregate.admin_client().get("/metrics").send().await;
        let metrics = answer.text().await;
        // One that did not want to wait, and one that did and came again, twice at most.
        let limited = refusals(&metrics, "rate_limited");
        assert!((2..=3).contains(&limited), "{limited} rate_limited");
        for (code, count) in wanted {
            assert_eq!(refusals(&metrics, code), count, "{code}");
        }
        assert_eq!(self.shop.upstream.reached(), served);
    }
}

/// Runs a client with nothing in its environment but what it needs: keys and proxies of whoever runs the tests are not for it.
async fn run(client: &Words, url: &str, keys: &Value) -> Finished {
    let settings = [
        "-i".to_owned(),
        format!("GATE_URL={url}"),
        format!("GATE_KEYS={keys}"),
    ];
    Spawn::new("env")
        .args(settings)
        .args(client)
        .run_within(LIMIT)
        .await
}

fn routes() -> String {
    let route = |path: &str, api: &str, more: &str| {
        format!(
            "[[routes]]\nmatch = \"POST {path}\"\nupstream = \"models\"\napi = \"{api}\"\ncost = \"tokens\"\n{more}\n"
        )
    };
    let growing = "hold = \"growing\"\nslice = 10\noutput_min = 1";
    ROUTES
        .iter()
        .map(|(path, api)| route(path, api, "") + &route(&format!("/growing{path}"), api, growing))
        .collect()
}

/// Lets the upstream answer with the files that requests name.
fn answers(upstream: &FakeUpstream) {
    let folder = clients().join("answers");
    upstream.answer_with(move |request| answer(&folder, request));
}

fn answer(folder: &Path, request: &Recorded) -> Reply {
    let name = request.header("x-answer").expect("a client names its answer");
    let text = read(&folder.join(name));
    if name.ends_with(".json") {
        return Reply::ok(text).header("content-type", "application/json");
    }
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let begun = Step::send(format!("{head}{:x}\r\n{text}\r\n", text.len()));
    let text = match request.header("x-then") {
        Some("stall") => return Reply::raw([begun, Step::Stall]),
        Some("break") => return Reply::raw([begun]),
        Some("repeat") => {
            let (_, last) = text.trim_end().rsplit_once("\n\n").expect("two events");
            text.clone() + &format!("{last}\n\n").repeat(ENDLESS)
        }
        _ => text,
    };
    Reply::ok(text).header("content-type", "text/event-stream; charset=utf-8")
}

fn read(path: &PathBuf) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// How many requests ended so.
fn refusals(metrics: &str, code: &str) -> u64 {
    let outcome = format!("outcome=\"{code}\"");
    let lines = metrics
        .lines()
        .filter(|line| line.starts_with("faregate_requests_total") && line.contains(&outcome));
    lines
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum()
}

fn micros(amount: &str) -> i64 {
    amount
        .parse::<faregate::domain::credits::Credits>()
        .expect("an amount")
        .micros()
}
