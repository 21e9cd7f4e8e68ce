//! The gate: who is it, and may this request go through? One ledger operation says whether.

use std::fmt;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Semaphore, oneshot};
use tokio::time::Instant;

use crate::domain::claim::{Claim, ClaimKey};
use crate::domain::command::Admit;
use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::ids::{AccountId, HoldId, KeyDigest};
use crate::domain::key::Identity;
use crate::domain::price::Quote;
use crate::domain::refusal::Refusal;
use crate::domain::time::Span;
use crate::ledger::{Answer, Ledger, LedgerError};

use super::asking::Asking;
use super::breaker::Breaker;
use super::charge::{self, Held};
use super::denial::Denial;
pub use super::identities::Known;
use super::identities::{BAD_NEWS, Found, Identities};
use super::plans::Plans;
use super::request_ids::RequestIds;
use super::watch::{Mark, Watch};
use crate::telemetry::metrics::LedgerMeters;

/// How often a request is judged anew because the account changed under it, before it is called overload.
pub(super) const STALE_MAX: u32 = 4;

/// Refusals in a row after which a key's next ones are answered from memory for [`BAD_NEWS`].
const STORM: u32 = 32;

/// Pause between two questions to a ledger that did not answer.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// How the gate treats holds.
#[derive(Clone, Copy, Debug)]
pub struct GateOptions {
    /// How long a hold lives unless renewed.
    pub hold_ttl: Span,
    /// How long a request waits for the ledger in all, until it is answered with a failure: who it is, and whether it may go through, however often
    /// either has to be asked.
    pub deadline: Duration,
    /// Requests under way at once, those that wait to be settled included.
    pub requests_max: usize,
}

/// How long a request may still wait for the ledger, over all that it asks. What passes in between (a body is read) does not count.
#[derive(Clone, Copy, Debug)]
pub struct Patience(Duration);

/// Identifies and admits. One per worker.
pub struct Gate {
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) options: GateOptions,
    pub(super) requests: Arc<Semaphore>,
    pub(super) ids: Arc<RequestIds>,
    pub(super) meters: Arc<LedgerMeters>,
    pub(super) breaker: Arc<Breaker>,
    /// Who runs low.
    pub(super) watch: Arc<Watch>,
    identities: Identities,
    /// Who is being asked for: a key that many present at once, and that is not known yet, is one question.
    asking: Asking<Option<Arc<Known>>>,
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate")
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

/// What a request asks of the gate.
#[derive(Debug)]
pub struct Ask<'a> {
    /// The request.
    pub request: HoldId,
    /// The route's id, for entitlement.
    pub route: &'a str,
    /// The model that it is for, where it is for one, for entitlement.
    pub model: Option<&'a str>,
    /// What it may cost.
    pub quote: Quote,
    /// One of several requests of which one shall be charged: see [`claim`].
    pub claim: Option<Claim>,
    /// For the journal.
    pub detail: Detail,
    /// How long it may still wait.
    pub patience: Patience,
}

/// The request may go through.
#[derive(Debug)]
pub struct Admission {
    /// Proof that it is paid; to be settled.
    pub held: Held,
    /// What the account has left.
    pub available: Credits,
}

impl Gate {
    /// A gate in front of a ledger.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        options: GateOptions,
        ids: Arc<RequestIds>,
        meters: Arc<LedgerMeters>,
    ) -> Gate {
        let requests = Arc::new(Semaphore::new(options.requests_max));
        Gate {
            ledger,
            options,
            requests,
            ids,
            breaker: Arc::new(Breaker::new(Arc::clone(&meters))),
            meters,
            watch: Arc::default(),
            identities: Identities::default(),
            asking: Asking::default(),
        }
    }

    /// The same, telling this of what accounts have.
    pub fn watched(self, watch: Arc<Watch>) -> Gate {
        Gate { watch, ..self }
    }

    /// For what an account's credits are watched, where they are.
    pub fn mark(&self, account: &AccountId) -> Option<Mark> {
        self.watch.mark(account)
    }

    /// A new request's id.
    pub fn request_id(&self) -> HoldId {
        self.ids.next()
    }

    /// Requests under way or waiting to be settled.
    pub fn under_way(&self) -> usize {
        self.options
            .requests_max
            .saturating_sub(self.requests.available_permits())
    }

    /// A new request's patience.
    pub fn patience(&self) -> Patience {
        Patience(self.options.deadline)
    }

    /// What becomes of something else that a request waits for, as long as it still waits for the ledger.
    pub async fn in_time<T>(&self, patience: Patience, answer: impl Future<Output = T>) -> Result<T, Denial> {
        let answer = tokio::time::timeout(patience.0, answer).await;
        answer.map_err(|_| self.timed_out())
    }

    fn timed_out(&self) -> Denial {
        Denial::Failed(LedgerError::TimedOut(millis(self.options.deadline)))
    }

    /// Waits until all is settled.
    pub async fn settled(&self) {
        let all = u32::try_from(self.options.requests_max).unwrap_or(u32::MAX);
        // The semaphore is never closed.
        let _ = self.requests.acquire_many(all).await;
    }

    /// Whom a presented key identifies, if the account is not paused.
    pub async fn identify(
        &self,
        plans: &Arc<Plans>,
        presented: &[u8],
        patience: &mut Patience,
    ) -> Result<Arc<Known>, Denial> {
        let known = self.recognise(plans, presented, patience).await?;
        judge(&known.identity).map(|()| known)
    }

    /// Whom a presented key identifies, paused or not: for looking at one's own balance. Bad news is re-read after [`BAD_NEWS`]; good news counts until
    /// `admit` finds it stale.
    pub async fn recognise(
        &self,
        plans: &Arc<Plans>,
        presented: &[u8],
        patience: &mut Patience,
    ) -> Result<Arc<Known>, Denial> {
        let digest = KeyDigest(Sha256::digest(presented).into());
        match self.identities.get(&digest) {
            Some(Found::Known(known)) => {
                let known = self.under(plans, known);
                if judge(&known.identity).is_ok() || known.read_at.elapsed() < BAD_NEWS {
                    return valid(&known.identity).map(|()| known);
                }
            }
            Some(Found::Nobody(at)) if at.elapsed() < BAD_NEWS => return Err(Denial::InvalidKey),
            _ => {}
        }
        let asked = Instant::now();
        let known = self.read(plans, digest, asked + patience.0).await;
        patience.0 = patience.0.saturating_sub(asked.elapsed());
        let known = known?;
        valid(&known.identity).map(|()| known)
    }

    /// The same identity, judged by these plans.
    fn under(&self, plans: &Arc<Plans>, known: Arc<Known>) -> Arc<Known> {
        if Arc::ptr_eq(&known.plans, plans) {
            return known;
        }
        let again = Arc::new(Known::new(known.digest, known.identity.clone(), plans));
        self.identities
            .put(known.digest, Found::Known(Arc::clone(&again)));
        again
    }

    /// Asks the ledger whom a key identifies, or waits for the answer to somebody who has asked; no longer than until `deadline`.
    async fn read(
        &self,
        plans: &Arc<Plans>,
        digest: KeyDigest,
        deadline: Instant,
    ) -> Result<Arc<Known>, Denial> {
        let ask = || self.ask(plans, digest, deadline);
        let answer = tokio::time::timeout_at(deadline, self.asking.or_ask(digest, ask)).await;
        let known = answer.map_err(|_| self.timed_out())?.map_err(Denial::Failed)?;
        // Another's answer may have been made under other plans.
        known.map_or(Err(Denial::InvalidKey), |known| Ok(self.under(plans, known)))
    }

    async fn ask(
        &self,
        plans: &Arc<Plans>,
        digest: KeyDigest,
        deadline: Instant,
    ) -> Result<Option<Arc<Known>>, LedgerError> {
        let Some(identity) = until(deadline, || self.ledger.identify(&digest)).await? else {
            self.identities.put(digest, Found::Nobody(Instant::now()));
            return Ok(None);
        };
        let known = Arc::new(Known::new(digest, identity, plans));
        self.identities.put(digest, Found::Known(Arc::clone(&known)));
        Ok(Some(known))
    }

    /// Opens a hold for a request, or says why not. What was decided on an outdated identity is decided again.
    pub async fn admit(self: &Arc<Self>, known: Arc<Known>, ask: Ask<'_>) -> Result<Admission, Denial> {
        if let Some(refusal) = in_storm(&known, &ask) {
            return Err(Denial::Refused(refusal));
        }
        let deadline = Instant::now() + ask.patience.0;
        let mut known = known;
        let mut request = ask.request;
        for _ in 0..STALE_MAX {
            let plan = known.plans.of(known.identity.plan.as_ref());
            if !plan.opens(ask.route) || ask.model.is_some_and(|model| !plan.opens_model(model)) {
                if known.read_at.elapsed() < BAD_NEWS {
                    let way = known.plans.way_to(plan, ask.route, ask.model);
                    return Err(Denial::NotEntitled(way.cloned()));
                }
                known = self.again(&known, deadline).await?;
                continue;
            }
            match self.open(&known, request, &ask, deadline).await {
                Err(Denial::Refused(Refusal::Stale)) => known = self.again(&known, deadline).await?,
                Err(Denial::Refused(Refusal::KeyExpired)) => return Err(Denial::InvalidKey),
                // Our idea of the store's time was wrong: ask it, and name the request anew.
                Err(Denial::Refused(Refusal::TooOld)) => {
                    let time = until(deadline, || self.ledger.ready())
                        .await
                        .map_err(Denial::Failed)?;
                    self.ids.observe(time);
                    request = self.ids.next();
                }
                answer => {
                    remember(&known, &answer);
                    return answer;
                }
            }
        }
        Err(Denial::Overloaded)
    }

    /// The same caller as it is now, if it still counts.
    pub(super) async fn again(&self, known: &Known, deadline: Instant) -> Result<Arc<Known>, Denial> {
        let fresh = self.read(&known.plans, known.digest, deadline).await?;
        judge(&fresh.identity)?;
        Ok(fresh)
    }

    /// Hands the request to a charge task of its own, which outlives it, and waits for the ledger's answer.
    async fn open(
        self: &Arc<Self>,
        known: &Arc<Known>,
        request: HoldId,
        ask: &Ask<'_>,
        deadline: Instant,
    ) -> Result<Admission, Denial> {
        let partition = self.ledger.partition_of(&known.caller.account);
        self.breaker.pass(partition).map_err(Denial::Failed)?;
        let Ok(permit) = Arc::clone(&self.requests).try_acquire_owned() else {
            return Err(Denial::Overloaded);
        };
        let admit = Admit {
            hold: request,
            caller: Arc::clone(&known.caller),
            least: ask.quote.least,
            most: ask.quote.most,
            tokens: ask.quote.tokens,
            ttl: self.options.hold_ttl,
            claim: ask.claim,
            detail: ask.detail.clone(),
        };
        let (answer, answered) = oneshot::channel();
        let task = charge::Task::new(self, known, request, permit);
        tokio::spawn(task.run(Box::new(admit), answer));
        match tokio::time::timeout_at(deadline, answered).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(Denial::Failed(LedgerError::Unavailable(
                "the charge task ended".to_owned(),
            ))),
            Err(_) => Err(self.timed_out()),
        }
    }
}

/// What a request claims by the idempotency key that its client gave it: requests of an account under the same key are one, if they ask for the same
/// (the same parts: method, target, body). The client's text is not kept.
pub fn claim(account: &AccountId, key: &[u8], parts: &[&[u8]]) -> Claim {
    let digest = |parts: &[&[u8]]| {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize()
    };
    let (mut name, mut content) = ([0; 16], [0; 8]);
    name.copy_from_slice(&digest(&[account.as_str().as_bytes(), key])[..16]);
    content.copy_from_slice(&digest(parts)[..8]);
    Claim {
        key: ClaimKey(name),
        content: u64::from_le_bytes(content),
    }
}

/// Asks until there is an answer that asking again cannot change, or time is up.
async fn until<'a, T>(deadline: Instant, ask: impl Fn() -> Answer<'a, T>) -> Result<T, LedgerError> {
    loop {
        let answer = match tokio::time::timeout_at(deadline, ask()).await {
            Ok(answer) => answer,
            Err(_) => return Err(LedgerError::Unavailable("no answer in time".to_owned())),
        };
        match answer {
            Err(error) if error.is_transient() && Instant::now() + ASK_AGAIN < deadline => {
                tokio::time::sleep(ASK_AGAIN).await;
            }
            answer => return answer,
        }
    }
}

/// For people: at most 2^64 - 1.
pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A key that is not revoked. Its expiry is judged by the ledger, which has the time.
fn valid(identity: &Identity) -> Result<(), Denial> {
    if identity.key_revoked_at.is_some() {
        Err(Denial::InvalidKey)
    } else {
        Ok(())
    }
}

/// What an identity by itself forbids.
fn judge(identity: &Identity) -> Result<(), Denial> {
    valid(identity)?;
    if identity.reasons.is_empty() {
        Ok(())
    } else {
        Err(Denial::AccountPaused(identity.reasons.clone()))
    }
}

/// The refusal that this key's storm is answered with just now. When it is old, one request asks, and the others go on with it until that one has its
/// answer, for as long again at most.
fn in_storm(known: &Known, ask: &Ask<'_>) -> Option<Refusal> {
    let mut storm = known.storm.lock().unwrap_or_else(PoisonError::into_inner);
    let (at, refusal) = storm.last.as_ref()?;
    let same =
        matches!(refusal, Refusal::InsufficientCredits { required, .. } if *required <= ask.quote.least);
    if storm.refusals < STORM || !same {
        return None;
    }
    let age = at.elapsed();
    if age < BAD_NEWS || (storm.asking && age < 2 * BAD_NEWS) {
        return Some(refusal.clone());
    }
    storm.asking = true;
    None
}

fn remember(known: &Known, answer: &Result<Admission, Denial>) {
    let mut storm = known.storm.lock().unwrap_or_else(PoisonError::into_inner);
    match answer {
        Err(Denial::Refused(refusal)) => {
            storm.refusals = storm.refusals.saturating_add(1);
            storm.last = Some((Instant::now(), refusal.clone()));
            storm.asking = false;
        }
        _ if storm.refusals > 0 => *storm = Default::default(),
        _ => {}
    }
}
