//! The configuration file, from the disk and the environment.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{self, Config, LogFormat, LogLevel};
use crate::service::plans::{Opens, Plan, Plans};
use crate::telemetry;

use super::AppError;

/// Reads a file into a configuration; or every problem of it.
pub fn read(path: &Path) -> Result<Config, AppError> {
    let text = read_bounded(path).and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    let text = text.map_err(|error| {
        AppError::Config(format!(
            "{}: {error}; --config says where the configuration is",
            path.display()
        ))
    })?;
    load(&text, &path.display().to_string())
}

/// Longer is no configuration, certificate or secret; it may be a device that never ends.
const FILE_MAX: u64 = 16 * 1024 * 1024;

fn read_bounded(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?
        .take(FILE_MAX + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(std::io::Error::other("longer than 16 MiB"));
    }
    Ok(bytes)
}

/// Makes a configuration of a text; `name` stands in the problems.
pub fn load(text: &str, name: &str) -> Result<Config, AppError> {
    let env = |variable: &str| std::env::var(variable).ok();
    let files = |path: &Path| read_bounded(path);
    let config = config::parse(text, &env, &files);
    let config = config.and_then(|config| config.check_files(&files).map(|()| config));
    config.map_err(|problems| AppError::Config(problems.in_file(name).to_string()))
}

/// The plans of a configuration, as the gate uses them.
pub(super) fn plans(config: &Config) -> Arc<Plans> {
    let plan = |plan: &config::Plan| Plan {
        routes: plan
            .routes
            .as_ref()
            .map(|routes| routes.iter().cloned().collect()),
        models: plan.models.clone(),
        limits: plan.limits,
        credit_line: plan.credit_line,
        verify: plan.verify.as_ref().map(|verify| Opens {
            plan: verify.opens.clone(),
            by: verify.by.as_str(),
        }),
        bill_every: plan.bill_every,
    };
    let all: HashMap<_, _> = config
        .plans
        .iter()
        .map(|(id, given)| (id.clone(), plan(given)))
        .collect();
    let default = config
        .default_plan
        .as_ref()
        .and_then(|id| all.get(id))
        .cloned()
        .unwrap_or_default();
    Arc::new(Plans::new(all, default))
}

/// Starts the program's own log.
pub(super) fn start_log(config: &Config) {
    let level = match config.log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    telemetry::init(config.log.format == LogFormat::Json, level);
}
