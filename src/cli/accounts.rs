//! `faregate account ...`

use clap::Subcommand;
use serde_json::{Value, json};

use super::Failure;
use super::client::{Client, account_path};
use super::output::{Output, cell, rows, table};

#[derive(Subcommand)]
pub(crate) enum Account {
    /// Make an account; one that exists stays as it is
    Create {
        /// Its id: up to 128 visible ASCII characters without {}:*?[]\"
        id: String,
        /// A plan of the configuration
        #[arg(long)]
        plan: Option<String>,
    },
    /// Its balance, status and grants
    Show {
        /// Its id
        id: String,
    },
    /// All accounts
    List,
    /// Let nothing through for a reason, from the next request on, on every proxy
    Pause {
        /// Its id
        id: String,
        /// Why; each reason is cleared by itself
        #[arg(long, default_value = "manual")]
        reason: String,
    },
    /// Clear one reason; the account is active when none is left
    Resume {
        /// Its id
        id: String,
        /// Which
        #[arg(long, default_value = "manual")]
        reason: String,
    },
    /// Put it on a plan
    Plan {
        /// Its id
        id: String,
        /// A plan of the configuration
        plan: String,
    },
}

impl Account {
    pub(crate) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Account::Create { id, plan } => {
                output.say(
                    &client.put(&account_path(&id, &[]), &json!({ "plan": plan }))?,
                    show,
                );
            }
            Account::Show { id } => output.say(&client.get(&account_path(&id, &[]))?, show),
            Account::List => {
                let all = client.list("/admin/v1/accounts", "items", usize::MAX)?;
                output.say(&all, |all| {
                    let ids = all["items"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .filter_map(Value::as_str);
                    ids.collect::<Vec<_>>().join("\n")
                });
            }
            Account::Pause { id, reason } => {
                output.say(
                    &client.post(&account_path(&id, &["pause"]), &json!({ "reason": reason }))?,
                    show,
                );
            }
            Account::Resume { id, reason } => {
                output.say(
                    &client.post(&account_path(&id, &["resume"]), &json!({ "reason": reason }))?,
                    show,
                );
            }
            Account::Plan { id, plan } => {
                output.say(
                    &client.put(&account_path(&id, &["plan"]), &json!({ "plan": plan }))?,
                    show,
                );
            }
        }
        Ok(())
    }
}

/// An account for people.
pub(super) fn show(account: &Value) -> String {
    let mut text = String::new();
    for name in [
        "id",
        "status",
        "reasons",
        "plan",
        "available",
        "held",
        "spent",
        "granted",
        "expired",
        "voided",
    ] {
        let value = cell(account, name);
        if !value.is_empty() {
            text.push_str(&format!("{name:<10} {value}\n"));
        }
    }
    let grants = rows(
        &account["grants"],
        &[
            "id",
            "state",
            "amount",
            "remaining",
            "category",
            "priority",
            "expires_at",
        ],
    );
    if !grants.is_empty() {
        text.push('\n');
        text.push_str(&table(
            &[
                "GRANT",
                "STATE",
                "AMOUNT",
                "REMAINING",
                "CATEGORY",
                "PRIORITY",
                "EXPIRES",
            ],
            &grants,
        ));
    }
    text
}
