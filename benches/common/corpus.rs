//! Texts of several kinds, as requests of a chat: mostly this repository's own files, so that whoever has it can count again.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// What is taken of one kind, in bytes.
const MOST: usize = 100 * 1024;

/// A text as one long message, or as many short ones.
pub(crate) struct Text {
    pub(crate) kind: &'static str,
    pub(crate) messages: Vec<String>,
}

impl Text {
    fn one(kind: &'static str, mut text: String) -> Text {
        let end = (0..=MOST.min(text.len()))
            .rev()
            .find(|at| text.is_char_boundary(*at));
        text.truncate(end.unwrap_or(0));
        Text {
            kind,
            messages: vec![text],
        }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(String::len).sum()
    }

    /// The body of a request of a chat with it.
    pub(crate) fn body(&self) -> Vec<u8> {
        let message = |text: &String| serde_json::json!({"role": "user", "content": text});
        let messages: Vec<_> = self.messages.iter().map(message).collect();
        serde_json::json!({"model": "m", "messages": messages})
            .to_string()
            .into_bytes()
    }

    /// Tokens of that request, where `count` counts a text's: OpenAI's models read 3 more for each message and one for its role, and 3 before their answer.
    pub(crate) fn tokens(&self, count: impl Fn(&str) -> usize) -> usize {
        let of_message = |text: &String| count(text) + 4;
        3 + self.messages.iter().map(of_message).sum::<usize>()
    }
}

/// All of them.
pub(crate) fn texts() -> io::Result<Vec<Text>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| fs::read_to_string(root.join(name));
    let (docs, code) = (all(&root.join("docs"), "md")?, all(&root.join("src"), "rs")?);
    let json = [read("config.schema.json")?, read("deploy/grafana/faregate.json")?];
    let compact = json.iter().map(|text| {
        let value: serde_json::Value = serde_json::from_str(text)?;
        Ok(value.to_string())
    });
    let compact = compact.collect::<io::Result<Vec<_>>>()?.concat();
    let lines = |text: &str| {
        let lines = text.lines().filter(|line| !line.is_empty());
        lines.take(200).map(str::to_owned).collect()
    };
    Ok(vec![
        Text::one("English, a licence", read("LICENSE")?),
        Text::one("English, documents with tables", docs),
        Text::one("code (Rust)", code),
        Text::one("JSON, indented", json.concat()),
        Text::one("JSON, compact", compact),
        Text::one("Chinese", read("benches/common/chinese.txt")?),
        Text {
            kind: "English, 200 short messages",
            messages: lines(&read("LICENSE")?),
        },
    ])
}

/// All files of a folder with this ending, in the order of their names.
fn all(folder: &Path, ending: &str) -> io::Result<String> {
    let mut paths: Vec<PathBuf> = vec![folder.to_owned()];
    let mut text = String::new();
    while let Some(path) = paths.pop() {
        if path.is_dir() {
            let mut inside = fs::read_dir(path)?
                .map(|entry| entry.map(|entry| entry.path()))
                .collect::<io::Result<Vec<_>>>()?;
            inside.sort_by(|a, b| b.cmp(a));
            paths.extend(inside);
        } else if path.extension().is_some_and(|own| own == ending) {
            text.push_str(&fs::read_to_string(path)?);
        }
        if text.len() > MOST {
            break;
        }
    }
    Ok(text)
}
