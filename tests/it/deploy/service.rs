//! The systemd unit.

use std::time::Duration;

use faregate::config;

use super::{text, without_comments};
use crate::rig::process::Spawn;
use crate::rig::temp::TempDir;

const UNIT: &str = "deploy/faregate.service";

/// `systemd-analyze security` counts to 10, in tenths here; below 2 it says "OK".
const EXPOSURE_MAX_TENTHS: u32 = 15;

/// The values of a setting, in the order of the file.
fn values(unit: &str, name: &str) -> Vec<String> {
    let lines = unit
        .lines()
        .filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    lines.map(str::to_owned).collect()
}

#[test]
fn it_says_what_the_program_needs() {
    let unit = without_comments(&text(UNIT));
    for (name, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateDevices", "yes"),
        ("MemoryDenyWriteExecute", "yes"),
        ("CapabilityBoundingSet", ""),
        ("RestrictAddressFamilies", "AF_INET AF_INET6 AF_UNIX"),
        ("StateDirectory", "faregate"),
        ("WorkingDirectory", "/var/lib/faregate"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", "2 78"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
    ] {
        assert_eq!(values(&unit, name), [value], "{name}");
    }
    assert_eq!(
        values(&unit, "SystemCallFilter"),
        ["@system-service", "~@privileged @resources"]
    );
    let user = &values(&unit, "User")[0];
    let sysusers = text("deploy/faregate.sysusers.conf");
    assert!(
        sysusers.contains(&format!("u {user} ")),
        "deploy/faregate.sysusers.conf does not make {user}"
    );
}

#[test]
fn it_is_given_more_time_to_stop_than_it_takes_and_files_for_all_connections() {
    let unit = without_comments(&text(UNIT));
    let config = config::parse(config::SHIPPED, &|_| None, &|_| {
        Err(std::io::ErrorKind::NotFound.into())
    });
    let server = config.unwrap_or_else(|problems| panic!("{problems}")).server;
    let seconds = values(&unit, "TimeoutStopSec")[0]
        .trim_end_matches('s')
        .parse()
        .unwrap();
    // It settles for up to 5 s after the grace.
    assert!(Duration::from_secs(seconds) >= server.shutdown_grace + Duration::from_secs(10));
    let files: usize = values(&unit, "LimitNOFILE")[0].parse().unwrap();
    assert!(
        files >= server.connections_max * 3,
        "a connection of a client may need two more"
    );
}

/// The unit with the built binary in the place of the installed one, so that systemd finds it.
fn with_the_built_binary(dir: &TempDir) -> std::path::PathBuf {
    let unit = text(UNIT);
    assert!(unit.contains("ExecStart=/usr/local/bin/faregate serve "));
    let unit = unit.replace("/usr/local/bin/faregate", env!("CARGO_BIN_EXE_faregate"));
    dir.write("faregate.service", unit)
}

/// Whether this machine has systemd's checker; a container often has not, and then there is nothing to ask.
fn has_systemd() -> bool {
    let has = std::path::Path::new("/usr/bin/systemd-analyze").exists();
    if !has {
        eprintln!("no systemd-analyze here: the unit was not checked by systemd");
    }
    has
}

#[tokio::test]
async fn systemd_takes_it_and_finds_it_little_exposed() {
    if !has_systemd() {
        return;
    }
    let dir = TempDir::new();
    let unit = with_the_built_binary(&dir).into_os_string();
    let verified = Spawn::new("/usr/bin/systemd-analyze")
        .args(["verify".into(), "--man=no".into(), unit.clone()])
        .run()
        .await
        .ok();
    let about_it: Vec<_> = verified
        .stderr
        .lines()
        .filter(|line| line.contains("faregate.service"))
        .collect();
    assert!(about_it.is_empty(), "systemd says {about_it:?}");
    let threshold = format!("--threshold={EXPOSURE_MAX_TENTHS}");
    let args = [
        "security".into(),
        "--no-pager".into(),
        "--offline=true".into(),
        threshold.into(),
        unit,
    ];
    Spawn::new("/usr/bin/systemd-analyze").args(args).run().await.ok();
}
