//! The most tokens that a text can be, without a tokenizer (P12).
//!
//! Tokenizers in use write every text with at most one token per byte of UTF-8: byte-level BPE has all 256 bytes among its tokens, SentencePiece falls
//! back to bytes for what it does not know, WordPiece has at most one token per character. Some normalise first, and that may make a text longer: U+FDFA has 3
//! bytes, and 33 in form NFKC. Such characters weigh as much as they can become, in forms NFC and NFKC, with and without lower case.

use memchr::memchr;

use super::json::unescaped;

/// Characters that may become longer: first and last of a range, and the most bytes that one of it becomes. In order.
const HEAVY: [(u32, u32, u8); 58] = [
    (0xa8, 0xa8, 3),
    (0xaf, 0xaf, 3),
    (0xb4, 0xb4, 3),
    (0xb8, 0xb8, 3),
    (0xbc, 0xbe, 5),
    (0x130, 0x130, 3),
    (0x13f, 0x140, 3),
    (0x149, 0x149, 3),
    (0x1c4, 0x1c6, 3),
    (0x1f0, 0x1f0, 3),
    (0x23a, 0x23e, 3),
    (0x2d8, 0x2dd, 3),
    // Marks: one may take the marks apart that were one character with the letter before.
    (0x300, 0x36f, 7),
    (0x37a, 0x37a, 3),
    (0x384, 0x385, 5),
    (0x390, 0x390, 6),
    (0x3b0, 0x3b0, 6),
    (0x587, 0x587, 4),
    (0x675, 0x678, 4),
    (0x958, 0x95f, 6),
    (0x9dc, 0x9df, 6),
    (0xa33, 0xa5e, 6),
    (0xb5c, 0xb5d, 6),
    (0xe33, 0xe33, 6),
    (0xeb3, 0xeb3, 6),
    (0xedc, 0xedd, 6),
    (0xf43, 0xfb9, 9),
    (0x1f50, 0x1fff, 6),
    (0x2033, 0x2037, 9),
    (0x2057, 0x2057, 12),
    (0x2150, 0x2189, 6),
    (0x222c, 0x2230, 9),
    (0x247d, 0x2487, 4),
    (0x2a0c, 0x2a0c, 12),
    (0x2adc, 0x2adc, 5),
    (0x309b, 0x309c, 4),
    (0x309f, 0x309f, 6),
    (0x30ff, 0x30ff, 6),
    (0x3200, 0x3243, 8),
    (0x327c, 0x327d, 6),
    (0x32c0, 0x32cb, 5),
    (0x32ff, 0x33ff, 18),
    (0xfa6c, 0xfad7, 4),
    (0xfb13, 0xfb17, 4),
    (0xfb1d, 0xfb4f, 6),
    (0xfbdd, 0xfdc7, 6),
    (0xfdf0, 0xfdf9, 8),
    (0xfdfa, 0xfdfa, 33),
    (0xfdfb, 0xfdfb, 15),
    (0xfdfc, 0xfdfc, 8),
    (0xfe71, 0xfe7f, 4),
    (0xfef5, 0xfefc, 4),
    (0x1_b123, 0x1_b126, 6),
    (0x1_d15e, 0x1_d164, 12),
    (0x1_d1bb, 0x1_d1c0, 12),
    (0x1_f12a, 0x1_f12a, 7),
    (0x1_f200, 0x1_f201, 6),
    (0x1_f240, 0x1_f248, 9),
];

/// Bytes that are looked at in one go.
const BLOCK: usize = 32;

/// The most tokens of a piece of JSON as it is written: brackets, names and commas count as well, which pays for what a chat template puts around messages. Strings count
/// decoded.
pub fn of_json(written: &str) -> u64 {
    let mut tokens = of_text(written);
    let bytes = written.as_bytes();
    let mut at = 0;
    while let Some(found) = bytes.get(at..).and_then(|rest| memchr(b'\\', rest)) {
        at += found;
        while bytes.get(at) == Some(&b'\\') {
            let (c, length) = unescaped(bytes.get(at..).unwrap_or_default());
            tokens = tokens.saturating_sub(length as u64) + weight(c);
            at += length;
        }
    }
    tokens
}

/// The most tokens of a tool or a schema, by its JSON as it is written. Chat templates write it anew: some on many lines and indented, some with tags around each name,
/// some with what is not ASCII or not safe in HTML escaped.
pub fn of_tool(written: &str) -> u64 {
    /// A bracket or comma: a line's end, the bracket, a tag's end; and what 16 blanks are indented by.
    const LINE: u64 = 3;
    const INDENTED: u64 = 4;
    /// Between a name and what it is: tags around both.
    const COLON: u64 = 4;
    let (mut tokens, mut depth, mut inside) = (0, 0_u64, false);
    let mut chars = written.chars();
    while let Some(c) = chars.next() {
        tokens += match c {
            '"' => {
                inside = !inside;
                1
            }
            '\\' => {
                // An escape stays one; of `\u`, the digits are counted as they come.
                chars.next();
                2
            }
            ':' if !inside => COLON,
            ',' | '{' | '[' | '}' | ']' if !inside => {
                if matches!(c, '{' | '[') {
                    depth += 1;
                } else if c != ',' {
                    depth = depth.saturating_sub(1);
                }
                LINE + depth / INDENTED
            }
            '<' | '>' | '&' | '\'' => ESCAPED,
            c if c.is_ascii() => 1,
            c => weight(c).max(ESCAPED * c.len_utf16() as u64),
        };
    }
    tokens
}

/// Bytes of an escape: `\u00e9`.
const ESCAPED: u64 = 6;

/// The most tokens of a text.
pub fn of_text(text: &str) -> u64 {
    let bytes = text.as_bytes();
    let mut tokens = bytes.len() as u64;
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        if block.iter().fold(true, |calm, byte| calm & is_calm(*byte)) {
            continue;
        }
        for (at, _) in block.iter().enumerate().filter(|(_, byte)| !is_calm(**byte)) {
            let c = text
                .get(number * BLOCK + at..)
                .and_then(|rest| rest.chars().next());
            tokens += c.map_or(0, |c| weight(c) - c.len_utf8() as u64);
        }
    }
    tokens
}

/// Whether no character that begins with this byte may become longer: most of what Latin, Cyrillic, Chinese and Korean texts are made of.
const fn is_calm(byte: u8) -> bool {
    byte < 0xc2 || byte == 0xc3 || (0xd0 <= byte && byte < 0xd6) || (0xe4 <= byte && byte < 0xee)
}

/// The most bytes that a character becomes.
fn weight(c: char) -> u64 {
    let plain = c.len_utf8() as u64;
    let c = u32::from(c);
    // What most texts are made of: ASCII, Greek, Cyrillic, Arabic, kana, Chinese, Korean.
    if matches!(c, 0..0xa8 | 0x3b1..0x587 | 0x600..0x675 | 0x679..0x900 | 0x3400..0xfa6c) {
        return plain;
    }
    let behind = HEAVY.partition_point(|(first, ..)| *first <= c);
    match behind.checked_sub(1).and_then(|at| HEAVY.get(at)) {
        Some((_, last, weight)) if c <= *last => u64::from(*weight),
        _ => plain,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::{UnicodeNormalization, char::canonical_combining_class};

    use super::*;

    fn all() -> impl Iterator<Item = char> {
        ('\0'..=char::MAX).filter(|c| !c.is_ascii())
    }

    /// The most bytes that a text has, as it is and in the forms that tokenizers bring it to.
    fn longest(text: &str) -> u64 {
        let lower = text.to_lowercase();
        // As good as case folding, for what has one.
        let folded = text.to_uppercase().to_lowercase();
        let bytes = |forms: &str| {
            forms
                .nfc()
                .collect::<String>()
                .len()
                .max(forms.nfkc().collect::<String>().len())
        };
        [text, &lower, &folded]
            .into_iter()
            .map(|text| bytes(text).max(text.len()))
            .max()
            .unwrap() as u64
    }

    #[test]
    fn p12_no_character_becomes_longer_than_it_weighs() {
        let light: Vec<_> = all()
            .filter(|c| longest(&c.to_string()) > weight(*c))
            .map(|c| format!("{:x} {}", u32::from(c), longest(&c.to_string())))
            .collect();
        assert_eq!(light, [""; 0]);
        // Those that are never looked at are never longer.
        let calm = |c: &char| is_calm(c.to_string().as_bytes()[0]);
        assert!(all().filter(calm).all(|c| weight(c) == c.len_utf8() as u64));
        assert!(HEAVY.windows(2).all(|pair| pair[0].1 < pair[1].0));
        assert_eq!(weight('\u{fdfa}'), 33);
        assert_eq!(
            (weight('x'), weight('é'), weight('中'), weight('😀')),
            (1, 2, 3, 4)
        );
    }

    #[test]
    fn p12_no_mark_makes_what_is_before_it_longer_than_they_weigh() {
        // Those of one class do the same, unless they compose with letters; one of each other class will do.
        let mut classes = std::collections::BTreeSet::new();
        let composing: std::collections::BTreeSet<char> = all().flat_map(|c| c.nfkd().skip(1)).collect();
        let composes = |c: &char| composing.contains(c) || c.nfkd().count() > 1;
        let mark = |c: &char| match canonical_combining_class(*c) {
            0 => false,
            class => classes.insert((class, c.len_utf8())) || composes(c),
        };
        let marks: Vec<char> = all().filter(mark).collect();
        assert!(marks.len() > 100, "{}", marks.len());
        // A mark can only take apart what is put together.
        let together = |c: &char| {
            c.nfkc().count() < c.nfkd().count() && c.nfkd().any(|part| canonical_combining_class(part) != 0)
        };
        let marked = all().filter(together);
        let mut light = Vec::new();
        for c in marked {
            let own = weight(c);
            for mark in &marks {
                let after: String = [c, *mark].into_iter().nfkc().collect();
                if after.len() as u64 > own + weight(*mark) {
                    light.push(format!(
                        "{:x} {:x} {}",
                        u32::from(c),
                        u32::from(*mark),
                        after.len()
                    ));
                }
            }
        }
        assert_eq!(light, [""; 0]);
    }

    #[test]
    fn json_counts_decoded_strings_and_everything_around_them() {
        for (written, tokens) in [
            (r#"{"a":1}"#, 7),
            (r#""\n\"\\""#, 5),
            (r#""\u0041\u00e9\u4e2d\ud83d\ude00""#, 12),
            (r#""\ufdfa""#, 35),
            ("\"\u{fdfa}\"", 35),
            (&format!("\"{}\"", "中文 text ".repeat(100)), 1202),
        ] {
            assert_eq!(of_json(written), tokens, "{written}");
        }
    }

    #[test]
    fn p12_tools_count_as_a_template_may_write_them() {
        for (written, tokens) in [
            (r#""abc""#, 5),
            (r#""a\n\u00e9<é😀""#, 2 + 1 + 2 + 6 + 6 + 6 + 12),
            ("[0,0]", 3 + 1 + 3 + 1 + 3),
            (r#"{"aa":{}}"#, 3 + 4 + 4 + 3 + 3 + 3),
        ] {
            assert_eq!(of_tool(written), tokens, "{written}");
        }
        // As some templates write them: indented, or with tags; a generous count of the tokens of each.
        let list = |count: usize| {
            format!(
                "{}{}{}",
                "[".repeat(20),
                vec!["0"; count].join(","),
                "]".repeat(20)
            )
        };
        assert!(of_tool(&list(1000)) >= 1000 * (3 + 20 * 4 / 16));
        let members: Vec<String> = (10..100).map(|n| format!("\"{n}\":{{}}")).collect();
        assert!(of_tool(&format!("{{{}}}", members.join(","))) >= 90 * 15);
    }

    fn any_text() -> impl Strategy<Value = String> {
        let marked = prop::sample::select(vec![
            '\u{300}', '\u{31b}', '\u{323}', '\u{345}', '\u{338}', '\u{344}', '\u{93c}', '\u{3099}',
        ]);
        let letters = prop::sample::select(
            "aeuoASü ǖếᾂΐ½が한각\u{1100}\u{1161}\u{11a8}\u{fdfa}ﬃ中"
                .chars()
                .collect::<Vec<_>>(),
        );
        let c = prop_oneof![
            any::<char>(),
            marked,
            letters,
            prop::char::range('\u{0}', '\u{33ff}')
        ];
        prop::collection::vec(c, 0..60).prop_map(String::from_iter)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn p12_no_text_has_more_bytes_in_any_form_than_its_bound(text in any_text()) {
            prop_assert!(of_text(&text) >= longest(&text));
            let written = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(of_json(&written), of_text(&text) + 2);
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect();
            prop_assert_eq!(of_json(&escaped), of_text(&text));
            prop_assert!(of_tool(&written) >= of_json(&written));
            prop_assert!(of_tool(&written) >= escaped.len() as u64 / 6);
        }
    }
}
