//! Models as they are priced, and what a request to one may cost.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use super::credits::Credits;
use super::price::{Quote, TooDear};
use super::usage::{Class, Rates, Usage, affordable, cost};

/// A model's price, and what has to be known of it to say beforehand what a request may cost.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Model {
    /// As it is configured: a name, or a pattern of names.
    pub name: Arc<str>,
    /// What the upstream is told instead of the name that was asked for.
    pub upstream_name: Option<Arc<str>>,
    /// What tokens cost.
    pub rates: Rates,
    /// What they cost in a request that reads more than so many.
    pub long: Option<(u64, Rates)>,
    /// The tokenizer that its requests are counted by; none for bytes.
    pub tokenizer: Option<Arc<str>>,
    /// The most tokens of one answer: the limit of a request that sets none. Zero for models that write nothing.
    pub output_max: u64,
    /// What each part of a request counts that is not counted by its text.
    pub declared: Declared,
}

impl Model {
    /// What tokens cost in a request that reads so many.
    pub fn rates_at(&self, input: u64) -> &Rates {
        match &self.long {
            Some((above, rates)) if input > *above => rates,
            _ => &self.rates,
        }
    }

    /// The dearest that tokens may be in a request that reads at most so many.
    pub fn dearest_up_to(&self, input: u64) -> Rates {
        self.rates.or_dearer(self.rates_at(input))
    }

    /// What these tokens cost. `None` beyond what can be charged.
    pub fn charge(&self, usage: &Usage) -> Option<Credits> {
        self.rates_at(usage.input()).charge(usage)
    }
}

/// Tokens that parts of a request are bounded by; none where such parts are not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Declared {
    /// Of an image, at most.
    pub image: Option<u64>,
    /// Of a piece of sound, at most.
    pub audio: Option<u64>,
    /// Of a document (a PDF, a file), at most.
    pub document: Option<u64>,
    /// That the server's template adds to a request, at most.
    pub request: u64,
    /// That it adds for each tool that is described.
    pub tool: u64,
}

/// Models by name.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Models {
    exact: HashMap<Arc<str>, Arc<Model>>,
    /// The most specific first.
    patterns: Vec<(NamePattern, Arc<Model>)>,
}

/// Names with one `*` in them, which stands for any text.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct NamePattern {
    before: Arc<str>,
    /// What follows the star; `None` where there is none, so that it is a name.
    after: Option<Arc<str>>,
}

/// A text has more than one star.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("at most one `*` may stand in a model's name")]
pub struct TwoStars;

impl NamePattern {
    /// Reads a name or a pattern.
    ///
    /// # Errors
    /// There are two stars.
    pub fn new(text: &str) -> Result<NamePattern, TwoStars> {
        let (before, after) = match text.split_once('*') {
            None => (text, None),
            Some((_, after)) if after.contains('*') => return Err(TwoStars),
            Some((before, after)) => (before, Some(after.into())),
        };
        Ok(NamePattern {
            before: before.into(),
            after,
        })
    }

    /// The one name that it is, if it is one.
    pub fn name(&self) -> Option<&str> {
        self.after.is_none().then_some(&*self.before)
    }

    /// Whether a name is one of these.
    pub fn matches(&self, name: &str) -> bool {
        match &self.after {
            None => *self.before == *name,
            Some(after) => {
                let long = name.len() >= self.before.len() + after.len();
                long && name.starts_with(&*self.before) && name.ends_with(&**after)
            }
        }
    }

    /// Whether a name may be one of both.
    pub fn meets(&self, other: &NamePattern) -> bool {
        let (Some(after), Some(others)) = (&self.after, &other.after) else {
            let (name, pattern) = if self.after.is_none() {
                (self, other)
            } else {
                (other, self)
            };
            return pattern.matches(&name.before);
        };
        let (ends, begins) = (&**after, &*self.before);
        let (other_ends, other_begins) = (&**others, &*other.before);
        (begins.starts_with(other_begins) || other_begins.starts_with(begins))
            && (ends.ends_with(other_ends) || other_ends.ends_with(ends))
    }

    /// The more it says of a name, the more specific it is. Of two that say as much and match the same name, one says more of its beginning, or they are the same.
    fn weight(&self) -> (usize, usize) {
        let after = self.after.as_ref().map_or(0, |after| after.len());
        (self.before.len() + after, self.before.len())
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.before)?;
        match &self.after {
            Some(after) => write!(f, "*{after}"),
            None => Ok(()),
        }
    }
}

impl Models {
    /// These models, by their names and patterns.
    pub fn new(models: impl IntoIterator<Item = (NamePattern, Arc<Model>)>) -> Models {
        let mut all = Models::default();
        for (pattern, model) in models {
            if pattern.after.is_none() {
                all.exact.insert(pattern.before, model);
            } else {
                all.patterns.push((pattern, model));
            }
        }
        all.patterns
            .sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.weight()));
        all
    }

    /// The model that is called so, not by a pattern.
    pub fn called(&self, name: &str) -> Option<&Arc<Model>> {
        self.exact.get(name)
    }

    /// The model of this name: the one that is called so, else that of the most specific pattern.
    pub fn find(&self, name: &str) -> Option<&Arc<Model>> {
        self.exact.get(name).or_else(|| {
            let matching = self.patterns.iter().find(|(pattern, _)| pattern.matches(name));
            matching.map(|(_, model)| model)
        })
    }
}

/// How many tokens a request may use, at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Bound {
    /// To be read, once for all answers.
    pub input: u64,
    /// Of which sound, by what the model declares.
    pub audio: u64,
    /// Some of what is read may be written to the upstream's cache.
    pub writes_cache: bool,
    /// To be written in each answer, as far as the request or the model limits it.
    pub output: u64,
    /// Answers.
    pub answers: u64,
}

impl Bound {
    /// All that is read, each token as the dearest kind that it may be at these rates.
    pub fn read(&self, rates: &Rates) -> Usage {
        let plain = rates.dearest_input(self.writes_cache);
        let sound = if rates.get(Class::AudioInput) > rates.get(plain) {
            Class::AudioInput
        } else {
            plain
        };
        let audio = self.audio.min(self.input);
        Usage::default().with(sound, audio).and(plain, self.input - audio)
    }
}

/// What a metered request costs beforehand: its input, and each token of its output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fare {
    /// For all that is read, at most.
    pub input: Credits,
    /// For a million tokens written.
    rate: Credits,
    bound: Bound,
}

impl Fare {
    /// The fare of a request to a model.
    ///
    /// # Errors
    /// It is beyond what an account could hold.
    pub fn new(rates: &Rates, bound: Bound) -> Result<Fare, TooDear> {
        let dear = TooDear { units: bound.input };
        let input = rates.charge(&bound.read(rates)).ok_or(dear)?;
        let fare = Fare {
            input,
            rate: rates.dearest_output(),
            bound,
        };
        fare.up_to(bound.output)
            .map(|_| fare)
            .ok_or(TooDear { units: bound.output })
    }

    /// The quote for a request that is of use with `least` tokens in each answer, and shall have `most` held. Both are no more than the request's own limit.
    pub fn quote(&self, least: u64, most: u64) -> Quote {
        // What is less than the limit costs less than what was found to be possible.
        let at = |output: u64| self.up_to(output.min(self.bound.output)).unwrap_or(Credits::MAX);
        let written = self.bound.output.saturating_mul(self.bound.answers);
        Quote {
            least: at(least),
            most: at(most.max(least)),
            tokens: self.bound.input.saturating_add(written),
        }
    }

    /// The most tokens in each answer that these credits pay for beside the input, no more than the request's own limit.
    pub fn affords(&self, credits: Credits) -> u64 {
        let left = credits.saturating_sub(self.input);
        let tokens = affordable(left, self.rate).unwrap_or(u64::MAX);
        (tokens / self.bound.answers.max(1)).min(self.bound.output)
    }

    /// What it may cost at most.
    pub fn most(&self) -> Credits {
        self.up_to(self.bound.output).unwrap_or(Credits::MAX)
    }

    /// What so many tokens cost that are written, over all answers.
    pub fn output(&self, tokens: u64) -> Credits {
        cost(tokens, self.rate).unwrap_or(Credits::MAX)
    }

    /// What it was made of.
    pub fn bound(&self) -> Bound {
        self.bound
    }

    fn up_to(&self, output: u64) -> Option<Credits> {
        let written = output.checked_mul(self.bound.answers)?;
        self.input.checked_add(cost(written, self.rate)?)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn model(name: &str) -> (NamePattern, Arc<Model>) {
        let model = Model {
            name: name.into(),
            upstream_name: None,
            rates: Rates::new(Credits::MICRO, Credits::MICRO, |_| None),
            long: None,
            tokenizer: None,
            output_max: 1,
            declared: Declared::default(),
        };
        (NamePattern::new(name).unwrap(), Arc::new(model))
    }

    #[test]
    fn the_most_specific_name_wins_whatever_the_order() {
        let names = [
            "*",
            "gpt-*",
            "gpt-4o*",
            "*-mini",
            "gpt-4o-mini",
            "gpt-4o*-mini",
            "ft:*",
        ];
        for models in [
            Models::new(names.iter().map(|name| model(name))),
            Models::new(names.iter().rev().map(|name| model(name))),
        ] {
            for (name, found) in [
                ("gpt-4o-mini", "gpt-4o-mini"),
                ("gpt-4o-2024", "gpt-4o*"),
                ("gpt-4o-x-mini", "gpt-4o*-mini"),
                // Five letters against four.
                ("gpt-x-mini", "*-mini"),
                ("gpt-x", "gpt-*"),
                ("o1-mini", "*-mini"),
                ("ft:gpt-4o-mini:me", "ft:*"),
                ("", "*"),
                ("GPT-4o", "*"),
            ] {
                assert_eq!(&*models.find(name).unwrap().name, found, "{name}");
            }
        }
        assert!(Models::new([model("gpt-4o*")]).find("gpt-4").is_none());
        assert!(!NamePattern::new("ab*ba").unwrap().matches("aba"));
        assert_eq!(NamePattern::new("a*b*"), Err(TwoStars));
    }

    #[test]
    fn two_patterns_meet_where_a_name_is_one_of_both() {
        for (one, other, meet) in [
            ("gpt-4o", "gpt-4o", true),
            ("gpt-4o", "gpt-*", true),
            ("gpt-4o", "o1*", false),
            ("gpt-*", "gpt-4o*", true),
            ("gpt-*", "*-mini", true),
            ("gpt-*", "o1-*", false),
            ("*-mini", "*-nano", false),
            ("a*c", "ab*bc", true),
        ] {
            let (one, other) = (NamePattern::new(one).unwrap(), NamePattern::new(other).unwrap());
            assert_eq!(
                (one.meets(&other), other.meets(&one)),
                (meet, meet),
                "{one} {other}"
            );
        }
    }

    fn fare(input: u64, output: u64, answers: u64) -> Fare {
        let rates = Rates::new("2".parse().unwrap(), "8".parse().unwrap(), |_| None);
        let bound = Bound {
            input,
            audio: 0,
            writes_cache: false,
            output,
            answers,
        };
        Fare::new(&rates, bound).unwrap()
    }

    #[test]
    fn a_quote_is_the_input_and_the_output_of_all_answers() {
        let quote = fare(100, 50, 3).quote(10, 50);
        assert_eq!(quote.least.micros(), 200 + 3 * 80);
        assert_eq!(quote.most.micros(), 200 + 3 * 400);
        assert_eq!(quote.tokens, 250);
        // The request wants less than the floor.
        assert_eq!(fare(100, 5, 1).quote(10, 50).least.micros(), 240);
    }

    #[test]
    fn p9_a_long_request_costs_what_long_ones_do_from_the_first_token() {
        let rates = |input: &str| Rates::new(input.parse().unwrap(), "8".parse().unwrap(), |_| None);
        let long = Model {
            rates: rates("2"),
            long: Some((1_000, rates("4"))),
            ..(*model("long").1).clone()
        };
        assert_eq!(long.charge(&Usage::of(1_000, 1)).unwrap().micros(), 2_008);
        assert_eq!(long.charge(&Usage::of(1_001, 1)).unwrap().micros(), 4_012);
    }

    #[test]
    fn what_no_account_could_hold_has_no_fare() {
        let rates = Rates::new(Credits::MAX, Credits::MICRO, |_| None);
        let bound = |input, output, answers| Bound {
            input,
            audio: 0,
            writes_cache: false,
            output,
            answers,
        };
        assert!(Fare::new(&rates, bound(1_000_001, 1, 1)).is_err());
        assert!(Fare::new(&rates, bound(0, u64::MAX, 2)).is_err());
        assert!(Fare::new(&rates, bound(0, 1_000, 1)).is_ok());
    }

    proptest! {
        /// The heart of promise 1 for tokens: whatever is held, an answer of no more tokens than that affords costs no more.
        #[test]
        fn what_a_hold_affords_is_never_dearer_than_the_hold(
            rates in (0_i64..5_000_000, 0_i64..50_000_000, 0_i64..50_000_000),
            input in 0_u64..1_000_000, used in 0_u64..1_000_000, output in 1_u64..100_000, answers in 1_u64..10, held in 0_i64..100_000_000,
        ) {
            let micros = |micros| Credits::from_micros(micros).unwrap();
            let rates_of = Rates::new(micros(rates.0), micros(rates.1), |class| {
                (class == crate::domain::usage::Class::Reasoning).then(|| micros(rates.2))
            });
            let bound = Bound { input, audio: 0, writes_cache: false, output, answers };
            let fare = Fare::new(&rates_of, bound).unwrap();
            let held = micros(held);
            prop_assume!(held >= fare.input);
            let told = fare.affords(held);
            prop_assert!(told <= output);
            let written = told * answers;
            for usage in [
                Usage::of(used.min(input), written),
                Usage::of(used.min(input), 0).with(crate::domain::usage::Class::Reasoning, written),
            ] {
                prop_assert!(rates_of.charge(&usage).unwrap() <= held);
            }
            // And it is close: all that was quoted is afforded.
            let quote = fare.quote(output, output);
            prop_assert_eq!(fare.affords(quote.most), output);
        }
    }
}
