//! L6: the command line. All commands but `demo`, `serve`, `check`, `restore`, `ledger copy`, `ledger rebuild --config`, `stripe audit` and `stripe harden` are clients of the admin API; no rule lives here.

mod accounts;
mod check;
mod client;
mod demo;
mod grants;
mod keys;
mod ledger;
mod output;
mod serve;
mod stripe;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use client::Client;
use output::Output;

/// Prepaid credits enforced in front of a model server.
#[derive(Parser)]
#[command(name = "faregate", version, arg_required_else_help = true)]
struct Cli {
    /// Answer in JSON
    #[arg(long, global = true)]
    json: bool,
    /// The admin listener of the running proxy
    #[arg(
        long,
        global = true,
        env = "FAREGATE_ADMIN_URL",
        default_value = "http://127.0.0.1:9091"
    )]
    admin: String,
    /// A token for it (better in the environment: arguments are seen by other users of the machine)
    #[arg(long, global = true, env = "FAREGATE_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// The certificates to trust for it, a PEM file, instead of the usual public ones
    #[arg(long, global = true, env = "FAREGATE_ADMIN_CA")]
    admin_ca: Option<std::path::PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything at once on a bare machine: proxy, upstream, an account with credits, a key, and what to try
    Demo(demo::Demo),
    /// The proxy and the admin listener
    Serve(serve::Serve),
    /// Read a configuration and say every problem, or what it means
    Check(check::Check),
    /// Ask the running proxy to load its configuration again
    Reload,
    /// Copy the embedded ledger of the running proxy to a file
    Backup {
        /// Where to; must not exist
        file: PathBuf,
    },
    /// Put a backup in the place of the embedded ledger; the proxy must not run
    Restore(serve::Restore),
    /// Accounts
    #[command(subcommand)]
    Account(accounts::Account),
    /// API keys
    #[command(subcommand)]
    Key(keys::Key),
    /// Grants of credits
    #[command(subcommand)]
    Grant(grants::Grant),
    /// The ledger: history, proof, and the move to Redis
    #[command(subcommand)]
    Ledger(ledger::Ledger),
    /// Stripe: what leaves you exposed there, setting it right, and catching up with it
    #[command(subcommand)]
    Stripe(stripe::Stripe),
    /// Print a completion script for a shell
    Completions {
        /// Which
        shell: clap_complete::Shell,
    },
    /// Write man pages into a folder
    Man {
        /// Which; must exist
        folder: PathBuf,
    },
}

/// What a command came to.
pub(crate) enum Failure {
    /// Refused or failed: exit code 1.
    Failed(String),
    /// The configuration is bad: exit code 78, so that a service manager does not restart in a loop.
    Config(String),
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Failed(format!("{error:#}"))
    }
}

/// Runs the command line: 0 done, 1 refused or failed, 2 wrong usage, 78 the configuration is bad.
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(cli.json);
    let client = Client::new(&cli.admin, cli.admin_token.as_deref(), cli.admin_ca.as_deref());
    let done = match cli.command {
        Command::Demo(demo) => demo.run(),
        Command::Serve(serve) => serve.run(),
        Command::Check(check) => check.run(&output),
        Command::Restore(restore) => restore.run(&output),
        Command::Reload => client.and_then(|client| ledger::reload(&client, &output)),
        Command::Backup { file } => client.and_then(|client| ledger::backup(&client, &output, &file)),
        Command::Account(command) => client.and_then(|client| command.run(&client, &output)),
        Command::Key(command) => client.and_then(|client| command.run(&client, &output)),
        Command::Grant(command) => client.and_then(|client| command.run(&client, &output)),
        Command::Ledger(command) => command.run(client, &output),
        Command::Stripe(command) => command.run(client, &output),
        Command::Completions { shell } => {
            // In memory first: what is generated straight to a reader that has gone panics.
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "faregate", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end());
            Ok(())
        }
        Command::Man { folder } => clap_mangen::generate_to(Cli::command(), &folder)
            .map_err(|error| Failure::Failed(format!("{}: {error}; it must be a folder", folder.display()))),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Failed(what)) => {
            output::complain(&what);
            ExitCode::from(1)
        }
        Err(Failure::Config(what)) => {
            output::complain(&what);
            ExitCode::from(78)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
