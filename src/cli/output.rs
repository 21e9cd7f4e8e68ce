//! What commands print: JSON for programs, lines and tables for people.

use std::io::{Write, stderr, stdout};

use serde_json::Value;

/// Where a command's answer goes.
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Output {
        Output { json }
    }

    /// The answer as JSON, or as `people` make of it.
    pub(crate) fn say(&self, answer: &Value, people: impl FnOnce(&Value) -> String) {
        if self.json {
            line(&format!("{answer:#}"));
        } else {
            line(people(answer).trim_end());
        }
    }

    /// A line for people while something is under way; programs wait for the answer.
    pub(crate) fn tell(&self, text: &str) {
        if !self.json {
            line(text.trim_end());
        }
    }
}

/// A line on standard output.
pub(crate) fn line(text: &str) {
    print(stdout(), text);
}

/// A line on standard error.
pub(crate) fn complain(text: &str) {
    print(stderr(), &format!("faregate: {text}"));
}

/// One line. A reader that has gone (`| head -1`) has all that it wanted: that is no failure.
fn print(mut to: impl Write, text: &str) {
    let _ = writeln!(to, "{text}");
}

/// A table with aligned columns.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain(head.get(column).map(|h| h.len())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    let mut text = String::new();
    for row in std::iter::once(&head).chain(rows) {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A member of a JSON object as people read it: nothing for null.
pub(crate) fn cell(value: &Value, name: &str) -> String {
    match &value[name] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Rows of a list of objects.
pub(crate) fn rows(items: &Value, members: &[&str]) -> Vec<Vec<String>> {
    let items = items.as_array().map(Vec::as_slice).unwrap_or_default();
    items
        .iter()
        .map(|item| members.iter().map(|name| cell(item, name)).collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind, Result};

    use super::*;

    /// The other end of a pipe that nobody reads any more.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> Result<usize> {
            Err(Error::from(ErrorKind::BrokenPipe))
        }
        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        print(Gone, "x");
        let mut heard = Vec::new();
        print(&mut heard, "x");
        assert_eq!(heard, b"x\n");
    }
}
