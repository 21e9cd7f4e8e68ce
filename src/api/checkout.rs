//! What buying looks like, to customers and to operators.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use crate::config::stripe::Pack;
use crate::service::stripe::sales::{NotSold, Page, Verification, VerifyPage};

use super::reply::{self, Problem, Reply};

/// The longest `Idempotency-Key`, in bytes.
const KEY_MAX: usize = 255;

/// The body of a call that buys.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ask {
    pack: String,
}

/// A page to pay at.
#[derive(Serialize)]
struct PageJson {
    id: String,
    url: String,
    pack: String,
    credits: String,
    price: String,
    currency: String,
    expires_at: String,
}

/// Which pack a body asks for.
pub(super) fn pack_of(body: &[u8]) -> Result<String, Problem> {
    reply::read::<Ask>(body).map(|ask| ask.pack)
}

/// The caller's own name for what is asked, where there is one.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    let mut keys = headers.get_all("idempotency-key").iter();
    let Some(key) = keys.next() else {
        return Ok(None);
    };
    let text = key.to_str().ok().filter(|key| (1..=KEY_MAX).contains(&key.len()));
    match (text, keys.next()) {
        (Some(text), None) => Ok(Some(text)),
        _ => Err(Problem::invalid(format!(
            "`Idempotency-Key` is given once, with 1 to {KEY_MAX} characters of ASCII"
        ))),
    }
}

/// The answer to one who buys.
pub(super) fn opened(page: Page) -> Reply {
    reply::ok(&PageJson {
        id: page.id,
        url: page.url,
        pack: page.pack.id.to_string(),
        credits: page.pack.credits.to_string(),
        price: price(&page.pack),
        currency: page.pack.currency.to_string(),
        expires_at: utc(page.expires_at),
    })
}

/// The answer to one who wants to show a card.
pub(super) fn to_verify(page: VerifyPage) -> Reply {
    #[derive(Serialize)]
    struct PageJson {
        id: String,
        url: String,
        by: &'static str,
        opens: String,
        expires_at: String,
    }
    reply::ok(&PageJson {
        id: page.id,
        url: page.url,
        by: page.by,
        opens: page.opens.to_string(),
        expires_at: utc(page.expires_at),
    })
}

/// How it stands with what an account has to show.
pub(super) fn verification(standing: Verification) -> Reply {
    #[derive(Serialize)]
    struct Standing {
        status: &'static str,
        message: String,
        plan: Option<String>,
        opens: Option<String>,
        by: Option<&'static str>,
    }
    reply::ok(&Standing {
        status: standing.status,
        message: standing.message,
        plan: standing.plan.map(|plan| plan.to_string()),
        opens: standing.opens.map(|plan| plan.to_string()),
        by: standing.by,
    })
}

/// Seconds since the epoch as people and programs read it.
fn utc(seconds: i64) -> String {
    jiff::Timestamp::from_second(seconds)
        .unwrap_or_default()
        .to_string()
}

/// What can be bought.
pub(super) fn packs(packs: &[Arc<Pack>]) -> Reply {
    #[derive(Serialize)]
    struct PackJson<'a> {
        id: &'a str,
        name: &'a str,
        price: String,
        currency: String,
        credits: String,
        category: &'static str,
        /// In seconds after the purchase; null for ever.
        expires_after: Option<i64>,
    }
    #[derive(Serialize)]
    struct Packs<'a> {
        items: Vec<PackJson<'a>>,
    }
    let items = packs.iter().map(|pack| PackJson {
        id: &pack.id,
        name: &pack.name,
        price: price(pack),
        currency: pack.currency.to_string(),
        credits: pack.credits.to_string(),
        category: pack.category_str(),
        expires_after: pack.expires_after.map(|life| life.secs_ceil()),
    });
    reply::ok(&Packs {
        items: items.collect(),
    })
}

/// In units of its currency, without its name.
fn price(pack: &Pack) -> String {
    let shown = pack.currency.show(pack.price);
    shown.split(' ').next().unwrap_or_default().to_owned()
}

/// Nothing is sold.
pub(super) fn closed() -> Problem {
    problem(&NotSold::Closed)
}

/// Why nothing was sold, in the operator's shape.
pub(super) fn problem(why: &NotSold) -> Problem {
    let other = |status, code, detail: &str| Problem::new(status, code, detail);
    match why {
        NotSold::Closed => {
            Problem::not_found("[stripe.checkout] in the configuration: nothing can be bought")
        }
        NotSold::NoTopUps => {
            Problem::not_found("[stripe.top_up] in the configuration: nothing is bought automatically")
        }
        NotSold::Unbuyable(why) => Problem::invalid(*why),
        NotSold::NoPack(there) => {
            let there = there.join(", ");
            Problem::not_found(format!("such pack; there are: {there}"))
        }
        NotSold::NoAccount => Problem::not_found("such account"),
        NotSold::NoPage => Problem::not_found("such payment page of this account"),
        NotSold::NothingToShow(why) => Problem::not_found(format!("page to verify at: {why}")),
        NotSold::OtherOrder => other(
            StatusCode::CONFLICT,
            "idempotency_conflict",
            "this Idempotency-Key came before with another order; use a new key for a new one",
        ),
        NotSold::TooMany(wait) => Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "rate_limited",
            format!(
                "this account has opened or looked at too many payment pages; ask again in {} s",
                wait.secs_ceil()
            ),
        ),
        NotSold::Busy => other(
            StatusCode::SERVICE_UNAVAILABLE,
            "overloaded",
            "too many are buying just now; nothing was charged",
        ),
        NotSold::Refused => other(
            StatusCode::BAD_GATEWAY,
            "payments_refused",
            "Stripe refused it, and the log says why; nothing was charged",
        ),
        NotSold::Unanswered => other(
            StatusCode::SERVICE_UNAVAILABLE,
            "payments_unavailable",
            "Stripe does not answer just now; nothing was charged. Ask again with the same Idempotency-Key",
        ),
        NotSold::Failed(error) => error.clone().into(),
    }
}
