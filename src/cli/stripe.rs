//! `faregate stripe ...`

mod audit;
mod harden;
mod sync;

use std::path::PathBuf;

use clap::Subcommand;

use super::Failure;
use super::client::Client;
use super::output::Output;

#[derive(Subcommand)]
pub(crate) enum Stripe {
    /// What at Stripe, or in the settings for it, leaves you exposed; exit code 1 on a risk. Only reads, and needs no running proxy
    Audit(audit::Audit),
    /// Set right what Stripe's API can set, and name what only its dashboard can
    Harden(harden::Harden),
    /// Look at everything at Stripe, make up for what was missed, and say what differs; exit code 1 if something does, or is parked
    Sync,
    /// What Stripe told that waits for somebody to change something, and why
    Parked {
        /// How many at most
        #[arg(long, default_value_t = 100)]
        limit: usize,
    },
    /// Have something parked waited for no more, because you have dealt with it
    Dismiss {
        /// As `parked` names it
        what: String,
    },
    /// Take the events of a file as if they were delivered, also those that were dealt with before: nothing is credited twice
    Replay {
        /// A JSON array of events, one event per line, or a list as Stripe's API answers it
        file: PathBuf,
    },
}

impl Stripe {
    pub(crate) fn run(self, client: Result<Client, Failure>, output: &Output) -> Result<(), Failure> {
        match self {
            Stripe::Audit(audit) => audit.run(output),
            Stripe::Harden(harden) => harden.run(output),
            Stripe::Sync => sync::sync(&client?, output),
            Stripe::Parked { limit } => sync::parked(&client?, output, limit),
            Stripe::Dismiss { what } => sync::dismiss(&client?, output, &what),
            Stripe::Replay { file } => sync::replay(&client?, output, &file),
        }
    }
}

/// "1 risk", "2 risks".
fn counted(count: usize, one: &str) -> String {
    if count == 1 {
        format!("1 {one}")
    } else {
        format!("{count} {one}s")
    }
}
