//! What is due for an answer: by its reports where there are some, else estimated, and then high.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::credits::Credits;
use crate::domain::entry::Detail;
use crate::domain::model::{Model, Models};
use crate::domain::usage::{Class, Rates, Usage};
use crate::ledger::detail::Note;
use crate::meter::answer::Tally;
use crate::service::tariff;

use super::request::Metered;

/// How an answer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::proxy) enum End {
    /// The upstream came to its end.
    Whole,
    /// The upstream broke off, stood still, or said in its answer that it failed.
    Broken,
    /// The client left.
    ClientGone,
    /// The gate was stopped, and its grace was over.
    Stopped,
    /// Nothing more could pass: the credits had run out, or there was more than the upstream was told.
    CutOff,
}

impl End {
    /// Its name in the journal.
    fn cause(self) -> &'static str {
        match self {
            End::Whole => "request",
            End::Broken => "upstream_cut",
            End::ClientGone => "client_gone",
            End::Stopped => "gate_stopped",
            End::CutOff => "cut_off",
        }
    }
}

/// What an answer costs, and why.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::proxy) struct Due {
    /// What it costs; perhaps more than is held.
    pub(in crate::proxy) amount: Credits,
    pub(super) usage: Usage,
    /// By which it was charged.
    rates: Rates,
    /// Some of it was not reported.
    pub(super) estimated: bool,
    end: End,
}

impl Metered {
    /// What is due for an answer that ended so, `limit` being the tokens that each answer could have at most.
    pub(in crate::proxy) fn due(&self, tally: &Tally, end: End, limit: u64) -> Due {
        let mut tally = *tally;
        // Under a hold that has run out, bytes were reckoned with, and the client was told so.
        if let Some(tokens) = self.tokens.filter(|_| end != End::CutOff) {
            tally.counted.bytes = tokens.min(tally.counted.bytes);
        }
        let end = if end == End::Whole && tally.failed {
            End::Broken
        } else {
            end
        };
        let nothing = !tally.input_reported && !tally.output_reported && tally.delivered.is_empty();
        if nothing && end == End::Broken {
            return Due {
                amount: Credits::ZERO,
                usage: Usage::default(),
                rates: self.charged_as().rates,
                estimated: false,
                end,
            };
        }
        Due {
            end,
            ..self.so_far(&tally, limit)
        }
    }

    /// What is due where nobody can tell what was used: all that is held.
    pub(super) fn unknown(&self, held: Credits, end: End) -> Due {
        let bound = self.fare.bound();
        Due {
            amount: held,
            usage: Usage::of(bound.input, 0),
            rates: self.charged_as().rates,
            estimated: true,
            end,
        }
    }

    /// What has been used so far.
    pub(super) fn so_far(&self, tally: &Tally, limit: u64) -> Due {
        let bound = self.fare.bound();
        // A token has at least one byte, but for a few that have none: those come alone.
        let counted = tally.counted.bytes.max(tally.counted.events);
        let room = limit
            .saturating_mul(bound.answers)
            .saturating_sub(tally.usage.output());
        let model = self.charged_as();
        let mut rates = *model.rates_at(tally.usage.input());
        let mut usage = tally.usage;
        if !tally.input_reported {
            // As it was quoted.
            rates = model.dearest_up_to(bound.input);
            let read = bound.read(&rates);
            usage = Class::ALL
                .into_iter()
                .filter(|class| !class.is_output())
                .fold(usage, |usage, class| usage.with(class, read.get(class)));
        }
        let usage = usage.and(counted_as(&rates), counted.min(room));
        Due {
            amount: rates.charge(&usage).unwrap_or(Credits::MAX),
            usage,
            rates,
            estimated: tally.exact().is_none(),
            end: End::Whole,
        }
    }

    /// By whose rates it is charged.
    fn charged_as(&self) -> &Arc<Model> {
        self.dearer.as_ref().unwrap_or(&self.model)
    }

    /// An upstream that answers by another model, which is priced and dearer, is paid for that one (P10). Which of the two is dearer may change with what is used:
    /// the last time that this is asked counts.
    pub(super) fn answered_by(&mut self, name: Option<&str>, tally: &Tally, models: &Models) {
        let told = self.model.upstream_name.as_deref().unwrap_or(&self.name);
        let other = name
            .filter(|name| *name != told && **name != *self.name)
            .and_then(|name| models.called(name));
        let dearer = other.filter(|other| other.charge(&tally.usage) > self.model.charge(&tally.usage));
        if let Some(other) = dearer.filter(|_| self.dearer.is_none()) {
            tracing::warn!(asked = %self.name, answered = %other.name, "the upstream answered by a dearer model, which is charged up to the hold");
        }
        self.dearer = dearer.cloned();
    }

    /// What the journal says of a charge on a route.
    pub(in crate::proxy) fn detail(&self, route: &str, due: &Due) -> Detail {
        let mut used: Map<String, Value> = Class::ALL
            .into_iter()
            .filter(|class| due.usage.get(*class) > 0)
            .map(|class| (class.as_str().to_owned(), due.usage.get(class).into()))
            .collect();
        if due.estimated {
            used.insert("estimated".to_owned(), true.into());
        }
        Note::by("proxy", due.end.cause())
            .route(route)
            .model(&self.name)
            .usage(Value::Object(used))
            .price(tariff::told_of(&due.rates, |class| due.usage.get(class) > 0))
            .detail()
    }
}

/// What text counts as of which nobody said what it was: the dearer of what is thought and what is answered.
fn counted_as(rates: &Rates) -> Class {
    if rates.get(Class::Reasoning) > rates.get(Class::Output) {
        Class::Reasoning
    } else {
        Class::Output
    }
}
