//! `faregate stripe audit`

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use crate::app::{self, StripeAccount};
use crate::service::stripe::audit::{Finding, Standing};

use super::super::Failure;
use super::super::output::{Output, table};
use super::counted;

/// The most rows that people are shown of one check.
const ROWS_MAX: usize = 20;

#[derive(Args)]
pub(crate) struct Audit {
    /// The configuration
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Audit {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let account = StripeAccount::open(&app::read(&self.config)?)?;
        let findings = account.findings(&account.look()?);
        let count = |standing| findings.iter().filter(|one| one.standing == standing).count();
        let risks = count(Standing::Risk);
        let answer = json!({
            "risks": risks,
            "reminders": count(Standing::Reminder),
            "findings": findings.iter().map(object).collect::<Vec<_>>(),
        });
        output.say(&answer, |_| people(&findings));
        if risks == 0 {
            return Ok(());
        }
        let fix = "`faregate stripe harden` shows which of them it can set right";
        Err(Failure::Failed(format!("{}; {fix}", counted(risks, "risk"))))
    }
}

fn object(finding: &Finding) -> Value {
    json!({
        "state": finding.standing.as_str(),
        "check": finding.check,
        "what": finding.what,
        "found": finding.found,
        "wanted": finding.wanted,
        "risk": finding.risk,
        "fix": finding.fix,
        "harden": finding.remedy.is_some(),
    })
}

/// Risks first, then what a person has to look at, then what is good.
fn people(findings: &[Finding]) -> String {
    let mut shown: BTreeMap<(Standing, &str), usize> = BTreeMap::new();
    let mut rows = Vec::new();
    for standing in [Standing::Risk, Standing::Reminder, Standing::Good] {
        for finding in findings.iter().filter(|one| one.standing == standing) {
            let count = shown.entry((standing, finding.check)).or_default();
            *count += 1;
            if *count <= ROWS_MAX {
                rows.push(row(finding));
            }
        }
    }
    let mut text = table(&["STATE", "WHAT", "FOUND", "WANTED", "RISK", "HOW TO FIX"], &rows);
    for ((standing, check), count) in shown.into_iter().filter(|(_, count)| *count > ROWS_MAX) {
        let more = count - ROWS_MAX;
        text.push_str(&format!(
            "{}: {check}: {more} more, all with --json\n",
            standing.as_str()
        ));
    }
    text
}

fn row(finding: &Finding) -> Vec<String> {
    vec![
        finding.standing.as_str().to_owned(),
        finding.what.clone(),
        finding.found.clone(),
        finding.wanted.clone(),
        finding.risk.clone(),
        finding.fix.clone(),
    ]
}
