//! Figures of several rounds, and how they are written.

use std::fmt;

/// One figure, measured in several rounds.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figure(Vec<f64>);

impl Figure {
    /// One round's value.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
        self.0.sort_by(f64::total_cmp);
    }

    /// The middle value; not a number when there is none.
    pub(crate) fn median(&self) -> f64 {
        self.0.get(self.0.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

impl fmt::Display for Figure {
    /// The median, and between which values it lies; the median alone with `{:#}`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let median = self.median();
        match (self.0.first(), self.0.last()) {
            (None, _) | (_, None) => f.write_str("-"),
            (Some(low), Some(high)) if self.0.len() > 1 && !f.alternate() => {
                write!(f, "{median:.1} ({low:.1} to {high:.1})")
            }
            _ if median >= 1000.0 => write!(f, "{median:.0}"),
            _ => write!(f, "{median:.1}"),
        }
    }
}
