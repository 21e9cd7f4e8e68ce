//! What to do about a text that is no TOML, for the slips that are usual.

/// What is wrong at the byte `at`, and what to do. Repeats nothing of the text: it may be a secret.
pub(super) fn explain(text: &str, at: usize, message: &str) -> (String, &'static str) {
    let at = (0..=at.min(text.len()))
        .rev()
        .find(|at| text.is_char_boundary(*at))
        .unwrap_or(0);
    let begin = text[..at].rfind('\n').map_or(0, |newline| newline + 1);
    let line = text[begin..].lines().next().unwrap_or_default();
    let what = format!("this is no TOML: {message}");
    let value = line
        .split_once('=')
        .map(|(_, value)| value.trim_start())
        .unwrap_or_default();
    let advice = if message == "duplicate key" {
        "each key comes once in its table, and each [table] once in the file; a list of tables is written [[name]]"
    } else if value.starts_with(|first: char| first.is_alphabetic() || first == '/' || first == '$') {
        "write texts in quotes: name = \"value\""
    } else if value.starts_with(|first: char| first.is_ascii_digit()) {
        "write durations, sizes and addresses in quotes (\"30s\"), and numbers with a point (0.5)"
    } else if value.starts_with(['"', '\'']) {
        "close the text in the line it begins in, and write \\ as \\\\"
    } else if line.trim_start().starts_with('[') {
        "write [name], [name.name] or [[name]] on a line of its own"
    } else {
        "write name = value, one in a line"
    };
    (what, advice)
}
