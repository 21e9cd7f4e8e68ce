//! `faregate stripe ...`

mod audit;
mod harden;

use clap::Subcommand;

use super::Failure;
use super::output::Output;

#[derive(Subcommand)]
pub(crate) enum Stripe {
    /// What at Stripe, or in the settings for it, leaves you exposed; exit code 1 on a risk. Only reads, and needs no running proxy
    Audit(audit::Audit),
    /// Set right what Stripe's API can set, and name what only its dashboard can
    Harden(harden::Harden),
}

impl Stripe {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        match self {
            Stripe::Audit(audit) => audit.run(output),
            Stripe::Harden(harden) => harden.run(output),
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
