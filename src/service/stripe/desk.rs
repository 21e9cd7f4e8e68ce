//! The desk: takes what Stripe tells, has the memos hear it, and does what they want.
//!
//! What is told is in a memo, durably, before anything is done about it; what a memo has decided (a pause, an adjustment, a call) is written before it is
//! done, and noted as done afterwards. A crash between any two steps leaves a memo that is due, and whoever looks at due memos next goes on with it
//! ([`Desk::work`]).

mod awaited;
mod owner;
mod parked;
mod pinned;
mod postpaid;
mod report;
mod settle;
pub mod sync;
mod top_up;
mod verify;
mod wants;

use std::sync::Arc;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::config::stripe::Mode;
use crate::domain::time::{Span, Timestamp};
use crate::ledger::memos::{Kept, Memo, MemoName, Memos, Wrote};
use crate::ledger::{Ledger, LedgerError};
use crate::service::watch::Watch;
use crate::stripe::client::Stripe;
use crate::stripe::event::{Body, Event};
use crate::stripe::facts::{Fact, Telling, is_report, told};
use crate::telemetry::metrics::StripeMeters;

use super::memo::{Document, Rules, concerned};
pub use pinned::PinError;
pub use settle::Settled;

/// How long it is remembered that an event was dealt with. Stripe sends one again for three days; later repeats change nothing either, they only cost more.
const EVENTS_REMEMBERED: Span = Span::from_secs(4 * 86_400);

/// The most bytes of an event that are kept of one that cannot be read.
const PARKED_MAX: usize = 128 << 10;

/// The thin event by which Stripe tells that it failed to make some events, and not which.
const LOST_EVENTS: &str = "v2.core.health.event_generation_failure.resolved";

/// How often a memo that somebody else writes at the same time is read again, before Stripe is told to come back.
const TRIES: usize = 64;

/// What became of an event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Received {
    /// It changed something, or was to change something that was so already.
    Applied,
    /// It was dealt with before.
    Duplicate,
    /// Nothing that the gate listens to.
    Ignored,
    /// A test event for a live gate, or the other way round.
    WrongMode,
    /// Another account's.
    WrongAccount,
    /// It is kept until somebody has looked: what it says cannot be done, or not be read.
    Parked,
}

impl Received {
    /// All, as metrics name them.
    pub const ALL: [(Received, &'static str); 6] = [
        (Received::Applied, "applied"),
        (Received::Duplicate, "duplicate"),
        (Received::Ignored, "ignored"),
        (Received::WrongMode, "wrong_mode"),
        (Received::WrongAccount, "wrong_account"),
        (Received::Parked, "parked"),
    ];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        let found = Self::ALL.iter().find(|(received, _)| *received == self);
        found.map_or("", |(_, name)| name)
    }
}

/// Takes what Stripe tells.
#[derive(Debug)]
pub struct Desk {
    ledger: Arc<dyn Ledger>,
    memos: Arc<dyn Memos>,
    stripe: ArcSwap<Option<Arc<dyn Stripe>>>,
    clock: Arc<dyn Clock>,
    rules: ArcSwap<Rules>,
    meters: Option<Arc<StripeMeters>>,
    watch: Arc<Watch>,
    wake: tokio::sync::Notify,
    lost: tokio::sync::Notify,
}

/// What is kept of something that cannot be done.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Parked {
    /// Why not.
    pub why: String,
    /// Since when, in seconds since the epoch.
    pub since: i64,
    /// The event's body, where it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

impl Desk {
    /// A desk over a ledger and its memos; `stripe` where the API may be asked.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        memos: Arc<dyn Memos>,
        stripe: Option<Arc<dyn Stripe>>,
        clock: Arc<dyn Clock>,
        rules: Rules,
    ) -> Desk {
        Desk {
            ledger,
            memos,
            stripe: ArcSwap::from_pointee(stripe),
            clock,
            rules: ArcSwap::from_pointee(rules),
            meters: None,
            watch: Arc::default(),
            wake: tokio::sync::Notify::new(),
            lost: tokio::sync::Notify::new(),
        }
    }

    /// The same, counting in these meters.
    pub fn metered(self, meters: Arc<StripeMeters>) -> Desk {
        Desk {
            meters: Some(meters),
            ..self
        }
    }

    /// The same, having whoever tops up automatically watched by this.
    pub fn watching(self, watch: Arc<Watch>) -> Desk {
        Desk { watch, ..self }
    }

    /// From now on these rules apply, and Stripe is asked through this client.
    pub fn reload(&self, rules: Rules, stripe: Option<Arc<dyn Stripe>>) {
        self.stripe.store(Arc::new(stripe));
        self.rules.store(Arc::new(rules));
    }

    /// The client of Stripe's API, where it may be asked.
    pub(super) fn stripe(&self) -> Option<Arc<dyn Stripe>> {
        self.stripe.load().as_ref().clone()
    }

    /// The rules that apply.
    pub fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
    }

    /// Waits until Stripe tells that it failed to make some events.
    pub async fn loses_events(&self) {
        self.lost.notified().await;
    }

    /// Seconds since the epoch.
    fn seconds(&self) -> i64 {
        self.clock.now().micros() / 1_000_000
    }

    /// Stripe's time when ours was this, as far as is known.
    pub(super) fn their_time(&self, ours: i64) -> i64 {
        self.stripe().map_or(ours, |stripe| stripe.their_time(ours))
    }

    /// Takes an event whose signature held; `raw` is its body. When this has answered, what it tells is durable, and what follows for the ledger is done.
    /// An error means that it should be sent again.
    pub async fn receive(&self, event: &Event, raw: &[u8]) -> Result<Received, LedgerError> {
        self.receive_or_repeat(event, raw, false).await
    }

    /// As [`Desk::receive`]; with `again`, also where the event was dealt with before. That changes nothing which is as it should be.
    pub(super) async fn receive_or_repeat(
        &self,
        event: &Event,
        raw: &[u8],
        again: bool,
    ) -> Result<Received, LedgerError> {
        let rules = self.rules();
        if event.livemode != rules.stripe.livemode {
            return Ok(Received::WrongMode);
        }
        let other = |account: &&str| event.account.as_deref().is_some_and(|of| of != *account);
        if rules.stripe.account.as_deref().filter(other).is_some() {
            return Ok(Received::WrongAccount);
        }
        let Ok(marker) = MemoName::new("event", &event.id) else {
            return Ok(Received::Ignored);
        };
        let known = self.memos.memo(&marker).await?.is_some();
        if known && !again {
            return Ok(Received::Duplicate);
        }
        let received = self.take(event, raw, &rules).await?;
        if received != Received::Ignored && !known {
            let memo = Memo {
                text: "{}".into(),
                due: Timestamp::NEVER,
                forget_at: self.clock.now().plus(EVENTS_REMEMBERED),
            };
            // Somebody else may have taken the same delivery.
            self.memos.write_memo(&marker, 0, &memo).await?;
        }
        Ok(received)
    }

    async fn take(&self, event: &Event, raw: &[u8], rules: &Rules) -> Result<Received, LedgerError> {
        if let Body::Thin(Some(related)) = &event.body
            && related.kind == "billing.credit_grant"
            && rules.stripe.mode == Mode::Grants
        {
            return self.look_at("grant", &related.id).await;
        }
        if matches!(event.body, Body::Thin(_)) && is_report(&event.kind) && rules.stripe.usage.is_some() {
            return self.look_at("report", &event.id).await;
        }
        if event.kind == LOST_EVENTS && rules.api {
            // A run is due at the next start anyway, so nothing is lost by a crash.
            self.lost.notify_one();
            return Ok(Received::Applied);
        }
        let telling = match told(event) {
            Ok(Some(telling)) => telling,
            Ok(None) => return Ok(Received::Ignored),
            Err(error) => return self.park_event(event, raw, &error.to_string()).await,
        };
        if !is_meant(&telling.fact, rules) {
            return Ok(Received::Ignored);
        }
        // A page that sells nothing: it verifies a card, begins a subscription, or is free.
        if matches!(telling.fact, Fact::Session(_)) && concerned(&telling.fact).is_empty() {
            return Ok(Received::Ignored);
        }
        if concerned(&telling.fact).is_empty() {
            let why = "it names no payment, so nobody knows whose it is";
            return self.park_event(event, raw, why).await;
        }
        match self.tell(&telling, false).await? {
            Settled::Parked => Ok(Received::Parked),
            _ => Ok(Received::Applied),
        }
    }

    /// Has all memos hear what was told, and does what follows. With `api`, Stripe is asked where that is wanted; otherwise that is left to [`Desk::work`].
    pub async fn tell(&self, telling: &Telling, api: bool) -> Result<Settled, LedgerError> {
        let rules = self.rules();
        let mut all = Settled::Done;
        let concerned = concerned(&telling.fact);
        let mut names = Vec::with_capacity(concerned.len());
        for (kind, id) in concerned {
            let Ok(name) = MemoName::new(kind, id) else {
                continue;
            };
            self.hear(&name, telling, &rules).await?;
            names.push(name);
        }
        for name in names {
            all = all.max(Box::pin(self.settle(&name, api)).await?);
        }
        if all == Settled::Asking {
            self.wake.notify_one();
        }
        Ok(all)
    }

    /// Writes what was told into one memo, due at once.
    async fn hear(&self, name: &MemoName, telling: &Telling, rules: &Rules) -> Result<(), LedgerError> {
        self.rewrite(name, |document| {
            document.hear(name, telling, rules);
        })
        .await
    }

    /// Nobody owes an invoice that Stripe does not know any more.
    async fn invoice_is_gone(&self, name: &MemoName) -> Result<(), LedgerError> {
        self.rewrite(name, |document| {
            if let Document::Invoice(invoice) = document {
                invoice.over = true;
            }
        })
        .await?;
        self.settle(name, true).await.map(|_| ())
    }

    /// Changes a memo, and makes it due where it changed.
    async fn rewrite(&self, name: &MemoName, change: impl FnMut(&mut Document)) -> Result<(), LedgerError> {
        self.revise(name, false, change).await
    }

    /// Has a memo looked at by whoever looks at what is due, whatever becomes of this caller.
    async fn make_due(&self, name: &MemoName) -> Result<(), LedgerError> {
        self.revise(name, true, |_| {}).await
    }

    /// Changes a memo as if nobody else did at the same time; it is due where it changed, or `anyway`.
    async fn revise(
        &self,
        name: &MemoName,
        anyway: bool,
        mut change: impl FnMut(&mut Document),
    ) -> Result<(), LedgerError> {
        for _ in 0..TRIES {
            let kept = self.memos.memo(name).await?;
            let mut stored = settle::Stored::read(name, kept.as_ref())?;
            let before = stored.document.clone();
            change(&mut stored.document);
            if kept.is_some() && !anyway && stored.document == before {
                return Ok(());
            }
            if self.write(name, &stored, kept.as_ref(), Timestamp::ZERO).await? {
                return Ok(());
            }
        }
        Err(LedgerError::Unavailable(format!(
            "the memo {name} is written by others all the time"
        )))
    }

    /// Writes over what was read; whether nobody else had.
    async fn write(
        &self,
        name: &MemoName,
        stored: &settle::Stored,
        kept: Option<&Kept>,
        due: Timestamp,
    ) -> Result<bool, LedgerError> {
        let memo = Memo {
            text: stored.text().into(),
            due,
            forget_at: Timestamp::NEVER,
        };
        let expected = kept.map_or(0, |kept| kept.version);
        let wrote = self.memos.write_memo(name, expected, &memo).await?;
        let done = matches!(wrote, Wrote::Done { .. });
        if done && let Document::TopUp(memo) = &stored.document {
            self.watch_for(name, memo);
        }
        Ok(done)
    }

    async fn look_at(&self, kind: &'static str, id: &str) -> Result<Received, LedgerError> {
        let Ok(name) = MemoName::new(kind, id) else {
            return Ok(Received::Ignored);
        };
        self.rewrite(&name, Document::look).await?;
        self.wake.notify_one();
        Ok(Received::Applied)
    }

    async fn park_event(&self, event: &Event, raw: &[u8], why: &str) -> Result<Received, LedgerError> {
        let body = String::from_utf8_lossy(&raw[..raw.len().min(PARKED_MAX)]);
        tracing::error!(
            event = event.id,
            kind = event.kind,
            why,
            "parked an event of Stripe that cannot be used"
        );
        self.park(&event.id, why, Some(body.into_owned())).await?;
        Ok(Received::Parked)
    }

    /// Keeps a record of what cannot be done, for the operator.
    async fn park(&self, what: &str, why: &str, body: Option<String>) -> Result<(), LedgerError> {
        let Ok(name) = MemoName::new("parked", what) else {
            return Ok(());
        };
        let parked = Parked {
            why: why.to_owned(),
            since: self.seconds(),
            body,
        };
        let memo = Memo {
            text: serde_json::to_string(&parked).unwrap_or_default().into(),
            due: Timestamp::NEVER,
            forget_at: Timestamp::NEVER,
        };
        let known = self.memos.memo(&name).await?;
        self.memos
            .write_memo(&name, known.map_or(0, |known| known.version), &memo)
            .await?;
        Ok(())
    }

    /// Takes the record away; whether there was one.
    async fn unpark(&self, what: &str) -> Result<bool, LedgerError> {
        let Ok(name) = MemoName::new("parked", what) else {
            return Ok(false);
        };
        let Some(known) = self.memos.memo(&name).await? else {
            return Ok(false);
        };
        let memo = Memo {
            forget_at: Timestamp::ZERO,
            ..known.memo
        };
        self.memos.write_memo(&name, known.version, &memo).await?;
        Ok(true)
    }
}

/// Whether a fact is one that this way of being paid listens to. Each way has one thing that credits.
fn is_meant(fact: &Fact, rules: &Rules) -> bool {
    match fact {
        Fact::Grant(_) | Fact::Transaction(_) => rules.stripe.mode == Mode::Grants,
        // Of the others nothing is to be remembered: who pays or gets into trouble is asked for.
        Fact::Customer(customer) => customer.metadata.contains_key(&*rules.stripe.account_metadata),
        _ => true,
    }
}
