//! The data plane over real sockets, with a ledger in memory and a model server that does as it is told.

mod accuracy;
mod basics;
mod corpus;
mod draining;
mod floods;
mod frames;
mod gatehouse;
mod hostile;
mod memory;
mod once;
mod prices;
mod process;
mod protocols;
mod secrets;
mod settling;
mod storms;
mod surface;
mod tls;
mod tokens;
mod upstreams;

use crate::rig::upstream::FakeUpstream;

/// A route `POST /v1/x` at 0.002 credits, and a free one `GET /v1/models`, to this upstream.
fn simple(upstream: &FakeUpstream) -> String {
    routes(
        upstream,
        r#"
[[routes]]
id = "x"
match = "POST /v1/x"
upstream = "models"
cost = 0.002
api = "openai"

[[routes]]
id = "models"
match = "GET /v1/models"
upstream = "models"
cost = 0
"#,
    )
}

/// These routes, to this upstream.
fn routes(upstream: &FakeUpstream, routes: &str) -> String {
    format!(
        "[upstreams.models]\nurl = \"{}\"\nheaders = {{ authorization = \"Bearer upstream-secret\" }}\n{routes}",
        upstream.url()
    )
}
