//! `[plans.NAME.verify]`: what an account on this plan has to show so that the next plan opens.

use std::sync::Arc;

use super::super::context::{Place, Placed};
use super::super::section::{Section, within};
use super::super::stripe::{currency, minor};
use super::super::units::secs;
use crate::domain::credits::Credits;
use crate::domain::ids::PlanId;
use crate::domain::money::Currency;
use crate::domain::time::Span;

/// What opens the next plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verify {
    /// What has to be shown.
    pub by: Shown,
    /// The plan that the account is moved to; it exists, and no chain of them comes back to where it began.
    pub opens: PlanId,
    /// What the account is given then, once per person.
    pub gift: Option<Gift>,
    /// Prepaid cards do as well.
    pub prepaid_cards: bool,
}

/// What has to be shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// A card that Stripe has verified without a charge.
    Card,
    /// A card that was charged; it is refunded at once.
    Charge {
        /// In minor units, above zero.
        amount: i64,
        /// In which currency.
        currency: Currency,
    },
    /// So many credits were bought, less what was refunded or is disputed.
    Payment(Credits),
}

impl Shown {
    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Shown::Card => "card",
            Shown::Charge { .. } => "charge",
            Shown::Payment(_) => "payment",
        }
    }
}

/// Credits that nobody paid for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gift {
    /// How many; above zero.
    pub credits: Credits,
    /// How long they last; `None` for ever.
    pub expires_after: Option<Span>,
}

/// As read: which plans there are is known later.
pub(in crate::config) struct RawVerify {
    by: Shown,
    pub(in crate::config) opens: Placed<String>,
    gift: Option<Gift>,
    prepaid_cards: bool,
    pub(in crate::config) place: Place,
}

impl RawVerify {
    pub(in crate::config) fn finish(self, opens: PlanId) -> Arc<Verify> {
        Arc::new(Verify {
            by: self.by,
            opens,
            gift: self.gift,
            prepaid_cards: self.prepaid_cards,
        })
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Card,
    Charge,
    Payment,
}

const WORDS: &[(&str, By)] = &[
    ("card", By::Card),
    ("charge", By::Charge),
    ("payment", By::Payment),
];

const BY: &str = "What an account has to show: card, a card that Stripe verifies without a charge; charge, a card that takes a small charge, refunded at once; payment, that it has bought so many credits.";
const OPENS: &str = "The plan that the account is on from then on.";
const AMOUNT: &str = "How much is charged, in units of its currency, with by = \"charge\".";
const CURRENCY: &str = "What it is charged in: three lower-case letters.";
const PAID: &str =
    "With by = \"payment\": how many credits have to be bought, less what was refunded or is disputed.";
const CREDITS: &str = "Credits that are given with it, as promotional ones; once per person. Absent: none.";
const EXPIRES: &str = "How long these last; absent: for ever.";
const PREPAID: &str = "Prepaid cards do as well: anyone can buy many of them.";

const DAY: u64 = 86_400;

pub(super) fn read(s: &Section<'_>) -> Option<RawVerify> {
    let by = s.choice("by", BY, "", WORDS);
    let opens = s.text("opens", OPENS);
    let amount = s.decimal("amount", AMOUNT);
    let written_currency = s.text("currency", CURRENCY);
    let some = |why| within(Credits::MICRO, Credits::MAX, why);
    let paid = s.credits("credits_paid", PAID, some("nothing has to be bought for zero"));
    let credits = s.credits("credits", CREDITS, some("to give nothing, leave it out"));
    let life = within(
        secs(3_600),
        secs(3_650 * DAY),
        "what is given lasts a while; for ever, leave it out",
    );
    let expires_after = s.duration_or("expires_after", EXPIRES, None, life);
    let prepaid_cards = s.flag("prepaid_cards", PREPAID);
    s.required("by", "say what opens the next plan: by = \"card\"");
    s.required("opens", "name the plan that it opens");
    if let Some(by) = by {
        check_uses(s, by);
    }
    let read_currency = written_currency.and_then(|text| currency(s, &text));
    let amount = read_currency.zip(amount).and_then(|(currency, amount)| {
        let amount = minor(s, currency, &amount)?;
        Some(Shown::Charge { amount, currency })
    });
    let shown = match by? {
        By::Card => Some(Shown::Card),
        By::Charge => amount,
        By::Payment => paid.map(Shown::Payment),
    };
    Some(RawVerify {
        by: shown?,
        opens: opens?,
        gift: credits.map(|credits| Gift {
            credits,
            expires_after: expires_after.map(Span::from),
        }),
        prepaid_cards,
        place: s.place_or("by"),
    })
}

/// What each way needs, and what is of no use to it.
fn check_uses(s: &Section<'_>, by: By) {
    if s.describing() {
        return;
    }
    let needed: &[(&'static str, &str)] = match by {
        By::Card => &[],
        By::Charge => &[
            ("amount", "say how much is charged: amount = 1.00"),
            ("currency", "say what it is charged in: currency = \"usd\""),
        ],
        By::Payment => &[(
            "credits_paid",
            "say how many have to be bought: credits_paid = 10",
        )],
    };
    for (name, advice) in needed {
        s.required(name, advice);
    }
    let useless: &[&'static str] = match by {
        By::Card => &["amount", "currency", "credits_paid"],
        By::Charge => &["credits_paid"],
        By::Payment => &["amount", "currency", "credits", "expires_after", "prepaid_cards"],
    };
    for name in useless.iter().filter(|name| s.has(name)) {
        let what = match by {
            By::Card => "is of no use with by = \"card\"",
            By::Charge => "is of no use with by = \"charge\"",
            By::Payment => "is of no use with by = \"payment\"",
        };
        s.problem(&s.place_or(name), what, "take it out");
    }
    if s.has("expires_after") && !s.has("credits") && by != By::Payment {
        s.problem(
            &s.place_or("expires_after"),
            "is how long `credits` last, and there are none",
            "take it out, or say how many: credits = 5",
        );
    }
}
