//! Chance that can be repeated.

/// Numbers from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    /// For one call of a run.
    pub(super) fn new(seed: u64, call: u64) -> Chance {
        let mut chance = Chance(seed ^ call.wrapping_mul(0xd134_2543_de82_ef95));
        chance.next();
        chance
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// From `low` to `high`, both included.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    /// True in so many of a hundred cases.
    pub(super) fn percent(&mut self, cases: u64) -> bool {
        self.within(1, 100) <= cases
    }

    /// One of these.
    pub(super) fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.within(0, of.len() as u64 - 1)).unwrap()]
    }

    /// Cuts bytes into pieces of `low` to `high` bytes.
    pub(super) fn pieces<'b>(&mut self, mut bytes: &'b [u8], low: u64, high: u64) -> Vec<&'b [u8]> {
        let mut pieces = Vec::new();
        while !bytes.is_empty() {
            let length = usize::try_from(self.within(low, high)).unwrap().min(bytes.len());
            let (piece, rest) = bytes.split_at(length);
            pieces.push(piece);
            bytes = rest;
        }
        pieces
    }

    /// A text of about so many bytes, of letters of one to four bytes.
    pub(super) fn text(&mut self, bytes: u64) -> String {
        let letters: Vec<char> = "etaoin shrdlu ETA 0123,.\n\"éßдф中文字😀".chars().collect();
        let mut text = String::new();
        while (text.len() as u64) < bytes {
            text.push(self.one(&letters));
        }
        text
    }

    /// A text of about so many bytes, of words.
    pub(super) fn words(&mut self, bytes: u64) -> String {
        let words: Vec<&str> =
            "the of a gate opens only for who pays fare before any ride begins, and every passenger knows exactly how much remains. \
             Unfathomable circumstances notwithstanding: let total = count + 17; return value; }"
                .split(' ')
                .collect();
        let mut text = String::new();
        while (text.len() as u64) < bytes {
            text.push_str(self.one(&words));
            text.push(' ');
        }
        text
    }

    /// Tokens of a text as this witness counts them: pieces of one to six letters.
    pub(super) fn tokens_of(&mut self, text: &str) -> Vec<String> {
        let letters: Vec<char> = text.chars().collect();
        // Some tokenizers know nothing longer than a letter.
        let longest = self.one(&[1, 2, 4, 6, 6]);
        let mut tokens = Vec::new();
        let mut at = 0;
        while at < letters.len() {
            let length = usize::try_from(self.within(1, longest)).unwrap();
            let end = (at + length).min(letters.len());
            tokens.push(letters[at..end].iter().collect());
            at = end;
        }
        tokens
    }
}
