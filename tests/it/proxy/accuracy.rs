//! Calls drawn by chance, of every API, in every layout, with every ending, against an upstream that is a witness: it knows what it read and wrote. What is
//! charged is what was used, to the micro-credit, where the upstream says that; else no less than was used and no more than `docs/metering.md` says.
//!
//! `FAREGATE_CALLS` says how many, `FAREGATE_SEED` which, `FAREGATE_CALL` one of them alone.

mod answer;
mod chance;
mod expect;
mod plan;
mod price;
mod table;
mod upstream;
mod whole;
mod wire;
mod words;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faregate::domain::command::AccountChange;
use faregate::domain::credits::Credits;
use faregate::domain::entry::EntryKind;
use faregate::domain::ids::{AccountId, CommandId};
use faregate::ledger::Ledger;
use faregate::service::accounts::{self, Actor};
use faregate::service::keys::{self, KeyOptions, SecretKey};

use self::expect::{Due, Seen, dues};
use self::plan::{Api, Ending, Plan, Route};
use self::price::MODELS_TOML;
use self::table::Table;
use self::upstream::{Call, Witness};
use super::gatehouse::{Gatehouse, KEY};
use crate::rig::client::HttpClient;
use crate::rig::within;

const CALLS: u64 = 2_000;
const SEED: u64 = 20_260_101;
/// Calls at once.
const AT_ONCE: usize = 16;
/// What an account has that is not poor, in micro-credits.
const RICH: u64 = 1_000_000_000;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|e| panic!("{name}={text} is no number: {e}")),
    )
}

fn config(witness: &Witness) -> String {
    let mut text = String::from(MODELS_TOML);
    for kind in ["generic", "openai", "vllm", "plain"] {
        text.push_str(&format!(
            "[upstreams.{kind}]\nurl = \"http://{}\"\nkind = \"{kind}\"\n",
            witness.addr
        ));
    }
    for (api, name) in Api::ALL {
        for route in Route::all() {
            let path = route.path(api);
            let hold = if route.growing { "growing" } else { "full" };
            let gone = if route.finish {
                "finish"
            } else {
                "charge_delivered"
            };
            text.push_str(&format!(
                "[[routes]]\nid = \"{}\"\nmatch = \"POST {path}\"\nupstream = \"{}\"\napi = \"{name}\"\ncost = \"tokens\"\nhold = \"{hold}\"\nslice = 10\noutput_min = 1\non_disconnect = \"{gone}\"\n",
                &path[1..].replace('/', "-"),
                route.kind
            ));
        }
    }
    text
}

/// Whether a call has an account of its own: it is poor, or nobody is told its request's id.
fn has_own_account(plan: &Plan) -> bool {
    matches!(plan.ending, Ending::Poor(_) | Ending::GoneBefore)
}

fn funds(plan: &Plan) -> u64 {
    let Ending::Poor(share) = plan.ending else {
        return RICH;
    };
    let (least, most) = (expect::at(plan, 1), expect::most(plan));
    least + (most - least) * share / 1000
}

fn key_of(plan: &Plan) -> String {
    if has_own_account(plan) {
        format!("{KEY}-{}", plan.number)
    } else {
        KEY.to_owned()
    }
}

fn account_of(plan: &Plan, gate: &Gatehouse) -> AccountId {
    if has_own_account(plan) {
        AccountId::new(&format!("call-{}", plan.number)).unwrap()
    } else {
        gate.account.clone()
    }
}

async fn open_account(gate: &Gatehouse, plan: &Plan) {
    let ledger = Arc::clone(&gate.ledger) as Arc<dyn Ledger>;
    let account = account_of(plan, gate);
    let by = Actor::system("test");
    accounts::set(&ledger, &account, AccountChange::Create(None), &by)
        .await
        .unwrap();
    let key = SecretKey::import(&key_of(plan)).unwrap();
    keys::put(&ledger, &account, &key, KeyOptions::default(), &by)
        .await
        .unwrap();
    let amount = Credits::from_micros(i64::try_from(funds(plan)).unwrap()).unwrap();
    let id = CommandId::new(&format!("call-{}", plan.number)).unwrap();
    accounts::adjust(&ledger, &account, id, amount, "to begin with", &by)
        .await
        .unwrap();
}

/// Makes a call, and says what was seen of it.
async fn make(call: &Call, gate: &Gatehouse) -> Seen {
    let plan = &call.plan;
    let mut client = HttpClient::new(gate.addr())
        .bearer(&key_of(plan))
        .header("x-call", &plan.number.to_string());
    if plan.http2 {
        client = client.http2();
    }
    let request = client
        .post(&plan.route.path(plan.api), plan.body.clone())
        .header("content-type", "application/json");
    if plan.ending == Ending::GoneBefore {
        let sending = tokio::spawn(async move { drop(request.send().await) });
        let mut progress = call.progress.subscribe();
        within(
            "the request at the upstream",
            progress.wait_for(|progress| progress.reached),
        )
        .await
        .unwrap();
        sending.abort();
        let _ = sending.await;
        call.gone.send_replace(true);
        return Seen::default();
    }
    let mut answer = request.send().await;
    let mut seen = Seen {
        status: answer.status(),
        request: answer.header("x-request-id").map(str::to_owned),
        ..Seen::default()
    };
    let compressed = answer.header("content-encoding").is_some();
    let leaves = matches!(plan.ending, Ending::GoneAt(..));
    let mut bytes = Vec::new();
    let mut progress = call.progress.subscribe();
    loop {
        if leaves {
            let waits_at = progress.borrow_and_update().waits_at;
            if waits_at.is_some_and(|events| wire::received(plan, &bytes, compressed) >= events) {
                break;
            }
        }
        let chunk = async {
            tokio::select! {
                chunk = answer.try_chunk() => Some(chunk),
                _ = progress.changed(), if leaves => None,
            }
        };
        match within(format!("more of call {}", plan.number), chunk).await {
            None => {}
            Some(Ok(Some(more))) => bytes.extend_from_slice(&more),
            Some(Ok(None)) => {
                seen.clean = true;
                break;
            }
            Some(Err(_)) => break,
        }
    }
    drop(answer);
    call.gone.send_replace(true);
    if seen.status == 200 {
        seen.events = match plan.stream {
            true => wire::received(plan, &bytes, compressed),
            false => usize::from(seen.clean),
        };
    }
    seen
}

/// What the journal says of a call.
#[derive(Clone, Copy, Debug)]
struct Charged {
    amount: u64,
    estimated: bool,
}

/// What the journal says of all calls, by request or by account.
fn journal(gate: &Gatehouse) -> HashMap<String, Charged> {
    let mut found = HashMap::new();
    for entry in gate.ledger.entries() {
        if !matches!(entry.kind, EntryKind::Capture | EntryKind::Release) {
            continue;
        }
        let detail: serde_json::Value = serde_json::from_str(entry.detail.as_str()).unwrap();
        let amount = match entry.kind {
            EntryKind::Capture => u64::try_from(entry.amount.micros().abs()).unwrap(),
            _ => 0,
        };
        let charged = Charged {
            amount,
            estimated: detail["usage"]["estimated"] == true,
        };
        let own = entry.account.to_string();
        let name = if own.starts_with("call-") {
            own
        } else {
            entry.subject.to_string()
        };
        let twice = found.insert(name.clone(), charged);
        assert!(twice.is_none(), "{name} was settled twice");
    }
    found
}

/// What is wrong with a charge, if anything is; else which of the dues it is.
fn judge(call: &Call, seen: &Seen, charged: Charged) -> Result<Due, String> {
    let (plan, known) = (&call.plan, call.known());
    let funds = funds(plan);
    let dues = dues(plan, &known, seen, funds);
    let amounts: Vec<u64> = dues.iter().map(|due| due.amount).collect();
    let fits = dues.iter().find(|due| due.amount == charged.amount);
    // How far a hold has grown is known to the proxy alone; it is charged whole where more is reported than the upstream was told, and where credits run out
    // or the client leaves within a frame that nobody can take apart.
    let growing = plan.route.growing && plan.stream;
    let loose = growing
        && (plan.ending == Ending::Excess
            || (plan.layout.gzip && matches!(plan.ending, Ending::Poor(_) | Ending::GoneAt(..))));
    let fits = match fits {
        Some(due) => *due,
        None if loose
            && amounts.iter().min() <= Some(&charged.amount)
            && Some(&charged.amount) <= amounts.iter().max() =>
        {
            Due {
                amount: charged.amount,
                exact: false,
                capped: true,
                ..*dues.last().unwrap()
            }
        }
        None => return Err(format!("charged {charged:?}, and due is one of {amounts:?}")),
    };
    if charged.amount > funds {
        return Err(format!("charged {charged:?} of {funds}"));
    }
    if let Some((used, _)) = fits.used
        && fits.exact
        && !fits.capped
        && charged.amount != plan.model.cost(&used)
    {
        return Err(format!("charged {charged:?} for {used:?}, as it was reported"));
    }
    // No less than what has come to the client, apart from what nobody can see.
    if let Some((_, shown)) = dues.first().and_then(|due| due.used)
        && !fits.capped
        && plan.ending != Ending::Excess
        && charged.amount < plan.model.cost(&shown)
    {
        return Err(format!(
            "charged {charged:?} for {shown:?}, which costs {}",
            plan.model.cost(&shown)
        ));
    }
    if plan.ending == Ending::Excess && plan.stream {
        let passed = known.facts[..seen.events.min(known.facts.len())].iter();
        let passed = passed.filter(|fact| fact.text > 0).count() as u64;
        // Without reports, by events: four for each token, and 64.
        if passed > known.told * plan.answers * 4 + 64 {
            return Err(format!(
                "{passed} events passed where {} tokens were allowed to each of {} answers",
                known.told, plan.answers
            ));
        }
    }
    let same = dues
        .iter()
        .any(|due| due.amount == charged.amount && due.reported != charged.estimated);
    if fits.used.is_some() && !fits.capped && !loose && !same {
        return Err(format!(
            "charged {charged:?}, whose journal is wrong about whether it was estimated"
        ));
    }
    Ok(fits)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_charged_is_what_was_used_over_calls_drawn_by_chance() {
    let seed = number("FAREGATE_SEED").unwrap_or(SEED);
    let count = number("FAREGATE_CALLS").unwrap_or(CALLS);
    let only = number("FAREGATE_CALL");
    let calls: Vec<Arc<Call>> = (0..count.max(only.map_or(0, |only| only + 1)))
        .map(|number| Call::new(Plan::draw(seed, number)))
        .collect();
    let calls = Arc::new(calls);
    let witness = Witness::start(Arc::clone(&calls)).await;
    let rich = Credits::from_micros(i64::try_from(RICH).unwrap())
        .unwrap()
        .to_string();
    let gate = Arc::new(Gatehouse::start(&rich, &config(&witness)).await);
    let next = Arc::new(AtomicUsize::new(0));
    let workers: Vec<_> = (0..AT_ONCE)
        .map(|_| {
            let (calls, gate, next) = (Arc::clone(&calls), Arc::clone(&gate), Arc::clone(&next));
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if only.is_some_and(|only| only != call.plan.number) {
                        continue;
                    }
                    if has_own_account(&call.plan) {
                        open_account(&gate, &call.plan).await;
                    }
                    seen.push((Arc::clone(call), make(call, &gate).await));
                }
                seen
            })
        })
        .collect();
    let mut made = Vec::new();
    for worker in workers {
        made.extend(worker.await.unwrap_or_else(|e| panic!("seed {seed}: {e}")));
    }
    let mut left = HashMap::new();
    for (call, _) in &made {
        let account = account_of(&call.plan, &gate);
        let Entry::Vacant(place) = left.entry(account.clone()) else {
            continue;
        };
        let what = format!("nothing to be held of {account} (seed {seed})");
        let balance = gate
            .ledger
            .wait_balance(what, &account, |balance| balance.held.is_zero());
        let available = balance.await.available().micros();
        let spent = i64::try_from(funds(&call.plan)).unwrap() - available;
        place.insert((available, spent));
    }
    let journal = journal(&gate);
    let mut table = Table::default();
    let mut wrong = Vec::new();
    for (call, seen) in &made {
        let plan = &call.plan;
        let account = account_of(plan, &gate);
        let name = match &seen.request {
            Some(request) if !has_own_account(plan) => request.clone(),
            _ => account.to_string(),
        };
        let verdict = match journal.get(&name) {
            None => Err(format!("the journal says nothing of {name}")),
            Some(charged) => judge(call, seen, *charged).map(|due| (*charged, due)),
        };
        match verdict {
            Ok((charged, due)) => {
                let (available, spent) = left.get_mut(&account).unwrap();
                assert!(*available >= 0, "an overdraft of {account}");
                *spent -= i64::try_from(charged.amount).unwrap();
                table.add(plan, charged.amount, &due);
            }
            Err(problem) => wrong.push(format!("{problem}\n  {seen:?}\n  {plan:?}")),
        }
    }
    println!("seed {seed}\n{table}");
    assert!(
        wrong.is_empty(),
        "seed {seed}: {} of {} calls are wrong:\n{}",
        wrong.len(),
        made.len(),
        wrong[..wrong.len().min(12)].join("\n")
    );
    for (account, (_, spent)) in left {
        assert_eq!(
            spent, 0,
            "what {account} has spent beside what its calls were charged (seed {seed})"
        );
    }
    assert_eq!(table.used_as_reported(), table.charged_as_reported());
}
