//! Nothing unfinished is kept: it is done, or it is an issue.

use super::Violation;

/// Marks that must stand alone as a word, and marks that count wherever they are.
const WORDS: [&str; 3] = ["TODO", "FIXME", "XXX"];
const MARKS: [&str; 3] = ["todo!", "unimplemented!", "#[ignore"];

/// Every mark of unfinished work.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let words = WORDS.iter().filter(|word| has_word(line, word));
        let marks = MARKS.iter().filter(|mark| line.contains(**mark));
        for mark in words.chain(marks) {
            let message = format!("`{mark}`: finish it, or take it out and open an issue");
            found.push(Violation {
                path: path.to_owned(),
                line: number + 1,
                message,
            });
        }
    }
    found
}

fn has_word(line: &str, word: &str) -> bool {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|part| part == word)
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn each_mark_is_found_once_with_its_line() {
        for planted in [
            "// TODO: later",
            "-- FIXME",
            "# XXX",
            "todo!()",
            "unimplemented!(\"x\")",
            "#[ignore]",
        ] {
            let found = check("a", &format!("fine\n{planted}\n"));
            assert_eq!(found.len(), 1, "{planted}: {found:?}");
            assert_eq!(found[0].line, 2);
            assert!(
                found[0]
                    .message
                    .ends_with("finish it, or take it out and open an issue")
            );
        }
    }

    #[test]
    fn other_words_are_fine() {
        assert_eq!(
            check("a", "TODOS, mastodon, fg_live_XXXX, fn ignore() {} // todo list"),
            []
        );
    }
}
