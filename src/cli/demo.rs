//! `faregate demo`

use std::path::PathBuf;

use clap::Args;

use crate::app::{self, DemoOptions};

use super::{Failure, output};

#[derive(Args)]
pub(crate) struct Demo {
    /// Keep the ledger in this folder (a temporary one if not given)
    #[arg(long)]
    folder: Option<PathBuf>,
}

impl Demo {
    pub(crate) fn run(self) -> Result<(), Failure> {
        app::demo(DemoOptions { folder: self.folder }, output::line).map_err(Failure::from)
    }
}
