//! Money of the world outside: currencies in their minor units, and what they are worth in credits. Exact, never a float, never converted from one
//! currency into another.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::credits::{Credits, CreditsError, parse_scaled};

/// A currency: three lower-case ASCII letters, as Stripe's API writes them.
///
/// That the letters name a currency that Stripe takes is not checked: new ones come, and one that no rate is set for is worth nothing here anyway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// A text that is no currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a currency is three lower-case letters, such as usd")]
pub struct NotCurrency;

/// Currencies whose minor unit is the unit itself.
const WHOLE: [&[u8; 3]; 15] = [
    b"bif", b"clp", b"djf", b"gnf", b"jpy", b"kmf", b"krw", b"mga", b"pyg", b"rwf", b"vnd", b"vuv", b"xaf",
    b"xof", b"xpf",
];
/// Currencies with a thousand minor units.
const THOUSANDS: [&[u8; 3]; 5] = [b"bhd", b"jod", b"kwd", b"omr", b"tnd"];
/// The least that is charged, in minor units, where it is not 50.
const CHARGE_MIN: [(&[u8; 3], i64); 14] = [
    (b"aed", 200),
    (b"bgn", 100),
    (b"czk", 1_500),
    (b"dkk", 250),
    (b"gbp", 30),
    (b"hkd", 400),
    (b"huf", 17_500),
    (b"mxn", 1_000),
    (b"myr", 200),
    (b"nok", 300),
    (b"pln", 200),
    (b"ron", 200),
    (b"sek", 300),
    (b"thb", 1_000),
];
/// Currencies without coins below the unit, which the API counts in hundredths all the same.
const WHOLE_IN_HUNDREDTHS: [&[u8; 3]; 2] = [b"isk", b"ugx"];

impl Currency {
    /// How many decimal places of the unit an amount in the API has: 0, 2 or 3. What is in no list has 2.
    ///
    /// Source: "Supported currencies" in Stripe's documentation (<https://docs.stripe.com/currencies>), its lists of zero-decimal and three-decimal
    /// currencies and its special cases:
    /// - ISK and UGX have no minor unit any more, but their amounts are still written with two places (5 ISK are `500`), so 2. UGX stands in
    ///   the zero-decimal list too; Stripe refuses amounts that follow that list, so the special case is what counts.
    /// - HUF and TWD are whole in payouts only; charges have two places, so 2.
    /// - MGA is fifths of an ariary elsewhere, here it is whole.
    pub fn exponent(self) -> u8 {
        if WHOLE.contains(&&self.0) {
            0
        } else if THOUSANDS.contains(&&self.0) {
            3
        } else {
            2
        }
    }

    /// What every amount that is charged is a multiple of, in minor units: 100 for ISK and UGX, 10 for currencies with three places, else 1 (the same
    /// source as [`Currency::exponent`]).
    pub fn step(self) -> i64 {
        if WHOLE_IN_HUNDREDTHS.contains(&&self.0) {
            100
        } else if self.exponent() == 3 {
            10
        } else {
            1
        }
    }

    /// The least that Stripe charges, in minor units: half a dollar or about as much, a multiple of [`Currency::step`].
    ///
    /// Source: "Minimum and maximum charge amounts" in Stripe's documentation (<https://docs.stripe.com/currencies>), for money that is paid out in the
    /// currency it was charged in. Where it is converted first, the other currency's minimum counts, which may be more. What is in no list has 50 here, and may
    /// have more.
    pub fn charge_min(self) -> i64 {
        let listed = CHARGE_MIN.iter().find(|(currency, _)| **currency == self.0);
        let least = listed.map_or(50, |(_, least)| *least);
        least.max(self.step())
    }

    /// Minor units in a unit: 1, 100 or 1,000.
    pub fn per_unit(self) -> i64 {
        10_i64.pow(self.exponent().into())
    }

    /// A decimal amount of units (`10`, `9.99`) in minor units.
    ///
    /// # Errors
    /// It is no decimal number, has more places than the currency, or does not fit.
    pub fn minor(self, units: &str) -> Result<i64, CreditsError> {
        let minor = parse_scaled(units, self.exponent().into())?;
        i64::try_from(minor).map_err(|_| CreditsError::TooLarge)
    }

    /// An amount of minor units as people write it: `10.00 usd`, `-500 jpy`.
    pub fn show(self, minor: i64) -> String {
        let places = usize::from(self.exponent());
        let per_unit = self.per_unit().unsigned_abs();
        let sign = if minor < 0 { "-" } else { "" };
        let (whole, part) = (minor.unsigned_abs() / per_unit, minor.unsigned_abs() % per_unit);
        if places == 0 {
            format!("{sign}{whole} {self}")
        } else {
            format!("{sign}{whole}.{part:0places$} {self}")
        }
    }
}

impl FromStr for Currency {
    type Err = NotCurrency;

    fn from_str(text: &str) -> Result<Currency, NotCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_lowercase) => Ok(Currency(letters)),
            _ => Err(NotCurrency),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why an amount of money is no amount of credits, or the other way round. Nobody is credited then; it is for an operator to look at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// No rate is set for the currency.
    #[error("no credits_per_unit is set for {0}")]
    Unlisted(Currency),
    /// Nothing, or so little that it is not worth a micro-credit.
    #[error("the amount is zero, or worth less than the smallest amount of credits")]
    Zero,
    /// Below zero.
    #[error("the amount is below zero")]
    Negative,
    /// Beyond [`Credits::MAX`], or beyond what minor units can say.
    #[error("the amount is beyond what an account can hold")]
    TooLarge,
}

/// Credits for one major unit of a currency (one dollar, one yen): above zero, six places.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Rate(Credits);

impl Rate {
    /// `None` for zero and below.
    pub fn new(per_unit: Credits) -> Option<Rate> {
        (per_unit > Credits::ZERO).then_some(Rate(per_unit))
    }

    /// Credits for one major unit.
    pub fn per_unit(self) -> Credits {
        self.0
    }
}

/// What each currency is worth. A currency that is not listed is worth nothing that could be guessed.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Rates(BTreeMap<Currency, Rate>);

impl Rates {
    /// The rate of a currency.
    pub fn get(&self, currency: Currency) -> Option<Rate> {
        self.0.get(&currency).copied()
    }

    /// All, by the letters of the currency.
    pub fn iter(&self) -> impl Iterator<Item = (Currency, Rate)> {
        self.0.iter().map(|(currency, rate)| (*currency, *rate))
    }

    /// None is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What so many minor units are worth. A fraction of a micro-credit is dropped.
    ///
    /// # Errors
    /// The currency is not listed; the amount is zero (or worth less than a micro-credit), negative, or worth more than [`Credits::MAX`].
    pub fn credits(&self, currency: Currency, minor: i64) -> Result<Credits, MoneyError> {
        let rate = self.rate(currency)?;
        match minor {
            0 => return Err(MoneyError::Zero),
            ..0 => return Err(MoneyError::Negative),
            _ => {}
        }
        // At most 2^63 * 2^53, which fits.
        let micros = i128::from(minor) * i128::from(rate.0.micros()) / i128::from(currency.per_unit());
        let micros = i64::try_from(micros).map_err(|_| MoneyError::TooLarge)?;
        match Credits::from_micros(micros) {
            Ok(Credits::ZERO) => Err(MoneyError::Zero),
            Ok(credits) => Ok(credits),
            Err(_) => Err(MoneyError::TooLarge),
        }
    }

    /// The least amount, in minor units, that can be charged and is worth so many credits or more: rounded up to the next [`Currency::step`].
    ///
    /// # Errors
    /// The currency is not listed; the credits are zero or below; the price is beyond what minor units can say.
    pub fn price(&self, currency: Currency, credits: Credits) -> Result<i64, MoneyError> {
        let rate = self.rate(currency)?;
        if credits.is_zero() {
            return Err(MoneyError::Zero);
        }
        let micros = u128::try_from(credits.micros()).map_err(|_| MoneyError::Negative)?;
        let [per_unit, step, rate] = [currency.per_unit(), currency.step(), rate.0.micros()]
            .map(|number| u128::from(number.unsigned_abs()));
        let minor = (micros * per_unit).div_ceil(rate).next_multiple_of(step);
        i64::try_from(minor).map_err(|_| MoneyError::TooLarge)
    }

    fn rate(&self, currency: Currency) -> Result<Rate, MoneyError> {
        self.get(currency).ok_or(MoneyError::Unlisted(currency))
    }
}

impl FromIterator<(Currency, Rate)> for Rates {
    fn from_iter<I: IntoIterator<Item = (Currency, Rate)>>(rates: I) -> Rates {
        Rates(rates.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn currency(text: &str) -> Currency {
        text.parse().unwrap()
    }

    fn credits(text: &str) -> Credits {
        text.parse().unwrap()
    }

    fn rates(listed: &[(&str, &str)]) -> Rates {
        let rate = |(name, per_unit): &(&str, &str)| (currency(name), Rate::new(credits(per_unit)).unwrap());
        listed.iter().map(rate).collect()
    }

    #[test]
    fn a_currency_is_three_lower_case_letters() {
        for good in ["usd", "jpy", "zzz"] {
            assert_eq!(currency(good).to_string(), good);
        }
        for bad in [
            "", "us", "usdt", "USD", "Usd", "u1d", "us ", "\u{e4}s", "\u{20ac}",
        ] {
            assert_eq!(bad.parse::<Currency>(), Err(NotCurrency), "{bad}");
        }
    }

    #[test]
    fn w9_minor_units_follow_stripes_table_with_its_special_cases() {
        for (name, exponent, step) in [
            ("usd", 2, 1),
            ("eur", 2, 1),
            ("jpy", 0, 1),
            ("krw", 0, 1),
            ("mga", 0, 1),
            ("kwd", 3, 10),
            ("tnd", 3, 10),
            ("isk", 2, 100),
            ("ugx", 2, 100),
            ("huf", 2, 1),
            ("twd", 2, 1),
            // One that nobody has heard of is as most are.
            ("zzz", 2, 1),
        ] {
            let currency = currency(name);
            assert_eq!((currency.exponent(), currency.step()), (exponent, step), "{name}");
        }
        let all = |names: &str| names.split(' ').map(currency).collect::<Vec<_>>();
        let whole = all("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf");
        let thousands = all("bhd jod kwd omr tnd");
        for first in b'a'..=b'z' {
            for second in b'a'..=b'z' {
                for third in b'a'..=b'z' {
                    let any = Currency([first, second, third]);
                    let exponent = match any {
                        any if whole.contains(&any) => 0,
                        any if thousands.contains(&any) => 3,
                        _ => 2,
                    };
                    assert_eq!(any.exponent(), exponent, "{any}");
                }
            }
        }
        assert!(WHOLE.is_sorted() && THOUSANDS.is_sorted() && CHARGE_MIN.is_sorted());
    }

    #[test]
    fn the_least_that_is_charged_can_be_charged() {
        for (name, least) in [
            ("usd", 50),
            ("gbp", 30),
            ("jpy", 50),
            ("huf", 17_500),
            ("kwd", 50),
            ("isk", 100),
            ("zzz", 50),
        ] {
            let currency = currency(name);
            assert_eq!(currency.charge_min(), least, "{name}");
            assert_eq!(least % currency.step(), 0, "{name}");
        }
    }

    #[test]
    fn w9_an_amount_is_worth_the_same_whatever_its_minor_unit() {
        let rates = rates(&[
            ("usd", "1"),
            ("jpy", "0.0067"),
            ("kwd", "3.25"),
            ("isk", "0.0072"),
            ("huf", "0.003333"),
        ]);
        for (name, minor, worth, shown) in [
            ("usd", 1_000, "10", "10.00 usd"),
            ("usd", 1, "0.01", "0.01 usd"),
            ("jpy", 500, "3.35", "500 jpy"),
            ("kwd", 5_120, "16.64", "5.120 kwd"),
            ("isk", 500, "0.036", "5.00 isk"),
            // A fraction of a micro-credit goes.
            ("huf", 1, "0.000033", "0.01 huf"),
        ] {
            let currency = currency(name);
            assert_eq!(rates.credits(currency, minor), Ok(credits(worth)), "{name}");
            assert_eq!(currency.show(minor), shown);
            assert_eq!(currency.minor(shown.split(' ').next().unwrap()), Ok(minor));
        }
        assert_eq!(currency("usd").show(-1_050), "-10.50 usd");
        assert_eq!(currency("usd").show(i64::MIN), "-92233720368547758.08 usd");
        assert_eq!(currency("jpy").minor("1.5"), Err(CreditsError::TooFine));
        assert_eq!(currency("usd").minor("1.505"), Err(CreditsError::TooFine));
    }

    #[test]
    fn w9_a_currency_that_is_not_listed_is_never_guessed() {
        let rates = rates(&[("usd", "1")]);
        let eur = currency("eur");
        assert_eq!(rates.credits(eur, 1_000), Err(MoneyError::Unlisted(eur)));
        assert_eq!(
            rates.price(eur, Credits::whole(1)),
            Err(MoneyError::Unlisted(eur))
        );
        assert!(MoneyError::Unlisted(eur).to_string().contains("eur"));
    }

    #[test]
    fn w10_nothing_negative_and_too_much_are_no_credits() {
        let rates = rates(&[
            ("usd", "1"),
            ("jpy", "0.000001"),
            ("idr", "0.00006"),
            ("kwd", "9007199254.740991"),
        ]);
        let usd = currency("usd");
        for (name, minor, error) in [
            ("usd", 0, MoneyError::Zero),
            ("usd", -1, MoneyError::Negative),
            ("usd", i64::MIN, MoneyError::Negative),
            ("usd", i64::MAX, MoneyError::TooLarge),
            ("usd", 1 << 53, MoneyError::TooLarge),
            ("usd", 900_719_925_475, MoneyError::TooLarge),
            ("kwd", i64::MAX, MoneyError::TooLarge),
            ("kwd", 1_001, MoneyError::TooLarge),
            // Two minor units, worth 1.2 millionths; one is worth less than one.
            ("idr", 1, MoneyError::Zero),
        ] {
            assert_eq!(rates.credits(currency(name), minor), Err(error), "{name} {minor}");
        }
        assert_eq!(rates.credits(usd, 900_719_925_474), Ok(credits("9007199254.74")));
        assert_eq!(rates.credits(currency("kwd"), 1_000), Ok(Credits::MAX));
        assert_eq!(rates.credits(currency("idr"), 2), Ok(Credits::MICRO));
        assert_eq!(rates.price(usd, Credits::ZERO), Err(MoneyError::Zero));
        assert_eq!(rates.price(usd, credits("-1")), Err(MoneyError::Negative));
        assert_eq!(
            rates.price(currency("jpy"), Credits::MAX),
            Ok(Credits::MAX.micros())
        );
        assert_eq!((Rate::new(Credits::ZERO), Rate::new(credits("-1"))), (None, None));
    }

    #[test]
    fn a_price_is_the_least_that_can_be_charged() {
        let rates = rates(&[
            ("usd", "3"),
            ("kwd", "3.25"),
            ("isk", "0.0072"),
            ("jpy", "0.0067"),
        ]);
        for (name, worth, minor) in [
            ("usd", "10", 334),
            ("usd", "9", 300),
            ("usd", "0.000001", 1),
            ("kwd", "3.25", 1_000),
            ("kwd", "3.250001", 1_010),
            ("isk", "0.0072", 100),
            ("isk", "0.0073", 200),
            ("jpy", "1", 150),
        ] {
            assert_eq!(
                rates.price(currency(name), credits(worth)),
                Ok(minor),
                "{name} {worth}"
            );
        }
    }

    proptest! {
        #[test]
        fn a_price_buys_what_it_was_asked_for_and_no_step_less_would(
            name in prop::sample::select(vec!["usd", "jpy", "kwd", "isk", "ugx"]),
            rate in prop_oneof![1..=10_000_000_i64, 1..=Credits::MAX.micros()],
            micros in prop_oneof![1..=1_000_000_000_i64, 1..=Credits::MAX.micros()],
        ) {
            let currency = currency(name);
            let rate = Rate::new(Credits::from_micros(rate).unwrap()).unwrap();
            let rates: Rates = [(currency, rate)].into_iter().collect();
            let wanted = Credits::from_micros(micros).unwrap();
            let minor = rates.price(currency, wanted).unwrap();
            prop_assert_eq!(minor % currency.step(), 0);
            match rates.credits(currency, minor) {
                Ok(bought) => prop_assert!(bought >= wanted),
                // The last step goes beyond what an account can hold.
                Err(error) => prop_assert_eq!(error, MoneyError::TooLarge),
            }
            let less = minor - currency.step();
            match rates.credits(currency, less) {
                Ok(bought) => prop_assert!(bought < wanted),
                Err(error) => prop_assert!(less == 0 || error == MoneyError::Zero),
            }
        }

        #[test]
        fn no_text_and_no_amount_panics(text in ".*", minor: i64, letters in "[a-z]{3}") {
            let currency = currency(&letters);
            let rates: Rates = [(currency, Rate::new(Credits::MAX).unwrap())].into_iter().collect();
            let _ = (text.parse::<Currency>(), currency.minor(&text), currency.show(minor), rates.credits(currency, minor));
        }
    }
}
