//! What a call is to cost: `docs/metering.md` once more, over what the witness knows.

use super::plan::{Api, Ending, Plan};
use super::price::{OUTPUT_MAX, Used};
use super::upstream::Known;
use super::words;

/// What a client saw.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) status: u16,
    pub(super) request: Option<String>,
    /// Events that came whole.
    pub(super) events: usize,
    /// It came to its end.
    pub(super) clean: bool,
}

/// A charge that the documentation allows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Due {
    pub(super) amount: u64,
    /// The upstream has said all of it, as far as the proxy can know.
    pub(super) reported: bool,
    /// And that is so.
    pub(super) exact: bool,
    /// What was truly used, and the part of it that shows; `None` where nothing is due whatever was used.
    pub(super) used: Option<(Used, Used)>,
    /// It is more than what was held.
    pub(super) capped: bool,
}

impl Due {
    const NOTHING: Due = Due {
        amount: 0,
        reported: false,
        exact: false,
        used: None,
        capped: false,
    };
}

/// What is due when so many events count.
fn due(plan: &Plan, known: &Known, events: usize, broken: bool, by_bytes: bool, cap: u64) -> Due {
    let (mut input, mut output) = (None, None);
    let (mut counted, mut delivered) = (0, 0);
    let (mut pieces, mut with_text) = (Vec::new(), 0);
    let facts = &known.facts[..events];
    for fact in facts {
        counted += fact.text;
        pieces.extend_from_slice(&fact.pieces);
        with_text += u64::from(fact.text > 0);
        delivered += fact.text;
        let Some(report) = fact.report else { continue };
        input = report.input.or(input);
        if let Some(written) = report.output
            && (written.written() > 0 || delivered == 0)
        {
            output = Some(written);
            counted = 0;
            pieces.clear();
            with_text = 0;
        }
    }
    if plan.model.tokenizer && !by_bytes {
        counted = words::estimated(&pieces, with_text);
    }
    if broken && input.is_none() && output.is_none() && delivered == 0 {
        return Due::NOTHING;
    }
    let reported = input.is_some() && output.is_some() && counted == 0;
    let mut told = input.unwrap_or_default();
    let written = output.unwrap_or_default();
    (told.output, told.reasoning) = (written.output, written.reasoning);
    let room = (known.told * plan.answers).saturating_sub(written.written());
    let bound = plan.input_bound();
    let counted = counted.min(room);
    let amount = match input {
        Some(input) => plan.model.counted(input.read(), &told, counted),
        None => plan.model.guessed(bound, plan.writes_cache, &told, counted),
    };
    let (used, shown) = facts
        .last()
        .map_or((known.read, known.read), |fact| (fact.used, fact.shown));
    Due {
        amount: amount.min(cap),
        reported,
        // What came after the report and left no text is not in it.
        exact: reported && told == used,
        used: Some((used, shown)),
        capped: amount > cap,
    }
}

/// The most that is charged for a call, whatever is reported.
pub(super) fn cap(plan: &Plan, funds: u64) -> u64 {
    funds.min(most(plan))
}

/// What a call can cost at most.
pub(super) fn most(plan: &Plan) -> u64 {
    let unsaid = match (plan.api, plan.route.kind) {
        (Api::Completions, kind) if kind != "plain" => 16,
        _ => OUTPUT_MAX,
    };
    at(plan, plan.limit.unwrap_or(unsaid))
}

/// What an answer of so many tokens can cost at most.
pub(super) fn at(plan: &Plan, output: u64) -> u64 {
    let bound = plan.input_bound();
    plan.model.dearest_input(bound, plan.writes_cache)
        + plan.model.dearest_output(bound, output * plan.answers)
}

/// All that may be charged for a call: one amount, unless nobody but the proxy knows how much has passed.
pub(super) fn dues(plan: &Plan, known: &Known, seen: &Seen, funds: u64) -> Vec<Due> {
    let cap = cap(plan, funds);
    let all = known.facts.len();
    // What is cut off here is charged as it was reckoned with, by bytes.
    let cut = matches!(plan.ending, Ending::Excess | Ending::Poor(_)) && plan.stream;
    let by = [false, cut];
    let some = |from: usize, to: usize, broken: bool| -> Vec<Due> {
        (from.min(to)..=to.min(all))
            .flat_map(|events| by.map(|by_bytes| due(plan, known, events, broken, by_bytes, cap)))
            .collect()
    };
    match plan.ending {
        Ending::Refused(_) => vec![Due::NOTHING],
        Ending::GoneBefore if !plan.route.finish => some(0, 0, false),
        Ending::Broken(..) | Ending::Failed(_) if !plan.stream => vec![Due::NOTHING],
        Ending::Broken(..) => some(seen.events, known.written, true),
        Ending::Failed(_) => some(all, all, true),
        Ending::GoneAt(..) if !plan.route.finish => some(seen.events, known.written, false),
        // A hold that has grown with the text may be less than what is reported at last.
        Ending::Excess if plan.stream && plan.route.growing => {
            some(seen.events.saturating_sub(4), known.written, false)
        }
        Ending::Excess | Ending::Poor(_) if plan.stream => some(seen.events, known.written, false),
        _ => some(all, all, false),
    }
}
