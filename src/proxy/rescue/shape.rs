//! The shapes of errors that SDKs understand.

use ::http::StatusCode;

use crate::domain::ids::HoldId;
use crate::meter::Api;

use super::super::code::Code;
use super::said::{Said, quoted};

/// Who is meant to read a route's errors.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(in super::super) enum Shape {
    /// OpenAI's SDKs, and the many that speak the same.
    OpenAi,
    /// Anthropic's SDKs.
    Anthropic,
    /// Any program: RFC 9457.
    #[default]
    Problem,
}

impl Shape {
    /// Of the API whose SDKs call a route.
    pub(in super::super) fn of(api: Api) -> Shape {
        match api {
            Api::AnthropicMessages => Shape::Anthropic,
            // Ollama's clients read `error`, be it a text or not.
            _ => Shape::OpenAi,
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            Shape::OpenAi | Shape::Anthropic => "application/json",
            Shape::Problem => "application/problem+json",
        }
    }
}

/// The body of an answer.
pub(super) fn render(shape: Shape, code: Code, said: &Said, request: HoldId) -> String {
    let message = quoted(&said.message);
    let word = code.as_str();
    let fields = || {
        said.fields
            .iter()
            .map(|(name, value)| format!(",\"{name}\":{value}"))
            .collect::<String>()
    };
    match shape {
        Shape::OpenAi => {
            format!(
                r#"{{"error":{{"message":{message},"type":"{}","param":null,"code":"{word}"{}}}}}"#,
                openai_type(code),
                fields()
            )
        }
        Shape::Anthropic => format!(
            r#"{{"type":"error","error":{{"type":"{}","message":{message},"details":{{"error_code":"{word}"{}}}}},"request_id":"{request}"}}"#,
            anthropic_type(code),
            fields()
        ),
        Shape::Problem => {
            let status = code.status();
            let title = status.canonical_reason().unwrap_or(word);
            format!(
                r#"{{"type":"about:blank","title":"{title}","status":{},"detail":{message},"code":"{word}","request_id":"{request}"{}}}"#,
                status.as_u16(),
                fields()
            )
        }
    }
}

fn openai_type(code: Code) -> &'static str {
    match code {
        Code::InsufficientCredits | Code::SpendLimitReached => "insufficient_quota",
        Code::RateLimited | Code::TooManyConcurrent => "rate_limit_error",
        Code::AccountPaused | Code::NotEntitled => "permission_error",
        _ if code.status().is_server_error() => "server_error",
        _ => "invalid_request_error",
    }
}

fn anthropic_type(code: Code) -> &'static str {
    match code.status() {
        StatusCode::UNAUTHORIZED => "authentication_error",
        StatusCode::PAYMENT_REQUIRED => "billing_error",
        StatusCode::FORBIDDEN => "permission_error",
        StatusCode::NOT_FOUND => "not_found_error",
        StatusCode::PAYLOAD_TOO_LARGE => "request_too_large",
        StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
        StatusCode::SERVICE_UNAVAILABLE => "overloaded_error",
        StatusCode::GATEWAY_TIMEOUT => "timeout_error",
        status if status.is_server_error() => "api_error",
        _ => "invalid_request_error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said() -> Said {
        Said {
            message: "a \"b\"\n".into(),
            fields: vec![("available", quoted("1.000000"))],
        }
    }

    fn value(shape: Shape, code: Code) -> serde_json::Value {
        let request = HoldId::new(1_800_000_000_000, [7; 10]);
        serde_json::from_str(&render(shape, code, &said(), request)).unwrap()
    }

    #[test]
    fn each_sdk_finds_code_and_sentence_where_it_looks() {
        let openai = value(Shape::OpenAi, Code::InsufficientCredits);
        assert_eq!(openai["error"]["type"], "insufficient_quota");
        assert_eq!(openai["error"]["code"], "insufficient_credits");
        assert_eq!(openai["error"]["message"], "a \"b\"\n");
        assert_eq!(openai["error"]["available"], "1.000000");
        let anthropic = value(Shape::Anthropic, Code::InsufficientCredits);
        assert_eq!(anthropic["type"], "error");
        assert_eq!(anthropic["error"]["type"], "billing_error");
        assert_eq!(
            anthropic["error"]["details"]["error_code"],
            "insufficient_credits"
        );
        assert_eq!(anthropic["error"]["details"]["available"], "1.000000");
        assert!(anthropic["request_id"].is_string());
        let problem = value(Shape::Problem, Code::RouteNotFound);
        assert_eq!(problem["status"], 404);
        assert_eq!(problem["code"], "route_not_found");
    }

    #[test]
    fn each_sdk_is_told_the_type_that_it_makes_an_exception_of() {
        for (code, openai, anthropic) in [
            (
                Code::InvalidRequest,
                "invalid_request_error",
                "invalid_request_error",
            ),
            (
                Code::InvalidApiKey,
                "invalid_request_error",
                "authentication_error",
            ),
            (Code::InsufficientCredits, "insufficient_quota", "billing_error"),
            (Code::SpendLimitReached, "insufficient_quota", "billing_error"),
            (Code::AccountPaused, "permission_error", "permission_error"),
            (Code::NotEntitled, "permission_error", "permission_error"),
            (Code::RouteNotFound, "invalid_request_error", "not_found_error"),
            (Code::BodyTooLarge, "invalid_request_error", "request_too_large"),
            (Code::RateLimited, "rate_limit_error", "rate_limit_error"),
            (Code::TooManyConcurrent, "rate_limit_error", "rate_limit_error"),
            (Code::UpstreamUnreachable, "server_error", "api_error"),
            (Code::LedgerUnavailable, "server_error", "overloaded_error"),
            (Code::UpstreamTimeout, "server_error", "timeout_error"),
        ] {
            assert_eq!(value(Shape::OpenAi, code)["error"]["type"], openai, "{code:?}");
            assert_eq!(
                value(Shape::Anthropic, code)["error"]["type"],
                anthropic,
                "{code:?}"
            );
        }
    }

    #[test]
    fn every_code_is_json_in_every_shape() {
        for code in Code::ALL {
            for shape in [Shape::OpenAi, Shape::Anthropic, Shape::Problem] {
                value(shape, *code);
            }
        }
    }
}
