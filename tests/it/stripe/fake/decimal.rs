//! Decimal numbers, exactly.

use serde_json::Value;

/// 10^-12: prices have that many decimals at most.
const DECIMALS: u32 = 12;
const ONE: i128 = 10_i128.pow(DECIMALS);

/// A decimal number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Decimal(i128);

impl Decimal {
    /// A whole number.
    pub(crate) fn whole(number: i64) -> Decimal {
        Decimal(i128::from(number) * ONE)
    }

    /// Reads `-12.5`; none if it is something else, or has more than 12 decimals.
    pub(crate) fn parse(text: &str) -> Option<Decimal> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let plain = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !plain(whole) || !plain(part) || part.len() > DECIMALS as usize || whole.len() > 24 {
            return None;
        }
        let part: i128 = format!("{part:0<width$}", width = DECIMALS as usize)
            .parse()
            .ok()?;
        let all = whole.parse::<i128>().ok()? * ONE + part;
        Some(Decimal(if negative { -all } else { all }))
    }

    /// The sum.
    pub(crate) fn plus(self, other: Decimal) -> Decimal {
        Decimal(self.0 + other.0)
    }

    /// The product, to the nearest whole number, halves up; not below 0.
    pub(crate) fn times_rounded(self, price: Decimal) -> i64 {
        // Whole units first: a quantity times a price has 24 decimals, more than there is room for.
        let (whole, part) = (self.0.div_euclid(ONE), self.0.rem_euclid(ONE));
        let product = whole * price.0 + part * price.0 / ONE;
        let rounded = (product + ONE / 2).div_euclid(ONE);
        i64::try_from(rounded.max(0)).expect("an amount of money")
    }

    /// The whole part.
    pub(crate) fn floor(self) -> i64 {
        i64::try_from(self.0.div_euclid(ONE)).expect("a quantity")
    }

    /// As JSON: a whole number where it is one.
    pub(crate) fn json(self) -> Value {
        if self.0 % ONE == 0 {
            return self.floor().into();
        }
        #[allow(clippy::cast_precision_loss, reason = "as Stripe's own answer is one")]
        let float = self.0 as f64 / ONE as f64;
        float.into()
    }
}

#[cfg(test)]
mod tests {
    use super::Decimal;

    #[test]
    fn numbers_are_exact() {
        let parse = |text: &str| Decimal::parse(text).unwrap();
        for (quantity, price, amount) in [
            ("31200000", "0.0001", 3120),
            ("31204999", "0.0001", 3120),
            ("31205000", "0.0001", 3121),
            ("1.5", "3", 5),
            ("-5", "1", 0),
            ("999999999999999", "0.000000000001", 1000),
        ] {
            assert_eq!(
                parse(quantity).times_rounded(parse(price)),
                amount,
                "{quantity} at {price}"
            );
        }
        for wrong in ["", "-", ".5", "1.", "1e3", "0.0000000000001", "--1"] {
            assert_eq!(Decimal::parse(wrong), None, "{wrong}");
        }
        assert_eq!(parse("12").json(), 12);
        assert_eq!(parse("-1.5").json(), -1.5);
        assert_eq!(parse("-1.5").plus(Decimal::whole(2)).json(), 0.5);
    }
}
