//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use serde_json::Value;

use super::quote::units::units;

/// P3 to P5: whatever units are read, other parsers read the same: the body is one JSON object in which the number stands once, plain, under no other spelling of
/// its name.
pub fn units_in_body(bytes: &[u8]) {
    let Ok(found) = units(bytes, "n") else { return };
    assert!(found > 0);
    let read = serde_json::from_slice::<Value>(bytes).unwrap_or_default();
    assert!(read.is_object());
    match read.get("n") {
        Some(number) => assert_eq!(number.as_u64(), Some(found)),
        None => assert_eq!(found, 1),
    }
    let names = read.as_object().into_iter().flat_map(|members| members.keys());
    assert!(names.filter(|name| name.eq_ignore_ascii_case("n")).count() <= 1);
    assert!(!bytes.starts_with(b"\xef\xbb\xbf"));
}
