//! Money: whole micro-credits, exact, bounded, never a float.

use std::fmt;
use std::str::FromStr;

/// An amount of credits, held as whole micro-credits.
///
/// Range: ±[`Credits::MAX`], which a Lua number (a double) still holds exactly. Text form: decimal with six
/// places (`"12.500000"`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Credits(i64);

// Redis computes with doubles: every amount must stay exact there.
const _: () = assert!(Credits::MAX.0 < (1 << 53));

/// Why a text or number is not an amount of credits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CreditsError {
    /// Not a decimal number such as `12`, `0.5` or `-3.25`.
    #[error("not a decimal number: write it like 12.5")]
    NotDecimal,
    /// More than six places that are not zero.
    #[error("more than six decimal places: one micro-credit (0.000001) is the smallest amount")]
    TooFine,
    /// Beyond ±[`Credits::MAX`].
    #[error("too large: the largest amount is 9007199254.740991 credits")]
    TooLarge,
}

impl Credits {
    /// No credits.
    pub const ZERO: Credits = Credits(0);
    /// The largest amount, 2^53 - 1 micro-credits (about nine billion credits).
    pub const MAX: Credits = Credits((1 << 53) - 1);

    /// The smallest amount, one micro-credit.
    pub const MICRO: Credits = Credits(1);

    /// So many whole credits.
    pub const fn whole(credits: u32) -> Credits {
        Credits(credits as i64 * 1_000_000)
    }

    /// From whole micro-credits; an error beyond the range.
    pub const fn from_micros(micros: i64) -> Result<Credits, CreditsError> {
        if micros > Self::MAX.0 || micros < -Self::MAX.0 {
            return Err(CreditsError::TooLarge);
        }
        Ok(Credits(micros))
    }

    /// Whole micro-credits.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The sum, or `None` beyond the range.
    pub fn checked_add(self, other: Credits) -> Option<Credits> {
        Credits::from_micros(self.0.checked_add(other.0)?).ok()
    }

    /// The difference, or `None` beyond the range.
    pub fn checked_sub(self, other: Credits) -> Option<Credits> {
        Credits::from_micros(self.0.checked_sub(other.0)?).ok()
    }

    /// The sum, kept at the end of the range when it would pass it. For sums that decide (is this enough?), never for sums that are stored.
    pub fn saturating_add(self, other: Credits) -> Credits {
        Credits(self.0.saturating_add(other.0).clamp(-Self::MAX.0, Self::MAX.0))
    }

    /// The difference, kept at the end of the range. For differences that decide, never for ones that are stored.
    pub fn saturating_sub(self, other: Credits) -> Credits {
        Credits(self.0.saturating_sub(other.0).clamp(-Self::MAX.0, Self::MAX.0))
    }

    /// The same amount with the other sign.
    pub const fn negated(self) -> Credits {
        Credits(-self.0)
    }

    /// Zero where the amount is below zero.
    pub fn at_least_zero(self) -> Credits {
        self.max(Credits::ZERO)
    }

    /// Below zero.
    pub const fn is_negative(self) -> bool {
        self.0 < 0
    }

    /// Exactly zero.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

/// Reads a plain decimal (`[-]digits[.digits]`) as a whole number of units of `10^-places`.
pub(crate) fn parse_scaled(text: &str, places: usize) -> Result<i128, CreditsError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let fraction_missing = digits.contains('.') && fraction.is_empty();
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit());
    if whole.is_empty() || fraction_missing || !all_digits {
        return Err(CreditsError::NotDecimal);
    }
    if whole.len() > 18 {
        return Err(CreditsError::TooLarge);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > places {
        return Err(CreditsError::TooFine);
    }
    let digit = |n: i128, b: u8| n * 10 + i128::from(b - b'0');
    let mut value = whole.bytes().fold(0, digit);
    value = fraction
        .bytes()
        .chain(std::iter::repeat_n(b'0', places - fraction.len()))
        .fold(value, digit);
    Ok(if negative { -value } else { value })
}

impl FromStr for Credits {
    type Err = CreditsError;

    fn from_str(text: &str) -> Result<Credits, CreditsError> {
        let micros = i64::try_from(parse_scaled(text, 6)?).map_err(|_| CreditsError::TooLarge)?;
        Credits::from_micros(micros)
    }
}

impl fmt::Display for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Digit by digit from the end: every answer says two amounts.
        let mut text = [b'0'; 24];
        let mut at = text.len();
        let mut rest = self.0.unsigned_abs();
        let mut places = 0;
        while rest > 0 || places <= 6 {
            if places == 6 {
                at -= 1;
                text[at] = b'.';
            }
            at -= 1;
            text[at] = b'0' + (rest % 10) as u8;
            rest /= 10;
            places += 1;
        }
        if self.0 < 0 {
            at -= 1;
            text[at] = b'-';
        }
        f.write_str(std::str::from_utf8(&text[at..]).unwrap_or_default())
    }
}

impl fmt::Debug for Credits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::iter::Sum for Credits {
    fn sum<I: Iterator<Item = Credits>>(iter: I) -> Credits {
        iter.fold(Credits::ZERO, Credits::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_and_writes_exact_decimals() {
        for (text, micros) in [
            ("0", 0),
            ("12.5", 12_500_000),
            ("0.000001", 1),
            ("-3.25", -3_250_000),
            ("0.15", 150_000),
            ("1.0000000000", 1_000_000),
            ("9007199254.740991", (1 << 53) - 1),
        ] {
            assert_eq!(text.parse::<Credits>().map(Credits::micros), Ok(micros), "{text}");
        }
        assert_eq!("12.5".parse::<Credits>().unwrap().to_string(), "12.500000");
        assert_eq!("-0.000001".parse::<Credits>().unwrap().to_string(), "-0.000001");
    }

    #[test]
    fn refuses_what_is_not_an_exact_amount() {
        use CreditsError::*;
        for (text, error) in [
            ("", NotDecimal),
            (".5", NotDecimal),
            ("5.", NotDecimal),
            ("1e3", NotDecimal),
            ("0x10", NotDecimal),
            ("nan", NotDecimal),
            ("+1", NotDecimal),
            (" 1", NotDecimal),
            ("--1", NotDecimal),
            ("1.2.3", NotDecimal),
            ("0.0000001", TooFine),
            ("9007199254.740992", TooLarge),
            ("99999999999999999999999999", TooLarge),
        ] {
            assert_eq!(text.parse::<Credits>(), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn text_form_is_lossless(micros in -Credits::MAX.0..=Credits::MAX.0) {
            let amount = Credits(micros);
            prop_assert_eq!(amount.to_string().parse::<Credits>(), Ok(amount));
        }
    }
}
