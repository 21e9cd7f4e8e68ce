//! The `faregate` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    faregate::cli::run()
}
