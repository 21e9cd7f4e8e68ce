//! Tokens that a request may use, read from its body.

use ::http::HeaderMap;

use super::super::fault::Fault;
use super::super::incoming::ClientBody;
use super::super::metering::{self, Metered, Metering};
use super::super::stage::Routed;
use super::units;
use crate::meter::ask;

/// Bodies longer than this are looked at on a thread of their own: it takes longer than others should wait.
const LONG: usize = 512 * 1024;
/// The same where text may be counted by a tokenizer.
const COUNTED: usize = 1_024;

/// Reads the body whole, and from it what the request may use.
pub(super) async fn read(
    routed: &Routed,
    body: Option<ClientBody>,
    metering: &Metering,
) -> Result<Box<Metered>, Fault> {
    check_query(routed.target.query(), metering)?;
    check_beta(&routed.exchange.head.headers, metering)?;
    let body = units::whole(routed, body).await?;
    let live = &routed.exchange.live;
    let most = if live.tokenizers.is_empty() { LONG } else { COUNTED };
    if body.len() <= most {
        return Ok(Box::new(metering::read(metering, live, body)?));
    }
    let (live, route) = (std::sync::Arc::clone(live), std::sync::Arc::clone(&routed.route));
    let read = tokio::task::spawn_blocking(move || {
        let metering = route.metering.as_ref()?;
        Some(metering::read(metering, &live, body))
    });
    match read.await {
        Ok(Some(read)) => Ok(Box::new(read?)),
        // The runtime ends, or the reader panicked.
        Ok(None) | Err(_) => Err(Fault::Unreadable("its body could not be read".into())),
    }
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
        let asked = asked.trim_ascii().to_ascii_lowercase();
        let dear = ask::DEAR_BETAS
            .into_iter()
            .find(|dear| asked.starts_with(dear.as_bytes()));
        let taken = |dear: &str| metering.allow.iter().any(|allowed| **allowed == *dear);
        if let Some(dear) = dear.filter(|dear| !taken(dear)) {
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
