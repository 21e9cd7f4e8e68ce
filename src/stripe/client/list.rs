//! Lists, page by page.

use serde_json::Value;

use super::{ApiError, Stripe};
use crate::stripe::call::Call;

/// All items of a list, as the API orders them: newest first. `call` is the list's first page.
///
/// # Errors
/// A page was not answered, is none, or there are more than `max` items: then nothing is returned.
pub async fn list_all(stripe: &dyn Stripe, call: &Call, max: usize) -> Result<Vec<Value>, ApiError> {
    let mut all: Vec<Value> = Vec::new();
    let mut next = call.clone();
    loop {
        let page = Page::read(stripe, &next).await?;
        all.extend(page.items);
        if all.len() > max || (page.more && all.len() == max) {
            return Err(ApiError::TooMany { max });
        }
        match all.last().filter(|_| page.more) {
            None => return Ok(all),
            Some(last) => next = call.with("starting_after", id(last)?),
        }
    }
}

/// The newest items of a list, newest first, and whether there are more: at least `max`, and up to a page more, if there are so many.
///
/// # Errors
/// A page was not answered, or is none.
pub async fn list_newest(
    stripe: &dyn Stripe,
    call: &Call,
    max: usize,
) -> Result<(Vec<Value>, bool), ApiError> {
    let mut items: Vec<Value> = Vec::new();
    let mut next = call.clone();
    loop {
        let page = Page::read(stripe, &next).await?;
        items.extend(page.items);
        match items.last().filter(|_| page.more) {
            Some(last) if items.len() < max => next = call.with("starting_after", id(last)?),
            _ => return Ok((items, page.more)),
        }
    }
}

/// What has come to a list.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Newer {
    /// Oldest first.
    pub items: Vec<Value>,
    /// There is more after the last of them.
    pub more: bool,
}

/// What has come to a list since the item `after`, oldest first: at least `max` items, and up to a page more, if there are so many. The API orders by
/// the second when an object was made; several may be of one.
///
/// # Errors
/// A page was not answered, or is none.
pub async fn list_newer(
    stripe: &dyn Stripe,
    call: &Call,
    after: &str,
    max: usize,
) -> Result<Newer, ApiError> {
    let mut newer = Newer::default();
    let mut next = call.with("ending_before", after);
    loop {
        let page = Page::read(stripe, &next).await?;
        newer.items.extend(page.items.into_iter().rev());
        newer.more = page.more;
        match newer.items.last().filter(|_| page.more) {
            Some(last) if newer.items.len() < max => next = call.with("ending_before", id(last)?),
            _ => return Ok(newer),
        }
    }
}

struct Page {
    items: Vec<Value>,
    more: bool,
}

impl Page {
    async fn read(stripe: &dyn Stripe, call: &Call) -> Result<Page, ApiError> {
        let mut reply = stripe.call(call).await?;
        let more = reply.body["has_more"].as_bool();
        let items = match reply.body.get_mut("data").map(Value::take) {
            Some(Value::Array(items)) => items,
            _ => return Err(no_list(call, "it has no data")),
        };
        match more {
            None => Err(no_list(call, "it doesn't say whether there is more")),
            Some(true) if items.is_empty() => Err(no_list(call, "it is empty, and says that there is more")),
            Some(more) => Ok(Page { items, more }),
        }
    }
}

fn id(item: &Value) -> Result<&str, ApiError> {
    item["id"]
        .as_str()
        .ok_or_else(|| ApiError::unknown("a page of a list has an item without an id"))
}

fn no_list(call: &Call, why: &str) -> ApiError {
    ApiError::unknown(format!(
        "{} was not answered with a page of a list: {why}",
        call.operation()
    ))
}
