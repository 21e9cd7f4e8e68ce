//! Patterns of models that are cheaper than a name they cover: a gate goes by the exact name, and some upstreams do not (P10).

use std::sync::Arc;

use crate::domain::model::{Model, NamePattern};
use crate::domain::usage::Class;

/// How many names a note tells.
const TOLD: usize = 3;

/// A sentence for each pattern that is cheaper than a name it covers, in whatever case that is written.
pub(super) fn cheaper(models: &[(Vec<NamePattern>, Arc<Model>)]) -> Vec<String> {
    let all = || {
        models
            .iter()
            .flat_map(|(names, model)| names.iter().map(move |name| (name, model)))
    };
    let patterns = all().filter(|(pattern, _)| pattern.name().is_none());
    let notes = patterns.filter_map(|(pattern, cheap)| {
        let covers = NamePattern::new(&pattern.to_string().to_lowercase()).ok()?;
        let mut dear = all().filter_map(|(name, model)| {
            let covered = name.name().filter(|name| covers.matches(&name.to_lowercase()))?;
            is_cheaper(cheap, model).then_some(covered)
        });
        let told: Vec<String> = dear.by_ref().take(TOLD).map(|name| format!("{name:?}")).collect();
        let more = match dear.count() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        (!told.is_empty()).then(|| {
            format!(
                "the pattern {:?} is cheaper than {}{more}: an upstream that takes names in any case, as Ollama does, serves them at its price to who spells them in another",
                pattern.to_string(),
                told.join(", ")
            )
        })
    });
    notes.collect()
}

fn is_cheaper(cheap: &Model, dear: &Model) -> bool {
    let (cheap, dear) = (cheap.dearest_up_to(u64::MAX), dear.dearest_up_to(u64::MAX));
    Class::ALL
        .into_iter()
        .any(|class| cheap.get(class) < dear.get(class))
}
