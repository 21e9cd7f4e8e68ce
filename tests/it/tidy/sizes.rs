//! Short files, short functions, short scripts.

use super::Violation;
use super::source::{Token, closing, tokens, without_tests};

/// Lines of a Rust file before its tests.
const FILE_LINES_MAX: usize = 500;
/// A function is shorter than this, signature included.
const FUNCTION_LINES: usize = 70;
/// A Lua script is shorter than this, its opening comment included.
const LUA_LINES: usize = 100;

/// Everything in the file that is too long.
pub(super) fn check(path: &str, text: &str) -> Vec<Violation> {
    let violation = |line, message| Violation {
        path: path.to_owned(),
        line,
        message,
    };
    if path.ends_with(".lua") {
        let lines = text.lines().count();
        let long = lines >= LUA_LINES;
        let message =
            || format!("{lines} lines: a script has fewer than {LUA_LINES}; move a step into lua/lib");
        return long
            .then(|| violation(LUA_LINES, message()))
            .into_iter()
            .collect();
    }
    if path.ends_with("/tests.rs") || path.contains("/tests/") {
        return Vec::new();
    }
    let mut found = Vec::new();
    let lines = lines_before_tests(text);
    if lines > FILE_LINES_MAX {
        let message = format!(
            "{lines} lines before the tests, {FILE_LINES_MAX} at most: split the file by what it does"
        );
        found.push(violation(FILE_LINES_MAX + 1, message));
    }
    let tokens = without_tests(&tokens(text));
    for (at, pair) in tokens.windows(2).enumerate() {
        if pair[0].is("fn") && pair[1].is_name() {
            let lines = function_lines(&tokens, at);
            if lines >= FUNCTION_LINES {
                let name = &pair[1].text;
                let message =
                    format!("`{name}` has {lines} lines: fewer than {FUNCTION_LINES}; give its steps names");
                found.push(violation(pair[0].line, message));
            }
        }
    }
    found
}

/// Lines before the first module of tests; a single import for tests does not end the file.
fn lines_before_tests(text: &str) -> usize {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let begins = |pair: &[&str]| pair[0] == "#[cfg(test)]" && pair[1].contains("mod ");
    lines.windows(2).position(begins).unwrap_or(lines.len())
}

/// From the line of `fn` to that of its closing brace; 0 without a body.
fn function_lines(tokens: &[Token], from: usize) -> usize {
    let mut at = from;
    while let Some(token) = tokens.get(at) {
        match token.text.as_str() {
            ";" => return 0,
            "(" | "[" => at = closing(tokens, at) + 1,
            "{" => return tokens[closing(tokens, at)].line - tokens[from].line + 1,
            _ => at += 1,
        }
    }
    0
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::lines_and_messages;

    fn function(lines: usize) -> String {
        format!(
            "fn long(\n  a: [u8; 2],\n) {{\n{}}}\n",
            "  x(\"}\");\n".repeat(lines - 4)
        )
    }

    #[test]
    fn just_short_enough_is_fine() {
        assert_eq!(
            check("src/a.rs", &format!("trait T {{ fn f(); }}\n{}", function(69))),
            []
        );
        assert_eq!(check("src/a.rs", &"\n".repeat(500)), []);
        assert_eq!(
            check(
                "src/a.rs",
                &format!("{}#[cfg(test)]\nmod t {{ {} }}", "\n".repeat(400), function(200))
            ),
            []
        );
        assert_eq!(check("src/a/tests.rs", &function(900)), []);
        assert_eq!(check("src/a.lua", &"--\n".repeat(99)), []);
    }

    #[test]
    fn too_long_is_found() {
        let found = check("src/a.rs", &format!("\n{}", function(70)));
        assert_eq!(
            lines_and_messages(&found),
            [(2, "`long` has 70 lines: fewer than 70; give its steps names")]
        );
        let found = check(
            "src/a.rs",
            &format!("#[cfg(test)]\nuse a::b;\n{}", "\n".repeat(499)),
        );
        assert_eq!(
            lines_and_messages(&found),
            [(
                501,
                "501 lines before the tests, 500 at most: split the file by what it does"
            )]
        );
        let found = check("src/a.lua", &"--\n".repeat(100));
        assert!(
            found[0]
                .message
                .starts_with("100 lines: a script has fewer than 100"),
            "{found:?}"
        );
    }
}
