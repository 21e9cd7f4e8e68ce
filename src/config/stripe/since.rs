//! `stripe.since`.

use super::super::section::Section;

const SINCE: &str = "Payments, invoices, refunds, disputes, warnings and reviews that were made at Stripe before this time move nothing here. Absent: all that Stripe tells of count.";

/// Seconds since the epoch, or a problem.
pub(super) fn read(s: &Section<'_>) -> Option<i64> {
    let text = s.text("since", SINCE)?;
    let time = text.value.parse::<jiff::Timestamp>();
    if time.is_err() {
        s.problem(
            &text.place,
            format!("{:?} is no time", text.value),
            "write it with its offset: since = \"2026-11-01T00:00:00Z\"",
        );
    }
    time.ok().map(jiff::Timestamp::as_second)
}
