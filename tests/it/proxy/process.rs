//! What the tests of a running binary share.

use crate::rig::process::Faregate;

/// A whole configuration for a process: these routes and upstreams, these settings of the server, an embedded ledger.
pub(super) fn on_its_own(routes: &str, server: &str) -> String {
    let rest = "[admin]\nlisten = \"@ADMIN@\"\ntoken = \"${FAREGATE_ADMIN_TOKEN}\"\n[ledger]\nbackend = \"embedded\"\npath = \"@DIR@/data\"\ntimeout = \"10s\"\n";
    routes.to_owned() + "[server]\nlisten = \"@LISTEN@\"\nworkers = 1\n" + server + rest
}

/// The key of a new account `acme` with 10 credits.
pub(super) async fn customer(gate: &Faregate) -> String {
    for args in [
        &["account", "create", "acme"][..],
        &["grant", "add", "--account", "acme", "--amount", "10"],
    ] {
        gate.cli(args.iter().copied()).run().await.ok();
    }
    let made = gate
        .cli(["key", "create", "--account", "acme", "--json"])
        .run()
        .await
        .ok();
    made.json()["key"].as_str().unwrap().to_owned()
}
