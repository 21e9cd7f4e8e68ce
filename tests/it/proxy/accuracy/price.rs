//! What `docs/metering.md` says that tokens cost, written down once more and on its own.

/// Tokens of a call, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Used {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

impl Used {
    pub(super) fn read(&self) -> u64 {
        self.input + self.cached + self.cache_write
    }

    pub(super) fn written(&self) -> u64 {
        self.output + self.reasoning
    }
}

/// Micro-credits for a million tokens.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rates {
    pub(super) input: u64,
    pub(super) cached: u64,
    pub(super) cache_write: u64,
    pub(super) output: u64,
    pub(super) reasoning: u64,
}

/// A model as the configuration has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Model {
    /// Names that calls use.
    pub(super) names: &'static [&'static str],
    pub(super) rates: Rates,
    /// Rates of calls that read more than so many tokens.
    pub(super) long: Option<(u64, Rates)>,
    /// Its tokenizer is known to the proxy, and is the one by which the witness reads and writes.
    pub(super) tokenizer: bool,
}

/// The most tokens of an answer whose request says no limit.
pub(super) const OUTPUT_MAX: u64 = 60;
/// The most tokens that the upstream's template adds.
pub(super) const TEMPLATE_MAX: u64 = 8;

const fn plain(input: u64, output: u64) -> Rates {
    Rates {
        input,
        cached: input,
        cache_write: input,
        output,
        reasoning: output,
    }
}

pub(super) const MODELS: [Model; 5] = [
    Model {
        names: &["small", "mini"],
        rates: Rates {
            cached: 75_000,
            ..plain(150_000, 600_000)
        },
        long: None,
        tokenizer: false,
    },
    // Its reasoning is dearer than its answers.
    Model {
        names: &["thinker"],
        rates: Rates {
            cached: 550_000,
            reasoning: 6_600_000,
            ..plain(1_100_000, 4_400_000)
        },
        long: None,
        tokenizer: false,
    },
    Model {
        names: &["writer"],
        rates: Rates {
            cached: 300_000,
            cache_write: 3_750_000,
            ..plain(3_000_000, 15_000_000)
        },
        long: None,
        tokenizer: false,
    },
    Model {
        names: &["odd-7b", "odd-70b-it"],
        rates: Rates {
            cached: 100_001,
            ..plain(333_333, 7_777_777)
        },
        long: None,
        tokenizer: false,
    },
    Model {
        names: &["stepped"],
        rates: plain(1_000_000, 2_000_000),
        long: Some((150, plain(2_000_000, 5_000_000))),
        tokenizer: false,
    },
];

/// One whose tokenizer is known.
pub(super) const TOKENIZED: Model = Model {
    names: &["known"],
    rates: Rates {
        cached: 500_000,
        ..plain(1_000_000, 4_000_000)
    },
    long: None,
    tokenizer: true,
};

/// The same for the proxy.
pub(super) const MODELS_TOML: &str = r#"
[models."small"]
input = 0.15
cached_input = 0.075
output = 0.6
output_tokens_max = 60
aliases = ["mini"]
request_tokens = 8

[models."thinker"]
input = 1.1
cached_input = 0.55
output = 4.4
reasoning = 6.6
output_tokens_max = 60
request_tokens = 8

[models."writer"]
input = 3
cached_input = 0.3
cache_write = 3.75
output = 15
output_tokens_max = 60
request_tokens = 8

[models."odd-*"]
input = 0.333333
cached_input = 0.100001
output = 7.777777
output_tokens_max = 60
request_tokens = 8

[models."known"]
input = 1
cached_input = 0.5
output = 4
output_tokens_max = 60
request_tokens = 8
tokenizer = "o200k_base"

[models."stepped"]
input = 1
output = 2
output_tokens_max = 60
request_tokens = 8
long = { above = 150, input = 2, output = 5 }
"#;

fn rounded_up(millionths: u128) -> u64 {
    u64::try_from(millionths.div_ceil(1_000_000)).unwrap()
}

fn times(tokens: u64, rate: u64) -> u128 {
    u128::from(tokens) * u128::from(rate)
}

impl Model {
    fn rates_at(&self, read: u64) -> &Rates {
        match &self.long {
            Some((above, rates)) if read > *above => rates,
            _ => &self.rates,
        }
    }

    /// What a call costs that has used this: exact, rounded up once.
    pub(super) fn cost(&self, used: &Used) -> u64 {
        self.cost_at(used.read(), used)
    }

    fn cost_at(&self, read: u64, used: &Used) -> u64 {
        let rates = self.rates_at(read);
        rounded_up(
            times(used.input, rates.input)
                + times(used.cached, rates.cached)
                + times(used.cache_write, rates.cache_write)
                + times(used.output, rates.output)
                + times(used.reasoning, rates.reasoning),
        )
    }

    /// The dearest that so many tokens read can be.
    pub(super) fn dearest_input(&self, read: u64, writes_cache: bool) -> u64 {
        let of = |rates: &Rates| {
            let write = if writes_cache { rates.cache_write } else { 0 };
            rates.input.max(rates.cached).max(write)
        };
        let rate = of(&self.rates).max(of(self.rates_at(read)));
        rounded_up(times(read, rate))
    }

    /// The dearest that so many tokens written can be, where so many are read.
    pub(super) fn dearest_output(&self, read: u64, written: u64) -> u64 {
        let of = |rates: &Rates| rates.output.max(rates.reasoning);
        let rate = of(&self.rates).max(of(self.rates_at(read)));
        rounded_up(times(written, rate))
    }

    /// What a call costs of which nobody said what it read: that as it was held, and what it has written by the same rates, rounded up once.
    pub(super) fn guessed(&self, bound: u64, writes_cache: bool, written: &Used, counted: u64) -> u64 {
        let long = self.rates_at(bound);
        let dearer = |of: fn(&Rates) -> u64| of(&self.rates).max(of(long));
        let (output, reasoning) = (dearer(|rates| rates.output), dearer(|rates| rates.reasoning));
        let write = if writes_cache {
            dearer(|rates| rates.cache_write)
        } else {
            0
        };
        let input = dearer(|rates| rates.input)
            .max(dearer(|rates| rates.cached))
            .max(write);
        rounded_up(
            times(bound, input)
                + times(written.output, output)
                + times(written.reasoning, reasoning)
                + times(counted, output.max(reasoning)),
        )
    }

    /// What tokens cost of which nobody said what they are: the dearest that such a call writes.
    pub(super) fn counted(&self, read: u64, used: &Used, counted: u64) -> u64 {
        let rates = self.rates_at(read);
        let mut used = *used;
        if rates.reasoning > rates.output {
            used.reasoning += counted;
        } else {
            used.output += counted;
        }
        self.cost_at(read, &used)
    }
}
