//! What all memos have in common: hearing, wanting, and noting what was done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::domain::command::AccountChange;
use crate::domain::credits::Credits;
use crate::domain::grant::GrantFacts;
use crate::domain::ids::{AccountId, CommandId, GrantId};
use crate::domain::time::Timestamp;
use crate::ledger::memos::MemoName;
use crate::stripe::call::Call;
use crate::stripe::facts::{Fact, Metadata, Telling};

pub use super::alarm::Alarm;
use super::customer::CustomerMemo;
use super::grant::GrantMemo;
use super::invoice::InvoiceMemo;
use super::lot::{self, Lot};
use super::mark::MarkMemo;
use super::purchase::PurchaseMemo;
use super::report::ReportMemo;
pub use super::rules::Rules;
pub use super::said::Said;
use super::top_up::{self, Means, Stand, TopUpMemo};
use super::usage::UsageMemo;
use super::verify::proof::{self, ProofMemo};
use super::verify::{self, VerifyMemo};

/// Why something cannot be done until somebody changes something. For the operator.
pub type Parked = String;

/// One thing that a memo wants, given what it has heard.
#[derive(Clone, PartialEq, Debug)]
pub enum Want {
    /// To know whose account it concerns.
    Owner(Whose),
    /// To be the one lot of a purchase, or to know which is.
    Claim {
        /// The payment.
        payment: String,
        /// As what.
        lot: Lot,
        /// For whom.
        owner: Owner,
    },
    /// That the ledger knows this grant as it is.
    Grant {
        /// Whose.
        account: AccountId,
        /// How it is.
        facts: GrantFacts,
    },
    /// To know how a lot stands, once it has begun.
    Lot {
        /// Whose.
        account: AccountId,
        /// Which.
        grant: GrantId,
    },
    /// That credits are taken (below zero), of this grant first, or given back (above).
    Adjust {
        /// Whose.
        account: AccountId,
        /// So that it happens once.
        id: CommandId,
        /// How much.
        amount: Credits,
        /// Of which grant.
        from: Option<GrantId>,
    },
    /// That credits that were taken of a lot are there again.
    GiveBack {
        /// Whose.
        account: AccountId,
        /// As what.
        facts: GrantFacts,
    },
    /// That the account is paused for this, or no longer.
    Change {
        /// Whose.
        account: AccountId,
        /// [`AccountChange::Pause`] or [`AccountChange::Resume`].
        change: AccountChange,
    },
    /// That the operator hears of something; at least once.
    Alarm(Alarm),
    /// To hear of the object anew, from the API.
    Look(Call),
    /// That Stripe makes a grant for a payment, if it has none.
    Make {
        /// The call that makes it.
        call: Call,
        /// Whose.
        customer: String,
        /// The payment, which the grant bears.
        payment: String,
        /// From then on (seconds since the epoch) Stripe may have forgotten that it made it: it is looked for first.
        look_from: i64,
    },
    /// That Stripe does something.
    Call {
        /// The memo's own name for it.
        step: &'static str,
        /// What.
        call: Call,
        /// After this second (since the epoch) it must not be made any more: Stripe would not know it again.
        before: Option<i64>,
    },
    /// That what was owed here, and paid by an invoice, is owed no more.
    PaidOff {
        /// Who has paid.
        account: AccountId,
        /// What is known of it.
        owner: Owner,
        /// So much, in minor units.
        due: i64,
        /// Lower-case ISO code.
        currency: String,
        /// When, in seconds since the epoch.
        at: i64,
    },
    /// To know how the memo's account stands.
    Stand,
    /// To know with what a customer can be charged.
    Means {
        /// Who.
        customer: String,
        /// Not with this, where there is anything else.
        bad: Option<String>,
        /// Not with these.
        refused: Vec<String>,
        /// It is for what is owed, in whatever the customer pays in.
        owed: bool,
    },
    /// That a customer who is not there is charged.
    Charge {
        /// The call that does it.
        call: Call,
        /// What it is for.
        charge: Box<top_up::Charge>,
        /// It was not asked for before.
        fresh: bool,
        /// Only while the account has less than this; none: not at all, unless it is done already.
        below: Option<Credits>,
    },
    /// That what this payment bought is there.
    Credited(String),
    /// That the account's automatic top-ups go on, since its customer has paid.
    Bought(AccountId),
    /// A step towards the next plan.
    Verify(verify::Step),
}

impl Want {
    /// Stripe is to do something: that it refuses is one step that will not be made, and the memo goes on.
    fn is_doing(&self) -> bool {
        matches!(self, Want::Call { .. } | Want::Make { .. })
    }
}

/// By what an account is found.
#[derive(Clone, PartialEq, Debug)]
pub enum Whose {
    /// By the customer, or the name that the operator gave; made if there is none, where credits are to be given.
    Customer {
        /// What is known.
        owner: Owner,
        /// Credits are to be given.
        pays: bool,
    },
    /// By a payment.
    Payment(String),
    /// By a charge that no payment made.
    Charge(String),
}

/// What came of a want.
#[derive(Clone, PartialEq, Debug)]
pub enum Done {
    /// It is so now.
    Done,
    /// Whose it is.
    Owner(Owner),
    /// Which lot a purchase has.
    Lot(String),
    /// How a lot stands.
    Standing(lot::Standing),
    /// What Stripe said of the object.
    Heard(Box<Telling>),
    /// How the account stands.
    Stand(Stand),
    /// With what the customer can be charged.
    Means(Means),
    /// What became of a charge, and when that was known, in seconds since the epoch.
    Charged(top_up::Came, i64),
    /// What came of a step towards the next plan.
    Verified(verify::Came),
    /// Stripe or the ledger says no, and will go on to.
    Refused(Parked),
}

/// Whose something is, as far as that is known.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Owner {
    /// Stripe's customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub customer: Option<String>,
    /// The account that the operator named in the object's metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// The account; once known it stays.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
}

impl Owner {
    /// Adds what an object says of it.
    pub(super) fn learn(&mut self, customer: Option<&str>, metadata: &Metadata, rules: &Rules) {
        if self.customer.is_none() {
            self.customer = customer.map(str::to_owned);
        }
        if self.named.is_none() {
            self.named = metadata.get(&*rules.stripe.account_metadata).cloned();
        }
    }

    /// The account, if it is known. What is stored was checked when it was found.
    pub(super) fn account(&self) -> Option<AccountId> {
        AccountId::new(self.account.as_deref()?).ok()
    }

    /// Nobody knows anything.
    pub(super) fn is_nobody(&self) -> bool {
        self.customer.is_none() && self.named.is_none() && self.account.is_none()
    }
}

/// Credits in a memo: a decimal text, as everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Amount(pub Credits);

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Amount {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Amount, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(Amount).map_err(serde::de::Error::custom)
    }
}

/// What became of a call that is made once.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// It was not made, or its answer is not known.
    #[default]
    Open,
    /// Stripe did it.
    Done,
    /// Stripe refused; why.
    Refused(String),
}

impl Step {
    pub(super) fn is_open(&self) -> bool {
        *self == Step::Open
    }

    pub(super) fn note(&mut self, done: &Done) {
        *self = match done {
            Done::Refused(why) => Step::Refused(why.clone()),
            _ => Step::Done,
        };
    }
}

/// A document of any kind.
#[derive(Clone, PartialEq, Debug)]
pub enum Document {
    /// `grant:credgr_1`
    Grant(Box<GrantMemo>),
    /// `purchase:pi_1`
    Purchase(Box<PurchaseMemo>),
    /// `invoice:in_1`
    Invoice(InvoiceMemo),
    /// `customer:cus_1`
    Customer(CustomerMemo),
    /// `fraud_warning:issfr_1`, `review:prv_1`
    Mark(MarkMemo),
    /// `usage:acme`
    Usage(UsageMemo),
    /// `top_up:acme`
    TopUp(Box<TopUpMemo>),
    /// `setup:seti_1`, `test_charge:pi_1`
    Proof(Box<ProofMemo>),
    /// `verify:acme`
    Verify(Box<VerifyMemo>),
    /// `report:evt_1`
    Report(ReportMemo),
}

/// Why a stored memo cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Illegible(String);

macro_rules! each {
    ($document:expr, $memo:ident => $does:expr) => {
        match $document {
            Document::Grant($memo) => $does,
            Document::Purchase($memo) => $does,
            Document::Invoice($memo) => $does,
            Document::Customer($memo) => $does,
            Document::Mark($memo) => $does,
            Document::Usage($memo) => $does,
            Document::TopUp($memo) => $does,
            Document::Proof($memo) => $does,
            Document::Verify($memo) => $does,
            Document::Report($memo) => $does,
        }
    };
}

impl Document {
    /// An empty one, or the one that was written.
    pub fn read(name: &MemoName, text: Option<&str>) -> Result<Document, Illegible> {
        let text = text.unwrap_or("{}");
        let wrong = |error: serde_json::Error| Illegible(error.to_string());
        Ok(match name.kind() {
            "grant" => Document::Grant(serde_json::from_str(text).map_err(wrong)?),
            "purchase" => Document::Purchase(serde_json::from_str(text).map_err(wrong)?),
            "invoice" => Document::Invoice(serde_json::from_str(text).map_err(wrong)?),
            "customer" => Document::Customer(serde_json::from_str(text).map_err(wrong)?),
            "fraud_warning" | "review" => Document::Mark(serde_json::from_str(text).map_err(wrong)?),
            "report" => Document::Report(serde_json::from_str(text).map_err(wrong)?),
            "usage" => Document::Usage(serde_json::from_str(text).map_err(wrong)?),
            "top_up" => Document::TopUp(serde_json::from_str(text).map_err(wrong)?),
            proof::SETUP | proof::TEST_CHARGE => Document::Proof(serde_json::from_str(text).map_err(wrong)?),
            "verify" => Document::Verify(serde_json::from_str(text).map_err(wrong)?),
            _ => return Err(Illegible("it is of no kind that is known".to_owned())),
        })
    }

    /// Its text, to be stored.
    pub fn text(&self) -> String {
        each!(self, memo => serde_json::to_string(memo)).unwrap_or_default()
    }

    /// Takes in what is told of the memo's object.
    pub fn hear(&mut self, name: &MemoName, telling: &Telling, rules: &Rules) {
        match self {
            Document::Grant(memo) => memo.hear(name.id(), telling, rules),
            Document::Purchase(memo) => memo.hear(telling, rules),
            Document::Invoice(memo) => memo.hear(telling, rules),
            Document::Customer(memo) => memo.hear(telling, rules),
            Document::Mark(memo) => memo.hear(telling, rules),
            Document::Proof(memo) => memo.hear(telling, rules),
            Document::Usage(_) | Document::TopUp(_) | Document::Verify(_) => {}
            Document::Report(memo) => memo.hear(telling),
        }
    }

    /// Has it asked for anew: what was told does not say how it is.
    pub fn look(&mut self) {
        match self {
            Document::Grant(memo) => memo.look = true,
            Document::Report(memo) => memo.noticed = true,
            _ => {}
        }
    }

    /// Stripe did not answer what it wanted.
    pub fn unanswered(&mut self) {
        let unanswered = match self {
            Document::Invoice(memo) => &mut memo.unanswered,
            Document::Purchase(memo) => &mut memo.unanswered,
            Document::Customer(memo) => &mut memo.unanswered,
            Document::Proof(memo) => &mut memo.tries,
            _ => return,
        };
        *unanswered = unanswered.saturating_add(1);
    }

    /// The next thing that it wants; none when all is as it should be; or why it cannot go on.
    pub fn next(&mut self, name: &MemoName, rules: &Rules) -> Result<Option<Want>, Parked> {
        match self {
            Document::Grant(memo) => memo.next(name.id(), rules),
            Document::Purchase(memo) => memo.next(name.id(), rules),
            Document::Invoice(memo) => Ok(memo.next(name.id(), rules)),
            Document::Customer(memo) => Ok(memo.next(rules)),
            Document::Mark(memo) => memo.next(name, rules),
            Document::Usage(memo) => memo.next(name.id(), rules),
            Document::TopUp(memo) => memo.next(name.id(), rules),
            Document::Proof(memo) => memo.next(name, rules),
            Document::Verify(memo) => memo.next(name.id(), rules),
            Document::Report(memo) => memo.next(name, rules),
        }
    }

    /// Since when the money was there, where this want, once done, has just made what was bought usable; in seconds since the epoch.
    pub fn usable(&self, want: &Want) -> Option<i64> {
        match self {
            Document::Purchase(memo) => memo.usable(want),
            _ => None,
        }
    }

    /// What it decided since this was asked last of what was shown, as metrics name it.
    pub fn outcomes(&mut self) -> Vec<&'static str> {
        match self {
            Document::Verify(memo) => memo.outcomes(),
            _ => Vec::new(),
        }
    }

    /// Notes what came of a want; why it cannot go on where it was refused for good.
    pub fn note(&mut self, name: &MemoName, want: &Want, done: Done, rules: &Rules) -> Result<(), Parked> {
        match &done {
            // A call that is refused is one step that will not be made; the rest goes on.
            Done::Refused(why) if !want.is_doing() => return Err(why.clone()),
            Done::Heard(telling) => self.hear(name, telling, rules),
            _ => {}
        }
        each!(self, memo => memo.note(want, done));
        Ok(())
    }
}

/// The memos that a fact is told to, in this order.
pub fn concerned(fact: &Fact) -> Vec<(&'static str, &str)> {
    fn of(payment: &Option<String>) -> Vec<(&'static str, &str)> {
        payment.iter().map(|id| ("purchase", &**id)).collect()
    }
    match fact {
        Fact::Grant(grant) => vec![("grant", &grant.id)],
        Fact::Transaction(transaction) => vec![("grant", &transaction.grant)],
        Fact::Payment(payment) => {
            let mut all = vec![("purchase", &*payment.id)];
            if payment.metadata.contains_key(proof::VERIFY) {
                all.push((proof::TEST_CHARGE, &payment.id));
            }
            all
        }
        Fact::Session(session) => {
            let mut all = of(&session.payment);
            all.extend(session.setup.iter().map(|id| (proof::SETUP, &**id)));
            all
        }
        Fact::Setup(setup) => vec![(proof::SETUP, &setup.id)],
        Fact::Charge(charge) => of(&charge.payment),
        Fact::Refund(refund) => of(&refund.payment),
        Fact::Dispute(dispute) => of(&dispute.payment),
        Fact::Warning(mark) => vec![("fraud_warning", &mark.id)],
        Fact::Review(mark) => vec![("review", &mark.id)],
        Fact::Invoice(invoice) => vec![("invoice", &invoice.id)],
        Fact::Subscription(subscription) => vec![("customer", &subscription.customer)],
        Fact::Report(report) => vec![("report", &report.id)],
        Fact::Customer(customer) => vec![("customer", &customer.id)],
    }
}

/// Seconds since the epoch as the ledger's time; what lies outside its range as its ends.
pub(super) fn time(seconds: i64) -> Timestamp {
    Timestamp::from_micros(
        seconds
            .saturating_mul(1_000_000)
            .clamp(0, Timestamp::NEVER.micros()),
    )
}

/// Stripe's clock may be so far ahead of the ledger's, in seconds: more than webhooks may be off.
const CLOCKS_APART: i64 = 600;

/// When a lot starts, of which Stripe's clock says when it was made and takes effect. What was to start as it was made has started here too: else somebody
/// who has paid would wait for our clock, and be charged again as one who still runs low.
pub(super) fn starts(effective_at: i64, created: i64) -> Timestamp {
    if effective_at > created {
        return time(effective_at);
    }
    time(effective_at.saturating_sub(CLOCKS_APART))
}

/// A text that is to be an id of the ledger's.
pub(super) fn named<T, E: fmt::Display>(
    text: &str,
    read: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, Parked> {
    read(text).map_err(|error| format!("{text:?} cannot be an id of the ledger: {error}"))
}
