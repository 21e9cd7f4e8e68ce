//! A metered answer on its way to the client: what passes is counted, what is held covers it, and it ends well when the credits do.

use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::json;

use crate::domain::credits::Credits;
use crate::domain::price::HoldMode;
use crate::meter::answer::{Counted, Cut, Step, Tally};
use crate::service::charge::{Ending, Growth, Held};

use super::super::code::Code;
use super::super::exchange::{Charge, Exchange};
use super::super::fault::Fault;
use super::super::live::Route;
use super::course::Course;
use super::due::End;
use super::request::Metered;

/// How often the ledger is asked for more when it does not answer, until the stream ends. Each time takes as long as a request waits for it.
const SILENT_MAX: u32 = 8;

/// See the module.
pub(in crate::proxy) struct Streamed {
    course: Course,
    metered: Box<Metered>,
    /// None once it is settled.
    held: Option<Held>,
    /// Tokens that each answer may have, at most.
    limit: u64,
    /// What was passed on.
    passed: Counted,
    /// The ledger has said that there is no more; until it is asked in need.
    exhausted: bool,
    /// Questions in need that had no answer.
    silent: u32,
    /// Why nothing more may pass; none when the upstream was told no more.
    refused: Option<Code>,
    cut: bool,
    /// The ledger was asked for what was reported at last.
    asked_at_last: bool,
}

/// What is to be done.
pub(in crate::proxy) enum Next {
    /// This goes to the client.
    Pass(Bytes),
    /// The upstream has to say more.
    More,
    /// The ledger has to answer.
    Wait,
    /// Nothing more may pass: it ends with what [`Streamed::cut`] says.
    Cut,
}

/// Whether more may pass.
enum Room {
    Some,
    Wait,
    None,
}

impl Streamed {
    pub(in crate::proxy) fn new(course: Course, metered: Box<Metered>, held: Held) -> Streamed {
        Streamed {
            limit: metered.limit(held.amount()),
            course,
            metered,
            held: Some(held),
            passed: Counted::default(),
            exhausted: false,
            silent: 0,
            refused: None,
            cut: false,
            asked_at_last: false,
        }
    }

    /// The upstream has said this.
    pub(in crate::proxy) fn feed(&mut self, data: Bytes) {
        self.course.feed(data);
    }

    /// What is to be done next.
    pub(in crate::proxy) fn next(&mut self, cx: &mut Context<'_>) -> Next {
        if self.metered.hold == HoldMode::Growing && self.course.is_late() {
            // Nobody can tell when it has grown beyond what is held.
            return Next::Cut;
        }
        loop {
            let (mut needed, mut beyond) = (Credits::ZERO, false);
            let (metered, held, limit, passed) = (&self.metered, self.amount(), self.limit, self.passed);
            let step = self.course.next(|tally| {
                // What brings no text costs nothing more.
                if tally.delivered == passed {
                    return true;
                }
                beyond = is_beyond(metered, tally, limit);
                !beyond && covers(metered, tally, limit, held, &mut needed)
            });
            match step {
                Step::Pass(data) => {
                    self.passed = self.course.tally().delivered;
                    self.grow_ahead(cx);
                    return Next::Pass(data);
                }
                Step::Starved => return Next::More,
                // More than the upstream was told, whatever is held.
                Step::Stopped if beyond => return Next::Cut,
                Step::Stopped => match self.room(needed, cx) {
                    Room::Some => {}
                    Room::Wait => return Next::Wait,
                    Room::None => return Next::Cut,
                },
            }
        }
    }

    /// Ends it where it is, for an SDK to understand; `None` where it can only be broken off.
    pub(in crate::proxy) fn cut(&mut self, exchange: &Exchange) -> Option<Bytes> {
        self.cut = true;
        let due = self.metered.so_far(&self.course.tally(), self.limit);
        let (charged, available) = (
            due.amount.min(self.amount()),
            self.held.as_ref().map(Held::available),
        );
        let reason = json!({
            "code": self.refused.map_or("output_limit", Code::as_str),
            "charged": charged.to_string(),
            "available": available.unwrap_or(Credits::ZERO).to_string(),
            "top_up_url": exchange.live.top_up_url,
        });
        let now = exchange.worker.clock.now();
        self.course.cut(&Cut {
            reason: &reason.to_string(),
            usage: due.usage,
            id: &exchange.request.to_string(),
            model: &self.metered.name,
            created: u64::try_from(now.micros() / 1_000_000).unwrap_or(0),
        })
    }

    /// The upstream has come to its end: what is still to be passed on.
    pub(in crate::proxy) fn end(&mut self) -> Bytes {
        self.course.end()
    }

    /// Waits, when all has passed, until a growing hold covers what was reported at last, as far as there are credits: what leaves no text (reasoning that is
    /// not shown) is told only then.
    pub(in crate::proxy) fn poll_covered(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.metered.hold != HoldMode::Growing {
            return Poll::Ready(());
        }
        let due = self.metered.so_far(&self.course.tally(), self.limit);
        let needed = due.amount.min(self.metered.most());
        while let Some(held) = &mut self.held
            && held.amount() < needed
        {
            if held.is_growing() {
                let _ = std::task::ready!(held.poll_grown(cx));
            } else if self.asked_at_last {
                break;
            } else {
                self.asked_at_last = true;
                held.grow(Credits::MICRO, needed.saturating_sub(held.amount()));
            }
        }
        Poll::Ready(())
    }

    fn amount(&self) -> Credits {
        self.held.as_ref().map_or(Credits::ZERO, Held::amount)
    }

    /// Asks for more before it is needed.
    fn grow_ahead(&mut self, cx: &mut Context<'_>) {
        if self.metered.hold != HoldMode::Growing || self.exhausted {
            return;
        }
        let due = self.metered.so_far(&self.course.tally(), self.limit);
        let step = self.step(due.usage.output());
        let Some(held) = &mut self.held else { return };
        if held.is_growing() {
            self.exhausted = matches!(held.poll_grown(cx), Poll::Ready(Growth::Refused(_)));
            return;
        }
        let left = held.amount().saturating_sub(due.amount);
        if left.micros() <= step.micros() / 2 {
            held.grow(Credits::MICRO, step);
        }
    }

    /// What a hold grows by: for as much output as there was already.
    fn step(&self, output: u64) -> Credits {
        let tokens = self
            .metered
            .slice
            .saturating_mul(self.metered.fare.bound().answers);
        self.metered.fare.output(tokens.max(output))
    }

    /// Whether there is room for what costs `needed` in all.
    fn room(&mut self, needed: Credits, cx: &mut Context<'_>) -> Room {
        if self.metered.hold != HoldMode::Growing {
            return Room::None;
        }
        let step = self.step(self.course.tally().usage.output());
        let Some(held) = &mut self.held else {
            return Room::None;
        };
        let least = needed.saturating_sub(held.amount());
        if held.is_growing() {
            return match held.poll_grown(cx) {
                Poll::Pending => Room::Wait,
                Poll::Ready(Growth::To(amount)) => {
                    (self.exhausted, self.silent) = (false, 0);
                    if amount < needed {
                        // It was asked before it was known how much is needed.
                        held.grow(needed.saturating_sub(amount), step.max(least));
                    }
                    Room::Some
                }
                Poll::Ready(Growth::Refused(denial)) if self.exhausted => {
                    self.refused = Some(Fault::Denied(denial).code());
                    Room::None
                }
                Poll::Ready(Growth::Refused(_)) => {
                    self.ask_in_need(least, step);
                    Room::Some
                }
                Poll::Ready(Growth::Failed) if self.silent >= SILENT_MAX => {
                    self.refused = Some(Code::LedgerUnavailable);
                    Room::None
                }
                Poll::Ready(Growth::Failed) => {
                    self.silent += 1;
                    self.ask_in_need(least, step);
                    Room::Some
                }
            };
        }
        self.ask_in_need(least, step);
        Room::Some
    }

    /// What is refused now ends the stream.
    fn ask_in_need(&mut self, least: Credits, step: Credits) {
        self.exhausted = true;
        if let Some(held) = &mut self.held {
            held.grow(least, step.max(least));
        }
    }

    /// Charges for it.
    pub(in crate::proxy) fn settle(&mut self, end: End, exchange: &mut Exchange, route: &Route) {
        let Some(held) = self.held.take() else { return };
        let end = if self.cut { End::CutOff } else { end };
        settle(
            &mut self.metered,
            held,
            &mut self.course,
            end,
            self.limit,
            exchange,
            route,
        );
    }
}

/// Whether an upstream has written more than it was told.
fn is_beyond(metered: &Metered, tally: &Tally, limit: u64) -> bool {
    let written = tally.usage.output().max(tally.delivered.events);
    written > limit.saturating_mul(metered.fare.bound().answers)
}

/// Whether what is held covers all this.
fn covers(metered: &Metered, tally: &Tally, limit: u64, held: Credits, needed: &mut Credits) -> bool {
    match metered.hold {
        // It covers all that the upstream was told.
        HoldMode::Full => true,
        HoldMode::Growing => {
            *needed = metered.so_far(tally, limit).amount.min(metered.most());
            *needed <= held
        }
    }
}

/// Charges for an answer: what is due, up to what is held.
pub(in crate::proxy) fn settle(
    metered: &mut Metered,
    held: Held,
    course: &mut Course,
    end: End,
    limit: u64,
    exchange: &mut Exchange,
    route: &Route,
) {
    course.close();
    let tally = course.tally();
    metered.answered_by(course.model().as_deref(), &tally, &exchange.live.models);
    let due = match course.is_dark() {
        true => metered.unknown(held.amount(), end),
        false => metered.due(&tally, end, limit),
    };
    let charged = due.amount.min(held.amount()).min(metered.most());
    let meters = &exchange.worker.meters;
    if due.amount > charged || tally.invalid > 0 {
        meters.reports_corrected.one();
        tracing::warn!(route = %route.id, request = %exchange.request, due = %due.amount, %charged, invalid = tally.invalid, "what the upstream reports was corrected");
    }
    let detail = metered.detail(&route.id, &due);
    exchange.charge = if charged.is_zero() && end != End::Whole {
        Charge::Released
    } else {
        Charge::Charged(charged)
    };
    held.settle(match exchange.charge {
        Charge::Released => Ending::Release(detail),
        _ => Ending::Capture(charged, detail),
    });
}
