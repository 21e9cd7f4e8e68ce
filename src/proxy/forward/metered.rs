//! Answers that are priced by tokens: charged by what they report. A short one is read whole before it is passed on, so that its head says what it cost.

use std::future::poll_fn;
use std::task::Poll;

use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRAILER};
use ::http::{HeaderMap, Response, Version};
use bytes::Bytes;
use tokio::time::Instant;

use crate::domain::credits::Credits;
use crate::domain::refusal::Refusal;
use crate::meter::answer::decode::whole;
use crate::meter::answer::{Counted, Framing, Step, Words};
use crate::service::denial::Denial;

use super::super::body::ReplyBody;
use super::super::exchange::Charge;
use super::super::fault::{Fault, Rejected};
use super::super::metering::{self, Course, End, Ends, Metered, Over, Purse, Room, Streamed};
use super::super::stage::{Payment, Reply};
use super::super::stall::Stall;
use super::settle::{Answer, abandoned, pass, released};
use super::whole::{Read, encoding, read};

impl Answer<'_> {
    /// Whether it is priced by tokens.
    pub(super) fn is_metered(&self) -> bool {
        self.payment.metered.is_some() && self.response.status().is_success()
    }

    /// Charges for it by its body, and passes it on.
    pub(super) async fn settle_metered(self, end: Option<Instant>) -> Result<Reply, Rejected> {
        let answer = self.fit()?;
        let framing = answer.framing();
        match framing {
            Framing::Whole => answer.whole(end).await,
            Framing::Sse | Framing::Lines => Ok(answer.streamed(framing, Bytes::new(), end)),
        }
    }

    fn framing(&self) -> Framing {
        let content_type = self.response.headers().get(CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        let api = self.payment.metered.as_ref().map(|metered| metered.api);
        api.map_or(Framing::Whole, |api| Framing::of(api, content_type))
    }

    async fn whole(mut self, end: Option<Instant>) -> Result<Reply, Rejected> {
        let ending = abandoned(self.route, &self.payment);
        self.payment.held.on_drop(ending);
        let route = self.route;
        let share = self.exchange.answer_share();
        match read(self.response.body_mut(), route.upstream.idle_timeout, end, share).await {
            Ok(Read::Part(part) | Read::Crowded(part)) => Ok(self.streamed(Framing::Whole, part, end)),
            Ok(Read::Whole(bytes)) => self.charged(bytes).await,
            Err(fault) => Err(self.broken(fault)),
        }
    }

    /// It was read whole: its head says what it cost. A hold that was to grow with a stream which is none grows now, or the answer is kept back.
    async fn charged(self, bytes: Bytes) -> Result<Reply, Rejected> {
        let Answer {
            response,
            lease,
            mut exchange,
            route,
            payment:
                Payment {
                    held,
                    available,
                    metered,
                },
        } = self;
        let Some(mut metered) = metered else {
            return Err(exchange.reject(Fault::UpstreamBroken));
        };
        let (mut head, _) = response.into_parts();
        let had = available.saturating_add(held.amount());
        let mut course = course(&metered, Framing::Whole, &head.headers);
        course.feed(bytes.clone());
        while let Step::Pass(_) = course.next(|_| true) {}
        if !course.end().complete {
            lease.meters().broken.one();
            exchange.charge = Charge::Released;
            held.settle(released(route, "upstream_cut"));
            return Err(exchange.reject(Fault::UpstreamBroken));
        }
        lease.give_back();
        metered.tokens = tokens(&metered, course.tally().counted, &head.headers, &bytes).await;
        let limit = metered.limit(held.amount());
        let mut purse = Purse::new(held, &metered);
        // Of what cannot be read, as much is due as there may be.
        let due = match course.is_dark() {
            true => metered.fare.most(),
            false => metered
                .due(&course.tally(), End::Whole, limit)
                .amount
                .min(metered.fare.most()),
        };
        let grown = grown(&mut purse, due).await;
        let kept_back = (!grown).then(|| Fault::Denied(short(&purse, due)));
        let Some(held) = purse.take() else {
            return Err(exchange.reject(Fault::UpstreamBroken));
        };
        if let Some(fault) = kept_back {
            exchange.charge = Charge::Released;
            held.settle(released(route, fault.code().as_str()));
            return Err(exchange.reject(fault));
        }
        let over = Over {
            metered: &mut metered,
            course: &mut course,
            end: End::Whole,
            limit,
        };
        over.charge(held, &mut exchange, route);
        let charged = match exchange.charge {
            Charge::Charged(amount) => amount,
            _ => Credits::ZERO,
        };
        pass(&mut head, &mut exchange, route, had.saturating_sub(charged));
        exchange.sent = bytes.len() as u64;
        Ok(Response::from_parts(head, ReplyBody::own(bytes, exchange)))
    }

    /// It is counted while it passes.
    fn streamed(self, framing: Framing, begun: Bytes, end: Option<Instant>) -> Reply {
        let Answer {
            response,
            lease,
            mut exchange,
            route,
            payment:
                Payment {
                    held,
                    available,
                    metered,
                },
        } = self;
        let (mut head, body) = response.into_parts();
        let streamed = metered.map(|metered| {
            let course = course(&metered, framing, &head.headers);
            let share = exchange.answer_share();
            let ends = match (framing, head.version) {
                (Framing::Whole, _) => Ends::ByItsWords,
                (_, Version::HTTP_2) => Ends::UnlessReset,
                _ => Ends::Anyhow,
            };
            let tells_cost = metered.tells_cost && framing == Framing::Sse;
            let mut streamed = Streamed::new(course, metered, held, share, ends);
            if tells_cost {
                streamed.tell_cost(&exchange.live);
            }
            if !begun.is_empty() {
                streamed.feed(begun);
            }
            Box::new(streamed)
        });
        pass(&mut head, &mut exchange, route, available);
        if exchange.accepts_trailers {
            head.headers
                .append(TRAILER, HeaderValue::from_static("x-credits-charged"));
            // Which only follow a body in chunks.
            head.headers.remove(CONTENT_LENGTH);
        }
        if framing != Framing::Whole {
            // Something may be taken out of it, and put at its end.
            head.headers.remove(CONTENT_LENGTH);
        }
        let stall = Stall::new(route.upstream.idle_timeout).until(end);
        let body = ReplyBody::passed(body, stall, exchange, lease, streamed);
        Response::from_parts(head, body)
    }
}

/// Tokens of a whole answer that reports none, where its model's tokenizer can say.
async fn tokens(metered: &Metered, counted: Counted, headers: &HeaderMap, body: &Bytes) -> Option<u64> {
    // An event for each byte leaves nothing to be counted.
    let tokenizer = metered
        .tokenizer
        .clone()
        .filter(|_| counted.bytes > counted.events)?;
    let (api, body, encoding) = (metered.api, body.clone(), encoding(headers).to_owned());
    let words = move || Words::of_whole(api, &whole(&encoding, &body).ok()?, counted);
    metering::counted(words, tokenizer).await
}

/// Whether what is held covers this, when it has grown as far as it may.
async fn grown(purse: &mut Purse, due: Credits) -> bool {
    !purse.grows()
        || poll_fn(|cx| match purse.room(due, Credits::ZERO, cx) {
            Room::Wait => Poll::Pending,
            room => Poll::Ready(room == Room::Some),
        })
        .await
}

/// Why a hold did not grow to this. Where there are no more credits, the whole answer is what they are too few for, not what was missing of it.
fn short(purse: &Purse, required: Credits) -> Denial {
    match purse.refused() {
        None | Some(Denial::Refused(Refusal::InsufficientCredits { .. })) => {
            let available = purse.available().saturating_add(purse.amount());
            Denial::Refused(Refusal::InsufficientCredits { available, required })
        }
        Some(denial) => denial.clone(),
    }
}

fn course(metered: &Metered, framing: Framing, headers: &HeaderMap) -> Course {
    Course::new(metered.setup(framing), encoding(headers))
}
