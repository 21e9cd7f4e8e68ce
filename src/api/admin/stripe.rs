//! What came from Stripe: looking at all of it, what is parked, and events from a file.

use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::api::dto::PageJson;
use crate::api::reply::{self, Problem, Reply};
use crate::domain::time::Timestamp;
use crate::ledger::detail::utc;
use crate::service::stripe::desk::sync::SyncError;
use crate::stripe::event::parse;

use super::{Admin, Call};

/// The most events of one replay; the body is bounded too.
const EVENTS_MAX: usize = 500;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReplayBody {
    events: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DismissBody {
    what: String,
}

#[derive(Serialize)]
struct DismissedJson {
    what: String,
    /// It was parked.
    dismissed: bool,
}

#[derive(Serialize)]
struct ParkedJson {
    what: String,
    why: String,
    since: String,
}

#[derive(Serialize)]
struct ReplayedJson {
    id: Option<String>,
    kind: Option<String>,
    result: &'static str,
    why: Option<String>,
}

impl Admin {
    pub(super) async fn stripe_sync(&self) -> Result<Reply, Problem> {
        match self.operations.sync().await? {
            Ok(report) => Ok(reply::ok(&report)),
            Err(SyncError::Ledger(error)) => Err(error.into()),
            Err(error) => {
                let code = match error {
                    SyncError::NoKey => "stripe_not_configured",
                    _ => "sync_running",
                };
                Err(Problem::new(StatusCode::CONFLICT, code, error.to_string()))
            }
        }
    }

    pub(super) async fn stripe_parked(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let (cursor, limit) = call.page()?;
        let page = self.desk()?.parked(cursor.as_deref(), limit).await?;
        let items = page.items.into_iter().map(|(what, parked)| ParkedJson {
            what,
            why: parked.why,
            since: utc(Timestamp::from_micros(
                parked.since.saturating_mul(1_000_000).max(0),
            )),
        });
        Ok(reply::ok(&PageJson {
            items: items.collect(),
            next: page.next,
        }))
    }

    pub(super) async fn stripe_dismiss(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let body: DismissBody = reply::read(call.request.body())?;
        let dismissed = self.desk()?.dismiss(&body.what).await?;
        Ok(reply::ok(&DismissedJson {
            what: body.what,
            dismissed,
        }))
    }

    pub(super) async fn stripe_replay(&self, call: &Call<'_>) -> Result<Reply, Problem> {
        let desk = self.desk()?;
        let body: ReplayBody = reply::read(call.request.body())?;
        if body.events.len() > EVENTS_MAX {
            let detail = format!("`events` has at most {EVENTS_MAX} in one call");
            return Err(Problem::invalid(detail));
        }
        let mut items = Vec::with_capacity(body.events.len());
        for raw in &body.events {
            let raw = raw.get().as_bytes();
            let event = match parse(raw) {
                Ok(event) => event,
                Err(error) => {
                    items.push(ReplayedJson {
                        id: None,
                        kind: None,
                        result: "unreadable",
                        why: Some(error.to_string()),
                    });
                    continue;
                }
            };
            let (result, why) = match desk.replay(&event, raw).await {
                Ok(received) => (received.as_str(), None),
                Err(error) => ("failed", Some(error.to_string())),
            };
            items.push(ReplayedJson {
                id: Some(event.id),
                kind: Some(event.kind),
                result,
                why,
            });
        }
        Ok(reply::ok(&PageJson { items, next: None }))
    }

    fn desk(&self) -> Result<std::sync::Arc<crate::service::stripe::desk::Desk>, Problem> {
        self.operations.desk().ok_or_else(|| {
            let detail = "there is no [stripe] in the configuration";
            Problem::new(StatusCode::CONFLICT, "stripe_not_configured", detail)
        })
    }
}
