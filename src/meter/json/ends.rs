//! Where long values end, noted while they are checked: so that walking past one need not look through it again.

/// Shorter ones are looked through.
const LONG: usize = 32;

/// The most that are noted; what comes later is looked through.
const NOTED_MAX: usize = 8192;

/// So many are noted without asking for memory: an event of a stream has no more.
const FEW: usize = 8;

/// Beginnings and ends of long values, by their beginnings.
#[derive(Debug, Default)]
pub struct Ends {
    few: [(u32, u32); FEW],
    /// Behind them.
    more: Vec<(u32, u32)>,
    count: usize,
}

/// Of nothing.
pub(super) const NONE: &Ends = &Ends {
    few: [(0, 0); FEW],
    more: Vec::new(),
    count: 0,
};

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
        let at = self.count;
        let start = u32::try_from(start).ok().filter(|_| at < NOTED_MAX)?;
        match self.few.get_mut(at) {
            Some(place) => *place = (start, 0),
            None => self.more.push((start, 0)),
        }
        self.count += 1;
        Some(at)
    }

    /// It ends.
    pub(super) fn close(&mut self, at: usize, end: usize) {
        let last = at + 1 == self.count;
        let noted = match at.checked_sub(FEW) {
            None => self.few.get_mut(at),
            Some(at) => self.more.get_mut(at),
        };
        let Some(noted) = noted else { return };
        // Of what does not fit, nothing is known.
        noted.1 = u32::try_from(end).unwrap_or(0);
        if last && end - (noted.0 as usize) < LONG {
            self.more.pop();
            self.count -= 1;
        }
    }

    /// The end of the value that begins there, if it was noted.
    pub(super) fn of(&self, start: usize) -> Option<usize> {
        let start = u32::try_from(start).ok()?;
        let few = self.few.get(..self.count).unwrap_or(&self.few);
        let (_, end) = match self.more.first() {
            Some((first, _)) if *first <= start => {
                let at = self.more.binary_search_by_key(&start, |(start, _)| *start).ok()?;
                self.more.get(at)?
            }
            _ => few.iter().find(|(own, _)| *own == start)?,
        };
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
        assert_eq!((ends.count, ends.more.len()), (NOTED_MAX, NOTED_MAX - FEW));
        for n in [0, 1, FEW - 3, FEW - 2, FEW, NOTED_MAX - 3] {
            assert_eq!(ends.of(1000 + n), Some(1000 + n + LONG), "{n}");
        }
        assert_eq!(ends.of(1000 + NOTED_MAX), None);
    }
}
