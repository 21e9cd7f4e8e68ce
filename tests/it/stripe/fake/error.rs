//! Errors in the shape of Stripe's.

use serde_json::{Map, Value, json};

/// An answer that is not 2xx.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    /// HTTP status.
    pub(crate) status: u16,
    /// What stands below `error`.
    pub(crate) fields: Map<String, Value>,
}

impl ApiError {
    /// One of this status and type.
    pub(crate) fn new(status: u16, kind: &str, message: impl Into<String>) -> ApiError {
        let fields = json!({"type": kind, "message": message.into()});
        let Value::Object(fields) = fields else {
            unreachable!("made as an object")
        };
        ApiError { status, fields }
    }

    /// 400: the request makes no sense, or the state of things forbids it.
    pub(crate) fn invalid(message: impl Into<String>) -> ApiError {
        ApiError::new(400, "invalid_request_error", message)
    }

    /// 404 for an object.
    pub(crate) fn missing(kind: &str, id: &str) -> ApiError {
        ApiError::new(404, "invalid_request_error", format!("No such {kind}: '{id}'"))
            .code("resource_missing")
            .param("id")
    }

    /// 402 from the bank.
    pub(crate) fn card(code: &str, decline_code: Option<&str>, message: &str) -> ApiError {
        let error = ApiError::new(402, "card_error", message).code(code);
        match decline_code {
            Some(decline_code) => error.with("decline_code", decline_code.into()),
            None => error,
        }
    }

    /// Names the parameter.
    pub(crate) fn param(self, param: &str) -> ApiError {
        self.with("param", param.into())
    }

    /// Sets `code`.
    pub(crate) fn code(self, code: &str) -> ApiError {
        self.with("code", code.into())
    }

    /// Sets any field.
    pub(crate) fn with(mut self, field: &str, value: Value) -> ApiError {
        self.fields.insert(field.to_owned(), value);
        self
    }

    /// The body of the answer.
    pub(crate) fn body(&self) -> Value {
        json!({"error": self.fields})
    }

    /// The `code`, for assertions.
    pub(crate) fn code_is(&self, code: &str) -> bool {
        self.fields.get("code").is_some_and(|found| found == code)
    }
}
