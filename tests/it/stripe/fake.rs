//! A stateful fake of Stripe, to be the gate's `api_base` and the sender of its webhooks.
//!
//! [`world::World`] is what Stripe knows and does, without any network; [`FakeStripe`] puts an HTTP server
//! before it, that checks every request against the API's parameters, and sends its events as webhooks.
//! Time stands still until a test moves it (with [`Options::real_time`] it also goes on by itself); ids are
//! counted: the same story leaves the same traces.
//!
//! | A test wants | It says |
//! |---|---|
//! | a fake | `FakeStripe::start(Options::default()).await`; it stops when dropped |
//! | something to happen in the world | `fake.world()` (a lock: don't hold it across an `await`) |
//! | time to pass | `fake.advance(3600)` |
//! | webhooks to arrive | `fake.deliver_to(addr, path)`, then `deliver_all()` or `deliver(&Delivering::badly(7))` |
//! | webhooks in its hand | `fake.take_undelivered()`, `fake.send_signed(&one)`, `fake.sign(..)` for any body |
//! | two events for one fact, or one the fake has no story for | `fake.world().tell_of(&id, "invoice.overdue")` |
//! | an event that never comes to be | `fake.world().never_generate("invoice.paid", 1)` |
//! | what the reference leaves open, the other way | `fake.world().quirks`, and the Dashboard's settings in `billing` |
//! | calls to fail | `fake.fail("POST /v1/refunds", 1, Fault::HangAfter)`, `fake.fail_by_chance(..)` |
//! | to hold one call of many | `fake.judge_by(..)`, which is asked about each |
//! | to know what was asked | `fake.calls()`, `fake.calls_of("POST /v1/refunds")` |
//! | no wrong request to pass unseen | `fake.assert_clean()` |
#![allow(dead_code, reason = "the fake does more than the tests of one day use")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use faregate::clock::{Clock, SystemClock};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub(crate) mod chance;
mod decimal;
pub(crate) mod direct;
pub(crate) mod error;
pub(crate) mod faults;
mod form;
mod idempotency;
mod route;
mod schema;
mod serve;
mod shapes;
#[cfg(test)]
mod tests;
pub(crate) mod webhook;
pub(crate) mod world;

pub(crate) use faults::Fault;
pub(crate) use webhook::Delivering;
pub(crate) use world::{Card, Outcome, World};

/// The account that everything belongs to.
pub(crate) const ACCOUNT: &str = "acct_fake000001";
/// When the fake's time begins, unless told otherwise.
pub(crate) const START: i64 = 1_795_000_000;
/// The secret that webhooks are signed with at first.
pub(crate) const SECRET: &str = "whsec_fake_current";
const KEY: &str = "rk_test_fake000001";

/// Which clock the `t` of a signature is read from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum SignedBy {
    /// The world's, that stands still.
    World,
    /// This machine's, and the world's goes on with it: for a gate that runs as a process.
    Machine,
}

/// How to start a [`FakeStripe`].
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The world's first moment, in Unix seconds.
    pub(crate) now: i64,
    pub(crate) signed_by: SignedBy,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            now: START,
            signed_by: SignedBy::World,
        }
    }
}

impl Options {
    /// The world begins now, and webhooks are signed by this machine's clock.
    pub(crate) fn real_time() -> Options {
        Options {
            now: machine_time(),
            signed_by: SignedBy::Machine,
        }
    }
}

/// A request as it came.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) method: String,
    /// Without the query.
    pub(crate) path: String,
    /// The query's and the body's parameters, in their order.
    pub(crate) form: Vec<(String, String)>,
    pub(crate) idempotency_key: Option<String>,
    /// None when it was never answered.
    pub(crate) status: Option<u16>,
    /// The answer was one kept for the key.
    pub(crate) replayed: bool,
}

impl Call {
    /// The parameter of this name, as it came: `metadata[tenant]`.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let found = self.form.iter().find(|(own, _)| own == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// A running fake; it stops when dropped.
pub(crate) struct FakeStripe {
    base: String,
    shared: Arc<serve::Shared>,
    signed_by: SignedBy,
    endpoint: Mutex<Option<webhook::Endpoint>>,
    secrets: Mutex<Vec<String>>,
    /// None: all.
    subscribed: Mutex<Option<Vec<String>>>,
    skew: AtomicI64,
    accepting: JoinHandle<()>,
}

impl FakeStripe {
    /// Starts one on a free port of the loopback.
    pub(crate) async fn start(options: Options) -> FakeStripe {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let addr = listener.local_addr().expect("an address");
        let shared = Arc::new(serve::Shared::new(
            World::new(options.now),
            KEY.to_owned(),
            options.signed_by == SignedBy::Machine,
        ));
        FakeStripe {
            base: format!("http://{addr}"),
            signed_by: options.signed_by,
            endpoint: Mutex::default(),
            secrets: Mutex::new(vec![SECRET.to_owned()]),
            subscribed: Mutex::default(),
            skew: AtomicI64::new(0),
            accepting: tokio::spawn(serve::accept(listener, Arc::clone(&shared))),
            shared,
        }
    }

    /// What the gate takes as `api_base`, without a slash at its end.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// A key that is good.
    pub(crate) fn key(&self) -> &'static str {
        KEY
    }

    /// From now on these keys are good, and no others.
    pub(crate) fn accept_keys(&self, keys: &[&str]) {
        *lock(&self.shared.api_keys) = keys.iter().map(|&key| key.to_owned()).collect();
    }

    /// The world, locked: don't hold it across an `await`.
    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.shared.world()
    }

    /// Lets time pass in the world.
    pub(crate) fn advance(&self, seconds: i64) {
        self.world().advance(seconds);
    }

    /// A new customer, with this in its metadata; gives back its id.
    pub(crate) fn customer(&self, metadata: &[(&str, &str)]) -> String {
        let metadata: serde_json::Map<String, Value> = metadata
            .iter()
            .map(|(name, value)| ((*name).to_owned(), Value::from(*value)))
            .collect();
        let asked = serde_json::json!({"metadata": metadata});
        let customer = self
            .world()
            .create_customer(&asked)
            .expect("nothing is against it");
        world::text(&customer, "id")
    }

    /// Attaches a card; gives back its id.
    pub(crate) fn attach_card(&self, customer: &str, card: &Card) -> String {
        self.world().attach_card(customer, card)
    }

    /// Grants the customer so many US cents, as paid credit for anything metered; gives back the grant's id.
    pub(crate) fn grant(&self, customer: &str, cents: i64) -> String {
        let asked = serde_json::json!({
            "customer": customer, "amount": {"type": "monetary", "monetary": {"currency": "usd", "value": cents}},
            "applicability_config": {"scope": {"price_type": "metered"}},
        });
        let made = self.world().create_grant(&asked);
        world::text(&made.unwrap_or_else(|e| panic!("{}", e.body())), "id")
    }

    /// An object as it is now.
    #[track_caller]
    pub(crate) fn object(&self, id: &str) -> Value {
        self.world().object(id).clone()
    }

    /// The newest object of a kind (`checkout.session`), if there is one.
    pub(crate) fn newest(&self, kind: &str) -> Option<Value> {
        self.world().all(kind).next_back().cloned()
    }

    /// Pays (or sets up) on the page of a session, with this card; panics when the page shows an error.
    #[track_caller]
    pub(crate) fn buy(&self, session: &str, card: &Card) -> Value {
        let bought = self.world().buy(session, card);
        bought.unwrap_or_else(|e| panic!("{session}: {}", e.body()))
    }

    /// Disputes a charge as fraud; gives back the dispute's id.
    pub(crate) fn dispute(&self, charge: &str) -> String {
        self.world().dispute(charge, &world::Complaint::fraud())
    }

    /// The next `times` calls whose `METHOD path` contains `on` fail like this.
    pub(crate) fn fail(&self, on: &str, times: usize, fault: Fault) {
        lock(&self.shared.faults).rule(on, times, fault);
    }

    /// From now on, so many of a hundred calls fail in one of these ways.
    pub(crate) fn fail_by_chance(&self, seed: u64, percent: u32, faults: &[Fault]) {
        lock(&self.shared.faults).plan(seed, percent, faults);
    }

    /// From now on this decides of each call, by its `METHOD path`, what goes wrong with it.
    pub(crate) fn judge_by(&self, judge: impl Fn(&str) -> Option<Fault> + Send + Sync + 'static) {
        *lock(&self.shared.judge) = Some(Box::new(judge));
    }

    /// Calls no longer fail.
    pub(crate) fn heal(&self) {
        lock(&self.shared.faults).clear();
    }

    /// All calls so far, in the order they came.
    pub(crate) fn calls(&self) -> Vec<Call> {
        lock(&self.shared.calls).clone()
    }

    /// The calls whose `METHOD path` contains this.
    pub(crate) fn calls_of(&self, what: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| format!("{} {}", call.method, call.path).contains(what));
        calls
    }

    /// What was asked in a way that Stripe refuses, or that we must never ask.
    pub(crate) fn violations(&self) -> Vec<String> {
        lock(&self.shared.violations).clone()
    }

    /// Panics when there was such a request.
    #[track_caller]
    pub(crate) fn assert_clean(&self) {
        let violations = self.violations();
        assert!(violations.is_empty(), "wrong requests: {violations:#?}");
    }

    fn signing_time(&self) -> i64 {
        let now = match self.signed_by {
            SignedBy::World => self.world().now(),
            SignedBy::Machine => machine_time(),
        };
        now + self.skew.load(Ordering::SeqCst)
    }
}

impl Drop for FakeStripe {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn machine_time() -> i64 {
    SystemClock.now().millis() / 1000
}

/// A poisoned lock is a test that fails already.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
