//! What the documents point at exists.

use super::prometheus::alerts;
use super::text;

#[test]
fn every_alert_is_in_the_runbook() {
    let operations = text("docs/operations.md");
    for alert in alerts() {
        assert!(
            operations.contains(&format!("| `{alert}` |")),
            "docs/operations.md does not say what to do about {alert}"
        );
    }
}

/// Whether a source has a test whose name has this id (`p1`) as one of its words.
fn has_test(source: &str, id: &str) -> bool {
    let names = source
        .split("fn ")
        .skip(1)
        .filter_map(|rest| rest.split('(').next());
    names
        .into_iter()
        .any(|name| name.split('_').any(|word| word == id))
}

#[test]
fn every_attack_of_the_security_page_has_the_tests_it_points_to() {
    let security = text("docs/security.md");
    let rows = security.lines().filter_map(|line| line.strip_prefix("| "));
    let mut checked = 0;
    for row in rows {
        let cells: Vec<&str> = row.trim_end_matches(" |").split(" | ").collect();
        let ids: Vec<String> = cells[0].split(", ").map(str::to_lowercase).collect();
        let is_id = |id: &String| {
            id.starts_with(['h', 'p', 's', 'w'])
                && id.len() > 1
                && id[1..].bytes().all(|b| b.is_ascii_digit())
        };
        if !ids.iter().all(is_id) {
            continue;
        }
        let links = cells.last().unwrap().split("](../").skip(1);
        let files: Vec<&str> = links.map(|rest| rest.split(')').next().unwrap()).collect();
        assert!(!files.is_empty(), "{} points to no test", cells[0]);
        for id in &ids {
            for file in &files {
                assert!(has_test(&text(file), id), "{file} has no test named after {id}");
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} rows were recognised");
}
