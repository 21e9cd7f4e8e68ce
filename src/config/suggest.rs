//! What may have been meant by a key that is not known.

use std::sync::LazyLock;

use super::schema::{self, Declared};

/// What others call it, and what it is called here.
const SYNONYMS: [(&str, &str); 14] = [
    ("price", "cost"),
    ("path", "match"),
    ("pattern", "match"),
    ("method", "match"),
    ("address", "listen"),
    ("bind", "listen"),
    ("port", "listen"),
    ("host", "url"),
    ("servers", "urls"),
    ("rpm", "requests_per_minute"),
    ("tpm", "tokens_per_minute"),
    ("max_body_size", "body_max"),
    ("rates", "credits_per_unit"),
    ("secret_key", "api_key"),
];

/// What to do about the key `name` in a table whose path in the schema is `shape` and whose known keys are `known`.
pub(super) fn for_unknown(name: &str, known: &[&'static str], shape: &str) -> String {
    let synonym = SYNONYMS
        .iter()
        .find(|(word, meant)| *word == name && known.contains(meant));
    if let Some(near) = synonym.map(|(_, meant)| *meant).or_else(|| nearest(name, known)) {
        return format!("did you mean `{near}`?");
    }
    let longer: Vec<&str> = known
        .iter()
        .copied()
        .filter(|known| known.split('_').any(|word| word == name))
        .collect();
    if !longer.is_empty() {
        return format!("did you mean {}?", longer.join(" or "));
    }
    static DECLARED: LazyLock<Vec<Declared>> = LazyLock::new(schema::declarations);
    let elsewhere: Vec<String> = DECLARED
        .iter()
        .filter(|other| other.name == name && other.parent() != shape)
        .take(3)
        .map(|other| belongs(other.parent()))
        .collect();
    if !elsewhere.is_empty() {
        return format!("it belongs {}", elsewhere.join(", or "));
    }
    if known.is_empty() {
        return "take it out".to_owned();
    }
    let mut known = known.to_vec();
    known.sort_unstable();
    format!("known here: {}", known.join(", "))
}

/// What to do about a name that refers to nothing.
pub(super) fn for_name(name: &str, kind: &str, known: &[&str]) -> String {
    const LISTED_MAX: usize = 20;
    match nearest(name, known) {
        Some(near) => format!("did you mean {near:?}?"),
        None if known.is_empty() => format!("there is no {kind} at all yet: add one"),
        None if known.len() <= LISTED_MAX => format!("known: {}", known.join(", ")),
        None => format!("add it, or name one of the {} that there are", known.len()),
    }
}

/// The known name that is spelled nearly like this one.
pub(super) fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|known| (distance(name, known), *known));
    near.filter(|(distance, known)| *distance <= 1 + known.len() / 4)
        .min()
        .map(|(_, known)| known)
}

fn belongs(parent: &str) -> String {
    match parent.strip_suffix("[]") {
        _ if parent.is_empty() => "at the top of the file, before the first [table]".to_owned(),
        Some(list) => format!("in [[{list}]]"),
        None => format!("in [{}]", parent.replace('*', "NAME")),
    }
}

/// Levenshtein's distance, in characters; two neighbours swapped count as one. Texts above 64 characters are far from everything.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    if a.len() > 64 || b.len() > 64 {
        return usize::MAX;
    }
    let mut rows = vec![(0..=b.len()).collect::<Vec<usize>>()];
    for i in 0..a.len() {
        let mut row = vec![i + 1];
        for j in 0..b.len() {
            let changed = rows[i][j] + usize::from(a[i] != b[j]);
            let mut best = changed.min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && a[i] == b[j - 1] && a[i - 1] == b[j] {
                best = best.min(rows[i - 1][j - 1] + 1);
            }
            row.push(best);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_edits() {
        for (a, b, edits) in [
            ("listen", "listen", 0),
            ("lisen", "listen", 1),
            ("listne", "listen", 1),
            ("Listen", "listen", 1),
            ("", "abc", 3),
            ("cost", "cors", 2),
        ] {
            assert_eq!(distance(a, b), edits, "{a} {b}");
            assert_eq!(distance(b, a), edits, "{b} {a}");
        }
    }
}
