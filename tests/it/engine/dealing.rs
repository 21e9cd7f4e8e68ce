//! The engine against a naive ledger that follows the text of the rules: deals out each charge at once, expires each grant at its very instant,
//! remembers for each ending grant the very holds that lay on it. The engine does all that late, from sums; both must agree on every grant.

use std::collections::{BTreeMap, BTreeSet};

use faregate::domain::command::Command;
use faregate::domain::entry::Detail;
use faregate::domain::grant::{Category, Grant, GrantFacts};
use faregate::domain::ids::{CommandId, GrantId};
use faregate::domain::time::{Span, Timestamp};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::ledger::moves::{START, World, cases, micros};

#[derive(Clone, Debug)]
enum Event {
    Wait(i64),
    /// Amount, priority, paid, seconds until its start and its end.
    Grant(i64, u8, bool, i64, Option<i64>),
    /// Amount.
    Hold(i64),
    /// Which, how much more.
    Extend(Index, i64),
    /// Which, what part of it or how much beyond.
    End(Index, i64),
    /// From which grant first, how much.
    Take(Index, i64),
}

fn event(holds: bool) -> impl Strategy<Value = Event> {
    let index = any::<Index>;
    let few = u32::from(holds);
    prop_oneof![
        4 => (0i64..15).prop_map(Event::Wait),
        3 => (1i64..80, 0u8..3, any::<bool>(), -5i64..20, prop::option::weighted(0.7, 1i64..40))
            .prop_map(|(a, p, paid, s, e)| Event::Grant(a, p, paid, s, e)),
        6 => (1i64..40).prop_map(Event::Hold),
        2 * few => (index(), 1i64..30).prop_map(|(h, m)| Event::Extend(h, m)),
        6 => (index(), 0i64..140).prop_map(|(h, part)| Event::End(h, part)),
        2 * few => (index(), 1i64..60).prop_map(|(g, amount)| Event::Take(g, amount)),
    ]
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn dealing_late_gives_what_dealing_each_charge_at_once_gives(events in prop::collection::vec(event(true), 1..80)) {
        agree(&events, true)?;
    }

    /// The design's sentence, alone: a fixed set of grants, charges only.
    #[test]
    fn among_a_fixed_set_of_grants_only_the_sum_of_charges_counts(
        grants in prop::collection::vec((1i64..80, 0u8..3, any::<bool>(), prop::option::of(1_000i64..1_010)), 1..8),
        charges in prop::collection::vec((1i64..40, any::<Index>(), 0i64..140), 1..30),
    ) {
        let told = grants.iter().map(|(a, p, paid, end)| Event::Grant(*a, *p, *paid, -1, *end));
        let charged = charges.iter().flat_map(|(held, which, part)| [Event::Hold(*held), Event::End(*which, *part)]);
        let events: Vec<_> = told.chain(charged).collect();
        agree(&events, false)?;
    }

    #[test]
    fn burn_order_is_total(a in facts(), b in facts(), c in facts()) {
        use std::cmp::Ordering::{Equal, Greater};
        let [a, b, c] = [a, b, c].map(Grant::new);
        prop_assert_eq!(a.burns_before(&b), b.burns_before(&a).reverse());
        prop_assert_eq!(a.burns_before(&b) == Equal, a.facts.id == b.facts.id && rank(&a.facts) == rank(&b.facts));
        if a.burns_before(&b) != Greater && b.burns_before(&c) != Greater {
            prop_assert!(a.burns_before(&c) != Greater);
        }
        if rank(&a.facts) < rank(&b.facts) {
            prop_assert!(a.burns_before(&b).is_lt());
        }
    }
}

/// Priority, earlier end, promotional first, earlier start, earlier made.
fn rank(facts: &GrantFacts) -> (u8, Timestamp, bool, Timestamp, Timestamp) {
    let paid = facts.category == Category::Paid;
    (
        facts.priority,
        facts.expires_at,
        paid,
        facts.effective_at,
        facts.created_at,
    )
}

fn facts() -> impl Strategy<Value = GrantFacts> {
    let time = || {
        prop_oneof![
            (0i64..3).prop_map(|s| START.plus(Span::from_secs(s))),
            Just(Timestamp::NEVER)
        ]
    };
    (0u8..3, 0u8..2, any::<bool>(), time(), time(), time()).prop_map(|(id, priority, paid, a, b, c)| {
        GrantFacts {
            id: GrantId::new(&format!("g{id}")).unwrap(),
            amount: micros(1),
            priority,
            category: if paid {
                Category::Paid
            } else {
                Category::Promotional
            },
            effective_at: a,
            expires_at: b,
            created_at: c,
            updated_at: START,
            voided_at: None,
            note: None,
        }
    })
}

/// Runs both and compares at the end; with `asking`, also on the way, which must not matter.
fn agree(events: &[Event], asking: bool) -> Result<(), TestCaseError> {
    let mut world = World::new("acme", START);
    let mut naive = Naive::default();
    for (at, event) in events.iter().enumerate() {
        happen(&mut world, &mut naive, event);
        if asking && at % 16 == 15 {
            compare(&world, &naive)?;
            let account = world.account.clone();
            world.execute(&Command::ApplyDue { account });
        }
    }
    compare(&world, &naive)
}

fn happen(world: &mut World, naive: &mut Naive, event: &Event) {
    match event {
        Event::Wait(seconds) => {
            world.now = world.now.plus(Span::from_secs(*seconds));
            naive.wait(world.now);
        }
        Event::Grant(amount, priority, paid, start, end) => {
            let at = |s: i64| Timestamp::from_micros(world.now.micros() + s * 1_000_000);
            let facts = GrantFacts {
                id: GrantId::new(&format!("g{}", naive.grants.len())).unwrap(),
                amount: micros(*amount),
                priority: *priority,
                category: if *paid {
                    Category::Paid
                } else {
                    Category::Promotional
                },
                effective_at: at(*start),
                expires_at: end.map_or(Timestamp::NEVER, at),
                created_at: world.now,
                updated_at: world.now,
                voided_at: None,
                note: None,
            };
            naive.tell(facts.clone());
            let account = world.account.clone();
            let detail = Detail::none();
            world.execute(&Command::PutGrant {
                account,
                facts,
                detail,
            });
        }
        Event::Hold(amount) => {
            if *amount <= naive.available() {
                let id = world.hold_exactly(micros(*amount));
                naive.holds.insert(naive.opened, *amount);
                naive.ids.push(id);
                naive.opened += 1;
            }
        }
        Event::Extend(which, more) => {
            if let Some(hold) = naive.pick(which)
                && *more <= naive.available()
            {
                world.extend_exactly(naive.ids[hold], micros(*more));
                *naive.holds.get_mut(&hold).unwrap() += more;
            }
        }
        Event::Take(which, amount) => {
            // One that was never told of takes nothing.
            let index = which.index(naive.grants.len() + 1);
            let from = GrantId::new(&format!("g{index}")).unwrap();
            world.execute(&Command::Adjust {
                id: CommandId::new(&format!("take-{}", world.history.len())).unwrap(),
                account: world.account.clone(),
                amount: micros(-amount),
                detail: Detail::none(),
                from: Some(from),
            });
            naive.take(index, *amount);
        }
        Event::End(which, part) => {
            if let Some(hold) = naive.pick(which) {
                let charge = naive.holds[&hold] * part / 100;
                world.capture(naive.ids[hold], micros(charge));
                naive.end(hold, charge);
            }
        }
    }
}

fn compare(world: &World, naive: &Naive) -> Result<(), TestCaseError> {
    let (account, grants) = world.book().statement(world.now);
    prop_assert_eq!(account.available().micros(), naive.available());
    for expected in &naive.grants {
        let grant = grants.iter().find(|g| g.facts.id == expected.facts.id).unwrap();
        let found = (grant.drawn.micros(), grant.expired.micros());
        prop_assert_eq!(
            found,
            (expected.drawn, expected.expired),
            "{:?} or {:?}",
            grant,
            expected
        );
    }
    Ok(())
}

#[derive(Debug)]
struct Lot {
    facts: GrantFacts,
    drawn: i64,
    expired: i64,
    life: Life,
}

#[derive(Debug, PartialEq)]
enum Life {
    Pending,
    Active,
    /// The holds that were open then.
    Ending(BTreeSet<usize>),
    Over,
}

#[derive(Default)]
struct Naive {
    grants: Vec<Lot>,
    holds: BTreeMap<usize, i64>,
    ids: Vec<faregate::domain::ids::HoldId>,
    opened: usize,
    /// Charges that no grant covers.
    debt: i64,
}

impl Naive {
    fn pick(&self, which: &Index) -> Option<usize> {
        let open: Vec<_> = self.holds.keys().copied().collect();
        (!open.is_empty()).then(|| *which.get(&open))
    }

    fn available(&self) -> i64 {
        let left: i64 = self.grants.iter().filter(|g| g.counts()).map(Lot::left).sum();
        left - self.debt - self.holds.values().sum::<i64>()
    }

    fn tell(&mut self, facts: GrantFacts) {
        let life = if facts.expires_at <= facts.updated_at {
            Life::Over
        } else {
            Life::Pending
        };
        let now = facts.updated_at;
        self.grants.push(Lot {
            facts,
            drawn: 0,
            expired: 0,
            life,
        });
        self.wait(now);
    }

    /// Whatever starts or ends up to `now`, one after the other.
    fn wait(&mut self, now: Timestamp) {
        loop {
            let next = |g: &Lot| match g.life {
                Life::Pending => Some((g.facts.effective_at, 0)),
                Life::Active => Some((g.facts.expires_at, 1)),
                _ => None,
            };
            let order = self.burn_order();
            let due = order.iter().filter_map(|i| Some((next(&self.grants[*i])?, *i)));
            let Some(((at, _), index)) =
                due.min_by_key(|(when, i)| (*when, order.iter().position(|o| o == i)))
            else {
                return;
            };
            if at > now {
                return;
            }
            if self.grants[index].life == Life::Pending {
                self.grants[index].life = Life::Active;
                let debt = std::mem::take(&mut self.debt);
                self.deal(debt);
            } else {
                self.expire(index);
            }
        }
    }

    fn burn_order(&self) -> Vec<usize> {
        let mut order: Vec<_> = (0..self.grants.len()).collect();
        order.sort_by_key(|i| (rank(&self.grants[*i].facts), self.grants[*i].facts.id.clone()));
        order
    }

    fn ending(&self) -> Vec<usize> {
        let under = |i: &usize| match &self.grants[*i].life {
            Life::Ending(holds) => Some((holds.len(), *i)),
            _ => None,
        };
        // The one that ended first was under fewer of the holds; those under the same ones come in burn order.
        let mut ending: Vec<_> = self.burn_order().iter().filter_map(under).collect();
        ending.sort_by_key(|(holds, _)| *holds);
        ending.into_iter().map(|(_, i)| i).collect()
    }

    fn deal(&mut self, mut charge: i64) {
        for index in self.burn_order() {
            if self.grants[index].life == Life::Active {
                charge -= self.grants[index].draw(charge);
            }
        }
        self.debt += charge;
    }

    /// Everything held lies on what ends already, then on active grants in burn order: how much is left for this one, perhaps more than it has.
    fn held_on(&self, index: usize) -> i64 {
        let order = self.burn_order();
        let active = order.into_iter().filter(|i| self.grants[*i].life == Life::Active);
        let before: i64 = self
            .ending()
            .into_iter()
            .chain(active.take_while(|i| *i != index))
            .map(|i| self.grants[i].left())
            .sum();
        (self.holds.values().sum::<i64>() - before).max(0)
    }

    fn expire(&mut self, index: usize) {
        let kept = self.held_on(index);
        self.grants[index].life = Life::Ending(self.holds.keys().copied().collect());
        self.grants[index].keep(kept);
    }

    /// What is taken is dealt to one grant first, as far as it has what is neither spent nor held.
    fn take(&mut self, index: usize, amount: i64) {
        let mut left = amount;
        if self.grants.get(index).is_some_and(|g| g.life == Life::Active) {
            let free = self.grants[index].left() - self.held_on(index);
            left -= self.grants[index].draw(amount.min(free.max(0)));
        }
        self.deal(left);
    }

    fn end(&mut self, hold: usize, charge: i64) {
        self.holds.remove(&hold);
        let ending = self.ending();
        let mut left = charge;
        for &index in &ending {
            if let Life::Ending(holds) = &mut self.grants[index].life
                && holds.remove(&hold)
            {
                left -= self.grants[index].draw(left);
            }
        }
        self.deal(left);
        let mut before = 0;
        for index in ending {
            let Life::Ending(holds) = &self.grants[index].life else {
                continue;
            };
            let held: i64 = holds.iter().map(|h| self.holds[h]).sum();
            self.grants[index].keep(held - before);
            before += self.grants[index].left();
        }
    }
}

impl Lot {
    fn left(&self) -> i64 {
        self.facts.amount.micros() - self.drawn - self.expired
    }

    fn counts(&self) -> bool {
        matches!(self.life, Life::Active | Life::Ending(_))
    }

    fn draw(&mut self, most: i64) -> i64 {
        let drawn = most.min(self.left());
        self.drawn += drawn;
        drawn
    }

    fn keep(&mut self, kept: i64) {
        self.expired += (self.left() - kept.max(0)).max(0);
        if self.left() == 0 {
            self.life = Life::Over;
        }
    }
}
