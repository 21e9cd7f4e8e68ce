//! The codes of our own answers: stable words, a status, and whether asking again may help. `docs/errors.md` lists the same.

use ::http::StatusCode;

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:ident, $again:ident;)*) => {
        /// Why an answer is our own and not the upstream's.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Code { $($(#[$doc])* $name,)* }

        impl Code {
            /// All of them, in the order of their numbers.
            pub const ALL: &'static [Code] = &[$(Code::$name,)*];

            /// The word that programs read.
            pub const fn as_str(self) -> &'static str {
                match self { $(Code::$name => $text,)* }
            }

            /// The status it comes with.
            pub const fn status(self) -> StatusCode {
                match self { $(Code::$name => StatusCode::$status,)* }
            }

            /// Whether time may heal it: said to clients as `x-should-retry`, with `Retry-After` when it may.
            pub const fn again(self) -> bool {
                match self { $(Code::$name => codes!(@ $again),)* }
            }
        }
    };
    (@ again) => { true };
    (@ never) => { false };
}

codes! {
    /// The request cannot be read in one way only, or not at all.
    InvalidRequest = "invalid_request", BAD_REQUEST, never;
    /// The model is not on the list of prices.
    ModelNotPriced = "model_not_priced", BAD_REQUEST, never;
    /// No key, or one that does not count.
    InvalidApiKey = "invalid_api_key", UNAUTHORIZED, never;
    /// The balance does not cover the hold.
    InsufficientCredits = "insufficient_credits", PAYMENT_REQUIRED, never;
    /// A cap on spending does not.
    SpendLimitReached = "spend_limit_reached", PAYMENT_REQUIRED, never;
    /// The account is paused.
    AccountPaused = "account_paused", FORBIDDEN, never;
    /// The account's plan does not open the route.
    NotEntitled = "not_entitled", FORBIDDEN, never;
    /// A browser's page of an origin that the route does not list.
    OriginNotAllowed = "origin_not_allowed", FORBIDDEN, never;
    /// No route has this path.
    RouteNotFound = "route_not_found", NOT_FOUND, never;
    /// The gate itself has nothing by that name to tell.
    NotFound = "not_found", NOT_FOUND, never;
    /// The path is known, with other methods.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, never;
    /// The body stopped coming.
    RequestTimeout = "request_timeout", REQUEST_TIMEOUT, again;
    /// The same idempotency key came with another request.
    IdempotencyConflict = "idempotency_conflict", CONFLICT, never;
    /// Another request under the same idempotency key is under way.
    InProgress = "in_progress", CONFLICT, again;
    /// Another request under the same idempotency key was charged.
    AlreadyCharged = "already_charged", CONFLICT, never;
    /// The body is longer than the route allows.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, never;
    /// Path and query are too long.
    TargetTooLong = "target_too_long", URI_TOO_LONG, never;
    /// A body that is not plain JSON on a route whose price is in the body.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, never;
    /// An expectation other than `100-continue`.
    ExpectationFailed = "expectation_failed", EXPECTATION_FAILED, never;
    /// The route only carries upgraded connections.
    UpgradeRequired = "upgrade_required", UPGRADE_REQUIRED, never;
    /// Too many requests in a minute.
    RateLimited = "rate_limited", TOO_MANY_REQUESTS, again;
    /// Too many requests at once.
    TooManyConcurrent = "too_many_concurrent", TOO_MANY_REQUESTS, again;
    /// Too many headers, or too long ones.
    HeadersTooLarge = "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, never;
    /// Our own mistake.
    Internal = "internal", INTERNAL_SERVER_ERROR, again;
    /// The route does not carry upgraded connections.
    UpgradeRefused = "upgrade_refused", NOT_IMPLEMENTED, never;
    /// No connection to the upstream, or it ended before it answered.
    UpstreamUnreachable = "upstream_unreachable", BAD_GATEWAY, again;
    /// The upstream does not accept the gate's credentials.
    UpstreamRefused = "upstream_refused", BAD_GATEWAY, never;
    /// The upstream's answer was not HTTP, or not one that can be passed on.
    UpstreamBroken = "upstream_broken", BAD_GATEWAY, again;
    /// The payment provider does not do it, which is the operator's business.
    PaymentsRefused = "payments_refused", BAD_GATEWAY, never;
    /// The ledger did not answer.
    LedgerUnavailable = "ledger_unavailable", SERVICE_UNAVAILABLE, again;
    /// Too much is under way.
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, again;
    /// The payment provider did not answer.
    PaymentsUnavailable = "payments_unavailable", SERVICE_UNAVAILABLE, again;
    /// The upstream did not answer in time.
    UpstreamTimeout = "upstream_timeout", GATEWAY_TIMEOUT, again;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_code_with_its_status() {
        let document = include_str!("../../docs/errors.md");
        let listed: Vec<_> = document.lines().filter(|line| line.starts_with("| `")).collect();
        for code in Code::ALL {
            let start = format!(
                "| `{}` | {} | {} |",
                code.as_str(),
                code.status().as_u16(),
                if code.again() { "yes" } else { "no" }
            );
            assert!(
                listed.iter().any(|line| line.starts_with(&start)),
                "docs/errors.md has no line that begins with {start}"
            );
        }
        assert_eq!(
            listed.len(),
            Code::ALL.len(),
            "docs/errors.md lists a code that is not there"
        );
    }
}
