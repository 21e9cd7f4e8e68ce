//! Stories about money in tables that anyone can read (`tests/data/scenarios/*.txt`), played on every ledger.
//!
//! Each line is one thing done (`hold h1 30`), one thing that shall be so (`balance available 70`), or time going by (`tick 10m`). What was done and is not
//! followed by `->` must succeed. `tests/data/scenarios/README.md` explains the words; `parse` reads them, `play` does them.

mod parse;
mod play;

use std::path::Path;

use super::fixture::Fixture;
use crate::rig::within;

/// One story: where it stands, and its lines.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    title: String,
    lines: Vec<Line>,
}

/// A line that means something.
#[derive(Clone, Debug)]
struct Line {
    /// `file:line`, for messages.
    place: String,
    /// The line as it stands, for messages.
    text: String,
    step: parse::Step,
    /// What is said after `->`, by its commas.
    expected: Option<Vec<String>>,
}

/// All stories of the repository, in the order of their files' names.
fn all() -> Vec<Story> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "txt"))
        .collect();
    files.sort();
    let mut stories = Vec::new();
    for path in files {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
        stories.extend(parse::stories(&name, &text).unwrap_or_else(|e| panic!("{e}")));
    }
    stories
}

/// Plays every story on a store; names all that end otherwise. `FAREGATE_STORY=part-of-a-title` plays only those.
pub(crate) async fn play_all(fixture: &dyn Fixture) {
    let wanted = std::env::var("FAREGATE_STORY").unwrap_or_default();
    let mut failed = Vec::new();
    for story in all().into_iter().filter(|story| story.title.contains(&wanted)) {
        let fresh = fixture.fresh().await;
        let title = story.title.clone();
        let played = tokio::spawn(async move {
            let player = play::play(&story, &*fresh.ledger, &*fresh.clock);
            within(story.title.as_str(), player).await
        });
        match played.await {
            Ok(Ok(())) => {}
            Ok(Err(what)) => failed.push(what),
            Err(_) => failed.push(format!("the story panicked: {title}")),
        }
    }
    assert!(
        failed.is_empty(),
        "on the {} ledger:\n{}",
        fixture.name(),
        failed.join("\n")
    );
}

#[test]
fn there_are_enough_stories() {
    let stories = all();
    assert!(stories.len() >= 25, "{} stories", stories.len());
    for story in &stories {
        let same = stories.iter().filter(|s| s.title == story.title).count();
        assert_eq!(same, 1, "two stories are called {:?}", story.title);
    }
}
