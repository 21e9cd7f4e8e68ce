//! Replies: JSON, and RFC 9457 problems.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::domain::refusal::Refusal;
use crate::ledger::LedgerError;
use crate::service::accounts::ControlError;

/// A whole answer.
pub type Reply = Response<Bytes>;

/// Why a request of one of the APIs was not done: becomes `application/problem+json`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// A word for programs.
    pub code: &'static str,
    /// What was wrong, where, and what to do.
    pub detail: String,
    /// The methods that there are instead, of a 405.
    pub allow: Option<String>,
    /// Each thing that was wrong, where there are several.
    pub problems: Vec<String>,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Problem {
        Problem {
            status,
            code,
            detail: detail.into(),
            allow: None,
            problems: Vec::new(),
        }
    }

    /// 400.
    pub fn invalid(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// 404.
    pub fn not_found(what: impl std::fmt::Display) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, "not_found", format!("there is no {what}"))
    }

    /// 405: the path takes these methods.
    pub fn other_method(allow: &[&str]) -> Problem {
        let allow = allow.join(", ");
        let problem = Problem::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            format!("this path takes {allow}"),
        );
        Problem {
            allow: Some(allow),
            ..problem
        }
    }

    /// The answer that tells of it.
    pub fn reply(&self) -> Reply {
        #[derive(Serialize)]
        struct Body<'a> {
            r#type: &'static str,
            title: &'a str,
            status: u16,
            code: &'static str,
            detail: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            problems: &'a [String],
        }
        let title = self.status.canonical_reason().unwrap_or("Error");
        let status = self.status.as_u16();
        let body = Body {
            r#type: "about:blank",
            title,
            status,
            code: self.code,
            detail: &self.detail,
            problems: &self.problems,
        };
        let mut reply = json(self.status, &body);
        let headers = reply.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let allow = self
            .allow
            .as_deref()
            .and_then(|allow| HeaderValue::from_str(allow).ok());
        if let Some(allow) = allow {
            headers.insert(header::ALLOW, allow);
        }
        reply
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Problem {
        if let LedgerError::Invalid(what) = error {
            return Problem::invalid(what);
        }
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ledger_unavailable",
            error.to_string(),
        )
    }
}

impl From<ControlError> for Problem {
    fn from(error: ControlError) -> Problem {
        let refusal = match error {
            ControlError::Failed(error) => return error.into(),
            ControlError::Refused(refusal) => refusal,
        };
        match refusal {
            Refusal::UnknownAccount => {
                Problem::not_found("such account; `faregate account create ID` makes one")
            }
            Refusal::UnknownKey => Problem::not_found("such key in this account"),
            Refusal::IdConflict => Problem::new(
                StatusCode::CONFLICT,
                "conflict",
                "the same id came before with other content; a change needs an id of its own",
            ),
            Refusal::OutOfRange(what) => {
                let detail = format!("{what} is beyond what the ledger keeps; nothing was changed");
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "out_of_range", detail)
            }
            other => Problem::new(
                StatusCode::CONFLICT,
                "refused",
                format!("the ledger refused: {other:?}"),
            ),
        }
    }
}

/// A JSON answer.
pub(super) fn json(status: StatusCode, body: &impl Serialize) -> Reply {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = Response::new(Bytes::from(bytes));
    *reply.status_mut() = status;
    let headers = reply.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// 200 with a JSON body.
pub(super) fn ok(body: &impl Serialize) -> Reply {
    json(StatusCode::OK, body)
}

/// Reads a JSON body; an empty one counts as `{}`.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let body = if body.is_empty() { b"{}" } else { body };
    serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("the body is not what is expected: {error}")))
}

/// The value of a query parameter that may be given once.
pub(super) fn query<'a>(query: &'a [(String, String)], name: &str) -> Result<Option<&'a str>, Problem> {
    let mut values = query
        .iter()
        .filter(|(n, _)| n == name)
        .map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (_, Some(_)) => Err(Problem::invalid(format!("`{name}` is given twice"))),
        (value, None) => Ok(value),
    }
}

/// The parameters of a query, decoded; one that is not known is an error.
pub(super) fn parameters(uri: &http::Uri, known: &[&str]) -> Result<Vec<(String, String)>, Problem> {
    let pairs: Vec<(String, String)> = form_urlencoded::parse(uri.query().unwrap_or("").as_bytes())
        .into_owned()
        .collect();
    match pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
        Some((name, _)) => Err(Problem::invalid(format!(
            "unknown parameter `{name}`; known here: {}",
            known.join(", ")
        ))),
        None => Ok(pairs),
    }
}
