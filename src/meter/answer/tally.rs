//! What an answer has used so far: as reported where it was reported, else as counted.

use crate::domain::usage::{Class, Usage};

use super::report::Report;

/// Text that has been passed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counted {
    /// Bytes of what the model wrote, decoded, in UTF-8: words, reasoning, refusals, names and arguments of calls. More than its tokens, but for a few
    /// that have no text.
    pub bytes: u64,
    /// Events with such text. Many servers send one per token, some put several tokens into one.
    pub events: u64,
}

impl Counted {
    /// None of it.
    pub const fn is_empty(self) -> bool {
        self.bytes == 0 && self.events == 0
    }

    pub(super) fn add(&mut self, bytes: u64, events: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.events = self.events.saturating_add(events);
    }
}

/// What an answer has used so far. Of each half (read, written) the last valid report counts, and of what was written also `counted`: what came after it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// By the last valid report of each half; nothing in a half that none has named.
    pub usage: Usage,
    /// What was read has been reported.
    pub input_reported: bool,
    /// What was written has been reported, up to `counted`.
    pub output_reported: bool,
    /// Passed on since the last report of what was written; all of it where there was none.
    pub counted: Counted,
    /// All that was passed on.
    pub delivered: Counted,
    /// Numbers in reports that cannot be, and reports that contradict what was passed on (A14).
    pub invalid: u32,
    /// The upstream has said within its answer that it failed.
    pub failed: bool,
    /// The upstream has said that its answer is over.
    pub complete: bool,
}

impl Tally {
    /// All tokens, where the reports say all. `None` where something is to be estimated: what was read, or what was written since.
    pub fn exact(&self) -> Option<Usage> {
        let said = self.input_reported && self.output_reported && self.counted.is_empty();
        said.then_some(self.usage)
    }

    /// Text is passed on.
    pub(super) fn deliver(&mut self, bytes: u64, events: u64) {
        self.counted.add(bytes, events);
        self.delivered.add(bytes, events);
    }

    /// A report that stands behind all that was delivered so far.
    pub(super) fn absorb(&mut self, report: &Report) {
        self.invalid = self.invalid.saturating_add(report.invalid);
        if let Some(input) = report.input {
            if input.input() == 0 && !report.total_alone {
                // Nobody asks nothing: the upstream does not know, or not yet.
                self.invalid = self.invalid.saturating_add(u32::from(!report.partial));
            } else {
                let input = if report.partial {
                    self.merged(&input)
                } else {
                    input
                };
                self.take(&input, |class| !class.is_output());
                self.input_reported = true;
            }
        }
        if let Some(output) = report.output {
            if output.output() == 0 && self.delivered.bytes > 0 {
                self.invalid = self.invalid.saturating_add(1);
            } else {
                self.take(&output, Class::is_output);
                self.output_reported = true;
                self.counted = Counted::default();
            }
        }
    }

    /// What was read by this report and those before: they count from the beginning, and what one leaves out stays. The two kinds that are written to a cache
    /// are one number to those who tell no parts.
    fn merged(&self, later: &Usage) -> Usage {
        let written = |usage: &Usage| {
            usage
                .get(Class::CacheWrite)
                .saturating_add(usage.get(Class::CacheWriteLong))
        };
        let writes = if written(later) > written(&self.usage) {
            *later
        } else {
            self.usage
        };
        let mut merged = *later;
        for class in Class::ALL {
            let tokens = match class {
                Class::CacheWrite | Class::CacheWriteLong => writes.get(class),
                _ => later.get(class).max(self.usage.get(class)),
            };
            merged = merged.with(class, tokens);
        }
        merged
    }

    fn take(&mut self, from: &Usage, of: impl Fn(Class) -> bool) {
        for class in Class::ALL.into_iter().filter(|class| of(*class)) {
            self.usage = self.usage.with(class, from.get(class));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(input: Option<u64>, output: Option<u64>) -> Report {
        Report {
            input: input.map(|tokens| Usage::of(tokens, 0)),
            output: output.map(|tokens| Usage::of(0, tokens)),
            ..Report::default()
        }
    }

    #[test]
    fn a14_the_last_valid_report_wins_in_each_half() {
        let mut tally = Tally::default();
        assert_eq!(tally.exact(), None);
        tally.absorb(&report(Some(7), Some(1)));
        tally.deliver(40, 2);
        assert_eq!((tally.usage, tally.exact()), (Usage::of(7, 1), None));
        assert_eq!(tally.counted, Counted { bytes: 40, events: 2 });
        tally.absorb(&report(None, Some(9)));
        assert_eq!(tally.exact(), Some(Usage::of(7, 9)));
        tally.absorb(&report(Some(8), Some(6)));
        assert_eq!(tally.exact(), Some(Usage::of(8, 6)));
        assert_eq!((tally.delivered.bytes, tally.invalid), (40, 0));
    }

    #[test]
    fn a14_nothing_read_and_nothing_written_contradict_what_was_seen() {
        let mut tally = Tally::default();
        tally.absorb(&report(Some(0), Some(0)));
        assert_eq!(
            (tally.input_reported, tally.output_reported, tally.invalid),
            (false, true, 1)
        );
        let mut tally = Tally::default();
        tally.deliver(3, 1);
        tally.absorb(&report(Some(5), Some(0)));
        assert_eq!(
            (tally.input_reported, tally.output_reported, tally.invalid),
            (true, false, 1)
        );
        assert_eq!(tally.counted, Counted { bytes: 3, events: 1 });
        tally.absorb(&report(None, Some(2)));
        tally.absorb(&report(Some(0), Some(0)));
        assert_eq!((tally.exact(), tally.invalid), (Some(Usage::of(5, 2)), 3));
    }

    #[test]
    fn a_report_of_parts_does_not_lower_what_was_read() {
        let mut tally = Tally::default();
        let cached = Usage::of(10, 0).with(Class::CachedInput, 90);
        tally.absorb(&Report {
            input: Some(cached),
            ..Report::default()
        });
        let part = |input: Usage| Report {
            partial: true,
            input: Some(input),
            ..report(None, Some(4))
        };
        tally.absorb(&part(Usage::of(10, 0)));
        assert_eq!(tally.usage, cached.with(Class::Output, 4));
        tally.absorb(&part(Usage::of(50, 0).with(Class::CacheWriteLong, 20)));
        let more = cached.with(Class::Input, 50).with(Class::CacheWriteLong, 20);
        tally.absorb(&part(Usage::of(0, 0).with(Class::CacheWrite, 20)));
        assert_eq!(tally.usage, more.with(Class::Output, 4));
    }
}
