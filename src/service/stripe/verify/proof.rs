//! `setup:seti_1`, `test_charge:pi_1`: a card that was verified without a charge, or by one that is refunded at once.

use serde::{Deserialize, Serialize};

use crate::config::{Shown, Verify};
use crate::ledger::memos::MemoName;
use crate::stripe::api;
use crate::stripe::facts::{Fact, Metadata, Telling};

use super::super::memo::{Done, Owner, Parked, Rules, Step as Made, Want, Whose};
use super::{Came, Step};

/// The metadata by which a session and its payment say that they verify: the plan that is left.
pub(in super::super) const VERIFY: &str = "faregate_verify";

/// The memos of cards that Stripe verifies, and of charges that are refunded.
pub(in super::super) const SETUP: &str = "setup";
pub(in super::super) const TEST_CHARGE: &str = "test_charge";

/// What is remembered of one.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProofMemo {
    /// Whose.
    pub owner: Owner,
    /// The page on which it was to be shown is done; whether it was is to be asked.
    pub complete: bool,
    /// It was shown: the payment method, or the charge.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub of: Option<String>,
    /// When, in seconds since the epoch.
    pub at: i64,
    /// What it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown: Option<Proof>,
    /// The account's memo knows it.
    pub told: bool,
    /// The charge was refunded.
    pub returned: Made,
    /// How often Stripe was asked for that and did not do it. What it answered once it says again to the same idempotency key for a day, so each time has
    /// another: a charge cannot be refunded twice.
    pub tries: u32,
    /// Stripe was asked just now.
    #[serde(skip)]
    looked: bool,
    /// It has just refused: enough for now.
    #[serde(skip)]
    refused_now: bool,
}

/// A card that was shown.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Proof {
    /// It was charged.
    pub charged: bool,
    /// It is a card, and no other way of paying.
    pub is_card: bool,
    /// What Stripe says of its security code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cvc: Option<String>,
    /// And of its postal code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub postal_code: Option<String>,
    /// `credit`, `debit`, `prepaid`, `unknown`.
    pub funding: String,
    /// By what its person is known again: kind and keyed hash, never what was hashed.
    pub marks: Vec<(String, String)>,
    /// When, in seconds since the epoch.
    pub at: i64,
    /// What came of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<Verdict>,
}

/// What came of a card.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It opened a plan.
    Opened,
    /// No card, or one that cannot be known again.
    NoCard,
    /// The security code was not found right, or the postal code was found wrong.
    NotChecked,
    /// Prepaid.
    Prepaid,
    /// Its person has a trial on another account; by which kind of mark.
    UsedBefore(String),
}

impl Verdict {
    /// As metrics name it.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Verdict::Opened => "opened",
            Verdict::NoCard => "no_card",
            Verdict::NotChecked => "not_checked",
            Verdict::Prepaid => "prepaid",
            Verdict::UsedBefore(_) => "used_before",
        }
    }

    /// For whoever showed it.
    pub(in super::super) fn told(&self) -> &'static str {
        match self {
            Verdict::Opened => "this account is verified",
            Verdict::NoCard => "what was shown is not a card; another try needs one",
            Verdict::NotChecked => {
                "the card's security code or postal code could not be checked; enter the card itself, not through a wallet"
            }
            Verdict::Prepaid => "prepaid cards are not taken here; another card may be",
            Verdict::UsedBefore(mark) if mark == EMAIL => {
                "this e-mail address was used for a trial before, on another account"
            }
            Verdict::UsedBefore(_) => "this card was used for a trial before, on another account",
        }
    }
}

/// The kinds of marks.
pub(in super::super) const CARD: &str = "card";
pub(in super::super) const EMAIL: &str = "email";

impl Proof {
    /// Whether it is what has to be shown: a charge shows more than a check does.
    pub(super) fn is_by(&self, by: Shown) -> bool {
        match by {
            Shown::Card => true,
            Shown::Charge { .. } => self.charged,
            Shown::Payment(_) => false,
        }
    }

    /// Why it is not good enough.
    pub(super) fn fails(&self, verify: &Verify) -> Option<Verdict> {
        let failed = self.postal_code.as_deref() == Some("fail");
        if !self.is_card || !self.marks.iter().any(|(kind, _)| kind == CARD) {
            Some(Verdict::NoCard)
        } else if self.funding == "prepaid" && !verify.prepaid_cards {
            Some(Verdict::Prepaid)
        } else if self.cvc.as_deref() != Some("pass") || failed {
            Some(Verdict::NotChecked)
        } else {
            None
        }
    }
}

impl ProofMemo {
    pub(in super::super) fn hear(&mut self, telling: &Telling, rules: &Rules) {
        match &telling.fact {
            Fact::Setup(setup) => {
                self.owner
                    .learn(setup.customer.as_deref(), &setup.metadata, rules);
                if setup.status == "succeeded" {
                    self.showed(setup.method.as_deref(), telling.at);
                }
            }
            Fact::Payment(payment) => {
                self.owner
                    .learn(payment.customer.as_deref(), &payment.metadata, rules);
                if payment.status == "succeeded" {
                    self.showed(payment.charge.as_deref(), telling.at);
                }
            }
            Fact::Session(session) => {
                self.owner
                    .learn(session.customer.as_deref(), &session.metadata, rules);
                self.complete |= session.status == "complete";
            }
            Fact::Charge(charge) if charge.refunded >= charge.amount => self.returned = Made::Done,
            _ => {}
        }
    }

    fn showed(&mut self, of: Option<&str>, at: i64) {
        if let (None, Some(of)) = (&self.of, of) {
            self.of = Some(of.to_owned());
            self.at = at;
        }
    }

    pub(in super::super) fn next(&mut self, name: &MemoName, rules: &Rules) -> Result<Option<Want>, Parked> {
        let charged = name.kind() == TEST_CHARGE;
        let id = name.id();
        if !charged && !rules.verifies_cards() {
            return Ok(None);
        }
        let call = |call: Result<_, crate::stripe::call::BadCall>| call.map_err(|error| error.to_string());
        let Some(of) = &self.of else {
            if !self.complete || self.looked || !rules.api {
                return Ok(None);
            }
            let look = if charged {
                api::get_payment(id)
            } else {
                api::get_setup_intent(id)
            };
            return Ok(Some(Want::Look(call(look)?)));
        };
        // The money first: whatever else cannot be done must not keep it.
        if charged && (self.returned.is_open() || self.returned != Made::Done && !self.refused_now) {
            let because = format!("verified_{}", self.tries);
            let refund = api::create_refund(id, None, &Metadata::new(), &because);
            return Ok(Some(Want::Call {
                step: "return",
                call: call(refund)?,
                before: None,
            }));
        }
        let Some(account) = self.owner.account() else {
            let owner = self.owner.clone();
            let known = !owner.is_nobody();
            return Ok(known.then_some(Want::Owner(Whose::Customer { owner, pays: false })));
        };
        let Some(shown) = &self.shown else {
            return Ok(Some(Want::Verify(Step::Card {
                of: of.clone(),
                customer: self.owner.customer.clone(),
            })));
        };
        if !self.told {
            return Ok(Some(Want::Verify(Step::Prove {
                account,
                id: name.to_string(),
                proof: Proof {
                    charged,
                    at: self.at,
                    ..shown.clone()
                },
            })));
        }
        match &self.returned {
            Made::Refused(_) if charged && !self.looked => Ok(Some(Want::Look(call(api::get_charge(of))?))),
            Made::Refused(why) if charged => Err(format!("the charge that verified is not refunded: {why}")),
            _ => Ok(None),
        }
    }

    pub(in super::super) fn note(&mut self, want: &Want, done: Done) {
        match (want, done) {
            (Want::Owner(_), Done::Owner(owner)) => self.owner = owner,
            (Want::Look(_), _) => self.looked = true,
            (Want::Call { step: "return", .. }, done) => {
                if matches!(done, Done::Refused(_)) {
                    self.refused_now = true;
                    self.tries = self.tries.saturating_add(1);
                }
                self.returned.note(&done);
            }
            (_, Done::Verified(Came::Shown(proof))) => self.shown = Some(proof),
            (Want::Verify(Step::Prove { .. }), _) => self.told = true,
            _ => {}
        }
    }
}
