//! What a metered request uses, in tokens, and what they cost.

use super::credits::Credits;

/// Rates are per this many tokens.
pub const RATED: u64 = 1_000_000;

/// More tokens than any one request has; what says more is a mistake.
pub const TOKENS_MAX: u64 = 1 << 40;

/// The kinds of tokens that have a rate of their own. Each token of a request is of exactly one kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// Read, from nowhere cheaper and to nowhere dearer.
    Input,
    /// Read from the upstream's cache.
    CachedInput,
    /// Read, and written to the upstream's cache.
    CacheWrite,
    /// The same, to be kept there for longer (Anthropic: an hour).
    CacheWriteLong,
    /// Sound that was read.
    AudioInput,
    /// Written.
    Output,
    /// Written for itself only.
    Reasoning,
    /// Sound that was written.
    AudioOutput,
}

const CLASSES: usize = 8;

impl Class {
    /// All of them, in the order of their numbers.
    pub const ALL: [Class; CLASSES] = [
        Class::Input,
        Class::CachedInput,
        Class::CacheWrite,
        Class::CacheWriteLong,
        Class::AudioInput,
        Class::Output,
        Class::Reasoning,
        Class::AudioOutput,
    ];

    /// Its name in the configuration, the journal and answers.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Input => "input",
            Class::CachedInput => "cached_input",
            Class::CacheWrite => "cache_write",
            Class::CacheWriteLong => "cache_write_long",
            Class::AudioInput => "audio_input",
            Class::Output => "output",
            Class::Reasoning => "reasoning",
            Class::AudioOutput => "audio_output",
        }
    }

    /// Whether such tokens are written by the model, and not read.
    pub const fn is_output(self) -> bool {
        matches!(self, Class::Output | Class::Reasoning | Class::AudioOutput)
    }
}

/// How many tokens of each kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Usage([u64; CLASSES]);

impl Usage {
    /// So many plain tokens read and written.
    pub const fn of(input: u64, output: u64) -> Usage {
        let mut usage = Usage([0; CLASSES]);
        usage.0[Class::Input as usize] = input;
        usage.0[Class::Output as usize] = output;
        usage
    }

    /// The same, with so many of one kind.
    #[must_use]
    pub const fn with(mut self, class: Class, tokens: u64) -> Usage {
        self.0[class as usize] = tokens;
        self
    }

    /// The same, with so many of one kind more.
    #[must_use]
    pub const fn and(self, class: Class, tokens: u64) -> Usage {
        let sum = self.get(class).saturating_add(tokens);
        self.with(class, sum)
    }

    /// Of one kind.
    pub const fn get(&self, class: Class) -> u64 {
        self.0[class as usize]
    }

    /// All that was read.
    pub fn input(&self) -> u64 {
        self.sum(|class| !class.is_output())
    }

    /// All that was written.
    pub fn output(&self) -> u64 {
        self.sum(Class::is_output)
    }

    fn sum(&self, of: impl Fn(Class) -> bool) -> u64 {
        let counted = Class::ALL.into_iter().filter(|class| of(*class));
        counted.fold(0, |sum, class| sum.saturating_add(self.get(class)))
    }
}

/// What tokens cost, in micro-credits per [`RATED`] of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rates([Credits; CLASSES]);

impl Rates {
    /// Rates by kind; none below zero. What has none of its own costs as much as its plainer kind: sound and whatever has to do with a cache as input,
    /// a long stay in a cache as a short one, reasoning and sound as output.
    pub fn new(input: Credits, output: Credits, own: impl Fn(Class) -> Option<Credits>) -> Rates {
        let or = |class, plain: Credits| own(class).unwrap_or(plain).at_least_zero();
        let write = or(Class::CacheWrite, input);
        Rates(Class::ALL.map(|class| match class {
            Class::Input => input.at_least_zero(),
            Class::Output => output.at_least_zero(),
            Class::CacheWrite => write,
            Class::CacheWriteLong => or(class, write),
            Class::CachedInput | Class::AudioInput => or(class, input),
            Class::Reasoning | Class::AudioOutput => or(class, output),
        }))
    }

    /// The higher rate of both for each kind.
    #[must_use]
    pub fn or_dearer(&self, other: &Rates) -> Rates {
        Rates(Class::ALL.map(|class| self.get(class).max(other.get(class))))
    }

    /// Of one kind, in credits per [`RATED`] tokens.
    pub const fn get(&self, class: Class) -> Credits {
        self.0[class as usize]
    }

    /// The dearest of the kinds that are read and not sound; `writes_cache` says whether some may be written to a cache.
    pub fn dearest_input(&self, writes_cache: bool) -> Class {
        let kinds: &[Class] = if writes_cache {
            &[
                Class::Input,
                Class::CachedInput,
                Class::CacheWrite,
                Class::CacheWriteLong,
            ]
        } else {
            &[Class::Input, Class::CachedInput]
        };
        let dearer = |one: Class, other: &Class| {
            if self.get(*other) > self.get(one) {
                *other
            } else {
                one
            }
        };
        kinds.iter().fold(Class::Input, dearer)
    }

    /// The highest of the kinds that are written.
    pub fn dearest_output(&self) -> Credits {
        let written = Class::ALL.into_iter().filter(|class| class.is_output());
        written.fold(Credits::ZERO, |dearest, class| dearest.max(self.get(class)))
    }

    /// What these tokens cost: exact, rounded up once to a whole micro-credit (P17). `None` beyond [`Credits::MAX`] (P18).
    pub fn charge(&self, usage: &Usage) -> Option<Credits> {
        let parts = Class::ALL.map(|class| product(usage.get(class), self.get(class)));
        // Eight products of 64 and 53 bits fit.
        rounded_up(parts.into_iter().sum())
    }
}

/// What so many tokens of one rate cost, rounded up. `None` beyond [`Credits::MAX`].
pub fn cost(tokens: u64, rate: Credits) -> Option<Credits> {
    rounded_up(product(tokens, rate))
}

/// How many tokens of one rate these credits pay for; `None` for any number, since they cost nothing.
pub fn affordable(credits: Credits, rate: Credits) -> Option<u64> {
    let rate = u128::try_from(rate.micros()).ok().filter(|rate| *rate > 0)?;
    let micros = u128::try_from(credits.micros()).unwrap_or(0);
    Some(u64::try_from(micros * u128::from(RATED) / rate).unwrap_or(u64::MAX))
}

fn product(tokens: u64, rate: Credits) -> u128 {
    u128::from(tokens) * u128::try_from(rate.micros()).unwrap_or(0)
}

fn rounded_up(millionths: u128) -> Option<Credits> {
    let micros = i64::try_from(millionths.div_ceil(u128::from(RATED))).ok()?;
    Credits::from_micros(micros).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn credits(text: &str) -> Credits {
        text.parse().unwrap()
    }

    fn rates() -> Rates {
        Rates::new(credits("0.15"), credits("0.60"), |class| match class {
            Class::CachedInput => Some(credits("0.075")),
            Class::Reasoning => Some(credits("0.9")),
            _ => None,
        })
    }

    #[test]
    fn each_kind_is_priced_apart_and_the_sum_is_rounded_up_once() {
        let usage = Usage::of(7, 3)
            .with(Class::CachedInput, 5)
            .with(Class::Reasoning, 2);
        // 7 x 0.15 + 5 x 0.075 + 3 x 0.60 + 2 x 0.9 = 5.025 millionths.
        assert_eq!(rates().charge(&usage), Some(credits("0.000006")));
        assert_eq!(rates().charge(&Usage::default()), Some(Credits::ZERO));
        assert_eq!((usage.input(), usage.output()), (12, 5));
    }

    #[test]
    fn what_has_no_rate_of_its_own_costs_as_its_plainer_kind() {
        let rates = Rates::new(credits("1"), credits("4"), |class| {
            (class == Class::CacheWrite).then(|| credits("1.25"))
        });
        for (class, rate) in [
            (Class::CachedInput, "1"),
            (Class::CacheWrite, "1.25"),
            (Class::CacheWriteLong, "1.25"),
            (Class::AudioInput, "1"),
            (Class::Reasoning, "4"),
            (Class::AudioOutput, "4"),
        ] {
            assert_eq!(rates.get(class), credits(rate), "{class:?}");
        }
        assert_eq!(rates.dearest_input(false), Class::Input);
        assert_eq!(rates.dearest_input(true), Class::CacheWrite);
        assert_eq!(rates.dearest_output(), credits("4"));
    }

    #[test]
    fn p18_tokens_times_price_is_exact_up_to_the_bound_and_nothing_beyond() {
        let dear = Rates::new(Credits::MAX, Credits::MAX, |_| None);
        assert_eq!(dear.charge(&Usage::of(RATED, 0)), Some(Credits::MAX));
        assert_eq!(dear.charge(&Usage::of(RATED, 1)), None);
        let all = Class::ALL
            .into_iter()
            .fold(Usage::default(), |usage, class| usage.with(class, u64::MAX));
        assert_eq!(dear.charge(&all), None);
        assert_eq!(affordable(Credits::MAX, Credits::MICRO), Some(u64::MAX));
        assert_eq!(affordable(Credits::MAX, Credits::ZERO), None);
    }

    proptest! {
        #[test]
        fn p17_a_charge_is_less_than_a_micro_credit_above_the_exact_cost(
            tokens in prop::array::uniform8(0_u64..1_000_000_000),
            rate in prop::array::uniform8(0_i64..1_000_000_000),
        ) {
            let rate = |class: Class| Credits::from_micros(rate[class as usize]).unwrap();
            let rates = Rates::new(rate(Class::Input), rate(Class::Output), |class| Some(rate(class)));
            let usage = Class::ALL.into_iter().fold(Usage::default(), |usage, class| usage.with(class, tokens[class as usize]));
            let exact: u128 = Class::ALL
                .into_iter()
                .map(|class| u128::from(usage.get(class)) * rates.get(class).micros() as u128)
                .sum();
            let charged = rates.charge(&usage).unwrap().micros() as u128 * u128::from(RATED);
            prop_assert!(exact <= charged && charged < exact + u128::from(RATED));
        }

        #[test]
        fn what_is_affordable_is_paid_for_and_one_more_is_not(micros in 0_i64..1 << 40, rate in 1_i64..1 << 40) {
            let (credits, rate) = (Credits::from_micros(micros).unwrap(), Credits::from_micros(rate).unwrap());
            let tokens = affordable(credits, rate).unwrap();
            prop_assert!(cost(tokens, rate).unwrap() <= credits);
            prop_assert!(cost(tokens + 1, rate).is_none_or(|more| more > credits));
        }
    }
}
