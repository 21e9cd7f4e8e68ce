//! The operator's API, `/admin/v1/...`, with `/metrics`, `/healthz` and `/readyz` beside it.
//!
//! [`endpoints`] lists every endpoint once: the router, the roles and the OpenAPI document are made of it. One file per resource.

mod accounts;
mod auth;
mod checkout;
pub mod endpoints;
mod grants;
mod keys;
mod ledger;
mod openapi;
mod schemas;
mod stripe;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};

use crate::domain::credits::Credits;
use crate::domain::ids::AccountId;
use crate::ledger::{Answer, Ledger, PAGE_MAX};
use crate::service::accounts::Actor;
use crate::service::request_ids::Entropy;
use crate::service::stripe::desk::Desk;
use crate::service::stripe::desk::sync::{SyncError, SyncReport};
use crate::service::stripe::sales::Sales;

pub use auth::Tokens;
use endpoints::{ENDPOINTS, Endpoint, Operation};

use super::reply::{self, Problem, Reply};

/// What only the running program can do; `app` implements it.
pub trait Operations: Send + Sync {
    /// Loads the configuration again: what changed, a line each; or every problem, and nothing changed.
    fn reload(&self) -> Answer<'_, Result<Vec<String>, Vec<String>>>;

    /// Writes a verified copy of the embedded ledger to a file on the proxy's machine.
    fn backup(&self, file: String) -> Answer<'_, String>;

    /// The plans of the configuration in force.
    fn plans(&self) -> Vec<String>;

    /// The metrics, in Prometheus' text format.
    fn metrics(&self) -> String;

    /// The most that one grant or adjustment may move.
    fn grant_max(&self) -> Credits;

    /// Who takes what Stripe tells; `None` without `[stripe]`.
    fn desk(&self) -> Option<Arc<Desk>>;

    /// Looks at everything at Stripe.
    fn sync(&self) -> Answer<'_, Result<SyncReport, SyncError>>;

    /// Why it is not ready, if it is not.
    fn not_ready(&self) -> Answer<'_, Option<String>>;
}

/// The operator's API.
pub struct Admin {
    ledger: Arc<dyn Ledger>,
    operations: Arc<dyn Operations>,
    tokens: Tokens,
    entropy: Entropy,
    /// Where packs can be bought.
    sales: Option<Arc<Sales>>,
    /// Its certificate proves its name: no other can be made to point to it.
    named: bool,
}

/// A request that was let in.
struct Call<'a> {
    request: &'a Request<Bytes>,
    /// The values of the template's `{...}`, decoded.
    segments: Vec<String>,
    by: Actor,
}

impl Call<'_> {
    fn account(&self) -> Result<AccountId, Problem> {
        AccountId::new(self.segment(0))
            .map_err(|error| Problem::invalid(format!("the account's id: {error}")))
    }

    fn segment(&self, index: usize) -> &str {
        self.segments.get(index).map_or("", String::as_str)
    }

    /// `cursor` and `limit` of a list.
    fn page(&self) -> Result<(Option<String>, usize), Problem> {
        let parameters = reply::parameters(self.request.uri(), &["cursor", "limit"])?;
        let cursor = reply::query(&parameters, "cursor")?.map(str::to_owned);
        let limit = match reply::query(&parameters, "limit")? {
            None => 100,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=PAGE_MAX).contains(limit))
                .ok_or_else(|| Problem::invalid(format!("`limit` is a whole number from 1 to {PAGE_MAX}")))?,
        };
        Ok((cursor, limit))
    }
}

impl Admin {
    /// The API over a ledger.
    pub fn new(
        ledger: Arc<dyn Ledger>,
        operations: Arc<dyn Operations>,
        tokens: Tokens,
        entropy: Entropy,
    ) -> Admin {
        Admin {
            ledger,
            operations,
            tokens,
            entropy,
            sales: None,
            named: false,
        }
    }

    /// The same, where packs can be bought.
    pub fn selling(self, sales: Option<Arc<Sales>>) -> Admin {
        Admin { sales, ..self }
    }

    /// Reached by TLS alone, so that it may be addressed by whatever name its certificate has.
    pub fn over_tls(self, tls: bool) -> Admin {
        Admin { named: tls, ..self }
    }

    /// Answers a request, whatever it is.
    pub async fn answer(&self, request: Request<Bytes>) -> Reply {
        let answer = self.route(&request).await;
        answer.unwrap_or_else(|problem| problem.reply())
    }

    async fn route(&self, request: &Request<Bytes>) -> Result<Reply, Problem> {
        let path = request.uri().path();
        let (endpoint, segments) = find(request.method(), path)?;
        auth::host(request, self.named)?;
        let by = match endpoint.role {
            None => Actor::admin("nobody"),
            Some(role) => Actor::admin(self.tokens.check(request, role)?),
        };
        if !request.body().is_empty() {
            auth::json_only(request)?;
        }
        let call = Call {
            request,
            segments,
            by,
        };
        match endpoint.operation {
            Operation::Health => Ok(text(StatusCode::OK, "ok\n".to_owned())),
            Operation::Ready => self.ready().await,
            Operation::Metrics => Ok(metrics(self.operations.metrics())),
            Operation::OpenApi => Ok(reply::ok(&openapi::document())),
            Operation::ListAccounts => self.list_accounts(&call).await,
            Operation::GetAccount => self.get_account(&call).await,
            Operation::CreateAccount => self.create_account(&call).await,
            Operation::PauseAccount => self.pause(&call, true).await,
            Operation::ResumeAccount => self.pause(&call, false).await,
            Operation::SetPlan => self.set_plan(&call).await,
            Operation::SetLimits => self.set_limits(&call).await,
            Operation::Adjust => self.adjust(&call).await,
            Operation::ListKeys => self.list_keys(&call).await,
            Operation::CreateKey => self.create_key(&call).await,
            Operation::RevokeKey => self.revoke_key(&call).await,
            Operation::ListGrants => self.list_grants(&call).await,
            Operation::PutGrant => self.put_grant(&call).await,
            Operation::VoidGrant => self.void_grant(&call).await,
            Operation::Checkout => self.checkout(&call).await,
            Operation::GetTopUp => self.top_up(&call, false).await,
            Operation::VerifyAccount => self.verify_account(&call).await,
            Operation::GetVerification => self.verification(&call).await,
            Operation::StopTopUp => self.top_up(&call, true).await,
            Operation::ListEntries => self.list_entries(&call).await,
            Operation::Verify => self.verify().await,
            Operation::Rebuild => self.rebuild().await,
            Operation::Backup => self.backup(&call).await,
            Operation::Reload => self.reload().await,
            Operation::StripeSync => self.stripe_sync().await,
            Operation::StripeDismiss => self.stripe_dismiss(&call).await,
            Operation::StripeParked => self.stripe_parked(&call).await,
            Operation::StripeReplay => self.stripe_replay(&call).await,
        }
    }

    async fn ready(&self) -> Result<Reply, Problem> {
        match self.operations.not_ready().await? {
            None => Ok(text(StatusCode::OK, "ready\n".to_owned())),
            Some(why) => Ok(text(
                StatusCode::SERVICE_UNAVAILABLE,
                format!("not ready: {why}\n"),
            )),
        }
    }
}

/// The endpoint of a method and path, with the values of its template.
fn find(method: &Method, path: &str) -> Result<(&'static Endpoint, Vec<String>), Problem> {
    let mut allowed = Vec::new();
    for endpoint in ENDPOINTS {
        let Some(segments) = matches(endpoint.path, path) else {
            continue;
        };
        if endpoint.method == method.as_str() {
            return Ok((endpoint, segments));
        }
        allowed.push(endpoint.method);
    }
    if allowed.is_empty() {
        return Err(Problem::not_found(
            "such endpoint; /admin/v1/openapi.json lists them",
        ));
    }
    Err(Problem::other_method(&allowed))
}

/// The decoded values of a template's `{...}` where the path is of its form. An id with a slash is sent as `%2F`.
fn matches(template: &str, path: &str) -> Option<Vec<String>> {
    let mut values = Vec::new();
    let mut parts = path.split('/');
    for expected in template.split('/') {
        let part = parts.next()?;
        if expected.starts_with('{') {
            values.push(
                percent_encoding::percent_decode_str(part)
                    .decode_utf8()
                    .ok()?
                    .into_owned(),
            );
        } else if expected != part {
            return None;
        }
    }
    parts.next().is_none().then_some(values)
}

fn text(status: StatusCode, body: String) -> Reply {
    let mut reply = Response::new(Bytes::from(body));
    *reply.status_mut() = status;
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    reply
}

fn metrics(body: String) -> Reply {
    let mut reply = text(StatusCode::OK, body);
    let format = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    reply.headers_mut().insert(header::CONTENT_TYPE, format);
    reply
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_take_ids_with_slashes_encoded() {
        let template = "/admin/v1/accounts/{account}/keys/{key}";
        let values = matches(template, "/admin/v1/accounts/acme%2Fresearch/keys/key_1");
        assert_eq!(values, Some(vec!["acme/research".to_owned(), "key_1".to_owned()]));
        assert_eq!(matches(template, "/admin/v1/accounts/acme/keys"), None);
        assert_eq!(matches(template, "/admin/v1/accounts/acme/keys/k/x"), None);
    }

    #[test]
    fn a_known_path_with_another_method_says_which_it_takes() {
        let problem = find(&Method::PATCH, "/admin/v1/accounts/a").unwrap_err();
        assert_eq!(problem.status, StatusCode::METHOD_NOT_ALLOWED);
        assert!(problem.detail.contains("GET, PUT"), "{}", problem.detail);
        assert_eq!(
            find(&Method::GET, "/nothing").unwrap_err().status,
            StatusCode::NOT_FOUND
        );
    }
}
