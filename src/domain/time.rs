//! Instants and spans as the ledger counts them: whole microseconds, UTC.

/// An instant: microseconds since 1970-01-01 UTC, below 2^53 (the year 2255), so exact in Lua.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Timestamp(i64);

/// A length of time in microseconds, never negative.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Span(i64);

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

impl Timestamp {
    /// Later than anything that happens ("never").
    pub const NEVER: Timestamp = Timestamp((1 << 53) - 1);
    /// The start of the epoch.
    pub const ZERO: Timestamp = Timestamp(0);

    /// From microseconds since the epoch, kept within 0 ..= [`Timestamp::NEVER`].
    pub const fn from_micros(micros: i64) -> Timestamp {
        let max = Timestamp::NEVER.0;
        Timestamp(if micros < 0 {
            0
        } else if micros > max {
            max
        } else {
            micros
        })
    }

    /// From milliseconds since the epoch.
    pub const fn from_millis(millis: i64) -> Timestamp {
        Timestamp::from_micros(millis.saturating_mul(1_000))
    }

    /// Microseconds since the epoch.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since the epoch, rounded down.
    pub const fn millis(self) -> i64 {
        self.0 / 1_000
    }

    /// This instant and `span` later.
    pub const fn plus(self, span: Span) -> Timestamp {
        Timestamp::from_micros(self.0.saturating_add(span.0))
    }

    /// From `earlier` to this instant; nothing when `earlier` is later.
    pub const fn since(self, earlier: Timestamp) -> Span {
        Span::from_micros(self.0 - earlier.0)
    }

    /// The UTC day this instant lies in, counted from the epoch.
    pub const fn day(self) -> i64 {
        self.0 / DAY
    }

    /// The UTC month this instant lies in, counted from January of the year 0.
    pub const fn month(self) -> i64 {
        let (year, month) = civil_month(self.day());
        year * 12 + month - 1
    }

    /// When the day after this one begins.
    pub const fn next_day(self) -> Timestamp {
        Timestamp::from_micros((self.day() + 1) * DAY)
    }

    /// When the month after this one begins.
    pub const fn next_month(self) -> Timestamp {
        let month = self.month();
        let mut day = self.day() + 1;
        while Timestamp::from_micros(day * DAY).month() == month {
            day += 1;
        }
        Timestamp::from_micros(day * DAY)
    }
}

impl Span {
    /// No time.
    pub const ZERO: Span = Span(0);

    /// From microseconds; zero when negative.
    pub const fn from_micros(micros: i64) -> Span {
        Span(if micros < 0 { 0 } else { micros })
    }

    /// From whole seconds.
    pub const fn from_secs(secs: i64) -> Span {
        Span::from_micros(secs.saturating_mul(SECOND))
    }

    /// Microseconds.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded up.
    pub const fn secs_ceil(self) -> i64 {
        (self.0 + SECOND - 1) / SECOND
    }
}

impl From<std::time::Duration> for Span {
    fn from(duration: std::time::Duration) -> Span {
        Span::from_micros(i64::try_from(duration.as_micros()).unwrap_or(i64::MAX))
    }
}

impl From<Span> for std::time::Duration {
    fn from(span: Span) -> std::time::Duration {
        std::time::Duration::from_micros(span.0.unsigned_abs())
    }
}

/// Year and month (1-12) of a day since the epoch, in the proleptic Gregorian calendar, by counting days in
/// 400-year eras that begin on 1 March. The Lua scripts count the same way.
const fn civil_month(day: i64) -> (i64, i64) {
    let z = day + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + if month <= 2 { 1 } else { 0 };
    (year, month)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::from_micros(text.parse::<jiff::Timestamp>().unwrap().as_microsecond())
    }

    #[test]
    fn months_and_days_end_where_the_calendar_says() {
        for (now, day_ends, month_ends) in [
            (
                "2026-01-31T23:59:59.999999Z",
                "2026-02-01T00:00:00Z",
                "2026-02-01T00:00:00Z",
            ),
            (
                "2026-02-01T00:00:00Z",
                "2026-02-02T00:00:00Z",
                "2026-03-01T00:00:00Z",
            ),
            (
                "2028-02-29T12:00:00Z",
                "2028-03-01T00:00:00Z",
                "2028-03-01T00:00:00Z",
            ),
            (
                "2026-12-31T05:00:00Z",
                "2027-01-01T00:00:00Z",
                "2027-01-01T00:00:00Z",
            ),
            (
                "1970-01-01T00:00:00Z",
                "1970-01-02T00:00:00Z",
                "1970-02-01T00:00:00Z",
            ),
        ] {
            assert_eq!(at(now).next_day(), at(day_ends), "{now}");
            assert_eq!(at(now).next_month(), at(month_ends), "{now}");
        }
        assert_eq!(at("2026-11-23T00:00:00Z").month(), 2026 * 12 + 10);
    }

    #[test]
    fn agrees_with_a_calendar_library_on_every_day_of_two_centuries() {
        let mut date = jiff::civil::date(1970, 1, 1);
        for day in 0..73_000 {
            let expected = i64::from(date.year()) * 12 + i64::from(date.month()) - 1;
            assert_eq!(Timestamp::from_micros(day * DAY).month(), expected, "{date}");
            date = date.tomorrow().unwrap();
        }
    }
}
