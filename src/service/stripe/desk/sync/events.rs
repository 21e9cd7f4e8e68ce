//! Events that were not delivered, as long as Stripe keeps them: 30 days.

use serde_json::Value;

use crate::ledger::LedgerError;
use crate::stripe::api::{self, EventQuery, TYPES_MAX};
use crate::stripe::event::parse;
use crate::stripe::facts::HEARD;

use super::super::Received;
use super::{Pager, Reached, Run};

/// How far back the first look goes: Stripe keeps events no longer.
const KEPT: i64 = 30 * 86_400;

/// How much each look goes back before the last one: an event may be listed later than it is dated.
const OVERLAP: i64 = 1_800;

/// The most events of a group of types that a run takes; the next goes on there.
const EVENTS_MAX: usize = 20_000;

impl Reached {
    /// From when on to read, now; a reading that is not finished goes on as it began.
    pub(super) fn begin(&mut self, now: i64, first: i64) -> i64 {
        if self.resume.is_none() {
            self.head = now;
        }
        if self.since == 0 { now - first } else { self.since }
    }

    /// Read to the end, or up to `rest`.
    pub(super) fn end(&mut self, since: i64, rest: Option<String>, overlap: i64) {
        self.since = if rest.is_some() {
            since
        } else {
            self.head - overlap
        };
        self.resume = rest;
    }
}

impl Run {
    /// Newest first: what counts now is known first, and order does not matter.
    pub(super) async fn events(&mut self) -> Result<(), LedgerError> {
        let groups = HEARD.chunks(TYPES_MAX);
        self.state.events.resize_with(groups.len(), Reached::default);
        for (at, types) in groups.enumerate() {
            let mut reached = std::mem::take(&mut self.state.events[at]);
            let since = reached.begin(self.stripe.their_time(self.desk.seconds()), KEPT);
            let query = EventQuery {
                types,
                since: Some(since),
                undelivered: false,
            };
            let call = match api::list_events(&query) {
                Ok(call) => call,
                Err(error) => {
                    self.problem(format!("events: {error}"));
                    continue;
                }
            };
            let mut pager = Pager::new(call, reached.resume.clone(), EVENTS_MAX);
            let read = self.event_pages(&mut pager).await;
            match read {
                Ok(true) => reached.end(since, pager.rest(), OVERLAP),
                // A place that Stripe does not know any more: from the beginning, the next time.
                Ok(false) => reached.resume = None,
                Err(_) => {}
            }
            self.report.complete &= reached.resume.is_none();
            self.state.events[at] = reached;
            read?;
        }
        Ok(())
    }

    /// Whether all pages were answered.
    async fn event_pages(&mut self, pager: &mut Pager) -> Result<bool, LedgerError> {
        loop {
            match pager.next(&*self.stripe).await {
                Ok(None) => return Ok(true),
                Ok(Some(page)) => {
                    for event in &page {
                        self.event(event).await?;
                    }
                }
                Err(error) => {
                    self.report.complete = false;
                    self.problem(format!("events: {error}"));
                    return Ok(false);
                }
            }
        }
    }

    async fn event(&mut self, value: &Value) -> Result<(), LedgerError> {
        self.report.events += 1;
        let raw = value.to_string();
        let event = match parse(raw.as_bytes()) {
            Ok(event) => event,
            Err(error) => {
                self.problem(format!("event {}: {error}", value["id"]));
                return Ok(());
            }
        };
        match self.desk.receive(&event, raw.as_bytes()).await {
            Ok(Received::Applied | Received::Parked) => self.report.events_new += 1,
            Ok(_) => {}
            Err(error) => self.unless_transient(&event.id, error)?,
        }
        Ok(())
    }
}
