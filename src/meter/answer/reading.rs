//! What one event says, and what has been learnt from those before: what each API's reader takes and gives.

use std::ops::Range;

use super::Shown;
use super::report::Report;
use super::words::Text;
use crate::meter::json::{Kind, Value, loose};

/// An event, as an API's reader gets it.
#[derive(Clone, Copy, Debug)]
pub(in crate::meter) struct Told<'e> {
    /// Its name, where it has one.
    pub(in crate::meter) name: &'e str,
    /// Its data.
    pub(in crate::meter) data: Value<'e>,
    /// What has been learnt so far.
    pub(in crate::meter) marks: Marks,
    /// What the client is to see of its usage.
    pub(in crate::meter) shown: Shown,
    /// Nothing is known yet of what names this answer.
    pub(in crate::meter) nameless: bool,
    /// Choices that were asked for.
    pub(in crate::meter) choices: u64,
    /// The words are wanted, not only how many they are.
    pub(in crate::meter) keep_words: bool,
}

/// What an event says.
#[derive(Debug, Default)]
pub(in crate::meter) struct Reading {
    /// What the model wrote.
    pub(in crate::meter) text: Text,
    /// What it reports.
    pub(in crate::meter) report: Option<Report>,
    /// The upstream has failed.
    pub(in crate::meter) failed: bool,
    /// The answer is over.
    pub(in crate::meter) complete: bool,
    /// What the client is not to see.
    pub(in crate::meter) hide: Hide,
    /// What is known now.
    pub(in crate::meter) marks: Marks,
    /// What names this answer.
    pub(in crate::meter) names: Option<Box<Names>>,
}

impl Reading {
    pub(in crate::meter) fn of(told: &Told<'_>) -> Reading {
        Reading {
            marks: told.marks,
            text: Text::new(told.keep_words),
            ..Reading::default()
        }
    }
}

/// What is kept from the client.
#[derive(PartialEq, Eq, Debug, Default)]
pub(in crate::meter) enum Hide {
    /// Nothing.
    #[default]
    Nothing,
    /// These parts of the data, in order.
    Parts(Vec<Range<usize>>),
    /// The event.
    All,
}

/// What has been learnt from the events that passed, and an ending needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in crate::meter) struct Marks {
    /// Choices that have begun, by bit.
    pub(in crate::meter) begun: u128,
    /// Choices that are over, by bit.
    pub(in crate::meter) over: u128,
    /// The part that is open: Anthropic's content block, an item of a response.
    pub(in crate::meter) open: Option<u64>,
    /// The number of the last event, where they are numbered; the parts that have begun, where those are.
    pub(in crate::meter) number: Option<u64>,
    /// Reports that come with a choice are of that one alone: one came while others were not over.
    pub(in crate::meter) of_one: bool,
    /// The last words have been said but for the very last.
    pub(in crate::meter) ending: bool,
}

impl Marks {
    /// Every choice that has begun is over.
    pub(in crate::meter) fn is_over(&self) -> bool {
        self.begun != 0 && self.begun & !self.over == 0
    }

    /// The bit of a choice; none beyond 128.
    pub(in crate::meter) fn bit(choice: u64) -> u128 {
        u32::try_from(choice)
            .ok()
            .and_then(|choice| 1_u128.checked_shl(choice))
            .unwrap_or(0)
    }
}

/// The longest of the values in [`Names`] that are kept.
const NAME_MAX: usize = 512;

/// What names an answer: JSON as the upstream wrote it, so that an ending can say the same.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(in crate::meter) struct Names {
    /// Its id.
    pub(in crate::meter) id: Option<Box<str>>,
    /// When it was made.
    pub(in crate::meter) created: Option<Box<str>>,
    /// The model that answers.
    pub(in crate::meter) model: Option<Box<str>>,
    /// All that it says of itself, where its ending has to say it again.
    pub(in crate::meter) whole: Option<Box<str>>,
}

impl Names {
    pub(in crate::meter) fn of(
        id: Option<Value<'_>>,
        created: Option<Value<'_>>,
        model: Option<Value<'_>>,
    ) -> Option<Box<Names>> {
        let names = Names {
            id: kept(id),
            created: kept(created),
            model: kept(model),
            whole: None,
        };
        (names != Names::default()).then(|| Box::new(names))
    }
}

fn kept(value: Option<Value<'_>>) -> Option<Box<str>> {
    let value = value?;
    let number = value.kind() == Kind::Number && value.raw().ends_with(|c: char| c.is_ascii_digit());
    let named = value.kind() == Kind::String || number;
    (named && value.raw().len() <= NAME_MAX).then(|| value.raw().into())
}

/// At least so many bytes of sound in base64 are a token: some 20 tokens are a second, for which the most compressed formats take 2,700.
const SOUND: u64 = 128;

/// What stands for sound in base64, as if it were text of a byte for each token.
pub(in crate::meter) fn sound_in(value: Value<'_>) -> u64 {
    (value.raw().len() as u64).div_ceil(SOUND)
}

/// An object without the members of these names.
pub(in crate::meter) fn without_members(object: &str, names: &[&str]) -> Option<String> {
    let parts = parts_of(loose(object.as_bytes()).ok()?, names);
    String::from_utf8(without(object.as_bytes(), &parts)).ok()
}

/// Where the members of these names are in an object, so that what is left without them is an object.
pub(in crate::meter) fn parts_of(object: Value<'_>, names: &[&str]) -> Vec<Range<usize>> {
    let mut parts = Vec::new();
    let begin = object.span().start;
    // Where the last member ended, and whether it stays.
    let (mut end, mut stays) = (begin + 1, false);
    for (own, value) in object.members() {
        let own_end = value.span().end;
        if !names.contains(&own.as_ref()) {
            stays = true;
        } else if stays {
            parts.push(end..own_end);
        } else {
            let rest = object.raw().get(own_end - begin..).unwrap_or_default();
            let comma = rest.find(|c: char| !c.is_ascii_whitespace());
            let comma = comma.filter(|at| rest.as_bytes().get(*at) == Some(&b','));
            let until = own_end + comma.map_or(0, |at| at + 1);
            parts.push(end..until);
            end = until;
            continue;
        }
        end = own_end;
    }
    parts
}

/// A text without these parts, which are in order.
pub(super) fn without(text: &[u8], parts: &[Range<usize>]) -> Vec<u8> {
    let mut rest = Vec::with_capacity(text.len());
    let mut at = 0;
    for part in parts {
        rest.extend_from_slice(text.get(at..part.start).unwrap_or_default());
        at = part.end;
    }
    rest.extend_from_slice(text.get(at..).unwrap_or_default());
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_taken_out_and_the_rest_stays_as_it_was() {
        for (text, rest) in [
            (r#"{"a":1,"usage":null}"#, r#"{"a":1}"#),
            (r#"{"a":1,"usage":null,"b":2}"#, r#"{"a":1,"b":2}"#),
            (r#"{"usage":null,"b":2}"#, r#"{"b":2}"#),
            (r#"{"usage":null}"#, "{}"),
            (r#"{ "usage" : {"x":[1,"}"]} , "b" : 2 }"#, r#"{ "b" : 2 }"#),
            (
                r#"{ "a" : "usage" , "usage" : {"x":1} , "b" : 2 }"#,
                r#"{ "a" : "usage" , "b" : 2 }"#,
            ),
            (
                r#"{"usage":1,"usage":2,"b":{"usage":3},"usage":4}"#,
                r#"{"b":{"usage":3}}"#,
            ),
            (r#"{"a":1,"us\u0061ge":2,"usage":3}"#, r#"{"a":1}"#),
            (r#"{"a":1}"#, r#"{"a":1}"#),
            ("[]", "[]"),
        ] {
            let parts = parts_of(loose(text.as_bytes()).unwrap(), &["usage"]);
            let left = without(text.as_bytes(), &parts);
            assert_eq!(String::from_utf8(left.clone()).unwrap(), rest, "{text}");
            assert!(loose(&left).is_ok());
        }
    }

    #[test]
    fn text_is_what_strings_say() {
        for (text, bytes) in [
            (r#""abc""#, 3),
            (
                r#"{"role":"assistant","content":"a\nb\u4e2d","tool_calls":[{"id":"1","function":{"name":"f","arguments":"{\"a\":1}"}}]}"#,
                6 + 1 + 7,
            ),
            ("[null,true,1.5]", 0),
        ] {
            let value = loose(text.as_bytes()).unwrap();
            let mut found = Text::default();
            found.add(value, &["role", "id"]);
            assert_eq!(found.bytes, bytes, "{text}");
        }
    }

    #[test]
    fn choices_beyond_the_limit_have_no_bit() {
        assert_eq!((Marks::bit(0), Marks::bit(127)), (1, 1 << 127));
        assert_eq!((Marks::bit(128), Marks::bit(u64::MAX)), (0, 0));
    }
}
