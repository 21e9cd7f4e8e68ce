//! Metrics that are named somewhere are shown by the binary, and those that are shown are documented.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use faregate::proxy::OUTCOMES;
use faregate::telemetry::metrics::Metrics;

use super::text;

/// Files that name metrics.
const USERS: [&str; 5] = [
    "deploy/prometheus/rules.yml",
    "deploy/prometheus/rules_test.yml",
    "deploy/grafana/faregate.json",
    "docs/metrics.md",
    "docs/operations.md",
];

/// A metric as `/metrics` shows it.
#[derive(Debug, PartialEq, Eq)]
struct Shown {
    kind: String,
    labels: BTreeSet<String>,
}

/// Everything the binary can show, by name.
fn shown() -> BTreeMap<String, Shown> {
    let metrics = Metrics::new(OUTCOMES).unwrap();
    // What comes with the first worker, route and upstream.
    let plane = &metrics.data_plane;
    let _worker = plane.worker();
    let route: Arc<str> = "x".into();
    plane
        .route(0, &route)
        .finished(0, Duration::ZERO, Some(Duration::ZERO));
    let _upstream = plane.upstream(0, &route);
    parse(std::str::from_utf8(&metrics.render().unwrap()).unwrap())
}

/// Reads Prometheus' text format.
fn parse(text: &str) -> BTreeMap<String, Shown> {
    let mut shown: BTreeMap<String, Shown> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').unwrap();
            let (kind, labels) = (kind.to_owned(), BTreeSet::new());
            shown.insert(name.to_owned(), Shown { kind, labels });
        } else if !line.starts_with('#') {
            let (name, rest) = line.split_at(line.find(['{', ' ']).unwrap());
            let labels = rest
                .split('"')
                .step_by(2)
                .filter_map(|part| part.trim_start_matches(['{', ',']).strip_suffix('='));
            let labels = labels.filter(|label| *label != "le").map(str::to_owned);
            let metric = base(name, &shown).unwrap_or_else(|| panic!("no TYPE of {name}"));
            shown.get_mut(&metric).unwrap().labels.extend(labels);
        }
    }
    shown
}

/// The metric that a name means: itself, or the histogram whose part it is.
fn base(name: &str, shown: &BTreeMap<String, Shown>) -> Option<String> {
    if shown.contains_key(name) {
        return Some(name.to_owned());
    }
    let parts = ["_bucket", "_sum", "_count"];
    let histogram = parts.iter().find_map(|part| name.strip_suffix(part))?;
    let is_one = shown
        .get(histogram)
        .is_some_and(|metric| metric.kind == "histogram");
    is_one.then(|| histogram.to_owned())
}

/// All words of a text that look like a metric of ours.
fn named(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| {
            word.strip_prefix("faregate_")
                .is_some_and(|rest| !rest.is_empty())
        })
        .map(str::to_owned)
        .collect()
}

/// The values that selectors of a text ask a label for, alternatives apart.
fn asked_for(label: &str, text: &str) -> BTreeSet<String> {
    let mut values = BTreeSet::new();
    // JSON escapes quotes.
    let text = text.replace("\\\"", "\"");
    for operator in ["=\"", "=~\"", "!=\"", "!~\""] {
        for part in text.split(&format!("{label}{operator}")).skip(1) {
            let value = part.split('"').next().unwrap_or_default();
            values.extend(value.split('|').filter(|v| !v.contains('$')).map(str::to_owned));
        }
    }
    values
}

#[test]
fn every_metric_that_is_named_is_shown() {
    let shown = shown();
    for file in USERS {
        let names = named(&text(file));
        assert!(!names.is_empty(), "{file} names none");
        let missing: Vec<_> = names.iter().filter(|name| base(name, &shown).is_none()).collect();
        assert!(
            missing.is_empty(),
            "{file} names metrics that nobody shows: {missing:?}"
        );
    }
}

#[test]
fn every_outcome_that_is_asked_for_exists() {
    for file in USERS {
        let asked = asked_for("outcome", &text(file));
        let missing: Vec<_> = asked
            .iter()
            .filter(|word| !OUTCOMES.contains(&word.as_str()))
            .collect();
        assert!(
            missing.is_empty(),
            "{file} asks for outcomes that nobody counts: {missing:?}"
        );
    }
    let rules = asked_for("outcome", &text("deploy/prometheus/rules.yml"));
    assert!(
        rules.contains("ledger_unavailable") && rules.contains("overloaded"),
        "{rules:?}"
    );
}

#[test]
fn the_document_lists_every_metric_with_its_type_and_labels() {
    let document = text("docs/metrics.md");
    let rows = document.lines().filter(|line| line.starts_with("| `faregate_"));
    let listed: BTreeMap<String, Shown> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split(" | ").map(str::trim).collect();
            let [name, kind, labels, meaning] = cells[..] else {
                panic!("not name, type, labels, meaning: {row}")
            };
            assert!(meaning.len() > 10, "{row} says nothing");
            let labels = labels.split(", ").filter(|l| !l.is_empty());
            let labels = labels.map(|l| l.trim_matches('`').to_owned()).collect();
            let shown = Shown {
                kind: kind.to_owned(),
                labels,
            };
            (name.trim_matches('`').to_owned(), shown)
        })
        .collect();
    let shown = shown();
    let undocumented: Vec<_> = shown.keys().filter(|name| !listed.contains_key(*name)).collect();
    assert!(undocumented.is_empty(), "docs/metrics.md lacks {undocumented:?}");
    for (name, listed) in &listed {
        assert_eq!(
            Some(listed),
            shown.get(name),
            "docs/metrics.md on {name} (left) and the binary (right)"
        );
    }
}

#[test]
fn the_parser_of_metrics_reads_labels_and_parts_of_histograms() {
    let shown = parse(
        "# HELP a_total x\n# TYPE a_total counter\na_total{x=\"1=,\",y=\"2\"} 3\n# TYPE t histogram\n\
         t_bucket{x=\"1\",le=\"+Inf\"} 1\nt_sum{x=\"1\"} 0\n# TYPE g gauge\ng 1",
    );
    let labels = |name: &str| {
        shown[name]
            .labels
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
            .join(" ")
    };
    assert_eq!(
        (labels("a_total"), labels("t"), labels("g")),
        ("x y".into(), "x".into(), String::new())
    );
    assert_eq!(base("t_count", &shown), Some("t".to_owned()));
    assert_eq!(base("a_total_count", &shown), None);
    let text = r#"x{outcome="ok"} y{outcome=~\"a|b\"} $outcome{outcome=~"$o"}"#;
    assert_eq!(
        asked_for("outcome", text).into_iter().collect::<Vec<_>>(),
        ["a", "b", "ok"]
    );
}
