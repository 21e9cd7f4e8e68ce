//! Rust source as tokens, without comments, texts and test code. Not a parser: enough to follow paths
//! and match braces.

/// One token with where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) text: String,
    /// Counted from 1.
    pub(super) line: usize,
}

impl Token {
    pub(super) fn is(&self, text: &str) -> bool {
        self.text == text
    }

    pub(super) fn is_name(&self) -> bool {
        self.text.starts_with(|c: char| c.is_alphabetic() || c == '_')
    }
}

/// All tokens: names and numbers, `::`, and single other signs. Comments are gone; each text, character
/// and lifetime is the one token `"`.
pub(super) fn tokens(source: &str) -> Vec<Token> {
    let chars: Vec<char> = source.chars().collect();
    let mut tokens = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < chars.len() {
        let (kind, end) = lexeme(&chars, at);
        match kind {
            Lexeme::Nothing => {}
            Lexeme::Text => tokens.push(Token {
                text: "\"".to_owned(),
                line,
            }),
            Lexeme::Code => tokens.push(Token {
                text: chars[at..end].iter().collect(),
                line,
            }),
        }
        line += chars[at..end].iter().filter(|&&c| c == '\n').count();
        at = end;
    }
    tokens
}

enum Lexeme {
    Nothing,
    Text,
    Code,
}

/// What begins at `at`, and where it ends.
fn lexeme(chars: &[char], at: usize) -> (Lexeme, usize) {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    match chars[at] {
        c if c.is_whitespace() => (Lexeme::Nothing, at + 1),
        '/' if next(1) == '/' => (Lexeme::Nothing, find(chars, at, |c| c == '\n')),
        '/' if next(1) == '*' => (Lexeme::Nothing, block_comment(chars, at)),
        '"' => (Lexeme::Text, quoted(chars, at + 1, '"')),
        'b' | 'c' if next(1) == '"' => (Lexeme::Text, quoted(chars, at + 2, '"')),
        'b' if next(1) == '\'' => (Lexeme::Text, quoted(chars, at + 2, '\'')),
        'r' if next(1) == '"' || (next(1) == '#' && matches!(next(2), '#' | '"')) => {
            (Lexeme::Text, raw(chars, at + 1))
        }
        'b' | 'c' if next(1) == 'r' && matches!(next(2), '#' | '"') => (Lexeme::Text, raw(chars, at + 2)),
        '\'' if next(1) == '\\' || next(2) == '\'' => (Lexeme::Text, quoted(chars, at + 1, '\'')),
        // A lifetime.
        '\'' => (Lexeme::Text, find(chars, at + 1, |c| !is_word(c))),
        ':' if next(1) == ':' => (Lexeme::Code, at + 2),
        c if is_word(c) => (Lexeme::Code, find(chars, at, |c| !is_word(c))),
        _ => (Lexeme::Code, at + 1),
    }
}

fn find(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    chars[from..]
        .iter()
        .position(|&c| wanted(c))
        .map_or(chars.len(), |found| from + found)
}

fn block_comment(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at < chars.len() {
        match (chars[at], chars.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn quoted(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from;
    while at < chars.len() {
        match chars[at] {
            '\\' => at += 2,
            c if c == quote => return at + 1,
            _ => at += 1,
        }
    }
    chars.len()
}

/// A raw text whose `#` or quote is at `from`.
fn raw(chars: &[char], from: usize) -> usize {
    let open = find(chars, from, |c| c != '#');
    let hashes = open - from;
    let mut at = open + 1;
    while at < chars.len() {
        let closing =
            chars[at] == '"' && chars[at + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
        at += 1;
        if closing {
            return at + hashes;
        }
    }
    chars.len()
}

/// The tokens without the items behind `#[cfg(test)]` and `#[test]`.
pub(super) fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        if ["# [ cfg ( test ) ]", "# [ test ]"]
            .iter()
            .any(|mark| begins_with(&tokens[at..], mark))
        {
            at = item_end(tokens, at);
        } else {
            kept.push(tokens[at].clone());
            at += 1;
        }
    }
    kept
}

fn begins_with(tokens: &[Token], mark: &str) -> bool {
    let mut tokens = tokens.iter();
    mark.split(' ')
        .all(|text| tokens.next().is_some_and(|token| token.is(text)))
}

/// Where the item whose attribute is at `from` ends: behind its `;` or its closing brace.
fn item_end(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while at < tokens.len() {
        match tokens[at].text.as_str() {
            ";" => return at + 1,
            "{" => return closing(tokens, at) + 1,
            "(" | "[" => at = closing(tokens, at) + 1,
            _ => at += 1,
        }
    }
    at
}

/// The index of the bracket that closes the one at `open`; the last token when there is none.
pub(super) fn closing(tokens: &[Token], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token.text.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len() - 1
}

/// All paths of the tree that begins at token `at` (a name): `a::{b, c::d}` gives `a::b` and `a::c::d`. Each
/// with the line of its last name.
pub(super) fn paths(tokens: &[Token], at: usize) -> Vec<(Vec<String>, usize)> {
    let mut found = Vec::new();
    tree(tokens, at, &[], &mut found);
    found
}

/// Reads one tree and returns the index behind it.
fn tree(tokens: &[Token], at: usize, prefix: &[String], found: &mut Vec<(Vec<String>, usize)>) -> usize {
    let Some(token) = tokens.get(at) else { return at };
    if token.is("{") {
        let end = closing(tokens, at);
        let mut inner = at + 1;
        while inner < end {
            inner = tree(tokens, inner, prefix, found).max(inner + 1);
        }
        return end + 1;
    }
    if !token.is_name() && !token.is("*") {
        return at;
    }
    let mut path = prefix.to_vec();
    path.push(token.text.clone());
    let goes_on = tokens.get(at + 1).is_some_and(|t| t.is("::"))
        && tokens
            .get(at + 2)
            .is_some_and(|t| t.is_name() || t.is("{") || t.is("*"));
    if goes_on {
        return tree(tokens, at + 2, &path, found);
    }
    found.push((path, token.line));
    // A renaming (`as x`) belongs to it.
    if tokens.get(at + 1).is_some_and(|t| t.is("as")) {
        at + 3
    } else {
        at + 1
    }
}

#[cfg(test)]
mod tests {
    use super::{paths, tokens, without_tests};

    fn texts(source: &str) -> Vec<String> {
        tokens(source).into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn comments_texts_characters_and_lifetimes_hide_what_is_in_them() {
        assert_eq!(texts("a // crate::b\n/* x /* { */ y */ c"), ["a", "c"]);
        assert_eq!(
            texts(r##"f("{ \" }", r#"{"#, br"}", b'{', '}', '\'', '\u{7d}')"##),
            {
                let mut expected = vec!["f", "("];
                expected.extend(["\"", ","].repeat(6));
                expected.extend(["\"", ")"]);
                expected
            }
        );
        assert_eq!(texts("fn f<'a>(x: &'a T)").concat(), "fnf<\">(x:&\"T)");
    }

    #[test]
    fn lines_are_counted_through_texts_and_comments() {
        let lines: Vec<_> = tokens("a\n\"x\ny\"\n/*\n*/ b")
            .into_iter()
            .map(|t| (t.text, t.line))
            .collect();
        assert_eq!(
            lines,
            [("a".to_owned(), 1), ("\"".to_owned(), 2), ("b".to_owned(), 5)]
        );
    }

    #[test]
    fn test_code_is_left_out() {
        let source = "fn a() {} #[cfg(test)] mod t { fn b() { {} } } #[test] fn c(x: [u8; 2]) {} \
                      #[cfg(test)] mod d; fn e() {}";
        let kept: String = without_tests(&tokens(source))
            .iter()
            .map(|t| t.text.as_str())
            .collect();
        assert_eq!(kept, "fna(){}fne(){}");
    }

    #[test]
    fn groups_are_taken_apart() {
        let tokens = tokens("crate::{a::{self, b as c}, d::*, e}; crate::f::<T>::g");
        let all: Vec<String> = paths(&tokens, 0)
            .into_iter()
            .map(|(path, _)| path.join("::"))
            .collect();
        assert_eq!(all, ["crate::a::self", "crate::a::b", "crate::d::*", "crate::e"]);
        let at = tokens.iter().rposition(|t| t.is("crate")).unwrap();
        assert_eq!(
            paths(&tokens, at),
            [(vec!["crate".to_owned(), "f".to_owned()], 1)]
        );
    }
}
