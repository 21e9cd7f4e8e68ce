//! A proxy's host: a real gate with its charge tasks and sweeper over the run's store, and clients whose requests a mock upstream serves.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use faregate::clock::Clock;
use faregate::domain::entry::Detail;
use faregate::domain::ids::HoldId;
use faregate::domain::price::Quote;
use faregate::domain::refusal::Refusal;
use faregate::domain::time::Timestamp;
use faregate::ledger::{Ledger, LedgerError};
use faregate::service::charge::{Ending, Growth, Held};
use faregate::service::denial::Denial;
use faregate::service::gate::{self, Gate, GateOptions};
use faregate::service::request_ids::{Entropy, RequestIds};
use faregate::service::sweeper;
use faregate::telemetry::metrics::{LedgerMeters, Metrics};

use super::plan::credits;
use super::rng::Rng;
use super::witness::Ask;
use super::world::{Phase, Run, now};

/// A proxy's name.
pub(super) fn name(proxy: usize) -> String {
    format!("proxy-{proxy}")
}

/// The world's time, as a proxy with a wrong clock sees it.
#[derive(Debug)]
pub(super) struct SkewedClock(pub(super) i64);

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        let world = turmoil::since_epoch().expect("asked on a host").as_micros();
        Timestamp::from_micros(i64::try_from(world).expect("before the year 2255") + self.0)
    }
}

/// Randomness that repeats itself.
pub(super) fn entropy(seed: u64) -> Entropy {
    let rng = Mutex::new(Rng::new(seed));
    Arc::new(move |buffer| rng.lock().expect("nothing panics with it").fill(buffer))
}

/// The proxy's life, from its start until it is killed. `life` counts its starts.
pub(super) async fn live(run: Arc<Run>, proxy: usize, life: u64) -> turmoil::Result {
    let mut ledger = connect(&run, &name(proxy)).await;
    if let Some(bug) = run.bug {
        ledger = bug.spoil(ledger);
    }
    let plan = &run.plan;
    let seed = plan.seed ^ (proxy as u64 + 1) << 32 ^ life << 40;
    let ids = RequestIds::new(Arc::new(SkewedClock(plan.skews[proxy])), entropy(seed));
    let options = GateOptions {
        hold_ttl: plan.hold_ttl.into(),
        deadline: plan.deadline,
        requests_max: 500,
    };
    let meters = Metrics::new(&[])?.ledger;
    let gate = Arc::new(Gate::new(
        Arc::clone(&ledger),
        options,
        Arc::new(ids),
        Arc::clone(&meters),
    ));
    tokio::spawn(sweeper::run(
        Arc::clone(&ledger),
        plan.on_expiry,
        Arc::clone(&meters),
    ));
    run.at_work(proxy, Arc::clone(&gate));
    let mut rng = Rng::new(seed ^ 0xc11e);
    loop {
        match run.phase() {
            Phase::Busy => {
                let gap = u64::try_from(plan.gap.as_millis()).expect("a short time");
                tokio::time::sleep(rng.millis(0, 2 * gap)).await;
                client(&run, proxy, &gate, &mut rng);
            }
            Phase::Probing(which) if which == proxy => {
                check_meters(&run, &meters);
                probe(&run, proxy, &gate, &ledger).await;
                run.probed(proxy);
            }
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
        if gate.under_way() == 0 {
            run.witness().quiet(proxy);
        }
    }
}

/// What the proxy itself has noticed.
fn check_meters(run: &Run, meters: &LedgerMeters) {
    let mut witness = run.witness();
    let (open, lost) = (meters.open_holds.get(), meters.lost.get());
    if open != 0 {
        witness.wrong(
            now(),
            format!("{open} holds are open by the meter when all is settled"),
        );
    }
    if lost != 0 && witness.rebuilt.is_none() {
        witness.wrong(now(), format!("the ends of {lost} holds were refused"));
    }
}

/// As a program that starts does it: until the store answers.
pub(super) async fn connect(run: &Run, host: &str) -> Arc<dyn Ledger> {
    loop {
        match run.store.connect(host).await {
            Ok(ledger) => return ledger,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// One client's request, which it may abandon.
fn client(run: &Arc<Run>, proxy: usize, gate: &Arc<Gate>, rng: &mut Rng) {
    let mut rng = rng.fork();
    let mut request = Request::draw(run, proxy, &mut rng);
    let leaves = rng.chance(run.plan.clients_leave).then(|| rng.millis(0, 1_200));
    request.draw_growth(&mut rng);
    let (run, gate) = (Arc::clone(run), Arc::clone(gate));
    tokio::spawn(async move {
        let mut serving = tokio::spawn(serve(Arc::clone(&run), gate, request));
        let ended = match leaves {
            None => serving.await,
            Some(after) => match tokio::time::timeout(after, &mut serving).await {
                Ok(ended) => ended,
                Err(_) => {
                    serving.abort();
                    serving.await
                }
            },
        };
        if let Err(error) = ended
            && error.is_panic()
        {
            run.witness().wrong(now(), format!("a request panicked: {error}"));
        }
    });
}

/// A request, and what the upstream will make of it.
#[derive(Clone)]
struct Request {
    ask: Ask,
    lasts: Duration,
    /// In thousandths of the hold; above that it is an overrun.
    uses: i64,
    fails: bool,
    /// How often it asks for more, and for how much each time.
    grows: (u32, i64),
}

impl Request {
    fn draw(run: &Run, proxy: usize, rng: &mut Rng) -> Request {
        let plan = &run.plan;
        let account = &plan.accounts[rng.index(plan.accounts.len())];
        let least = rng.between(0, 4_000);
        let most = if rng.chance(500) {
            least
        } else {
            least + rng.between(0, 8_000)
        };
        let lasts = if rng.chance(60) {
            rng.millis(500, 5_000)
        } else {
            rng.millis(0, 300)
        };
        let uses = if rng.chance(plan.overruns) {
            rng.between(1_000, 3_000)
        } else {
            rng.between(0, 1_000)
        };
        Request {
            ask: Ask {
                account: account.id.clone(),
                key: account.keys[rng.index(account.keys.len())].clone(),
                proxy,
                started: Duration::ZERO,
                least,
                most,
            },
            lasts,
            uses,
            fails: rng.chance(100),
            grows: (0, 0),
        }
    }

    /// Some go on for longer than was thought. Drawn after all else, so that the rest of a run is as it would have been.
    fn draw_growth(&mut self, rng: &mut Rng) {
        if self.ask.most > 0 && rng.chance(200) {
            self.grows = (1 + rng.index(3) as u32, rng.between(1, 4_000));
        }
    }
}

/// What the proxy does with a request; dropped when its client leaves.
async fn serve(run: Arc<Run>, gate: Arc<Gate>, mut request: Request) {
    request.ask.started = now();
    run.witness().count("requests");
    let admitted = admit(&run, &gate, &request.ask).await;
    let mut held = match admitted {
        Ok(held) => held,
        Err(denial) => return denied(&run, &request.ask, &denial),
    };
    let (id, ask) = (held.request(), &request.ask);
    if ask.most == 0 {
        return run.witness().count("free");
    }
    run.witness().admitted(&run.plan, now(), ask, id, held.amount());
    let used = held.amount().micros() * request.uses / 1_000;
    let watched = Watched { run: &run, id };
    if request.fails {
        tokio::time::sleep(request.lasts).await;
        drop(watched);
        return held.settle(Ending::Release(Detail::none()));
    }
    // What the first bytes cost is charged even if the client leaves now.
    run.witness().charge(id, used / 2);
    held.on_drop(Ending::Capture(credits(used / 2), Detail::none()));
    let steps = request.grows.0 + 1;
    tokio::time::sleep(request.lasts / steps).await;
    for _ in 1..steps {
        if let Some(delivered) = grow(&run, &request, &mut held).await {
            run.witness().charge(id, delivered);
            held.on_drop(Ending::Capture(credits(delivered), Detail::none()));
        }
        tokio::time::sleep(request.lasts / steps).await;
    }
    let used = held.amount().micros() * request.uses / 1_000;
    run.witness().charge(id, used);
    drop(watched);
    held.settle(Ending::Capture(credits(used), Detail::none()));
}

/// Asks for more; what was delivered then, if there is more.
async fn grow(run: &Run, request: &Request, held: &mut Held) -> Option<i64> {
    let (id, most) = (held.request(), request.grows.1);
    run.witness().asks(id, most);
    held.grow(credits(1), credits(most));
    let growth = std::future::poll_fn(|cx| held.poll_grown(cx)).await;
    let counted = match &growth {
        Growth::To(_) => "grown",
        Growth::Refused(_) => "growth refused",
        Growth::Failed => "growth failed",
    };
    run.witness().count(counted);
    match growth {
        Growth::To(amount) => {
            run.witness().grown(&run.plan, now(), id, amount);
            Some(amount.micros() * request.uses.min(1_000) / 2_000)
        }
        Growth::Refused(denial) => {
            if !hold_may_be_gone(run, &denial) {
                denied(run, &request.ask, &denial);
            }
            None
        }
        Growth::Failed => None,
    }
}

/// A hold that was not renewed has run out, and one that a store has lost is not known any more.
fn hold_may_be_gone(run: &Run, denial: &Denial) -> bool {
    let witness = run.witness();
    match denial {
        Denial::Refused(Refusal::HoldEnded) => run.plan.renewals_may_fail(),
        // Of a store that has lost an extension, the next one has another number.
        Denial::Refused(Refusal::UnknownHold | Refusal::IdConflict) => {
            witness.lost.is_some() || witness.rebuilt.is_some()
        }
        _ => false,
    }
}

/// Tells the witness that the upstream has no more to do with a request, however it ends.
struct Watched<'a> {
    run: &'a Run,
    id: HoldId,
}

impl Drop for Watched<'_> {
    fn drop(&mut self) {
        // A killed proxy drops everything outside of the world's time.
        if !self.run.witness().is_orphan(self.id) {
            self.run.witness().ended(now(), self.id);
        }
    }
}

async fn admit(run: &Run, gate: &Arc<Gate>, ask: &Ask) -> Result<Held, Denial> {
    in_time(run, asked(run, gate, ask)).await
}

async fn asked(run: &Run, gate: &Arc<Gate>, ask: &Ask) -> Result<Held, Denial> {
    let mut patience = gate.patience();
    let known = gate
        .identify(&run.plans, ask.key.as_bytes(), &mut patience)
        .await?;
    let quote = Quote {
        least: credits(ask.least),
        most: credits(ask.most),
        tokens: 0,
    };
    let ask = gate::Ask {
        request: gate.request_id(),
        route: "POST /v1/things",
        model: None,
        quote,
        claim: None,
        detail: Detail::none(),
        patience,
    };
    let admission = gate.admit(known, ask).await?;
    Ok(admission.held)
}

/// The gate answers by its deadline, whatever the ledger does and however often it is asked.
async fn in_time<T>(run: &Run, answer: impl Future<Output = Result<T, Denial>>) -> Result<T, Denial> {
    let asked = now();
    let answer = answer.await;
    let took = now() - asked;
    if took > run.plan.deadline + Duration::from_millis(2) {
        let what = format!("the gate answered after {took:?}: {:?}", answer.as_ref().err());
        run.witness().wrong(now(), what);
    }
    answer
}

fn denied(run: &Run, ask: &Ask, denial: &Denial) {
    let mut witness = run.witness();
    let what = match denial {
        Denial::InvalidKey => "invalid key",
        Denial::AccountPaused(_) => "paused",
        Denial::NotEntitled(_) => "not entitled",
        Denial::Refused(Refusal::InsufficientCredits { .. }) => "insufficient",
        Denial::Refused(_) => "refused",
        Denial::Failed(_) => "failed",
        Denial::Overloaded => "overloaded",
    };
    witness.count(what);
    let account = &ask.account;
    let capped = witness.accounts.get(account).cloned().unwrap_or_default();
    witness
        .trace
        .note(now(), &format_args!("p{} {account} {what}", ask.proxy));
    match denial {
        Denial::Refused(Refusal::InsufficientCredits { available, required }) if available < required => {}
        Denial::Refused(Refusal::TooManyConcurrent { .. }) if capped.concurrent.is_some() => {}
        Denial::Refused(Refusal::SpendLimitReached { .. }) if capped.daily.is_some() => {}
        Denial::Refused(refusal) => {
            let what = format!("{account} was refused: {refusal:?}");
            witness.wrong(now(), what);
        }
        Denial::Failed(LedgerError::Unavailable(why)) if why.contains("charge task") => {
            witness.wrong(now(), "a charge task panicked".to_owned());
        }
        Denial::Overloaded | Denial::NotEntitled(_) => {
            witness.wrong(now(), format!("{account} was answered {denial:?}"));
        }
        _ => {}
    }
}

/// All is healed: what can be paid is let through, what can't is refused.
async fn probe(run: &Arc<Run>, proxy: usize, gate: &Arc<Gate>, ledger: &Arc<dyn Ledger>) {
    for account in &run.plan.accounts {
        let id = account.id.parse().expect("a name");
        let statement = match healed(|| ledger.statement(&id)).await {
            Ok(Some(statement)) => statement,
            answer => {
                let what = format!("no statement of {id} when all is healed: {answer:?}");
                run.witness().wrong(now(), what);
                continue;
            }
        };
        let (free, spent) = (statement.account.available(), statement.account.spent.micros());
        let left = free.micros() + account.credit_line.micros();
        let left = account.daily.map_or(left, |cap| left.min(cap - spent));
        for (least, expected) in [(1, left >= 1), (left.max(0) + 1, false)] {
            let ask = Ask {
                account: account.id.clone(),
                key: account.keys[0].clone(),
                proxy,
                started: now(),
                least,
                most: least,
            };
            let revoked = run.plan.revokes_first_key(account);
            let admitted = healed(async || match admit(run, gate, &ask).await {
                Err(Denial::Failed(error)) => Err(error),
                decided => Ok(decided),
            });
            match admitted.await {
                Ok(Ok(held)) => {
                    run.witness()
                        .admitted(&run.plan, now(), &ask, held.request(), held.amount());
                    run.witness().ended(now(), held.request());
                    drop(held);
                    if !expected || revoked {
                        let what = format!("{id} with {left} left was let through for {least}");
                        run.witness().wrong(now(), what);
                    }
                }
                Ok(Err(Denial::InvalidKey)) if revoked => {}
                Ok(Err(Denial::Refused(
                    Refusal::InsufficientCredits { .. } | Refusal::SpendLimitReached { .. },
                ))) if !expected => {}
                denied => {
                    let what =
                        format!("{id} with {left} left was denied {least} when all is healed: {denied:?}");
                    run.witness().wrong(now(), what);
                }
            }
            while gate.under_way() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
}

/// Asks until there is an answer, some times: what went silent before the healing is only noticed when it is used, and whoever comes before that is
/// turned away at once.
pub(super) async fn healed<T, F: Future<Output = Result<T, LedgerError>>>(
    ask: impl Fn() -> F,
) -> Result<T, LedgerError> {
    let mut answer = ask().await;
    for _ in 0..10 {
        if !answer.as_ref().is_err_and(LedgerError::is_transient) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
        answer = ask().await;
    }
    answer
}
