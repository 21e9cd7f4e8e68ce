//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use super::credits::Credits;

/// What is read as an amount is in range, is written in one form, and that form is read as the same amount; sums and differences undo each other.
pub fn credits(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let mut before = Credits::ZERO;
    for amount in text.split('\n').filter_map(|line| line.parse::<Credits>().ok()) {
        assert!(amount <= Credits::MAX && amount.negated() <= Credits::MAX);
        assert_eq!(Credits::from_micros(amount.micros()), Ok(amount));
        let written = amount.to_string();
        assert_eq!(written.parse(), Ok(amount));
        assert!(
            written
                .split_once('.')
                .is_some_and(|(_, places)| places.len() == 6)
        );
        if let Some(sum) = before.checked_add(amount) {
            assert_eq!(sum.checked_sub(amount), Some(before));
            assert_eq!(sum, before.saturating_add(amount));
        }
        before = amount;
    }
}
