//! A metered answer on its way to the client: what passes is counted, what is held covers it, and it ends well when the credits do.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use serde_json::json;

use crate::domain::credits::Credits;
use crate::domain::price::HoldMode;
use crate::http::body::Share;
use crate::meter::answer::{Counted, Cut, Ended, Step, Tally};
use crate::service::charge::{Ending, Held};

use super::super::code::Code;
use super::super::exchange::{Charge, Exchange};
use super::super::fault::of_denial;
use super::super::live::{Live, Route};
use super::course::Course;
use super::due::End;
use super::purse::{Purse, Room};
use super::request::Metered;
use super::words::{self, Counting, Shelf};

/// Events that an upstream may send for each token that it was told it may write, and besides: some send the bytes of a character, or letters, one by one. Where nothing
/// is reported, that many more are still its own doing.
const EVENTS_PER_TOKEN: u64 = 4;
const EVENTS_FREE: u64 = 64;

/// See the module.
pub(in crate::proxy) struct Streamed {
    course: Course,
    metered: Box<Metered>,
    purse: Purse,
    /// Tokens that each answer may have, at most.
    limit: u64,
    /// What was passed on.
    passed: Counted,
    /// What is left behind the upstream's end, once that has come.
    rest: Option<Ended>,
    ends: Ends,
    /// Nobody is there to whom text could be passed on; what it used is still of use.
    mute: bool,
    cut: bool,
    /// Where its words are kept for a tokenizer.
    shelf: Option<Shelf>,
    /// That is at work.
    counting: Option<Counting>,
    /// Under which its last usage is to say what it has cost.
    tells_cost: Option<Arc<Live>>,
}

/// When an answer whose upstream says no more is whole, besides by its own words.
#[derive(Clone, Copy, Debug)]
pub(in crate::proxy) enum Ends {
    /// Never: half a JSON text is no answer.
    ByItsWords,
    /// Where its HTTP/2 stream was ended, and not reset without an error.
    UnlessReset,
    /// Always: its connection would have broken.
    Anyhow,
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
#[derive(Clone, Copy)]
enum Covered {
    Yes,
    /// When so much is held.
    With(Credits),
    /// It is more than the upstream was told.
    Never,
}

impl Streamed {
    pub(in crate::proxy) fn new(
        course: Course,
        metered: Box<Metered>,
        held: Held,
        share: Share,
        ends: Ends,
    ) -> Streamed {
        Streamed {
            ends,
            mute: false,
            shelf: metered.tokenizer.is_some().then(|| Shelf::new(share)),
            counting: None,
            tells_cost: None,
            limit: metered.limit(held.amount()),
            purse: Purse::new(held, &metered),
            course,
            metered,
            passed: Counted::default(),
            rest: None,
            cut: false,
        }
    }

    /// The upstream has said this.
    pub(in crate::proxy) fn feed(&mut self, data: Bytes) {
        if let Some(shelf) = &mut self.shelf {
            shelf.make_room(&mut self.course, data.len());
        }
        self.course.feed(data);
    }

    /// What is to be done next.
    pub(in crate::proxy) fn next(&mut self, cx: &mut Context<'_>) -> Next {
        if self.purse.grows() && self.course.is_late() {
            // Nobody can tell when it has grown beyond what is held.
            return Next::Cut;
        }
        loop {
            let mut stopped = Covered::Yes;
            let (metered, held, limit, passed) = (&self.metered, self.audible(), self.limit, self.passed);
            let step = self.course.next(|tally| {
                // What brings no text costs nothing more.
                if tally.delivered != passed {
                    stopped = metered.covers(tally, limit, held);
                }
                matches!(stopped, Covered::Yes)
            });
            match step {
                Step::Pass(data) => {
                    self.passed = self.course.tally().delivered;
                    if self.purse.grows() {
                        let due = self.metered.so_far(&self.course.tally(), self.limit);
                        let step = self.step(due.usage.output());
                        self.purse.ahead(due.amount, step, cx);
                    }
                    return Next::Pass(self.with_cost(data));
                }
                Step::Starved => return Next::More,
                Step::Stopped => match self.room(stopped, cx) {
                    Room::Some => {}
                    Room::Wait => return Next::Wait,
                    Room::None => return Next::Cut,
                },
            }
        }
    }

    /// What is held for text; `None` where none is to pass.
    fn audible(&self) -> Option<Credits> {
        (!self.mute).then(|| self.purse.amount())
    }

    /// Whether what was stopped may pass after all.
    fn room(&mut self, stopped: Covered, cx: &mut Context<'_>) -> Room {
        match stopped {
            Covered::Yes => Room::Some,
            Covered::With(needed) => {
                let step = self.step(self.course.tally().usage.output());
                self.purse.room(needed, step, cx)
            }
            Covered::Never => Room::None,
        }
    }

    /// From now on the last usage says what it has cost, at the prices of this configuration.
    pub(in crate::proxy) fn tell_cost(&mut self, live: &Arc<Live>) {
        self.tells_cost = Some(Arc::clone(live));
    }

    /// What passes, with what it has cost where that is known. Under a hold that has yet to grow for it, it is not.
    fn with_cost(&mut self, data: Bytes) -> Bytes {
        let Some(live) = &self.tells_cost else {
            return data;
        };
        let tally = self.course.tally();
        if tally.exact().is_none() {
            return data;
        }
        let answers = self.course.model();
        self.metered.answered_by(answers.as_deref(), &tally, &live.models);
        let due = self.metered.due(&tally, End::Whole, self.limit).amount;
        let (due, held) = (due.min(self.metered.fare.most()), self.purse.amount());
        if self.purse.grows() && due > held {
            return data;
        }
        self.course.with_cost(&data, due.min(held)).unwrap_or(data)
    }

    /// Ends it where it is, for an SDK to understand; `None` where it can only be broken off.
    pub(in crate::proxy) fn cut(&mut self, exchange: &Exchange) -> Option<Bytes> {
        self.cut = true;
        let due = self.metered.so_far(&self.course.tally(), self.limit);
        let held = self.purse.amount();
        let charged = due.amount.min(held);
        // With what the hold gives back.
        let available = self
            .purse
            .available()
            .saturating_add(held.saturating_sub(charged));
        let code = self.purse.refused().map(of_denial);
        let mut reason = json!({
            "code": code.map_or("output_limit", Code::as_str),
            "charged": charged.to_string(),
            "available": available.to_string(),
        });
        // Where something else is the reason, buying does not help.
        let short = code == Some(Code::InsufficientCredits);
        if let Some(url) = exchange.live.top_up_url.as_deref().filter(|_| short) {
            reason["top_up_url"] = url.into();
        }
        let now = exchange.worker.clock.now();
        self.course.cut(&Cut {
            reason: &reason.to_string(),
            usage: due.usage,
            id: &exchange.request.to_string(),
            model: &self.metered.name,
            created: u64::try_from(now.micros() / 1_000_000).unwrap_or(0),
        })
    }

    /// The upstream has come to its end: what is still to be passed on, or `None` where the credits do not cover it. First, what is known only now is held too, as
    /// far as there is.
    pub(in crate::proxy) fn finish(&mut self, reset: bool, cx: &mut Context<'_>) -> Poll<Option<Ended>> {
        while self.rest.is_none() {
            let mut stopped = Covered::Yes;
            let (metered, held, limit) = (&self.metered, self.audible(), self.limit);
            let may_end = self.course.may_end(|tally| {
                stopped = metered.covers(tally, limit, held);
                matches!(stopped, Covered::Yes)
            });
            if may_end {
                let mut ended = self.course.end();
                ended.complete |= match self.ends {
                    Ends::ByItsWords => false,
                    Ends::UnlessReset => !reset,
                    Ends::Anyhow => true,
                };
                self.rest = Some(ended);
                break;
            }
            match self.room(stopped, cx) {
                Room::Some => {}
                Room::Wait => return Poll::Pending,
                Room::None => return Poll::Ready(None),
            }
        }
        if self.counts(End::Whole) {
            std::task::ready!(self.poll_counted(cx));
        }
        let due = self
            .metered
            .due(&self.course.tally(), End::Whole, self.limit)
            .amount;
        let due = due.min(self.metered.fare.most());
        std::task::ready!(self.purse.collect(due, cx));
        Poll::Ready(self.rest.take())
    }

    /// Whether all that the upstream has said has passed, so that its end is the answer's.
    pub(in crate::proxy) fn is_drained(&mut self) -> bool {
        loop {
            match self.course.next(|_| false) {
                Step::Pass(_) => {}
                Step::Starved => return true,
                Step::Stopped => return false,
            }
        }
    }

    /// Its text is there, and the upstream has not told yet what it used: a client that has all it wants leaves here.
    pub(in crate::proxy) fn owes_usage(&self) -> bool {
        !self.cut && self.course.owes_usage()
    }

    /// From now on no text passes: nobody is there who could be charged for it.
    pub(in crate::proxy) fn mute(&mut self) {
        self.mute = true;
    }

    /// Whether that is so.
    pub(in crate::proxy) fn is_mute(&self) -> bool {
        self.mute
    }

    /// Nobody is there any more to whom the rest could be passed on.
    pub(in crate::proxy) fn end(&mut self) {
        self.course.end();
    }

    /// What a hold grows by: for as much output as there was already.
    fn step(&self, output: u64) -> Credits {
        let tokens = self
            .metered
            .slice
            .saturating_mul(self.metered.fare.bound().answers);
        self.metered.fare.output(tokens.max(output))
    }

    /// Whether a tokenizer has to count first what an answer has used that ended so. What was cut off here is charged as it was reckoned with.
    pub(in crate::proxy) fn counts(&mut self, end: End) -> bool {
        if self.counting.is_none() && !self.cut && end != End::CutOff {
            self.course.close();
            let counted = self.course.tally().counted;
            let tokenizer = self.metered.tokenizer.as_ref();
            // An event for each byte leaves nothing to be counted.
            let tokenizer = tokenizer.filter(|_| counted.bytes > counted.events);
            if let Some((tokenizer, kept)) = tokenizer.map(Arc::clone).zip(self.course.take_words()) {
                self.counting = Some(Box::pin(words::counted(|| Some(kept), tokenizer)));
            }
        }
        self.counting.is_some()
    }

    /// Ready when it has.
    pub(in crate::proxy) fn poll_counted(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(counting) = &mut self.counting {
            self.metered.tokens = std::task::ready!(counting.as_mut().poll(cx));
            self.counting = None;
        }
        Poll::Ready(())
    }

    /// Whoever drops it before it is settled charges for it as far as it is known now.
    pub(in crate::proxy) fn settles_on_drop(&mut self, end: End, exchange: &mut Exchange, route: &Route) {
        let held = self.purse.amount();
        let known = self.over(end).known(held, exchange, route);
        exchange.charge = known.charge;
        self.purse.on_drop(known.ending);
    }

    /// Charges for it.
    pub(in crate::proxy) fn settle(&mut self, end: End, exchange: &mut Exchange, route: &Route) {
        let Some(held) = self.purse.take() else { return };
        let end = if self.cut { End::CutOff } else { end };
        self.over(end).charge(held, exchange, route);
    }

    fn over(&mut self, end: End) -> Over<'_> {
        Over {
            metered: &mut self.metered,
            course: &mut self.course,
            end,
            limit: self.limit,
        }
    }
}

impl Metered {
    /// Whether what is held, if anything is to be covered, covers all this. What an upstream writes beyond the limit that it was told is not passed on, whatever is held.
    fn covers(&self, tally: &Tally, limit: u64, held: Option<Credits>) -> Covered {
        let Some(held) = held else {
            return Covered::Never;
        };
        let told = limit.saturating_mul(self.fare.bound().answers);
        let events = told.saturating_mul(EVENTS_PER_TOKEN).saturating_add(EVENTS_FREE);
        if tally.usage.output() > told || tally.delivered.events > events {
            return Covered::Never;
        }
        let needed = match self.hold {
            HoldMode::Full => return Covered::Yes,
            HoldMode::Growing => self.so_far(tally, limit).amount.min(self.fare.most()),
        };
        if needed <= held {
            Covered::Yes
        } else {
            Covered::With(needed)
        }
    }
}

/// An answer that is over.
pub(in crate::proxy) struct Over<'a> {
    pub(in crate::proxy) metered: &'a mut Metered,
    pub(in crate::proxy) course: &'a mut Course,
    pub(in crate::proxy) end: End,
    /// Tokens that each answer could have.
    pub(in crate::proxy) limit: u64,
}

/// What is known of an answer that is over.
struct Known {
    due: Credits,
    charged: Credits,
    charge: Charge,
    ending: Ending,
}

impl Over<'_> {
    /// Charges for it: what is due, up to what is held.
    pub(in crate::proxy) fn charge(mut self, held: Held, exchange: &mut Exchange, route: &Route) {
        let known = self.known(held.amount(), exchange, route);
        let (due, charged, invalid) = (known.due, known.charged, self.course.tally().invalid);
        if due > charged || invalid > 0 {
            let meters = &exchange.worker.meters;
            meters.reports_corrected.one();
            meters.unpaid(due, charged);
            tracing::warn!(route = %route.id, request = %exchange.request, %due, %charged, invalid, "what the upstream reports was corrected");
        }
        exchange.charge = known.charge;
        held.settle(known.ending);
    }

    fn known(&mut self, held: Credits, exchange: &Exchange, route: &Route) -> Known {
        self.course.close();
        let tally = self.course.tally();
        let answers = self.course.model();
        self.metered
            .answered_by(answers.as_deref(), &tally, &exchange.live.models);
        let due = match self.course.is_dark() {
            true => self.metered.unknown(held, self.end),
            false => self.metered.due(&tally, self.end, self.limit),
        };
        let charged = due.amount.min(held).min(self.metered.fare.most());
        let detail = self.metered.detail(&route.id, &due);
        let released = charged.is_zero() && self.end != End::Whole;
        let (charge, ending) = match released {
            true => (Charge::Released, Ending::Release(detail)),
            false => (Charge::Charged(charged), Ending::Capture(charged, detail)),
        };
        Known {
            due: due.amount,
            charged,
            charge,
            ending,
        }
    }
}
