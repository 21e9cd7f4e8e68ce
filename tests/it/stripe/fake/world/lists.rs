//! Pages of lists, newest first.

use serde_json::{Value, json};

use super::{Reply, World};
use crate::stripe::fake::error::ApiError;

impl World {
    /// All of a kind whose fields are as asked for, page by page.
    pub(crate) fn list(&self, kind: &str, asked: &Value, by: &[&str], url: &str) -> Reply {
        let wanted = |object: &&Value| {
            by.iter()
                .all(|field| asked[*field].is_null() || object[*field] == asked[*field])
                && in_time(&asked["created"], object["created"].as_i64().unwrap_or_default())
        };
        page(self.all(kind).rev().filter(wanted).cloned().collect(), asked, url)
    }

    /// `GET /v1/reviews`: open ones only.
    pub(crate) fn list_reviews(&self, asked: &Value) -> Reply {
        let wanted = |review: &&Value| {
            let created = review["created"].as_i64().unwrap_or_default();
            review["open"] == true && in_time(&asked["created"], created)
        };
        let open = self.all("review").rev().filter(wanted).cloned().collect();
        page(open, asked, "/v1/reviews")
    }
}

/// Whether the time is within `created`, a time or `{gt, gte, lt, lte}`.
pub(super) fn in_time(created: &Value, at: i64) -> bool {
    if let Some(exactly) = created.as_i64() {
        return at == exactly;
    }
    let holds = |name: &str, test: fn(&i64, &i64) -> bool| {
        created[name].as_i64().is_none_or(|bound| test(&at, &bound))
    };
    holds("gt", i64::gt) && holds("gte", i64::ge) && holds("lt", i64::lt) && holds("lte", i64::le)
}

/// One page of what is given newest first.
pub(super) fn page(all: Vec<Value>, asked: &Value, url: &str) -> Reply {
    let limit = asked["limit"].as_i64().unwrap_or(10);
    let limit = usize::try_from(limit)
        .ok()
        .filter(|limit| (1..=100).contains(limit));
    let Some(limit) = limit else {
        return Err(ApiError::invalid("limit must be from 1 to 100").param("limit"));
    };
    let place = |name: &str| {
        let Some(id) = asked[name].as_str() else {
            return Ok(None);
        };
        let found = all.iter().position(|object| object["id"] == id);
        let missing = || {
            ApiError::invalid(format!("No such object: '{id}'"))
                .param(name)
                .code("resource_missing")
        };
        found.map(Some).ok_or_else(missing)
    };
    let (from, to, has_more) = match (place("starting_after")?, place("ending_before")?) {
        (Some(_), Some(_)) => {
            return Err(
                ApiError::invalid("Give starting_after or ending_before, not both").param("ending_before"),
            );
        }
        (None, Some(before)) => (before.saturating_sub(limit), before, before > limit),
        (after, None) => {
            let from = after.map_or(0, |after| after + 1);
            let to = all.len().min(from + limit);
            (from, to, to < all.len())
        }
    };
    Ok(json!({"object": "list", "data": all[from..to], "has_more": has_more, "url": url}))
}
