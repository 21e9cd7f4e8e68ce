//! The independent witness: what the upstream served and what the operator granted, as those two saw it. The checks use this and the final books, never what
//! the gate believes.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use faregate::domain::credits::Credits;
use faregate::domain::hold::OnExpiry;
use faregate::domain::ids::HoldId;

use super::plan::Plan;

/// Everything seen in one run.
#[derive(Debug, Default)]
pub(crate) struct Witness {
    pub(crate) trace: Trace,
    pub(crate) served: BTreeMap<HoldId, Served>,
    pub(crate) accounts: BTreeMap<String, Owed>,
    /// When the revocation of a key was acknowledged.
    revoked: BTreeMap<String, Duration>,
    /// When the store lost acknowledged operations and nobody has looked yet; and when somebody last had.
    pub(crate) lost: Option<Duration>,
    pub(crate) rebuilt: Option<Duration>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
    /// What must never be.
    pub(crate) wrong: Vec<String>,
}

/// One request that reached the upstream.
#[derive(Debug, Clone)]
pub(crate) struct Served {
    pub(crate) account: String,
    pub(crate) proxy: usize,
    pub(crate) at: Duration,
    pub(crate) held: i64,
    /// What was asked for beyond that, and may have been added without anyone hearing of it.
    pub(crate) doubt: i64,
    /// What its end charges; what a drop would charge, while it lasts.
    pub(crate) charge: i64,
    pub(crate) ended: Option<Duration>,
    /// Its proxy was killed before it was known to be settled.
    pub(crate) orphan: bool,
    pub(crate) settled: bool,
}

/// What the operator told the ledger of an account.
#[derive(Debug, Default, Clone)]
pub(crate) struct Owed {
    /// Granted and given by hand, as soon as it was sent; taken by hand, once that was acknowledged.
    pub(crate) told: i64,
    /// Which of them; telling one again adds nothing.
    tellings: BTreeSet<usize>,
    pub(crate) taken: i64,
    pub(crate) credit_line: i64,
    pub(crate) concurrent: Option<u64>,
    pub(crate) daily: Option<i64>,
    /// Grants whose end had come before the ledger was known to have heard of them.
    pub(crate) too_late: BTreeSet<String>,
    /// When a pause was acknowledged, while nothing lifts it.
    paused: Option<Duration>,
}

/// A request that begins.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    pub(crate) account: String,
    pub(crate) key: String,
    pub(crate) proxy: usize,
    pub(crate) started: Duration,
    pub(crate) least: i64,
    pub(crate) most: i64,
}

impl Witness {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn wrong(&mut self, now: Duration, what: String) {
        self.trace.note(now, &format_args!("WRONG {what}"));
        self.wrong.push(format!("{now:?}: {what}"));
    }

    /// The gate let a request through: was it right?
    pub(crate) fn admitted(&mut self, plan: &Plan, now: Duration, ask: &Ask, id: HoldId, held: Credits) {
        let held = held.micros();
        let Ask { account, key, .. } = ask;
        self.trace.note(
            now,
            &format_args!("p{} admitted {id} {account} held {held}", ask.proxy),
        );
        if held < ask.least || held > ask.most.max(ask.least) {
            self.wrong(
                now,
                format!("{id} holds {held}, not {} to {}", ask.least, ask.most),
            );
        }
        if self.revoked.get(key).is_some_and(|at| *at < ask.started) {
            self.wrong(now, format!("{id} of {account} was let through on a revoked key"));
        }
        if self.lost.is_some_and(|at| at < ask.started) {
            self.wrong(
                now,
                format!("{id} of {account} was let through by a store that had lost its history"),
            );
        }
        let owed = self.accounts.entry(account.clone()).or_default();
        if owed.paused.is_some_and(|at| at < ask.started) {
            self.wrong(now, format!("{id} of {account} was let through while paused"));
        }
        let served = Served {
            account: account.clone(),
            proxy: ask.proxy,
            at: now,
            held,
            doubt: 0,
            charge: 0,
            ended: None,
            orphan: false,
            settled: false,
        };
        if self.served.insert(id, served).is_some() {
            self.wrong(now, format!("{id} was let through twice"));
        }
        self.never_more_than_allowed(plan, now, account);
    }

    /// What runs and what was charged is covered, and under the account's caps, at this instant. Where renewals may fail, only young requests count: the hold of an older one may have
    /// run out, and its charge may come late.
    fn never_more_than_allowed(&mut self, plan: &Plan, now: Duration, account: &str) {
        let (mut taken, mut excused, mut at_once) = (0, 0, 0);
        let counts = |s: &&Served| {
            let young = now - s.at < plan.hold_ttl / 3;
            s.account == account
                && !s.orphan
                && !self.before_the_loss(s)
                && (young || !plan.renewals_may_fail())
        };
        for served in self.served.values().filter(counts) {
            if served.ended.is_some() {
                taken += served.charge;
                excused += (served.charge - served.held).max(0);
            } else {
                taken += served.held;
                at_once += 1;
            }
        }
        let owed = &self.accounts[account];
        let paid = owed.told + owed.credit_line + excused;
        let mut caps = vec![("has paid", taken, paid)];
        caps.extend(owed.daily.map(|cap| ("may spend a day", taken, cap + excused)));
        let cap = owed.concurrent.and_then(|cap| i64::try_from(cap).ok());
        caps.extend(cap.map(|cap| ("may have at once", at_once, cap)));
        for (what, is, cap) in caps {
            if is > cap {
                self.wrong(now, format!("{account} {what} {cap}, and has {is}"));
            }
        }
    }

    /// A request asks for more.
    pub(crate) fn asks(&mut self, id: HoldId, most: i64) {
        if let Some(served) = self.served.get_mut(&id) {
            served.doubt = served.doubt.max(most);
        }
    }

    /// It has got it: was it right?
    pub(crate) fn grown(&mut self, plan: &Plan, now: Duration, id: HoldId, held: Credits) {
        let Some(served) = self.served.get_mut(&id) else {
            return;
        };
        let (before, doubt, held) = (served.held, served.doubt, held.micros());
        (served.held, served.doubt) = (held, 0);
        let account = served.account.clone();
        self.trace.note(now, &format_args!("{id} grown to {held}"));
        if held <= before || held > before + doubt {
            self.wrong(
                now,
                format!("{id} grew from {before} to {held}, {doubt} were asked for"),
            );
        }
        self.never_more_than_allowed(plan, now, &account);
    }

    /// From now on this is what the end of the request charges.
    pub(crate) fn charge(&mut self, id: HoldId, charge: i64) {
        if let Some(served) = self.served.get_mut(&id) {
            served.charge = charge;
        }
    }

    pub(crate) fn is_orphan(&self, id: HoldId) -> bool {
        self.served.get(&id).is_some_and(|s| s.orphan)
    }

    pub(crate) fn ended(&mut self, now: Duration, id: HoldId) {
        let Some(served) = self.served.get_mut(&id) else {
            return;
        };
        if served.ended.is_none() && !served.orphan {
            served.ended = Some(now);
            let charge = served.charge;
            self.trace.note(now, &format_args!("{id} ended with {charge}"));
        }
    }

    /// A proxy was killed: what it had not settled is settled by time.
    pub(crate) fn died(&mut self, now: Duration, proxy: usize) {
        self.trace.note(now, &format_args!("p{proxy} killed"));
        for served in self.served.values_mut() {
            served.orphan |= served.proxy == proxy && !served.settled;
        }
    }

    /// A proxy has nothing left to settle.
    pub(crate) fn quiet(&mut self, proxy: usize) {
        for served in self.served.values_mut() {
            served.settled |= served.proxy == proxy && served.ended.is_some();
        }
    }

    /// Acknowledged operations are gone.
    pub(crate) fn lost(&mut self, now: Duration) {
        self.lost = Some(now);
    }

    /// The operator has looked and orders to go on from here: from now on the store may serve again.
    pub(crate) fn rebuilding(&mut self) {
        self.lost = None;
    }

    /// It does.
    pub(crate) fn rebuilt(&mut self, now: Duration) {
        self.trace.note(now, &"rebuilt");
        self.rebuilt = Some(now);
    }

    /// Whether what the ledger knew of a request may be gone.
    pub(crate) fn before_the_loss(&self, served: &Served) -> bool {
        self.rebuilt.is_some_and(|rebuilt| served.at <= rebuilt)
    }

    pub(crate) fn told(&mut self, account: &str, telling: usize, amount: i64) {
        let owed = self.accounts.entry(account.to_owned()).or_default();
        if owed.tellings.insert(telling) {
            owed.told += amount;
        }
    }

    pub(crate) fn too_late(&mut self, account: &str, grant: &str) {
        let owed = self.accounts.entry(account.to_owned()).or_default();
        owed.too_late.insert(grant.to_owned());
    }

    pub(crate) fn paused(&mut self, account: &str, since: Option<Duration>) {
        self.accounts.entry(account.to_owned()).or_default().paused = since;
    }

    pub(crate) fn revoked(&mut self, key: &str, at: Duration) {
        self.revoked.insert(key.to_owned(), at);
    }
}

impl Served {
    /// What its final charge may be.
    pub(crate) fn may_charge(&self, on_expiry: OnExpiry) -> BTreeSet<i64> {
        let expired = match on_expiry {
            OnExpiry::Release => 0,
            OnExpiry::Capture => self.held,
        };
        match (self.orphan, self.ended.is_some()) {
            (false, _) => BTreeSet::from([self.charge]),
            (true, true) => BTreeSet::from([self.charge, expired]),
            (true, false) => BTreeSet::from([expired]),
        }
    }
}

/// What happened, in order; its hash tells whether two runs were the same.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    lines: Vec<String>,
}

impl Trace {
    pub(crate) fn note(&mut self, now: Duration, what: &dyn fmt::Display) {
        self.lines
            .push(format!("{:>9.3} {what}", now.as_secs_f64() * 1e3));
    }

    /// FNV-1a over all lines.
    pub(crate) fn hash(&self) -> u64 {
        let bytes = self.lines.iter().flat_map(|l| l.bytes().chain([b'\n']));
        bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    pub(crate) fn lines(&self) -> &[String] {
        &self.lines
    }
}
