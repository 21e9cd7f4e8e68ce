//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use std::ops::Range;

use bytes::Bytes;

use super::Api;
use super::ask::{self, Asked, Change};
use super::json::{Kind, NUMBER_MAX, Value, check, loose};

/// P3, P4: what is accepted, another parser accepts and reads alike, and so do the lenient rules; what another parser refuses is refused.
pub fn json(bytes: &[u8]) {
    let other = serde_json::from_slice::<serde_json::Value>(bytes).map_err(|error| error.to_string());
    let own = check(bytes);
    let Ok(other) = other else {
        assert!(own.is_err(), "others refuse it: {other:?}");
        return;
    };
    let lenient = loose(bytes);
    match own {
        Ok(own) => {
            assert!(same(own, &other), "read otherwise");
            assert!(lenient.is_ok_and(|lenient| lenient.span() == own.span()));
        }
        // Doubled names, too deep, or too many of them.
        Err(problem) => assert!(lenient.is_ok_and(|own| resembles(own, &other)), "{problem}"),
    }
}

/// Whether a value read here and the one that another parser has read are the same.
fn same(own: Value<'_>, other: &serde_json::Value) -> bool {
    own.members().count() == other.as_object().map_or(0, serde_json::Map::len)
        && own.members().all(|(name, own)| same(own, &other[name.as_ref()]))
        && resembles(own, other)
}

/// The same, but for what an object may have twice.
fn resembles(own: Value<'_>, other: &serde_json::Value) -> bool {
    use serde_json::Value as Other;
    match other {
        Other::Null => own.is_null(),
        Other::Bool(other) => own.bool() == Some(*other),
        Other::Number(other) => match own.plain_u64() {
            Some(own) => other.as_u64() == Some(own),
            None => own.kind() == Kind::Number && other.as_u64().is_none_or(|other| other > NUMBER_MAX),
        },
        Other::String(other) => own.str().is_some_and(|own| own == other.as_str()),
        Other::Array(other) => {
            own.kind() == Kind::Array
                && own.items().count() == other.len()
                && own.items().zip(other).all(|(own, other)| resembles(own, other))
        }
        Other::Object(other) => {
            own.kind() == Kind::Object
                && other
                    .iter()
                    .all(|(name, other)| own.get(name).is_some_and(|own| resembles(own, other)))
        }
    }
}

/// P2 to P12: whatever is read of a request, another parser reads the same; what is changed in it is read again, and all else is as it was. The first byte says which
/// API it is, and what is changed.
pub fn ask(bytes: &[u8]) {
    let Some((first, body)) = bytes.split_first() else {
        return;
    };
    let api = Api::ALL[usize::from(first & 7) % Api::ALL.len()];
    let change = Change {
        output_max: (first & 8 != 0).then_some(77),
        limit_name: ask::limit_name(api),
        model: (first & 16 != 0).then_some("the \"real\" one"),
        ask_usage: first & 32 != 0,
        continuous_usage: first & 64 != 0,
    };
    change_in(api, body, &change);
}

/// One body, one change.
pub(super) fn change_in(api: Api, body: &[u8], change: &Change<'_>) {
    let asked = match ask::read(api, body, &[""; 0]) {
        Ok(asked) => asked,
        Err(problem) => {
            assert!(!problem.to_string().is_empty());
            return;
        }
    };
    let read = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    assert_eq!(read["model"].as_str(), asked.model.as_deref());
    assert_eq!(
        read["stream"].as_bool().unwrap_or(api.asked().streams),
        asked.stream
    );
    let reason = body.len() as u64 * 20 + (asked.tools + 1) * 10_000;
    assert!(asked.text <= reason, "a bound beyond reason");

    let whole = Bytes::copy_from_slice(body);
    let edited = asked.edited(&whole, change).concat();
    assert!(untouched(
        body,
        &edited,
        asked
            .edits(change)
            .into_iter()
            .map(|(span, text)| (span, text.len()))
    ));
    let again = ask::read(api, &edited, &[""; 0]);
    let Ok(again) = again else {
        assert!(again.is_ok(), "{again:?} {}", edited.escape_ascii());
        return;
    };
    assert_eq!(
        expected(api, &asked, change),
        expected(api, &again, &Change::default())
    );
    assert!(again.edits(change).is_empty(), "changed twice");
    let edited = serde_json::from_slice::<serde_json::Value>(&edited).unwrap_or_default();
    let members = edited.as_object().into_iter().flatten();
    let null = members.filter(|(name, value)| value.is_null() && ask::is_limit_name(api, name));
    assert!(
        again.output_max.is_none() || null.count() == 0,
        "a limit of null is left"
    );
}

/// What a body says after a change: model, limit, usage, and what no change has to do with.
fn expected(api: Api, asked: &Asked, change: &Change<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    let spec = api.asked();
    let streams = asked.stream && spec.usage_option;
    (
        asked
            .model
            .as_deref()
            .map(|own| change.model.unwrap_or(own).to_owned()),
        change.output_max.filter(|_| spec.writes).or(asked.output_max),
        asked.usage || streams && change.ask_usage,
        asked.continuous_usage || streams && change.continuous_usage,
        (asked.stream, asked.choices, asked.least_output),
        (asked.tools, asked.images, asked.audios, asked.documents),
    )
}

/// Whether all that lies between the edits is as it was.
fn untouched(before: &[u8], after: &[u8], edits: impl Iterator<Item = (Range<usize>, usize)>) -> bool {
    let mut edits: Vec<_> = edits.collect();
    edits.sort_by_key(|(span, _)| (span.start, span.end));
    let (mut from, mut to) = (0, 0);
    for (span, length) in edits {
        let kept = span.start - from;
        if before[from..span.start] != after[to..to + kept] {
            return false;
        }
        (from, to) = (span.end, to + kept + length);
    }
    before[from..] == after[to..]
}
