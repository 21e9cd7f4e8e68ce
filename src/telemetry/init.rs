//! The program's own log: what happens, apart from the requests, to standard error. (Requests have the access log, on standard output.)

use tracing_subscriber::filter::LevelFilter;

/// Starts logging; a second call changes nothing. `RUST_LOG` is not looked at: the configuration says what is logged.
pub fn init(json: bool, level: LevelFilter) {
    let builder = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(std::io::stderr)
        .with_target(false);
    // An error is that logging has been started before.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}
