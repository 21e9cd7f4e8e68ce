//! Requests that are priced by tokens: what one may use is read from its body before, what it has used from the answer while that passes.

mod course;
mod due;
mod purse;
mod request;
mod stream;
mod words;

use std::sync::Arc;

use crate::config::Kind;
use crate::domain::price::Terms;
use crate::meter::Api;

pub(super) use course::Course;
pub(super) use due::End;
pub(super) use purse::{Purse, Room};
pub(super) use request::{Metered, Unpriced, read};
pub(super) use stream::{Ends, Next, Over, Streamed};
pub(super) use words::counted;

/// How a route's requests are metered.
#[derive(Debug)]
pub(super) struct Metering {
    /// Where usage is read.
    pub(super) api: Api,
    pub(super) terms: Terms,
    /// What kind of server is asked for it.
    pub(super) kind: Kind,
    /// The model of all its requests.
    pub(super) model: Option<Arc<str>>,
    /// Members of bodies that are let through although they make a request dearer than can be seen.
    pub(super) allow: Vec<Arc<str>>,
    /// What a query may say.
    pub(super) query: Vec<Arc<str>>,
}
