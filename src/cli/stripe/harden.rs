//! `faregate stripe harden`

use std::io::{BufRead, IsTerminal, Read, Write, stderr, stdin};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::app::{self, StripeAccount};
use crate::service::stripe::audit::is_webhook;
use crate::service::stripe::harden::{Change, Left, Outcome, Plan};

use super::super::Failure;
use super::super::output::{Output, cell, rows, table};
use super::counted;

/// The longest answer to a question that is read.
const WORD_MAX: u64 = 64;

#[derive(Args)]
pub(crate) struct Harden {
    /// The configuration
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
    /// Make the changes without asking
    #[arg(long)]
    yes: bool,
    /// Make a webhook endpoint for this address, if there is none: https://YOUR-GATE/faregate/stripe/webhook. Its secret is shown once
    #[arg(long, value_parser = address)]
    url: Option<String>,
    /// Bill items by usage that have no threshold from this usage on, in what their meters count
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    usage_gte: Option<i64>,
}

/// An address that Stripe can send to, and that a gate listens at.
fn address(text: &str) -> Result<String, String> {
    let uri: http::Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
    let secure = uri.scheme_str() == Some("https") && uri.host().is_some();
    if !secure || uri.query().is_some() || !is_webhook(text) {
        return Err("it is like https://gate.example/faregate/stripe/webhook".to_owned());
    }
    Ok(text.to_owned())
}

impl Harden {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let account = StripeAccount::open(&app::read(&self.config)?)?;
        let snapshot = account.look()?;
        let plan = account.plan(&snapshot, self.url.as_deref(), self.usage_gte)?;
        if plan.changes.is_empty() || !self.may(&plan, output)? {
            let answer = answer(&plan, Vec::new());
            output.say(&answer, |answer| format!("nothing was changed\n{}", left(answer)));
            if plan.changes.is_empty() {
                return Ok(());
            }
            return Err(Failure::Failed("nothing was changed".to_owned()));
        }
        let mut done = Vec::new();
        let mut failed = 0;
        account.make(&plan.changes, &mut |change, outcome| {
            failed += usize::from(!matches!(outcome, Outcome::Done { .. }));
            let result = object(change, outcome);
            // At once: a secret is not said again.
            output.tell(&told(&result));
            done.push(result);
        });
        output.say(&answer(&plan, done), left);
        if failed == 0 {
            return Ok(());
        }
        let what = counted(failed, "change");
        Err(Failure::Failed(format!(
            "{what} not made; run it again when that is mended: what is done stays done"
        )))
    }

    /// Whether the changes are wanted. They are shown before that is asked.
    fn may(&self, plan: &Plan, output: &Output) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if !stdin().is_terminal() {
            output.say(&answer(plan, planned(plan)), |answer| {
                format!("{}{}", would(plan), left(answer))
            });
            return Err(Failure::Failed(
                "nothing was changed: say --yes, or run it on a terminal to be asked".to_owned(),
            ));
        }
        let mut screen = stderr();
        let asked = write!(screen, "{}Change this at Stripe? [y/N] ", would(plan));
        asked
            .and_then(|()| screen.flush())
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let mut word = String::new();
        let read = stdin().lock().take(WORD_MAX).read_line(&mut word);
        read.map_err(|error| Failure::Failed(error.to_string()))?;
        Ok(matches!(word.trim(), "y" | "Y" | "yes"))
    }
}

fn answer(plan: &Plan, changes: Vec<Value>) -> Value {
    json!({
        "changes": changes,
        "left": plan.left.iter().map(left_over).collect::<Vec<_>>(),
    })
}

fn planned(plan: &Plan) -> Vec<Value> {
    let planned = |change: &Change| json!({"what": change.what, "result": "planned"});
    plan.changes.iter().map(planned).collect()
}

fn left_over(left: &Left) -> Value {
    json!({
        "state": left.standing.as_str(),
        "what": left.what,
        "wanted": left.wanted,
        "fix": left.fix,
    })
}

fn object(change: &Change, outcome: &Outcome) -> Value {
    let what = &change.what;
    match outcome {
        Outcome::Done { secret: None } => json!({"what": what, "result": "done"}),
        Outcome::Done { secret: Some(secret) } => json!({"what": what, "result": "done", "secret": secret}),
        Outcome::Failed(why) => json!({"what": what, "result": "failed", "why": why}),
        Outcome::Skipped => {
            json!({"what": what, "result": "skipped", "why": "Stripe did not answer before"})
        }
    }
}

fn would(plan: &Plan) -> String {
    let changes = plan.changes.iter();
    changes.map(|change| format!("would {}\n", change.what)).collect()
}

/// A change as people read it.
fn told(change: &Value) -> String {
    let why = cell(change, "why");
    let mut text = format!("{}: {}", cell(change, "result"), cell(change, "what"));
    if !why.is_empty() {
        text.push_str(&format!(": {why}"));
    }
    text.push('\n');
    let secret = cell(change, "secret");
    if !secret.is_empty() {
        text.push_str(&format!(
            "  its signing secret, shown this once: {secret}\n  add it to webhook_secrets, and reload\n"
        ));
    }
    text
}

/// What is left for a person.
fn left(answer: &Value) -> String {
    let rows = rows(&answer["left"], &["state", "what", "wanted", "fix"]);
    if rows.is_empty() {
        return String::new();
    }
    let table = table(&["STATE", "WHAT", "WANTED", "HOW"], &rows);
    format!("left to you:\n{table}")
}
