//! `faregate check`

use std::path::PathBuf;

use clap::Args;

use crate::app;
use crate::tokenizer::Tokenizer;

use super::Failure;
use super::output::Output;

#[derive(Args)]
pub(crate) struct Check {
    /// The configuration
    #[arg(long, short, default_value = "config.toml")]
    config: PathBuf,
}

impl Check {
    /// Every problem (exit code 1), or a table of what the file means.
    pub(crate) fn run(self, output: &Output) -> Result<(), Failure> {
        let config = app::read(&self.config).map_err(|error| Failure::Failed(error.to_string()))?;
        for tokenizer in config
            .models
            .iter()
            .filter_map(|(_, model)| model.tokenizer.as_ref())
        {
            Tokenizer::load(tokenizer).map_err(|error| Failure::Failed(error.to_string()))?;
        }
        let summary = config.summary();
        output.say(&serde_json::json!(summary), |_| summary.to_string());
        Ok(())
    }
}
