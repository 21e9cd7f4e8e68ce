//! Which headers pass, which are stripped, which are refused.
//!
//! [`clean_request`] is called once per request before anything is decided from its headers, [`clean_response`] and
//! [`clean_trailers`] on what the upstream says. All work in place; a message that has none of the headers in question
//! costs one walk over its names.

mod accept;
mod host;
mod names;
mod request;
mod response;

pub use accept::accepts_coding;
pub use host::{HostError, check_host};
pub use request::{HeaderError, RequestFacts, RequestRules, clean_request};
pub use response::{ResponseRules, clean_response, clean_trailers};
