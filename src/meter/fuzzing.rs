//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

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
