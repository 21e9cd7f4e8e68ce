//! Prometheus itself on its files: `promtool` checks and tests them, and a real one scrapes the running binary.

use serde_json::{Value, json};

use super::{path, text};
use crate::rig::client::HttpClient;
use crate::rig::process::{Faregate, Process, Spawn, find_program};
use crate::rig::temp::TempDir;
use crate::rig::upstream::{FakeUpstream, Reply};
use crate::rig::{ports, within};

const FOLDER: &str = "deploy/prometheus";

fn promtool<const N: usize>(args: [&str; N]) -> Spawn {
    Spawn::new(find_program("promtool", "prometheus"))
        .args(args)
        .dir(path(FOLDER))
}

#[tokio::test]
async fn promtool_takes_the_configuration_and_the_rules() {
    let said = promtool(["check", "config", "prometheus.yml"]).run().await.ok();
    assert!(said.stdout.contains("1 rule files found"), "{}", said.stdout);
    promtool(["check", "rules", "rules.yml"]).run().await.ok();
}

#[tokio::test]
async fn every_alert_fires_when_it_should_and_not_otherwise() {
    promtool(["test", "rules", "rules_test.yml"]).run().await.ok();
    let tests = text("deploy/prometheus/rules_test.yml");
    let untested: Vec<_> = alerts()
        .into_iter()
        .filter(|alert| {
            !tests.contains(&format!("{alert}\"")) && !tests.contains(&format!("alertname: {alert}\n"))
        })
        .collect();
    assert!(untested.is_empty(), "no test sees these fire: {untested:?}");
}

/// The names of all alerts.
pub(super) fn alerts() -> Vec<String> {
    let rules = text("deploy/prometheus/rules.yml");
    let names = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    let names: Vec<_> = names.map(str::to_owned).collect();
    assert!(names.len() > 10, "{names:?}");
    names
}

/// Every expression of the dashboard, with its variables replaced as Grafana would.
fn dashboard_queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&text("deploy/grafana/faregate.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<_> = targets
        .map(|target| {
            let query = target["expr"].as_str().unwrap();
            query
                .replace("$__rate_interval", "5m")
                .replace("$instance", ".*")
                .replace("$route", ".*")
        })
        .collect();
    assert!(queries.len() > 20, "{queries:?}");
    queries
}

#[tokio::test]
async fn promtool_takes_every_query_of_the_dashboard() {
    let rules = dashboard_queries()
        .into_iter()
        .enumerate()
        .map(|(at, query)| {
            assert!(
                !query.contains('$'),
                "{query}: a variable that the dashboard does not have"
            );
            json!({ "record": format!("panel:{at}"), "expr": query })
        })
        .collect::<Vec<_>>();
    let dir = TempDir::new();
    // JSON is YAML.
    let file = dir.write(
        "rules.yml",
        json!({ "groups": [{ "name": "dashboard", "rules": rules }] }).to_string(),
    );
    promtool(["check", "rules", file.to_str().unwrap()])
        .run()
        .await
        .ok();
}

/// A Prometheus with the shipped rules that scrapes `target` several times a second.
struct Prometheus {
    process: Process,
    client: HttpClient,
    _dir: TempDir,
}

impl Prometheus {
    async fn start(target: std::net::SocketAddr) -> Prometheus {
        let dir = TempDir::new();
        let shipped = text("deploy/prometheus/prometheus.yml");
        let quick = shipped
            .replace("scrape_interval: 15s", "scrape_interval: 200ms")
            .replace("scrape_timeout: 10s", "scrape_timeout: 200ms")
            .replace("evaluation_interval: 15s", "evaluation_interval: 200ms");
        assert_ne!(quick, shipped);
        let config = dir.write("prometheus.yml", quick);
        dir.write("rules.yml", text("deploy/prometheus/rules.yml"));
        dir.write(
            "targets.yml",
            json!([{ "targets": [target.to_string()] }]).to_string(),
        );
        let port = ports::reserve();
        let data = dir.join("data");
        let process = Spawn::new(find_program("prometheus", "prometheus"))
            .args([
                format!("--config.file={}", config.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--log.level=warn".to_owned(),
            ])
            .dir(dir.path())
            .start();
        let client = HttpClient::new(([127, 0, 0, 1], port).into());
        Prometheus {
            process,
            client,
            _dir: dir,
        }
    }

    /// The result of a query, once it has one.
    async fn query(&self, query: &str) -> Vec<Value> {
        let encoded: String = form_urlencoded::byte_serialize(query.as_bytes()).collect();
        let target = format!("/api/v1/query?query={encoded}");
        within(format!("a result of {query}"), async {
            loop {
                // 503 until it has read its storage.
                if let Ok(mut answer) = self.client.get(&target).try_send().await
                    && answer.status() == 200
                {
                    let answer = answer.json().await;
                    assert_eq!(answer["status"], "success", "{answer:#}");
                    let result = answer["data"]["result"].as_array().unwrap().clone();
                    if !result.is_empty() {
                        return result;
                    }
                }
                assert!(
                    self.process.is_running(),
                    "prometheus ended:\n{}",
                    self.process.said()
                );
                // Nothing tells us when it has scraped.
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        })
        .await
    }
}

const CONFIG: &str = r#"
[server]
listen = "@LISTEN@"
[admin]
listen = "@ADMIN@"
token = "${FAREGATE_ADMIN_TOKEN}"
[ledger]
path = "@DIR@/ledger"
[upstreams.models]
url = "@UPSTREAM@"
[[routes]]
id = "rerank"
match = "POST /v1/rerank"
upstream = "models"
cost = 0.25
"#;

#[tokio::test]
async fn a_real_prometheus_scrapes_the_running_gate_and_counts_its_requests() {
    let upstream = FakeUpstream::start().await;
    upstream.answer(Reply::json(&json!({ "ok": true })));
    let gate = Faregate::serve(&CONFIG.replace("@UPSTREAM@", &upstream.url())).await;
    gate.cli(["account", "create", "acme"]).run().await.ok();
    gate.cli(["grant", "add", "--account", "acme", "--amount", "0.5"])
        .run()
        .await
        .ok();
    let made = gate
        .cli(["key", "create", "--account", "acme", "--json"])
        .run()
        .await
        .ok()
        .json();
    let client = gate.client().bearer(made["key"].as_str().unwrap());
    for expected in [200, 200, 402] {
        let mut answer = client.post_json("/v1/rerank", &json!({})).send().await;
        assert_eq!(answer.status(), expected);
        answer.bytes().await;
    }
    let prometheus = Prometheus::start(gate.admin()).await;
    let counted = prometheus
        .query(r#"faregate_requests_total{route="rerank",outcome="ok"} == 2"#)
        .await;
    assert_eq!(counted[0]["metric"]["job"], "faregate");
    assert_eq!(counted[0]["metric"]["instance"], gate.admin().to_string());
    for query in [
        r#"faregate_requests_total{route="rerank",outcome="insufficient_credits"} == 1"#,
        "faregate_credits_captured_total == 0.5",
        "faregate_open_holds == 0",
        r#"faregate_ledger_operation_seconds_count{operation="admit"} == 3"#,
        "up == 1",
        r#"faregate_build_info{version!=""} == 1"#,
    ] {
        prometheus.query(query).await;
    }
    // What the dashboard asks, a running gate has an answer for, if only "none yet" where something must have happened twice.
    for query in dashboard_queries()
        .iter()
        .filter(|q| !q.contains("rate(") && !q.contains("increase("))
    {
        prometheus.query(query).await;
    }
}
