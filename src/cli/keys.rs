//! `faregate key ...`

use std::io::BufRead;

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, account_path};
use super::output::{Output, cell, rows, table};

#[derive(Subcommand)]
pub(crate) enum Key {
    /// Make a key; it is shown once
    Create {
        /// Whose
        #[arg(long)]
        account: String,
        /// A name for people
        #[arg(long)]
        name: Option<String>,
        /// When it stops counting (2027-01-31T12:00:00Z)
        #[arg(long)]
        expires: Option<String>,
    },
    /// The keys of an account
    List {
        /// Whose
        #[arg(long)]
        account: String,
    },
    /// Revoke a key, for good: from then on it opens nothing on any proxy
    Revoke {
        /// Its id, key_...
        id: String,
        /// Whose
        #[arg(long)]
        account: String,
    },
    /// Import keys of another system from standard input, one a line
    Import {
        /// Whose
        #[arg(long)]
        account: String,
    },
}

impl Key {
    pub(crate) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Key::Create {
                account,
                name,
                expires,
            } => {
                let body = json!({ "name": name, "expires_at": expires });
                let made = client.post(&account_path(&account, &["keys"]), &body)?;
                output.say(&made, |made| {
                    format!(
                        "{}\n{}  (shown once: only a digest of it is kept)",
                        cell(made, "key"),
                        cell(made, "id")
                    )
                });
            }
            Key::List { account } => {
                let keys = client.get(&account_path(&account, &["keys"]))?;
                output.say(&keys, |keys| {
                    let rows = rows(
                        &keys["items"],
                        &["id", "status", "name", "created_at", "expires_at", "revoked_at"],
                    );
                    table(&["KEY", "STATUS", "NAME", "CREATED", "EXPIRES", "REVOKED"], &rows)
                });
            }
            Key::Revoke { id, account } => {
                let key = client.delete(&account_path(&account, &["keys", &id]))?;
                output.say(&key, |key| format!("{} is revoked", cell(key, "id")));
            }
            Key::Import { account } => import(client, output, &account)?,
        }
        Ok(())
    }
}

/// Every line is tried; which were wrong is said by number, never by content.
fn import(client: &Client, output: &Output, account: &str) -> Result<(), Failure> {
    let (mut ids, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in std::io::stdin().lock().lines().enumerate() {
        let line = line.map_err(|error| Failure::Failed(format!("standard input: {error}")))?;
        let key = line.trim();
        if key.is_empty() {
            continue;
        }
        match client.post(&account_path(account, &["keys"]), &json!({ "key": key })) {
            Ok(made) => ids.push(made["id"].clone()),
            Err(Failure::Failed(why) | Failure::Config(why)) => {
                wrong.push(format!("line {}: {why}", number + 1))
            }
        }
    }
    output.say(&json!({ "imported": ids, "problems": wrong }), |answer| {
        let ids = answer["imported"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str);
        ids.collect::<Vec<_>>().join("\n")
    });
    if wrong.is_empty() {
        Ok(())
    } else {
        Err(Failure::Failed(wrong.join("\n")))
    }
}
