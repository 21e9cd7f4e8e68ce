//! Answers that are priced by the units that they report: read whole before they are passed on.

use ::http::Response;
use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::price::{Price, of_millionths};
use crate::meter::answer::decode::whole;
use crate::meter::units::{Said, reported};

use super::super::body::ReplyBody;
use super::super::fault::{Fault, Rejected};
use super::super::stage::Reply;
use super::super::stall::Stall;
use super::settle::{Answer, Charged, Cost};
use super::whole::{Read, encoding, read};

impl Answer<'_> {
    /// Whether its price is in its body.
    pub(super) fn is_measured(&self) -> bool {
        matches!(self.route.price, Price::Measured { .. }) && self.response.status().is_success()
    }

    /// Charges for what it reports, compressed or not, up to what is held; for all of that where it does not say, or is longer than what is read. An error
    /// costs nothing. A stream is passed on when it has ended.
    pub(super) async fn settle_measured(self, end: Option<Instant>) -> Result<Reply, Rejected> {
        let mut answer = self.fit()?;
        let route = answer.route;
        let idle = route.upstream.idle_timeout;
        let share = answer.exchange.answer_share();
        let read = match read(answer.response.body_mut(), idle, end, share).await {
            Ok(Read::Crowded(_)) => return Err(answer.broken(Fault::NoRoom)),
            Ok(read) => read,
            Err(fault) => return Err(answer.broken(fault)),
        };
        let held = answer.payment.held.amount();
        let cost = match &read {
            Read::Whole(bytes) => answer.cost(bytes),
            Read::Part(_) | Read::Crowded(_) => None,
        };
        let cost = cost.filter(|cost| !matches!(cost, Cost::Is(amount) if *amount > held));
        if cost.is_none() {
            answer.exchange.worker.meters.reports_corrected.one();
            tracing::warn!(route = %route.id, request = %answer.exchange.request, "the upstream's units are not there, or more than is held: the hold is charged");
        }
        let Charged {
            head,
            body,
            lease,
            mut exchange,
        } = answer.charge(cost.unwrap_or(Cost::Is(held)));
        Ok(match read {
            Read::Whole(bytes) => {
                lease.give_back();
                exchange.sent = bytes.len() as u64;
                Response::from_parts(head, ReplyBody::own(bytes, exchange))
            }
            Read::Part(part) | Read::Crowded(part) => {
                let stall = Stall::new(idle).until(end);
                let passed = ReplyBody::passed(body, stall, exchange, lease, None);
                Response::from_parts(head, passed.begun(part))
            }
        })
    }

    fn cost(&self, body: &Bytes) -> Option<Cost> {
        match &self.route.price {
            Price::Measured {
                each, reported: path, ..
            } => {
                let body = whole(encoding(self.response.headers()), body).ok()?;
                match reported(&body, path) {
                    Said::Units(units) => of_millionths(*each, units).map(Cost::Is),
                    Said::Failed => Some(Cost::Failed),
                    Said::Nothing => None,
                }
            }
            _ => None,
        }
    }
}
