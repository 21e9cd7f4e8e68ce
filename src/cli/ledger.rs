//! `faregate ledger ...`, `backup`, `reload`. `ledger copy` and `ledger rebuild --config` need the proxy to be down, the others need it to run.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::app::{self, CopyTo};

use super::Failure;
use super::client::{Client, account_path};
use super::output::{Output, cell, rows, table};

#[derive(Subcommand)]
pub(crate) enum Ledger {
    /// The journal of an account, newest first
    History {
        /// Whose
        account: String,
        /// How many entries at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Prove the books over all accounts; exit code 1 on a difference
    Verify,
    /// Rebuild all balances from the journal; the ledger is closed to requests meanwhile
    Rebuild {
        /// The configuration of an embedded ledger that does not start: it is rebuilt in its folder, and the proxy must not run
        #[arg(long, short)]
        config: Option<PathBuf>,
    },
    /// Copy the embedded ledger (all accounts, keys and history) to an empty Redis, and verify both; the proxy must not run
    Copy(Copy),
}

#[derive(Args)]
pub(crate) struct Copy {
    /// Its url, redis://user:password@host:6379/0; several of a cluster. Better in the environment: arguments are seen by other users of the machine
    #[arg(
        long,
        required = true,
        value_delimiter = ',',
        env = "FAREGATE_COPY_TO",
        hide_env_values = true
    )]
    to: Vec<String>,
    /// The certificates to trust for rediss://, a PEM file, instead of the usual public ones
    #[arg(long)]
    ca: Option<PathBuf>,
    /// How many partitions the ledger gets there, for ever (usually 1, or 64 on a cluster)
    #[arg(long)]
    partitions: Option<u32>,
    /// The configuration that says where the embedded ledger is
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Copy {
    fn run(self, output: &Output) -> Result<(), Failure> {
        let config = app::read(&self.config)?;
        let to = CopyTo {
            urls: self.to,
            ca: self.ca,
            partitions: self.partitions,
        };
        let done = app::copy(&config, &to)?;
        output.say(&json!({ "done": done }), |done| cell(done, "done"));
        Ok(())
    }
}

impl Ledger {
    pub(crate) fn run(self, client: Result<Client, Failure>, output: &Output) -> Result<(), Failure> {
        match self {
            Ledger::History { account, limit } => {
                let entries = client?.list(&account_path(&account, &["entries"]), "entries", limit)?;
                output.say(&entries, |entries| {
                    let members = ["time", "kind", "subject", "amount", "available"];
                    table(
                        &["TIME", "KIND", "SUBJECT", "AMOUNT", "AVAILABLE"],
                        &rows(&entries["entries"], &members),
                    )
                });
                Ok(())
            }
            Ledger::Verify => report(output, &client?.post("/admin/v1/ledger/verify", &json!({}))?),
            Ledger::Rebuild { config: Some(config) } => {
                let found = app::rebuild(&app::read(&config)?)?;
                let rebuilt = json!({
                    "accounts": found.accounts,
                    "entries": found.entries,
                    "differences": found.differences,
                    "ok": found.differences.is_empty(),
                });
                output.say(&rebuilt, sentence);
                Ok(())
            }
            Ledger::Rebuild { config: None } => {
                let rebuilt = client?.post("/admin/v1/ledger/rebuild", &json!({}))?;
                output.say(&rebuilt, sentence);
                Ok(())
            }
            Ledger::Copy(copy) => copy.run(output),
        }
    }
}

/// A verification: a difference is a failure.
fn report(output: &Output, report: &Value) -> Result<(), Failure> {
    output.say(report, sentence);
    if report["ok"].as_bool() == Some(true) {
        return Ok(());
    }
    Err(Failure::Failed(
        "the books do not verify; see docs/operations.md".to_owned(),
    ))
}

fn sentence(report: &Value) -> String {
    let differences = report["differences"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    let mut text = format!(
        "{} accounts, {} entries, {} differences\n",
        cell(report, "accounts"),
        cell(report, "entries"),
        differences.len()
    );
    for difference in differences.iter().filter_map(Value::as_str) {
        text.push_str(difference);
        text.push('\n');
    }
    text
}

pub(crate) fn backup(client: &Client, output: &Output, file: &Path) -> Result<(), Failure> {
    // The proxy writes it: a path that is relative here would mean another place there.
    let file = std::path::absolute(file).map_err(|error| Failure::Failed(error.to_string()))?;
    let done = client.post("/admin/v1/ledger/backup", &json!({ "file": file }))?;
    output.say(&done, |done| cell(done, "done"));
    Ok(())
}

pub(crate) fn reload(client: &Client, output: &Output) -> Result<(), Failure> {
    let done = client.post("/admin/v1/config/reload", &json!({}))?;
    output.say(&done, |done| {
        let changes: Vec<&str> = done["changes"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if changes.is_empty() {
            "reloaded; nothing changed".to_owned()
        } else {
            changes.join("\n")
        }
    });
    Ok(())
}
