//! `faregate check`

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app;
use crate::config::{ModelRow, Summary};

use super::Failure;
use super::output::{Output, table};

#[derive(Args)]
pub(crate) struct Check {
    /// The configuration
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Check {
    /// Every problem (exit code 1), or a table of what the file means.
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = app::read(&self.config).map_err(|error| Failure::Failed(error.to_string()))?;
        let summary = config.summary();
        output.say(&json(&summary), |_| text(&summary));
        Ok(())
    }
}

fn json(summary: &Summary) -> serde_json::Value {
    let routes = summary.routes.iter().map(|route| {
        json!({ "id": route.id, "match": route.pattern, "upstream": route.upstream, "price": route.price,
            "api": route.api, "more": route.more })
    });
    let upstreams = summary
        .upstreams
        .iter()
        .map(|u| json!({ "name": u.name, "urls": u.urls, "headers": u.headers, "routes": u.routes }));
    let plans = summary
        .plans
        .iter()
        .map(|plan| json!({ "name": plan.name, "routes": plan.routes, "models": plan.models, "limits": plan.limits, "default": plan.default }));
    json!({
        "listen": summary.listen, "admin": summary.admin, "ledger": summary.ledger,
        "routes": routes.collect::<Vec<_>>(), "upstreams": upstreams.collect::<Vec<_>>(),
        "models": summary.models,
        "plans": plans.collect::<Vec<_>>(), "free": summary.free, "notes": summary.notes,
    })
}

fn text(summary: &Summary) -> String {
    let mut text = format!(
        "listen {}\nadmin  {}\nledger {}\n\n",
        summary.listen, summary.admin, summary.ledger
    );
    let routes: Vec<Vec<String>> = summary
        .routes
        .iter()
        .map(|r| {
            vec![
                r.pattern.clone(),
                r.price.clone(),
                r.upstream.clone(),
                r.api.to_owned(),
                r.more.join(", "),
            ]
        })
        .collect();
    text.push_str(&table(&["ROUTE", "PRICE", "UPSTREAM", "API", ""], &routes));
    let upstreams: Vec<Vec<String>> = summary
        .upstreams
        .iter()
        .map(|u| {
            vec![
                u.name.clone(),
                u.urls.join(", "),
                u.headers.join(", "),
                u.routes.to_string(),
            ]
        })
        .collect();
    text.push('\n');
    text.push_str(&table(
        &["UPSTREAM", "URLS", "ADDS HEADERS", "ROUTES"],
        &upstreams,
    ));
    if !summary.models.is_empty() {
        let models: Vec<Vec<String>> = summary.models.iter().map(ModelRow::cells).collect();
        text.push('\n');
        text.push_str(&table(&ModelRow::TITLES, &models));
    }
    if !summary.plans.is_empty() {
        text.push('\n');
        text.push_str(&plans(summary));
    }
    for free in &summary.free {
        text.push_str(&format!("\nfree: {free} costs nothing"));
    }
    for note in &summary.notes {
        text.push_str(&format!("\nnote: {note}"));
    }
    text
}

fn plans(summary: &Summary) -> String {
    let plans: Vec<Vec<String>> = summary
        .plans
        .iter()
        .map(|plan| {
            let routes = plan
                .routes
                .as_ref()
                .map_or_else(|| "all".to_owned(), |routes| routes.join(", "));
            let name = if plan.default {
                format!("{} (default)", plan.name)
            } else {
                plan.name.clone()
            };
            let models = plan
                .models
                .as_ref()
                .map_or_else(|| "all".to_owned(), |models| models.join(", "));
            vec![name, routes, models, plan.limits.join(", ")]
        })
        .collect();
    table(&["PLAN", "ROUTES", "MODELS", "LIMITS"], &plans)
}
