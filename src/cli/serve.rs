//! `faregate serve`, and `restore`, which needs the proxy to be down.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::app::{self, AppError};

use super::Failure;
use super::output::{Output, cell};

#[derive(Args)]
pub(crate) struct Serve {
    /// The configuration
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Serve {
    pub(crate) fn run(self) -> Result<(), Failure> {
        app::serve(&self.config).map_err(Failure::from)
    }
}

#[derive(Args)]
pub(crate) struct Restore {
    /// A file that `backup` wrote
    file: PathBuf,
    /// The configuration that says where the ledger is
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Restore {
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = app::read(&self.config)?;
        let done = app::restore(&config, &self.file)?;
        output.say(&json!({ "done": done }), |done| cell(done, "done"));
        Ok(())
    }
}

impl From<AppError> for Failure {
    fn from(error: AppError) -> Failure {
        match error {
            AppError::Config(problems) => Failure::Config(problems),
            AppError::Failed(why) => Failure::Failed(why),
        }
    }
}
