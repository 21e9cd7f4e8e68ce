//! `faregate grant ...`

use clap::{Subcommand, ValueEnum};
use serde_json::json;

use super::Failure;
use super::accounts::show;
use super::client::{Client, account_path};
use super::output::{Output, cell, rows, table};

#[derive(Subcommand)]
pub(crate) enum Grant {
    /// Give an account credits
    Add {
        /// Whose
        #[arg(long)]
        account: String,
        /// How many credits: 12.5
        #[arg(long)]
        amount: String,
        /// When what is left of them goes (2027-01-31T12:00:00Z); never if not given
        #[arg(long)]
        expires: Option<String>,
        /// When they can be spent from; at once if not given
        #[arg(long)]
        effective: Option<String>,
        /// Bought or given
        #[arg(long, value_enum, default_value = "paid")]
        category: Category,
        /// 0 burns first, 100 last
        #[arg(long, default_value_t = 50)]
        priority: u8,
        /// The grant's name: the same name again gives nothing more, so that a repeat is safe
        #[arg(long)]
        id: Option<String>,
        /// Say what would be, change nothing
        #[arg(long)]
        dry_run: bool,
    },
    /// The grants of an account, in burn order
    List {
        /// Whose
        #[arg(long)]
        account: String,
    },
    /// End a grant: what is unspent of it goes, for good
    Void {
        /// Its id
        id: String,
        /// Whose
        #[arg(long)]
        account: String,
    },
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Category {
    Paid,
    Promotional,
}

impl Grant {
    pub(crate) fn run(self, client: &Client, output: &Output) -> Result<(), Failure> {
        match self {
            Grant::Add {
                account,
                amount,
                expires,
                effective,
                category,
                priority,
                id,
                dry_run,
            } => {
                let id = id.map_or_else(random_id, Ok)?;
                let category = match category {
                    Category::Paid => "paid",
                    Category::Promotional => "promotional",
                };
                let body = json!({ "amount": amount, "expires_at": expires, "effective_at": effective,
                    "category": category, "priority": priority, "dry_run": dry_run });
                let answer = client.put(&account_path(&account, &["grants", &id]), &body)?;
                output.say(&answer, |answer| match answer["dry_run"].as_bool() {
                    Some(true) => format!(
                        "{} credits would be added; nothing was changed\n\n{}",
                        cell(answer, "amount"),
                        show(&answer["account"])
                    ),
                    _ => show(answer),
                });
            }
            Grant::List { account } => {
                let grants = client.get(&account_path(&account, &["grants"]))?;
                output.say(&grants, |grants| {
                    let members = [
                        "id",
                        "state",
                        "amount",
                        "remaining",
                        "category",
                        "priority",
                        "effective_at",
                        "expires_at",
                    ];
                    let head = [
                        "GRANT",
                        "STATE",
                        "AMOUNT",
                        "REMAINING",
                        "CATEGORY",
                        "PRIORITY",
                        "EFFECTIVE",
                        "EXPIRES",
                    ];
                    table(&head, &rows(&grants["items"], &members))
                });
            }
            Grant::Void { id, account } => {
                let account = client.post(&account_path(&account, &["grants", &id, "void"]), &json!({}))?;
                output.say(&account, show);
            }
        }
        Ok(())
    }
}

/// A name is chosen here, before anything is sent: what is sent again after a lost answer has the same one.
fn random_id() -> Result<String, Failure> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Failed(format!("no random numbers: {error}")))?;
    Ok(format!(
        "grant_{}",
        bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
    ))
}
