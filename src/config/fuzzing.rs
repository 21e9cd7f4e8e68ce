//! One function per fuzz target: takes any bytes, panics when a law is broken. The targets themselves are one line each.

use std::path::Path;

use super::{LISTED_MAX, parse};

/// What every secret that a text refers to turns out to be.
const CANARY: &str = "canary-6b1f9e27c4d8";

/// Reading never panics; what is wrong is said with a line of the file; what is good has no difference to itself. No secret that the file refers to is
/// shown, neither in a problem nor in the configuration, its summary or a difference.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    if text.contains(CANARY) {
        return;
    }
    let env = |_: &str| Some(CANARY.to_owned());
    let files = |_: &Path| Ok(CANARY.as_bytes().to_vec());
    let shown = match parse(text, &env, &files) {
        Ok(config) => {
            assert!(config.diff(&config).is_empty());
            let summary = config.summary();
            assert_eq!(summary.routes.len(), config.routes.len());
            format!("{config:?}\n{summary}\n{summary:?}")
        }
        Err(problems) => {
            let lines = text.lines().count().max(1);
            assert!((1..=LISTED_MAX).contains(&problems.problems.len()));
            for problem in &problems.problems {
                assert!((1..=lines + 1).contains(&problem.line), "{problem}");
                assert!(!problem.what.is_empty());
            }
            format!("{problems}\n{problems:?}")
        }
    };
    assert!(!shown.contains(CANARY), "a secret is shown: {shown}");
}
