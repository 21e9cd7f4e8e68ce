//! What automatic top-ups look like, to customers and to operators.

use serde::{Deserialize, Serialize};

use crate::domain::credits::Credits;
use crate::domain::money::Currency;
use crate::service::stripe::sales::top_up::Standing;
use crate::service::stripe::top_up::Why;

use super::reply::{self, Problem, Reply};

/// What a customer asks for.
pub(super) struct Ask {
    pub(super) pack: String,
    pub(super) below: Credits,
    pub(super) per_month: Option<Credits>,
}

/// Reads what a customer asks for.
pub(super) fn read(body: &[u8]) -> Result<Ask, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Body {
        pack: String,
        below: String,
        #[serde(default)]
        per_month: Option<String>,
    }
    let body: Body = reply::read(body)?;
    let credits = |name: &str, text: &str| {
        let read = text.parse::<Credits>();
        read.map_err(|error| Problem::invalid(format!("`{name}` is an amount of credits: {error}")))
    };
    Ok(Ask {
        below: credits("below", &body.below)?,
        per_month: match &body.per_month {
            Some(text) => Some(credits("per_month", text)?),
            None => None,
        },
        pack: body.pack,
    })
}

#[derive(Serialize)]
struct TopUpJson {
    on: bool,
    pack: Option<String>,
    below: Option<String>,
    per_month: Option<String>,
    charges: Vec<ChargeJson>,
    charges_per_day: u32,
    charges_per_month: u32,
    trouble: Option<TroubleJson>,
}

/// A charge of the last 30 days.
#[derive(Serialize)]
struct ChargeJson {
    at: String,
    price: String,
    currency: String,
    credits: String,
    paid: bool,
}

/// Why nothing is bought now.
#[derive(Serialize)]
struct TroubleJson {
    why: &'static str,
    message: &'static str,
    /// Null: when the customer has done something.
    again_at: Option<String>,
}

/// How they stand.
pub(super) fn reply(standing: &Standing) -> Reply {
    let memo = &standing.memo;
    let wish = memo.wish.as_ref();
    let trouble = memo.trouble(standing.now, &standing.caps);
    let trouble = trouble.filter(|(why, _)| wish.is_some() || *why == Why::UnderWay);
    let charges = memo.past.iter().rev().filter(|past| !past.owed);
    let charges = charges.map(|past| ChargeJson {
        at: rfc3339(past.at),
        price: price(&past.currency, past.amount),
        currency: past.currency.clone(),
        credits: past.credits.0.to_string(),
        paid: past.paid,
    });
    reply::ok(&TopUpJson {
        on: wish.is_some(),
        pack: wish.map(|wish| wish.pack.clone()),
        below: wish.map(|wish| wish.below.0.to_string()),
        per_month: wish
            .and_then(|wish| wish.per_month)
            .map(|most| most.0.to_string()),
        charges: charges.collect(),
        charges_per_day: standing.caps.charges_per_day,
        charges_per_month: standing.caps.charges_per_month,
        trouble: trouble.map(|(why, until)| {
            let (why, message) = why.said();
            TroubleJson {
                why,
                message,
                again_at: (1..i64::MAX).contains(&until).then(|| rfc3339(until)),
            }
        }),
    })
}

/// In units of its currency, without its name.
fn price(currency: &str, minor: i64) -> String {
    let shown = currency.parse().map(|currency: Currency| currency.show(minor));
    let shown = shown.unwrap_or_default();
    shown.split(' ').next().unwrap_or_default().to_owned()
}

fn rfc3339(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}
