//! A simulated world and its run: one store, two or three proxies, an operator. First everything goes wrong that the plan says, then all heals; what must then be
//! is checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use faregate::service::gate::Gate;
use faregate::service::plans::{Plan as Tariff, Plans};
use faregate::service::sweeper;
use turmoil::Sim;

use super::client_bugs::ClientBug;
use super::operator;
use super::plan::{Fault, Plan};
use super::proxy;
use super::store::{self, Dies, Store};
use super::witness::Witness;

/// After healing, what nobody settled is settled within this and the life of a hold: a round of the sweep, and what a charge task waits between two tries.
const SETTLED_WITHIN: Duration = Duration::from_millis(600);

/// Nothing in a run takes longer than this once all is healed.
const PATIENCE: Duration = Duration::from_secs(20);

/// What all hosts of one run share.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) plan: Plan,
    pub(crate) plans: Arc<Plans>,
    pub(crate) store: Arc<dyn Store>,
    /// What is wrong with all proxies.
    pub(crate) bug: Option<ClientBug>,
    witness: Mutex<Witness>,
    stage: Mutex<Stage>,
}

/// What the run is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Accounts are made.
    Opening,
    /// Requests and faults come.
    Busy,
    /// No more of either.
    Healing,
    /// One proxy is asked whether it serves.
    Probing(usize),
    /// The books are read.
    Audit,
}

#[derive(Debug)]
struct Stage {
    phase: Phase,
    opened: bool,
    operator_done: bool,
    probed: Option<usize>,
    audited: bool,
    gates: BTreeMap<usize, Arc<Gate>>,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) seed: u64,
    /// What must never be, and was.
    pub(crate) wrong: Vec<String>,
    /// The same for two runs that went the same way.
    pub(crate) hash: u64,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    pub(crate) lines: Vec<String>,
}

/// The world's time since it began, on the host that asks.
pub(crate) fn now() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

impl Run {
    fn new(plan: Plan, store: Arc<dyn Store>, bug: Option<ClientBug>) -> Run {
        let tariffs: HashMap<_, _> = plan
            .accounts
            .iter()
            .map(|account| {
                let tariff = Tariff {
                    credit_line: account.credit_line,
                    ..Tariff::default()
                };
                (operator::plan_of(account.credit_line.micros()), tariff)
            })
            .collect();
        Run {
            plan,
            plans: Arc::new(Plans::new(tariffs, Tariff::default())),
            store,
            bug,
            witness: Mutex::default(),
            stage: Mutex::new(Stage {
                phase: Phase::Opening,
                opened: false,
                operator_done: false,
                probed: None,
                audited: false,
                gates: BTreeMap::new(),
            }),
        }
    }

    pub(crate) fn witness(&self) -> MutexGuard<'_, Witness> {
        self.witness.lock().expect("nothing panics with it")
    }

    fn stage(&self) -> MutexGuard<'_, Stage> {
        self.stage.lock().expect("nothing panics with it")
    }

    pub(crate) fn phase(&self) -> Phase {
        self.stage().phase
    }

    pub(crate) fn opened(&self) {
        self.stage().opened = true;
    }

    pub(crate) fn operator_done(&self) {
        self.stage().operator_done = true;
    }

    pub(crate) fn probed(&self, proxy: usize) {
        let mut stage = self.stage();
        stage.probed = Some(proxy);
        stage.phase = Phase::Healing;
    }

    pub(crate) fn audited(&self) {
        self.stage().audited = true;
    }

    /// A proxy has started.
    pub(crate) fn at_work(&self, proxy: usize, gate: Arc<Gate>) {
        self.stage().gates.insert(proxy, gate);
    }

    fn all_quiet(&self) -> bool {
        let stage = self.stage();
        stage.operator_done
            && stage.gates.len() == self.plan.proxies
            && stage.gates.values().all(|gate| gate.under_way() == 0)
    }
}

/// Runs a plan from its beginning to its audit.
pub(crate) fn run(plan: Plan, store: Arc<dyn Store>, bug: Option<ClientBug>) -> Verdict {
    let mut builder = turmoil::Builder::new();
    let epoch = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    builder
        .epoch(epoch)
        .tick_duration(plan.tick)
        .simulation_duration(Duration::from_secs(3_600))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::from_millis(8))
        .rng_seed(plan.seed)
        .tcp_capacity(4_096);
    let mut world = World {
        sim: builder.build(),
        run: Arc::new(Run::new(plan, store, bug)),
        back: Vec::new(),
    };
    world.install();
    world.pass();
    let witness = std::mem::take(&mut *world.run.witness());
    Verdict {
        seed: world.run.plan.seed,
        wrong: witness.wrong,
        hash: witness.trace.hash(),
        counts: witness.counts,
        lines: witness.trace.lines().to_vec(),
    }
}

struct World {
    sim: Sim<'static>,
    run: Arc<Run>,
    /// What comes back, and when.
    back: Vec<(Duration, Back)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Back {
    Proxy(usize),
    Store,
    Link(usize),
}

impl World {
    fn install(&mut self) {
        let run = &self.run;
        run.store.install(&mut self.sim);
        for index in 0..run.plan.proxies {
            let (run, lives) = (Arc::clone(run), AtomicU64::new(0));
            self.sim.host(proxy::name(index), move || {
                proxy::live(Arc::clone(&run), index, lives.fetch_add(1, Ordering::Relaxed))
            });
        }
        let run = Arc::clone(run);
        self.sim
            .host(operator::HOST, move || operator::work(Arc::clone(&run)));
    }

    /// All phases, one after the other.
    fn pass(&mut self) {
        let run = Arc::clone(&self.run);
        if !self.until("accounts are made", |run| run.stage().opened) {
            return;
        }
        run.store.rage(true);
        let began = self.sim.elapsed();
        run.stage().phase = Phase::Busy;
        for (at, fault) in &run.plan.faults {
            self.go_on_until(began + *at);
            self.strike(*fault);
        }
        self.go_on_until(began + run.plan.busy);
        self.heal();
        let settled = run.plan.hold_ttl + sweeper::EVERY + run.plan.clock_stands() + SETTLED_WITHIN;
        let soonest = self.sim.elapsed() + settled;
        self.go_on_until(soonest);
        if !self.until("all is settled", Run::all_quiet) {
            return;
        }
        for index in 0..run.plan.proxies {
            run.stage().phase = Phase::Probing(index);
            if !self.until("a proxy answers", |run| run.stage().probed == Some(index)) {
                return;
            }
        }
        run.stage().phase = Phase::Audit;
        self.until("the books are read", |run| run.stage().audited);
    }

    fn step(&mut self) {
        match self.run.store.dies_now() {
            Some(Dies::Proxy) => self.strike(Fault::KillProxy(0, Duration::from_millis(100))),
            Some(Dies::Store) => self.strike(Fault::KillStore(Duration::from_millis(100))),
            None => {}
        }
        if let Err(error) = self.sim.step() {
            let now = self.sim.elapsed();
            self.run.witness().wrong(now, format!("a host failed: {error}"));
        }
    }

    /// Steps until something is so; false, and wrong, when it takes too long.
    fn until(&mut self, what: &str, done: impl Fn(&Run) -> bool) -> bool {
        let latest = self.sim.elapsed() + PATIENCE;
        while !done(&self.run) {
            if self.sim.elapsed() > latest {
                let now = self.sim.elapsed();
                self.run
                    .witness()
                    .wrong(now, format!("not within {PATIENCE:?}: {what}"));
                return false;
            }
            self.step();
        }
        true
    }

    fn go_on_until(&mut self, at: Duration) {
        while self.sim.elapsed() < at {
            let now = self.sim.elapsed();
            let (due, later) = self.back.iter().copied().partition(|(at, _)| *at <= now);
            self.back = later;
            due.into_iter().for_each(|(_, back)| self.bring_back(back));
            self.step();
        }
    }

    fn is_gone(&self, back: Back) -> bool {
        self.back.iter().any(|(_, other)| *other == back)
    }

    fn strike(&mut self, fault: Fault) {
        let now = self.sim.elapsed();
        let (back, lasts) = match fault {
            Fault::KillProxy(index, lasts) => (Back::Proxy(index), lasts),
            Fault::KillStore(lasts) | Fault::LoseTail(lasts) => (Back::Store, lasts),
            Fault::CutOff(index, lasts) => (Back::Link(index), lasts),
            Fault::Step(micros) => {
                self.run.witness().trace.note(now, &format_args!("{fault:?}"));
                return self.run.store.step_clock(micros);
            }
        };
        if self.is_gone(back) {
            return;
        }
        self.run.witness().trace.note(now, &format_args!("{fault:?}"));
        self.back.push((now + lasts, back));
        match back {
            Back::Proxy(index) => {
                self.run.witness().died(now, index);
                self.run.stage().gates.remove(&index);
                self.sim.crash(proxy::name(index));
            }
            Back::Store => {
                self.sim.crash(store::HOST);
                if matches!(fault, Fault::LoseTail(_)) && self.run.store.lose_tail() {
                    self.run.witness().lost(now);
                }
            }
            Back::Link(index) => self.run.store.cut_off(&self.sim, &proxy::name(index), true),
        }
    }

    fn bring_back(&mut self, back: Back) {
        let now = self.sim.elapsed();
        self.run
            .witness()
            .trace
            .note(now, &format_args!("back: {back:?}"));
        match back {
            Back::Proxy(index) => self.sim.bounce(proxy::name(index)),
            Back::Store => self.sim.bounce(store::HOST),
            Back::Link(index) => self.run.store.cut_off(&self.sim, &proxy::name(index), false),
        }
    }

    fn heal(&mut self) {
        self.run.store.rage(false);
        for (_, back) in std::mem::take(&mut self.back) {
            self.bring_back(back);
        }
        self.run.stage().phase = Phase::Healing;
        let now = self.sim.elapsed();
        self.run.witness().trace.note(now, &"healed");
    }
}
