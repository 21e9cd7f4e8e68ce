//! The data plane as the tests start it: real sockets, a ledger in memory, one account with one key.

#![allow(dead_code, reason = "a rig offers more than the tests of one day use")]

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use faregate::clock::SystemClock;
use faregate::config::{self, Config};
use faregate::domain::command::AccountChange;
use faregate::domain::credits::Credits;
use faregate::domain::ids::{AccountId, CommandId};
use faregate::domain::time::Span;
use faregate::ledger::Ledger;
use faregate::proxy::{Making, OUTCOMES, Own, Parts, Server};
use faregate::service::accounts::{self, Actor};
use faregate::service::gate::{Gate, GateOptions};
use faregate::service::keys::{self, KeyOptions, SecretKey};
use faregate::service::plans::{Plan, Plans};
use faregate::service::request_ids::{RequestIds, kernel_entropy};
use faregate::telemetry::access::{AccessLog, Format, Sink};
use faregate::telemetry::metrics::{LedgerMeters, Metrics};

use super::memory::MemoryLedger;
use crate::rig::client::HttpClient;
use crate::rig::raw::RawClient;
use crate::rig::tls::TestCa;
use crate::rig::{PATIENCE, within};

/// The key of the account `acme`.
pub(crate) const KEY: &str = "sk-test-0123456789abcdef0123456789abcdef";

/// See the module.
pub(crate) struct Gatehouse {
    pub(crate) ledger: Arc<MemoryLedger>,
    pub(crate) account: AccountId,
    pub(crate) server: Server,
    pub(crate) metrics: Arc<Metrics>,
    log: Output,
}

/// How to start one.
#[derive(Default)]
pub(crate) struct Options {
    own: Option<Arc<dyn Own>>,
}

impl Options {
    /// Answers below `/faregate/`.
    pub(crate) fn own(mut self, own: Arc<dyn Own>) -> Options {
        self.own = Some(own);
        self
    }

    /// Starts it with this configuration, to which a listener on loopback is added, and gives the account these credits.
    pub(crate) async fn start(self, credits: &str, toml: &str) -> Gatehouse {
        let ledger = MemoryLedger::new();
        let account = AccountId::new("acme").unwrap();
        furnish(&ledger, &account, KEY, credits).await;
        let metrics = Arc::new(Metrics::new(OUTCOMES).unwrap());
        let log = Output::default();
        let access = AccessLog::start(Format::Json, log.clone()).unwrap();
        let ids = Arc::new(RequestIds::new(Arc::new(SystemClock), kernel_entropy()));
        let config = parse(toml);
        let make = {
            let (ledger, plane) = (Arc::clone(&ledger), Arc::clone(&metrics.data_plane));
            let meters = Arc::clone(&metrics.ledger);
            let workers = faregate::proxy::workers(&config);
            move |number| -> Making {
                let parts = Parts {
                    number,
                    workers,
                    gate: gate(&ledger, &ids, &meters),
                    data_plane: Arc::clone(&plane),
                    log: Sink::new(Arc::clone(&access)),
                    clock: Arc::new(SystemClock),
                    own: self.own.clone(),
                };
                Box::pin(async move { Ok(parts) })
            }
        };
        let server = Server::start(&config, &plans(), make)
            .unwrap_or_else(|e| panic!("the proxy does not start: {e}"));
        Gatehouse {
            ledger,
            account,
            server,
            metrics,
            log,
        }
    }
}

fn gate(ledger: &Arc<MemoryLedger>, ids: &Arc<RequestIds>, meters: &Arc<LedgerMeters>) -> Arc<Gate> {
    let options = GateOptions {
        hold_ttl: Span::from_secs(60),
        deadline: Duration::from_millis(800),
        requests_max: 10_000,
    };
    Arc::new(Gate::new(
        Arc::clone(ledger) as Arc<dyn Ledger>,
        options,
        Arc::clone(ids),
        Arc::clone(meters),
    ))
}

fn plans() -> Arc<Plans> {
    Arc::new(Plans::new(std::collections::HashMap::new(), Plan::default()))
}

/// A configuration with a listener on loopback and two workers unless it says otherwise.
pub(crate) fn parse(toml: &str) -> Config {
    let mut text = toml.to_owned();
    if !text.contains("[server]") {
        text.push_str("\n[server]\nlisten = \"127.0.0.1:0\"\nworkers = 2\n");
    }
    let files = |path: &Path| std::fs::read(path);
    config::parse(&text, &|_| None, &files).unwrap_or_else(|problems| panic!("{problems}"))
}

async fn furnish(ledger: &Arc<MemoryLedger>, account: &AccountId, key: &str, credits: &str) {
    let ledger: Arc<dyn Ledger> = Arc::clone(ledger) as Arc<dyn Ledger>;
    let by = Actor::system("test");
    accounts::set(&ledger, account, AccountChange::Create(None), &by)
        .await
        .unwrap();
    let key = SecretKey::import(key).unwrap();
    keys::put(&ledger, account, &key, KeyOptions::default(), &by)
        .await
        .unwrap();
    let id = CommandId::new("first").unwrap();
    let amount: Credits = credits.parse().unwrap();
    if !amount.is_zero() {
        accounts::adjust(&ledger, account, id, amount, "to begin with", &by)
            .await
            .unwrap();
    }
}

impl Gatehouse {
    /// Two workers, and these credits for the account.
    pub(crate) async fn start(credits: &str, toml: &str) -> Gatehouse {
        Options::default().start(credits, toml).await
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// A client that sends the account's key.
    pub(crate) fn client(&self) -> HttpClient {
        HttpClient::new(self.addr()).bearer(KEY)
    }

    /// A client that sends another account's.
    pub(crate) async fn other_client(&self, account: &str, credits: &str) -> HttpClient {
        let key = format!("key-of-{account}-0123456789");
        let account = AccountId::new(account).unwrap();
        furnish(&self.ledger, &account, &key, credits).await;
        HttpClient::new(self.addr()).bearer(&key)
    }

    /// A client that sends none.
    pub(crate) fn stranger(&self) -> HttpClient {
        HttpClient::new(self.addr())
    }

    /// A client over TLS, with the account's key.
    pub(crate) fn tls_client(&self, ca: &TestCa) -> HttpClient {
        self.client().tls(ca)
    }

    pub(crate) async fn raw(&self) -> RawClient {
        RawClient::connect(self.addr()).await
    }

    /// What is available.
    pub(crate) fn available(&self) -> String {
        self.ledger.balance(&self.account).available().to_string()
    }

    /// Waits until nothing is held, and says what is available then.
    #[track_caller]
    pub(crate) fn settled(&self) -> impl Future<Output = String> {
        let balance = self
            .ledger
            .wait_balance("every hold to end", &self.account, |balance| {
                balance.held.is_zero()
            });
        async move { balance.await.available().to_string() }
    }

    /// Waits until the account has this much available and nothing held.
    #[track_caller]
    pub(crate) fn wait_available(&self, amount: &str) -> impl Future<Output = ()> {
        let wanted: Credits = amount.parse().unwrap();
        let what = format!("{amount} credits to be available and none held");
        let balance = self.ledger.wait_balance(what, &self.account, move |balance| {
            balance.held.is_zero() && balance.available() == wanted
        });
        async move {
            balance.await;
        }
    }

    /// Waits for a line of the access log that fits.
    pub(crate) async fn line(
        &self,
        what: &str,
        fits: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        within(format!("a log line: {what}"), async {
            loop {
                if let Some(line) = self.log.lines().into_iter().find(|line| fits(line)) {
                    return line;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
    }

    /// Everything that was logged so far, as text.
    pub(crate) fn logged(&self) -> String {
        String::from_utf8(lock(&self.log.0).clone()).unwrap()
    }

    /// A metric's value, added up over the labels that are not given.
    pub(crate) fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = String::from_utf8(self.metrics.render().unwrap()).unwrap();
        let fits = |line: &&str| {
            let (series, _) = line.rsplit_once(' ').unwrap_or_default();
            let own = series.split('{').next() == Some(name);
            own && labels
                .iter()
                .all(|(label, value)| series.contains(&format!("{label}=\"{value}\"")))
        };
        text.lines()
            .filter(fits)
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum()
    }

    /// Waits until a metric has this value.
    pub(crate) async fn wait_metric(&self, name: &str, labels: &[(&str, &str)], wanted: f64) {
        let deadline = std::time::Instant::now() + PATIENCE;
        loop {
            let found = self.metric(name, labels);
            if found == wanted {
                return;
            }
            assert!(
                std::time::Instant::now() < deadline,
                "{name} {labels:?} is {found}, not {wanted}"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Takes another configuration.
    pub(crate) fn reload(&self, toml: &str) {
        self.server.reload(&parse(toml), &plans()).unwrap();
    }
}

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Output {
    fn lines(&self) -> Vec<serde_json::Value> {
        let bytes = lock(&self.0).clone();
        let text = String::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect()
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        lock(&self.0).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
