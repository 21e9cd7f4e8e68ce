//! `verify:acme`: what an account has shown so that the next plan opens, and what came of it.
//!
//! A plan says what opens the next one ([`crate::config::Verify`]). Cards are shown by memos of their own ([`proof`]), payments by those of purchases; here
//! it is judged what they come to. Opening is a chain of steps that is written down before the first is done, and each of which may be repeated: the person
//! is claimed, the credits are given under an id of their own, the account is moved, only from the plan that it was on.

pub(super) mod proof;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::{Shown, Verify};
use crate::domain::credits::Credits;
use crate::domain::grant::{Category, GrantFacts};
use crate::domain::ids::{AccountId, GrantId, PlanId};
use crate::domain::time::Timestamp;

use super::memo::{Amount, Done, Parked, Rules, Want, named};
use proof::{Proof, Verdict};

/// The most cards that an account can have shown.
const PROOFS_MAX: usize = 100;

/// The most payments that are counted; who has made so many and is not on the next plan never will be.
const PAYMENTS_MAX: usize = 1_000;

/// The most pages that are remembered; older ones are told of by events alone.
const PAGES_MAX: usize = 3;

/// As what credits that are given are booked.
const PRIORITY: u8 = 50;

/// What is remembered of an account that shows something.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct VerifyMemo {
    /// Cards, by the memo that told of each.
    pub proofs: BTreeMap<String, Proof>,
    /// Credits, by the payment that bought them; only what is there still.
    pub bought: BTreeMap<String, Amount>,
    /// The newest pages on which a card can be shown, the newest last.
    pub pages: Vec<String>,
    /// What is being opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub opening: Option<Opening>,
    /// Which plans were left by what was shown, and for which: each once.
    pub opened: BTreeMap<String, String>,
    /// Something was shown that was not judged yet.
    pub news: bool,
    /// How the account stands, while it is judged.
    #[serde(skip)]
    standing: Option<Standing>,
    /// What was decided just now.
    #[serde(skip)]
    outcomes: Vec<&'static str>,
}

/// A plan that is being opened.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Opening {
    /// The plan that is left.
    pub from: String,
    /// The plan that opens.
    pub to: String,
    /// By which card.
    pub proof: Option<String>,
    /// What is given.
    pub gift: Option<Given>,
    /// The person had no trial before, and has this one.
    pub claimed: bool,
    /// The ledger knows what is given.
    pub given: bool,
}

/// Credits that are given.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Given {
    credits: Amount,
    /// In microseconds since the epoch, as the other.
    at: i64,
    expires_at: i64,
}

/// How an account stands.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standing {
    /// Its plan, the default where it has none of its own.
    pub plan: Option<PlanId>,
    /// When, by the store's clock.
    pub at: Timestamp,
}

/// One thing that is wanted in order to verify.
#[derive(Clone, PartialEq, Debug)]
pub enum Step {
    /// To know the card that was verified, or charged.
    Card {
        /// The payment method or the charge.
        of: String,
        /// Whose.
        customer: Option<String>,
    },
    /// That an account's memo knows what was shown.
    Prove {
        /// Whose.
        account: AccountId,
        /// By which memo.
        id: String,
        /// What.
        proof: Proof,
    },
    /// That an account's memo knows how much was bought.
    Bought {
        /// Whose.
        account: AccountId,
        /// By which payment.
        payment: String,
        /// What of it was not refunded and is not disputed.
        credits: Credits,
    },
    /// To know how the account stands.
    Standing(AccountId),
    /// That a person's trial is this account's, if no other has it.
    Person {
        /// Whose.
        account: AccountId,
        /// The person's marks: kind and keyed hash.
        marks: Vec<(String, String)>,
    },
    /// That the account is on this plan, if it still is on that one.
    Move {
        /// Whose.
        account: AccountId,
        /// From which.
        from: PlanId,
        /// To which.
        to: PlanId,
    },
}

impl Step {
    /// It was decided, and is written down before it is done.
    pub(super) fn is_decided(&self) -> bool {
        matches!(self, Step::Person { .. } | Step::Move { .. })
    }

    /// Stripe has to be asked for it.
    pub(super) fn is_asking(&self) -> bool {
        matches!(self, Step::Card { .. })
    }
}

/// What came of a step.
#[derive(Clone, PartialEq, Debug)]
pub enum Came {
    /// What was shown.
    Shown(Proof),
    /// How the account stands.
    Standing(Standing),
    /// Another account has the person's trial; by which kind of mark.
    Taken(String),
}

impl VerifyMemo {
    /// Something was shown.
    pub(super) fn prove(&mut self, id: &str, proof: &Proof) {
        if self.proofs.contains_key(id) || self.proofs.len() >= PROOFS_MAX {
            return;
        }
        self.proofs.insert(id.to_owned(), proof.clone());
        self.news = true;
    }

    /// So much is left of what a payment bought.
    pub(super) fn bought(&mut self, payment: &str, credits: Credits) {
        let known = self.bought.contains_key(payment);
        if known || self.bought.len() < PAYMENTS_MAX {
            self.bought.insert(payment.to_owned(), Amount(credits));
            self.news = true;
        }
    }

    /// All that was bought and is there still.
    pub(super) fn bought_in_all(&self) -> Credits {
        self.bought.values().map(|amount| amount.0).sum()
    }

    /// A page was made on which a card can be shown.
    pub(super) fn page(&mut self, session: &str) {
        if self.pages.iter().any(|page| page == session) {
            return;
        }
        self.pages.push(session.to_owned());
        if self.pages.len() > PAGES_MAX {
            self.pages.remove(0);
        }
    }

    /// It is over for a page.
    pub(super) fn done_with(&mut self, session: &str) {
        self.pages.retain(|page| page != session);
    }

    pub(super) fn next(&mut self, id: &str, rules: &Rules) -> Result<Option<Want>, Parked> {
        let account = named(id, AccountId::new)?;
        if self.opening.is_none() && self.news {
            let Some(standing) = self.standing.clone() else {
                return Ok(Some(Want::Verify(Step::Standing(account))));
            };
            self.judge(&standing, rules);
            self.news = self.opening.is_some();
        }
        let Some(opening) = &self.opening else {
            return Ok(None);
        };
        if !opening.claimed {
            let proof = opening.proof.as_ref().and_then(|id| self.proofs.get(id));
            let marks = proof.map(|proof| proof.marks.clone()).unwrap_or_default();
            return Ok(Some(Want::Verify(Step::Person { account, marks })));
        }
        if let Some(given) = opening.gift.as_ref().filter(|_| !opening.given) {
            let facts = given.facts(&opening.from)?;
            return Ok(Some(Want::Grant { account, facts }));
        }
        let (from, to) = (
            named(&opening.from, PlanId::new)?,
            named(&opening.to, PlanId::new)?,
        );
        if !rules.plans.contains_key(&to) {
            return Err(format!("there is no plan {to} any more that could be opened"));
        }
        Ok(Some(Want::Verify(Step::Move { account, from, to })))
    }

    /// What was shown comes to, on the plan that the account is on.
    fn judge(&mut self, standing: &Standing, rules: &Rules) {
        let Some((plan, verify)) = verify_of(standing.plan.as_ref(), rules) else {
            return;
        };
        // Who was put back on it by the operator stays there.
        if self.opened.contains_key(plan.as_str()) {
            return;
        }
        let opening = Opening {
            from: plan.to_string(),
            to: verify.opens.to_string(),
            ..Opening::default()
        };
        if let Shown::Payment(credits) = verify.by {
            // Nothing is given, so nobody can have had it before.
            let claimed = self.bought_in_all() >= credits;
            self.opening = claimed.then_some(Opening { claimed, ..opening });
            return;
        }
        for (id, proof) in &mut self.proofs {
            if proof.verdict.is_some() || !proof.is_by(verify.by) {
                continue;
            }
            if let Some(verdict) = proof.fails(verify) {
                self.outcomes.push(verdict.as_str());
                proof.verdict = Some(verdict);
                continue;
            }
            self.opening = Some(Opening {
                proof: Some(id.clone()),
                gift: given(verify, standing.at),
                ..opening
            });
            return;
        }
    }

    pub(super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (_, Done::Verified(Came::Standing(standing))) => self.standing = Some(standing),
            (_, Done::Verified(Came::Taken(by))) => {
                self.decide(Verdict::UsedBefore(by));
                // Another card may do.
                self.news = true;
            }
            (Want::Verify(Step::Person { .. }), _) => {
                if let Some(opening) = &mut self.opening {
                    opening.claimed = true;
                }
            }
            (Want::Grant { .. }, _) => {
                if let Some(opening) = &mut self.opening {
                    opening.given = true;
                }
            }
            (Want::Verify(Step::Move { from, to, .. }), _) => {
                self.decide(Verdict::Opened);
                self.opened.insert(from.to_string(), to.to_string());
                // What was shown may open the plan after it as well.
                self.standing = None;
                self.news = true;
            }
            _ => {}
        }
    }

    fn decide(&mut self, verdict: Verdict) {
        self.outcomes.push(verdict.as_str());
        let Some(opening) = self.opening.take() else {
            return;
        };
        let proof = opening.proof.and_then(|id| self.proofs.get_mut(&id));
        if let Some(proof) = proof {
            proof.verdict = Some(verdict);
        }
    }

    /// What was decided since this was asked last, for whoever counts it.
    pub(super) fn outcomes(&mut self) -> Vec<&'static str> {
        std::mem::take(&mut self.outcomes)
    }

    /// The newest card that was not good enough; why.
    pub(super) fn refused(&self) -> Option<&Verdict> {
        let newest = self.proofs.values().max_by_key(|proof| proof.at)?;
        newest.verdict.as_ref().filter(|v| **v != Verdict::Opened)
    }

    /// Something is under way.
    pub(super) fn is_under_way(&self) -> bool {
        self.opening.is_some() || self.news
    }
}

/// The plan of an account, and what opens the next one.
pub(super) fn verify_of<'r>(plan: Option<&PlanId>, rules: &'r Rules) -> Option<(&'r PlanId, &'r Verify)> {
    let plan = plan.or(rules.default_plan.as_ref())?;
    let (id, plan) = rules.plans.get_key_value(plan)?;
    Some((id, plan.verify.as_deref()?))
}

fn given(verify: &Verify, at: Timestamp) -> Option<Given> {
    let gift = verify.gift?;
    let expires_at = gift.expires_after.map_or(Timestamp::NEVER, |life| at.plus(life));
    Some(Given {
        credits: Amount(gift.credits),
        at: at.micros(),
        expires_at: expires_at.micros(),
    })
}

impl Given {
    /// The grant: one for each plan that an account leaves, whatever is repeated.
    fn facts(&self, from: &str) -> Result<GrantFacts, Parked> {
        let at = Timestamp::from_micros(self.at);
        Ok(GrantFacts {
            id: named(&format!("verify:{from}"), GrantId::new)?,
            amount: self.amount(),
            priority: PRIORITY,
            category: Category::Promotional,
            effective_at: at,
            expires_at: Timestamp::from_micros(self.expires_at),
            created_at: at,
            updated_at: at,
            voided_at: None,
            note: Some("verified".into()),
        })
    }

    fn amount(&self) -> Credits {
        self.credits.0
    }
}
