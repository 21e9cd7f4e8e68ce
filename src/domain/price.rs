//! Prices, and the quote they give a request before it is served.

use super::credits::Credits;
use super::model::Fare;

/// What a route costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Price {
    /// Nothing; said with an explicit zero.
    Free,
    /// The same for every request; above zero.
    Fixed(Credits),
    /// So much for each unit, of which the JSON body says how many.
    Each {
        /// For one unit; above zero.
        each: Credits,
        /// The member of the body that counts them, absent meaning 1; dots lead into objects (`parameters.n`).
        times: String,
    },
    /// So much for each unit, of which the JSON answer says how many, up to the hold.
    Measured {
        /// For one unit; above zero.
        each: Credits,
        /// The member of the answer that counts them; dots lead into objects (`usage.seconds`).
        reported: String,
        /// Held before, and charged when the answer does not say; above zero.
        hold: Credits,
    },
    /// The upstream says in a response header, up to the hold.
    Reported {
        /// The header's name, in lower case.
        header: String,
        /// Held before, and charged when the header is missing; above zero.
        hold: Credits,
    },
    /// By the tokens it uses, as its model is priced.
    Tokens(Terms),
}

/// What a route says about requests that are priced by tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// Whether the hold covers all that the request may use, or begins small and grows with the answer.
    pub hold: HoldMode,
    /// Whether a customer with less than all that a request may use gets a shorter answer, or none.
    pub when_short: WhenShort,
    /// An answer of fewer tokens is of no use to anyone: the least that is held for.
    pub output_min: u64,
    /// For a growing hold: tokens of output that are held for at first. It then doubles as the answer grows.
    pub slice: u64,
    /// Whether the last usage that a stream tells says what it has cost.
    pub usage_cost: bool,
}

/// How much is held for a request that is priced by tokens.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum HoldMode {
    /// The most it may cost.
    #[default]
    Full,
    /// Its input and a slice of output, and more as tokens flow.
    Growing,
}

/// What becomes of a request whose caller cannot pay for all that it may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum WhenShort {
    /// It gets as long an answer as there are credits.
    #[default]
    Shorten,
    /// It is refused.
    Refuse,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            hold: HoldMode::Full,
            when_short: WhenShort::Shorten,
            output_min: 16,
            slice: 512,
            usage_cost: false,
        }
    }
}

impl Terms {
    /// The quote for a request of this fare, which the upstream refuses with a limit below `output_min`.
    pub fn quote(&self, fare: &Fare, output_min: u64) -> Quote {
        let all = fare.bound().output;
        let most = match self.hold {
            HoldMode::Full => all,
            HoldMode::Growing => self.slice.max(output_min),
        };
        let least = match self.when_short {
            WhenShort::Shorten => self.output_min.max(output_min),
            WhenShort::Refuse => most,
        };
        fare.quote(least, most)
    }
}

/// Before a request is served: the least it needs and the most it may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Quote {
    /// Less than this is a refusal.
    pub least: Credits,
    /// No more than this is held.
    pub most: Credits,
    /// Tokens it counts as under a cap on tokens per minute.
    pub tokens: u64,
}

/// The units or tokens and the price of one multiply to more than an account could ever hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the price of {units} of them is beyond what can be charged")]
pub struct TooDear {
    /// How many were asked for.
    pub units: u64,
}

impl Price {
    /// Whether it is for what an answer says was used, so that one which says nothing costs nothing.
    pub fn is_used(&self) -> bool {
        matches!(self, Price::Tokens(_) | Price::Measured { .. })
    }

    /// The quote for a request that asks for `units` (1 where the price does not count any).
    ///
    /// # Errors
    /// It is more than can be charged; and whatever is asked for where tokens are counted, whose quotes come from [`Terms::quote`].
    pub fn quote(&self, units: u64) -> Result<Quote, TooDear> {
        let amount = match self {
            Price::Tokens(_) => return Err(TooDear { units }),
            Price::Free => Credits::ZERO,
            Price::Fixed(amount)
            | Price::Reported { hold: amount, .. }
            | Price::Measured { hold: amount, .. } => *amount,
            Price::Each { each, .. } => {
                let micros = i128::from(each.micros()) * i128::from(units);
                let micros = i64::try_from(micros).map_err(|_| TooDear { units })?;
                Credits::from_micros(micros).map_err(|_| TooDear { units })?
            }
        };
        Ok(Quote {
            least: amount,
            most: amount,
            tokens: 0,
        })
    }
}

/// What so many millionths of a unit cost, rounded up once; `None` beyond what can be charged.
pub fn of_millionths(each: Credits, millionths: u64) -> Option<Credits> {
    let micros = (i128::from(each.micros()) * i128::from(millionths)).max(0);
    let micros = u128::try_from(micros).ok()?.div_ceil(1_000_000);
    Credits::from_micros(i64::try_from(micros).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p18_units_times_price_is_exact_up_to_the_bound_and_refused_beyond() {
        let price = Price::Each {
            each: "0.04".parse().unwrap(),
            times: "n".into(),
        };
        assert_eq!(price.quote(3).unwrap().most, "0.12".parse().unwrap());
        assert_eq!(price.quote(u64::MAX), Err(TooDear { units: u64::MAX }));
        let cent = Price::Each {
            each: "0.000001".parse().unwrap(),
            times: "n".into(),
        };
        assert_eq!(cent.quote((1 << 53) - 1).unwrap().most, Credits::MAX);
        assert_eq!(cent.quote(1 << 53), Err(TooDear { units: 1 << 53 }));
    }

    #[test]
    fn parts_of_units_are_rounded_up_once() {
        let each: Credits = "0.006".parse().unwrap();
        for (millionths, charge) in [
            (0, 0),
            (1, 1),
            (1_000_000, 6_000),
            (12_340_000, 74_040),
            (12_340_001, 74_041),
        ] {
            assert_eq!(
                of_millionths(each, millionths).unwrap().micros(),
                charge,
                "{millionths}"
            );
        }
        assert_eq!(of_millionths(Credits::MAX, u64::MAX), None);
    }
}
