//! Links in Markdown to files of the repository lead to files.

use super::Violation;

/// Every link of `text` (the file `path`) to a file that is not there. `exists` takes paths from the root.
pub(super) fn check(path: &str, text: &str, exists: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        for target in targets(&without_code(line)) {
            let Some(file) = file_of(path, &target) else {
                continue;
            };
            if file.starts_with("../") || !exists(&file) {
                let message = format!("link to `{target}`: there is no `{file}`; correct it or take it out");
                found.push(Violation {
                    path: path.to_owned(),
                    line: number + 1,
                    message,
                });
            }
        }
    }
    found
}

/// The line without `code`.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// What the line links to: `[text](target "title")` and `[name]: target`.
fn targets(line: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for (at, _) in line.match_indices("](") {
        let rest = &line[at + 2..];
        let inside = rest.split(')').next().unwrap_or_default();
        targets.extend(inside.split_whitespace().next().map(str::to_owned));
    }
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
    {
        targets.extend(target.split_whitespace().next().map(str::to_owned));
    }
    targets
        .into_iter()
        .map(|t| t.trim_matches(['<', '>']).to_owned())
        .collect()
}

/// The file in the repository that a link in `path` means; none for addresses and anchors.
fn file_of(path: &str, target: &str) -> Option<String> {
    let file = target.split(['#', '?']).next().unwrap_or_default();
    if file.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let mut parts: Vec<&str> = if file.starts_with('/') {
        Vec::new()
    } else {
        path.split('/').collect()
    };
    parts.pop();
    for part in file.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::lines_and_messages;

    fn exists(path: &str) -> bool {
        [
            "docs/ARCHITECTURE.md",
            "docs/adr/0001-x.md",
            "README.md",
            "docs/adr",
        ]
        .contains(&path)
    }

    #[test]
    fn links_that_resolve_and_links_elsewhere_are_fine() {
        let text = "[a](ARCHITECTURE.md) [b](./adr/0001-x.md#why \"t\") [c](../README.md) [d](/README.md)\n\
                    [e](https://example.com/x) [f](#here) [g](mailto:a@b) [h](adr/) `[i](gone.md)`\n\
                    ```\n[j](gone.md)\n```\n[k]: <../README.md>\n";
        assert_eq!(check("docs/a.md", text, &exists), []);
    }

    #[test]
    fn dead_links_are_found() {
        let text = "x\n[a](gone.md) and [b](../../outside.md)\n[c]: gone/too.md\n";
        let found = check("docs/a.md", text, &exists);
        let found = lines_and_messages(&found);
        assert_eq!(found.len(), 3);
        assert_eq!(
            found[0],
            (
                2,
                "link to `gone.md`: there is no `docs/gone.md`; correct it or take it out"
            )
        );
        assert_eq!((found[1].0, found[2].0), (2, 3));
    }
}
