//! How an exchange ended, in one word, for metrics and the log.

use super::code::Code;

/// See the module.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Answered, with a status below 400.
    Ok,
    /// The upstream answered with a status of 400 or above, which was passed on.
    UpstreamError,
    /// The client left before it had the whole answer.
    ClientGone,
    /// The upstream broke off in the middle of its answer.
    UpstreamCut,
    /// The upstream was cut off in the middle of its answer: the credits had run out, or it wrote more than it was told.
    CutOff,
    /// Answered by us with an error.
    Error(Code),
}

const PLAIN: [Outcome; 5] = [
    Outcome::Ok,
    Outcome::UpstreamError,
    Outcome::ClientGone,
    Outcome::UpstreamCut,
    Outcome::CutOff,
];

/// The words of all outcomes; an outcome's [`Outcome::index`] is its place here.
pub const OUTCOMES: &[&str] = &WORDS;

const WORDS: [&str; PLAIN.len() + Code::ALL.len()] = {
    let mut words = [""; PLAIN.len() + Code::ALL.len()];
    let mut at = 0;
    while at < PLAIN.len() {
        words[at] = PLAIN[at].as_str();
        at += 1;
    }
    while at < words.len() {
        words[at] = Code::ALL[at - PLAIN.len()].as_str();
        at += 1;
    }
    words
};

impl Outcome {
    /// A panic.
    pub(super) const INTERNAL: Outcome = Outcome::Error(Code::Internal);

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::UpstreamError => "upstream_error",
            Outcome::ClientGone => "client_gone",
            Outcome::UpstreamCut => "upstream_cut",
            Outcome::CutOff => "cut_off",
            Outcome::Error(code) => code.as_str(),
        }
    }

    /// Its place in [`OUTCOMES`].
    pub const fn index(self) -> usize {
        match self {
            Outcome::Ok => 0,
            Outcome::UpstreamError => 1,
            Outcome::ClientGone => 2,
            Outcome::UpstreamCut => 3,
            Outcome::CutOff => 4,
            Outcome::Error(code) => PLAIN.len() + code as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_is_at_its_place() {
        let all = PLAIN
            .into_iter()
            .chain(Code::ALL.iter().map(|code| Outcome::Error(*code)));
        let words: Vec<_> = all.clone().map(Outcome::as_str).collect();
        assert_eq!(words, OUTCOMES);
        assert!(all.enumerate().all(|(place, outcome)| outcome.index() == place));
    }
}
