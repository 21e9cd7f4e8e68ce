//! `[stripe]`: how Stripe fills accounts, shuts them, and sells packs of credits.

mod keys;
mod on;
mod packs;
mod read;
mod since;
mod top_up;
mod usage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::address::BaseUrl;
use super::secret::Secret;
use crate::domain::credits::Credits;
use crate::domain::grant::Category;
use crate::domain::ids::PlanId;
use crate::domain::money::{Currency, Rates};
use crate::domain::time::Span;

pub(super) use packs::minor;
pub(super) use read::{RawStripe, currency, read};
pub use top_up::TopUp;
pub use usage::Usage;

/// `[stripe]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stripe {
    /// What makes credits.
    pub mode: Mode,
    /// What may have signed an event: 1 to 8.
    pub webhook_secrets: Vec<Secret>,
    /// For calls to Stripe; visible ASCII. `None`: none are made.
    pub api_key: Option<Secret>,
    /// Where the API is. Over TLS, or on loopback.
    pub api_base: BaseUrl,
    /// Credits for a major unit of each currency. Never empty.
    pub rates: Rates,
    /// Whether live events count; otherwise test events do. Never both.
    pub livemode: bool,
    /// The account at Stripe that events must be of, where they say one; `None` for any.
    pub account: Option<Arc<str>>,
    /// What was made at Stripe before, in seconds since the epoch, moves nothing; `None`: all counts.
    pub since: Option<i64>,
    /// The metadata key that names the account here; without it the customer's id does. 1 to 40 characters.
    pub account_metadata: Arc<str>,
    /// The plan of accounts that a payment makes; it exists. `None` for none.
    pub plan: Option<PlanId>,
    /// How often everything is compared with Stripe, 1 minute to 24 hours; `None` without an API key.
    pub sync_every: Option<Duration>,
    /// What each trouble does.
    pub on: Troubles,
    /// What is done at Stripe about failed invoices. Only with an API key.
    pub fail_fast: Option<FailFast>,
    /// What was used is reported. Only in mode [`Mode::Grants`], with an API key.
    pub usage: Option<Usage>,
    /// Where buyers go after paying. Only with an API key.
    pub checkout: Option<Checkout>,
    /// What can be bought, in the order of the file, no id twice. Only with [`Stripe::checkout`].
    pub packs: Vec<Arc<Pack>>,
    /// Customers may have packs bought by themselves. Only with [`Stripe::packs`].
    pub top_up: Option<TopUp>,
    /// Which plans' accounts are charged for what they owe. Empty without an API key.
    pub slices: Slices,
}

/// What accounts owe is charged in slices: how large, by their plan.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Slices {
    /// By plan.
    pub plans: BTreeMap<PlanId, Credits>,
    /// Of accounts without a plan.
    pub default: Option<Credits>,
}

impl Slices {
    /// How large those of an account on this plan are; `None`: it is not charged.
    pub fn of(&self, plan: Option<&PlanId>) -> Option<Credits> {
        match plan {
            None => self.default,
            Some(plan) => self.plans.get(plan).copied(),
        }
    }

    /// Nobody is charged.
    pub fn is_empty(&self) -> bool {
        self.plans.is_empty()
    }
}

impl Stripe {
    /// Customers are charged who are not there.
    pub fn charges_absent(&self) -> bool {
        self.top_up.is_some() || !self.slices.is_empty()
    }

    /// The pack of this id.
    pub fn pack(&self, id: &str) -> Option<&Arc<Pack>> {
        self.packs.iter().find(|pack| *pack.id == *id)
    }
}

/// What makes credits: one of the two, so that nothing is credited twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Stripe's billing credit grants, mirrored (mode G).
    Grants,
    /// Payments that succeed (mode L).
    Ledger,
}

impl Mode {
    const WORDS: &'static [(&'static str, Mode)] = &[("grants", Mode::Grants), ("ledger", Mode::Ledger)];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Grants => "grants",
            Mode::Ledger => "ledger",
        }
    }
}

/// `[stripe.on]`: what each trouble does to the account.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Troubles {
    /// An invoice's payment failed, wants the customer present, is overdue or given up. Never claws back.
    pub payment_failed: Reaction,
    /// A subscription is past due, unpaid, incomplete, paused or canceled. Never claws back.
    pub subscription: Reaction,
    /// A payment is disputed.
    pub dispute: Reaction,
    /// A payment is refunded. Never pauses.
    pub refund: Reaction,
    /// The card's issuer suspects fraud. Never claws back.
    pub fraud_warning: Reaction,
    /// A payment waits for a review. Never claws back.
    pub review: Reaction,
}

impl Troubles {
    /// All, by the names of their settings.
    pub fn all(&self) -> [(&'static str, Reaction); 6] {
        let Troubles {
            payment_failed,
            subscription,
            dispute,
            refund,
            fraud_warning,
            review,
        } = *self;
        [
            ("payment_failed", payment_failed),
            ("subscription", subscription),
            ("dispute", dispute),
            ("refund", refund),
            ("fraud_warning", fraud_warning),
            ("review", review),
        ]
    }
}

/// What a trouble does; neither for nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reaction {
    /// The account is paused until the trouble is over.
    pub pause: bool,
    /// The credits that the payment brought are taken back.
    pub claw_back: bool,
}

impl Reaction {
    /// Nothing.
    pub const IGNORE: Reaction = Reaction {
        pause: false,
        claw_back: false,
    };
    /// A pause.
    pub const PAUSE: Reaction = Reaction {
        pause: true,
        claw_back: false,
    };
    /// A clawback.
    pub const CLAW_BACK: Reaction = Reaction {
        pause: false,
        claw_back: true,
    };
    /// Both.
    pub const BOTH: Reaction = Reaction {
        pause: true,
        claw_back: true,
    };

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match (self.pause, self.claw_back) {
            (false, false) => "ignore",
            (true, false) => "pause",
            (false, true) => "claw_back",
            (true, true) => "pause_and_claw_back",
        }
    }
}

impl Default for Troubles {
    fn default() -> Troubles {
        Troubles {
            payment_failed: Reaction::PAUSE,
            subscription: Reaction::PAUSE,
            dispute: Reaction::BOTH,
            refund: Reaction::CLAW_BACK,
            fraud_warning: Reaction::PAUSE,
            review: Reaction::PAUSE,
        }
    }
}

/// `[stripe.fail_fast]`: ends what Stripe would go on trying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailFast {
    /// After so many failed attempts, 1 to 8, an invoice's retries are stopped.
    pub attempts_max: u32,
    /// What becomes of its subscription then.
    pub after_last: AfterLast,
}

/// What becomes of a subscription whose invoice is tried no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AfterLast {
    /// It is canceled.
    Cancel,
    /// Its collection is paused.
    Pause,
    /// Nothing.
    Keep,
}

impl AfterLast {
    const WORDS: &'static [(&'static str, AfterLast)] = &[
        ("cancel", AfterLast::Cancel),
        ("pause", AfterLast::Pause),
        ("keep", AfterLast::Keep),
    ];

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            AfterLast::Cancel => "cancel",
            AfterLast::Pause => "pause",
            AfterLast::Keep => "keep",
        }
    }
}

/// `[stripe.checkout]`: where Stripe's page sends the buyer. Web addresses as written: `https`, or `http` to loopback.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Checkout {
    /// After paying. Stripe puts the session's id in place of `{CHECKOUT_SESSION_ID}`.
    pub success_url: Arc<str>,
    /// After turning back.
    pub cancel_url: Arc<str>,
}

/// `[[stripe.packs]]`: what can be bought.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pack {
    /// Its name for programs: 1 to 64 letters, digits and `-_.`.
    pub id: Arc<str>,
    /// What the buyer reads: 1 to 100 characters.
    pub name: Arc<str>,
    /// In minor units; above zero, a multiple of the currency's step, of at most twelve digits.
    pub price: i64,
    /// What it is paid in. In mode [`Mode::Grants`] a listed one.
    pub currency: Currency,
    /// What it brings; above zero. In mode [`Mode::Grants`] exactly the worth of some minor units.
    pub credits: Credits,
    /// How long they last after the purchase; `None` for ever.
    pub expires_after: Option<Span>,
    /// As what they are booked.
    pub category: Category,
}

impl Pack {
    const CATEGORIES: &'static [(&'static str, Category)] =
        &[("paid", Category::Paid), ("promotional", Category::Promotional)];

    /// Its category as it is written.
    pub fn category_str(&self) -> &'static str {
        match self.category {
            Category::Paid => "paid",
            Category::Promotional => "promotional",
        }
    }
}
