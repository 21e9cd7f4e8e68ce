//! What an answer says, whatever its shape: a sentence for a person, fields for programs.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::domain::credits::Credits;
use crate::domain::ids::{HoldId, Reason};
use crate::domain::refusal::{Refusal, Scope, Window};
use crate::domain::time::Timestamp;
use crate::service::denial::Denial;
use crate::service::plans::Opens;
use crate::service::stripe::top_up::SHUT;

use super::super::exchange::Exchange;
use super::super::fault::Fault;

/// Where a customer asks for a charge.
const CHARGES: &str = "/faregate/v1/charges/";

/// See the module.
pub(super) struct Said {
    pub(super) message: Cow<'static, str>,
    /// Name and JSON text.
    pub(super) fields: Vec<(&'static str, String)>,
}

impl From<&'static str> for Said {
    fn from(message: &'static str) -> Said {
        Said {
            message: Cow::Borrowed(message),
            fields: Vec::new(),
        }
    }
}

impl From<String> for Said {
    fn from(message: String) -> Said {
        Said {
            message: Cow::Owned(message),
            fields: Vec::new(),
        }
    }
}

/// A panic.
pub(super) fn internal() -> Said {
    "the gate made a mistake, which its log describes; nothing was charged unless the answer had begun".into()
}

pub(super) fn say(fault: &Fault, exchange: &Exchange) -> Said {
    match fault {
        Fault::Target(error) => error.to_string().into(),
        Fault::Header(error) => error.to_string().into(),
        Fault::Unreadable(what) => what.clone().into_owned().into(),
        Fault::ModelNotPriced(name) => model_not_priced(name),
        Fault::TwoKeys => "the request carries two different API keys; send one".into(),
        Fault::NoKey => "no API key; send it as `Authorization: Bearer <key>`".into(),
        Fault::RouteNotFound => "nothing is served at this path".into(),
        Fault::NotFound(what) => what.clone().into(),
        Fault::MethodNotAllowed(methods) if methods.is_empty() => "this method is not served".into(),
        Fault::MethodNotAllowed(methods) => format!("this path is served for {methods} only").into(),
        Fault::OriginNotAllowed => "pages of this origin may not call this route".into(),
        Fault::BodyTooLarge(max) => format!("the body is longer than the {max} bytes allowed here").into(),
        Fault::BodyStalled => "the request's body stopped coming".into(),
        Fault::NoRoom => "the bodies of requests, or of this account's, take all the memory that there is for them just now; nothing was charged".into(),
        Fault::BodyBroken => "the request's body broke off".into(),
        Fault::MediaType(expected) => format!("the price of this route is in its body, which must be {expected}").into(),
        Fault::UpgradeRequired => "this route only carries WebSocket connections".into(),
        Fault::UpgradeRefused => "this route does not carry upgraded connections".into(),
        Fault::Denied(denial) => of_denial(denial, exchange),
        Fault::Unreachable => "the upstream cannot be reached; nothing was charged".into(),
        Fault::UpstreamTimeout => "the upstream did not answer in time; nothing was charged".into(),
        Fault::UpstreamRefused => "the upstream does not accept this gate's credentials, which its operator must see to; nothing was charged".into(),
        Fault::UpstreamBroken => "the upstream's answer cannot be passed on; nothing was charged".into(),
        Fault::PaymentsRefused => "payments do not work just now, which the operator must see to; nothing was charged".into(),
        Fault::PaymentsUnavailable => "the payment provider does not answer just now; nothing was charged. Ask again with the same Idempotency-Key".into(),
        Fault::UpstreamBusy => "too many requests are under way to this upstream; nothing was charged".into(),
    }
}

/// Which models there are is told where prices are told.
fn model_not_priced(name: &str) -> Said {
    Said {
        message: format!(
            "the model {name:?} is not served here; GET /faregate/v1/prices lists those that are"
        )
        .into(),
        fields: vec![("model", quoted(name))],
    }
}

fn of_denial(denial: &Denial, exchange: &Exchange) -> Said {
    match denial {
        Denial::InvalidKey => "this API key is not valid".into(),
        Denial::AccountPaused(reasons) => paused(reasons),
        Denial::NotEntitled(way) => not_entitled(way.as_ref()),
        Denial::Failed(_) => "the ledger of credits does not answer just now; nothing was charged".into(),
        Denial::Overloaded => "too many requests are under way; nothing was charged".into(),
        Denial::Refused(refusal) => of_refusal(refusal, exchange),
    }
}

/// What opens it, where the account can do something about it.
fn not_entitled(way: Option<&Opens>) -> Said {
    let Some(Opens { plan, by }) = way else {
        return "this account's plan does not include this".into();
    };
    let how = match *by {
        "payment" => {
            "buying credits opens the plan that does: GET /faregate/v1/verify with the same key says how many"
        }
        "charge" => {
            "a card that takes a small charge, refunded at once, opens the plan that does: POST /faregate/v1/verify with the same key answers with the page for it"
        }
        _ => {
            "a verified card opens the plan that does: POST /faregate/v1/verify with the same key answers with the page to enter it at; nothing is charged"
        }
    };
    Said {
        message: format!("this account's plan does not include this; {how}").into(),
        fields: vec![("verify_by", quoted(by)), ("opens", quoted(plan.as_str()))],
    }
}

/// Of the reasons only the kinds: which invoice or dispute it is, is told where a customer looks for it, with the balance.
fn paused(reasons: &[Reason]) -> Said {
    let kinds: BTreeSet<&str> = reasons.iter().map(Reason::kind).collect();
    let kinds: Vec<&str> = kinds.into_iter().collect();
    let why = if kinds.is_empty() {
        String::new()
    } else {
        format!(" ({})", kinds.join(", "))
    };
    let how = match kinds[..] {
        [SHUT] => "what was used has not been paid: buying a pack opens it, see GET /faregate/v1/packs",
        _ => "ask whoever you bought it from",
    };
    let list: Vec<String> = kinds.iter().map(|kind| quoted(kind)).collect();
    Said {
        message: format!("this account is paused{why}; {how}").into(),
        fields: vec![("reasons", format!("[{}]", list.join(",")))],
    }
}

fn of_refusal(refusal: &Refusal, exchange: &Exchange) -> Said {
    match refusal {
        Refusal::InsufficientCredits { available, required } => insufficient(*available, *required, exchange),
        Refusal::SpendLimitReached {
            scope,
            window,
            limit,
            spent,
            resets_at,
        } => {
            let (of, per) = (scope_name(*scope), window_name(*window));
            let resets = rfc3339(*resets_at);
            Said {
                message: format!("this {of} may spend {limit} credits a {per} and has spent {spent} (requests under way count too); the {per} ends at {resets}").into(),
                fields: vec![
                    ("scope", quoted(of)),
                    ("window", quoted(per)),
                    ("limit", quoted(&limit.to_string())),
                    ("spent", quoted(&spent.to_string())),
                    ("resets_at", quoted(&resets)),
                ],
            }
        }
        Refusal::RateLimited { scope, retry_after } => format!(
            "this {} asks too often; ask again in {} s",
            scope_name(*scope),
            retry_after.secs_ceil().max(1)
        )
        .into(),
        Refusal::TooManyConcurrent { scope, limit } => format!(
            "this {} has {limit} requests under way, as many as it may have; ask again when one has ended",
            scope_name(*scope)
        )
        .into(),
        Refusal::KeyExpired | Refusal::UnknownKey | Refusal::UnknownAccount => {
            "this API key is not valid".into()
        }
        Refusal::IdConflict | Refusal::HoldEnded => "this request came before with another content".into(),
        Refusal::InProgress { request } => of_claim(
            "a request with this Idempotency-Key is under way; ask again when it has ended".to_owned(),
            request,
        ),
        Refusal::AlreadyCharged { request } => of_claim(
            format!("a request with this Idempotency-Key was served and charged: GET {CHARGES}{request} tells what it cost. This one was not served; use a new key for a new request"),
            request,
        ),
        Refusal::ClaimConflict { request } => of_claim(
            "this Idempotency-Key came before with another request (method, target or body); use a new key for a new request".to_owned(),
            request,
        ),
        Refusal::OutOfRange(what) => format!("{what} is beyond what can be charged").into(),
        Refusal::Stale | Refusal::Outdated | Refusal::TooOld | Refusal::UnknownHold => {
            "the ledger of credits could not decide just now; nothing was charged".into()
        }
    }
}

/// What names the request that has the client's idempotency key.
fn of_claim(message: String, request: &HoldId) -> Said {
    Said {
        message: message.into(),
        fields: vec![("charge_id", quoted(&request.to_string()))],
    }
}

/// What is missing, what would fit, and where to buy.
fn insufficient(available: Credits, required: Credits, exchange: &Exchange) -> Said {
    let shortfall = required.saturating_sub(available).at_least_zero();
    let mut message =
        format!("this request needs {required} credits and {available} are left: {shortfall} are missing");
    let mut fields = vec![
        ("available", quoted(&available.to_string())),
        ("required", quoted(&required.to_string())),
        ("shortfall", quoted(&shortfall.to_string())),
    ];
    if let Some(tokens) = exchange
        .fare
        .map(|fare| fare.affords(available))
        .filter(|tokens| *tokens > 0)
    {
        message.push_str(&format!("; with max_tokens of at most {tokens} it would fit"));
        fields.push(("max_tokens", tokens.to_string()));
    }
    if let Some(url) = exchange.live.top_up_url.as_deref() {
        message.push_str("; buy credits at ");
        message.push_str(url);
        fields.push(("top_up_url", quoted(url)));
    } else if exchange.live.sells {
        message.push_str("; buy credits: GET /faregate/v1/packs lists packs, and POST /faregate/v1/checkout with {\"pack\": \"ID\"} and the same key answers with a page to pay at");
    }
    if let Some((word, sentence)) = trouble(exchange) {
        message.push_str("; automatic top-up: ");
        message.push_str(sentence);
        fields.push(("top_up", quoted(word)));
    }
    Said {
        message: message.into(),
        fields,
    }
}

/// Why the account's automatic top-up has not come.
fn trouble(exchange: &Exchange) -> Option<(&'static str, &'static str)> {
    let known = exchange.known.as_ref()?;
    let mark = exchange.worker.gate.mark(&known.caller().account)?;
    mark.trouble
}

fn scope_name(scope: Scope) -> &'static str {
    match scope {
        Scope::Account => "account",
        Scope::Key => "key",
    }
}

fn window_name(window: Window) -> &'static str {
    match window {
        Window::Day => "day",
        Window::Month => "month",
    }
}

fn rfc3339(at: Timestamp) -> String {
    jiff::Timestamp::from_microsecond(at.micros())
        .unwrap_or_default()
        .to_string()
}

pub(super) fn quoted(text: &str) -> String {
    // Text always is JSON.
    serde_json::to_string(text).unwrap_or_default()
}
