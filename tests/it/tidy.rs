//! The house rules that the compiler does not know: who may import whom, how long things may be, no
//! loose ends, no dead links. Each rule is a pure function over (path, text), tried on planted violations.

use std::fmt;
use std::path::{Path, PathBuf};

mod layers;
mod links;
mod sizes;
mod source;
mod words;

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    /// From the root of the repository, with `/`.
    path: String,
    /// Counted from 1.
    line: usize,
    /// What is wrong, and what to do.
    message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

#[test]
fn imports_point_down() {
    let sources = files(&["src"], &["rs"]);
    assert!(
        sources.iter().any(|(path, _)| path == "src/lib.rs"),
        "no sources below {}",
        root().display()
    );
    assert_tidy(sources, layers::check);
}

#[test]
fn files_and_functions_are_short() {
    assert_tidy(files(&["src"], &["rs", "lua"]), sizes::check);
}

#[test]
fn nothing_is_left_unfinished() {
    let extensions = [
        "rs", "lua", "toml", "md", "yaml", "yml", "json", "conf", "sh", "service", "",
    ];
    assert_tidy(files(&["."], &extensions), words::check);
}

#[test]
fn links_lead_somewhere() {
    let root = root();
    assert_tidy(files(&["."], &["md"]), |path, text| {
        links::check(path, text, &|target| root.join(target).exists())
    });
}

#[test]
fn every_place_on_the_map_is_there() {
    let map = std::fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("the map");
    let table = map
        .split("## Where is")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next());
    let rows = table
        .expect("a table")
        .lines()
        .filter(|line| line.starts_with("| "));
    let places: Vec<&str> = rows
        .filter_map(|row| row.split(" | ").nth(1))
        .flat_map(|places| places.split('`').skip(1).step_by(2))
        .collect();
    assert!(places.len() > 50, "{places:?}");
    for place in places {
        let there = root().join("src").join(place).exists() || root().join(place).exists();
        assert!(there, "docs/ARCHITECTURE.md: there is no {place}");
    }
}

#[track_caller]
fn assert_tidy(files: Vec<(String, String)>, check: impl Fn(&str, &str) -> Vec<Violation>) {
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| check(path, text))
        .map(|v| v.to_string())
        .collect();
    assert!(
        found.is_empty(),
        "{} to tidy up:\n{}",
        found.len(),
        found.join("\n")
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Path and text of every file below these folders with one of these extensions. Build output, data
/// folders and hidden ones (but for `.ci`) are left out, and so are the planted violations.
fn files(folders: &[&str], extensions: &[&str]) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for folder in folders {
        walk(&root().join(folder), extensions, &mut files);
    }
    files.sort();
    files
}

fn walk(folder: &Path, extensions: &[&str], files: &mut Vec<(String, String)>) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder that can be read").path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let skipped = name.starts_with('.') && name != ".ci";
        if skipped
            || matches!(
                name.as_str(),
                "target" | "faregate-data" | "Cargo.lock" | "LICENSE"
            )
        {
            continue;
        }
        if path.is_dir() {
            walk(&path, extensions, files);
            continue;
        }
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let relative = path.strip_prefix(root()).expect("below the root").components();
        let relative: Vec<_> = relative.map(|part| part.as_os_str().to_string_lossy()).collect();
        let relative = relative.join("/").trim_start_matches("./").to_owned();
        if extensions.contains(&extension.as_str()) && !relative.starts_with("tests/it/tidy/") {
            // Not text: not ours to judge.
            if let Ok(text) = std::fs::read_to_string(&path) {
                files.push((relative, text));
            }
        }
    }
}

/// The planted violations' lines and messages, for the tests of the rules.
#[cfg(test)]
fn lines_and_messages(violations: &[Violation]) -> Vec<(usize, &str)> {
    violations.iter().map(|v| (v.line, v.message.as_str())).collect()
}
