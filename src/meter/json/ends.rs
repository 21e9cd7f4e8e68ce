//! Where long values end, noted while they are checked: so that walking past one need not look through it again.

/// Shorter ones are looked through.
const LONG: usize = 64;

/// The most that are noted; what comes later is looked through.
const NOTED_MAX: usize = 8192;

/// Beginnings and ends of long values, by their beginnings.
#[derive(Debug, Default)]
pub struct Ends(Vec<(u32, u32)>);

/// Of nothing.
pub(super) const NONE: &Ends = &Ends(Vec::new());

impl Ends {
    /// A string.
    pub(super) fn note(&mut self, start: usize, end: usize) {
        if end - start >= LONG
            && let Some(at) = self.open(start)
        {
            self.close(at, end);
        }
    }

    /// An array or object begins; where that is noted, if there is room.
    pub(super) fn open(&mut self, start: usize) -> Option<usize> {
        let start = u32::try_from(start).ok().filter(|_| self.0.len() < NOTED_MAX)?;
        self.0.push((start, 0));
        Some(self.0.len() - 1)
    }

    /// It ends.
    pub(super) fn close(&mut self, at: usize, end: usize) {
        let last = at + 1 == self.0.len();
        let Some(noted) = self.0.get_mut(at) else { return };
        // Of what does not fit, nothing is known.
        noted.1 = u32::try_from(end).unwrap_or(0);
        if last && end - (noted.0 as usize) < LONG {
            self.0.pop();
        }
    }

    /// The end of the value that begins there, if it was noted.
    pub(super) fn of(&self, start: usize) -> Option<usize> {
        let start = u32::try_from(start).ok()?;
        let at = self.0.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        let (_, end) = self.0.get(at)?;
        (*end > start).then_some(*end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_values_are_noted_up_to_a_limit() {
        let mut ends = Ends::default();
        let outer = ends.open(0).unwrap();
        let short = ends.open(1).unwrap();
        ends.close(short, 10);
        ends.note(11, 30);
        ends.note(40, 40 + LONG);
        ends.close(outer, 200);
        assert_eq!(
            [0, 1, 11, 40, 41].map(|start| ends.of(start)),
            [Some(200), None, None, Some(40 + LONG), None]
        );
        (0..NOTED_MAX * 2).for_each(|n| ends.note(1000 + n, 1000 + n + LONG));
        assert_eq!(ends.0.len(), NOTED_MAX);
    }
}
