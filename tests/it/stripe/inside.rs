//! A desk over a real ledger and the fake's world, all inside this process: thousands of tellings in seconds. The store fails when it is told to, before
//! or after it has done what it was asked: for the desk that is a crash between any two steps.

use std::sync::{Arc, Mutex};

use faregate::api::webhook::Webhook;
use faregate::clock::ManualClock;
use faregate::config::{self, Secret};
use faregate::domain::account::Account;
use faregate::domain::command::{Command, Outcome as Came};
use faregate::domain::credits::Credits;
use faregate::domain::entry::Entry;
use faregate::domain::hold::{Hold, OnExpiry};
use faregate::domain::ids::{AccountId, HoldId, KeyDigest};
use faregate::domain::key::{Identity, Key};
use faregate::domain::time::Timestamp;
use faregate::ledger::embedded::{EmbeddedLedger, Options};
use faregate::ledger::memos::{Kept, Memo, MemoName, Memos, Wrote};
use faregate::ledger::{Answer, DayUsage, Ledger, LedgerError, Page, Statement, VerifyReport};
use faregate::service::stripe::desk::Desk;
use faregate::service::stripe::memo::Rules;
use faregate::stripe::event::parse;
use faregate::stripe::signature::WebhookSecrets;
use faregate::telemetry::metrics::Metrics;
use serde_json::Value;

use super::fake::START;
use super::fake::chance::Chance;
use super::fake::direct::Direct;
use crate::product::shop::ROUTES;
use crate::rig::temp::TempDir;

/// The kinds of memos of Stripe's objects.
const KINDS: [&str; 10] = [
    "grant",
    "purchase",
    "invoice",
    "customer",
    "fraud_warning",
    "review",
    "top_up",
    "setup",
    "test_charge",
    "verify",
];

/// A store that fails by chance.
#[derive(Debug)]
pub(super) struct Shaky {
    inner: EmbeddedLedger,
    /// Of a thousand calls so many fail.
    luck: Mutex<(Chance, u64)>,
    /// After so many calls one fails, before or after it was done.
    crash: Mutex<Option<(u64, bool)>>,
}

impl Shaky {
    pub(super) fn fail(&self, per_mille: u64) {
        self.luck.lock().expect("unpoisoned").1 = per_mille;
    }

    /// From now on the n-th call fails, before it is done or after, and no other.
    pub(super) fn crash_at(&self, nth: u64, after: bool) {
        *self.crash.lock().expect("unpoisoned") = Some((nth, after));
    }

    pub(super) fn has_crashed(&self) -> bool {
        self.crash.lock().expect("unpoisoned").is_none()
    }

    /// Nothing, or whether it fails after it was done.
    fn fault(&self) -> Option<bool> {
        let mut crash = self.crash.lock().expect("unpoisoned");
        match &mut *crash {
            Some((0, _)) => return crash.take().map(|(_, after)| after),
            Some((nth, _)) => *nth -= 1,
            None => {}
        }
        let mut luck = self.luck.lock().expect("unpoisoned");
        let fails = luck.0.next() % 1_000 < luck.1;
        fails.then(|| luck.0.percent(50))
    }

    async fn shaken<T>(&self, answer: Answer<'_, T>) -> Result<T, LedgerError> {
        let away = || LedgerError::Unavailable("shaken".to_owned());
        match self.fault() {
            None => answer.await,
            Some(false) => Err(away()),
            Some(true) => answer.await.and(Err(away())),
        }
    }
}

impl Ledger for Shaky {
    fn execute<'a>(&'a self, command: &'a Command) -> Answer<'a, Came> {
        Box::pin(self.shaken(self.inner.execute(command)))
    }
    fn identify<'a>(&'a self, digest: &'a KeyDigest) -> Answer<'a, Option<Identity>> {
        self.inner.identify(digest)
    }
    fn statement<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Option<Statement>> {
        Box::pin(self.shaken(self.inner.statement(account)))
    }
    fn keys<'a>(&'a self, account: &'a AccountId) -> Answer<'a, Vec<Key>> {
        self.inner.keys(account)
    }
    fn hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Option<Hold>> {
        self.inner.hold(account, hold)
    }
    fn accounts<'a>(&'a self, cursor: Option<&'a str>, limit: usize) -> Answer<'a, Page<AccountId>> {
        self.inner.accounts(cursor, limit)
    }
    fn entries<'a>(
        &'a self,
        account: &'a AccountId,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<Entry>> {
        self.inner.entries(account, cursor, limit)
    }
    fn entries_of_hold<'a>(&'a self, account: &'a AccountId, hold: HoldId) -> Answer<'a, Vec<Entry>> {
        self.inner.entries_of_hold(account, hold)
    }
    fn usage_by_day<'a>(&'a self, account: &'a AccountId, from: i64, to: i64) -> Answer<'a, Vec<DayUsage>> {
        self.inner.usage_by_day(account, from, to)
    }
    fn journal(&self, partition: u32, after: u64, limit: usize) -> Answer<'_, Vec<Entry>> {
        self.inner.journal(partition, after, limit)
    }
    fn partitions(&self) -> u32 {
        self.inner.partitions()
    }
    fn sweep(&self, on_expiry: OnExpiry) -> Answer<'_, u64> {
        self.inner.sweep(on_expiry)
    }
    fn verify(&self) -> Answer<'_, VerifyReport> {
        self.inner.verify()
    }
    fn rebuild(&self) -> Answer<'_, VerifyReport> {
        self.inner.rebuild()
    }
    fn ready(&self) -> Answer<'_, Timestamp> {
        self.inner.ready()
    }
    fn durability(&self) -> String {
        self.inner.durability()
    }
}

impl Memos for Shaky {
    fn memo<'a>(&'a self, name: &'a MemoName) -> Answer<'a, Option<Kept>> {
        Box::pin(self.shaken(self.inner.memo(name)))
    }
    fn write_memo<'a>(&'a self, name: &'a MemoName, expected: u64, memo: &'a Memo) -> Answer<'a, Wrote> {
        Box::pin(self.shaken(self.inner.write_memo(name, expected, memo)))
    }
    fn due_memos(&self, limit: usize) -> Answer<'_, Vec<MemoName>> {
        Box::pin(self.shaken(self.inner.due_memos(limit)))
    }
    fn memos<'a>(
        &'a self,
        kind: &'a str,
        cursor: Option<&'a str>,
        limit: usize,
    ) -> Answer<'a, Page<(MemoName, Kept)>> {
        self.inner.memos(kind, cursor, limit)
    }
}

/// With more lines of `[stripe]`.
fn rules(mode: &str, more: &str) -> Rules {
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\ntoken = \"0123456789abcdef0123456789abcdef\"\n[ledger]\nbackend = \"embedded\"\npath = \"x\"\n[upstreams.models]\nurl = \"http://127.0.0.1:1\"\n{ROUTES}\n[stripe]\nmode = \"{mode}\"\nwebhook_secrets = [\"{}\"]\napi_key = \"rk_test_1\"\ncredits_per_unit = {{ usd = 1 }}\n{more}\n",
        super::fake::SECRET
    );
    let read = config::parse(&text, &|_| None, &|_| Err(std::io::ErrorKind::NotFound.into()));
    let config = read.unwrap_or_else(|problems| panic!("{problems}"));
    Rules::of(&config).expect("it is there")
}

/// All of it.
pub(super) struct Inside {
    pub(super) stripe: Arc<Direct>,
    pub(super) store: Arc<Shaky>,
    pub(super) desk: Arc<Desk>,
    pub(super) clock: Arc<ManualClock>,
    _folder: TempDir,
}

impl Inside {
    pub(super) fn open(mode: &str, seed: u64) -> Inside {
        Inside::open_with(mode, seed, "")
    }

    /// With more lines of `[stripe]`.
    pub(super) fn open_with(mode: &str, seed: u64, more: &str) -> Inside {
        let folder = TempDir::new();
        let clock = Arc::new(ManualClock::new(Timestamp::from_micros(START * 1_000_000)));
        let inner = EmbeddedLedger::open(Options::new(folder.join("ledger")), Arc::clone(&clock) as _)
            .expect("a ledger");
        let store = Arc::new(Shaky {
            inner,
            luck: Mutex::new((Chance::new(seed ^ 0x5eed), 0)),
            crash: Mutex::default(),
        });
        let stripe = Arc::new(Direct::new(START, seed ^ 0xca11));
        let rules = rules(mode, more);
        let desk = Arc::new(Desk::new(
            Arc::clone(&store) as _,
            Arc::clone(&store) as _,
            Some(Arc::clone(&stripe) as _),
            Arc::clone(&clock) as _,
            rules,
        ));
        Inside {
            stripe,
            store,
            desk,
            clock,
            _folder: folder,
        }
    }

    /// The configuration is another from now on.
    pub(super) fn reload(&self, mode: &str, more: &str) {
        let stripe = Some(Arc::clone(&self.stripe) as _);
        self.desk.reload(rules(mode, more), stripe);
    }

    /// The door that events come by.
    pub(super) fn webhook(&self) -> Webhook {
        let secrets = WebhookSecrets::new(vec![Secret::new(super::fake::SECRET)]).expect("secrets");
        let metrics = Metrics::new(&["ok"]).expect("metrics");
        Webhook::new(
            Arc::clone(&self.desk),
            secrets,
            Arc::clone(&self.clock) as _,
            Arc::clone(&metrics.stripe),
        )
    }

    /// Time goes on, for the gate as for Stripe.
    pub(super) fn advance(&self, seconds: i64) {
        let mut world = self.stripe.world();
        world.advance(seconds);
        self.clock
            .set(Timestamp::from_micros(world.now() * 1_000_000 + 500_000));
    }

    /// Delivers one event; an error is the desk crashing on it.
    pub(super) async fn deliver(&self, event: &Value) -> bool {
        let raw = event.to_string();
        let read = parse(raw.as_bytes()).expect("an event");
        self.desk.receive(&read, raw.as_bytes()).await.is_ok()
    }

    /// From now on nothing fails; the desk does all that is left to do.
    pub(super) async fn come_to_rest(&self) {
        self.store.fail(0);
        self.stripe.lose(0);
        let mut waiting = Vec::new();
        for _ in 0..200 {
            // Leases of those who crashed, and pauses before Stripe is asked again, run out.
            self.advance(700);
            while self.desk.work().await.expect("nothing fails") > 0 {}
            waiting.clear();
            for kind in KINDS {
                let page = self.store.memos(kind, None, 1_000).await.expect("nothing fails");
                let waits = page
                    .items
                    .into_iter()
                    .filter(|(_, kept)| kept.memo.due < Timestamp::NEVER);
                waiting.extend(waits.map(|(name, kept)| format!("{name}: {}", kept.memo.text)));
            }
            if waiting.is_empty() {
                return;
            }
        }
        panic!("it does not come to rest: {waiting:#?}");
    }

    /// What an account has, and why it is shut.
    pub(super) async fn account(&self, id: &str) -> Option<Account> {
        let id = AccountId::new(id).expect("an id");
        let statement = self.store.inner.statement(&id).await.expect("nothing fails");
        statement.map(|statement| statement.account)
    }

    /// When its grants end.
    pub(super) async fn ends_of(&self, id: &str) -> Vec<Timestamp> {
        let id = AccountId::new(id).expect("an id");
        let statement = self.store.inner.statement(&id).await.expect("nothing fails");
        let grants = statement.into_iter().flat_map(|statement| statement.grants);
        grants.map(|grant| grant.facts.expires_at).collect()
    }

    pub(super) async fn stands(&self, id: &str) -> Option<(Credits, Vec<String>)> {
        let account = self.account(id).await?;
        let reasons = account.settings.reasons.iter().map(ToString::to_string).collect();
        Some((account.available(), reasons))
    }

    pub(super) async fn verify(&self) {
        let report = self.store.inner.verify().await.expect("an answer");
        assert!(report.differences.is_empty(), "{report:#?}");
    }
}
