//! A store that is the engine itself, behind a network that loses, doubles and delays. It shows what gate, charge task and sweeper do when answers are lost, whatever
//! a real store does.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use faregate::domain::command::Command;
use faregate::ledger::{Ledger, LedgerError};
use tokio::sync::{mpsc, oneshot};
use turmoil::Sim;

use super::plan::Chaos;
use super::rng::Rng;
use super::store::{Connecting, HOST, Store};

mod bugs;
mod core;
mod port;

pub(crate) use bugs::Bug;
use core::Core;

/// How long a client waits for an answer before it calls it lost.
const PATIENCE: Duration = Duration::from_millis(300);

/// The store, shared by its host, its clients and the world that torments it.
#[derive(Clone)]
pub(crate) struct EngineStore(Arc<Mutex<Shared>>);

struct Shared {
    core: Core,
    /// Where messages go while the store is up.
    inbox: Option<mpsc::UnboundedSender<Message>>,
    cut_off: BTreeSet<String>,
    chaos: Chaos,
    raging: bool,
    rng: Rng,
}

/// A question under way: applied once, twice or never, and answered if nothing comes between.
trait Parcel: Send {
    fn apply(&mut self, core: &mut Core);
    fn answer(&mut self);
    fn refuse(&mut self);
}

struct Message {
    from: String,
    parcel: Box<dyn Parcel>,
}

struct Question<T, F> {
    ask: F,
    told: Option<Result<T, LedgerError>>,
    reply: Option<oneshot::Sender<Result<T, LedgerError>>>,
}

impl<T, F> Parcel for Question<T, F>
where
    T: Send,
    F: FnMut(&mut Core) -> Result<T, LedgerError> + Send,
{
    fn apply(&mut self, core: &mut Core) {
        self.told = Some((self.ask)(core));
    }

    fn answer(&mut self) {
        if let (Some(reply), Some(told)) = (self.reply.take(), self.told.take()) {
            // The one who asked may have given up.
            let _ = reply.send(told);
        }
    }

    fn refuse(&mut self) {
        self.told = Some(Err(LedgerError::Unavailable("not now".to_owned())));
        self.answer();
    }
}

impl fmt::Debug for EngineStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EngineStore")
    }
}

impl EngineStore {
    pub(crate) fn new(chaos: Chaos, seed: u64, bug: Option<Bug>) -> EngineStore {
        EngineStore(Arc::new(Mutex::new(Shared {
            core: Core::new(bug),
            inbox: None,
            cut_off: BTreeSet::new(),
            chaos,
            raging: false,
            rng: Rng::new(seed ^ 0x5704e),
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        self.0.lock().expect("nothing panics with it")
    }

    /// Takes messages as they come and lets chance decide what becomes of each.
    async fn serve(self) -> turmoil::Result {
        let (inbox, mut messages) = mpsc::unbounded_channel::<Message>();
        self.lock().inbox = Some(inbox);
        while let Some(message) = messages.recv().await {
            tokio::spawn(self.clone().carry(message));
        }
        Ok(())
    }

    async fn carry(self, mut message: Message) {
        let fate = {
            let mut shared = self.lock();
            if shared.cut_off.contains(&message.from) {
                return;
            }
            let chaos = if shared.raging {
                shared.chaos
            } else {
                Chaos::default()
            };
            Fate::draw(chaos, &mut shared.rng)
        };
        tokio::time::sleep(fate.there).await;
        if fate.lost_before {
            return;
        }
        if fate.refused {
            return message.parcel.refuse();
        }
        message.parcel.apply(&mut self.lock().core);
        if fate.doubled {
            tokio::time::sleep(fate.there).await;
            message.parcel.apply(&mut self.lock().core);
        }
        tokio::time::sleep(fate.back).await;
        if !fate.lost_after && !self.lock().cut_off.contains(&message.from) {
            message.parcel.answer();
        }
    }
}

struct Fate {
    lost_before: bool,
    lost_after: bool,
    doubled: bool,
    refused: bool,
    there: Duration,
    back: Duration,
}

impl Fate {
    fn draw(chaos: Chaos, rng: &mut Rng) -> Fate {
        let longest = if rng.chance(chaos.slow) { 1_000 } else { 4 };
        Fate {
            lost_before: rng.chance(chaos.lost_before),
            lost_after: rng.chance(chaos.lost_after),
            doubled: rng.chance(chaos.doubled),
            refused: rng.chance(chaos.refused),
            there: rng.millis(0, longest),
            back: rng.millis(0, longest),
        }
    }
}

impl Store for EngineStore {
    fn install(&self, sim: &mut Sim<'_>) {
        let store = self.clone();
        sim.host(HOST, move || store.clone().serve());
    }

    fn connect(&self, host: &str) -> Connecting {
        let ledger = EngineLedger {
            host: host.to_owned(),
            store: self.clone(),
        };
        Box::pin(async move { Ok(Arc::new(ledger) as Arc<dyn Ledger>) })
    }

    fn cut_off(&self, _: &Sim<'_>, host: &str, cut: bool) {
        let mut shared = self.lock();
        if cut {
            shared.cut_off.insert(host.to_owned());
        } else {
            shared.cut_off.remove(host);
        }
    }

    fn lose_tail(&self) -> bool {
        let mut shared = self.lock();
        let Shared { core, rng, .. } = &mut *shared;
        core.lose_tail(rng)
    }

    fn step_clock(&self, micros: i64) {
        self.lock().core.skew += micros;
    }

    fn rage(&self, on: bool) {
        self.lock().raging = on;
    }
}

/// The store as one host sees it.
#[derive(Clone)]
struct EngineLedger {
    host: String,
    store: EngineStore,
}

impl fmt::Debug for EngineLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EngineLedger({})", self.host)
    }
}

impl EngineLedger {
    /// Asks the store; `ask` runs there, perhaps more than once, perhaps never.
    async fn ask<T: Send + 'static>(
        &self,
        ask: impl FnMut(&mut Core) -> Result<T, LedgerError> + Send + 'static,
    ) -> Result<T, LedgerError> {
        let (reply, answer) = oneshot::channel();
        let parcel = Box::new(Question {
            ask,
            told: None,
            reply: Some(reply),
        });
        let message = Message {
            from: self.host.clone(),
            parcel,
        };
        let inbox = self.store.lock().inbox.clone();
        let refused = || LedgerError::Unavailable("connection refused".to_owned());
        inbox.ok_or_else(refused)?.send(message).map_err(|_| refused())?;
        let deadline = tokio::time::Instant::now() + PATIENCE;
        match tokio::time::timeout_at(deadline, answer).await {
            Ok(Ok(answer)) => return answer,
            // Lost on the way: nothing comes back, so the client waits as long as it would.
            Ok(Err(_)) => tokio::time::sleep_until(deadline).await,
            Err(_) => {}
        }
        Err(LedgerError::TimedOut(300))
    }

    async fn command(&self, command: Command) -> Result<faregate::domain::command::Outcome, LedgerError> {
        self.ask(move |core| core.execute(&command)).await
    }
}
