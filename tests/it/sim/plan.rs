//! What a seed means: which proxies, accounts, loads and faults a simulated world has. Each kind of fault is in some seeds and not in others, so that
//! none hides another.

use std::time::Duration;

use faregate::domain::credits::Credits;
use faregate::domain::hold::OnExpiry;

use super::rng::Rng;

/// Everything that is drawn before a run begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) tick: Duration,
    pub(crate) proxies: usize,
    pub(crate) accounts: Vec<AccountPlan>,
    pub(crate) hold_ttl: Duration,
    pub(crate) deadline: Duration,
    pub(crate) on_expiry: OnExpiry,
    /// How long requests and faults come; then everything heals.
    pub(crate) busy: Duration,
    /// Mean time between two requests on one proxy.
    pub(crate) gap: Duration,
    /// In thousandths of the requests.
    pub(crate) clients_leave: u64,
    /// Upstreams may use more than is held.
    pub(crate) overruns: u64,
    /// By how much each proxy's clock is wrong, in microseconds.
    pub(crate) skews: Vec<i64>,
    pub(crate) chaos: Chaos,
    /// What becomes of one certain call to the store, counted from when the world is busy.
    pub(crate) nth: Option<(u64, Nth)>,
    pub(crate) faults: Vec<(Duration, Fault)>,
}

#[derive(Clone, Debug)]
pub(crate) struct AccountPlan {
    pub(crate) id: String,
    pub(crate) keys: Vec<String>,
    /// When, how much, and for how long where it expires.
    pub(crate) grants: Vec<(Duration, Credits, Option<Duration>)>,
    pub(crate) credit_line: Credits,
    /// Caps of its own: requests at once, and micro-credits a day.
    pub(crate) concurrent: Option<u64>,
    pub(crate) daily: Option<i64>,
    /// Paused and resumed, or a key revoked, while requests run.
    pub(crate) meddling: Vec<(Duration, Meddling)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meddling {
    Pause,
    Resume,
    /// The account's last key.
    Revoke,
    /// Credits by hand, above or below zero.
    Adjust(i64),
}

/// What may happen to any message, in thousandths of them, while the world is busy.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Chaos {
    pub(crate) lost_before: u64,
    pub(crate) lost_after: u64,
    pub(crate) doubled: u64,
    /// Answered with "cannot be used now", not applied.
    pub(crate) refused: u64,
    pub(crate) slow: u64,
}

/// What becomes of the n-th call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nth {
    /// It never arrives.
    LostBefore,
    /// It is done, and its answer never arrives.
    LostAfter,
    /// It is done, and the connection breaks in the middle of the answer.
    CutMidway,
    /// The server says that it cannot do it now.
    Refused,
    /// It is done, and the proxy that asked dies before it has the answer.
    ProxyDies,
    /// The server dies before it does it.
    StoreDies,
}

impl Nth {
    pub(crate) const ALL: [Nth; 6] = [
        Nth::LostBefore,
        Nth::LostAfter,
        Nth::CutMidway,
        Nth::Refused,
        Nth::ProxyDies,
        Nth::StoreDies,
    ];
}

/// What happens once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A proxy is killed, and started again after this.
    KillProxy(usize, Duration),
    /// The store is killed, and started again after this.
    KillStore(Duration),
    /// The store is killed and what it had not synced is lost.
    LoseTail(Duration),
    /// A proxy cannot reach the store for this long.
    CutOff(usize, Duration),
    /// The store's clock steps by this many microseconds.
    Step(i64),
}

/// The longest a fault lasts.
const FAULT_MAX: u64 = 2_500;

impl Plan {
    pub(crate) fn new(seed: u64) -> Plan {
        let mut rng = Rng::new(seed);
        let proxies = rng.index(2) + 2;
        let busy = rng.millis(2_500, 5_000);
        let accounts = (0..rng.index(3) + 1)
            .map(|n| AccountPlan::new(n, busy, &mut rng))
            .collect();
        let skews = (0..proxies).map(|_| skew(&mut rng)).collect();
        let mut plan = Plan {
            seed,
            tick: Duration::from_millis([1, 2, 5][rng.index(3)]),
            proxies,
            accounts,
            hold_ttl: rng.millis(1_500, 2_500),
            deadline: Duration::from_secs(1),
            on_expiry: [OnExpiry::Release, OnExpiry::Capture][rng.index(2)],
            busy,
            gap: rng.millis(15, 120),
            clients_leave: [0, 50, 300][rng.index(3)],
            overruns: [0, 0, 50][rng.index(3)],
            skews,
            chaos: Chaos::new(&mut rng),
            nth: None,
            faults: Vec::new(),
        };
        plan.draw_faults(&mut rng);
        plan
    }

    /// As another seed's plan, but the store comes back without the last of what it had answered.
    pub(crate) fn losing_tails(seed: u64) -> Plan {
        let mut plan = Plan::new(seed);
        let mut rng = Rng::new(seed ^ 0x7a11);
        for account in &mut plan.accounts {
            // What was decided about an account may be lost as well; to say it again is not tried here.
            account.meddling.clear();
        }
        plan.faults
            .retain(|(_, fault)| matches!(fault, Fault::KillProxy(..) | Fault::CutOff(..)));
        let latest = u64::try_from(plan.busy.as_millis()).expect("some seconds");
        for _ in 0..=rng.index(2) {
            let lasts = rng.millis(5, 500);
            // The accounts are older than what gets lost.
            plan.faults
                .push((rng.millis(1_000, latest), Fault::LoseTail(lasts)));
        }
        plan.faults.sort_by_key(|(at, _)| *at);
        plan
    }

    /// One proxy, one account, some requests, and one call that goes wrong.
    pub(crate) fn nth(n: u64, what: Nth) -> Plan {
        let long = Duration::from_secs(3_600);
        let account = AccountPlan {
            id: "a0".to_owned(),
            keys: vec!["key-0-of-account-0".to_owned()],
            grants: vec![
                (Duration::ZERO, credits(30_000), None),
                (Duration::from_millis(100), credits(9_000), Some(long)),
            ],
            credit_line: Credits::ZERO,
            concurrent: None,
            daily: None,
            meddling: vec![
                (Duration::from_millis(120), Meddling::Adjust(-2_000)),
                (Duration::from_millis(150), Meddling::Adjust(5_000)),
            ],
        };
        Plan {
            seed: 11,
            tick: Duration::from_millis(5),
            proxies: 1,
            accounts: vec![account],
            hold_ttl: Duration::from_millis(1_500),
            deadline: Duration::from_secs(1),
            on_expiry: OnExpiry::Release,
            busy: Duration::from_millis(400),
            gap: Duration::from_millis(40),
            clients_leave: 0,
            overruns: 0,
            skews: vec![0],
            chaos: Chaos::default(),
            nth: Some((n, what)),
            faults: Vec::new(),
        }
    }

    fn draw_faults(&mut self, rng: &mut Rng) {
        let latest = u64::try_from(self.busy.as_millis()).expect("some seconds");
        let mut kinds: Vec<fn(&mut Rng, usize) -> Fault> = Vec::new();
        let all: [fn(&mut Rng, usize) -> Fault; 4] = [
            |rng, n| Fault::KillProxy(rng.index(n), rng.millis(5, FAULT_MAX)),
            |rng, _| Fault::KillStore(rng.millis(5, FAULT_MAX)),
            |rng, n| Fault::CutOff(rng.index(n), rng.millis(50, FAULT_MAX)),
            |rng, _| Fault::Step(rng.between(-3_000_000, 200_000)),
        ];
        kinds.extend(all.into_iter().filter(|_| rng.chance(500)));
        if kinds.is_empty() {
            return;
        }
        for _ in 0..rng.index(5) {
            let kind = kinds[rng.index(kinds.len())];
            self.faults
                .push((rng.millis(100, latest), kind(rng, self.proxies)));
        }
        self.faults.sort_by_key(|(at, _)| *at);
    }

    /// Whether a hold whose proxy lives could still run out: renewals may have been lost.
    pub(crate) fn renewals_may_fail(&self) -> bool {
        let long = |time: &Duration| *time > Duration::from_millis(100);
        let lasting = self.faults.iter().any(|(_, fault)| match fault {
            Fault::KillStore(time) | Fault::LoseTail(time) | Fault::CutOff(_, time) => long(time),
            Fault::Step(by) => *by > 0,
            Fault::KillProxy(..) => false,
        });
        let Chaos {
            lost_before,
            lost_after,
            refused,
            slow,
            ..
        } = self.chaos;
        lasting || self.nth.is_some() || lost_before + lost_after + refused + slow > 0
    }

    /// Messages arrive in the order in which they were sent, and once.
    pub(crate) fn is_in_order(&self) -> bool {
        self.chaos.slow + self.chaos.doubled == 0
    }

    pub(crate) fn kills_proxies(&self) -> bool {
        self.nth.is_some() || self.faults.iter().any(|(_, f)| matches!(f, Fault::KillProxy(..)))
    }

    /// For how long the store's time may stand still, since it never goes back.
    pub(crate) fn clock_stands(&self) -> Duration {
        let back = self.faults.iter().map(|(_, fault)| match fault {
            Fault::Step(by) if *by < 0 => by.unsigned_abs(),
            _ => 0,
        });
        Duration::from_micros(back.sum())
    }

    /// Whether the key that an account is probed with is revoked by then.
    pub(crate) fn revokes_first_key(&self, account: &AccountPlan) -> bool {
        account.keys.len() == 1 && account.meddling.iter().any(|(_, m)| *m == Meddling::Revoke)
    }
}

impl AccountPlan {
    fn new(n: usize, busy: Duration, rng: &mut Rng) -> AccountPlan {
        let latest = u64::try_from(busy.as_millis()).expect("some seconds");
        let grants = (0..rng.index(4) + 1)
            .map(|g| {
                let at = if g == 0 {
                    Duration::ZERO
                } else {
                    rng.millis(0, latest)
                };
                let lasts = rng.chance(250).then(|| rng.millis(300, 2 * latest));
                (at, credits(rng.between(1, 40) * 1_000), lasts)
            })
            .collect();
        let mut meddling = Vec::new();
        if rng.chance(300) {
            let at = rng.millis(200, latest);
            meddling.push((at, Meddling::Pause));
            meddling.push((at + rng.millis(50, 1_500), Meddling::Resume));
        }
        if rng.chance(300) {
            meddling.push((rng.millis(200, latest), Meddling::Revoke));
        }
        for _ in 0..rng.index(4) {
            let amount = rng.between(-10, 10) * 1_000 + 1;
            meddling.push((rng.millis(200, latest), Meddling::Adjust(amount)));
        }
        meddling.sort_by_key(|(at, _)| *at);
        AccountPlan {
            id: format!("a{n}"),
            keys: (0..rng.index(2) + 1)
                .map(|k| format!("key-{k}-of-account-{n}"))
                .collect(),
            grants,
            credit_line: credits([0, 0, 5_000][rng.index(3)]),
            concurrent: rng.chance(200).then(|| rng.below(6) + 1),
            daily: rng.chance(200).then(|| rng.between(5, 60) * 1_000),
            meddling,
        }
    }
}

impl Chaos {
    fn new(rng: &mut Rng) -> Chaos {
        let mut some = |most: u64| {
            let on = rng.chance(600);
            if on { rng.below(most) + 1 } else { 0 }
        };
        if some(1) == 0 {
            return Chaos::default();
        }
        Chaos {
            lost_before: some(100),
            lost_after: some(100),
            doubled: some(100),
            refused: some(200),
            slow: some(50),
        }
    }
}

fn skew(rng: &mut Rng) -> i64 {
    match rng.below(4) {
        0 => rng.between(-86_400, 86_400) * 1_000_000,
        1 => rng.between(-2_000_000, 2_000_000),
        _ => 0,
    }
}

pub(crate) fn credits(micros: i64) -> Credits {
    Credits::from_micros(micros).expect("a small amount")
}
