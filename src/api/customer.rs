//! `/faregate/v1/...`: what a customer sees of the own account, with the own key. The scope comes from the key alone.

mod buying;

use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request};
use serde::{Deserialize, Serialize};
use tokio::runtime::Handle;

use crate::domain::credits::Credits;
use crate::domain::entry::{Entry, EntryKind};
use crate::domain::hold::{Hold, HoldState};
use crate::domain::ids::{AccountId, HoldId};
use crate::ledger::detail::{Note, utc};
use crate::ledger::{Ledger, LedgerError};
use crate::service::denial::Denial;
use crate::service::gate::{Gate, Known};
use crate::service::plans::Plans;
use crate::service::stripe::sales::Sales;
use crate::service::tariff::{self, Tariff};

use buying::Counter;

use super::dto::EntryJson;
use super::reply::{self, Problem, Reply};

/// Where these endpoints live. Nothing under it is ever forwarded.
pub const PREFIX: &str = "/faregate/v1/";

/// Where it is asked what a request would hold.
const QUOTE: &str = "/faregate/v1/quote";

/// The longest time that usage is told for.
const DAYS_MAX: i64 = 400;

/// The customer's endpoints.
pub struct Customer {
    ledger: Arc<dyn Ledger>,
    counter: Option<Counter>,
}

/// What a request to these endpoints came with.
pub struct Call<'a> {
    /// Method, target, body.
    pub request: Request<Bytes>,
    /// The request's own id.
    pub id: HoldId,
    /// The key that was presented.
    pub presented: &'a [u8],
    /// The worker's gate.
    pub gate: &'a Gate,
    /// The configuration's plans.
    pub plans: &'a Arc<Plans>,
    /// The configuration's prices.
    pub tariff: &'a dyn Tariff,
    /// Where the configuration says that credits are bought.
    pub top_up_url: Option<&'a str>,
}

/// Why a request gets no answer of its own.
#[derive(Debug)]
pub enum Refused {
    /// The key does not count, or the ledger did not answer. What the ledger said of that is the operator's business.
    Denied(Denial),
    /// The request is wrong.
    Problem(Problem),
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        Refused::Problem(problem)
    }
}

impl From<Denial> for Refused {
    fn from(denial: Denial) -> Refused {
        Refused::Denied(denial)
    }
}

impl From<LedgerError> for Refused {
    fn from(error: LedgerError) -> Refused {
        match error {
            LedgerError::Invalid(what) => Refused::Problem(Problem::invalid(what)),
            error => Refused::Denied(Denial::Failed(error)),
        }
    }
}

impl Customer {
    /// Endpoints over a ledger.
    pub fn new(ledger: Arc<dyn Ledger>) -> Customer {
        Customer {
            ledger,
            counter: None,
        }
    }

    /// The same, where packs can be bought: calls of Stripe's API are made in the runtime `aside`, not in the one that serves requests.
    pub fn selling(self, sales: Arc<Sales>, aside: Handle) -> Customer {
        let counter = Some(Counter::new(sales, aside));
        Customer { counter, ..self }
    }

    /// Answers a request whose path begins with [`PREFIX`]. A refusal is answered by whoever answers all of them.
    pub async fn answer(&self, call: Call<'_>) -> Result<Reply, Refused> {
        let mut patience = call.gate.patience();
        let recognising = call.gate.recognise(call.plans, call.presented, &mut patience);
        let known = recognising.await?;
        if call.request.method() == Method::POST && call.request.uri().path() == QUOTE {
            // It asks nothing of the ledger.
            return Ok(quote(&call).await?);
        }
        if let Some(path) = buying::path(call.request.uri().path()) {
            // Stripe takes longer than the ledger may.
            return self.buying(&call, path, &known).await;
        }
        // A statement may take its time for an operator; a customer gets an answer as soon as for any request.
        call.gate.in_time(patience, self.route(&call, &known)).await?
    }

    async fn route(&self, call: &Call<'_>, known: &Known) -> Result<Reply, Refused> {
        let uri = call.request.uri();
        let path = uri.path().strip_prefix(PREFIX).unwrap_or("");
        let account = &known.caller().account;
        match (call.request.method(), path) {
            (&Method::GET, "balance") => self.balance(account, call.top_up_url).await,
            (&Method::GET, "usage") => self.usage(account, uri).await,
            (&Method::GET, "prices") => Ok(prices(call, known)),
            (&Method::GET, path) if path.starts_with("charges/") => {
                self.charge(account, &path["charges/".len()..]).await
            }
            (_, "quote") => Err(Problem::other_method(&["POST"]).into()),
            (_, path) if path.starts_with("charges/") || matches!(path, "balance" | "usage" | "prices") => {
                Err(Problem::other_method(&["GET"]).into())
            }
            _ => {
                let what = "such endpoint; there are balance, usage, charges/{request id}, prices, quote, packs, checkout, top-up and verify";
                Err(Problem::not_found(what).into())
            }
        }
    }

    async fn balance(&self, account: &AccountId, top_up_url: Option<&str>) -> Result<Reply, Refused> {
        #[derive(Serialize)]
        struct Balance<'a> {
            available: String,
            held: String,
            spent: String,
            granted: String,
            status: &'static str,
            reasons: Vec<String>,
            top_up_url: Option<&'a str>,
            as_of: String,
        }
        let statement = self.ledger.statement(account).await?;
        let statement = statement.ok_or_else(|| Problem::not_found("such account"))?;
        let account = &statement.account;
        let reasons: Vec<_> = account.settings.reasons.iter().map(ToString::to_string).collect();
        Ok(reply::ok(&Balance {
            available: account.available().to_string(),
            held: account.gauge.held.to_string(),
            spent: account.spent.to_string(),
            granted: account.granted.to_string(),
            status: if reasons.is_empty() { "active" } else { "paused" },
            reasons,
            top_up_url,
            as_of: utc(statement.time),
        }))
    }

    async fn usage(&self, account: &AccountId, uri: &http::Uri) -> Result<Reply, Refused> {
        #[derive(Serialize)]
        struct Day {
            day: String,
            requests: u64,
            charged: String,
        }
        #[derive(Serialize)]
        struct Usage {
            from: String,
            to: String,
            by: &'static str,
            charged: String,
            items: Vec<Day>,
        }
        let parameters = reply::parameters(uri, &["from", "to", "by"])?;
        if reply::query(&parameters, "by")?.is_some_and(|by| by != "day") {
            return Err(Problem::invalid("`by` is \"day\"").into());
        }
        let today = self.ledger.ready().await?.day();
        let to = reply::query(&parameters, "to")?.map_or(Ok(today), |text| day("to", text))?;
        let from = reply::query(&parameters, "from")?.map_or(Ok(to - 30), |text| day("from", text))?;
        if from > to || to - from >= DAYS_MAX {
            let what = format!("`from` lies before `to`, by less than {DAYS_MAX} days");
            return Err(Problem::invalid(what).into());
        }
        let days = self.ledger.usage_by_day(account, from, to).await?;
        let charged: Credits = days.iter().map(|d| d.charged).sum();
        let items = days
            .iter()
            .map(|d| Day {
                day: date(d.day),
                requests: d.requests,
                charged: d.charged.to_string(),
            })
            .collect();
        Ok(reply::ok(&Usage {
            from: date(from),
            to: date(to),
            by: "day",
            charged: charged.to_string(),
            items,
        }))
    }

    async fn charge(&self, account: &AccountId, id: &str) -> Result<Reply, Refused> {
        let not_there = || Problem::not_found("such charge of this account");
        let hold: HoldId = id.parse().map_err(|_| not_there())?;
        let now = self.ledger.hold(account, hold).await?;
        let entries = self.ledger.entries_of_hold(account, hold).await?;
        if now.is_none() && entries.is_empty() {
            return Err(not_there().into());
        }
        Ok(reply::ok(&ChargeJson::new(hold, now.as_ref(), &entries)))
    }
}

/// One request's charge.
#[derive(Serialize)]
struct ChargeJson {
    id: String,
    status: &'static str,
    held: String,
    charged: String,
    route: Option<String>,
    entries: Vec<EntryJson>,
}

impl ChargeJson {
    fn new(id: HoldId, hold: Option<&Hold>, entries: &[Entry]) -> ChargeJson {
        let ends: Vec<&Entry> = entries
            .iter()
            .filter(|e| matches!(e.kind, EntryKind::Capture | EntryKind::Release))
            .collect();
        let charged: Credits = ends.iter().map(|e| e.amount).sum();
        let status = match (hold.map(|h| h.state), ends.last().map(|e| e.kind)) {
            (Some(HoldState::Open), _) | (None, None) => "open",
            (Some(HoldState::Expired), _) => "expired",
            (Some(HoldState::Captured), _) | (None, Some(EntryKind::Capture)) => "charged",
            _ => "released",
        };
        let held: Credits = entries
            .iter()
            .filter(|e| matches!(e.kind, EntryKind::Hold | EntryKind::Extend))
            .map(|e| e.amount)
            .sum();
        let route = entries
            .iter()
            .find_map(|e| Note::read(&e.detail).ok()?.route_read().map(str::to_owned));
        ChargeJson {
            id: id.to_string(),
            status,
            held: held.to_string(),
            charged: charged.to_string(),
            route,
            entries: entries.iter().map(EntryJson::from).collect(),
        }
    }
}

fn prices(call: &Call<'_>, known: &Known) -> Reply {
    #[derive(Serialize)]
    struct Line {
        route: String,
        r#match: String,
        price: serde_json::Value,
    }
    #[derive(Serialize)]
    struct Priced {
        model: String,
        aliases: Vec<String>,
        output_tokens_max: u64,
        price: serde_json::Value,
        /// What all tokens cost in a request that reads more than `above`.
        #[serde(skip_serializing_if = "Option::is_none")]
        long: Option<serde_json::Value>,
    }
    #[derive(Serialize)]
    struct Prices {
        items: Vec<Line>,
        models: Vec<Priced>,
    }
    let plan = known.plan(call.plans);
    let open = call
        .tariff
        .routes()
        .into_iter()
        .filter(|route| plan.opens(&route.id));
    let items = open
        .map(|r| Line {
            route: r.id,
            r#match: r.pattern,
            price: tariff::told(&r.price),
        })
        .collect();
    let models = call.tariff.models().iter();
    let models = models
        .filter(|(names, _)| plan.opens_any_of(names))
        .map(|(names, model)| Priced {
            model: model.name.to_string(),
            aliases: names.iter().skip(1).map(ToString::to_string).collect(),
            output_tokens_max: model.output_max,
            price: tariff::told_of(&model.rates, |_| true),
            long: model.long.as_ref().map(|(above, rates)| {
                let mut told = tariff::told_of(rates, |_| true);
                told["above"] = (*above).into();
                told
            }),
        })
        .collect();
    reply::ok(&Prices { items, models })
}

async fn quote(call: &Call<'_>) -> Result<Reply, Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Ask {
        #[serde(default = "post")]
        method: String,
        path: String,
        #[serde(default)]
        body: Option<Box<serde_json::value::RawValue>>,
    }
    #[derive(Serialize)]
    struct Quoted {
        route: String,
        least: String,
        most: String,
    }
    fn post() -> String {
        "POST".to_owned()
    }
    let ask: Ask = reply::read(call.request.body())?;
    let body: Box<str> = ask.body.map(Into::into).unwrap_or_default();
    let body = Bytes::from(String::from(body));
    let quoting = call.tariff.quote(&ask.method, &ask.path, body);
    let (route, quote) = quoting.await.map_err(Problem::invalid)?;
    Ok(reply::ok(&Quoted {
        route,
        least: quote.least.to_string(),
        most: quote.most.to_string(),
    }))
}

fn day(name: &str, text: &str) -> Result<i64, Problem> {
    let wrong = || Problem::invalid(format!("`{name}`: {text:?} is not a date like 2027-01-31"));
    let date: jiff::civil::Date = text.parse().map_err(|_| wrong())?;
    let epoch = jiff::civil::date(1970, 1, 1);
    let span = epoch.until(date).map_err(|_| wrong())?;
    let days = i64::from(span.get_days());
    if days < 0 { Err(wrong()) } else { Ok(days) }
}

fn date(day: i64) -> String {
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = jiff::Span::new().try_days(day);
    days.and_then(|days| epoch.checked_add(days))
        .map_or_else(|_| String::new(), |date| date.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_day_numbers_agree() {
        assert_eq!(day("from", "1970-01-01"), Ok(0));
        assert_eq!(day("from", "2026-11-23"), Ok(20_780));
        assert_eq!(date(20_780), "2026-11-23");
        assert!(day("from", "23.11.2026").is_err());
    }
}
