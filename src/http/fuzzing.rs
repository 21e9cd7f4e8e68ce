//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use std::borrow::Cow;

use super::framing::{FrameGuard, Refused};
use super::target::{Target, normalise};

/// P1: reading a target never panics; a normal form is a fixed point; what is accepted has no second reading.
pub fn target(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if let Ok(normal) = normalise(text) {
        assert!(matches!(normalise(&normal), Ok(Cow::Borrowed(same)) if *same == *normal));
        assert!(normal.starts_with('/') && normal.is_ascii());
        assert!(!normal.contains("//"));
        assert!(normal.split('/').all(|segment| segment != "." && segment != ".."));
        assert!(!normal.contains(['\\', ';', '?', '#']));
        for escaped in ["%2F", "%5C", "%25", "%00", "%2E", "%3B"] {
            assert!(!normal.contains(escaped));
        }
    }
    if let Ok(uri) = text.parse::<::http::Uri>()
        && let Ok(target) = Target::read(&::http::Method::POST, &uri)
    {
        assert_eq!(target.query(), uri.query());
        assert!(matches!(normalise(target.path()), Ok(Cow::Borrowed(_))));
    }
}

/// H1, H2: any split of a connection's bytes gives the same verdict. The first byte says where they are split.
pub fn framing(bytes: &[u8]) {
    let Some((&step, bytes)) = bytes.split_first() else {
        return;
    };
    let whole = feed(bytes, bytes.len().max(1));
    for step in [1, usize::from(step) + 1] {
        let split = feed(bytes, step);
        assert_eq!(split.0, whole.0, "in steps of {step}");
        assert_eq!(split.1.is_inside_request(), whole.1.is_inside_request());
        assert_eq!(split.1.is_transparent(), whole.1.is_transparent());
    }
}

/// The first refusal, without how much of its feed was good, which depends on the split.
fn feed(bytes: &[u8], step: usize) -> (Option<Refused>, FrameGuard) {
    let mut guard = FrameGuard::default();
    let refused = bytes.chunks(step).find_map(|part| {
        let refused = guard.feed(part).err()?;
        assert!(refused.good <= part.len());
        Some(Refused { good: 0, ..refused })
    });
    (refused, guard)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_targets_hold_on_random_bytes(bytes in prop::collection::vec(any::<u8>(), 0..100), text in "/[ -~]{0,40}") {
            super::target(&bytes);
            super::target(text.as_bytes());
            super::framing(&bytes);
        }
    }
}
