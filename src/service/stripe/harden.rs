//! Sets right at Stripe what its API can set, and says what a person has to.

use super::audit::snapshot::Snapshot;
use super::audit::{Finding, Remedy, Standing, findings, wanted_events};
use crate::config::stripe::Stripe;
use crate::stripe::api::{self, EndpointChange, Threshold};
use crate::stripe::call::{BadCall, Call};
use crate::stripe::client::{API_VERSION, ApiError, Refused, Reply, Stripe as Api};

/// What nobody can guess.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked<'a> {
    /// The address of an endpoint that is to be there.
    pub url: Option<&'a str>,
    /// From which usage on items are billed, in what their meters count; 1 or more.
    pub usage_gte: Option<i64>,
    /// Another for each time that somebody asks: what was changed back meanwhile is changed again.
    pub because: &'a str,
}

/// One change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Change {
    /// What is done, to what.
    pub what: String,
    /// How a person does it, where the key may not.
    pub by_hand: String,
    /// How it is done.
    pub call: Call,
}

/// What is not changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Left {
    /// How it stands.
    pub standing: Standing,
    /// What.
    pub what: String,
    /// What it should be.
    pub wanted: String,
    /// What has to be done, and by whom.
    pub fix: String,
}

/// What would be done.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// In this order.
    pub changes: Vec<Change>,
    /// What the API cannot set, or nobody has said to what.
    pub left: Vec<Left>,
}

/// What became of a change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It is so.
    Done {
        /// The signing secret of an endpoint that was made; Stripe never says it again.
        secret: Option<String>,
    },
    /// It was refused, or it is not known; in words.
    Failed(String),
    /// Stripe did not answer before: it was not tried.
    Skipped,
}

/// What would be done about what there is.
///
/// # Errors
/// Stripe has ids that no call can be written with.
pub fn plan(snapshot: &Snapshot, stripe: &Stripe, asked: &Asked<'_>) -> Result<Plan, BadCall> {
    let mut plan = Plan::default();
    if let Some(url) = asked.url {
        endpoint_at(url, snapshot, stripe, asked, &mut plan)?;
    }
    for finding in findings(snapshot, stripe) {
        if finding.standing == Standing::Good {
            continue;
        }
        match (change(&finding, asked)?, &finding.remedy) {
            (Some(change), _) => plan.changes.push(change),
            // It is made above.
            (None, Some(Remedy::CreateEndpoint)) if asked.url.is_some() => {}
            (None, _) => plan.left.push(Left {
                standing: finding.standing,
                what: finding.what,
                wanted: finding.wanted,
                fix: finding.fix,
            }),
        }
    }
    Ok(plan)
}

fn endpoint_at(
    url: &str,
    snapshot: &Snapshot,
    stripe: &Stripe,
    asked: &Asked<'_>,
    plan: &mut Plan,
) -> Result<(), BadCall> {
    // Where they cannot be seen, one might be made twice.
    let Ok(seen) = &snapshot.endpoints else {
        return Ok(());
    };
    if seen.items.iter().any(|endpoint| endpoint.url == url) {
        return Ok(());
    }
    let events: Vec<String> = wanted_events(stripe.mode)
        .into_iter()
        .map(str::to_owned)
        .collect();
    plan.changes.push(Change {
        what: format!(
            "make a webhook endpoint for {url}, {} types of events, API version {API_VERSION}",
            events.len()
        ),
        by_hand: format!(
            "dashboard, Workbench, Webhooks: create an event destination for {url} in API version {API_VERSION} with {}",
            events.join(", ")
        ),
        call: api::create_webhook_endpoint(url, &events, API_VERSION, asked.because)?,
    });
    Ok(())
}

fn change(finding: &Finding, asked: &Asked<'_>) -> Result<Option<Change>, BadCall> {
    let (what, by_hand, call) = match &finding.remedy {
        Some(Remedy::EnableEndpoint { id }) => (
            format!("enable webhook endpoint {id}"),
            format!("dashboard, Workbench, Webhooks, {id}: enable"),
            api::update_webhook_endpoint(
                id,
                &EndpointChange {
                    enabled: Some(true),
                    events: None,
                },
                &format!("enable-{}", asked.because),
            )?,
        ),
        Some(Remedy::Subscribe { id, events }) => (
            format!("send also to webhook endpoint {id}; {}", finding.found),
            format!(
                "dashboard, Workbench, Webhooks, {id}, Edit: select what is {}",
                finding.found
            ),
            api::update_webhook_endpoint(
                id,
                &EndpointChange {
                    events: Some(events),
                    enabled: None,
                },
                &format!("events-{}", asked.because),
            )?,
        ),
        Some(Remedy::Threshold { item }) => {
            let Some(usage) = asked.usage_gte else {
                return Ok(None);
            };
            (
                format!("bill {} from a usage of {usage} on", finding.what),
                "with a key that may write Subscriptions: the dashboard has no such field".to_owned(),
                api::update_item_threshold(item, Threshold::From(usage), asked.because)?,
            )
        }
        Some(Remedy::CreateEndpoint) | None => return Ok(None),
    };
    Ok(Some(Change { what, by_hand, call }))
}

/// Makes the changes, one after the other; `tell` hears of each as it is over. As soon as it is not known what became of one, no further one is tried.
pub async fn make(stripe: &dyn Api, changes: &[Change], tell: &mut dyn FnMut(&Change, &Outcome)) {
    let mut answers = true;
    for change in changes {
        if !answers {
            tell(change, &Outcome::Skipped);
            continue;
        }
        let answer = stripe.call(&change.call).await;
        answers = !answer.as_ref().is_err_and(ApiError::is_unknown);
        tell(change, &outcome(change, answer));
    }
}

fn outcome(change: &Change, answer: Result<Reply, ApiError>) -> Outcome {
    let error = match answer {
        Ok(reply) => {
            let secret = reply.body["secret"].as_str().map(str::to_owned);
            return Outcome::Done { secret };
        }
        Err(error) => error,
    };
    let forbidden = error.refused().is_some_and(Refused::is_permission);
    let by_hand = if forbidden {
        format!("; by hand: {}", change.by_hand)
    } else {
        String::new()
    };
    Outcome::Failed(format!("{error}{by_hand}"))
}
