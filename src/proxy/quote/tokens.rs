//! Tokens that a request may use, read from its body.

use std::sync::Arc;

use ::http::HeaderMap;
use bytes::Bytes;

use super::super::fault::Fault;
use super::super::incoming::ClientBody;
use super::super::live::{Live, Route};
use super::super::metering::{self, Metered, Metering, Unpriced};
use super::super::stage::Routed;
use super::{LONG, apart, units};
use crate::meter::ask;

/// Bodies longer than this are looked at on a thread of their own where their text may be counted by a tokenizer.
const COUNTED: usize = 1_024;

/// The header in which a customer asks for what its stream has cost, beside its usage; also where the route does not say so.
const COST_ASKED: &str = "x-usage-cost";

/// Reads the body whole, and from it what the request may use.
pub(super) async fn read(
    routed: &Routed,
    body: Option<ClientBody>,
    metering: &Metering,
) -> Result<Box<Metered>, Fault> {
    let mut metered = of_body(routed, body, metering).await?;
    let asked = routed.exchange.head.headers.get(COST_ASKED);
    metered.tells_cost |= asked.is_some_and(|said| said.as_bytes().eq_ignore_ascii_case(b"true"));
    Ok(metered)
}

async fn of_body(
    routed: &Routed,
    body: Option<ClientBody>,
    metering: &Metering,
) -> Result<Box<Metered>, Fault> {
    check_query(routed.target.query(), metering)?;
    check_beta(&routed.exchange.head.headers, metering)?;
    let body = units::whole(routed, body).await?;
    Ok(Box::new(
        metered(&routed.exchange.live, &routed.route, metering, body).await?,
    ))
}

/// What a body says that its request may use.
pub(super) async fn metered(
    live: &Arc<Live>,
    route: &Arc<Route>,
    metering: &Metering,
    body: Bytes,
) -> Result<Metered, Unpriced> {
    let most = if live.tokenizers.is_empty() { LONG } else { COUNTED };
    if body.len() <= most {
        return metering::read(metering, live, body);
    }
    let (live, route) = (Arc::clone(live), Arc::clone(route));
    let read = apart(move || {
        let metering = route.metering.as_ref()?;
        Some(metering::read(metering, &live, body))
    });
    let unread = || Err(Unpriced::Unreadable("it could not be read".to_owned()));
    read.await.flatten().unwrap_or_else(unread)
}

/// What a query may say is listed: elsewhere it might name another model than the body (P2).
fn check_query(query: Option<&str>, metering: &Metering) -> Result<(), Fault> {
    let mut seen: Vec<&str> = Vec::new();
    let parameters = query
        .unwrap_or_default()
        .split('&')
        .filter(|parameter| !parameter.is_empty());
    for parameter in parameters {
        let name = parameter.split('=').next().unwrap_or_default();
        if !metering.query.iter().any(|known| **known == *name) {
            return Err(unreadable(format!("the query's {name:?} is not taken here")));
        }
        if seen.contains(&name) {
            return Err(unreadable(format!("the query says {name:?} twice")));
        }
        seen.push(name);
    }
    Ok(())
}

/// Headers in which clients ask for what is not in every account yet, and some of what they ask for there is dearer than it looks (P9).
const BETA: [&str; 2] = ["anthropic-beta", "openai-beta"];

fn check_beta(headers: &HeaderMap, metering: &Metering) -> Result<(), Fault> {
    let values = BETA.iter().flat_map(|name| headers.get_all(*name));
    let asked = values.flat_map(|value| value.as_bytes().split(|&b| b == b','));
    for asked in asked {
        let taken = |dear: &str| metering.allow.iter().any(|allowed| **allowed == *dear);
        if let Some(dear) = ask::dear_beta(asked).filter(|dear| !taken(dear)) {
            return Err(unreadable(format!(
                "a header asks for `{dear}`, which is not taken here"
            )));
        }
    }
    Ok(())
}

fn unreadable(what: String) -> Fault {
    Fault::Unreadable(what.into())
}
